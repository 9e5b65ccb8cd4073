//! One daemon behind all machines: where a cluster's machines are in truth one, its container engine works on everything at once, and each
//! verb takes the longer the more of them there are. Measured: how much longer, with so many at once ([`Sharing`]).
//!
//! A piece of work is as long as the verb takes alone; while n are under way it advances at the n-th part that was measured for its verb.
//! Shares are worked out again when a piece comes or goes. Left out: that verbs of different kinds weigh on one another differently.
//! Invariant: a piece that stays alone takes exactly its length.

use crate::base::{Duration, Time};
use crate::wire::MachineId;

/// What a daemon does that takes its time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    Sandbox,
    Create,
    Start,
    /// Of a sandbox.
    Stop,
    Remove,
}

impl Verb {
    pub const ALL: [Verb; 5] = [Verb::Sandbox, Verb::Create, Verb::Start, Verb::Stop, Verb::Remove];
}

/// How much longer each verb takes with so many under way: (how many, thousandths of the time alone), by number, beginning with (1, 1000).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sharing(pub [Vec<(u64, u64)>; 5]);

impl Sharing {
    /// Between what was measured in proportion; beyond it as if each had its share of the same.
    fn milli(&self, verb: Verb, under_way: u64) -> u64 {
        let steps = &self.0[verb as usize];
        let above = steps.partition_point(|(count, _)| *count < under_way);
        match (above.checked_sub(1).map(|below| steps[below]), steps.get(above)) {
            (Some((low, from)), Some(&(high, to))) => {
                let part = |value: u64| value * (under_way - low) / (high - low);
                if to >= from { from + part(to - from) } else { from - part(from - to) }
            }
            (Some((last, milli)), None) => milli * under_way / last,
            (None, Some((_, milli))) => *milli,
            (None, None) => 1000,
        }
        .max(1)
    }
}

struct Piece {
    machine: MachineId,
    number: u64,
    verb: Verb,
    /// Of its length, nanoseconds.
    left: u64,
}

/// See the module.
#[derive(Default)]
pub struct Crowd {
    sharing: Sharing,
    pieces: Vec<Piece>,
    /// Until when `left` is true.
    since: Time,
}

impl Crowd {
    pub fn new(sharing: Sharing) -> Crowd {
        Crowd { sharing, ..Crowd::default() }
    }
    /// A machine's piece of work, by its number there.
    pub fn request(&mut self, now: Time, machine: MachineId, number: u64, verb: Verb, length: Duration) {
        self.advance(now);
        self.pieces.push(Piece { machine, number, verb, left: length.nanos() });
    }
    pub fn deadline(&self) -> Time {
        let count = self.pieces.len() as u64;
        let takes = |piece: &Piece| Duration::from_nanos(piece.left).scale(self.sharing.milli(piece.verb, count), 1000);
        // A nanosecond more than the part that is cut off.
        self.pieces
            .iter()
            .map(|piece| self.since + takes(piece) + Duration::from_nanos(u64::from(piece.left > 0)))
            .min()
            .unwrap_or(Time::NEVER)
    }
    /// The pieces that are done, in the order in which they came.
    pub fn wake(&mut self, now: Time) -> Vec<(MachineId, u64)> {
        // What advances is rounded down: only where a piece ends, or wakes at every nanosecond would never end one.
        if now < self.deadline() {
            return Vec::new();
        }
        self.advance(now);
        let done = self.pieces.extract_if(.., |piece| piece.left == 0);
        done.map(|piece| (piece.machine, piece.number)).collect()
    }
    fn advance(&mut self, now: Time) {
        let (count, passed) = (self.pieces.len() as u64, now.since(self.since));
        for piece in &mut self.pieces {
            piece.left = piece.left.saturating_sub(passed.scale(1000, self.sharing.milli(piece.verb, count)).nanos());
        }
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(requests: &[(u64, u64)]) -> Vec<(u64, u64)> {
        // Two at once take one and a half times as long, four three times.
        let mut sharing = Sharing::default();
        sharing.0[Verb::Start as usize] = vec![(1, 1000), (2, 1500), (4, 3000)];
        let mut crowd = Crowd::new(sharing);
        let (mut ended, mut due) = (Vec::new(), requests.iter().enumerate().peekable());
        while let Some(next) = due.peek().map(|(_, (at, _))| Time::from_millis(*at)).into_iter().chain([crowd.deadline()]).min()
            && next < Time::NEVER
        {
            for (_, number) in crowd.wake(next) {
                ended.push((number, next.nanos() / 1_000_000));
            }
            while let Some((number, (_, length))) = due.next_if(|(_, (at, _))| Time::from_millis(*at) <= next) {
                crowd.request(next, MachineId(0), number as u64, Verb::Start, Duration::from_millis(*length));
            }
        }
        ended
    }

    #[test]
    fn work_takes_the_longer_the_more_of_it_there_is() {
        assert_eq!(ends(&[(0, 100)]), [(0, 100)]);
        assert_eq!(ends(&[(0, 100), (0, 100)]), [(0, 150), (1, 150)]);
        // The second comes when the first is half done: that takes 75 ms more, in which the second does 50; then it is alone.
        assert_eq!(ends(&[(0, 100), (50, 100)]), [(0, 125), (1, 175)]);
        assert_eq!(ends(&[(0, 100); 4]).last(), Some(&(3, 300)));
    }

    #[test]
    fn being_woken_for_nothing_holds_nothing_up() {
        let mut sharing = Sharing::default();
        sharing.0[Verb::Start as usize] = vec![(1, 3500)];
        let mut crowd = Crowd::new(sharing);
        crowd.request(Time::ZERO, MachineId(0), 1, Verb::Start, Duration::from_nanos(100));
        let woken = (0..1000).map(|nanos| Time::ZERO + Duration::from_nanos(nanos)).find(|now| !crowd.wake(*now).is_empty());
        assert_eq!(woken, Some(Time::ZERO + Duration::from_nanos(351)), "three and a half times 100 ns, and one for the rounding");
    }

    #[test]
    fn what_was_not_measured_lies_between_what_was_or_beyond_in_proportion() {
        let mut sharing = Sharing::default();
        sharing.0[Verb::Start as usize] = vec![(1, 1000), (2, 1500), (4, 3000)];
        let milli = |count| sharing.milli(Verb::Start, count);
        assert_eq!([1, 2, 3, 4, 8].map(milli), [1000, 1500, 2250, 3000, 6000]);
        assert_eq!(sharing.milli(Verb::Create, 7), 1000, "nothing was measured");
    }
}
