//! The work queue of a controller: a set of items, de-duplicated, with delays and rate limits (client-go
//! `util/workqueue`).
//!
//! An item is at most once in the queue, and never processed twice at a time: one that is added while it is processed is queued again
//! when that ends. Items come out first in first out; each bears the cause that enqueued it: the first one while it waits, the newest one
//! while it is processed. Invariant: `queue` holds exactly the items that are dirty and not processed.
//!
//! Left out: metrics, and shutting down with a drain.

use std::collections::{BTreeSet, VecDeque};
use std::hash::Hash;

use super::limiter::TokenBucket;
use crate::base::{Cause, Duration, Map, Time};

// client-go `util/workqueue/default_rate_limiters.go`, DefaultTypedControllerRateLimiter.
const ITEM_DELAY_FIRST: Duration = Duration::from_millis(5);
const ITEM_DELAY_MAX: Duration = Duration::from_secs(1000);
const OVERALL_RATE_MILLI: u64 = 10_000;
const OVERALL_BURST: u64 = 100;

/// See the module.
pub struct WorkQueue<K> {
    queue: VecDeque<K>,
    items: Map<K, Item>,
    /// When delayed items become ready; among equals in the order in which they came.
    delayed: BTreeSet<(Time, u64, K)>,
    delayed_at: Map<K, Delayed>,
    sequence: u64,
    failures: Map<K, u32>,
    overall: TokenBucket,
}

/// An item that is dirty, processed, or both.
#[derive(Default)]
struct Item {
    /// It is to be processed (again), because of this.
    dirty: Option<Cause>,
    processing: bool,
}

struct Delayed {
    at: Time,
    sequence: u64,
    cause: Cause,
}

impl<K: Clone + Ord + Hash> Default for WorkQueue<K> {
    fn default() -> WorkQueue<K> {
        WorkQueue::new()
    }
}

impl<K: Clone + Ord + Hash> WorkQueue<K> {
    /// With the default controller rate limiter: per item 5 ms doubling to 1000 s; overall 10/s, burst 100.
    pub fn new() -> WorkQueue<K> {
        WorkQueue {
            queue: VecDeque::new(),
            items: Map::default(),
            delayed: BTreeSet::new(),
            delayed_at: Map::default(),
            sequence: 0,
            failures: Map::default(),
            overall: TokenBucket::new(OVERALL_RATE_MILLI, OVERALL_BURST),
        }
    }
    /// Adds; a no-op if it waits already; marks it dirty if it is being processed.
    pub fn add(&mut self, item: K, cause: Cause) {
        match self.items.get_mut(&item) {
            None => {
                self.items.insert(item.clone(), Item { dirty: Some(cause), processing: false });
                self.queue.push_back(item);
            }
            Some(Item { dirty, processing: true }) => *dirty = Some(cause),
            Some(_) => {}
        }
    }
    /// Adds when `delay` is over; of two delays of one item the earlier end counts.
    pub fn add_after(&mut self, now: Time, item: K, delay: Duration, cause: Cause) {
        if delay == Duration::ZERO {
            return self.add(item, cause);
        }
        let at = now + delay;
        if let Some(waiting) = self.delayed_at.get(&item) {
            if waiting.at <= at {
                return;
            }
            self.delayed.remove(&(waiting.at, waiting.sequence, item.clone()));
        }
        let sequence = self.sequence;
        self.sequence += 1;
        self.delayed.insert((at, sequence, item.clone()));
        self.delayed_at.insert(item, Delayed { at, sequence, cause });
    }
    /// After a failure: adds when both the item's own back-off and the overall limit allow.
    pub fn add_rate_limited(&mut self, now: Time, item: K, cause: Cause) {
        let failures = self.failures.entry(item.clone()).or_insert(0);
        let own = back_off(*failures);
        *failures += 1;
        let overall = self.overall.reserve(now).since(now);
        self.add_after(now, item, own.max(overall), cause);
    }
    /// After a success: the item's failures no longer count.
    pub fn forget(&mut self, item: &K) {
        self.failures.remove(item);
    }
    /// How often the item was rate-limited since it was last forgotten.
    pub fn failures(&self, item: &K) -> u32 {
        self.failures.get(item).copied().unwrap_or(0)
    }
    /// The next item to process, which is then "processing".
    pub fn pop(&mut self, now: Time) -> Option<(K, Cause)> {
        self.add_due(now);
        let item = self.queue.pop_front()?;
        let state = self.items.get_mut(&item).expect("a queued item is known");
        assert!(!state.processing, "a queued item is not being processed");
        state.processing = true;
        let cause = state.dirty.take().expect("a queued item is dirty");
        Some((item, cause))
    }
    /// Processing ends; if the item became dirty meanwhile it is queued again.
    pub fn done(&mut self, item: &K) {
        let Some(state) = self.items.get_mut(item) else { return };
        state.processing = false;
        if state.dirty.is_none() {
            self.items.remove(item);
        } else {
            self.queue.push_back(item.clone());
        }
    }
    /// When a delayed item becomes ready; `now` or earlier if one is ready. Who has no worker free asks `next_delayed`, or nothing.
    pub fn deadline(&self) -> Time {
        if self.queue.is_empty() { self.next_delayed() } else { Time::ZERO }
    }
    /// When the next delayed item becomes ready, whatever waits already.
    pub fn next_delayed(&self) -> Time {
        self.delayed.first().map_or(Time::NEVER, |(at, ..)| *at)
    }
    /// How many items are ready and wait for a worker; delayed ones that have become ready count after the next `pop`.
    pub fn len(&self) -> usize {
        self.queue.len()
    }
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn add_due(&mut self, now: Time) {
        while self.delayed.first().is_some_and(|(at, ..)| *at <= now) {
            let (_, _, item) = self.delayed.pop_first().expect("there is a first one");
            let Delayed { cause, .. } = self.delayed_at.remove(&item).expect("a delayed item is known");
            self.add(item, cause);
        }
    }
}

