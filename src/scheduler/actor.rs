//! The scheduler's process: reflectors feed the snapshot and the queue; one scheduling cycle at a time decides; binding cycles run beside
//! it (upstream `schedule_one.go`, `eventhandlers.go`).
//!
//! A replica that does not lead keeps its caches warm and schedules nothing. One that loses its lead starts over as an empty candidate, as
//! a process that exits and is started again at once.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::decide::{Decision, Failure, Nominated, Sampling, decide};
use super::explain::explain;
use super::plugins::PluginId;
use super::pods::PodInfo;
use super::profile::{Profile, Profiles};
use super::queue::{ClusterEvent, Delays, QueuedPod, SchedulingQueue};
use super::snapshot::Snapshot;
use super::{Config, Explained};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Map, Name, Stream, Time};
use crate::client::{Change, Informers, LeaderConfig, LeaderElector, Leadership, Reply, Session, SessionConfig, SessionOutput};
use crate::objects::{Condition, Conditions, Key, Kind, Node, Object, Pod, Stored, Uid};
use crate::wire::api::{Part, Patch, Scope, Verb};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Actor, Address, ApiError, ClientMessage, Input, Outbox, Replica, Work, WorkId};

/// What the caches hold. PriorityClasses matter at admission only, which resolves `spec.priority`.
const REFLECTED: [Kind; 6] = [Kind::Namespace, Kind::Node, Kind::Service, Kind::ReplicaSet, Kind::PodDisruptionBudget, Kind::Pod];

/// The scheduler's client, limited by `client_qps_milli`.
const CLIENT: usize = 0;
/// Leader election has a client of its own, so that a burst of bindings cannot cost the lead.
const ELECTION_CLIENT: usize = 1;

/// What a request was for.
#[derive(Debug)]
enum Token {
    Elect,
    Bind(Key),
    Condition,
    Victim(evicting::Eviction),
    /// A write of the volumes of a pod, which may have had a namesake.
    Volumes(Key, Uid),
}

/// See the module.
pub struct Scheduler {
    config: Config,
    replica: Replica,
    server: Address,
    /// How often the lead was lost in this life of the process.
    losses: u32,
    incarnation: Incarnation,
    session: Session<Token>,
    elector: LeaderElector,
    election: Stream,
    profiles: Profiles,
    snapshot: Snapshot,
    queue: SchedulingQueue,
    sampling: Sampling,
    ties: Stream,
    /// The pod whose scheduling cycle runs; `None` inside if it went meanwhile.
    cycle: Option<(WorkId, Option<QueuedPod>)>,
    /// Assumed pods: decided, and not yet seen as bound.
    assumed: Map<Key, QueuedPod>,
    /// By the preemptor.
    evicting: Map<Key, evicting::Evicting>,
    /// Assumed pods whose volumes are being bound.
    volumes: BTreeMap<Key, binding::VolumesBinding>,
    outputs: Vec<SessionOutput<Token>>,
    booted: bool,
}

impl Scheduler {
    /// `server`: the balancer, or one API server. The streams are for the session's and the election's jitter, and for the choice among
    /// nodes of equal score.
    pub fn new(config: Config, replica: Replica, server: Address, session: Stream, mut election: Stream, ties: Stream) -> Scheduler {
        let of_volumes = Kind::of_volumes().iter().copied().filter(|_| config.volumes);
        let reflected = REFLECTED.into_iter().chain(of_volumes);
        let session_config = SessionConfig {
            server,
            limits: vec![(config.client_qps_milli, config.client_burst), (0, 0)],
            timeout: Duration::ZERO,
            reflect: reflected.map(|kind| (kind, Scope::all())).collect(),
        };
        Scheduler {
            queue: SchedulingQueue::new(delays(&config), Time::ZERO),
            sampling: Sampling { percentage: config.percentage_of_nodes_to_score, next: 0 },
            replica,
            server,
            losses: 0,
            incarnation: Incarnation::default(),
            session: Session::new(session_config, session),
            elector: elector(&config, identity(replica, Incarnation::default(), 0), &mut election),
            election,
            profiles: Profiles::new(&config.profiles).with_policy(config.policy.as_deref()),
            snapshot: Snapshot::default(),
            ties,
            cycle: None,
            assumed: Map::default(),
            evicting: Map::default(),
            volumes: BTreeMap::new(),
            outputs: Vec::new(),
            booted: false,
            config,
        }
    }
    /// How many pods wait for a node, gated ones included.
    pub fn waiting(&self) -> usize {
        self.queue.len()
    }
    /// What it would decide on.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
    /// What it believes of the API, for checks.
    pub fn informers(&self) -> Informers<'_> {
        self.session.informers()
    }
    pub fn is_leading(&self) -> bool {
        self.booted && self.elector.is_leading()
    }
}

