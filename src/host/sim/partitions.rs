//! Partitions: nothing passes between two sets of machines, for as long as the fault lasts or, if it flaps, now and then meanwhile.

use super::holds::Hold;
use super::{SimHost, what};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Stream, Time};
use crate::engine::Queue;
use crate::engine::plan::{Fault, Flap};
use crate::wire::MachineId;

/// A partition that comes and goes.
pub struct Flapping {
    fault: Fault,
    flap: Flap,
    is_cut: bool,
    cause: Cause,
    stream: Stream,
}

/// No two turns at one instant, whatever is drawn.
const MOMENT: Duration = Duration::from_millis(1);

impl SimHost {
    #[expect(clippy::too_many_arguments, reason = "the fields of a fault, and where it stands")]
    pub(super) fn cut(
        &mut self,
        now: Time,
        number: u32,
        from: &[MachineId],
        to: &[MachineId],
        one_way: bool,
        cause: Cause,
        queue: &mut Queue,
    ) {
        self.links.add_cut(number, from, to, one_way, cause);
        for machine in from.iter().chain(to) {
            self.machine(*machine).holds.begin(number, Hold::Cut, cause);
        }
        self.note_hearing(now);
        for conn in self.connections.all() {
            let Some(connection) = self.connections.get(conn) else { continue };
            let (a, b) = (connection.ends[0].machine, connection.ends[1].machine);
            if self.links.cut(a, b).or(self.links.cut(b, a)).is_some() {
                self.connections.get(conn).expect("it is there").fall_silent(cause);
                self.watch_silence(now, conn, queue);
            }
        }
    }
    /// Does nothing where a flapping partition happens to be away.
    pub(super) fn end_cut(&mut self, now: Time, number: u32, from: &[MachineId], to: &[MachineId], queue: &mut Queue) {
        self.links.end(number);
        for machine in from.iter().chain(to) {
            self.machine(*machine).holds.end(now, number, Hold::Cut);
        }
        self.note_hearing(now);
        self.release(now, |_, _| false, queue);
    }

    pub(super) fn begin_to_flap(&mut self, now: Time, number: u32, fault: &Fault, flap: &Flap, cause: Cause, queue: &mut Queue) {
        let mut stream = Seed(self.plan.seed).stream(&format!("flapping partition {number}"));
        let stays = flap.down.sample(&mut stream).max(MOMENT);
        self.flaps.insert(number, Flapping { fault: fault.clone(), flap: flap.clone(), is_cut: true, cause, stream });
        self.push_host(queue, now + stays, what::FLAP, u64::from(number), cause);
    }
    /// A flapping partition goes or comes back, unless its fault is over.
    pub(super) fn flap(&mut self, now: Time, number: u32, queue: &mut Queue) {
        let Some(mut flapping) = self.flaps.remove(&number) else { return };
        let Fault::Partition { from, to, one_way, .. } = &flapping.fault else { unreachable!("only partitions flap") };
        flapping.is_cut = !flapping.is_cut;
        let stays = if flapping.is_cut {
            self.cut(now, number, from, to, *one_way, flapping.cause, queue);
            &flapping.flap.down
        } else {
            self.end_cut(now, number, from, to, queue);
            &flapping.flap.up
        };
        let stays = stays.sample(&mut flapping.stream).max(MOMENT);
        self.push_host(queue, now + stays, what::FLAP, u64::from(number), flapping.cause);
        self.flaps.insert(number, flapping);
    }
}
