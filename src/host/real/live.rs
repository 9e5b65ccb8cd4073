//! The host beneath one actor in a process of its own: [`engine::Host`](crate::engine::Host) over a [`Backend`], which is the world or a
//! journal of it. What the engine sees depends on the backend's answers alone: so a journal gives the same run again.

use std::collections::BTreeSet;

use super::arrival::{Arrival, Caused};
use crate::base::{Cause, Incarnation, Time};
use crate::engine::event::{Event, HostEvent, Pending};
use crate::engine::plan::Fault;
use crate::engine::{Host, Queue};
use crate::wire::{Address, Boot, Conn, Effect, Input, NetOp};

/// What a live host stands on.
pub trait Backend {
    /// Waits until `deadline` or until something arrives; the time reached, and what arrived. Times never go back.
    fn wait(&mut self, deadline: Time) -> (Time, Vec<Caused>);
    /// Does what the actor asked for; answers arrive.
    fn perform(&mut self, now: Time, cause: Cause, effect: Effect);
}

/// See the module.
pub struct LiveHost<B> {
    pub backend: B,
    actor: Address,
    /// What the first life of this process finds.
    boot: Option<Boot>,
    /// Connections that are open, and dials that are not answered.
    open: BTreeSet<Conn>,
    dialling: BTreeSet<Conn>,
}

impl<B: Backend> LiveHost<B> {
    pub fn new(actor: Address, boot: Boot, backend: B) -> LiveHost<B> {
        LiveHost { backend, actor, boot: Some(boot), open: BTreeSet::new(), dialling: BTreeSet::new() }
    }
}

impl<B: Backend> Host for LiveHost<B> {
    fn advance(&mut self, deadline: Time, queue: &mut Queue) -> Time {
        let (reached, arrivals) = self.backend.wait(deadline);
        for (cause, arrival) in arrivals {
            match &arrival {
                Arrival::Accepted(conn, _) => {
                    self.open.insert(*conn);
                }
                Arrival::Opened(conn) if self.dialling.remove(conn) => {
                    self.open.insert(*conn);
                }
                // The actor has given the dial up meanwhile.
                Arrival::Opened(conn) => {
                    self.backend.perform(reached, cause, Effect::Net(NetOp::Close(*conn)));
                    continue;
                }
                Arrival::Refused(conn) => {
                    self.dialling.remove(conn);
                }
                _ => {}
            }
            queue.push(reached, Pending::any(arrival.event(self.actor), cause));
        }
        reached
    }

    fn perform(&mut self, now: Time, from: Address, cause: Cause, effect: Effect, queue: &mut Queue) {
        debug_assert_eq!(from, self.actor);
        match &effect {
            Effect::Net(NetOp::Dial(conn, ..)) => {
                self.dialling.insert(*conn);
            }
            Effect::Net(NetOp::Close(conn)) => {
                self.open.remove(conn);
                self.dialling.remove(conn);
            }
            // The time was really spent.
            Effect::Compute(id, _) => queue.push(now, Pending::any(Event::input(from, Input::Done(*id)), cause)),
            _ => {}
        }
        self.backend.perform(now, cause, effect);
    }

    fn inject(&mut self, _now: Time, _number: u32, fault: &Fault, _cause: Cause, _queue: &mut Queue) {
        unreachable!("faults are the supervisor's, and this is a process of one actor: {fault:?}")
    }
    fn heal(&mut self, _now: Time, _number: u32, fault: &Fault, _cause: Cause, _queue: &mut Queue) {
        unreachable!("faults are the supervisor's, and this is a process of one actor: {fault:?}")
    }
    fn wake(&mut self, _now: Time, event: HostEvent, _cause: Cause, _queue: &mut Queue) {
        unreachable!("this host has nothing of its own in the queue: {event:?}")
    }
    fn boot(&mut self, _now: Time, _address: Address, incarnation: Incarnation) -> Boot {
        let boot = self.boot.take().expect("a process has one life");
        assert_eq!(boot.incarnation, incarnation);
        boot
    }
    fn stopped(&mut self, _now: Time, address: Address, _cause: Cause, _queue: &mut Queue) {
        unreachable!("{address} ends with its process")
    }

    fn delivers(&mut self, _to: Address, conn: Conn, closes: bool) -> bool {
        if closes {
            // A dial that failed never was a connection.
            return self.open.remove(&conn) | self.dialling.remove(&conn);
        }
        self.open.contains(&conn)
    }
    /// Nobody in the process can know: the supervisor's record tells the faults.
    fn silenced_by(&self, _now: Time, _address: Address) -> Cause {
        Cause::NONE
    }
}