/// Another for each life, and for each time that the lead was lost in it: who holds the lease under this name has it.
fn identity(replica: Replica, incarnation: Incarnation, losses: u32) -> Name {
    Name::from(format!("scheduler-{}_{incarnation}.{losses}", replica.0))
}

/// Whose identity this is.
fn holder_of(identity: &str) -> Option<Address> {
    let (number, _) = identity.strip_prefix("scheduler-")?.split_once('_')?;
    number.parse().ok().map(|number| Address::Scheduler(Replica(number)))
}

fn elector(config: &Config, identity: Name, stream: &mut Stream) -> LeaderElector {
    let lease = Key::new(Kind::Lease, "kube-system", "kube-scheduler");
    // A stream of its own each time: a candidate that starts over must not repeat its jitter.
    let own = Seed(stream.next_u64()).stream("scheduler election");
    LeaderElector::new(LeaderConfig { lease, identity, timings: config.leader }, own)
}

fn delays(config: &Config) -> Delays {
    Delays { initial_backoff: config.pod_initial_backoff, max_backoff: config.pod_max_backoff, pop_from_backoff: true }
}

impl Actor for Scheduler {
    type Message = ClientMessage;

    fn step(&mut self, now: Time, input: Input<ClientMessage>, out: &mut Outbox) {
        let cause = out.cause();
        if let Input::Boot(boot) = input {
            self.incarnation = boot.incarnation;
            self.start(now, out);
        } else {
            match self.session.handle(now, input, out, &mut self.outputs) {
                Some(Input::Wake) => self.wake(now, out),
                Some(Input::Done(work)) => self.finish_cycle(now, work, out),
                _ => {}
            }
        }
        for output in std::mem::take(&mut self.outputs) {
            match output {
                SessionOutput::Change(change) => self.changed(now, &change),
                SessionOutput::Answer { token, cause, result } => self.answered(now, token, cause, result, out),
                SessionOutput::Synced => {}
            }
        }
        out.because(cause);
        if self.booted
            && let Some(verb) = self.elector.poll(now)
        {
            let timeout = self.config.leader.request_timeout();
            self.session.send_within(now, ELECTION_CLIENT, verb, timeout, Token::Elect, out);
        }
        self.begin_cycle(out);
    }

    fn deadline(&self) -> Time {
        if !self.booted {
            return Time::NEVER;
        }
        self.session.deadline().min(self.elector.deadline()).min(self.queue.deadline()).min(self.volumes_deadline())
    }
}

impl Scheduler {
    fn start(&mut self, now: Time, out: &mut Outbox) {
        self.booted = true;
        self.elector = elector(&self.config, identity(self.replica, self.incarnation, self.losses), &mut self.election);
        self.snapshot = Snapshot::default();
        self.queue = SchedulingQueue::new(delays(&self.config), now);
        self.sampling.next = 0;
        self.cycle = None;
        self.assumed.clear();
        self.evicting.clear();
        self.volumes.clear();
        self.session.start(now, out);
    }

    fn wake(&mut self, now: Time, out: &mut Outbox) {
        self.session.wake(now, out, &mut self.outputs);
        self.queue.wake(now);
        self.check_volumes(now, out);
        if let Some(leadership) = self.elector.wake(now) {
            self.lead(now, leadership, out);
        }
    }

