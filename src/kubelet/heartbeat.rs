//! The node's own objects: registration, the Lease, the node status (k/k `pkg/kubelet`, `kubelet_node_status.go`,
//! component-helpers `apimachinery/lease`).
//!
//! The status is computed only when it has changed or must be sent again: the 10 s passes in between would find nothing. A node whose
//! object is deleted stays unregistered until its kubelet restarts, as upstream's does.
//!
//! A pass asks the runtime for its version before it says whether the node is ready (k/k `pkg/kubelet/nodestatus/setters.go`, VersionInfo):
//! while the runtime is silent, each pass waits for that. The Lease does not.

use std::sync::Arc;

use super::{Env, Token};
use crate::base::{Cause, Duration, Name, Time};
use crate::objects::node::NodeImage;
use crate::objects::{Condition, Conditions, Key, Kind, Lease, LeaseSpec, List, Meta, Node, Object, OwnerReference, Stored};
use crate::wire::ApiError;
use crate::wire::api::{Part, Patch, Reason, Verb};

pub(super) const LEASE_NAMESPACE: &str = "kube-node-lease";
/// Limiter of heartbeats: their client has no rate limit (`cmd/kubelet/app/server.go`, HeartbeatClient).
pub(super) const UNLIMITED: usize = 1;

const REGISTER_BACKOFF: Duration = Duration::from_millis(100);
const LEASE_BACKOFF: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(7);
const LEASE_RETRIES: u32 = 5;
const STATUS_RETRIES: u32 = 5;
/// Ready is reported as soon as it is so, looked at each 100 ms, in the first 120 s.
const EARLY: Duration = Duration::from_secs(120);
const EARLY_PERIOD: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Heartbeat {
    key: Key,
    lease_key: Key,
    booted: Time,
    /// The newest version of the Node that is known; `None`: not registered yet.
    node: Option<Stored>,
    registration: Retry,
    lease: LeaseLoop,
    status: StatusLoop,
    runtime_ready: bool,
}

/// A request that is repeated until it succeeds.
struct Retry {
    next: Time,
    backoff: Duration,
}

struct LeaseLoop {
    latest: Option<Stored>,
    /// `NEVER` while a request is with the server.
    next: Time,
    tries: u32,
    backoff: Duration,
}

struct StatusLoop {
    /// `NEVER` while a request is with the server.
    next: Time,
    written: Time,
    tries: u32,
    changed: bool,
    /// The pass waits for the runtime's version, until `next` at most.
    waits: bool,
}

/// Which request of the lease's was answered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum LeaseCall {
    Get,
    Create,
    Update,
}

impl Heartbeat {
    pub fn new(node: &Name, now: Time) -> Heartbeat {
        Heartbeat {
            key: Key::node(node),
            lease_key: Key::new(Kind::Lease, LEASE_NAMESPACE, node),
            booted: now,
            node: None,
            registration: Retry { next: now, backoff: REGISTER_BACKOFF },
            lease: LeaseLoop { latest: None, next: Time::NEVER, tries: 0, backoff: LEASE_BACKOFF },
            status: StatusLoop { next: Time::NEVER, written: now, tries: 0, changed: false, waits: false },
            runtime_ready: false,
        }
    }
    pub fn is_registered(&self) -> bool {
        self.node.is_some()
    }
    pub fn deadline(&self) -> Time {
        self.registration.next.min(self.lease.next).min(self.status.next)
    }
    /// The engine has answered: the node may become Ready.
    pub fn runtime_ready(&mut self, env: &Env) {
        self.runtime_ready = true;
        self.status_changed(env);
    }
    /// Something that the node status says has changed.
    pub fn status_changed(&mut self, env: &Env) {
        self.status.changed = true;
        if self.node.is_some() && self.status.next != Time::NEVER && !self.status.waits {
            self.status.next = self.status.next.min(self.next_pass(env));
        }
    }
    /// The runtime answers nothing: the next pass will wait.
    pub fn fell_silent(&mut self, env: &Env) {
        if self.status.next != Time::NEVER {
            self.status.next = self.status.next.min(self.regular_pass(env.now, env));
        }
    }
    /// A pass that waited goes on; it finds the runtime up, which was asked for its status before.
    pub fn answers_again(&mut self, env: &Env) {
        if self.status.waits {
            self.status.next = env.now;
        } else if self.status.next != Time::NEVER {
            self.status.next = self.status.next.min(self.regular_pass(env.now, env));
        } else {
            // What is on its way to the API may say otherwise.
            self.status.changed = true;
        }
    }
    fn is_ready(&self, env: &Env) -> bool {
        self.runtime_ready && env.runtime.trouble(env.now).is_none()
    }
    /// The own Node changed in the cache.
    pub fn node_changed(&mut self, stored: &Stored, env: &Env) {
        let Some(known) = self.node.as_mut().filter(|known| known.revision < stored.revision) else { return };
        *known = stored.clone();
        if node_of(stored).is_ready() != self.is_ready(env) {
            self.status_changed(env);
        }
    }
    pub fn wake(&mut self, images: impl Fn() -> Vec<NodeImage>, env: &mut Env) {
        if env.now < self.deadline() {
            return;
        }
        env.out.because(Cause::NONE);
        if self.registration.next <= env.now {
            self.registration.next = Time::NEVER;
            let node = self.node_object(&Node::default(), &images, env);
            env.send(UNLIMITED, Verb::Create { object: Arc::new(node.into()) }, Token::Register);
        }
        if self.lease.next <= env.now {
            self.lease.next = Time::NEVER;
            self.send_lease(env);
        }
        if self.status.next <= env.now {
            self.status.waits = env.runtime.is_silent() && !self.status.waits;
            if self.status.waits {
                self.status.next = env.now + env.config.runtime_request_timeout;
            } else {
                self.send_status(&images, env);
            }
        }
    }

