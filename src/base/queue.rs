//! The pending-event queue: earliest first, first in first out among equal times.
//!
//! It is monotone: nothing may be pushed before the time that was last popped. What comes next stands in a short sorted array; what
//! lies beyond it lies in buckets, coarser the further away: a radix heap (Ahuja, Mehlhorn, Orlin and Tarjan 1990) with 64 buckets a
//! level, which goes over a bucket only when its turn comes, and sorts it once it is small. While all is short the array holds
//! everything. So an item is moved once for each level that it goes down, two or three times in all, always through memory in order,
//! and ties keep their order by construction: no sequence number is needed.
//!
//! Chosen by trials in the hold model (pop the least, push it later by an exponential step; 48-byte payloads), as multiples of the rate
//! of a `std::collections::BinaryHeap` of (time, sequence, payload):
//!
//! | pending | binary heap of packed keys | 4-ary heap of those | sorted array | radix heap, 2 buckets a level | this |
//! | --- | --- | --- | --- | --- | --- |
//! | 10 | 1.6 | 1.5 | 2.9 | 1.2 | 2.0 |
//! | 1,000 | 1.7 | 1.7 | 0.2 | 1.7 | 2.0 |
//! | 100,000 | 1.8 | 2.1 | - | 1.8 to 4.2 | 4.2 |
//! | 1,000,000 | - | - | - | 8.9 | 10.8 |
//!
//! `sim bench` measures it again.
//!
//! Invariant: pops are in the order of (time, push); checked against a plain heap by a property test.

use super::time::Time;

