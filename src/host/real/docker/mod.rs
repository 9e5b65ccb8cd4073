//! The `docker` runtime: a container is a container, over the Engine's API (`bollard`). A pod is a sandbox container, which holds the
//! network namespace on the run's own bridge and publishes its ports on the pod's address of 127.0.0.0/8, and the pod's containers, which
//! join it.
//!
//! A container whose image is `payload` runs the payload from an [`image`] that is made of this very program; any other image is used as it
//! is, pulled where it is missing. CPU and memory limits are those of the manifest. Probes are those of the manifest, over HTTP, TCP or
//! exec; the payload's are asked at its health port. Of an image that is not ours, the port of its first container port is the pod's
//! service.
//!
//! The supervisor holds the standard input of each payload and sandbox: when it is gone the engine closes it, and they exit; a container of
//! another image runs on until it is removed. Containers have no restart policy, and carry labels ([`engine`]) by which the next run or
//! `sim validate --clean` finds what is left; images that were pulled stay, since nothing tells whether somebody else uses them by now.
//! Requests run as tasks beside one another, as a kubelet's do; exits are the engine's word (wait), out-of-memory kills its events'.
//!
//! Left out: volumes, environment and commands of the manifest (an image's own are used), private registries.
//! Invariant: a container that was started has exactly one exit, unless its node's power was lost.

pub mod engine;
pub mod image;
mod probe;
mod stats;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use bollard::Docker;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy, RestartPolicyNameEnum};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder, EventsOptionsBuilder,
    KillContainerOptionsBuilder, ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use self::engine::{Engine, Labels, RUN};
use self::probe::probed;
use super::addresses::{Addresses, HEALTH_PORT, SERVICE_PORT};
use super::cgroup::PERIOD_MICROS;
use super::clock::Clock;
use super::payload::{PAYLOAD, SANDBOX};
use super::runtime::{self, Answer, ContainerStats, Notice, Notices, Runtime, Specs};
use crate::base::random::Seed;
use crate::base::{Cause, Incarnation, Name, Stream, Time};
use crate::engine::plan::{Images, Plan};
use crate::models::container_engine::KILLED;
use crate::models::workload::Workloads;
use crate::objects::Uid;
use crate::objects::pod::{Container as Spec, PodIp, PodSpec};
use crate::wire::NodeId;
use crate::wire::container::{ContainerEvent, ContainerId, ContainerInfo, ContainerOp, Exit, PodIdentity, RuntimeError, SandboxInfo};

/// Where the images of runs are, on the engine.
const REPOSITORY: &str = "clustersim-payload";
/// Processes and threads of a payload (ours): far above what its requests need, far below what a machine has.
const PIDS_MAX: i64 = 512;

struct Sandbox {
    node: NodeId,
    info: SandboxInfo,
    /// The engine's name of it.
    name: String,
}

struct Container {
    node: NodeId,
    name: String,
    init: bool,
    /// Whether the payload is what runs in it.
    payload: bool,
    cause: Cause,
    started_at: Option<Time>,
    exit: Option<Exit>,
    /// What its standard input is to hear.
    orders: Option<UnboundedSender<String>>,
}

impl Container {
    fn runs(&self) -> bool {
        self.started_at.is_some() && self.exit.is_none()
    }
}

struct State {
    clock: Clock,
    sandboxes: BTreeMap<Uid, Sandbox>,
    containers: BTreeMap<ContainerId, Container>,
    /// Engine names of containers that the kernel has killed something in for want of memory.
    out_of_memory: BTreeSet<String>,
    given: BTreeMap<NodeId, u32>,
    workloads: Workloads,
    served: Stream,
    made: u64,
    over: bool,
}

/// What all tasks share.
struct Shared {
    docker: Docker,
    labels: Labels,
    addresses: Addresses,
    images: Images,
    specs: Specs,
    notices: Notices,
    state: Mutex<State>,
}

/// See the module.
pub struct DockerRuntime {
    engine: Engine,
    shared: Arc<Shared>,
}