    fn lead(&mut self, now: Time, leadership: Leadership, out: &mut Outbox) {
        let subject = Subject::Actor(Address::Scheduler(self.replica));
        match leadership {
            Leadership::Gained => {
                if let Some((holder, since)) = self.elector.silent_holder()
                    && let Some(of) = holder_of(&holder)
                {
                    out.record(Fact { subject: subject.clone(), what: What::Silent { of: Subject::Actor(of), since } });
                }
                out.record(Fact { subject, what: What::Leading });
            }
            Leadership::Lost => {
                let silent = What::Silent { of: Subject::Actor(self.server), since: self.elector.since_renewal(now) };
                out.record(Fact { subject: subject.clone(), what: silent });
                out.record(Fact { subject, what: What::StoppedLeading });
            }
        }
        if leadership == Leadership::Lost {
            self.losses += 1;
            self.session.stop(out);
            self.outputs.clear();
            self.start(now, out);
        }
    }

    /// Begins the next scheduling cycle, if none runs and a pod waits.
    fn begin_cycle(&mut self, out: &mut Outbox) {
        if self.cycle.is_some() || !self.booted || !self.session.is_synced() || !self.elector.is_leading() {
            return;
        }
        // A pod that is being deleted is dropped when its turn comes.
        let Some(queued) = std::iter::from_fn(|| self.queue.pop()).find(|queued| !queued.info.pod().meta.is_deleting()) else { return };
        out.because(queued.cause);
        let percentage = self.profiles.of(queued.info.spec()).and_then(Profile::percentage_of_nodes_to_score);
        self.sampling.percentage = percentage.unwrap_or(self.config.percentage_of_nodes_to_score);
        let nodes = self.sampling.enough(self.snapshot.nodes().len()) as u32;
        self.cycle = Some((out.compute(Work::SchedulingCycle { nodes }), Some(queued)));
    }

    /// The cycle's time is over: decide on what is known now.
    fn finish_cycle(&mut self, now: Time, work: WorkId, out: &mut Outbox) {
        if self.cycle.as_ref().is_none_or(|(running, _)| *running != work) {
            // Of a life before the lead was lost.
            return;
        }
        let Some((_, Some(queued))) = self.cycle.take() else { return };
        out.because(queued.cause);
        self.consider(&queued.info, out);
        let profile = self.profiles.of(queued.info.spec()).expect("only pods of a profile are queued");
        match decide(profile, &queued.info, &self.snapshot, &mut self.sampling, &mut self.ties) {
            Decision::Node(slot) => {
                let node = self.snapshot.nodes().info(slot).name.clone();
                let volumes = self.snapshot.reserve(profile, &queued.info, slot);
                let may_take = profile.volume_bind_timeout();
                self.snapshot.place(queued.info.clone(), &node);
                let key = queued.info.key.clone();
                if volumes.is_empty() {
                    let uid = queued.info.pod().meta.uid.clone();
                    self.session.send(now, CLIENT, Verb::Bind { pod: key.clone(), uid, node }, Token::Bind(key.clone()), out);
                } else {
                    self.bind_volumes(now, &queued, (node, volumes), may_take, out);
                }
                let before = self.assumed.insert(key, queued);
                assert!(before.is_none(), "{} was assumed twice", before.expect("just checked").info.key);
            }
            Decision::Unschedulable(failure) => self.unschedulable(now, queued, failure, out),
        }
    }

