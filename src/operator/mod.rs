//! Floor 4: the operator: what a person does with kubectl, as the scenario's steps say: apply, delete, scale, set image, cordon, drain
//! (kubernetes/kubectl `pkg/cmd`).
//!
//! Each step is a task of its own that runs until it is done, beside the others; what fails for want of an API server is tried again each
//! second, as a person would. Drain evicts in parallel, tries again every 5 s where a budget forbids it, and asks each second whether the
//! pods are gone; it leaves pods of DaemonSets and mirror pods alone. Pods without a controller are evicted too (`--force`).

pub mod etcdctl;

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::base::{Cause, Duration, Name, Stream, Time};
use crate::client::{Reply, Session, SessionConfig, SessionOutput};
use crate::objects::{Key, Kind, Meta, Object, Stored};
use crate::wire::api::{DeleteOptions, Part, Patch, Reason, Scope, Verb};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Actor, Address, ApiError, ClientMessage, Input, Outbox};

/// What is done at an instant.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Time,
    /// `scale deployment/web to 5`
    pub description: Name,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    Apply(Vec<Arc<Object>>),
    Delete {
        key: Key,
        grace_seconds: Option<u64>,
    },
    Scale {
        key: Key,
        replicas: u64,
    },
    SetImage {
        key: Key,
        container: Name,
        image: Name,
    },
    Cordon {
        node: Name,
    },
    Uncordon {
        node: Name,
    },
    /// `timeout`: when it gives up; `None`: never.
    Drain {
        node: Name,
        timeout: Option<Duration>,
    },
}

/// kubectl's pause between tries to evict a pod that a budget protects.
const EVICTION_RETRY: Duration = Duration::from_secs(5);
/// kubectl's pause between looks whether drained pods are gone; also our pause before a failed request is tried again.
const POLL: Duration = Duration::from_secs(1);

/// Where a task stands.
#[derive(Clone, Debug, PartialEq)]
enum Stage {
    /// Applies this object of the list: read it, then create or update it.
    Apply {
        nth: usize,
    },
    /// The one request of a simple action.
    Simple,
    /// Cordon first, then list, then evict.
    DrainCordon,
    DrainList,
    DrainEvict {
        left: Vec<Key>,
    },
    Finished,
}

struct Task {
    /// `None`: the workload at the start.
    step: Option<u32>,
    action: Action,
    description: Name,
    stage: Stage,
    cause: Cause,
    /// When it goes on; `NEVER` while it waits for answers.
    next: Time,
    waiting: usize,
    /// Apply: the read is answered and the write is on its way.
    written: bool,
    /// Drain: when it gives up.
    gives_up: Time,
    /// Drain: pods that a budget protected once; told once.
    protected: BTreeSet<Key>,
}

impl Task {
    fn new(step: Option<u32>, action: Action, description: Name, at: Time) -> Task {
        let stage = match &action {
            Action::Apply(_) => Stage::Apply { nth: 0 },
            Action::Drain { .. } => Stage::DrainCordon,
            _ => Stage::Simple,
        };
        let gives_up = match &action {
            Action::Drain { timeout: Some(timeout), .. } => at + *timeout,
            _ => Time::NEVER,
        };
        let (cause, protected) = (Cause::NONE, BTreeSet::new());
        Task { step, action, description, stage, cause, next: at, waiting: 0, written: false, gives_up, protected }
    }
}

/// What an answer is to.
#[derive(Clone, Debug)]
enum Token {
    Task(usize),
    /// Eviction of a pod by a drain.
    Evict(usize, Key),
}

/// See the module.
pub struct Operator {
    session: Session<Token>,
    tasks: Vec<Task>,
    outputs: Vec<SessionOutput<Token>>,
}

impl Operator {
    /// `workload` is applied at the start, `steps` at their times.
    pub fn new(server: Address, workload: Vec<Arc<Object>>, steps: Vec<Step>, start: Time, stream: Stream) -> Operator {
        let config = SessionConfig { server, limits: vec![(0, 0)], timeout: Duration::from_secs(60), reflect: Vec::new() };
        let mut tasks = Vec::new();
        if !workload.is_empty() {
            tasks.push(Task::new(None, Action::Apply(workload), "apply the workload".into(), start));
        }
        for (number, step) in steps.into_iter().enumerate() {
            tasks.push(Task::new(Some(number as u32), step.action, step.description, step.at));
        }
        Operator { session: Session::new(config, stream), tasks, outputs: Vec::new() }
    }

