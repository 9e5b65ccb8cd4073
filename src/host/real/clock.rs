//! The run's time on this machine: CLOCK_MONOTONIC, which all processes of a machine share, from an anchor that the supervisor chose.

use nix::time::{ClockId, clock_gettime};

use crate::base::{Duration, Time};

/// Nanoseconds of CLOCK_MONOTONIC.
pub fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has a monotonic clock");
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// Seconds since 1970, for what is to be told apart by its date.
pub fn unix_seconds() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_REALTIME).expect("every Linux has a calendar clock");
    now.tv_sec().unsigned_abs()
}

/// Shows the plan's time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// CLOCK_MONOTONIC at the plan's start.
    pub anchor: u64,
    pub start: Time,
}

impl Clock {
    /// The plan's start until the anchor is reached.
    pub fn now(self) -> Time {
        self.start + Duration::from_nanos(monotonic().saturating_sub(self.anchor))
    }
    /// How long until the plan's time is `at`.
    pub fn until(self, at: Time) -> std::time::Duration {
        let due = self.anchor.saturating_add(at.since(self.start).nanos());
        std::time::Duration::from_nanos(due.saturating_sub(monotonic()))
    }
}
