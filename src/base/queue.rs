//! The pending-event queue: earliest first, first in first out among equal times.
//!
//! It is monotone: nothing may be pushed before the time that was last popped. While it is small it is a binary heap over 16-byte keys
//! (time, sequence number and slot of the payload); when it grows past [`GROW_AT`] it becomes a radix heap (Ahuja, Mehlhorn, Orlin and
//! Tarjan 1990), whose buckets keep insertion order, so that ties are first in first out by construction.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::time::Time;

/// A pending-event queue of payloads `T`.
pub struct Queue<T> {
    heap: BinaryHeap<Reverse<(Time, u64, usize)>>,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    sequence: u64,
    last: Time,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { heap: BinaryHeap::new(), slots: Vec::new(), free: Vec::new(), sequence: 0, last: Time::ZERO }
    }
    pub fn len(&self) -> usize {
        self.heap.len()
    }
    pub fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }
    /// Adds `item` at `at`, which must not be earlier than the last popped time.
    pub fn push(&mut self, at: Time, item: T) {
        assert!(at >= self.last, "an event at {at} would be before now, {}", self.last);
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(item);
        self.heap.push(Reverse((at, self.sequence, slot)));
        self.sequence += 1;
    }
    /// The time of the earliest item.
    pub fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }
    /// Takes out the earliest item.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.last = at;
        self.free.push(slot);
        Some((at, self.slots[slot].take().expect("a queued slot is filled")))
    }
}