    fn run_due(&mut self, now: Time, out: &mut Outbox) {
        for number in 0..self.tasks.len() {
            if self.tasks[number].next <= now {
                self.go_on(now, number, out);
            }
        }
    }

    /// Sends what the task's stage asks for.
    fn go_on(&mut self, now: Time, number: usize, out: &mut Outbox) {
        let task = &mut self.tasks[number];
        task.next = Time::NEVER;
        out.because(task.cause);
        if now >= task.gives_up && matches!(task.stage, Stage::DrainList | Stage::DrainEvict { .. }) {
            let Action::Drain { timeout: Some(timeout), .. } = &task.action else { unreachable!("only a drain gives up") };
            let left = match &task.stage {
                Stage::DrainEvict { left } => left.iter().map(Key::name).collect::<Vec<_>>().join(", "),
                _ => "pods that take their time to end".to_owned(),
            };
            let error = ApiError::new(Reason::Timeout, format!("{left}: global timeout reached: {timeout}"));
            return self.fail(number, &error, out);
        }
        let verbs: Vec<(Verb, Token)> = match (&task.stage, &task.action) {
            (Stage::Apply { nth }, Action::Apply(objects)) => match objects.get(*nth) {
                Some(object) => vec![(Verb::Get { key: object.key(), fresh: true }, Token::Task(number))],
                None => Vec::new(),
            },
            (Stage::Simple, Action::Delete { key, grace_seconds }) => {
                let options = DeleteOptions { grace_period_seconds: *grace_seconds, ..DeleteOptions::default() };
                vec![(Verb::Delete { key: key.clone(), options }, Token::Task(number))]
            }
            (Stage::Simple, action) => match patch(action) {
                Some((key, patch)) => vec![(Verb::Patch { key, patch, part: Part::Main }, Token::Task(number))],
                None => Vec::new(),
            },
            (Stage::DrainCordon, Action::Drain { node, .. }) => {
                let (key, patch) = cordon(node, true);
                vec![(Verb::Patch { key, patch, part: Part::Main }, Token::Task(number))]
            }
            (Stage::DrainList, Action::Drain { node, .. }) => {
                vec![(Verb::List { kind: Kind::Pod, scope: Scope::on_node(node), fresh: true }, Token::Task(number))]
            }
            (Stage::DrainEvict { left }, _) => left
                .iter()
                .map(|pod| (Verb::Evict { pod: pod.clone(), options: DeleteOptions::default() }, Token::Evict(number, pod.clone())))
                .collect(),
            _ => Vec::new(),
        };
        if verbs.is_empty() {
            self.finish(number, out);
            return;
        }
        self.tasks[number].waiting = verbs.len();
        for (verb, token) in verbs {
            self.session.send(now, 0, verb, token, out);
        }
    }

    fn answered(&mut self, now: Time, token: Token, result: Result<Reply, ApiError>, out: &mut Outbox) {
        let (Token::Task(number) | Token::Evict(number, _)) = token;
        let task = &mut self.tasks[number];
        task.waiting -= 1;
        out.because(task.cause);
        if let Token::Evict(_, pod) = token {
            self.evicted(now, number, pod, &result, out);
            return;
        }
        if let Err(error) = &result
            && is_passing(error)
        {
            // Whether a lost write has landed is for the next read to tell.
            task.written = false;
            task.next = now + POLL;
            return;
        }
        match (&task.stage, &task.action, result) {
            (Stage::Apply { nth }, Action::Apply(objects), result) => {
                let object = &objects[*nth];
                let verb = match result {
                    // The read found it, or found that it isn't there.
                    Ok(Reply::Object(live)) if live.key == object.key() && !task.written => match updated(object, &live) {
                        Some(verb) => verb,
                        None => return self.next_object(now, number, out),
                    },
                    Err(error) if error.reason == Reason::NotFound && !task.written => Verb::Create { object: object.clone() },
                    // The write is done, or the object has changed in between: read it again.
                    Ok(_) => return self.next_object(now, number, out),
                    Err(error) if matches!(error.reason, Reason::Conflict | Reason::AlreadyExists) => {
                        task.written = false;
                        task.next = now;
                        return;
                    }
                    Err(error) => return self.fail(number, &error, out),
                };
                task.written = true;
                task.waiting += 1;
                self.session.send(now, 0, verb, Token::Task(number), out);
            }
            (Stage::DrainCordon, _, Ok(_)) => {
                task.stage = Stage::DrainList;
                self.go_on(now, number, out);
            }
            (Stage::DrainList, _, Ok(Reply::List { items, .. })) => {
                let concerned = || items.iter().filter(|pod| is_drained(pod));
                let is_deleting = |pod: &&Stored| pod.object.meta().is_deleting();
                let left: Vec<Key> = concerned().filter(|pod| !is_deleting(pod)).map(|pod| pod.key.clone()).collect();
                let terminating = concerned().any(|pod| is_deleting(&pod));
                if left.is_empty() && !terminating {
                    self.finish(number, out);
                } else if left.is_empty() {
                    task.next = now + POLL;
                } else {
                    task.stage = Stage::DrainEvict { left };
                    self.go_on(now, number, out);
                }
            }
            (_, _, Ok(_)) => self.finish(number, out),
            (_, _, Err(error)) => self.fail(number, &error, out),
        }
    }

