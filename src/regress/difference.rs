//! Where two runs part: the first second in which they differ, what each has there that the other has not, and why.

use std::collections::{BTreeMap, BTreeSet};

use super::tale::Tale;
use crate::base::Duration;

/// Facts of a side that are told; the others are counted.
const MOST_TOLD: usize = 8;

/// What comparing two runs' facts came to.
pub enum Found {
    /// No fact differs.
    Nothing,
    /// No fact differs as far as they are kept; one side has more, of which nothing is known on the other.
    Beyond,
    Difference(Box<Difference>),
}

/// The first difference.
pub struct Difference {
    /// The first second with a fact that differs in anything, numbers that no words tell of included: from so many seconds on.
    pub second: u64,
    /// A fact of that second that says the same in words, where none differs in words: its words, and the revisions on both sides.
    pub beneath: Option<Beneath>,
    /// The first second with a fact that differs in words or in time. `None`: there is none.
    pub told: Option<Second>,
}

/// A fact that is the same in words and another in numbers.
pub struct Beneath {
    pub at: Duration,
    pub sentence: String,
    pub was: Option<u64>,
    pub is: Option<u64>,
}

/// A second of both runs.
pub struct Second {
    pub second: u64,
    /// Facts of it that both have.
    pub same: usize,
    pub was: Side,
    pub is: Side,
}

/// What one run has and the other has not.
pub struct Side {
    pub facts: Vec<Told>,
    /// How many more.
    pub more: usize,
}

/// A fact with its causes.
pub struct Told {
    pub at: Duration,
    pub sentence: String,
    /// Reasons, to follow "because", back to the beginning or to what was told above.
    pub causes: Vec<String>,
    /// When the other run has the same, if it has.
    pub elsewhere: Option<Duration>,
}

/// Finds where they part.
pub fn first(was: &Tale, is: &Tale) -> Found {
    let shared = was.len().min(is.len());
    let marks_part = (0..shared).find(|&index| was.points[index].mark != is.points[index].mark);
    let Some(index) = marks_part.or((was.len() != is.len()).then_some(shared)) else {
        return if was.whole && is.whole { Found::Nothing } else { Found::Beyond };
    };
    let ends = |tale: &Tale| index >= tale.len() && !tale.whole;
    if ends(was) || ends(is) {
        return Found::Beyond;
    }
    let second = second_at(was, is, index);
    let same_words = |index: usize| was.points[index].at == is.points[index].at && was.sentence(index) == is.sentence(index);
    let words_part = (index..shared).find(|&index| !same_words(index)).or_else(|| {
        let cut = (was.len() < is.len() && !was.whole) || (is.len() < was.len() && !is.whole);
        (was.len() != is.len() && !cut).then_some(shared)
    });
    let told = words_part.map(|index| (second_at(was, is, index), index));
    let beneath = told.is_none_or(|(other, _)| other != second).then(|| Beneath {
        at: was.points[index].at,
        sentence: was.sentence(index),
        was: was.points[index].revision,
        is: is.points[index].revision,
    });
    let told = told.map(|(second, index)| facts_of(was, is, second, index));
    Found::Difference(Box::new(Difference { second, beneath, told }))
}

/// What a run has in a second, where nothing is known of the other.
pub fn facts_in(tale: &Tale, second: u64) -> Side {
    let range = range(tale, second);
    tell(tale, &range.collect::<Vec<_>>(), &BTreeMap::new())
}

fn second_at(was: &Tale, is: &Tale, index: usize) -> u64 {
    let at = |tale: &Tale| tale.points.get(index).map(|point| point.at);
    [at(was), at(is)].into_iter().flatten().min().expect("one side has this fact").as_secs()
}

fn range(tale: &Tale, second: u64) -> std::ops::Range<usize> {
    let from = tale.points.partition_point(|point| point.at.as_secs() < second);
    from..tale.points.partition_point(|point| point.at.as_secs() <= second)
}

/// The facts of a second that only one side has; `parted` is the first fact that differs.
fn facts_of(was: &Tale, is: &Tale, second: u64, parted: usize) -> Second {
    let named = |tale: &Tale| -> Vec<(usize, (Duration, String))> {
        range(tale, second).map(|index| (index, (tale.points[index].at, tale.sentence(index)))).collect()
    };
    let (left, right) = (named(was), named(is));
    let mut counts: BTreeMap<&(Duration, String), i64> = BTreeMap::new();
    for (_, name) in &right {
        *counts.entry(name).or_default() += 1;
    }
    let mut same = 0;
    let mut only_was = Vec::new();
    for (index, name) in &left {
        match counts.get_mut(name) {
            Some(count) if *count > 0 => {
                *count -= 1;
                same += 1;
            }
            _ => only_was.push(*index),
        }
    }
    let mut only_is = Vec::new();
    // Of equal facts the last ones are those that are too many.
    for (index, name) in right.iter().rev() {
        if let Some(count) = counts.get_mut(name).filter(|count| **count > 0) {
            *count -= 1;
            only_is.push(*index);
        }
    }
    only_is.reverse();
    if only_was.is_empty() && only_is.is_empty() {
        // The same facts in another order.
        only_was.push(parted);
        only_is.push(parted);
    }
    let elsewhere = |from: &Tale, indexes: &[usize], other: &Tale| elsewhere(from, indexes, other, second);
    Second {
        second,
        same,
        was: tell(was, &only_was, &elsewhere(was, &only_was, is)),
        is: tell(is, &only_is, &elsewhere(is, &only_is, was)),
    }
}

/// For sentences that only one side has in this second: when the other side first says them at a time at which this one does not.
fn elsewhere(tale: &Tale, indexes: &[usize], other: &Tale, second: u64) -> BTreeMap<String, Duration> {
    let wanted: BTreeSet<String> = indexes.iter().take(MOST_TOLD).map(|&index| tale.sentence(index)).collect();
    let times = |tale: &Tale| -> Vec<(String, Duration)> {
        let from = tale.points.partition_point(|point| point.at.as_secs() < second);
        let named = (from..tale.len()).map(|index| (tale.sentence(index), tale.points[index].at));
        named.filter(|(sentence, _)| wanted.contains(sentence)).collect()
    };
    let here: BTreeSet<(String, Duration)> = times(tale).into_iter().collect();
    let mut first = BTreeMap::new();
    for (sentence, at) in times(other).into_iter().filter(|found| !here.contains(found)) {
        first.entry(sentence).or_insert(at);
    }
    first
}

fn tell(tale: &Tale, indexes: &[usize], elsewhere: &BTreeMap<String, Duration>) -> Side {
    let mut known = BTreeSet::new();
    let told = indexes.iter().take(MOST_TOLD).map(|&index| {
        known.insert(index);
        let mut causes = Vec::new();
        let mut next = tale.points[index].cause;
        while let Some(cause) = next.map(|cause| cause as usize) {
            let above = !known.insert(cause);
            next = tale.points[cause].cause.filter(|_| !above);
            let see = if above && tale.points[cause].cause.is_some() { " (see above)" } else { "" };
            causes.push(format!("{}{see}", tale.reason(cause)));
        }
        let sentence = tale.sentence(index);
        Told { at: tale.points[index].at, elsewhere: elsewhere.get(&sentence).copied(), sentence, causes }
    });
    Side { facts: told.collect(), more: indexes.len().saturating_sub(MOST_TOLD) }
}
