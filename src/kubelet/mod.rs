//! Floor 4: a kubelet: registers its node, keeps Lease and status heartbeats, and runs the pods bound to it: pod workers, image pulls,
//! containers, probes, restarts with back-off, graceful termination (k/k `pkg/kubelet`).
//!
//! Loops that poll their own state (PLEG, sync, housekeeping, probes) are computed, not ticked: with nothing to find, a
//! node costs its lease's renewals and no other event. A status says what the last relist saw, so a start or an exit shows up to 1 s
//! late, as it does upstream.
//!
//! A runtime that falls silent is found out by the loops that ask it, see [`runtime`].
//!
//! A kubelet that comes back takes its time: the process starts up, asks its runtime what runs, registers and reports its node, and then waits
//! to know its node before it asks for its pods. The first life of a run has all that behind it.
//!
//! Left out: what mounting takes, node-pressure eviction, static pods, graceful node shutdown, image garbage collection, in-place changes of a
//! running pod's spec, hooks other than a preStop sleep, readiness gates.
//! Invariants: one operation of a pod at a time; a worker never goes back from terminating; one report of a pod in flight.

mod admission;
mod backoff;
mod heartbeat;
mod images;
mod mounts;
mod pod;
mod pods;
mod probes;
mod runtime;
mod settled;
mod status;
mod workers;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::{Cause, Duration, Incarnation, Name, Stream, Time};
use crate::client::{Informers, Reply, Session, SessionConfig, SessionOutput};
use crate::objects::{Key, Kind, Labels, Pod, Quantity, Stored, Taint, Uid};
use crate::wire::api::{Scope, Verb};
use crate::wire::container::ContainerEvent;
use crate::wire::{Actor, Address, ClientMessage, Input, NodeId, Outbox};
use heartbeat::{Heartbeat, LeaseCall};
use pods::Pods;
use runtime::Runtime;
pub use settled::{RunningPod, listed_images, node_lease, ready_node, run};

/// A kubelet's settings; defaults are upstream's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// 50 and 100
    pub client_qps_milli: u64,
    pub client_burst: u64,
    /// 40 s; renewed every quarter of it.
    pub node_lease_duration: Duration,
    /// 10 s: how often the status is computed.
    pub node_status_update_frequency: Duration,
    /// 5 min: how often it is sent when nothing changed.
    pub node_status_report_frequency: Duration,
    /// 1 min
    pub sync_frequency: Duration,
    /// 1 s
    pub pleg_relist_period: Duration,
    /// 2 min (KubeletConfiguration, runtimeRequestTimeout)
    pub runtime_request_timeout: Duration,
    /// 10 s doubling to 5 min
    pub crash_loop_initial_backoff: Duration,
    pub crash_loop_max_backoff: Duration,
    pub image_pull_initial_backoff: Duration,
    pub image_pull_max_backoff: Duration,
    pub serialize_image_pulls: bool,
    /// 1 s: from the start of the process until its loops run. Recorded: "Starting kubelet" 0.9 to 1.3 s after the start on a busy machine,
    /// 0.1 to 0.4 s on a quiet one, of a kubelet that had no cgroups, no cAdvisor and no real runtime to set up.
    pub start_up_time: Duration,
    /// 1 s: how often a kubelet that starts looks whether it knows its node, without which it asks for no pods (`config/apiserver.go`,
    /// WaitForAPIServerSyncPeriod). The first look is always too early.
    pub node_sync_period: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            client_qps_milli: 50_000,
            client_burst: 100,
            node_lease_duration: Duration::from_secs(40),
            node_status_update_frequency: Duration::from_secs(10),
            node_status_report_frequency: Duration::from_secs(300),
            sync_frequency: Duration::from_secs(60),
            pleg_relist_period: Duration::from_secs(1),
            runtime_request_timeout: Duration::from_secs(120),
            crash_loop_initial_backoff: Duration::from_secs(10),
            crash_loop_max_backoff: Duration::from_secs(300),
            image_pull_initial_backoff: Duration::from_secs(10),
            image_pull_max_backoff: Duration::from_secs(300),
            serialize_image_pulls: true,
            start_up_time: Duration::from_secs(1),
            node_sync_period: Duration::from_secs(1),
        }
    }
}