/// The delay of an item that failed so often before.
fn back_off(failures: u32) -> Duration {
    // 5 ms * 2^18 is beyond the cap.
    (ITEM_DELAY_FIRST * (1 << failures.min(18))).min(ITEM_DELAY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Revision;

    fn cause(revision: u64) -> Cause {
        Cause::revision(Revision(revision))
    }
    fn at(millis: u64) -> Time {
        Time::from_millis(millis)
    }

    #[test]
    fn an_item_waits_once_with_its_first_cause() {
        let mut queue = WorkQueue::new();
        queue.add("a", cause(1));
        queue.add("b", cause(2));
        queue.add("a", cause(3));
        assert_eq!(queue.deadline(), Time::ZERO);
        assert_eq!(queue.pop(at(0)), Some(("a", cause(1))));
        assert_eq!(queue.pop(at(0)), Some(("b", cause(2))));
        assert_eq!(queue.pop(at(0)), None);
        assert_eq!(queue.deadline(), Time::NEVER);
    }

    #[test]
    fn an_item_that_is_processed_is_queued_again_when_that_ends() {
        let mut queue = WorkQueue::new();
        queue.add("a", cause(1));
        queue.pop(at(0)).unwrap();
        queue.add("a", cause(2));
        queue.add("a", cause(3));
        assert_eq!(queue.pop(at(0)), None, "one worker at a time");
        queue.done(&"a");
        assert_eq!(queue.pop(at(0)), Some(("a", cause(3))), "the newest cause");
        queue.done(&"a");
        assert_eq!(queue.pop(at(0)), None);
    }

    #[test]
    fn of_two_delays_the_earlier_one_counts() {
        let mut queue = WorkQueue::new();
        queue.add_after(at(0), "a", Duration::from_millis(50), cause(1));
        queue.add_after(at(0), "a", Duration::from_millis(20), cause(2));
        queue.add_after(at(0), "a", Duration::from_millis(90), cause(3));
        assert_eq!(queue.deadline(), at(20));
        assert_eq!(queue.pop(at(19)), None);
        assert_eq!(queue.pop(at(20)), Some(("a", cause(2))));
        queue.done(&"a");
        assert_eq!(queue.deadline(), Time::NEVER);
    }

    #[test]
    fn failures_of_an_item_double_its_delay_until_it_is_forgotten() {
        let mut queue = WorkQueue::new();
        let mut now = Time::from_secs(1);
        for wanted in [5, 10, 20, 40] {
            queue.add_rate_limited(now, "a", cause(1));
            assert_eq!(queue.deadline().since(now), Duration::from_millis(wanted));
            now = queue.deadline();
            queue.pop(now).unwrap();
            queue.done(&"a");
        }
        assert_eq!(queue.failures(&"a"), 4);
        queue.forget(&"a");
        queue.add_rate_limited(now, "a", cause(1));
        assert_eq!(queue.deadline().since(now), Duration::from_millis(5));
        assert_eq!(back_off(17), Duration::from_millis(655_360));
        assert_eq!(back_off(18), ITEM_DELAY_MAX);
        assert_eq!(back_off(u32::MAX), ITEM_DELAY_MAX);
    }

    #[test]
    fn beyond_the_burst_failures_of_all_items_share_ten_a_second() {
        let mut queue = WorkQueue::new();
        for item in 0..103 {
            queue.add_rate_limited(at(0), item, cause(1));
        }
        let mut ready = Vec::new();
        while queue.deadline() != Time::NEVER {
            let now = queue.deadline();
            while queue.pop(now).is_some() {
                ready.push(now);
            }
        }
        assert_eq!(ready[..100], [at(5); 100]);
        assert_eq!(ready[100..], [at(100), at(200), at(300)]);
    }
}