    /// A pod was evicted, or must wait.
    fn evicted(&mut self, now: Time, number: usize, pod: Key, result: &Result<Reply, ApiError>, out: &mut Outbox) {
        let task = &mut self.tasks[number];
        if task.stage == Stage::Finished {
            return;
        }
        let again = match result {
            Ok(_) => false,
            // It is gone already.
            Err(error) if error.reason == Reason::NotFound => false,
            Err(error) if error.reason == Reason::TooManyRequests => {
                if task.protected.insert(pod.clone()) {
                    let text = format!("{}: eviction of {} must wait: {error}", task.description, pod.name());
                    let what = What::Decided { text: text.into() };
                    out.record(Fact { subject: Subject::Object(pod.clone()), what });
                }
                true
            }
            Err(error) if is_passing(error) && !error.message.contains("more than one PodDisruptionBudget") => true,
            // kubectl ends with the first other error.
            Err(error) => return self.fail(number, &ApiError::new(error.reason, format!("{}: {error}", pod.name())), out),
        };
        if let Stage::DrainEvict { left } = &mut task.stage {
            if !again {
                left.retain(|key| *key != pod);
            }
            if task.waiting == 0 {
                let wait = if left.is_empty() { POLL } else { EVICTION_RETRY };
                if left.is_empty() {
                    task.stage = Stage::DrainList;
                }
                task.next = (now + wait).min(task.gives_up.max(now));
            }
        }
    }

    fn next_object(&mut self, now: Time, number: usize, out: &mut Outbox) {
        let task = &mut self.tasks[number];
        task.written = false;
        if let Stage::Apply { nth } = &mut task.stage {
            *nth += 1;
        }
        self.go_on(now, number, out);
    }

    fn finish(&mut self, number: usize, out: &mut Outbox) {
        let task = &mut self.tasks[number];
        task.stage = Stage::Finished;
        task.next = Time::NEVER;
        if let Some(step) = task.step {
            let what = What::StepDone { step, description: task.description.clone() };
            out.record(Fact { subject: Subject::Actor(Address::Operator), what });
        }
    }

    fn fail(&mut self, number: usize, error: &ApiError, out: &mut Outbox) {
        let task = &mut self.tasks[number];
        let step = task.step.unwrap_or(u32::MAX);
        let text = format!("{}: {error}", task.description);
        out.record(Fact { subject: Subject::Actor(Address::Operator), what: What::StepFailed { step, error: text.into() } });
        // The rest of the workload is applied all the same, as kubectl does.
        if let Stage::Apply { nth } = &mut task.stage {
            *nth += 1;
            task.written = false;
            task.next = Time::ZERO;
        } else {
            task.stage = Stage::Finished;
            task.next = Time::NEVER;
        }
    }
}

impl Actor for Operator {
    type Message = ClientMessage;

    fn step(&mut self, now: Time, input: Input<ClientMessage>, out: &mut Outbox) {
        let mut outputs = std::mem::take(&mut self.outputs);
        self.session.step(now, input, out, &mut outputs);
        for output in outputs.drain(..) {
            if let SessionOutput::Answer { token, result, .. } = output {
                self.answered(now, token, result, out);
            }
        }
        self.outputs = outputs;
        self.run_due(now, out);
    }

    fn deadline(&self) -> Time {
        // A scenario has a few tasks.
        self.tasks.iter().map(|task| task.next).min().unwrap_or(Time::NEVER).min(self.session.deadline())
    }
}

/// Worth trying again as it is: nobody said no.
fn is_passing(error: &ApiError) -> bool {
    matches!(error.reason, Reason::ConnectionLost | Reason::Timeout | Reason::ServiceUnavailable | Reason::InternalError)
}

