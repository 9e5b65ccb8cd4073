//! A machine's disk: a queue of fsyncs, one at a time, and what a power loss leaves of what was not synced.
//!
//! The queue is first in first out, so the end of a request is known when it comes: [`Disk::sync`] returns it, and there is nothing to
//! wake for. Writes go to the page cache and take no time; a sync covers every write before it. Besides their latency, disks may stall
//! now and then for seconds ([`StallPattern`]), and a fault may make them slower.
//! Invariant: no sync ends before one that was asked for earlier.

use std::collections::VecDeque;

use super::distribution::Distribution;
use crate::base::{Duration, Stream, Time};

/// See the module.
pub struct Disk {
    fsync: Distribution,
    stream: Stream,
    /// When the last request so far will be done.
    free_at: Time,
    /// Added to each fsync by faults, by their numbers in the plan.
    extra: Vec<(u32, Distribution)>,
    stalls: Option<Stalls>,
    /// The faults because of which nothing is synced, and because of which nothing can be written; by their numbers.
    stalled: Vec<u32>,
    full: Vec<u32>,
}

/// How disks stall, as scenarios write it.
#[derive(Clone, Debug, PartialEq)]
pub struct StallPattern {
    /// From the end of a stall to the begin of the next, on average.
    pub mean_interval: Duration,
    pub lasts: Distribution,
}

/// Stalls as a Poisson stream, drawn as they are reached.
struct Stalls {
    pattern: StallPattern,
    stream: Stream,
    next: Time,
}

impl Disk {
    pub fn new(fsync: Distribution, stream: Stream) -> Disk {
        Disk { fsync, stream, free_at: Time::ZERO, extra: Vec::new(), stalls: None, stalled: Vec::new(), full: Vec::new() }
    }
    /// With stalls from `start` on. `stream`: of their own, so that they leave other draws alone.
    pub fn with_stalls(mut self, pattern: StallPattern, start: Time, mut stream: Stream) -> Disk {
        let next = start + exponential(pattern.mean_interval, &mut stream);
        self.stalls = Some(Stalls { pattern, stream, next });
        self
    }
    /// When a sync that is asked for now will be done.
    pub fn sync(&mut self, now: Time) -> Time {
        let mut takes = self.fsync.sample(&mut self.stream);
        for (_, extra) in &self.extra {
            takes += extra.sample(&mut self.stream);
        }
        let begins = now.max(self.free_at);
        self.free_at = match &mut self.stalls {
            None => begins + takes,
            Some(stalls) => stalls.stretch(begins, takes),
        };
        self.free_at
    }
    /// A fault adds to the latency of each fsync from now on, and to what others add.
    pub fn add_extra(&mut self, fault: u32, extra: Distribution) {
        self.extra.push((fault, extra));
    }
    pub fn end_extra(&mut self, fault: u32) {
        self.extra.retain(|(number, _)| *number != fault);
    }
    /// No sync ends before the last of such faults does; those that are asked for meanwhile, or under way, are the caller's to keep.
    pub fn stall(&mut self, fault: u32) {
        self.stalled.push(fault);
    }
    pub fn end_stall(&mut self, fault: u32) {
        self.stalled.retain(|number| *number != fault);
    }
    pub fn is_stalled(&self) -> bool {
        !self.stalled.is_empty()
    }
    /// Nothing more can be written until the last of such faults ends.
    pub fn fill(&mut self, fault: u32) {
        self.full.push(fault);
    }
    pub fn end_fill(&mut self, fault: u32) {
        self.full.retain(|number| *number != fault);
    }
    pub fn filled_by(&self) -> &[u32] {
        &self.full
    }
    /// The machine lost power or was restarted: nobody waits any more.
    pub fn reset(&mut self, now: Time) {
        self.free_at = now;
    }
}

impl Stalls {
    /// When work that begins at `begins` and takes `takes` is done, with the stalls that it meets.
    fn stretch(&mut self, begins: Time, takes: Duration) -> Time {
        let mut ends = begins + takes;
        while self.next < ends {
            let lasts = self.pattern.lasts.sample(&mut self.stream);
            // A stall that began while nobody asked may be over, wholly or in part.
            ends += lasts.saturating_sub(begins.since(self.next));
            self.next = self.next + lasts + exponential(self.pattern.mean_interval, &mut self.stream);
        }
        ends
    }
}

fn exponential(mean: Duration, stream: &mut Stream) -> Duration {
    Duration::from_secs_f64(mean.as_secs_f64() * stream.exponential())
}