/// A pending-event queue of payloads `T`.
pub struct Queue<T> {
    near: Near<T>,
    far: Far<T>,
    length: usize,
    /// The last popped time.
    last: Time,
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

impl<T> Queue<T> {
    pub fn new() -> Queue<T> {
        Queue { near: Near::new(), far: Far::new(), length: 0, last: Time::ZERO }
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
        self.length += 1;
        let key = at.nanos();
        if key > self.near.covered {
            self.far.push(key, item);
        } else {
            self.near.insert(key, item);
            if self.near.len() > NEAR_MAX {
                self.near.split(&mut self.far);
            }
        }
    }
    /// The time of the earliest item.
    pub fn next_time(&mut self) -> Option<Time> {
        self.refill();
        self.near.first().map(Time::from_nanos)
    }
    /// Takes out the earliest item.
    pub fn pop(&mut self) -> Option<(Time, T)> {
        self.refill();
        let (at, item) = self.near.pop()?;
        self.length -= 1;
        self.last = Time::from_nanos(at);
        Some((self.last, item))
    }
    /// Afterwards the earliest item, if there is one, is near.
    fn refill(&mut self) {
        if self.near.len() == 0 && self.length > 0 {
            self.far.refill(&mut self.near, self.length);
        }
    }
}

/// More than these, if they are not all at one time, are too many for the sorted array: about where it falls behind the buckets.
const NEAR_MAX: usize = 64;
/// A bucket of at most so many is sorted into the array instead of being spread over finer buckets.
const NEAR_START: usize = 32;

/// All items at or before `covered`, sorted.
struct Near<T> {
    /// Earliest first, equals in the order of their pushes; those before `head` have been popped.
    keys: Vec<(u64, u32)>,
    head: usize,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    covered: u64,
    /// The level of the bucket that is covered.
    level: usize,
}

impl<T> Near<T> {
    fn new() -> Near<T> {
        Near { keys: Vec::new(), head: 0, slots: Vec::new(), free: Vec::new(), covered: u64::MAX, level: LEVELS }
    }
    fn len(&self) -> usize {
        self.keys.len() - self.head
    }
    fn first(&self) -> Option<u64> {
        self.keys.get(self.head).map(|(key, _)| *key)
    }
    /// Puts an item into its place, behind its equals.
    fn insert(&mut self, key: u64, item: T) {
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
        if self.head >= NEAR_MAX && self.head * 2 >= self.keys.len() {
            self.keys.drain(..self.head);
            self.head = 0;
        }
        self.keys.push((key, slot));
        let keys = &mut self.keys[self.head..];
        let mut place = keys.len() - 1;
        while place > 0 && keys[place - 1].0 > key {
            keys[place] = keys[place - 1];
            place -= 1;
        }
        keys[place] = (key, slot);
    }
    fn pop(&mut self) -> Option<(u64, T)> {
        let (key, slot) = *self.keys.get(self.head)?;
        self.head += 1;
        if self.head == self.keys.len() {
            self.keys.clear();
            self.head = 0;
        }
        self.free.push(slot);
        Some((key, self.slots[slot as usize].take().expect("a queued slot is filled")))
    }
    /// Takes over all items of a bucket, or of all. It must be empty.
    fn fill(&mut self, base: u64, level: usize, items: impl Iterator<Item = (u64, T)>) {
        self.slots.clear();
        self.free.clear();
        for (key, item) in items {
            self.keys.push((key, self.slots.len() as u32));
            self.slots.push(Some(item));
        }
        // The slots are numbered in the order of the pushes.
        self.keys.sort_unstable();
        self.cover(base, level);
    }
    fn cover(&mut self, base: u64, level: usize) {
        self.level = level;
        self.covered = base | low_bits(level);
    }
    /// Gives the later ones to finer buckets.
    fn split(&mut self, far: &mut Far<T>) {
        let first = self.keys[self.head].0;
        let mut kept = self.len();
        while kept > NEAR_START && self.level > 0 {
            self.cover(first & !low_bits(self.level - 1), self.level - 1);
            kept = self.keys[self.head..].partition_point(|(key, _)| *key <= self.covered);
        }
        far.base = first & !low_bits(self.level);
        far.floor = self.level;
        for (key, slot) in self.keys.drain(self.head + kept..) {
            self.free.push(slot);
            far.push(key, self.slots[slot as usize].take().expect("a queued slot is filled"));
        }
    }
}

/// Bits of a key that choose the bucket on a level.
const DIGIT: usize = 6;
const FANOUT: usize = 1 << DIGIT;
const LEVELS: usize = 64_usize.div_ceil(DIGIT);

/// The bits of a key below the digit of this level.
fn low_bits(level: usize) -> u64 {
    if level >= LEVELS { u64::MAX } else { (1 << (level * DIGIT)) - 1 }
}

/// All items that are not near, in buckets by their highest digit that differs from that of `base`, which is near. On one level, and
/// from a level to the next, buckets with higher digits are later.
struct Far<T> {
    buckets: Vec<Vec<(u64, T)>>,
    /// Bit d: bucket d of the level has items.
    filled: [u64; LEVELS],
    /// Bit l: level l has items.
    levels: u32,
    base: u64,
    /// No item lies on a lower level.
    floor: usize,
    /// Allocations that serve again.
    spare: Vec<Vec<(u64, T)>>,
}

impl<T> Far<T> {
    fn new() -> Far<T> {
        let buckets = std::iter::repeat_with(Vec::new).take(LEVELS * FANOUT).collect();
        Far { buckets, filled: [0; LEVELS], levels: 0, base: 0, floor: 0, spare: Vec::new() }
    }
    fn push(&mut self, key: u64, item: T) {
        let differs = (key ^ self.base) | (1 << (self.floor * DIGIT));
        let level = (63 - differs.leading_zeros() as usize) / DIGIT;
        let digit = (key >> (level * DIGIT)) as usize % FANOUT;
        let bucket = &mut self.buckets[level * FANOUT + digit];
        if bucket.capacity() == 0
            && let Some(spare) = self.spare.pop()
        {
            *bucket = spare;
        }
        bucket.push((key, item));
        self.filled[level] |= 1 << digit;
        self.levels |= 1 << level;
    }
    /// Makes the earliest items near, all if they are few. There must be some, and none near.
    fn refill(&mut self, near: &mut Near<T>, length: usize) {
        if length <= NEAR_START {
            let mut items = Vec::with_capacity(length);
            while self.levels != 0 {
                let (_, _, mut bucket) = self.take_first();
                items.append(&mut bucket);
                self.keep(bucket);
            }
            return near.fill(0, LEVELS, items.into_iter());
        }
        loop {
            let (base, level, mut items) = self.take_first();
            self.base = base;
            if items.len() <= NEAR_START || level == 0 {
                near.fill(base, level, items.drain(..));
                self.floor = level;
                return self.keep(items);
            }
            self.floor = level - 1;
            for (key, item) in items.drain(..) {
                self.push(key, item);
            }
            self.keep(items);
        }
    }
    /// The earliest bucket: its least possible key, its level, its items in the order of their pushes.
    fn take_first(&mut self) -> (u64, usize, Vec<(u64, T)>) {
        let level = self.levels.trailing_zeros() as usize;
        let digit = self.filled[level].trailing_zeros() as usize;
        self.filled[level] &= !(1 << digit);
        if self.filled[level] == 0 {
            self.levels &= !(1 << level);
        }
        let items = std::mem::take(&mut self.buckets[level * FANOUT + digit]);
        (items[0].0 & !low_bits(level), level, items)
    }
    fn keep(&mut self, bucket: Vec<(u64, T)>) {
        if bucket.capacity() <= SPARE_MAX && self.spare.len() < FANOUT {
            self.spare.push(bucket);
        }
    }
}

/// A larger allocation is given back.
const SPARE_MAX: usize = 4_096;

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