/// What a kubelet reports of its machine.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct NodeShape {
    pub name: Name,
    pub capacity: BTreeMap<Name, Quantity>,
    pub allocatable: BTreeMap<Name, Quantity>,
    pub labels: Labels,
    pub taints: Vec<Taint>,
}

/// What the kubelet's requests are about.
#[derive(Clone, Debug, PartialEq)]
enum Token {
    Register,
    Lease(LeaseCall),
    NodeStatus,
    PodStatus(Uid),
    PodDelete(Uid),
    /// What a pod's volumes are.
    Volume(Uid),
}

/// What every part of the kubelet acts with.
struct Env<'a> {
    now: Time,
    config: &'a Config,
    shape: &'a NodeShape,
    session: &'a mut Session<Token>,
    stream: &'a mut Stream,
    out: &'a mut Outbox,
    runtime: &'a Runtime,
}

impl Env<'_> {
    fn send(&mut self, limiter: usize, verb: Verb, token: Token) {
        self.session.send(self.now, limiter, verb, token, self.out);
    }
}

/// A node's kubelet: one life of its process. See the module.
pub struct Kubelet {
    id: NodeId,
    config: Config,
    shape: Arc<NodeShape>,
    session: Session<Token>,
    stream: Stream,
    /// Booted, and not yet at work: since when it will be, which life, why.
    starting: Option<(Time, Incarnation, Cause)>,
    /// `None` before it is at work.
    life: Option<Box<Life>>,
    outputs: Vec<SessionOutput<Token>>,
}

struct Life {
    heartbeat: Heartbeat,
    pods: Pods,
    runtime: Runtime,
    /// It speaks with the API. One that was started during the run does so once its runtime has answered.
    connected: bool,
}

impl Kubelet {
    /// `server`: the API server or its balancer. `stream`: this life's own.
    pub fn new(config: Config, id: NodeId, shape: Arc<NodeShape>, server: Address, mut stream: Stream) -> Kubelet {
        let own = Scope { name: Some(shape.name.clone()), ..Scope::default() };
        let session = SessionConfig {
            server,
            limits: vec![(config.client_qps_milli, config.client_burst), (0, 0)],
            // The heartbeat client's time-out: the shorter of the status period and a quarter of the lease (`server.go`).
            timeout: config.node_status_update_frequency.min(config.node_lease_duration.scale(1, 4)),
            reflect: vec![(Kind::Pod, Scope::on_node(&shape.name)), (Kind::Node, own)],
        };
        let seed = crate::base::random::Seed(stream.next_u64());
        let session = Session::new(session, seed.stream("session"));
        Kubelet { id, config, shape, session, stream, starting: None, life: None, outputs: Vec::new() }
    }
    pub fn id(&self) -> NodeId {
        self.id
    }
    /// What it believes of the API, for checks.
    pub fn informers(&self) -> Informers<'_> {
        self.session.informers()
    }
    /// The pods that it has admitted and that have not ended, for checks.
    pub fn admitted(&self) -> impl Iterator<Item = &Pod> {
        self.life.iter().flat_map(|life| life.pods.admitted())
    }

    fn boot(&mut self, now: Time, incarnation: Incarnation, out: &mut Outbox) {
        assert!(self.life.is_none(), "{} boots twice in one life", self.id);
        let pods = Pods::new(now, incarnation == Incarnation(1), &mut self.stream, out);
        let runtime = Runtime::new(pods.relist_origin());
        let heartbeat = Heartbeat::new(&self.shape.name, now);
        // Before the run the first life's runtime has answered.
        let connected = incarnation == Incarnation(1);
        if connected {
            self.session.start(now, out);
        }
        self.life = Some(Box::new(Life { heartbeat, pods, runtime, connected }));
    }
}

impl Actor for Kubelet {
    type Message = ClientMessage;

