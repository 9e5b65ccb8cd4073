//! One recorded attempt against ours, aspect by aspect.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::decide::{Decision, Nominated, POST_FILTER_ERROR, post_filter_message};
use super::super::explain::Explanation;
use super::super::filters::Rejection;
use super::super::plugins::Code;
use super::super::preemption::Nomination;
use super::super::snapshot::Snapshot;
use super::tally::{Aspect, Tally};
use crate::base::Name;

/// What differs, as recorded, and as it is here.
type Difference = (String, String, String);

/// Compares and counts; the first difference.
struct Comparer<'a> {
    tally: &'a mut Tally,
    first: Option<Difference>,
}

impl Comparer<'_> {
    fn check(&mut self, aspect: &Aspect, what: &str, theirs: &str, ours: &str) {
        self.tally.count(aspect, 1, u64::from(theirs == ours));
        if theirs != ours {
            self.differ(what, theirs, ours);
        }
    }
    fn differ(&mut self, what: &str, theirs: &str, ours: &str) {
        self.first.get_or_insert_with(|| (what.to_owned(), theirs.to_owned(), ours.to_owned()));
    }
    /// Two histograms over nodes: of each value as many nodes agree as both have.
    fn histogram(&mut self, aspect: impl Fn(&str) -> Aspect, what: &str, theirs: &BTreeMap<String, u64>, ours: &BTreeMap<String, u64>) {
        let values: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for value in values {
            let (theirs, ours) = (theirs.get(value).copied().unwrap_or(0), ours.get(value).copied().unwrap_or(0));
            self.tally.count(&aspect(value), theirs.max(ours), theirs.min(ours));
            if theirs != ours {
                self.differ(&format!("{what}, nodes with {value}"), &theirs.to_string(), &ours.to_string());
            }
        }
    }
}

/// The first difference of an attempt, if there is one.
pub fn attempt(
    theirs: &Value,
    digest: bool,
    plain: &Explanation,
    fast: &Decision,
    snapshot: &Snapshot,
    tally: &mut Tally,
) -> Option<Difference> {
    let mut comparer = Comparer { tally, first: None };
    let at_once = plain.rejected_at_once.as_ref().map(|rejection| rejection_text(rejection, false));
    if !theirs["preFilter"].is_null() || at_once.is_some() {
        let recorded = if theirs["preFilter"].is_null() { "none".to_owned() } else { recorded_rejection(&theirs["preFilter"]) };
        comparer.check(&Aspect::PreFilter, "the rejection by PreFilter", &recorded, at_once.as_deref().unwrap_or("none"));
    }
    if digest {
        rejections_by_histogram(&mut comparer, &theirs["digest"]["rejected"], plain);
    } else {
        rejections_by_node(&mut comparer, theirs, plain);
    }
    comparer.check(&Aspect::Feasible, "the number of feasible nodes", &theirs["feasible"].to_string(), &plain.feasible.to_string());
    let plugins: Vec<&str> = list(&theirs["plugins"]).iter().filter_map(Value::as_str).collect();
    let our_plugins: Vec<String> = plain.plugins.iter().map(ToString::to_string).collect();
    if !plugins.is_empty() || !our_plugins.is_empty() {
        comparer.check(&Aspect::Plugins, "the plugins that score", &plugins.join(" "), &our_plugins.join(" "));
    }
    if plugins == our_plugins {
        if digest {
            scores_by_histogram(&mut comparer, &theirs["digest"], &plugins, plain);
        }
        scores_by_node(&mut comparer, &theirs["scores"], &plugins, plain, digest);
    }
    best(&mut comparer, theirs, plain);
    post_filter(&mut comparer, theirs, plain);
    if let Some(message) = theirs["message"].as_str() {
        comparer.check(&Aspect::Message, "the message", message, &cut(&plain.message));
    }
    fast_form(&mut comparer, plain, fast, snapshot);
    comparer.first
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A list of strings in its order.
fn words(value: &Value) -> String {
    list(value).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
}

/// Events are cut at 1,024 bytes.
fn cut(message: &str) -> String {
    const MOST: usize = 1024;
    if message.len() <= MOST { message.to_owned() } else { format!("{} ...", &message[..message.floor_char_boundary(MOST - 4)]) }
}

const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Unschedulable => "Unschedulable",
        Code::UnschedulableAndUnresolvable => "UnschedulableAndUnresolvable",
    }
}

