//! The container engine of one machine: a daemon that answers every [`ContainerOp`] after the time that it takes, and the processes that
//! it has started, which live on by themselves: they serve, exit, crash, and are killed when their grace is over.
//!
//! The daemon works on [`presets::DAEMON_PARALLELISM`] operations at a time, first in first out: sandboxes, creates, starts, removals
//! and sandbox stops. Probes, lists and signals don't queue; pulls wait for the registry. Two pulls of one image share a transfer.
//! What the daemon has accepted happens even if the asker is gone by then: the next one finds it by listing.
//!
//! A container stopped with SIGTERM ends with code 0 after its workload's `stops_after`, or with 137 when the grace is over before. Left
//! out: the engine's own failures (but for a disk that is full or stands still, and a daemon that does), memory limits, image garbage
//! collection, network policies.
//! Invariant: one `Exited` for each start.

mod standstill;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::crowd::{Sharing, Verb};
use super::distribution::Distribution;
use super::presets;
use super::registry::Registry;
use super::workload::Workloads;
use crate::base::{Cause, Duration, Incarnation, Map, Name, Stream, Time};
use crate::objects::Uid;
use crate::objects::pod::PodIp;
use crate::wire::MachineId;
use crate::wire::container::{
    ContainerEvent, ContainerId, ContainerInfo, ContainerOp, Exit, PodIdentity, ProbeKind, RuntimeError, SandboxInfo,
};

/// How long the container engine takes, `presets`.
#[derive(Clone, Debug, PartialEq)]
pub struct RuntimeTimes {
    pub sandbox: Distribution,
    pub create: Distribution,
    pub start: Distribution,
    pub stop: Distribution,
    pub remove: Distribution,
    pub probe: Distribution,
    /// From a process' end until the daemon tells of it.
    pub exit: Distribution,
    /// All machines' daemons are one, which takes the longer the more it does at once.
    pub sharing: Option<Arc<Sharing>>,
}

impl Default for RuntimeTimes {
    fn default() -> RuntimeTimes {
        RuntimeTimes {
            sandbox: presets::sandbox(),
            create: presets::create(),
            start: presets::start(),
            stop: presets::engine_stop(),
            remove: presets::engine_remove(),
            probe: presets::probe(),
            exit: Distribution::Constant(Duration::ZERO),
            sharing: None,
        }
    }
}

/// Exit code of a process that was killed: 128 + SIGKILL (`docker run` reference, exit status).
pub const KILLED: i32 = 137;

/// What an engine says, to whom, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The life of the kubelet that asked; `None`: an exit, which is for whichever kubelet lives.
    pub asked: Option<Incarnation>,
    pub cause: Cause,
    pub event: ContainerEvent,
}

/// See the module. Calls that need what all machines share are given it.
pub struct ContainerEngine {
    machine: MachineId,
    times: RuntimeTimes,
    stream: Stream,
    addresses: Addresses,
    sandboxes: BTreeMap<Uid, SandboxInfo>,
    by_ip: Map<PodIp, Uid>,
    containers: BTreeMap<ContainerId, Container>,
    /// Sizes of the images that are here.
    images: BTreeMap<Name, u64>,
    pulling: BTreeMap<Name, Vec<Asker>>,
    pending: BTreeMap<(Time, u64), Pending>,
    /// What the one daemon of all machines works on, by number, and what it has yet to be told of: how long it takes alone.
    crowded: BTreeMap<u64, Pending>,
    begun: Vec<(u64, Verb, Duration)>,
    sequence: u64,
    /// When each of the daemon's workers will be free.
    workers: BinaryHeap<Reverse<Time>>,
    frozen: Option<Time>,
    standstill: standstill::Standstill,
    /// Nothing can be written.
    full: bool,
    /// Thousandths of the speed of the machine's cores.
    speed_milli: u64,
}

#[derive(Clone, Copy)]
struct Asker {
    incarnation: Incarnation,
    cause: Cause,
}

struct Container {
    init: bool,
    cause: Cause,
    process: Option<Process>,
    exit: Option<Exit>,
    /// Its end, if it was killed, came for lack of memory.
    oom_killed: bool,
}

struct Process {
    started_at: Time,
    ready_at: Time,
    stops_after: Duration,
    /// When it will end, and as what; the number of the pending end, so that a superseded one is told apart.
    end: Option<(Time, i32, u64)>,
    /// It was asked to end and takes longer than its grace.
    kill: Option<Kill>,
}