    /// Tells how the nodes look to a pod, if somebody has asked for it.
    fn consider(&self, info: &PodInfo, out: &mut Outbox) {
        /// So many of the best nodes are told.
        const BEST: usize = 5;
        let asked =
            |explained: &Explained| explained.namespace == *info.namespace() && info.key.name().starts_with(explained.prefix.as_str());
        let (true, Some(profile)) = (self.config.explained.as_ref().is_some_and(asked), self.profiles.of(info.spec())) else { return };
        // A stream of its own: what is told must not change what is drawn.
        let explained = explain(profile, info, &self.snapshot, &mut Seed(0).stream("explained"));
        let mut reasons: BTreeMap<(PluginId, Name), u32> = BTreeMap::new();
        for rejection in explained.rejected_at_once.iter().chain(explained.rejected.values()) {
            for reason in &rejection.reasons {
                *reasons.entry((rejection.plugin, Name::new(reason))).or_insert(0) += 1;
            }
        }
        let mut best: Vec<(Name, Vec<i64>)> = explained.scores.into_iter().collect();
        best.sort_by_key(|(_, row)| Reverse(row.last().copied()));
        best.truncate(BEST);
        if best.is_empty() {
            best = explained.best.into_iter().map(|node| (node, Vec::new())).collect();
        }
        let what = What::Considered {
            nodes: self.snapshot.nodes().len() as u32,
            feasible: explained.feasible as u32,
            rejected: reasons.into_iter().map(|((plugin, reason), nodes)| (Name::from(plugin.to_string()), reason, nodes)).collect(),
            plugins: explained.plugins.iter().map(|plugin| Name::from(plugin.to_string())).collect(),
            best,
        };
        let cause = out.cause();
        out.record(Fact { subject: Subject::Object(info.key.clone()), what });
        // It is told in passing: what follows has the cause that it has in any run.
        out.because(cause);
    }

    fn unschedulable(&mut self, now: Time, mut queued: QueuedPod, failure: Failure, out: &mut Outbox) {
        let Failure { plugins, message, nominated } = failure;
        let subject = Subject::Object(queued.info.key.clone());
        // What moves the pod later, if no event does, is this.
        queued.cause = out.record(Fact { subject, what: What::Unschedulable { message: message.clone() } });
        let info = queued.info.clone();
        let node = match &nominated {
            Nominated::Kept => None,
            Nominated::Cleared => Some(Name::default()),
            Nominated::To(nomination) => Some(nomination.node.clone()),
        };
        match nominated {
            Nominated::Kept => {}
            Nominated::Cleared => {
                self.snapshot.withdraw(&info.key);
            }
            Nominated::To(nomination) => {
                out.because(queued.cause);
                queued.cause = self.preempt(now, &info, nomination, out);
            }
        }
        self.set_condition(now, &info, "Unschedulable", message, node, out);
        self.queue.unschedulable(now, queued, plugins);
    }

    /// `PodScheduled=False` and the nominated node, unless that is what the pod has.
    fn set_condition(
        &mut self,
        now: Time,
        info: &PodInfo,
        reason: &'static str,
        message: Name,
        nominated_node: Option<Name>,
        out: &mut Outbox,
    ) {
        let mut condition = Condition::new("PodScheduled", false, reason, now);
        condition.message = message.to_string().into();
        let present = info.pod().status.conditions.get("PodScheduled");
        let same = |old: &Condition| (old.status, &old.reason, &old.message) == (condition.status, &condition.reason, &condition.message);
        let nominated_node = nominated_node.filter(|node| *node != info.pod().status.nominated_node_name);
        if nominated_node.is_none() && present.is_some_and(same) {
            return;
        }
        let patch = Patch::Condition { condition, nominated_node };
        self.session.send(now, CLIENT, Verb::Patch { key: info.key.clone(), patch, part: Part::Status }, Token::Condition, out);
    }

    fn answered(&mut self, now: Time, token: Token, cause: Cause, result: Result<Reply, ApiError>, out: &mut Outbox) {
        out.because(cause);
        match token {
            Token::Elect => {
                let result = match &result {
                    Ok(Reply::Object(stored)) => Ok(Some(stored)),
                    Ok(_) => Ok(None),
                    Err(error) => Err(error),
                };
                if let Some(leadership) = self.elector.answer(now, result) {
                    self.lead(now, leadership, out);
                }
            }
            Token::Bind(key) => {
                if let Err(error) = result {
                    self.binding_failed(now, &key, &format!("binding rejected: {error}"), cause, out);
                }
            }
            Token::Victim(eviction) => self.victim_answered(now, eviction, &result, out),
            Token::Volumes(key, uid) => self.volumes_answered(now, (&key, &uid), result, cause, out),
            // A pod that is gone or has changed comes again by itself; a lost patch is made again by the next failure.
            Token::Condition => {}
        }
    }

