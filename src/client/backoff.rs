//! Exponential back-off with jitter, as client-go's reflectors use it.

use crate::base::{Duration, Stream, Time};

/// Delays that grow from failure to failure, and start again after a quiet time (apimachinery `wait.NewExponentialBackoffManager`).
#[derive(Clone, Debug)]
pub struct Backoff {
    initial: Duration,
    cap: Duration,
    reset: Duration,
    next: Duration,
    last: Option<Time>,
}

impl Backoff {
    /// 800 ms doubling to 30 s, each delay times [1, 2); from the beginning after 2 min without one (client-go `tools/cache/reflector.go`;
    /// facts/controllers.md section 1).
    pub fn reflector() -> Backoff {
        let initial = Duration::from_millis(800);
        Backoff { initial, cap: Duration::from_secs(30), reset: Duration::from_secs(120), next: initial, last: None }
    }
    /// How long to wait after a failure at `now`. The cap holds before jitter.
    pub fn delay(&mut self, now: Time, stream: &mut Stream) -> Duration {
        if self.last.is_some_and(|last| now.since(last) > self.reset) {
            self.next = self.initial;
        }
        self.last = Some(now);
        let delay = self.next;
        self.next = (delay * 2).min(self.cap);
        stream.jitter(delay, 1000)
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