/// Is this image the payload?
fn is_payload(image: &str) -> bool {
    image.split(':').next() == Some(PAYLOAD)
}

/// A reference as the engine's pull wants it: the name, and the tag or digest.
fn name_and_tag(image: &str) -> (&str, &str) {
    let by_tag = || image.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'));
    image.split_once('@').or_else(by_tag).unwrap_or((image, "latest"))
}

impl DockerRuntime {
    /// On this engine, for this run; loads the payload's image and makes the network. `program`: the `sim` that is to be the payload.
    pub fn new(
        engine: Engine,
        program: &Path,
        labels: Labels,
        plan: &Plan,
        clock: Clock,
        addresses: Addresses,
        notices: Notices,
    ) -> io::Result<DockerRuntime> {
        let seed = Seed(plan.seed);
        let state = State {
            clock,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            out_of_memory: BTreeSet::new(),
            given: BTreeMap::new(),
            workloads: Workloads::new(seed, plan.behaviours.clone()),
            served: seed.stream("requests served"),
            made: 0,
            over: false,
        };
        let shared = Arc::new(Shared {
            docker: engine.docker.clone(),
            labels: labels.clone(),
            addresses,
            images: plan.images.clone(),
            specs: Specs::of(plan),
            notices,
            state: Mutex::new(state),
        });
        let runtime = DockerRuntime { engine, shared };
        let maps = std::fs::read_to_string("/proc/self/maps")?;
        runtime.engine.load(REPOSITORY, &labels.run, image::rootfs(program, &maps)?, &labels)?;
        runtime.engine.make_network(&runtime.shared.network(), &labels)?;
        let watching = Arc::clone(&runtime.shared);
        runtime.engine.spawn(async move { watching.watch_memory().await });
        Ok(runtime)
    }
    fn task<F: Future<Output = ()> + Send + 'static>(&self, work: impl FnOnce(Arc<Shared>) -> F) {
        self.engine.spawn(work(Arc::clone(&self.shared)));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no task panics while it holds the state")
    }
    fn network(&self) -> String {
        format!("clustersim-{}", self.labels.run)
    }
    fn image(&self) -> String {
        format!("{REPOSITORY}:{}", self.labels.run)
    }
    fn answer(&self, node: NodeId, asked: Incarnation, cause: Cause, event: ContainerEvent) {
        (self.notices)(Notice::Answer(Answer { node, asked: Some(asked), cause, event }));
    }
    /// A name that no container of the run has had.
    fn name(&self, what: &str) -> String {
        let mut state = self.lock();
        state.made += 1;
        format!("clustersim-{}-{}-{what}", self.labels.run, state.made)
    }

    /// Notes what the kernel kills for want of memory; inspect tells it only now and then.
    async fn watch_memory(&self) {
        let labels = self.labels.all().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        let filters = [("label".to_owned(), labels), ("event".to_owned(), vec!["oom".to_owned()])].into_iter().collect();
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let mut events = std::pin::pin!(self.docker.events(Some(options)));
        while let Some(Ok(event)) = events.next().await {
            let name = event.actor.and_then(|actor| actor.attributes?.get("name").cloned());
            self.lock().out_of_memory.extend(name);
        }
    }

    async fn list(&self, node: NodeId) -> ContainerEvent {
        // What the engine no longer has, nobody has: its own word is asked, as a kubelet asks it.
        let filters = [("label".to_owned(), vec![format!("{RUN}={}", self.labels.run)])].into_iter().collect();
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        let present: Option<BTreeSet<String>> = self.docker.list_containers(Some(options)).await.ok().map(|list| {
            let names = list.into_iter().flat_map(|one| one.names.unwrap_or_default());
            names.map(|name| name.trim_start_matches('/').to_owned()).collect()
        });
        let mut images = Vec::new();
        for image in &self.images.preloaded {
            // The payload's is there under a name of the run's own.
            if is_payload(image) || self.docker.inspect_image(image).await.is_ok() {
                images.push((image.clone(), self.images.size(image)));
            }
        }
        let there = |name: &str| present.as_ref().is_none_or(|present| present.contains(name));
        let state = self.lock();
        let info = |(id, container): (&ContainerId, &Container)| ContainerInfo {
            container: id.clone(),
            started_at: container.started_at,
            exit: container.exit,
        };
        ContainerEvent::Listed {
            sandboxes: state.sandboxes.values().filter(|one| one.node == node && there(&one.name)).map(|one| one.info.clone()).collect(),
            containers: state.containers.iter().filter(|(_, one)| one.node == node && there(&one.name)).map(info).collect(),
            images,
        }
    }

    async fn pull(&self, image: &Name) -> Result<u64, RuntimeError> {
        if is_payload(image) {
            return Ok(self.images.size(image));
        }
        if let Ok(present) = self.docker.inspect_image(image).await {
            return Ok(present.size.unwrap_or_default().unsigned_abs());
        }
        let (name, tag) = name_and_tag(image);
        let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
        let mut told = std::pin::pin!(self.docker.create_image(Some(options), None, None));
        while let Some(line) = told.next().await {
            match line {
                Ok(_) => {}
                Err(Error::DockerResponseServerError { status_code: 404, .. }) => return Err(RuntimeError::ImageNotFound),
                Err(error) => {
                    let unknown = ["not found", "does not exist"].iter().any(|words| error.to_string().contains(words));
                    return Err(if unknown { RuntimeError::ImageNotFound } else { RuntimeError::RegistryUnavailable });
                }
            }
        }
        let present = self.docker.inspect_image(image).await.map_err(|_| RuntimeError::ImageNotFound)?;
        Ok(present.size.unwrap_or_default().unsigned_abs())
    }

    fn body(&self, image: String, cmd: Option<Vec<String>>, host: HostConfig) -> ContainerCreateBody {
        let ours = image == self.image();
        ContainerCreateBody {
            image: Some(image),
            cmd,
            labels: Some(self.labels.all().into_iter().collect()),
            // Closed when the supervisor is gone: that ends a payload.
            open_stdin: Some(ours),
            stdin_once: Some(ours),
            attach_stdin: Some(ours),
            host_config: Some(HostConfig {
                restart_policy: Some(RestartPolicy { name: Some(RestartPolicyNameEnum::NO), maximum_retry_count: None }),
                log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
                pids_limit: ours.then_some(PIDS_MAX),
                ..host
            }),
            ..ContainerCreateBody::default()
        }
    }
    async fn make(&self, name: &str, body: ContainerCreateBody) -> Result<(), RuntimeError> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        self.docker.create_container(Some(options), body).await.map(drop).map_err(|_| RuntimeError::Engine)
    }
    async fn remove(&self, name: &str) {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        // What is gone is removed.
        let _ = self.docker.remove_container(name, Some(options)).await;
    }
    async fn kill(&self, name: &str, signal: &str) {
        let options = KillContainerOptionsBuilder::new().signal(signal).build();
        // It may have ended meanwhile.
        let _ = self.docker.kill_container(name, Some(options)).await;
    }
    /// Starts a container with its standard input in our hands; what is sent there is written to it.
    async fn start_with(&self, name: &str, first: String) -> Result<UnboundedSender<String>, RuntimeError> {
        let options = AttachContainerOptionsBuilder::new().stdin(true).stream(true).build();
        let mut attached = self.docker.attach_container(name, Some(options)).await.map_err(|_| RuntimeError::Engine)?;
        self.docker.start_container(name, None).await.map_err(|_| RuntimeError::Engine)?;
        let (orders, mut ordered) = unbounded_channel::<String>();
        let _ = orders.send(first);
        tokio::spawn(async move {
            while let Some(line) = ordered.recv().await {
                let written = attached.input.write_all(line.as_bytes()).await;
                if written.is_err() || attached.input.flush().await.is_err() {
                    return;
                }
            }
        });
        Ok(orders)
    }

    /// The ports of a pod: each container's health, and the service of the first that has one; what initialises the pod serves nobody.
    fn ports(&self, spec: Option<&PodSpec>, ip: PodIp) -> BTreeMap<String, Vec<PortBinding>> {
        let mut ports: BTreeMap<String, Vec<PortBinding>> = BTreeMap::new();
        let mut publish = |inside: u16, outside: u16| {
            let binding = PortBinding { host_ip: Some(ip.to_string()), host_port: Some(outside.to_string()) };
            ports.entry(format!("{inside}/tcp")).or_default().push(binding);
        };
        let initial = spec.map_or(0, |spec| spec.init_containers.len());
        let mut served = false;
        let mut serves = |index: usize| index >= initial && !std::mem::replace(&mut served, true);
        for (index, container) in spec.into_iter().flat_map(containers).enumerate() {
            let health = HEALTH_PORT + index as u16;
            if is_payload(&container.image) {
                publish(health, health);
                if serves(index) {
                    publish(SERVICE_PORT, SERVICE_PORT);
                }
                continue;
            }
            if let Some(port) = container.ports.first().filter(|_| serves(index)) {
                publish(port.container_port, SERVICE_PORT);
            }
            if let Some((port, _)) = probed(container) {
                publish(port, health);
            }
        }
        ports
    }
    async fn run_sandbox(&self, node: NodeId, pod: &Uid, identity: PodIdentity) -> Result<PodIp, RuntimeError> {
        let spec = self.specs.get(&identity);
        let name = self.name("pod");
        let ip = {
            let mut state = self.lock();
            if let Some(present) = state.sandboxes.get(pod) {
                return Ok(present.info.ip);
            }
            let State { given, sandboxes, .. } = &mut *state;
            let used = |ip: PodIp| sandboxes.values().any(|sandbox| sandbox.info.ip == ip);
            let ip = self.addresses.free(node, given.entry(node).or_default(), used).ok_or(RuntimeError::Engine)?;
            let info = SandboxInfo { pod: pod.clone(), identity, ip };
            state.sandboxes.insert(pod.clone(), Sandbox { node, info, name: name.clone() });
            ip
        };
        let ports = self.ports(spec.as_deref(), ip);
        let host = HostConfig {
            network_mode: Some(self.network()),
            port_bindings: Some(ports.iter().map(|(port, bindings)| (port.clone(), Some(bindings.clone()))).collect()),
            ..HostConfig::default()
        };
        let body = ContainerCreateBody { exposed_ports: Some(ports.into_keys().collect()), ..self.body(self.image(), None, host) };
        let made = async {
            self.make(&name, body).await?;
            let orders = self.start_with(&name, SANDBOX.to_owned()).await?;
            // As long as the run lives.
            tokio::spawn(async move { orders.closed().await });
            Ok(ip)
        };
        let result = made.await;
        if !self.has_sandbox(pod, &name) {
            // Its node has lost power meanwhile, or it was stopped.
            self.remove(&name).await;
            return Err(RuntimeError::Engine);
        }
        if result.is_err() {
            self.lock().sandboxes.remove(pod);
            self.remove(&name).await;
        }
        result
    }
    /// Is this still the pod's sandbox?
    fn has_sandbox(&self, pod: &Uid, name: &str) -> bool {
        self.lock().sandboxes.get(pod).is_some_and(|sandbox| sandbox.name == name)
    }
    async fn stop_sandbox(self: &Arc<Shared>, pod: &Uid) {
        let (running, dead, sandbox) = {
            let mut state = self.lock();
            let of = |state: &State, runs: bool| -> Vec<(ContainerId, String)> {
                let those = state.containers.iter().filter(|(id, one)| id.pod == *pod && one.runs() == runs);
                those.map(|(id, one)| (id.clone(), one.name.clone())).collect()
            };
            (of(&state, true), of(&state, false), state.sandboxes.remove(pod))
        };
        for (id, name) in &running {
            self.kill(name, "KILL").await;
            self.ended(id, name).await;
        }
        for (_, name) in running.iter().chain(&dead) {
            self.remove(name).await;
        }
        if let Some(sandbox) = sandbox {
            self.remove(&sandbox.name).await;
        }
    }

    async fn create(&self, node: NodeId, cause: Cause, id: &ContainerId, image: &Name, init: bool) -> Result<(), RuntimeError> {
        let name = self.name(&format!("container-{}-{}", id.index, id.attempt));
        let (holder, limits, older) = {
            let mut state = self.lock();
            let sandbox = state.sandboxes.get(&id.pod).ok_or(RuntimeError::Engine)?;
            let (holder, limits) = (sandbox.name.clone(), self.specs.limits(&sandbox.info.identity, id.index));
            // As the kubelet's garbage collection would: one exited attempt is enough.
            let older = ContainerId { attempt: 0, ..id.clone() }..id.clone();
            let dead: Vec<_> = state.containers.range(older).filter(|(_, one)| !one.runs()).map(|(id, _)| id.clone()).collect();
            let older: Vec<_> = dead.iter().filter_map(|id| state.containers.remove(id)).map(|one| one.name).collect();
            (holder, limits, older)
        };
        for name in older {
            self.remove(&name).await;
        }
        let host = HostConfig {
            network_mode: Some(format!("container:{holder}")),
            // As a kubelet says it: the engine refuses more CPUs (NanoCpus) than the machine has.
            cpu_period: limits.cpu_milli.map(|_| PERIOD_MICROS.cast_signed()),
            cpu_quota: limits.quota_micros().map(u64::cast_signed),
            memory: limits.memory_bytes.map(u64::cast_signed),
            // As much again as swap would be no limit at all.
            memory_swap: limits.memory_bytes.map(u64::cast_signed),
            ..HostConfig::default()
        };
        let payload = is_payload(image);
        let image = if payload { self.image() } else { image.to_string() };
        self.make(&name, self.body(image, None, host)).await?;
        {
            let mut state = self.lock();
            if state.sandboxes.get(&id.pod).is_some_and(|sandbox| sandbox.name == holder) {
                let container = Container { node, name, init, payload, cause, started_at: None, exit: None, orders: None };
                state.containers.insert(id.clone(), container);
                return Ok(());
            }
        }
        // Its node has lost power meanwhile, or the pod was stopped.
        self.remove(&name).await;
        Err(RuntimeError::Engine)
    }
    async fn start(self: &Arc<Shared>, cause: Cause, id: &ContainerId) -> Result<(), RuntimeError> {
        let (name, life, payload) = {
            let mut state = self.lock();
            let State { workloads, served, sandboxes, containers, .. } = &mut *state;
            let sandbox = sandboxes.get(&id.pod).ok_or(RuntimeError::Engine)?;
            let container = containers.get_mut(id).filter(|one| one.started_at.is_none()).ok_or(RuntimeError::Engine)?;
            container.cause = cause;
            let identity = &sandbox.info.identity;
            // Within its own namespace.
            let ip = PodIp(0);
            (container.name.clone(), runtime::life(workloads, served, identity, ip, id, container.init), container.payload)
        };
        let orders = if payload {
            let line = serde_json::to_string(&life).expect("a life can be written");
            Some(self.start_with(&name, format!("{line}\n")).await?)
        } else {
            self.docker.start_container(&name, None).await.map_err(|_| RuntimeError::Engine)?;
            None
        };
        let known = {
            let mut state = self.lock();
            let now = state.clock.now();
            let container = state.containers.get_mut(id).filter(|container| container.name == name);
            container.map(|container| (container.started_at, container.orders) = (Some(now), orders)).is_some()
        };
        if !known {
            // Its node has lost power meanwhile.
            self.remove(&name).await;
            return Err(RuntimeError::Engine);
        }
        let (shared, id) = (Arc::clone(self), id.clone());
        tokio::spawn(async move { shared.ended(&id, &name).await });
        Ok(())
    }
    /// Waits for a container's end and tells of it, once.
    async fn ended(&self, id: &ContainerId, name: &str) {
        let mut waited = std::pin::pin!(self.docker.wait_container(name, None));
        let code = match waited.next().await {
            Some(Ok(answer)) => answer.status_code,
            Some(Err(Error::DockerContainerWaitError { code, .. })) => code,
            // The engine has lost it, or is gone itself.
            _ => i64::from(KILLED),
        };
        let inspected = self.docker.inspect_container(name, None).await.ok();
        let flagged = inspected.and_then(|container| container.state?.oom_killed).unwrap_or(false);
        let mut state = self.lock();
        let at = state.clock.now();
        let killed = (flagged || state.out_of_memory.contains(name)) && code == i64::from(KILLED);
        // Its node lost power, or somebody else has told of it.
        let Some(container) = state.containers.get_mut(id).filter(|one| one.name == name && one.exit.is_none()) else { return };
        let exit = Exit { code: code as i32, oom_killed: killed, at };
        (container.exit, container.orders) = (Some(exit), None);
        let event = ContainerEvent::Exited { container: id.clone(), exit };
        let answer = Answer { node: container.node, asked: None, cause: container.cause, event };
        drop(state);
        (self.notices)(Notice::Answer(answer));
    }
    /// An exit that is known already, of what does not run; else it comes when the container has ended.
    async fn stop(&self, cause: Cause, id: &ContainerId, grace: crate::base::Duration) -> Option<Exit> {
        let name = {
            let mut state = self.lock();
            let now = state.clock.now();
            let Some(container) = state.containers.get_mut(id).filter(|one| one.runs()) else {
                let known = state.containers.get(id).and_then(|one| one.exit);
                return Some(known.unwrap_or(Exit { code: KILLED, oom_killed: false, at: now }));
            };
            container.cause = cause;
            container.name.clone()
        };
        // The engine counts in seconds.
        let seconds = i32::try_from(grace.nanos().div_ceil(1_000_000_000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(seconds).build();
        let _ = self.docker.stop_container(&name, Some(options)).await;
        None
    }
}

/// Init containers first, as the numbers of containers go.
fn containers(spec: &PodSpec) -> impl Iterator<Item = &Spec> {
    spec.init_containers.iter().chain(&spec.containers)
}

impl Runtime for DockerRuntime {
    fn set_clock(&mut self, clock: Clock) {
        self.shared.lock().clock = clock;
    }
    fn request(&mut self, node: NodeId, asked: Incarnation, cause: Cause, op: ContainerOp, _answers: &mut Vec<Answer>) {
        match op {
            ContainerOp::List => self.task(|shared| async move {
                let listed = shared.list(node).await;
                shared.answer(node, asked, cause, listed);
            }),
            ContainerOp::Pull { image } => self.task(|shared| async move {
                let result = shared.pull(&image).await;
                shared.answer(node, asked, cause, ContainerEvent::Pulled { image, result });
            }),
            ContainerOp::RunSandbox { pod, identity } => self.task(|shared| async move {
                let result = shared.run_sandbox(node, &pod, identity).await;
                shared.answer(node, asked, cause, ContainerEvent::SandboxRunning { pod, result });
            }),
            ContainerOp::Create { container, image, init } => self.task(|shared| async move {
                let result = shared.create(node, cause, &container, &image, init).await;
                shared.answer(node, asked, cause, ContainerEvent::Created { container, result });
            }),
            ContainerOp::Start { container } => self.task(|shared| async move {
                let result = shared.start(cause, &container).await;
                shared.answer(node, asked, cause, ContainerEvent::Started { container, result });
            }),
            ContainerOp::Stop { container, grace } => self.task(|shared| async move {
                if let Some(exit) = shared.stop(cause, &container, grace).await {
                    shared.answer(node, asked, cause, ContainerEvent::Exited { container, exit });
                }
            }),
            ContainerOp::Remove { container } => self.task(|shared| async move {
                let name = {
                    let mut state = shared.lock();
                    let dead = state.containers.get(&container).is_some_and(|one| !one.runs());
                    dead.then(|| state.containers.remove(&container)).flatten().map(|one| one.name)
                };
                if let Some(name) = name {
                    shared.remove(&name).await;
                }
                shared.answer(node, asked, cause, ContainerEvent::Removed { container });
            }),
            ContainerOp::StopSandbox { pod } => self.task(|shared| async move {
                shared.stop_sandbox(&pod).await;
                shared.answer(node, asked, cause, ContainerEvent::SandboxStopped { pod });
            }),
            ContainerOp::Probe { container, probe, timeout } => self.probe(node, asked, cause, container, probe, timeout),
        }
    }
    fn notice(&mut self, notice: Notice, answers: &mut Vec<Answer>) {
        if let Notice::Answer(answer) = notice {
            answers.push(answer);
        }
    }
    fn lose(&mut self, node: NodeId) {
        // What is being made now finds itself forgotten when it is made, and goes then.
        let names: Vec<String> = {
            let mut state = self.shared.lock();
            let containers: Vec<Container> = state.containers.extract_if(.., |_, one| one.node == node).map(|(_, one)| one).collect();
            let sandboxes: Vec<Sandbox> = state.sandboxes.extract_if(.., |_, one| one.node == node).map(|(_, one)| one).collect();
            containers.into_iter().map(|one| one.name).chain(sandboxes.into_iter().map(|one| one.name)).collect()
        };
        for name in names {
            self.task(|shared| async move { shared.remove(&name).await });
        }
    }
    fn freeze(&mut self, node: NodeId, frozen: bool) {
        let names: Vec<String> = {
            let state = self.shared.lock();
            state.containers.values().filter(|one| one.node == node && one.runs()).map(|one| one.name.clone()).collect()
        };
        for name in names {
            self.task(|shared| async move {
                // One that has ended meanwhile stands still anyway.
                let _ = if frozen { shared.docker.pause_container(&name).await } else { shared.docker.unpause_container(&name).await };
            });
        }
    }
    fn crash(&mut self, namespace: &Name, workload: &Name, count: Option<u64>, order: &str, cause: Cause) {
        let mut state = self.shared.lock();
        let State { sandboxes, containers, .. } = &mut *state;
        let running = containers.iter().filter(|(_, one)| one.runs() && !one.init).map(|(id, _)| id);
        let victims = runtime::victims(running, |pod| Some(&sandboxes.get(pod)?.info.identity), namespace, workload, count);
        let mut killed = Vec::new();
        for id in victims {
            let Some(container) = containers.get_mut(&id) else { continue };
            container.cause = cause;
            match &container.orders {
                // One that has ended hears nothing.
                Some(orders) => drop(orders.send(format!("{order}\n"))),
                None => killed.push(container.name.clone()),
            }
        }
        drop(state);
        for name in killed {
            self.task(|shared| async move { shared.kill(&name, "KILL").await });
        }
    }
    fn stats(&mut self) -> Vec<ContainerStats> {
        self.ask_stats()
    }
    fn end(&mut self) {
        {
            let mut state = self.shared.lock();
            if std::mem::replace(&mut state.over, true) {
                return;
            }
            // Nothing more is told.
            state.containers.clear();
            state.sandboxes.clear();
        }
        let pass = || self.engine.ours(Some(&self.shared.labels.run)).and_then(|found| self.engine.remove(&found, |_| true));
        // The second takes what was being made meanwhile, and what the first could not remove: what it leaves is left.
        let _ = pass();
        if let Err(error) = pass() {
            eprintln!("warning: something is left on the container engine, sim validate --clean removes it: {error}");
        }
    }
}

impl Drop for DockerRuntime {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_tag_or_a_digest_and_its_registry_may_have_a_port() {
        assert_eq!(name_and_tag("web"), ("web", "latest"));
        assert_eq!(name_and_tag("host:5000/web"), ("host:5000/web", "latest"));
        assert_eq!(name_and_tag("host:5000/web:2"), ("host:5000/web", "2"));
        assert_eq!(name_and_tag("host:5000/web@sha256:0f"), ("host:5000/web", "sha256:0f"));
        assert_eq!(name_and_tag("web:2@sha256:0f"), ("web:2", "sha256:0f"));
    }
}
