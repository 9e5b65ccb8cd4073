//! What "still fails in the same way" means.
//!
//! A scenario fails by expectations or by an invariant (the simulator that gives up counts as one). All expectations that failed must fail
//! again; the others are left out at once, since they change nothing. An invariant must break with the same words, numbers and details (what
//! follows a colon) aside.
//!
//! An expectation must not fail for a new reason: "ten pods are ready" fails at once in a scenario with nine. So where an expectation holds
//! when the scenario is played without its faults, it must go on holding without the faults of what is tried; and where faults have nothing
//! to do with it but steps have, without the steps.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Progress, tree};
use crate::base::digest::Digester;
use crate::engine::Options;
use crate::engine::plan::{Plan, When};
use crate::engine::record::{Record, Verdict};
use crate::manifest::Node;
use crate::scenario::{self, Source};
use crate::sweep;

/// How the scenario failed, and what was tried.
pub struct Goal<'w> {
    source: Source,
    fails: Fails,
    /// With the dear checks too: what they find must be found again.
    check_full: bool,
    /// Expectations look at instants that the scenario names, none at the end: a shorter run may show the same.
    pub may_be_shorter: bool,
    tried: Mutex<BTreeMap<u128, bool>>,
    /// Which expectations hold in a run without what is blamed, by its plan.
    controls: Mutex<BTreeMap<u128, Vec<bool>>>,
    runs: AtomicUsize,
    part: Mutex<String>,
    watch: &'w (dyn Fn(Progress) + Sync),
}

enum Fails {
    /// Every expectation of the tree fails; of those marked it is known that they hold without what is blamed.
    Expectations { blamed: Blamed, guarded: Vec<bool> },
    /// An invariant breaks, in these words.
    Invariant(String),
}

/// What a failure goes back to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blamed {
    Faults,
    Steps,
    Neither,
}

impl<'w> Goal<'w> {
    /// Plays the scenario. The goal, and the tree without expectations that hold; `None` if nothing fails.
    pub fn new(source: Source, whole: Node, check_full: bool, watch: &'w (dyn Fn(Progress) + Sync)) -> Option<(Goal<'w>, Node)> {
        let mut goal = Goal {
            source,
            fails: Fails::Invariant(String::new()),
            check_full,
            may_be_shorter: true,
            tried: Mutex::default(),
            controls: Mutex::default(),
            runs: AtomicUsize::new(0),
            part: Mutex::default(),
            watch,
        };
        goal.now_at("the scenario as it is");
        let count = tree::length(&whole, "expectations").unwrap_or(0);
        let plan = goal.plan(&whole).expect("the scenario was loaded before");
        let (held, broken) = match goal.play(plan) {
            Ok(record) => {
                let broken = record.violations.first().map(|violation| violation.to_string());
                let held = |verdict: &Verdict| !verdict.failed();
                ((0..count).filter(|&index| held(&record.expectations[index])).collect::<Vec<usize>>(), broken)
            }
            Err(words) => ((0..count).collect(), Some(words)),
        };
        if let Some(words) = broken {
            goal.fails = Fails::Invariant(kind_of(&words));
            let all: Vec<usize> = (0..count).collect();
            let tree = tree::without_items(&whole, "expectations", &all).expect("nothing names expectations");
            return Some((goal, tree));
        }
        if held.len() == count {
            return None;
        }
        let tree = tree::without_items(&whole, "expectations", &held).expect("nothing names expectations");
        let at_the_end =
            |index: usize| ["atEnd", "eventually"].iter().any(|when| tree.at(&format!("expectations[{index}].{when}")).is_some());
        goal.may_be_shorter = !(0..count - held.len()).any(at_the_end);
        let guard = [Blamed::Faults, Blamed::Steps].into_iter().find_map(|blamed| {
            let held = goal.without(blamed, &tree)?;
            held.contains(&true).then_some((blamed, held))
        });
        let (blamed, guarded) = guard.unwrap_or((Blamed::Neither, vec![false; count - held.len()]));
        goal.fails = Fails::Expectations { blamed, guarded };
        Some((goal, tree))
    }
    /// What is tried next, for whoever watches.
    pub fn now_at(&self, part: &str) {
        part.clone_into(&mut self.part.lock().unwrap_or_else(PoisonError::into_inner));
        self.tell();
    }