/// The update that makes `live` what the manifest says; `None` if it is already. What the manifest leaves to others (status, replicas
/// that are not given) stays.
fn updated(wanted: &Arc<Object>, live: &Stored) -> Option<Verb> {
    let mut object = (**wanted).clone();
    let live_meta = live.object.meta();
    let meta = object.meta_mut();
    *meta = Meta { labels: meta.labels.clone(), annotations: meta.annotations.clone(), ..live_meta.clone() };
    if is_annotated_by_controllers(live.key.kind()) {
        let wanted = std::mem::take(&mut object.meta_mut().annotations);
        object.meta_mut().annotations = live_meta.annotations.clone();
        object
            .meta_mut()
            .annotations
            .update(|annotations| annotations.extend(wanted.iter().map(|(key, value)| (key.clone(), value.clone()))));
    }
    match (&mut object, &*live.object) {
        (Object::Deployment(new), Object::Deployment(old)) => {
            new.spec.replicas = new.spec.replicas.or(old.spec.replicas);
            new.status = old.status.clone();
        }
        (Object::ReplicaSet(new), Object::ReplicaSet(old)) => {
            new.spec.replicas = new.spec.replicas.or(old.spec.replicas);
            new.status = old.status.clone();
        }
        (Object::Service(new), Object::Service(old)) => {
            new.spec.cluster_ip = old.spec.cluster_ip.clone();
            new.status = old.status.clone();
        }
        (Object::Namespace(new), Object::Namespace(old)) => {
            new.spec = old.spec.clone();
            new.status = old.status.clone();
        }
        (Object::Node(new), Object::Node(old)) => new.status = old.status.clone(),
        (Object::PodDisruptionBudget(new), Object::PodDisruptionBudget(old)) => new.status = old.status.clone(),
        (Object::PersistentVolume(new), Object::PersistentVolume(old)) => {
            new.spec.claim_ref = new.spec.claim_ref.take().or_else(|| old.spec.claim_ref.clone());
            new.status = old.status.clone();
        }
        (Object::PersistentVolumeClaim(new), Object::PersistentVolumeClaim(old)) => {
            if new.spec.volume_name.is_empty() {
                new.spec.volume_name.clone_from(&old.spec.volume_name);
            }
            new.spec.storage_class_name = new.spec.storage_class_name.take().or_else(|| old.spec.storage_class_name.clone());
            new.status = old.status.clone();
        }
        (Object::Pod(new), Object::Pod(old)) => {
            new.node = old.node.clone();
            new.status = old.status.clone();
        }
        _ => {}
    }
    (object != *live.object).then(|| Verb::Update { object: Arc::new(object), part: Part::Main, revision: Some(live.revision) })
}

/// Annotations of claims and volumes are part of their binding: an apply leaves alone what it does not name.
fn is_annotated_by_controllers(kind: Kind) -> bool {
    matches!(kind, Kind::PersistentVolume | Kind::PersistentVolumeClaim)
}

/// The patch of a simple action.
fn patch(action: &Action) -> Option<(Key, Patch)> {
    match action {
        Action::Scale { key, replicas } => Some((key.clone(), Patch::Merge(serde_json::json!({"spec": {"replicas": replicas}})))),
        Action::SetImage { key, container, image } => {
            let containers = serde_json::json!([{"name": container, "image": image}]);
            let spec = serde_json::json!({"containers": containers});
            let body = match key.kind() {
                Kind::Pod => serde_json::json!({"spec": spec}),
                _ => serde_json::json!({"spec": {"template": {"spec": spec}}}),
            };
            Some((key.clone(), Patch::Strategic(body)))
        }
        Action::Cordon { node } => Some(cordon(node, true)),
        Action::Uncordon { node } => Some(cordon(node, false)),
        Action::Apply(_) | Action::Delete { .. } | Action::Drain { .. } => None,
    }
}

fn cordon(node: &str, unschedulable: bool) -> (Key, Patch) {
    (Key::node(node), Patch::Merge(serde_json::json!({"spec": {"unschedulable": unschedulable}})))
}

/// Pods that a drain is about: not a DaemonSet's (`--ignore-daemonsets`), and not mirrors of a kubelet's static pods.
fn is_drained(stored: &Stored) -> bool {
    let Some(pod) = stored.object.as_pod() else { return false };
    let is_mirror = pod.meta.annotation("kubernetes.io/config.mirror").is_some();
    !is_mirror && pod.meta.controller().is_none_or(|owner| owner.kind != "DaemonSet")
}