    /// Forgets the assumed pod and tries again later, unless the pod is gone. If the binding took effect all the same, the reflector will
    /// say so and the pod leaves the queue.
    fn binding_failed(&mut self, now: Time, key: &Key, why: &str, cause: Cause, out: &mut Outbox) {
        self.leave_volumes(key);
        let Some(mut queued) = self.assumed.remove(key) else { return };
        self.snapshot.remove_pod(key);
        self.queue.on_event(now, ClusterEvent::PodRemoved(&queued.info), &self.snapshot, &self.profiles, cause);
        let stored = self.session.cache().get(key).map(|stored| stored.object.clone());
        let Some(object) = stored.filter(|object| object.as_pod().is_some_and(is_pending)) else { return };
        let message = Name::new(why);
        let what = What::Decided { text: message.clone() };
        queued.cause = out.record(Fact { subject: Subject::Object(key.clone()), what });
        queued.info = self.snapshot.pod_info(&object);
        self.set_condition(now, &queued.info, "SchedulerError", message, Some(Name::default()), out);
        self.queue.failed(now, queued);
    }

    /// An object came, changed or went.
    fn changed(&mut self, now: Time, change: &Change) {
        match change.kind() {
            Kind::Pod => self.pod_changed(now, change),
            Kind::Node => {
                match &change.new {
                    Some(stored) => self.snapshot.set(&stored.object),
                    None => self.snapshot.remove(change.object()),
                }
                let node = |stored: &'_ Option<Stored>| -> Option<Arc<Object>> { stored.as_ref().map(|stored| stored.object.clone()) };
                let (old, new) = (node(&change.old), node(&change.new));
                let event = match (old.as_ref().and_then(|old| old.as_node()), new.as_ref().and_then(|new| new.as_node())) {
                    (None, Some(new)) => ClusterEvent::NodeAdded(new),
                    (Some(old), Some(new)) if differs(old, new) => ClusterEvent::NodeChanged { old, new },
                    (Some(old), None) => ClusterEvent::NodeRemoved(old),
                    _ => return,
                };
                self.queue.on_event(now, event, &self.snapshot, &self.profiles, change.cause);
            }
            kind => {
                match &change.new {
                    Some(stored) => self.snapshot.set(&stored.object),
                    None => self.snapshot.remove(change.object()),
                }
                if kind.is_of_volumes() {
                    let event = match (&change.old, &change.new) {
                        (None, Some(new)) => ClusterEvent::StorageAdded(&new.object),
                        (Some(old), Some(new)) => ClusterEvent::StorageChanged { old: &old.object, new: &new.object },
                        (_, None) => ClusterEvent::StorageRemoved(change.object()),
                    };
                    self.queue.on_event(now, event, &self.snapshot, &self.profiles, change.cause);
                }
            }
        }
    }