    /// Does it fail in the same way? A tree that is no scenario does not.
    pub fn still(&self, tree: &Node) -> bool {
        let key = digest(tree.to_json_text().as_bytes());
        if let Some(&known) = self.tried.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known;
        }
        let fails = self.plan(tree).is_some_and(|plan| self.fails_alike(plan, tree));
        self.tried.lock().unwrap_or_else(PoisonError::into_inner).insert(key, fails);
        fails
    }
    fn fails_alike(&self, plan: Plan, tree: &Node) -> bool {
        let played = self.play(plan);
        match (&self.fails, played) {
            (Fails::Invariant(words), Err(last)) => kind_of(&last) == *words,
            (Fails::Invariant(words), Ok(record)) => record.violations.iter().any(|violation| kind_of(violation) == *words),
            (Fails::Expectations { .. }, Err(_)) => false,
            (Fails::Expectations { blamed, guarded }, Ok(record)) => {
                record.violations.is_empty()
                    && record.expectations.iter().all(Verdict::failed)
                    && (*blamed == Blamed::Neither
                        || self.without(*blamed, tree).is_some_and(|held| guarded.iter().zip(held).all(|(guarded, held)| !guarded || held)))
            }
        }
    }

    /// Which expectations hold without the faults, or without the steps; `None` if that is no scenario.
    fn without(&self, blamed: Blamed, tree: &Node) -> Option<Vec<bool>> {
        let plan = match blamed {
            Blamed::Faults => without_faults(self.plan(tree)?),
            Blamed::Steps => {
                let all: Vec<usize> = (0..tree::length(tree, "steps").unwrap_or(0)).collect();
                self.plan(&tree::without_items(tree, "steps", &all)?)?
            }
            Blamed::Neither => return None,
        };
        let key = digest(format!("{plan:?}").as_bytes());
        if let Some(known) = self.controls.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Some(known.clone());
        }
        let record = self.play(plan).ok()?;
        let held: Vec<bool> = record.expectations.iter().map(|verdict| verdict.reached && verdict.held).collect();
        self.controls.lock().unwrap_or_else(PoisonError::into_inner).insert(key, held.clone());
        Some(held)
    }

    /// The faults and steps of a tree, in words.
    pub fn left(&self, tree: &Node) -> Vec<String> {
        let Some(plan) = self.plan(tree) else { return Vec::new() };
        let at = |at: crate::base::Time| scenario::units::format_duration(at.since(plan.start));
        let steps = plan.steps.iter().map(|step| format!("{}  step: {}", at(step.at), step.description));
        let faults = plan.faults.iter().map(|fault| format!("{}  fault: {}", at(fault.at), fault.description));
        faults.chain(steps).collect()
    }
    /// What fails in a tree, with what was seen.
    pub fn fails(&self, tree: &Node) -> Vec<String> {
        match self.plan(tree).map(|plan| self.play(plan)) {
            None => Vec::new(),
            Some(Err(words)) => vec![format!("the simulator gave up: {words}")],
            Some(Ok(record)) => {
                let broken = record.violations.iter().map(|violation| format!("a broken invariant: {violation}"));
                let failed = record.expectations.iter().filter(|verdict| verdict.failed());
                broken.chain(failed.map(|verdict| format!("{}: {}", verdict.description, verdict.seen))).collect()
            }
        }
    }

    fn plan(&self, tree: &Node) -> Option<Plan> {
        let source = Source { text: tree.to_json_text().into_bytes(), ..self.source.clone() };
        scenario::load(&source, &[]).ok().map(|loaded| loaded.plan)
    }
    fn play(&self, plan: Plan) -> Result<Record, String> {
        self.runs.fetch_add(1, Ordering::Relaxed);
        self.tell();
        sweep::play_with(plan, Options { check_full: self.check_full, ..Options::default() })
    }
    fn tell(&self) {
        let part = self.part.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (self.watch)(Progress { part: &part, runs: self.runs.load(Ordering::Relaxed) });
    }
}

/// What is expected so long after a fault is expected at that instant.
fn without_faults(mut plan: Plan) -> Plan {
    for expectation in &mut plan.expectations {
        if let When::Within { fault, limit } = expectation.when
            && let Some(fault) = plan.faults.get(fault)
        {
            expectation.when = When::By(fault.at + limit);
        }
    }
    plan.faults.clear();
    plan
}

fn digest(bytes: &[u8]) -> u128 {
    let mut digester = Digester::default();
    digester.bytes(bytes);
    digester.digest().0
}

/// Which invariant is broken: the words before its details. Where those begin with a colon after less than three words, they name somebody, and
/// all words count.
fn kind_of(violation: &str) -> String {
    // Where the run stood (`Engine::whereabouts`) is no part of it.
    let violation = violation.split(" (seed ").next().unwrap_or(violation);
    let before = violation.split(": ").next().filter(|before| before.split_whitespace().count() >= 3);
    without_numbers(before.unwrap_or(violation))
}

/// Every run of digits as one `#`.
fn without_numbers(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter.is_ascii_digit() {
            false => plain.push(letter),
            true if plain.ends_with('#') => {}
            true => plain.push('#'),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invariant_is_known_by_its_words_not_its_numbers() {
        assert_eq!(kind_of("two leaders in term 12: etcd-1 and etcd-3"), "two leaders in term #");
        assert_eq!(kind_of("etcd-2 applied revision 7 after revision 9 (seed 1, 3.2s)"), "etcd-# applied revision # after revision #");
        assert_eq!(kind_of("etcd-1: an entry leaves a gap"), "etcd-#: an entry leaves a gap");
    }
}
