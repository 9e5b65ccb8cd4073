//! Back-off of restarts and of pulls (client-go `util/flowcontrol/backoff.go`).

use super::Config;
use crate::base::{Duration, Stream, Time};

/// An entry of upstream's `flowcontrol.Backoff`: a window that doubles, and is forgotten when it was not used for twice its maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Backoff {
    /// Zero: no entry.
    window: Duration,
    updated: Time,
}

impl Backoff {
    /// Until when nothing may be tried, for an event (an exit, a failed pull) at `event`; `event` or earlier if it may be tried at once.
    pub fn until(&self, event: Time, max: Duration) -> Time {
        if self.expired(event, max) { event } else { event + self.window }
    }
    /// It is tried: the next window.
    pub fn next(&mut self, now: Time, event: Time, initial: Duration, max: Duration) {
        self.window = if self.expired(event, max) { initial } else { (self.window * 2).min(max) };
        self.updated = now;
    }
    fn expired(&self, event: Time, max: Duration) -> bool {
        self.window == Duration::ZERO || event.since(self.updated) > max * 2
    }
}

/// A sync that failed is tried again after 10 s, with jitter 0.5 (`pod_workers.go`, backOffPeriod, workerBackOffPeriodJitterFactor).
pub(super) fn sync_retry(now: Time, stream: &mut Stream) -> Time {
    now + stream.jitter(Duration::from_secs(10), 500)
}

/// The first of the failing syncs from `now` on at which `until` has passed: the back-off is looked at by syncs, so that the real delay
/// is the window and up to a retry's length. Those in between change nothing, and are not made.
pub(super) fn first_sync_after(now: Time, until: Time, stream: &mut Stream) -> Time {
    let mut at = now;
    while at < until {
        at = sync_retry(at, stream);
    }
    at
}

impl Config {
    pub(super) fn crash_backoff(&self, backoff: &mut Backoff, now: Time, exit: Time) {
        backoff.next(now, exit, self.crash_loop_initial_backoff, self.crash_loop_max_backoff);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restarts_wait_0_10_20_40_80_160_300_and_are_forgiven_after_ten_good_minutes() {
        let config = Config::default();
        let mut backoff = Backoff::default();
        let mut now = Time::from_secs(1000);
        let mut waits = Vec::new();
        for _ in 0..8 {
            let until = backoff.until(now, config.crash_loop_max_backoff);
            waits.push(until.since(now).as_secs());
            config.crash_backoff(&mut backoff, until, now);
            now = until + Duration::from_secs(1);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
        now += Duration::from_secs(601);
        assert_eq!(backoff.until(now, config.crash_loop_max_backoff), now);
    }
}
