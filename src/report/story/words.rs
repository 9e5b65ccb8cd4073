//! What each kind of fact is called in a sentence: when it happens, and as a state that lasts from then on. One exhaustive match, so that
//! a new fact cannot be left out.

use crate::base::{Duration, Name};
use crate::engine::record::{Entry, Record};
use crate::objects::{Key, Kind};
use crate::wire::Address;
use crate::wire::fact::{Subject, What};

/// A side of something that has one state at a time: a later fact of the same aspect takes the place of an earlier one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Aspect {
    Existence,
    Deletion,
    Place,
    Phase,
    Readiness,
    Cordon,
    Taint(Name),
    Counts,
    Role,
    Process,
    Scheduling,
    Image(Name),
    Container(Name),
    Fault(u32),
}

/// A fact in words, to follow its subject: "web-1 *was marked for deletion*".
pub struct Words {
    pub happened: String,
    /// The state that it begins: "had the taint ...". `None` for what is over at once.
    pub lasts: Option<(Aspect, String)>,
    pub ends: Ends,
}

/// Which earlier states of its subject a fact ends, beside that of its own aspect.
#[derive(PartialEq, Eq, Debug)]
pub enum Ends {
    Nothing,
    One(Aspect),
    /// The subject is gone, down or new.
    All,
}

fn once(happened: impl Into<String>) -> Words {
    Words { happened: happened.into(), lasts: None, ends: Ends::Nothing }
}
fn lasting(happened: impl Into<String>, aspect: Aspect, state: impl Into<String>) -> Words {
    Words { happened: happened.into(), lasts: Some((aspect, state.into())), ends: Ends::Nothing }
}
/// The state is called as its beginning is.
fn same(aspect: Aspect, words: String) -> Words {
    lasting(words.clone(), aspect, words)
}
impl Words {
    fn ending(mut self, ends: Ends) -> Words {
        self.ends = ends;
        self
    }
}

/// The words for what happened to `subject`.
pub fn words(record: &Record, subject: &Subject, what: &What) -> Words {
    match what {
        What::FaultInjected { fault, description } => {
            lasting(format!("a fault began: {description}"), Aspect::Fault(*fault), format!("a fault was under way: {description}"))
        }
        What::FaultEnded { fault, description } => once(format!("a fault ended: {description}")).ending(Ends::One(Aspect::Fault(*fault))),
        What::StepDone { description, .. } => once(format!("a step was done: {description}")),
        What::StepFailed { error, .. } => once(format!("a step failed: {error}")),

        What::Started => lasting("started", Aspect::Process, "was up").ending(Ends::All),
        What::Stopped => lasting("stopped", Aspect::Process, "was down").ending(Ends::All),
        What::Silent { of, since } if of == subject => once(format!("had not been heard of for {}", span(*since))),
        What::Silent { of, since } => once(format!("had not heard from {} for {}", who(record, of), span(*since))),

        What::RefusedToStart { reason } => once(format!("refused to start: {reason}")),
        What::BecameFollower { term } => lasting(format!("became a follower in term {term}"), Aspect::Role, "was a follower"),
        What::BecameCandidate { term } => lasting(format!("became a candidate in term {term}"), Aspect::Role, "was a candidate"),
        What::BecameLeader { term } => {
            lasting(format!("became the leader in term {term}"), Aspect::Role, format!("was the leader in term {term}"))
        }
        What::Committed { revision, by, .. } => once(format!("committed revision {revision}, first applied by {by}")),
        What::Membership { .. } => once(format!("saw the membership change: {what}")),
        What::LeftCluster => once("learned that it was removed, and ended"),
        What::Compacted { revision } => once(format!("compacted its history to revision {revision}")),
        What::Leading => lasting("became the leader", Aspect::Role, "was the leader"),
        What::StoppedLeading => lasting("gave up the lead", Aspect::Role, "had given up the lead"),

        What::Created { .. } => lasting("was created", Aspect::Existence, "existed").ending(Ends::All),
        What::Changed { text, .. } => changed(text),
        What::DeletionMarked { grace_seconds, .. } => {
            lasting(format!("was marked for deletion, with {grace_seconds} s of grace"), Aspect::Deletion, "was being deleted")
        }
        What::Removed { .. } => lasting("was removed for good", Aspect::Existence, "was gone").ending(Ends::All),
        What::PodBound { node, .. } => {
            lasting(format!("was bound to {node}"), Aspect::Place, format!("was bound to {node}")).ending(Ends::One(Aspect::Scheduling))
        }
        What::PodPhase { phase, reason, .. } => {
            let phase = with_reason(phase.name(), reason);
            lasting(format!("became {phase}"), Aspect::Phase, format!("was {phase}"))
        }
        What::PodReady { ready: true, .. } => lasting("became ready", Aspect::Readiness, "was ready"),
        What::PodReady { reason, .. } => {
            lasting(with_reason("was no longer ready", reason), Aspect::Readiness, with_reason("was not ready", reason))
        }
        What::NodeReady { status, reason, .. } => {
            let state = match &**status {
                "True" => "Ready".to_owned(),
                "False" => "not Ready".to_owned(),
                other => format!("Ready={other}"),
            };
            let state = with_reason(&state, reason);
            lasting(format!("became {state}"), Aspect::Readiness, format!("was {state}"))
        }
        What::Tainted { taint, .. } => {
            lasting(format!("got the taint {taint}"), Aspect::Taint(taint.clone()), format!("had the taint {taint}"))
        }
        What::Untainted { taint, .. } => once(format!("lost the taint {taint}")).ending(Ends::One(Aspect::Taint(taint.clone()))),
        What::Endpoints { ready, total, .. } => same(Aspect::Counts, format!("had {ready} of {total} endpoints ready")),
        What::Replicas { wanted, current, ready, available, .. } => {
            let mut words = format!("had {available} of {wanted} wanted pods available");
            if current != wanted {
                words.push_str(&format!(", {current} in all"));
            }
            if ready != available {
                words.push_str(&format!(", {ready} ready"));
            }
            same(Aspect::Counts, words)
        }

        What::Unschedulable { message } => same(Aspect::Scheduling, format!("could not be scheduled: {message}")),

        What::Considered { nodes, feasible, .. } => {
            once(format!("was looked at by the scheduler: {feasible} of {nodes} nodes would take it"))
        }
        What::Nominated { node, victims } => {
            let names: Vec<&str> = victims.iter().map(Key::name).collect();
            lasting(
                format!("was nominated to {node}, where it displaces {}", names.join(", ")),
                Aspect::Scheduling,
                format!("waited for room on {node}"),
            )
        }

        What::Pulled { image } => once(format!("had its image {image} pulled")).ending(Ends::One(Aspect::Image(image.clone()))),
        What::PullFailed { image, error } => {
            same(Aspect::Image(image.clone()), format!("could not have its image {image} pulled: {error}"))
        }
        What::ContainerStarted { container, attempt } => {
            let again = if *attempt == 0 { String::new() } else { format!(" again (restart {attempt})") };
            lasting(
                format!("had its container {container} started{again}"),
                Aspect::Container(container.clone()),
                format!("had its container {container} running{again}"),
            )
        }
        What::ContainerExited { container, code } => lasting(
            format!("had its container {container} exit with code {code}"),
            Aspect::Container(container.clone()),
            format!("had its container {container} exited with code {code}"),
        ),
        What::ProbeFailed { container, probe } => once(format!("failed the {probe} probe of its container {container}")),

        What::Decided { text } => once(format!("met a decision: {text}")),

        What::EtcdOperations { sent, ok, .. } => once(format!("began {sent} operations, of which {ok} were answered")),
        What::Traffic { sent, ok, .. } => once(format!("sent {sent} requests, of which {ok} succeeded")),
    }
}

