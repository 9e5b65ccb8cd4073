//! What lies beneath the actors.

use super::event::{HostEvent, Queue};
use super::plan::Fault;
use crate::base::{Cause, Incarnation, Time};
use crate::wire::{Address, Boot, Conn, Effect};

/// A host: jumps through time (`host::sim`), or waits (`host::real`). One loop runs both.
pub trait Host {
    /// Reach `deadline`, or an earlier arrival from outside, which is pushed into `queue`. Returns the time reached.
    fn advance(&mut self, deadline: Time, queue: &mut Queue) -> Time;
    /// Does what an actor asked for. Answers are pushed into `queue`.
    fn perform(&mut self, now: Time, from: Address, cause: Cause, effect: Effect, queue: &mut Queue);
    /// The only door for faults. `number` is the fault's in the plan, `cause` the fact that tells of it. Changes in the life of processes
    /// come back as `Event::Life`.
    fn inject(&mut self, now: Time, number: u32, fault: &Fault, cause: Cause, queue: &mut Queue);
    /// Ends a fault. What other faults that last do to the same target goes on.
    fn heal(&mut self, now: Time, number: u32, fault: &Fault, cause: Cause, queue: &mut Queue);
    /// Something of the host's own is due.
    fn wake(&mut self, now: Time, event: HostEvent, cause: Cause, queue: &mut Queue);
    /// Whether a process may begin a life now. One that may not is started again when what keeps it ends.
    fn may_start(&self, _address: Address) -> bool {
        true
    }
    /// A process begins a life: what survived of the last one.
    fn boot(&mut self, now: Time, address: Address, incarnation: Incarnation) -> Boot;
    /// A process ended (killed, or with its machine).
    fn stopped(&mut self, now: Time, address: Address, cause: Cause, queue: &mut Queue);
    /// Does input on this connection still reach this end? False when it is over there. `closes`: this input ends it.
    fn delivers(&mut self, to: Address, conn: Conn, closes: bool) -> bool;
    /// The fault that keeps `address` silent, or did until just before `now`.
    fn silenced_by(&self, now: Time, address: Address) -> Cause;
}