    fn step(&mut self, now: Time, input: Input<ClientMessage>, out: &mut Outbox) {
        if let Input::Boot(boot) = &input {
            // The nodes of a cluster have been started before the run begins.
            let takes = if boot.incarnation == Incarnation(1) { Duration::ZERO } else { self.config.start_up_time };
            self.starting = Some((now + takes, boot.incarnation, out.cause()));
        }
        if let Some((_, incarnation, cause)) = self.starting.take_if(|(at, ..)| *at <= now) {
            out.because(cause);
            self.boot(now, incarnation, out);
        }
        let mut outputs = std::mem::take(&mut self.outputs);
        let input = match input {
            Input::Boot(_) => None,
            other => self.session.handle(now, other, out, &mut outputs),
        };
        if matches!(input, Some(Input::Wake)) {
            self.session.wake(now, out, &mut outputs);
        }
        let Kubelet { config, shape, session, stream, life, .. } = self;
        let Some(life) = life else { return };
        let Life { heartbeat, pods, runtime, connected } = &mut **life;
        let (mut fell_silent, mut answers_again) = (false, false);
        if let Some(Input::Container(event)) = &input {
            let cause = out.cause();
            match **event {
                ContainerEvent::FellSilent => fell_silent = runtime.fell_silent(now, cause, config),
                ContainerEvent::AnswersAgain => answers_again = runtime.answers_again(now, cause, config),
                _ => {}
            }
        }
        let mut env = Env { now, config, shape, session, stream, out, runtime };
        if fell_silent {
            heartbeat.fell_silent(&env);
            pods.fell_silent(&mut env);
        }
        if answers_again {
            heartbeat.answers_again(&env);
            pods.answers_again(&mut env);
        }
        if let Some(Input::Container(event)) = input {
            if matches!(*event, ContainerEvent::Listed { .. }) {
                if !std::mem::replace(connected, true) {
                    *heartbeat = Heartbeat::new(&env.shape.name, now);
                    env.session.start(now, env.out);
                }
                heartbeat.runtime_ready(&env);
            }
            if pods.container_event(*event, &mut env) {
                heartbeat.status_changed(&env);
            }
        }
        for output in outputs.drain(..) {
            match output {
                SessionOutput::Synced => pods.synced(&mut env),
                SessionOutput::Change(change) if change.kind() == Kind::Node => {
                    if let Some(node) = &change.new {
                        heartbeat.node_changed(node, &env);
                    }
                }
                SessionOutput::Change(change) => pods.changed(change, &mut env),
                SessionOutput::Answer { token, cause, result } => {
                    env.out.because(cause);
                    let result = result.map(stored);
                    match token {
                        Token::Register => {
                            heartbeat.registered(result, &mut env);
                            if heartbeat.is_registered() {
                                pods.registered(&mut env);
                            }
                        }
                        Token::Lease(call) => heartbeat.lease_answered(call, result, &mut env),
                        Token::NodeStatus => heartbeat.status_answered(result, &env),
                        Token::PodStatus(uid) => pods.reported(&uid, result, &mut env),
                        Token::PodDelete(uid) => pods.deleted(&uid, result, &mut env),
                        Token::Volume(uid) => pods.volume_answered(&uid, result, &mut env),
                    }
                }
            }
        }
        self.outputs = outputs;
        pods.wake(&mut env);
        if *connected {
            heartbeat.wake(|| pods.images(), &mut env);
        }
    }
    fn deadline(&self) -> Time {
        match &self.life {
            None => self.starting.map_or(Time::NEVER, |(at, ..)| at),
            Some(life) => {
                let heartbeat = if life.connected { life.heartbeat.deadline() } else { Time::NEVER };
                self.session.deadline().min(heartbeat).min(life.pods.deadline())
            }
        }
    }
}

fn stored(reply: Reply) -> Option<Stored> {
    match reply {
        Reply::Object(stored) => Some(stored),
        Reply::Done | Reply::List { .. } => None,
    }
}

/// The key of a pod under which a worker is found.
fn pod_key(stored: &Stored) -> Key {
    stored.key.clone()
}