#[derive(Clone, Copy)]
struct Kill {
    due: Time,
    /// When it would end if nobody killed it, and as what.
    itself: (Time, i32),
}

enum Pending {
    List(Asker),
    /// Look-up of the digest of an image that is here.
    Resolved(Asker, Name, Result<u64, RuntimeError>),
    RunSandbox(Asker, Uid, PodIdentity),
    Create(Asker, ContainerId, Name, bool),
    Start(Asker, ContainerId),
    Remove(Asker, ContainerId),
    StopSandbox(Asker, Uid),
    Probe(Asker, ContainerId, ProbeKind),
    End(ContainerId),
    /// A stop of what does not run is answered all the same.
    NotRunning(Asker, ContainerId),
}

/// A machine's block of pod addresses: a /24 of 10.0.0.0/8 by the machine's number, as a cluster's pod CIDR is cut up. Handed out in turn,
/// so that an address is not used again soon.
struct Addresses {
    first: u32,
    next: u32,
}

impl Addresses {
    const BASE: u32 = 10 << 24;
    const COUNT: u32 = 254;

    fn of(block: u32) -> Addresses {
        assert!(block < 1 << 16, "10.0.0.0/8 has no block {block} of 256 addresses");
        Addresses { first: Self::BASE + (block << 8) + 1, next: 0 }
    }
    fn take(&mut self, used: &Map<PodIp, Uid>) -> Option<PodIp> {
        (0..Self::COUNT).find_map(|_| {
            let ip = PodIp(self.first + self.next);
            self.next = (self.next + 1) % Self::COUNT;
            (!used.contains_key(&ip)).then_some(ip)
        })
    }
}

/// The number of the machine block that an address belongs to.
pub fn block_of(ip: PodIp) -> Option<u32> {
    (ip.0 >> 24 == 10).then_some((ip.0 >> 8) & 0xffff)
}

