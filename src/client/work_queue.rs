//! The work queue of a controller: a set of items, de-duplicated, with delays and rate limits (facts/controllers.md section 1).

use crate::base::{Cause, Duration, Time};

/// See the module. Items come out first in first out; each bears the cause that enqueued it.
pub struct WorkQueue<K> {
    items: std::marker::PhantomData<K>,
}

impl<K: Clone + Ord + std::hash::Hash> WorkQueue<K> {
    /// With the default controller rate limiter: per item 5 ms doubling to 1000 s; overall 10/s, burst 100.
    pub fn new() -> WorkQueue<K> {
        todo!()
    }
    /// Adds; a no-op if it waits already; marks it dirty if it is being processed.
    pub fn add(&mut self, _item: K, _cause: Cause) {
        todo!()
    }
    pub fn add_after(&mut self, _now: Time, _item: K, _delay: Duration, _cause: Cause) {
        todo!()
    }
    /// After a failure.
    pub fn add_rate_limited(&mut self, _now: Time, _item: K, _cause: Cause) {
        todo!()
    }
    /// After a success: the item's failures no longer count.
    pub fn forget(&mut self, _item: &K) {
        todo!()
    }
    /// How often the item was rate-limited since it was last forgotten.
    pub fn failures(&self, _item: &K) -> u32 {
        todo!()
    }
    /// The next item to process, which is then "processing".
    pub fn pop(&mut self, _now: Time) -> Option<(K, Cause)> {
        todo!()
    }
    /// Processing ends; if the item became dirty meanwhile it is queued again.
    pub fn done(&mut self, _item: &K) {
        todo!()
    }
    /// When a delayed item becomes ready; `now` or earlier if one is ready.
    pub fn deadline(&self) -> Time {
        todo!()
    }
}
