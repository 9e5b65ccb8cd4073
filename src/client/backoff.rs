//! Exponential back-off with jitter, as client-go's reflectors and gRPC's connections use it.

use crate::base::{Duration, Stream, Time};

/// Delays that grow from failure to failure, and start again after a quiet time (apimachinery `wait.NewExponentialBackoffManager`) or
/// when told so.
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    /// Growth, and the range of jitter, per mille.
    factor: u64,
    jitter: (u64, u64),
    reset: Duration,
    next: Duration,
    last: Option<Time>,
}

impl Backoff {
    /// 800 ms doubling to 30 s, each delay times [1, 2); from the beginning after 2 min without one (client-go `tools/cache/reflector.go`).
    pub fn reflector() -> Backoff {
        let initial = Duration::from_millis(800);
        let (cap, reset) = (Duration::from_secs(30), Duration::from_secs(120));
        Backoff { initial, cap, factor: 2000, jitter: (1000, 2000), reset, next: initial, last: None }
    }
    /// 1 s growing by 1.6 to 120 s, each delay times [0.8, 1.2) (gRPC `doc/connection-backoff.md`, grpc-go `backoff.DefaultConfig`).
    pub fn grpc() -> Backoff {
        let initial = Duration::from_secs(1);
        let (cap, reset) = (Duration::from_secs(120), Duration::MAX);
        Backoff { initial, cap, factor: 1600, jitter: (800, 1200), reset, next: initial, last: None }
    }
    /// It works again: the next failure is the first.
    pub fn succeeded(&mut self) {
        self.next = self.initial;
        self.last = None;
    }
    /// How long to wait after a failure at `now`. The cap holds before jitter.
    pub fn delay(&mut self, now: Time, stream: &mut Stream) -> Duration {
        if self.last.is_some_and(|last| now.since(last) > self.reset) {
            self.next = self.initial;
        }
        self.last = Some(now);
        let delay = self.next;
        self.next = delay.scale(self.factor, 1000).min(self.cap);
        stream.duration_between(delay.scale(self.jitter.0, 1000), delay.scale(self.jitter.1, 1000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Seed;

    #[test]
    fn delays_double_to_the_cap_and_reset_after_two_quiet_minutes() {
        let mut stream = Seed(1).stream("back-off");
        let mut backoff = Backoff::reflector();
        let mut now = Time::from_secs(10);
        for least in [800, 1_600, 3_200, 6_400, 12_800, 25_600, 30_000, 30_000] {
            let delay = backoff.delay(now, &mut stream).as_millis();
            assert!((least..2 * least).contains(&delay), "{delay} ms is not within {least} ms x [1, 2)");
            now += Duration::from_secs(60);
        }
        now += Duration::from_secs(121);
        assert!(backoff.delay(now, &mut stream) < Duration::from_millis(1_600));
    }
}