    /// The answer to the Node's creation, or to the Get or Update after it.
    pub fn registered(&mut self, result: Result<Option<Stored>, ApiError>, env: &mut Env) {
        match result {
            Ok(Some(stored)) => self.reconcile(stored, env),
            Err(error) if error.reason == Reason::AlreadyExists => {
                env.send(UNLIMITED, Verb::Get { key: self.key.clone(), fresh: true }, Token::Register);
            }
            Ok(None) | Err(_) => {
                self.registration.next = env.now + self.registration.backoff;
                self.registration.backoff = (self.registration.backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
    /// Uses the Node that is there; its labels are brought up to date.
    fn reconcile(&mut self, stored: Stored, env: &mut Env) {
        let node = node_of(&stored);
        if env.shape.labels.iter().any(|(key, value)| node.meta.label(key) != Some(value)) {
            let mut node = node.clone();
            node.meta.labels.update(|labels| labels.extend(env.shape.labels.clone()));
            let update = Verb::Update { object: Arc::new(node.into()), part: Part::Main, revision: Some(stored.revision) };
            env.send(UNLIMITED, update, Token::Register);
            return;
        }
        self.node = Some(stored);
        self.lease.next = env.now;
        self.status.written = env.now;
        self.status.changed = true;
        self.status.next = self.next_pass(env);
    }

    /// The next instant at which the status is looked at.
    fn next_pass(&self, env: &Env) -> Time {
        let early = env.now.next_tick(self.booted, EARLY_PERIOD);
        if early.since(self.booted) <= EARLY { early } else { self.regular_pass(env.now, env) }
    }
    fn regular_pass(&self, from: Time, env: &Env) -> Time {
        from.next_tick(self.booted, env.config.node_status_update_frequency)
    }
    /// The pass that may find something when nothing has changed since `written`.
    fn later_pass(&self, written: Time, env: &Env) -> Time {
        let told = self.node.as_ref().is_some_and(|known| node_of(known).is_ready());
        match env.runtime.is_in_doubt(env.now) || told != self.is_ready(env) {
            true => self.regular_pass(env.now + Duration::from_nanos(1), env),
            false => self.regular_pass(written + env.config.node_status_report_frequency, env),
        }
    }
    fn send_status(&mut self, images: &impl Fn() -> Vec<NodeImage>, env: &mut Env) {
        let stored = self.node.as_ref().expect("the status follows the registration");
        let known = node_of(stored);
        let node = self.node_object(known, images, env);
        let due = env.now.since(self.status.written) >= env.config.node_status_report_frequency;
        if !due && !says_more(&node, known) {
            self.status.changed = false;
            self.status.next = self.later_pass(self.status.written, env);
            return;
        }
        if node.is_ready() != known.is_ready() {
            env.out.because(env.runtime.cause(env.now));
        }
        let uid = known.meta.uid.clone();
        let patch = Patch::Status { object: Arc::new(node.into()), uid };
        self.status.next = Time::NEVER;
        self.status.changed = false;
        env.send(UNLIMITED, Verb::Patch { key: self.key.clone(), patch, part: Part::Status }, Token::NodeStatus);
    }
    pub fn status_answered(&mut self, result: Result<Option<Stored>, ApiError>, env: &Env) {
        match result {
            Ok(stored) => {
                self.status.tries = 0;
                self.status.written = env.now;
                if let (Some(stored), Some(known)) = (stored, &mut self.node)
                    && known.revision < stored.revision
                {
                    *known = stored;
                }
                self.status.next = if self.status.changed { self.next_pass(env) } else { self.later_pass(env.now, env) };
            }
            Err(_) => {
                self.status.changed = true;
                self.status.tries += 1;
                self.status.next = if self.status.tries < STATUS_RETRIES {
                    env.now
                } else {
                    self.status.tries = 0;
                    self.regular_pass(env.now + Duration::from_nanos(1), env)
                };
            }
        }
    }
    /// The Node as this kubelet sees it, on top of `known`.
    fn node_object(&self, known: &Node, images: &impl Fn() -> Vec<NodeImage>, env: &Env) -> Node {
        let mut node = known.clone();
        if node.meta.name.is_empty() {
            node.meta = Meta::named("", &env.shape.name);
            node.meta.labels = crate::objects::Shared::new(env.shape.labels.clone());
            node.spec.taints.clone_from(&env.shape.taints);
        }
        let status = &mut node.status;
        status.capacity.clone_from(&env.shape.capacity);
        status.allocatable.clone_from(&env.shape.allocatable);
        status.images = images();
        let trouble = env.runtime.trouble(env.now).or_else(|| (!self.runtime_ready).then(String::new));
        set_conditions(&mut status.conditions, trouble, env.now);
        node
    }

    fn send_lease(&mut self, env: &mut Env) {
        let (verb, call) = match &self.lease.latest {
            None => (Verb::Get { key: self.lease_key.clone(), fresh: true }, LeaseCall::Get),
            Some(stored) => {
                let mut lease = stored.object.as_lease().expect("a lease").clone();
                lease.spec.renew_time = Some(env.now.truncate_to_micro());
                let update = Verb::Update { object: Arc::new(lease.into()), part: Part::Main, revision: Some(stored.revision) };
                (update, LeaseCall::Update)
            }
        };
        env.send(UNLIMITED, verb, Token::Lease(call));
    }
    fn create_lease(&self, env: &mut Env) {
        let node = self.node.as_ref().expect("the lease follows the registration");
        let mut meta = Meta::named(LEASE_NAMESPACE, self.lease_key.name());
        meta.owner_references = vec![lease_owner(node.object.meta())].into();
        let now = Some(env.now.truncate_to_micro());
        let spec = LeaseSpec {
            holder_identity: env.shape.name.clone(),
            lease_duration_seconds: env.config.node_lease_duration.as_secs(),
            acquire_time: None,
            renew_time: now,
            ..LeaseSpec::default()
        };
        env.send(UNLIMITED, Verb::Create { object: Arc::new(Lease { meta, spec }.into()) }, Token::Lease(LeaseCall::Create));
    }
    pub fn lease_answered(&mut self, call: LeaseCall, result: Result<Option<Stored>, ApiError>, env: &mut Env) {
        match (call, result) {
            (LeaseCall::Get, Ok(Some(stored))) => {
                self.lease.latest = Some(stored);
                self.lease.next = env.now;
            }
            (LeaseCall::Get, Err(error)) if error.reason == Reason::NotFound => self.create_lease(env),
            (LeaseCall::Create | LeaseCall::Update, Ok(stored)) => {
                self.lease.latest = stored;
                self.lease.tries = 0;
                self.lease.backoff = LEASE_BACKOFF;
                // A quarter of the duration, with jitter 0.04, from the end of this renewal.
                self.lease.next = env.now + env.stream.jitter(env.config.node_lease_duration.scale(1, 4), 40);
            }
            (LeaseCall::Update, Err(error)) => {
                self.lease.tries += 1;
                if self.lease.tries >= LEASE_RETRIES || matches!(error.reason, Reason::Conflict | Reason::NotFound) {
                    // Get or create it anew.
                    self.lease.latest = None;
                    self.lease.tries = 0;
                }
                self.lease.next = env.now;
            }
            (LeaseCall::Get | LeaseCall::Create, _) => {
                self.lease.next = env.now + self.lease.backoff;
                self.lease.backoff = (self.lease.backoff * 2).min(BACKOFF_MAX);
            }
        }
    }
}

fn node_of(stored: &Stored) -> &Node {
    match &*stored.object {
        Object::Node(node) => node,
        other => panic!("{} is no Node", other.key()),
    }
}

/// A Lease goes with its node.
pub(super) fn lease_owner(node: &Meta) -> OwnerReference {
    OwnerReference { controller: false, block_owner_deletion: false, ..OwnerReference::controller(Kind::Node, node) }
}

/// What a kubelet says of its node. `trouble`: why it is not ready.
pub(super) fn set_conditions(conditions: &mut List<Condition>, trouble: Option<String>, now: Time) {
    for (kind, reason) in [
        ("MemoryPressure", "KubeletHasSufficientMemory"),
        ("DiskPressure", "KubeletHasNoDiskPressure"),
        ("PIDPressure", "KubeletHasSufficientPID"),
    ] {
        set_condition(conditions, kind, false, reason, String::new(), now);
    }
    let reason = if trouble.is_none() { "KubeletReady" } else { "KubeletNotReady" };
    set_condition(conditions, "Ready", trouble.is_none(), reason, trouble.unwrap_or_default(), now);
}

fn set_condition(conditions: &mut List<Condition>, kind: &'static str, holds: bool, reason: &'static str, message: String, now: Time) {
    let heartbeat = Some(now.truncate_to_second());
    conditions.set(Condition { message: message.into(), last_heartbeat_time: heartbeat, ..Condition::new(kind, holds, reason, now) });
}

/// Whether a status says something new, heartbeat times aside.
fn says_more(new: &Node, known: &Node) -> bool {
    let same = |condition: &Condition| {
        let says_so =
            |old: &Condition| old.status == condition.status && old.reason == condition.reason && old.message == condition.message;
        known.status.conditions.get(&condition.kind).is_some_and(says_so)
    };
    !new.status.conditions.iter().all(same)
        || new.status.capacity != known.status.capacity
        || new.status.allocatable != known.status.allocatable
        || new.status.images != known.status.images
}
