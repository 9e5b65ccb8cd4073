//! Token buckets: a client's QPS and burst, a work queue's overall limit, a zone's eviction rate.

use crate::base::{Duration, Time};

/// A token bucket in integer arithmetic (`golang.org/x/time/rate`), without rounding: nanoseconds times thousandths of a token per second
/// are trillionths of a token.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Thousandths of a token per second. 0: nothing is ever let through beyond the burst.
    rate_milli: u64,
    burst: u64,
    /// Trillionths of a token; negative while tokens of the future are reserved.
    tokens_pico: i128,
    updated: Time,
}

const PICO: i128 = 1_000_000_000_000;

impl TokenBucket {
    /// Full at first.
    pub fn new(rate_milli: u64, burst: u64) -> TokenBucket {
        TokenBucket { rate_milli, burst, tokens_pico: i128::from(burst) * PICO, updated: Time::ZERO }
    }
    /// Takes a token if there is one.
    pub fn try_take(&mut self, now: Time) -> bool {
        self.refill(now);
        let enough = self.tokens_pico >= PICO;
        if enough {
            self.tokens_pico -= PICO;
        }
        enough
    }
    /// Takes a token now or from the future: returns when the taker may go on (`Reserve`). `NEVER` if no token will come.
    pub fn reserve(&mut self, now: Time) -> Time {
        self.refill(now);
        let at = self.token_at(now);
        if at != Time::NEVER {
            self.tokens_pico -= PICO;
        }
        at
    }
    /// Changes the rate from now on.
    pub fn set_rate(&mut self, now: Time, rate_milli: u64) {
        self.refill(now);
        self.rate_milli = rate_milli;
    }
    /// When the next token will be there, without taking it.
    pub fn next_token(&self, now: Time) -> Time {
        let mut later = self.clone();
        later.refill(now);
        later.token_at(now)
    }
    /// The bucket is filled up to `now`.
    fn token_at(&self, now: Time) -> Time {
        let missing = PICO - self.tokens_pico;
        if missing <= 0 {
            return now;
        }
        if self.rate_milli == 0 || self.burst == 0 {
            return Time::NEVER;
        }
        let wait = (missing as u128).div_ceil(u128::from(self.rate_milli));
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }
    fn refill(&mut self, now: Time) {
        let passed = now.since(self.updated).nanos();
        self.updated = self.updated.max(now);
        let gained = i128::from(passed) * i128::from(self.rate_milli);
        self.tokens_pico = (self.tokens_pico + gained).min(i128::from(self.burst) * PICO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_its_burst_through_and_then_its_rate() {
        let mut bucket = TokenBucket::new(20_000, 3);
        let now = Time::from_secs(100);
        assert_eq!((0..5).map(|_| bucket.try_take(now)).collect::<Vec<_>>(), [true, true, true, false, false]);
        assert_eq!(bucket.next_token(now), now + Duration::from_millis(50));
        assert!(!bucket.try_take(now + Duration::from_nanos(49_999_999)));
        assert!(bucket.try_take(now + Duration::from_millis(50)));
        // However long it rests, it never holds more than the burst.
        let later = now + Duration::from_secs(3_600);
        assert_eq!((0..4).filter(|_| bucket.try_take(later)).count(), 3);
    }

    #[test]
    fn looking_often_does_not_lose_tokens() {
        let mut bucket = TokenBucket::new(3_000, 1);
        assert!(bucket.try_take(Time::ZERO));
        let due = bucket.next_token(Time::ZERO);
        for nanos in (1..due.nanos()).step_by(7_777_777) {
            assert!(!bucket.try_take(Time::from_nanos(nanos)));
        }
        assert!(bucket.try_take(due), "the token comes when it was promised");
    }

    #[test]
    fn reservations_queue_up_in_the_future() {
        let mut bucket = TokenBucket::new(10_000, 1);
        let ready: Vec<u64> = (0..4).map(|_| bucket.reserve(Time::ZERO).nanos() / 1_000_000).collect();
        assert_eq!(ready, [0, 100, 200, 300]);
        assert_eq!(TokenBucket::new(0, 0).reserve(Time::ZERO), Time::NEVER);
        bucket.set_rate(Time::ZERO, 0);
        assert_eq!(bucket.next_token(Time::from_secs(1)), Time::NEVER);
    }
}
