//! Which facts belong to a story, and the lines that they make.

use std::collections::{BTreeMap, BTreeSet};

use super::object::{Hero, Led};
use super::words::{self, impersonal, who};
use crate::base::{Duration, FactId, Name, Time};
use crate::engine::record::{Entry, FaultInfo, Record};
use crate::objects::{Key, Kind};
use crate::report::model::{Bucket, Model, path_name};
use crate::wire::Address;
use crate::wire::fact::{Subject, What};

/// Facts of one kind that are no further apart are one line: a roll-out's pods come faster, and what recovery does step by step is slower.
const TOGETHER: Duration = Duration::from_secs(5);

/// A line of a story.
pub struct Line<'r> {
    pub at: Time,
    pub text: String,
    /// Whose causes stand below. `None` for a sum (of traffic).
    pub entry: Option<&'r Entry>,
    /// The facts that it tells of.
    pub stands_for: Vec<FactId>,
}

/// The facts of a story, in order of time.
pub fn of<'r>(record: &'r Record, hero: &Hero) -> Vec<&'r Entry> {
    let faults = Faults::new(record);
    let pick: Box<dyn FnMut(&Entry) -> bool> = match hero {
        Hero::Object(key) => match key.kind() {
            Kind::Pod => {
                // A fault of the node that a pod is on is the pod's too.
                let mut node: Option<Name> = None;
                Box::new(move |entry| {
                    let own = is_object(entry, key);
                    match &entry.fact.what {
                        What::PodBound { node: bound, .. } if own => node = Some(bound.clone()),
                        What::Removed { .. } | What::Created { .. } if own => node = None,
                        _ => {}
                    }
                    own || node.as_ref().is_some_and(|node| faults.hit(entry, node))
                })
            }
            Kind::Node => {
                let name = Name::new(key.name());
                // Pods that are on it, until they are gone.
                let mut pods = BTreeSet::new();
                Box::new(move |entry| {
                    let kubelet = matches!(&entry.fact.subject, Subject::Actor(Address::Kubelet(_)))
                        && who(record, &entry.fact.subject).ends_with(&format!(" {name}"));
                    let of_pod = match (&entry.fact.subject, &entry.fact.what) {
                        (Subject::Object(pod), What::PodBound { node, .. }) if *node == name => pods.insert(pod.clone()),
                        (Subject::Object(pod), What::DeletionMarked { .. }) => pods.contains(pod),
                        (Subject::Object(pod), What::Removed { .. }) => pods.remove(pod),
                        _ => false,
                    };
                    is_object(entry, key) || kubelet || of_pod || faults.hit(entry, &name)
                })
            }
            Kind::Deployment | Kind::ReplicaSet => {
                let below = below(record, key);
                Box::new(move |entry| {
                    let Subject::Object(subject) = &entry.fact.subject else { return false };
                    let of_pod = subject.kind() == Kind::Pod
                        && matches!(
                            entry.fact.what,
                            What::Created { .. }
                                | What::DeletionMarked { .. }
                                | What::Removed { .. }
                                | What::ContainerExited { .. }
                                | What::Unschedulable { .. }
                                | What::Nominated { .. }
                        );
                    subject == key || below.contains(subject) && (of_pod || subject.kind() != Kind::Pod)
                })
            }
            Kind::Service => Box::new(move |entry| is_object(entry, key) || is_slice_of(entry, key)),
            _ => Box::new(move |entry| is_object(entry, key)),
        },
        Hero::Etcd => Box::new(|entry| matches!(entry.fact.subject, Subject::Actor(Address::Etcd(_)))),
        Hero::Lease(Led::ControllerManager) => Box::new(|entry| matches!(entry.fact.subject, Subject::Actor(Address::Manager(_)))),
        Hero::Lease(Led::Scheduler) => Box::new(|entry| matches!(entry.fact.subject, Subject::Actor(Address::Scheduler(_)))),
    };
    let mut pick = pick;
    record.facts.iter().filter(|entry| pick(entry)).collect()
}

fn is_object(entry: &Entry, key: &Key) -> bool {
    matches!(&entry.fact.subject, Subject::Object(subject) if subject == key)
}