    fn pod_changed(&mut self, now: Time, change: &Change) {
        let key = &change.key;
        let was_bound = change.old.as_ref().and_then(|old| old.object.as_pod()).is_some_and(counts);
        let Some(stored) = change.new.as_ref() else { return self.pod_gone(now, change, was_bound) };
        if change.old.as_ref().is_some_and(|old| old.object.meta().uid != stored.object.meta().uid) {
            // A list showed a pod in the place of another of this name, whose end was missed.
            self.pod_gone(now, &Change { new: None, ..change.clone() }, was_bound);
            return self.pod_changed(now, &Change { old: None, ..change.clone() });
        }
        let pod = stored.object.as_pod().expect("a key of kind Pod names pods");
        if pod.status.phase.is_terminal() {
            self.pod_gone(now, change, was_bound);
        } else if counts(pod) {
            // Bound: what was assumed is confirmed, what waited need not (someone else, or an answer that was lost).
            self.assumed.remove(key);
            // Volumes that are not bound by then are what the API says of them.
            self.leave_volumes(key);
            self.leave(key);
            self.snapshot.set(&stored.object);
            let new = self.snapshot.pod_info(&stored.object);
            match change.old.as_ref().filter(|_| was_bound) {
                None => self.queue.on_event(now, ClusterEvent::PodAdded(&new), &self.snapshot, &self.profiles, change.cause),
                Some(old) if old.object.meta().labels != stored.object.meta().labels => {
                    let old = self.snapshot.pod_info(&old.object);
                    self.queue.on_event(
                        now,
                        ClusterEvent::PodChanged { old: &old, new: &new },
                        &self.snapshot,
                        &self.profiles,
                        change.cause,
                    );
                }
                Some(_) => {}
            }
        } else if is_pending(pod) && self.profiles.of(&pod.spec).is_some() {
            // An assumed pod's own status changes nothing.
            if self.assumed.contains_key(key) {
                return;
            }
            let info = self.snapshot.pod_info(&stored.object);
            self.renominate(now, &info, change);
            match &mut self.cycle {
                Some((_, Some(queued))) if queued.info.key == *key => queued.info = info,
                _ if self.queue.contains(key) => self.queue.update(now, info, stored.because()),
                _ => self.queue.add(now, info, stored.because()),
            }
        } else {
            self.leave(key);
        }
    }

    /// Keeps room as the pod's status says. Where neither this version nor the last names a node, what was decided here stays: the patch
    /// that tells it is under way (upstream `backend/queue/nominator.go`, updateNominatedPodUnlocked).
    fn renominate(&mut self, now: Time, info: &PodInfo, change: &Change) {
        let before = change.old.as_ref().and_then(|old| old.object.as_pod()).map_or("", |old| &old.status.nominated_node_name);
        let wanted = info.pod().status.nominated_node_name.clone();
        if !wanted.is_empty() {
            self.snapshot.nominate(info.clone(), &wanted);
        } else if !before.is_empty() {
            self.snapshot.withdraw(&info.key);
        } else if let Some(node) = self.snapshot.nomination(&info.key).cloned() {
            self.snapshot.nominate(info.clone(), &node);
        }
        // Room that is kept no more may help others.
        if !before.is_empty() && *before != *wanted {
            self.queue.on_event(now, ClusterEvent::PodRemoved(info), &self.snapshot, &self.profiles, change.cause);
        }
    }

    fn pod_gone(&mut self, now: Time, change: &Change, was_bound: bool) {
        let was_nominated = self.snapshot.withdraw(&change.key);
        self.leave(&change.key);
        self.leave_volumes(&change.key);
        let was_assumed = self.assumed.remove(&change.key).is_some();
        if self.snapshot.remove_pod(&change.key) && (was_bound || was_assumed) || was_nominated {
            let last = change.old.as_ref().or(change.new.as_ref()).expect("a change has a version");
            let info = self.snapshot.pod_info(&last.object);
            self.queue.on_event(now, ClusterEvent::PodRemoved(&info), &self.snapshot, &self.profiles, change.cause);
        }
    }

    /// The pod waits no longer, nor is its cycle's decision wanted.
    fn leave(&mut self, key: &Key) {
        self.queue.remove(key);
        if let Some((_, running)) = &mut self.cycle
            && running.as_ref().is_some_and(|queued| queued.info.key == *key)
        {
            *running = None;
        }
    }
}

/// Bound and not terminal: takes of its node.
fn counts(pod: &Pod) -> bool {
    pod.node.is_some() && !pod.status.phase.is_terminal()
}

fn is_pending(pod: &Pod) -> bool {
    pod.node.is_none() && !pod.meta.is_deleting() && !pod.status.phase.is_terminal()
}

/// Whether a change of a node can matter to a pod that no node would take (`nodeSchedulingPropertiesChange`).
fn differs(old: &Node, new: &Node) -> bool {
    old.spec.unschedulable != new.spec.unschedulable
        || old.spec.taints != new.spec.taints
        || old.meta.labels != new.meta.labels
        || old.status.allocatable != new.status.allocatable
}

mod binding;
mod evicting;
#[cfg(test)]
mod tests;
