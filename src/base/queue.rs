//! The pending-event queue: earliest first, first in first out among equal times.
//!
//! It is monotone: nothing may be pushed before the time that was last popped. Its kind changes with its size, by measurement
//! (`sim bench`): up to [`HEAP_MAX`] items it is a binary heap, beyond that a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan 1990), which
//! moves an item only when the time's highest differing bit changes and keeps ties in order by construction, since its buckets are
//! filled and emptied from front to back. Both order small keys; payloads stay where they are until they are popped.
//!
//! Invariant: pops are in the order of (time, push), whatever the kind; checked against a plain heap by a property test.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::time::Time;

/// Beyond this many items the queue is a radix heap. Measured: the heap is ahead up to some 2,000 items.
const HEAP_MAX: usize = 2048;
/// Below this many it is a heap again. Much lower, so that a queue that hovers does not keep changing.
const RADIX_MIN: usize = 512;

/// A pending-event queue of payloads `T`.
pub struct Queue<T> {
    kind: Kind,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    length: usize,
    sequence: u64,
    /// The last popped time.
    last: Time,
}

enum Kind {
    Heap(BinaryHeap<Reverse<(Time, u64, u32)>>),
    Radix(Box<Radix>),
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { kind: Kind::Heap(BinaryHeap::new()), slots: Vec::new(), free: Vec::new(), length: 0, sequence: 0, last: Time::ZERO }
    }
    pub fn len(&self) -> usize {
        self.length
    }
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }
    /// Adds `item` at `at`, which must not be earlier than the last popped time.
    pub fn push(&mut self, at: Time, item: T) {
        assert!(at >= self.last, "an event at {at} would be before now, {}", self.last);
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(item);
                slot
            }
            None => {
                self.slots.push(Some(item));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events are pending")
            }
        };
        self.length += 1;
        match &mut self.kind {
            Kind::Heap(heap) => {
                self.sequence += 1;
                heap.push(Reverse((at, self.sequence, slot)));
                if self.length > HEAP_MAX {
                    self.become_radix();
                }
            }
            Kind::Radix(radix) => radix.push(at.nanos(), slot),
        }
    }
    /// The time of the earliest item.
    pub fn next_time(&mut self) -> Option<Time> {
        match &mut self.kind {
            Kind::Heap(heap) => heap.peek().map(|Reverse((at, ..))| *at),
            Kind::Radix(radix) => radix.least().map(Time::from_nanos),
        }
    }
    /// Takes out the earliest item.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let (at, slot) = match &mut self.kind {
            Kind::Heap(heap) => {
                let Reverse((at, _, slot)) = heap.pop()?;
                (at, slot)
            }
            Kind::Radix(radix) => {
                let (at, slot) = radix.pop()?;
                if self.length <= RADIX_MIN {
                    self.become_heap();
                }
                (Time::from_nanos(at), slot)
            }
        };
        self.length -= 1;
        self.last = at;
        self.free.push(slot);
        Some((at, self.slots[slot as usize].take().expect("a queued slot is filled")))
    }

    fn become_radix(&mut self) {
        if let Kind::Heap(heap) = &mut self.kind {
            let mut radix = Radix::new(self.last.nanos());
            // Ascending in (time, sequence): ties keep their order.
            for Reverse((at, _, slot)) in std::mem::take(heap).into_sorted_vec().into_iter().rev() {
                radix.push(at.nanos(), slot);
            }
            self.kind = Kind::Radix(Box::new(radix));
        }
    }
    fn become_heap(&mut self) {
        if let Kind::Radix(radix) = &mut self.kind {
            let mut heap = BinaryHeap::with_capacity(RADIX_MIN);
            while let Some((at, slot)) = radix.pop() {
                self.sequence += 1;
                heap.push(Reverse((Time::from_nanos(at), self.sequence, slot)));
            }
            self.kind = Kind::Heap(heap);
        }
    }
}

/// Bucket 0 holds keys equal to `last`; bucket b those whose highest bit that differs from `last` is bit b - 1.
struct Radix {
    buckets: [Vec<(u64, u32)>; 65],
    /// Bit b - 1: bucket b has items.
    filled: u64,
    /// How many of bucket 0 have been taken.
    taken: usize,
    last: u64,
    /// The least key, if it is known and not in bucket 0.
    least: Option<u64>,
}

impl Radix {
    fn new(last: u64) -> Radix {
        Radix { buckets: [const { Vec::new() }; 65], filled: 0, taken: 0, last, least: None }
    }
    fn push(&mut self, key: u64, slot: u32) {
        let bucket = 64 - (key ^ self.last).leading_zeros() as usize;
        self.buckets[bucket].push((key, slot));
        if bucket > 0 {
            self.filled |= 1 << (bucket - 1);
        }
        if let Some(least) = &mut self.least {
            *least = key.min(*least);
        }
    }
    fn least(&mut self) -> Option<u64> {
        if self.taken < self.buckets[0].len() {
            return Some(self.last);
        }
        if self.least.is_none() && self.filled != 0 {
            let lowest = self.filled.trailing_zeros() as usize + 1;
            self.least = self.buckets[lowest].iter().map(|(key, _)| *key).min();
        }
        self.least
    }
    fn pop(&mut self) -> Option<(u64, u32)> {
        if self.taken == self.buckets[0].len() {
            self.buckets[0].clear();
            self.taken = 0;
            self.last = self.least()?;
            self.least = None;
            let lowest = self.filled.trailing_zeros() as usize + 1;
            self.filled &= !(1 << (lowest - 1));
            let mut items = std::mem::take(&mut self.buckets[lowest]);
            for (key, slot) in items.drain(..) {
                let bucket = 64 - (key ^ self.last).leading_zeros() as usize;
                self.buckets[bucket].push((key, slot));
                if bucket > 0 {
                    self.filled |= 1 << (bucket - 1);
                }
            }
            // The allocation serves again.
            self.buckets[lowest] = items;
        }
        let item = self.buckets[0][self.taken];
        self.taken += 1;
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Seed;

    /// Pops must come in the order of (time, push) while the queue grows and shrinks through both kinds.
    #[test]
    fn order_is_that_of_a_plain_heap() {
        for seed in 0..20 {
            let mut stream = Seed(seed).stream("queue");
            let (mut queue, mut reference) = (Queue::new(), BinaryHeap::new());
            let (mut now, mut pushed) = (0u64, 0u64);
            for phase in 0..6 {
                // Grows beyond the radix heap's threshold, then shrinks below it, again and again.
                let grows = phase % 2 == 0;
                for _ in 0..12_000 {
                    if stream.chance(if grows { 0.7 } else { 0.25 }) {
                        // Many ties, near and far.
                        let ahead = match stream.below(4) {
                            0 => 0,
                            1 => stream.below(3),
                            2 => stream.below(1_000) * 1_000,
                            _ => stream.below(1 << 40),
                        };
                        queue.push(Time::from_nanos(now + ahead), pushed);
                        reference.push(Reverse((now + ahead, pushed)));
                        pushed += 1;
                    } else if let Some(Reverse((at, number))) = reference.pop() {
                        assert_eq!(queue.next_time(), Some(Time::from_nanos(at)), "seed {seed}");
                        assert_eq!(queue.pop(), Some((Time::from_nanos(at), number)), "seed {seed}");
                        now = at;
                    }
                    assert_eq!(queue.len(), reference.len());
                }
            }
        }
    }
}