/// The observer's free texts (`engine::observer`).
fn changed(text: &str) -> Words {
    match text {
        "cordoned" => lasting("was cordoned", Aspect::Cordon, "was cordoned"),
        "uncordoned" => once("was uncordoned").ending(Ends::One(Aspect::Cordon)),
        "template changed" => once("got a new pod template"),
        text if text.starts_with("scaled to ") => once(format!("was {text}")),
        text => match text.strip_prefix("progress: ") {
            Some(reason) => once(format!("reported its progress: {reason}")),
            None => once(format!("changed: {text}")),
        },
    }
}

fn with_reason(words: &str, reason: &str) -> String {
    if reason.is_empty() { words.to_owned() } else { format!("{words} ({reason})") }
}

/// Faults and steps are no doings of their subject: they are told without one.
pub fn impersonal(what: &What) -> bool {
    matches!(what, What::FaultInjected { .. } | What::FaultEnded { .. } | What::StepDone { .. } | What::StepFailed { .. })
}

/// A fact as a reason, to follow "because": "worker-3 had the taint ... since 49.1 s", "of a fault: power loss of worker-3, at 120.0 s".
pub fn reason(record: &Record, entry: &Entry) -> String {
    let at = tenths(entry.at.since(record.scenario.start));
    let Words { happened, lasts, .. } = words(record, &entry.fact.subject, &entry.fact.what);
    match &entry.fact.what {
        What::FaultInjected { description, .. } => format!("of a fault: {description}, at {at} s"),
        What::FaultEnded { description, .. } => format!("of the end of a fault: {description}, at {at} s"),
        What::StepDone { description, .. } => format!("of a step: {description}, at {at} s"),
        what if impersonal(what) => format!("{happened}, at {at} s"),
        // That it was created says more than that it existed.
        What::Created { .. } => format!("{} {happened} at {at} s", who(record, &entry.fact.subject)),
        _ => match lasts {
            Some((_, state)) => format!("{} {state} since {at} s", who(record, &entry.fact.subject)),
            None => format!("{} {happened} at {at} s", who(record, &entry.fact.subject)),
        },
    }
}

/// A subject by name: pods and nodes by theirs alone, others with their kind.
pub fn who(record: &Record, subject: &Subject) -> String {
    match subject {
        Subject::Object(key) => object(key),
        Subject::Actor(Address::Kubelet(node)) => match record.scenario.nodes.get(node.0 as usize) {
            Some(info) => format!("the kubelet of {}", info.name),
            None => Address::Kubelet(*node).to_string(),
        },
        Subject::Actor(address) => address.to_string(),
        Subject::Place(name) => name.to_string(),
        Subject::Run => "the run".to_owned(),
    }
}

/// `web-1`, `shop/web-1`, `worker-3`, `Deployment web`.
pub fn object(key: &Key) -> String {
    let name = match key.namespace() {
        "" | "default" => key.name().to_owned(),
        namespace => format!("{namespace}/{}", key.name()),
    };
    if matches!(key.kind(), Kind::Pod | Kind::Node) { name } else { format!("{} {name}", key.kind()) }
}

/// `54.6 s`, cut.
fn span(duration: Duration) -> String {
    format!("{} s", tenths(duration))
}
/// Seconds cut to tenths.
pub fn tenths(duration: Duration) -> String {
    let tenths = duration.nanos() / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
/// Seconds cut to thousandths.
pub fn thousandths(duration: Duration) -> String {
    let millis = duration.nanos() / 1_000_000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}