fn rejection_text(rejection: &Rejection, tell_stage: bool) -> String {
    let reasons: BTreeSet<&str> = rejection.reasons.iter().map(|reason| &**reason).collect();
    let stage = if rejection.in_pre_filter && tell_stage { " in PreFilter" } else { "" };
    format!("{} {}{stage} {reasons:?}", rejection.plugin, code_name(rejection.code))
}

fn recorded_rejection(value: &Value) -> String {
    let reasons: BTreeSet<&str> = list(&value["reasons"]).iter().filter_map(Value::as_str).collect();
    let stage = value["stage"].as_str().map_or(String::new(), |stage| format!(" in {stage}"));
    format!("{} {}{stage} {reasons:?}", value["plugin"].as_str().unwrap_or(""), value["code"].as_str().unwrap_or(""))
}

fn rejections_by_node(comparer: &mut Comparer<'_>, theirs: &Value, plain: &Explanation) {
    let recorded: BTreeMap<&str, &Value> =
        theirs["rejected"].as_object().into_iter().flatten().map(|(node, value)| (node.as_str(), value)).collect();
    let nodes: BTreeSet<&str> = recorded.keys().copied().chain(plain.rejected.keys().map(Name::as_str)).collect();
    for node in nodes {
        let ours = plain.rejected.get(node);
        let plugin = match (recorded.get(node), ours) {
            (Some(value), _) => value["plugin"].as_str().unwrap_or("").to_owned(),
            (None, ours) => ours.expect("rejected by one of both").plugin.to_string(),
        };
        let their_text = recorded.get(node).map_or("passes".to_owned(), |value| recorded_rejection(value));
        let our_text = ours.map_or("passes".to_owned(), |rejection| rejection_text(rejection, true));
        comparer.check(&Aspect::Filter(plugin), &format!("the verdict on {node}"), &their_text, &our_text);
    }
}

fn rejections_by_histogram(comparer: &mut Comparer<'_>, theirs: &Value, plain: &Explanation) {
    let mut ours: BTreeMap<String, u64> = BTreeMap::new();
    for rejection in plain.rejected.values() {
        let reasons: BTreeSet<&str> = rejection.reasons.iter().map(|reason| &**reason).collect();
        let reasons = reasons.into_iter().collect::<Vec<_>>().join(";");
        *ours.entry(format!("{}|{}|{reasons}", rejection.plugin, code_name(rejection.code))).or_insert(0) += 1;
    }
    let plugin = |key: &str| Aspect::Filter(key.split('|').next().unwrap_or("").to_owned());
    comparer.histogram(plugin, "verdicts", &recorded_histogram(theirs), &ours);
}

fn recorded_histogram(value: &Value) -> BTreeMap<String, u64> {
    value.as_object().into_iter().flatten().filter_map(|(key, count)| Some((key.clone(), count.as_u64()?))).collect()
}

fn scores_by_histogram(comparer: &mut Comparer<'_>, theirs: &Value, plugins: &[&str], plain: &Explanation) {
    let ours = |column: usize| {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for row in plain.scores.values() {
            *counts.entry(row[column].to_string()).or_insert(0) += 1;
        }
        counts
    };
    for (column, plugin) in plugins.iter().enumerate() {
        let aspect = |_: &str| Aspect::Score((*plugin).to_owned());
        comparer.histogram(aspect, &format!("scores of {plugin}"), &recorded_histogram(&theirs["perPlugin"][*plugin]), &ours(column));
    }
    comparer.histogram(|_| Aspect::Total, "totals", &recorded_histogram(&theirs["totals"]), &ours(plugins.len()));
}