impl ContainerEngine {
    /// `block`: the number of its block of pod addresses, unique in the cluster. `images`: what the machine has already, with sizes.
    pub fn new(machine: MachineId, block: u32, times: RuntimeTimes, images: BTreeMap<Name, u64>, stream: Stream) -> ContainerEngine {
        ContainerEngine {
            machine,
            times,
            stream,
            addresses: Addresses::of(block),
            sandboxes: BTreeMap::new(),
            by_ip: Map::default(),
            containers: BTreeMap::new(),
            images,
            pulling: BTreeMap::new(),
            pending: BTreeMap::new(),
            crowded: BTreeMap::new(),
            begun: Vec::new(),
            sequence: 0,
            workers: (0..presets::DAEMON_PARALLELISM).map(|_| Reverse(Time::ZERO)).collect(),
            frozen: None,
            standstill: standstill::Standstill::default(),
            full: false,
            speed_milli: 1000,
        }
    }
    /// Takes an operation of the kubelet's life `asked`.
    pub fn request(&mut self, now: Time, asked: Incarnation, cause: Cause, op: ContainerOp, registry: &mut Registry) {
        let asker = Asker { incarnation: asked, cause };
        if self.standstill.takes(asker, &op) {
            return;
        }
        match op {
            ContainerOp::List => {
                let takes = self.times.probe.sample(&mut self.stream);
                let at = now + self.stretch(takes);
                self.push(now, at, Pending::List(asker));
            }
            ContainerOp::Pull { image } => self.pull(now, asker, image, registry),
            ContainerOp::RunSandbox { pod, identity } => {
                self.queue(now, Verb::Sandbox, Pending::RunSandbox(asker, pod, identity));
            }
            ContainerOp::Create { container, image, init } => {
                self.queue(now, Verb::Create, Pending::Create(asker, container, image, init));
            }
            ContainerOp::Start { container } => {
                self.queue(now, Verb::Start, Pending::Start(asker, container));
            }
            ContainerOp::Stop { container, grace } => self.stop(now, asker, container, grace),
            ContainerOp::Remove { container } => {
                self.queue(now, Verb::Remove, Pending::Remove(asker, container));
            }
            ContainerOp::StopSandbox { pod } => {
                self.queue(now, Verb::Stop, Pending::StopSandbox(asker, pod));
            }
            ContainerOp::Probe { container, probe, timeout } => {
                // A healthy program answers in time: the promise that a result holds must not be broken by chance.
                let takes = self.times.probe.sample(&mut self.stream);
                let takes = self.stretch(takes).min(timeout);
                self.push(now, now + takes, Pending::Probe(asker, container, probe));
            }
        }
    }
    pub fn deadline(&self) -> Time {
        match self.frozen {
            Some(_) => Time::NEVER,
            None => self.pending.first_key_value().map_or(Time::NEVER, |((at, _), _)| *at),
        }
    }
    pub fn wake(&mut self, now: Time, workloads: &mut Workloads, answers: &mut Vec<Answer>) {
        while self.deadline() <= now {
            let ((at, number), pending) = self.pending.pop_first().expect("a deadline is something pending");
            self.complete(at, number, pending, workloads, answers);
        }
    }
    /// The registry is done with a pull of this machine.
    pub fn pulled(&mut self, image: &Name, result: Result<u64, RuntimeError>, answers: &mut Vec<Answer>) {
        let result = result.and_then(|size| if self.full { Err(RuntimeError::Engine) } else { Ok(size) });
        if let Ok(size) = result {
            self.images.insert(image.clone(), size);
        }
        for asker in self.pulling.remove(image).unwrap_or_default() {
            answers.push(asker.answer(ContainerEvent::Pulled { image: image.clone(), result }));
        }
    }
    /// A process of this container ends now with this code, if it runs; `oom_killed`: for lack of memory. The exit comes at the next
    /// `wake`.
    pub fn crash(&mut self, now: Time, cause: Cause, container: &ContainerId, code: i32, oom_killed: bool) {
        if let Some(present) = self.containers.get_mut(container).filter(|container| container.runs()) {
            present.cause = cause;
            present.oom_killed = oom_killed;
            self.end_at(container, self.frozen.unwrap_or(now), code);
        }
    }
    /// Whether the machine's disk is full: then no image is stored, and no sandbox and no container is made.
    pub fn set_full(&mut self, full: bool) {
        self.full = full;
    }
    /// The speed of the machine's cores for what begins from now on; 1000: as it should be.
    pub fn set_speed_milli(&mut self, speed_milli: u64) {
        self.speed_milli = speed_milli.max(1);
    }
    fn stretch(&self, takes: Duration) -> Duration {
        takes.scale(1000, self.speed_milli)
    }
    /// Power is lost: containers, sandboxes and all that was under way are gone without a word. Images stay.
    pub fn kill_all(&mut self) {
        self.sandboxes.clear();
        self.by_ip.clear();
        self.containers.clear();
        self.pulling.clear();
        self.pending.clear();
        self.crowded.clear();
        self.begun.clear();
        self.standstill.forget();
        self.workers = (0..presets::DAEMON_PARALLELISM).map(|_| Reverse(Time::ZERO)).collect();
        self.frozen = None;
    }
    /// The machine stands still, containers too.
    pub fn freeze(&mut self, now: Time) {
        self.frozen.get_or_insert(now);
    }
    /// It goes on where it stood: everything that was to happen happens later by the time that it stood.
    pub fn thaw(&mut self, now: Time) {
        let Some(since) = self.frozen.take() else { return };
        let stood = now.since(since);
        self.pending = std::mem::take(&mut self.pending).into_iter().map(|((at, number), what)| ((at + stood, number), what)).collect();
        self.workers = self.workers.drain().map(|Reverse(at)| Reverse(if at > since { at + stood } else { at })).collect();
        for process in self.containers.values_mut().filter_map(|container| container.process.as_mut()) {
            if process.ready_at > since {
                process.ready_at += stood;
            }
            if let Some((at, ..)) = &mut process.end {
                *at += stood;
            }
            if let Some(kill) = &mut process.kill {
                *kill = Kill { due: kill.due + stood, itself: (kill.itself.0 + stood, kill.itself.1) };
            }
        }
    }
    /// The workload whose program answers at this address, if one serves there.
    pub fn serving(&self, ip: PodIp, now: Time) -> Option<&PodIdentity> {
        let pod = self.by_ip.get(&ip).filter(|_| self.frozen.is_none())?;
        let mut containers = self.containers.range(first_of(pod)..).take_while(|(id, _)| id.pod == *pod);
        let serves = |container: &Container| !container.init && container.process.as_ref().is_some_and(|process| process.ready_at <= now);
        containers.any(|(_, container)| container.runs() && serves(container)).then(|| &self.sandboxes[pod].identity)
    }
    /// App containers that run, of one workload: (pod, container), in order of the pods' uids.
    pub fn running<'a>(&'a self, namespace: &'a str, workload: &'a str) -> impl Iterator<Item = (&'a PodIdentity, &'a ContainerId)> {
        self.containers.iter().filter(|(_, container)| container.runs() && !container.init).filter_map(move |(id, _)| {
            let identity = &self.sandboxes.get(&id.pod)?.identity;
            (*identity.namespace == *namespace && *identity.workload == *workload).then_some((identity, id))
        })
    }
    /// Puts a pod here that already runs, as if everything had happened before the run: containers by image, init containers first, of
    /// which those that are no sidecars have ended. Returns the pod's address.
    pub fn place(
        &mut self,
        at: Time,
        pod: &Uid,
        identity: &PodIdentity,
        containers: &[(Name, bool)],
        workloads: &mut Workloads,
    ) -> Option<PodIp> {
        let ip = self.addresses.take(&self.by_ip)?;
        self.add_sandbox(pod.clone(), identity.clone(), ip);
        for (index, (image, init)) in containers.iter().enumerate() {
            let id = ContainerId { pod: pod.clone(), index: index as u16, attempt: 0 };
            self.images.entry(image.clone()).or_insert(0);
            let mut container = Container { init: *init, cause: Cause::NONE, process: None, exit: None, oom_killed: false };
            if *init {
                container.exit = Some(Exit { code: 0, oom_killed: false, at });
            }
            self.containers.insert(id.clone(), container);
            if *init {
                let process = Process { started_at: at, ready_at: at, stops_after: Duration::ZERO, end: None, kill: None };
                self.containers.get_mut(&id).expect("just inserted").process = Some(process);
            } else {
                self.begin_process(at, &id, workloads);
                let process = self.containers.get_mut(&id).and_then(|container| container.process.as_mut());
                process.expect("just begun").ready_at = at;
            }
        }
        Some(ip)
    }

    /// The images that are here, with sizes, by name.
    pub fn images(&self) -> impl Iterator<Item = (Name, u64)> {
        self.images.iter().map(|(image, size)| (image.clone(), *size))
    }

    /// Gives the daemon something to do that takes a draw of the verb's distribution.
    fn queue(&mut self, now: Time, verb: Verb, pending: Pending) {
        let times = &self.times;
        let times = match verb {
            Verb::Sandbox => &times.sandbox,
            Verb::Create => &times.create,
            Verb::Start => &times.start,
            Verb::Stop => &times.stop,
            Verb::Remove => &times.remove,
        };
        let takes = times.sample(&mut self.stream);
        let takes = self.stretch(takes);
        if self.times.sharing.is_some() {
            self.sequence += 1;
            self.crowded.insert(self.sequence, pending);
            self.begun.push((self.sequence, verb, takes));
            return;
        }
        let Reverse(free) = self.workers.pop().expect("a daemon has workers");
        let at = free.max(now) + takes;
        self.workers.push(Reverse(at));
        self.push(now, at, pending);
    }
    /// What the one daemon of all machines has yet to be told of.
    pub fn take_begun(&mut self) -> Vec<(u64, Verb, Duration)> {
        std::mem::take(&mut self.begun)
    }
    /// The one daemon has done this; its answer comes at the next `wake`.
    pub fn finish(&mut self, now: Time, number: u64) {
        // What was lost with the power, it has done for nobody.
        if let Some(pending) = self.crowded.remove(&number) {
            self.push(now, now, pending);
        }
    }
    fn push(&mut self, now: Time, at: Time, pending: Pending) {
        if self.standstill.keeps_back(&pending) {
            return self.standstill.keep_back(at, now, pending);
        }
        self.sequence += 1;
        self.pending.insert((at, self.sequence), pending);
    }
    fn pull(&mut self, now: Time, asker: Asker, image: Name, registry: &mut Registry) {
        if let Some(size) = self.images.get(&image).copied() {
            // The layers are here: only the digest is looked up, which needs the registry all the same.
            let result = if registry.is_down() { Err(RuntimeError::RegistryUnavailable) } else { Ok(size) };
            let at = now + registry.round_trips();
            self.push(now, at, Pending::Resolved(asker, image, result));
            return;
        }
        let askers = self.pulling.entry(image.clone()).or_default();
        askers.push(asker);
        if askers.len() == 1 {
            registry.request(now, self.machine, &image);
        }
    }
    fn stop(&mut self, now: Time, asker: Asker, id: ContainerId, grace: Duration) {
        let Some(container) = self.containers.get_mut(&id).filter(|container| container.runs()) else {
            self.push(now, now, Pending::NotRunning(asker, id));
            return;
        };
        container.cause = asker.cause;
        let process = container.process.as_mut().expect("it runs");
        if process.stops_after < grace {
            let at = now + process.stops_after;
            return self.end_at(&id, at, 0);
        }
        let planned = process.end.map(|(at, code, _)| (at, code));
        let by_request = (now + process.stops_after, 0);
        let itself = process.kill.map_or_else(|| planned.map_or(by_request, |planned| planned.min(by_request)), |kill| kill.itself);
        process.kill = Some(Kill { due: now + grace, itself });
        self.end_at(&id, now + grace, KILLED);
    }
    /// The process ends then, unless it was to end before.
    fn end_at(&mut self, id: &ContainerId, at: Time, code: i32) {
        let at = at + self.times.exit.sample(&mut self.stream);
        self.sequence += 1;
        let number = self.sequence;
        let process = self.containers.get_mut(id).and_then(|container| container.process.as_mut()).expect("a process ends");
        if let Some((planned, _, superseded)) = process.end {
            if planned <= at {
                return;
            }
            self.pending.remove(&(planned, superseded));
        }
        process.end = Some((at, code, number));
        self.pending.insert((at, number), Pending::End(id.clone()));
    }
    fn add_sandbox(&mut self, pod: Uid, identity: PodIdentity, ip: PodIp) {
        self.by_ip.insert(ip, pod.clone());
        self.sandboxes.insert(pod.clone(), SandboxInfo { pod, identity, ip });
    }
    fn begin_process(&mut self, now: Time, id: &ContainerId, workloads: &mut Workloads) {
        let container = self.containers.get_mut(id).expect("what is started was created");
        let life = workloads.life(&self.sandboxes[&id.pod].identity, id.index, id.attempt, container.init);
        let init = container.init;
        let (ready_after, stops_after) = (self.stretch(life.ready_after), self.stretch(life.stops_after));
        let process = Process { started_at: now, ready_at: now + ready_after, stops_after, end: None, kill: None };
        self.containers.get_mut(id).expect("it is there").process = Some(process);
        if let Some((after, code)) = life.exits_after {
            // An init container computes; when another program ends is its own affair.
            let after = if init { self.stretch(after) } else { after };
            self.end_at(id, now + after, code);
        }
    }

    fn complete(&mut self, now: Time, number: u64, pending: Pending, workloads: &mut Workloads, answers: &mut Vec<Answer>) {
        match pending {
            Pending::List(asker) => answers.push(asker.answer(self.list())),
            Pending::Resolved(asker, image, result) => answers.push(asker.answer(ContainerEvent::Pulled { image, result })),
            Pending::RunSandbox(asker, pod, identity) => {
                let present = self.sandboxes.get(&pod).map(|sandbox| sandbox.ip);
                let room = !self.full;
                let fresh = || room.then(|| self.addresses.take(&self.by_ip)).flatten();
                let result = present.or_else(fresh).ok_or(RuntimeError::Engine);
                if let (None, Ok(ip)) = (present, result) {
                    self.add_sandbox(pod.clone(), identity, ip);
                }
                answers.push(asker.answer(ContainerEvent::SandboxRunning { pod, result }));
            }
            Pending::Create(asker, container, image, init) => {
                let result = self.create(asker, &container, &image, init);
                answers.push(asker.answer(ContainerEvent::Created { container, result }));
            }
            Pending::Start(asker, container) => {
                let present = self.containers.get_mut(&container).filter(|_| self.sandboxes.contains_key(&container.pod));
                let result = match present {
                    Some(present) if present.process.is_none() => {
                        present.cause = asker.cause;
                        self.begin_process(now, &container, workloads);
                        Ok(())
                    }
                    _ => Err(RuntimeError::Engine),
                };
                answers.push(asker.answer(ContainerEvent::Started { container, result }));
            }
            Pending::Remove(asker, container) => {
                if self.containers.get(&container).is_none_or(|present| !present.runs()) {
                    self.containers.remove(&container);
                }
                answers.push(asker.answer(ContainerEvent::Removed { container }));
            }
            Pending::StopSandbox(asker, pod) => {
                let running: Vec<ContainerId> = self.of(&pod).filter(|(_, container)| container.runs()).map(|(id, _)| id.clone()).collect();
                for id in running {
                    self.exit(now, id, KILLED, answers);
                }
                if let Some(sandbox) = self.sandboxes.remove(&pod) {
                    self.by_ip.remove(&sandbox.ip);
                }
                answers.push(asker.answer(ContainerEvent::SandboxStopped { pod }));
            }
            Pending::Probe(asker, container, probe) => {
                let (success, holds_until) = self.probe(now, &container);
                answers.push(asker.answer(ContainerEvent::Probed { container, probe, success, holds_until }));
            }
            Pending::End(id) => {
                let end = self.containers.get(&id).and_then(|container| container.process.as_ref()?.end);
                if let Some((_, code, planned)) = end
                    && planned == number
                {
                    self.exit(now, id, code, answers);
                }
            }
            Pending::NotRunning(asker, container) => {
                let known = self.containers.get(&container).and_then(|container| container.exit);
                let exit = known.unwrap_or(Exit { code: KILLED, oom_killed: false, at: now });
                answers.push(asker.answer(ContainerEvent::Exited { container, exit }));
            }
        }
    }
    fn of<'a>(&'a self, pod: &'a Uid) -> impl Iterator<Item = (&'a ContainerId, &'a Container)> {
        self.containers.range(first_of(pod)..).take_while(move |(id, _)| id.pod == *pod)
    }
    /// Makes a container; the exited one of the attempt before goes, as the kubelet's garbage collection keeps one for each container.
    fn create(&mut self, asker: Asker, id: &ContainerId, image: &Name, init: bool) -> Result<(), RuntimeError> {
        if self.full || !self.sandboxes.contains_key(&id.pod) || !self.images.contains_key(image) {
            return Err(RuntimeError::Engine);
        }
        let older = ContainerId { attempt: 0, ..id.clone() }..id.clone();
        let dead: Vec<ContainerId> =
            self.containers.range(older).filter(|(_, container)| !container.runs()).map(|(id, _)| id.clone()).collect();
        for id in dead {
            self.containers.remove(&id);
        }
        let container = Container { init, cause: asker.cause, process: None, exit: None, oom_killed: false };
        self.containers.insert(id.clone(), container);
        Ok(())
    }
    fn exit(&mut self, now: Time, id: ContainerId, code: i32, answers: &mut Vec<Answer>) {
        let container = self.containers.get_mut(&id).expect("what exits was created");
        let exit = Exit { code, oom_killed: container.oom_killed && code == KILLED, at: now };
        assert!(container.exit.is_none(), "{id:?} exits twice");
        container.exit = Some(exit);
        answers.push(Answer { asked: None, cause: container.cause, event: ContainerEvent::Exited { container: id, exit } });
    }
    /// A probe's result now, and until when it cannot change.
    fn probe(&self, now: Time, id: &ContainerId) -> (bool, Time) {
        match self.containers.get(id).filter(|container| container.runs()).and_then(|container| container.process.as_ref()) {
            None => (false, Time::NEVER),
            Some(process) if now < process.ready_at => (false, process.ready_at),
            Some(process) => (true, process.end.map_or(Time::NEVER, |(at, ..)| at)),
        }
    }
    fn list(&self) -> ContainerEvent {
        let info = |(id, container): (&ContainerId, &Container)| ContainerInfo {
            container: id.clone(),
            started_at: container.process.as_ref().map(|process| process.started_at),
            exit: container.exit,
        };
        ContainerEvent::Listed {
            sandboxes: self.sandboxes.values().cloned().collect(),
            containers: self.containers.iter().map(info).collect(),
            images: self.images.iter().map(|(image, size)| (image.clone(), *size)).collect(),
        }
    }
}

impl Container {
    fn runs(&self) -> bool {
        self.process.is_some() && self.exit.is_none()
    }
}

impl Asker {
    fn answer(self, event: ContainerEvent) -> Answer {
        Answer { asked: Some(self.incarnation), cause: self.cause, event }
    }
}

fn first_of(pod: &Uid) -> ContainerId {
    ContainerId { pod: pod.clone(), index: 0, attempt: 0 }
}
