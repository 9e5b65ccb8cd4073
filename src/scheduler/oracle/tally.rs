//! How much agrees, by what was compared.

use std::collections::BTreeMap;
use std::fmt;

/// What was compared: a plugin's part in a decision, or something of the decision as a whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Aspect {
    /// A pod that was rejected for the whole cluster.
    PreFilter,
    /// A node that this plugin rejected, with code and reasons.
    Filter(String),
    /// A node that passed all filters.
    Feasible,
    /// Which plugins scored.
    Plugins,
    /// A plugin's weighted score of a node.
    Score(String),
    Total,
    /// The highest total and the nodes that have it.
    Best,
    /// The node that was taken.
    Node,
    /// What PostFilter came to: eligible, candidates with their victims, the choice, nominations cleared.
    Preemption,
    Message,
    /// What the fast form came to: one of the best nodes, or the same failure.
    FastForm,
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Aspect::PreFilter => f.write_str("rejected at once"),
            Aspect::Filter(plugin) => write!(f, "{plugin}, filter"),
            Aspect::Feasible => f.write_str("feasible nodes"),
            Aspect::Plugins => f.write_str("plugins that score"),
            Aspect::Score(plugin) => write!(f, "{plugin}, score"),
            Aspect::Total => f.write_str("totals"),
            Aspect::Best => f.write_str("best nodes"),
            Aspect::Node => f.write_str("node"),
            Aspect::Preemption => f.write_str("DefaultPreemption"),
            Aspect::Message => f.write_str("message"),
            Aspect::FastForm => f.write_str("fast form"),
        }
    }
}

/// How many comparisons of an aspect there were.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    pub compared: u64,
    pub agreeing: u64,
}

impl Counts {
    pub fn add(&mut self, more: Counts) {
        self.compared += more.compared;
        self.agreeing += more.agreeing;
    }
}

/// Counts by aspect.
#[derive(Clone, Default, Debug)]
pub struct Tally(BTreeMap<Aspect, Counts>);

impl Tally {
    pub fn count(&mut self, aspect: &Aspect, compared: u64, agreeing: u64) {
        if compared > 0 {
            self.0.entry(aspect.clone()).or_default().add(Counts { compared, agreeing });
        }
    }
    pub fn merge(&mut self, other: &Tally) {
        for (aspect, counts) in &other.0 {
            self.0.entry(aspect.clone()).or_default().add(*counts);
        }
    }
    pub fn iter(&self) -> impl Iterator<Item = (&Aspect, &Counts)> {
        self.0.iter()
    }
}

/// The first thing in a case that is not as recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    pub pod: String,
    pub what: String,
    pub theirs: String,
    pub ours: String,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}\n  recorded {}\n  here     {}", self.pod, self.what, self.theirs, self.ours)
    }
}