/// Each node that has a recorded row; of a large case those are only a few.
fn scores_by_node(comparer: &mut Comparer<'_>, theirs: &Value, plugins: &[&str], plain: &Explanation, some: bool) {
    let recorded: BTreeMap<&str, &[Value]> =
        theirs.as_object().into_iter().flatten().map(|(node, row)| (node.as_str(), list(row))).collect();
    for (node, row) in &recorded {
        let ours = plain.scores.get(*node);
        for column in 0..=plugins.len() {
            let aspect = plugins.get(column).map_or(Aspect::Total, |plugin| Aspect::Score((*plugin).to_owned()));
            let theirs = row.get(column).map_or("none".to_owned(), Value::to_string);
            let ours = ours.map_or("none".to_owned(), |row| row[column].to_string());
            let what = plugins.get(column).map_or(format!("the total of {node}"), |plugin| format!("{plugin}'s score of {node}"));
            comparer.check(&aspect, &what, &theirs, &ours);
        }
    }
    if !some {
        for node in plain.scores.keys().filter(|node| !recorded.contains_key(node.as_str())) {
            comparer.check(&Aspect::Total, &format!("the total of {node}"), "none", &plain.scores[node][plugins.len()].to_string());
        }
    }
}

fn best(comparer: &mut Comparer<'_>, theirs: &Value, plain: &Explanation) {
    if !theirs["ties"].is_null() || !plain.scores.is_empty() {
        let top = plain.best.first().and_then(|node| plain.scores.get(node)).and_then(|row| row.last());
        let top = top.map_or("null".to_owned(), i64::to_string);
        comparer.check(&Aspect::Best, "the highest total", &theirs["top"].to_string(), &top);
        let ours: Vec<&str> = plain.best.iter().map(Name::as_str).collect();
        // The one node of a nomination, or the only feasible one, is recorded as the node alone.
        if !theirs["ties"].is_null() || ours.len() > 1 {
            comparer.check(&Aspect::Best, "the best nodes", &words(&theirs["ties"]), &ours.join(" "));
        }
    }
    // Of equal nodes the recordings take the smallest name.
    let ours = plain.best.first().map_or("", Name::as_str);
    comparer.check(&Aspect::Node, "the node", theirs["node"].as_str().unwrap_or(""), ours);
}

fn post_filter(comparer: &mut Comparer<'_>, theirs: &Value, plain: &Explanation) {
    let recorded = &theirs["postFilter"];
    let ours = our_post_filter(plain);
    if recorded.is_null() && ours.is_none() {
        return;
    }
    let PostFilter { code, eligible, candidates, choice, message } = ours.unwrap_or_default();
    let mut check = |what: &str, theirs: &str, ours: &str| comparer.check(&Aspect::Preemption, what, theirs, ours);
    check("the code of PostFilter", recorded["code"].as_str().unwrap_or("none"), code);
    check("whether the pod may preempt", &recorded["eligible"].to_string(), &eligible.to_string());
    let recorded_candidates: Vec<String> = list(&recorded["candidates"])
        .iter()
        .map(|one| {
            format!("{} evicts [{}] pdbViolations {}", one["node"].as_str().unwrap_or(""), words(&one["victims"]), one["pdbViolations"])
        })
        .collect();
    let count = recorded["candidateCount"].as_u64().unwrap_or(0);
    check("the number of candidates", &count.to_string(), &candidates.len().to_string());
    // Of a large case only the first twenty are recorded.
    let shown = recorded_candidates.len();
    let comparable = if (shown as u64) < count { &candidates[..shown.min(candidates.len())] } else { &candidates[..] };
    check("the candidates", &recorded_candidates.join("; "), &comparable.join("; "));
    let text = |field: &str| recorded[field].as_str().unwrap_or("").to_owned();
    let mut cleared: Vec<&str> = list(&recorded["clearedNominations"]).iter().filter_map(Value::as_str).collect();
    cleared.sort_unstable();
    let recorded_choice = [words(&recorded["ties"]), text("nominated"), words(&recorded["victims"]), cleared.join(" ")];
    for (what, (theirs, ours)) in ["the equal candidates", "the nominated node", "the victims", "the nominations cleared"]
        .iter()
        .zip(recorded_choice.iter().zip(&choice))
    {
        check(what, theirs, ours);
    }
    if let Some(theirs) = recorded["message"].as_str() {
        comparer.check(&Aspect::Message, "the message of PostFilter", theirs, &message);
    }
}

