//! The event queue in the hold model: pop the least, push it later by an exponential step; against the standard library's binary heap of
//! (time, sequence, payload) with the same payload and the same steps, in turns within one process.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use serde::Serialize;

use super::measure;
use crate::base::random::Seed;
use crate::base::{Queue, Time};

/// As large as what the simulator's own queue holds.
type Payload = [u64; 6];

/// Million pop and push pairs a CPU second.
#[derive(Serialize)]
pub struct Hold {
    pub pending: usize,
    pub queue: f64,
    pub binary_heap: f64,
}

struct Entry {
    at: u64,
    sequence: u64,
    payload: Payload,
}
impl Ord for Entry {
    fn cmp(&self, other: &Entry) -> Ordering {
        (self.at, self.sequence).cmp(&(other.at, other.sequence))
    }
}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Entry {}

pub fn hold(pending: usize, quick: bool) -> Hold {
    let pairs = match (quick, pending) {
        (true, _) => 200_000,
        (false, 100_000..) => 1_000_000,
        (false, _) => 3_000_000,
    };
    let mut stream = Seed(1).stream("hold model");
    // A power of two, so that taking the next one costs nothing. The mean is a second.
    let steps: Vec<u64> = (0..1 << 16).map(|_| (stream.exponential() * 1e9) as u64).collect();
    let step = |number: usize| steps[number & ((1 << 16) - 1)];

    let mut queue = Queue::new();
    let mut heap = BinaryHeap::new();
    for number in 0..pending {
        let (at, payload) = (step(number), [number as u64; 6]);
        queue.push(Time::from_nanos(at), payload);
        heap.push(Reverse(Entry { at, sequence: number as u64, payload }));
    }
    let (mut best_queue, mut best_heap) = (0f64, 0f64);
    let (mut drawn_queue, mut drawn_heap, mut sequence) = (pending, pending, pending as u64);
    for _ in 0..5 {
        let seconds = measure::time(|| {
            for _ in 0..pairs {
                let (at, payload) = queue.pop().expect("it holds its number");
                drawn_queue += 1;
                queue.push(Time::from_nanos(at.nanos() + step(drawn_queue)), payload);
            }
        });
        best_queue = best_queue.max(f64::from(pairs) / seconds / 1e6);
        let seconds = measure::time(|| {
            for _ in 0..pairs {
                let Reverse(Entry { at, payload, .. }) = heap.pop().expect("it holds its number");
                drawn_heap += 1;
                sequence += 1;
                heap.push(Reverse(Entry { at: at + step(drawn_heap), sequence, payload }));
            }
        });
        best_heap = best_heap.max(f64::from(pairs) / seconds / 1e6);
    }
    let Some(Reverse(least)) = heap.pop() else { unreachable!("it holds its number") };
    assert_eq!(queue.pop(), Some((Time::from_nanos(least.at), least.payload)), "both hold the same");
    Hold { pending, queue: best_queue, binary_heap: best_heap }
}