/// What has been written and is not durable yet. A killed process leaves it to the page cache; a power loss leaves a prefix of it.
#[derive(Clone, Debug)]
pub struct Unsynced<T> {
    records: VecDeque<T>,
    /// How many records have become durable before the first of `records`.
    durable: u64,
}

impl<T> Default for Unsynced<T> {
    fn default() -> Unsynced<T> {
        Unsynced { records: VecDeque::new(), durable: 0 }
    }
}

impl<T> Unsynced<T> {
    pub fn write(&mut self, record: T) {
        self.records.push_back(record);
    }
    /// What a sync that is asked for now covers: hand it to [`Unsynced::synced`] when it is done.
    pub fn mark(&self) -> u64 {
        self.durable + self.records.len() as u64
    }
    /// The sync with this mark is done: takes out what is now durable, in order.
    pub fn synced(&mut self, mark: u64) -> impl Iterator<Item = T> + '_ {
        let count = mark.saturating_sub(self.durable).min(self.records.len() as u64);
        self.durable += count;
        self.records.drain(..count as usize)
    }
    /// The process was killed: the page cache has everything.
    pub fn process_killed(&mut self) -> impl Iterator<Item = T> + '_ {
        self.synced(u64::MAX)
    }
    /// Power is lost: a prefix had reached the disk, of any length with equal chance. Beside it the record that was being written, if there
    /// was one: a part of it may be there.
    pub fn power_lost(&mut self, stream: &mut Stream) -> (Vec<T>, Option<T>) {
        let kept = stream.index(self.records.len() + 1);
        let survivors = self.records.drain(..kept).collect();
        self.durable += kept as u64;
        let torn = self.records.pop_front();
        self.records.clear();
        (survivors, torn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Seed;
    use crate::models::presets;

    fn constant(millis: u64) -> Disk {
        Disk::new(Distribution::Constant(Duration::from_millis(millis)), Seed(1).stream("disk"))
    }

    #[test]
    fn syncs_queue_and_end_in_their_order() {
        let mut disk = constant(10);
        let ends: Vec<Time> = [0, 0, 5, 40].map(|at| disk.sync(Time::from_millis(at))).into();
        assert_eq!(ends, [10, 20, 30, 50].map(Time::from_millis));
        disk.add_extra(0, Distribution::Constant(Duration::from_millis(3)));
        assert_eq!(disk.sync(Time::from_secs(1)), Time::from_millis(1_013));
        disk.add_extra(1, Distribution::Constant(Duration::from_millis(4)));
        assert_eq!(disk.sync(Time::from_millis(1_500)), Time::from_millis(1_517), "two faults add up");
        disk.end_extra(0);
        disk.end_extra(1);
        assert_eq!(disk.sync(Time::from_secs(2)), Time::from_millis(2_010));
    }

    #[test]
    fn stalls_come_about_once_a_day_and_delay_whoever_meets_one() {
        let pattern = StallPattern { mean_interval: presets::DISK_STALL_INTERVAL, lasts: presets::disk_stall() };
        let mut disk = constant(1).with_stalls(pattern, Time::ZERO, Seed(3).stream("stalls"));
        // A sync each 100 ms for 20 days.
        let late = (0..20 * 864_000u64).filter(|n| {
            let now = Time::from_millis(n * 100);
            disk.sync(now).since(now) > Duration::from_millis(900)
        });
        // A stall of some 3 s delays the 20 syncs of its first 2 s beyond 900 ms, on average.
        let stalls = late.count() / 20;
        assert!((10..=40).contains(&stalls), "{stalls}");
    }

    #[test]
    fn a_power_loss_leaves_a_prefix_of_what_was_not_synced() {
        let mut kept = std::collections::BTreeSet::new();
        let mut stream = Seed(1).stream("power");
        for _ in 0..100 {
            let mut log = Unsynced::default();
            log.write(1);
            let mark = log.mark();
            log.write(2);
            log.write(3);
            assert_eq!(log.synced(mark).collect::<Vec<_>>(), [1]);
            let (survivors, torn) = log.power_lost(&mut stream);
            assert!([2, 3].starts_with(&survivors), "{survivors:?}");
            assert_eq!(torn.as_ref(), [2, 3].get(survivors.len()), "the next one was being written");
            kept.insert(survivors.len());
            assert_eq!(log.process_killed().count(), 0);
        }
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
        let mut log = Unsynced::default();
        log.write(1);
        assert_eq!(log.process_killed().collect::<Vec<_>>(), [1], "a killed process loses nothing");
    }
}