struct PostFilter {
    code: &'static str,
    eligible: bool,
    candidates: Vec<String>,
    /// Ties, node, victims, cleared nominations.
    choice: [String; 4],
    message: String,
}

impl Default for PostFilter {
    fn default() -> PostFilter {
        PostFilter { code: "none", eligible: false, candidates: Vec::new(), choice: Default::default(), message: String::new() }
    }
}

fn our_post_filter(plain: &Explanation) -> Option<PostFilter> {
    if plain.rejected_at_once.is_some() {
        return Some(PostFilter { code: "Error", eligible: true, message: POST_FILTER_ERROR.to_owned(), ..PostFilter::default() });
    }
    let preemption = plain.preemption.as_ref()?;
    let code = if preemption.candidates.is_empty() { "Unschedulable" } else { "Success" };
    let mut candidates: Vec<(&Name, String)> = preemption
        .candidates
        .iter()
        .zip(&plain.candidates)
        .map(|(candidate, node)| {
            let victims = pods(&candidate.victims);
            (node, format!("{node} evicts [{victims}] pdbViolations {}", candidate.violations))
        })
        .collect();
    candidates.sort();
    let ties: Vec<&str> = plain.nominations.iter().map(|nomination| nomination.node.as_str()).collect();
    let choice = match plain.nominations.first() {
        None => Default::default(),
        Some(Nomination { node, victims, cleared }) => {
            let mut cleared: Vec<String> = cleared.iter().map(pod_name).collect();
            cleared.sort_unstable();
            [ties.join(" "), node.to_string(), pods(victims), cleared.join(" ")]
        }
    };
    let candidates = candidates.into_iter().map(|(_, text)| text).collect();
    Some(PostFilter { code, eligible: preemption.eligible, candidates, choice, message: post_filter_message(preemption) })
}

fn pod_name(pod: &super::super::pods::PodInfo) -> String {
    format!("{}/{}", pod.key.namespace(), pod.key.name())
}

fn pods(pods: &[super::super::pods::PodInfo]) -> String {
    pods.iter().map(pod_name).collect::<Vec<_>>().join(" ")
}

fn fast_form(comparer: &mut Comparer<'_>, plain: &Explanation, fast: &Decision, snapshot: &Snapshot) {
    let best = || plain.best.iter().map(Name::as_str).collect::<Vec<_>>().join(" ");
    let plain_text = |nomination: &Nomination| format!("{} evicts [{}]", nomination.node, pods(&nomination.victims));
    let (plain_text, fast_text) = match fast {
        Decision::Node(slot) => {
            let name = &snapshot.nodes().info(*slot).name;
            // Any of the best is right.
            (if plain.best.contains(name) { name.to_string() } else { format!("one of {}", best()) }, name.to_string())
        }
        Decision::Unschedulable(failure) => {
            let nominated = match &failure.nominated {
                Nominated::To(nomination) => plain_text(nomination),
                Nominated::Kept | Nominated::Cleared => "nobody".to_owned(),
            };
            let expected: Vec<String> = plain.nominations.iter().map(plain_text).collect();
            let expected = match expected.contains(&nominated) {
                true => nominated.clone(),
                false if expected.is_empty() => "nobody".to_owned(),
                false => format!("one of {}", expected.join(", ")),
            };
            (
                format!("{} / {expected}", if plain.best.is_empty() { &plain.message } else { &plain.best[0] }),
                format!("{} / {nominated}", failure.message),
            )
        }
    };
    comparer.check(&Aspect::FastForm, "the fast form (here) against the plain form", &plain_text, &fast_text);
}