/// An EndpointSlice is called after its Service, with five generated letters: `web-98g2d`.
fn is_slice_of(entry: &Entry, service: &Key) -> bool {
    let Subject::Object(slice) = &entry.fact.subject else { return false };
    let suffix = slice.name().strip_prefix(service.name()).and_then(|rest| rest.strip_prefix('-'));
    slice.kind() == Kind::EndpointSlice
        && slice.namespace() == service.namespace()
        && suffix.is_some_and(|letters| letters.len() == 5 && !letters.contains('-'))
}

/// ReplicaSets and pods of a workload. The record knows a Deployment's by their owner; a ReplicaSet's pods are called after it.
fn below(record: &Record, workload: &Key) -> BTreeSet<Key> {
    let prefix = format!("{}-", workload.name());
    let is_below = |key: &Key, owner: &Option<Key>| match workload.kind() {
        Kind::Deployment => owner.as_ref() == Some(workload),
        _ => key.kind() == Kind::Pod && key.namespace() == workload.namespace() && key.name().starts_with(&prefix),
    };
    let entries = record.facts.iter().filter_map(|entry| match (&entry.fact.subject, &entry.fact.what) {
        (Subject::Object(key), What::Created { owner, .. }) if is_below(key, owner) => Some(key.clone()),
        _ => None,
    });
    entries.collect()
}

/// Whom each fault hit.
struct Faults<'r> {
    by_number: BTreeMap<u32, &'r FaultInfo>,
    /// The names of kubelets, which faults call by their number.
    kubelets: BTreeMap<&'r str, String>,
}

impl<'r> Faults<'r> {
    fn new(record: &'r Record) -> Faults<'r> {
        // The record lists faults in the order in which they began.
        let began = record.facts.iter().filter_map(|entry| match &entry.fact.what {
            What::FaultInjected { fault, .. } => Some(*fault),
            _ => None,
        });
        let by_number = began.zip(&record.scenario.faults).collect();
        let kubelets = record.scenario.nodes.iter().enumerate().map(|(number, node)| (&*node.name, format!("kubelet-{number}")));
        Faults { by_number, kubelets: kubelets.collect() }
    }
    /// Is this the beginning or the end of a fault of a node?
    fn hit(&self, entry: &Entry, node: &Name) -> bool {
        let (What::FaultInjected { fault, .. } | What::FaultEnded { fault, .. }) = &entry.fact.what else { return false };
        let kubelet = self.kubelets.get(&**node);
        self.by_number
            .get(fault)
            .is_some_and(|info| info.targets.iter().any(|target| target == node || kubelet.is_some_and(|name| **name == **target)))
    }
}

/// Lines that may grow: the facts of a group, and the last of them.
struct Group<'r> {
    first: &'r Entry,
    last: &'r Entry,
    /// In order.
    all: Vec<&'r Entry>,
}

