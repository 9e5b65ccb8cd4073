//! The pending-event queue: earliest first, first in first out among equal times.
//!
//! It is monotone: nothing may be pushed before the time that was last popped. Its kind changes with its size, by measurement
//! (`sim bench`): up to [`ARRAY_MAX`] items it is a sorted array, beyond that a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan 1990),
//! which moves an item only when the time's highest differing bit changes. Both keep ties in order by construction, so that a key is
//! a time and a slot, 16 bytes, without a sequence number; payloads stay in their slots until they are popped.
//!
//! The kinds were chosen by trials of each alone, in the hold model (pop the least, push it later by an exponential step; 48-byte
//! payloads), as multiples of the rate of a `std::collections::BinaryHeap` of (time, sequence, payload):
//!
//! | pending | binary heap of keys | of keys packed in u128 | 4-ary heap of those | sorted array | radix heap |
//! | --- | --- | --- | --- | --- | --- |
//! | 10 | 1.2 | 1.6 | 1.5 | **2.9** | 1.2 |
//! | 60 | 1.3 | 1.6 | 1.4 | **1.7** | 1.3 |
//! | 100 | 1.2 | 1.2 | 1.2 | 1.3 | 1.2 |
//! | 1,000 | 1.4 | 1.7 | 1.7 | 0.2 | **1.7** |
//! | 100,000 | 1.5 | 1.8 | 2.1 | - | **4.2** |
//!
//! This queue as it stands, in turns with that heap in one process on a loaded machine: 2.0 at 10 pending, 1.6 to 1.8 at 1,000, 2.7 to
//! 3.3 at 100,000 (three runs), 9 to 11 at 1,000,000. `sim bench` measures it again.
//!
//! Invariant: pops are in the order of (time, push), whatever the kind; checked against a plain heap by a property test.

use super::time::Time;

/// Beyond this many items the queue is a radix heap: a sorted array is ahead up to some 64 to 100 items.
const ARRAY_MAX: usize = 64;
/// Below this many it is an array again. Much lower, so that a queue that hovers does not keep changing.
const RADIX_MIN: usize = 16;

/// A pending-event queue of payloads `T`.
pub struct Queue<T> {
    kind: Kind,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    length: usize,
    /// The last popped time.
    last: Time,
}

enum Kind {
    /// Latest first, and of equal times the last pushed first: the next one to pop stands at the end.
    Array(Vec<(u64, u32)>),
    Radix(Box<Radix>),
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        let kind = Kind::Array(Vec::with_capacity(ARRAY_MAX + 1));
        Queue { kind, slots: Vec::new(), free: Vec::new(), length: 0, last: Time::ZERO }
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
            Kind::Array(items) => {
                insert(items, at.nanos(), slot);
                if self.length > ARRAY_MAX {
                    self.become_radix();
                }
            }
            Kind::Radix(radix) => radix.push(at.nanos(), slot),
        }
    }
    /// The time of the earliest item.
    pub fn next_time(&mut self) -> Option<Time> {
        let next = match &mut self.kind {
            Kind::Array(items) => items.last().map(|(at, _)| *at),
            Kind::Radix(radix) => radix.least(),
        };
        next.map(Time::from_nanos)
    }
    /// Takes out the earliest item.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        let (at, slot) = match &mut self.kind {
            Kind::Array(items) => items.pop()?,
            Kind::Radix(radix) => {
                let item = radix.pop()?;
                if self.length <= RADIX_MIN {
                    self.become_array();
                }
                item
            }
        };
        self.length -= 1;
        self.last = Time::from_nanos(at);
        self.free.push(slot);
        Some((self.last, self.slots[slot as usize].take().expect("a queued slot is filled")))
    }

    fn become_radix(&mut self) {
        if let Kind::Array(items) = &mut self.kind {
            let mut radix = Radix::new(self.last.nanos());
            for (at, slot) in items.drain(..).rev() {
                radix.push(at, slot);
            }
            self.kind = Kind::Radix(Box::new(radix));
        }
    }
    fn become_array(&mut self) {
        if let Kind::Radix(radix) = &mut self.kind {
            let mut items = Vec::with_capacity(ARRAY_MAX + 1);
            while let Some(item) = radix.pop() {
                items.push(item);
            }
            items.reverse();
            self.kind = Kind::Array(items);
        }
    }
}

/// Puts a key into its place, behind its equals. Looks from the end, since most events are soon.
fn insert(items: &mut Vec<(u64, u32)>, at: u64, slot: u32) {
    items.push((at, slot));
    let mut place = items.len() - 1;
    while place > 0 && items[place - 1].0 <= at {
        items[place] = items[place - 1];
        place -= 1;
    }
    items[place] = (at, slot);
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
            // What equals `last` is in bucket 0, of which `least` does not speak.
            if let Some(least) = &mut self.least {
                *least = key.min(*least);
            }
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
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use super::*;
    use crate::base::random::Seed;

    /// Pops must come in the order of (time, push) while the queue grows and shrinks through both kinds.
    #[test]
    fn order_is_that_of_a_plain_heap() {
        for seed in 0..20 {
            let mut stream = Seed(seed).stream("queue");
            let (mut queue, mut reference) = (Queue::new(), BinaryHeap::new());
            let (mut now, mut pushed) = (0u64, 0u64);
            for phase in 0..60 {
                // Grows beyond the radix heap's threshold, then shrinks below it, again and again.
                let grows = phase % 2 == 0;
                for _ in 0..1_000 {
                    if stream.chance(if grows { 0.7 } else { 0.25 }) {
                        // Many ties, near and far.
                        let ahead = match stream.below(4) {
                            0 => 0,
                            1 => stream.below(3),
                            2 => stream.below(1_000) * 1_000,
                            _ => stream.below(1 << 40),
                        };
                        // A look before a push must not change what comes out.
                        let next = reference.peek().map(|Reverse((at, _))| Time::from_nanos(*at));
                        assert_eq!(queue.next_time(), next, "seed {seed}");
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
