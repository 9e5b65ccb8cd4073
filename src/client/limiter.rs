//! Token buckets: a client's QPS and burst, a work queue's overall limit, a zone's eviction rate.

use crate::base::{Duration, Time};

/// A token bucket in integer arithmetic (`golang.org/x/time/rate`).
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Thousandths of a token per second. 0: nothing is ever let through beyond the burst.
    rate_milli: u64,
    burst: u64,
    /// Millionths of a token.
    tokens_micro: i128,
    updated: Time,
}

const MICRO: i128 = 1_000_000;

impl TokenBucket {
    /// Full at first.
    pub fn new(rate_milli: u64, burst: u64) -> TokenBucket {
        TokenBucket { rate_milli, burst, tokens_micro: i128::from(burst) * MICRO, updated: Time::ZERO }
    }
    /// Takes a token if there is one.
    pub fn try_take(&mut self, now: Time) -> bool {
        self.refill(now);
        let enough = self.tokens_micro >= MICRO;
        if enough {
            self.tokens_micro -= MICRO;
        }
        enough
    }
    /// Takes a token now or from the future: returns when the taker may go on (`Reserve`). `NEVER` if no token will come.
    pub fn reserve(&mut self, now: Time) -> Time {
        self.refill(now);
        let missing = MICRO - self.tokens_micro;
        if missing <= 0 {
            self.tokens_micro -= MICRO;
            return now;
        }
        if self.rate_milli == 0 {
            return Time::NEVER;
        }
        self.tokens_micro -= MICRO;
        // missing [1e-6 token] / (rate_milli * 1e-3 token/s) in ns = missing * 1e6 / rate_milli
        let wait = (missing as u64 * 1_000_000).div_ceil(self.rate_milli);
        now + Duration::from_nanos(wait)
    }
    /// Changes the rate from now on.
    pub fn set_rate(&mut self, now: Time, rate_milli: u64) {
        self.refill(now);
        self.rate_milli = rate_milli;
    }
    /// When the next token will be there, without taking it.
    pub fn next_token(&self, now: Time) -> Time {
        self.clone().reserve(now)
    }
    fn refill(&mut self, now: Time) {
        let passed = now.since(self.updated).nanos();
        self.updated = self.updated.max(now);
        let gained = i128::from(passed) * i128::from(self.rate_milli) / 1_000_000;
        self.tokens_micro = (self.tokens_micro + gained).min(i128::from(self.burst) * MICRO);
    }
}