/// The lines that the facts of a story make.
pub fn lines<'r>(record: &'r Record, hero: &Hero, told: &[&'r Entry]) -> Vec<Line<'r>> {
    let mut groups: Vec<Group> = Vec::new();
    let mut open: BTreeMap<String, usize> = BTreeMap::new();
    for entry in told.iter().copied() {
        let Some(name) = group(hero, entry) else {
            groups.push(Group { first: entry, last: entry, all: vec![entry] });
            continue;
        };
        match open.get(&name).map(|&at| &mut groups[at]).filter(|group| entry.at.since(group.last.at) < TOGETHER) {
            Some(group) => {
                group.last = entry;
                group.all.push(entry);
            }
            None => {
                open.insert(name, groups.len());
                groups.push(Group { first: entry, last: entry, all: vec![entry] });
            }
        }
    }
    let mut lines: Vec<Line> = groups.iter().map(|group| line(record, hero, group)).collect();
    if let Hero::Object(key) = hero
        && key.kind() == Kind::Service
    {
        traffic(record, key, &mut lines);
    }
    lines.sort_by_key(|line| (line.at, line.entry.map(|entry| entry.id)));
    lines
}

/// The group of facts that a fact can be told with.
fn group(hero: &Hero, entry: &Entry) -> Option<String> {
    let Hero::Object(hero) = hero else { return None };
    let Subject::Object(subject) = &entry.fact.subject else { return None };
    match &entry.fact.what {
        What::Replicas { .. } | What::Endpoints { .. } => Some(format!("{} {subject}", entry.fact.what.kind())),
        // Each displaces others.
        What::Nominated { .. } => None,
        _ if subject != hero && subject.kind() == Kind::Pod => Some(entry.fact.what.kind().to_owned()),
        _ => None,
    }
}

fn line<'r>(record: &Record, hero: &Hero, group: &Group<'r>) -> Line<'r> {
    let Group { first, last, all } = group;
    let stands_for = all.iter().map(|entry| entry.id).collect();
    let counts = matches!(first.fact.what, What::Replicas { .. } | What::Endpoints { .. });
    let start = record.scenario.start;
    if all.len() == 1 || counts {
        // Of counts that change step by step the last one is told.
        let words = words::words(record, &last.fact.subject, &last.fact.what).happened;
        let mut text = sentence(record, hero, last, &words);
        if all.len() > 1 {
            text.push_str(&format!(", after {} changes since {} s", all.len(), words::tenths(first.at.since(start))));
        }
        return Line { at: last.at, text, entry: Some(last), stands_for };
    }
    let words = words::words(record, &first.fact.subject, &first.fact.what).happened;
    let words = words.strip_prefix("was ").map_or(words.clone(), |rest| format!("were {rest}")).replace(" its ", " their ");
    let until = if last.at == first.at { String::new() } else { format!(", the last at {} s", words::tenths(last.at.since(start))) };
    let more = count(all.len() - 1, "more pod");
    let text = format!("{} and {more} {words}{until}", who(record, &first.fact.subject));
    Line { at: first.at, text, entry: Some(first), stands_for }
}

/// A fact's words, with their subject where it is not the hero.
pub fn sentence(record: &Record, hero: &Hero, entry: &Entry, words: &str) -> String {
    let of_hero = matches!(hero, Hero::Object(key) if is_object(entry, key));
    if of_hero || impersonal(&entry.fact.what) { words.to_owned() } else { format!("{} {words}", who(record, &entry.fact.subject)) }
}

/// What the clients of a service saw: when requests failed, and the sum.
fn traffic<'r>(record: &'r Record, service: &Key, lines: &mut Vec<Line<'r>>) {
    let model = Model::new(record);
    let second = Duration::from_secs(1);
    let failed = |bucket: &Bucket| bucket.refused + bucket.reset + bucket.timeout;
    for traffic in model.traffic.iter().filter(|traffic| traffic.service == service) {
        let mut runs: Vec<(Time, Bucket)> = Vec::new();
        let mut total = Bucket::default();
        for bucket in &traffic.buckets {
            add(&mut total, bucket);
            if failed(bucket) == 0 {
                continue;
            }
            match runs.last_mut() {
                Some((_, run)) if bucket.at.since(run.at) < TOGETHER => add(run, bucket),
                _ => runs.push((bucket.at - second, *bucket)),
            }
        }
        for (from, run) in runs {
            let mut kinds = Vec::new();
            for (number, kind) in [(run.refused, "refused"), (run.reset, "reset"), (run.timeout, "timed out")] {
                if number > 0 {
                    kinds.push(format!("{number} {kind}"));
                }
            }
            let until = words::tenths(run.at.since(model.start));
            let text = format!("until {until} s {} failed ({})", count(failed(&run) as usize, "request"), kinds.join(", "));
            lines.push(Line { at: from, text, entry: None, stands_for: Vec::new() });
        }
        let sent = total.ok + failed(&total);
        let text = format!("{} had got {}, of which {} failed", path_name(service), count(sent as usize, "request"), failed(&total));
        lines.push(Line { at: total.at, text, entry: None, stands_for: Vec::new() });
    }
}

fn add(sum: &mut Bucket, bucket: &Bucket) {
    sum.at = bucket.at;
    sum.ok += bucket.ok;
    sum.refused += bucket.refused;
    sum.reset += bucket.reset;
    sum.timeout += bucket.timeout;
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
