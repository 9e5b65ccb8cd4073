//! What is due when, for an actor that has a few timers.
//!
//! Entries stand sorted in a ring. Most are for later than all others when they are added, and are the first, or nearly so, when they go:
//! both cost a few instructions and one cache line, where a tree would make and drop a node each time. With many timers in no such order a
//! tree would be better: each insertion moves what stands behind it.

use std::collections::VecDeque;

use super::time::Time;

/// Names with their times, the earliest first; a set of pairs.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    entries: VecDeque<(Time, u64)>,
}

impl Agenda {
    pub fn insert(&mut self, at: Time, name: u64) {
        let entry = (at, name);
        let place = match self.entries.back() {
            Some(last) if *last >= entry => self.entries.partition_point(|earlier| *earlier < entry),
            _ => self.entries.len(),
        };
        if self.entries.get(place) != Some(&entry) {
            self.entries.insert(place, entry);
        }
    }
    /// Takes an entry away, if it is there.
    pub fn remove(&mut self, at: Time, name: u64) {
        if let Ok(place) = self.entries.binary_search(&(at, name)) {
            self.entries.remove(place);
            self.rewind();
        }
    }
    /// When the first is due; `NEVER` if there is none.
    pub fn next(&self) -> Time {
        self.entries.front().map_or(Time::NEVER, |(at, _)| *at)
    }
    /// Takes out the first entry that is due.
    pub fn pop_due(&mut self, now: Time) -> Option<(Time, u64)> {
        let due = self.entries.pop_front_if(|(at, _)| *at <= now);
        self.rewind();
        due
    }
    /// An empty ring begins again where it began: one timer after another needs memory for one.
    fn rewind(&mut self) {
        if self.entries.is_empty() {
            self.entries.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::base::random::Seed;

    #[test]
    fn it_is_a_sorted_set() {
        let mut stream = Seed(1).stream("agenda");
        let (mut agenda, mut reference) = (Agenda::default(), BTreeSet::new());
        for step in 0..10_000 {
            let entry = (Time::from_nanos(step / 4 + stream.below(20)), stream.below(5));
            match stream.below(5) {
                0 | 1 => {
                    agenda.insert(entry.0, entry.1);
                    reference.insert(entry);
                }
                2 => {
                    agenda.remove(entry.0, entry.1);
                    reference.remove(&entry);
                }
                _ => {
                    let now = Time::from_nanos(step / 4);
                    let due = reference.first().copied().filter(|(at, _)| *at <= now);
                    due.iter().for_each(|first| assert!(reference.remove(first)));
                    assert_eq!(agenda.pop_due(now), due);
                }
            }
            assert_eq!(agenda.next(), reference.first().map_or(Time::NEVER, |(at, _)| *at));
        }
    }
}
