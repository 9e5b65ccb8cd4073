//! Ticks without an event each: a count that can be computed for any instant.
//!
//! Ticks come at a phase and a period, as from a Go ticker, which holds one tick that is not taken at once and drops the others. So no
//! ticks are counted while the loop writes to its log, or while the process stands still, but for one at the end.

use crate::base::{Duration, Time};

/// See the module.
pub struct Ticks {
    phase: Time,
    period: Duration,
    /// Ticks that nobody took.
    lost: u64,
    /// The count at which it stands, while it is held.
    held: Option<u64>,
    /// The count when it was last looked at.
    seen: u64,
}

impl Ticks {
    pub fn new(phase: Time, period: Duration) -> Ticks {
        Ticks { phase, period, lost: 0, held: None, seen: 0 }
    }
    /// Ticks so far.
    pub fn count(&self, now: Time) -> u64 {
        self.held.unwrap_or_else(|| now.since(self.phase).nanos() / self.period.nanos() - self.lost)
    }
    /// When the count will reach this; never while it is held.
    pub fn time_of(&self, count: u64) -> Time {
        if self.held.is_some() { Time::NEVER } else { self.phase + self.period * (count + self.lost) }
    }
    /// Looks at the clock, which was expected to be looked at by `due`. Who comes more than a tick late has not been running, and has
    /// lost the ticks in between.
    pub fn look(&mut self, now: Time, due: Time) {
        if self.held.is_none() && due < Time::NEVER && now > due + self.period {
            self.drop_beyond(now, self.seen + 1);
        }
        self.seen = self.count(now);
    }
    /// The loop is busy from now on.
    pub fn hold(&mut self, now: Time) {
        self.held = Some(self.count(now));
    }
    /// The loop goes on.
    pub fn release(&mut self, now: Time) {
        if let Some(held) = self.held.take() {
            self.drop_beyond(now, held + 1);
            self.seen = self.count(now);
        }
    }
    fn drop_beyond(&mut self, now: Time, most: u64) {
        self.lost += self.count(now).saturating_sub(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_millis(100);
    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn ticks_keep_their_phase() {
        let ticks = Ticks::new(at(30), PERIOD);
        assert_eq!([at(30), at(129), at(130), at(530)].map(|now| ticks.count(now)), [0, 0, 1, 5]);
        assert_eq!(ticks.time_of(5), at(530));
    }

    #[test]
    fn all_but_one_of_the_ticks_during_a_write_are_lost() {
        let mut ticks = Ticks::new(at(0), PERIOD);
        ticks.hold(at(250));
        assert_eq!((ticks.count(at(900)), ticks.time_of(3)), (2, Time::NEVER));
        ticks.release(at(1_250));
        assert_eq!((ticks.count(at(1_250)), ticks.count(at(1_300)), ticks.time_of(4)), (3, 4, at(1_300)));
        // A short write loses none.
        ticks.hold(at(1_390));
        ticks.release(at(1_410));
        assert_eq!(ticks.count(at(1_410)), 5);
    }

    #[test]
    fn who_was_frozen_has_one_tick_waiting() {
        let mut ticks = Ticks::new(at(0), PERIOD);
        ticks.look(at(510), at(1_500));
        ticks.look(at(9_000), at(1_500));
        assert_eq!(ticks.count(at(9_000)), 6);
    }
}
