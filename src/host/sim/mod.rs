//! The host that jumps through time and models network, disks, cores and containers.
//!
//! [`connections`] keeps streams between processes, [`machines`] what a box has (power, disk, cores, a container engine), [`storage`] what
//! each process has written; the models themselves are in `models`. This file routes effects to them and their answers into the queue.
//! Invariant: nothing reaches, and nothing comes from, a machine without power.

mod connections;
mod crowd;
mod damage;
mod faults;
mod holds;
mod initial;
mod machines;
mod network;
mod partitions;
mod processes;
pub mod run;
mod runtimes;
mod storage;

pub use run::{Progress, Run, run};

use std::collections::BTreeMap;

use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Map, Stream, Time};
use crate::engine::event::{Event, HostEvent, Life, Pending, push};
use crate::engine::plan::{Fault, Plan};
use crate::engine::{Host, Queue};
use crate::models::container_engine::{Answer, ContainerEngine};
use crate::models::crowd::Crowd;
use crate::models::network::{Links, Place};
use crate::models::registry::{PullResult, Registry};
use crate::models::workload::Workloads;
use crate::proxy::{EndpointLog, NodeTable};
use crate::wire::{Address, Boot, Conn, DiskOp, Effect, Input, MachineId, Member, Provision, Server};

use connections::{Connections, EndState};
use holds::{Hold, Holds};
use machines::Machine;
use processes::Processes;
use storage::Storage;

/// What a [`HostEvent`] is about.
mod what {
    /// `which`: connection * 2 + side.
    pub const KEEP_ALIVE: u32 = 1;
    /// `which`: connection.
    pub const DIAL_AGAIN: u32 = 2;
    /// `which`: connection.
    pub const SERVED: u32 = 3;
    /// `which`: machine.
    pub const ENGINE: u32 = 4;
    pub const REGISTRY: u32 = 5;
    /// `which`: number of a sync under way.
    pub const SYNCED: u32 = 6;
    /// `which`: process; the balancer's health checks have found out.
    pub const BALANCER: u32 = 7;
    /// `which`: machine + 2^32 * number of the fault; an orderly restart is over.
    pub const BOOTED: u32 = 8;
    /// `which`: connection * 2 + side.
    pub const UNACKNOWLEDGED: u32 = 9;
    /// `which`: number of the fault; a partition that comes and goes does so.
    pub const FLAP: u32 = 10;
    /// The one daemon behind all machines.
    pub const CROWD: u32 = 11;
    /// `which`: number of a process.
    pub const COMES_UP: u32 = 12;
}

/// A process, as the machine sees it.
pub struct Process {
    machine: MachineId,
    up: bool,
    incarnation: Incarnation,
    /// The faults on it; those on its machine are there.
    holds: Holds,
    /// It was killed while its machine stood still: it dies when that goes on.
    condemned: bool,
    /// It said that it is ready; and what the balancer believes.
    healthy: bool,
    balanced: bool,
}

/// A pod's answer that was due while its machine stood still.
struct Unanswered {
    machine: MachineId,
    conn: Conn,
    /// How much of its time was left when that began.
    left: Duration,
    cause: Cause,
}

/// See the module.
pub struct SimHost {
    plan: std::sync::Arc<Plan>,
    machines: Vec<Machine>,
    processes: Processes,
    links: Links,
    connections: Connections,
    dialling: Map<Conn, network::Dialling>,
    storage: Storage,
    engines: Map<MachineId, ContainerEngine>,
    /// The machine of each block of pod addresses.
    blocks: Vec<MachineId>,
    registry: Registry,
    registry_armed: Time,
    /// The one daemon behind all machines, if they share one.
    crowd: Crowd,
    crowd_armed: Time,
    workloads: Workloads,
    log: EndpointLog,
    tables: Map<MachineId, (NodeTable, Duration)>,
    stream: Stream,
    served: Stream,
    /// Why disks are full, by the faults' numbers.
    full_disks: BTreeMap<u32, Cause>,
    /// Partitions that come and go, by the faults' numbers.
    flaps: BTreeMap<u32, partitions::Flapping>,
    /// What lasting faults do to the registry, by their numbers: `None` down, else its bytes per second.
    registry_faults: BTreeMap<u32, Option<u64>>,
    /// Requests that pods were to have answered while their machines stood still, and how long after the beginning of that.
    unanswered: Vec<Unanswered>,
    next_server: usize,
    answers: Vec<Answer>,
    pulls: Vec<PullResult>,
}

impl SimHost {
    /// `addresses`: each process and its machine.
    pub fn new(plan: std::sync::Arc<Plan>, addresses: &[(Address, MachineId)]) -> SimHost {
        let seed = Seed(plan.seed);
        let places: Vec<Place> = plan
            .machines
            .iter()
            .map(|machine| Place { region: machine.region.clone(), zone: machine.zone.clone(), rack: machine.rack.clone() })
            .collect();
        let process = |machine: MachineId| Process {
            machine,
            up: false,
            incarnation: Incarnation(0),
            holds: Holds::default(),
            condemned: false,
            healthy: false,
            balanced: false,
        };
        let preloaded = || plan.images.preloaded.iter().map(|image| (image.clone(), plan.images.size(image))).collect();
        let engine = |(block, node): (usize, &crate::engine::plan::NodePlan)| {
            let stream = seed.stream(&format!("container engine {}", node.shape.name));
            let engine = ContainerEngine::new(node.machine, block as u32, plan.runtime.clone(), preloaded(), stream);
            (node.machine, engine)
        };
        SimHost {
            machines: machines::all(&plan, seed),
            processes: Processes::new(addresses.iter().map(|(address, machine)| (*address, process(*machine))).collect()),
            links: Links::new(plan.network.clone(), &places, seed),
            connections: Connections::default(),
            dialling: Map::default(),
            storage: Storage::new(seed.stream("power loss"), seed.stream("damaged records")),
            engines: plan.nodes.iter().enumerate().map(engine).collect(),
            blocks: plan.nodes.iter().map(|node| node.machine).collect(),
            registry: Registry::new(
                plan.images.clone(),
                plan.machines.iter().map(|machine| machine.bandwidth).collect(),
                seed.stream("registry"),
            ),
            registry_armed: Time::NEVER,
            crowd: Crowd::new(plan.runtime.sharing.as_deref().cloned().unwrap_or_default()),
            crowd_armed: Time::NEVER,
            workloads: Workloads::new(seed, plan.behaviours.clone()),
            log: EndpointLog::default(),
            tables: Map::default(),
            stream: seed.stream("host"),
            served: seed.stream("requests served"),
            full_disks: BTreeMap::new(),
            flaps: BTreeMap::new(),
            registry_faults: BTreeMap::new(),
            unanswered: Vec::new(),
            next_server: 0,
            answers: Vec::new(),
            pulls: Vec::new(),
            plan,
        }
    }

    /// The container engine of a node's machine, to place what runs before the run begins.
    pub fn place(&mut self, machine: MachineId) -> (&mut ContainerEngine, &mut Workloads) {
        (self.engines.get_mut(&machine).expect("every node has an engine"), &mut self.workloads)
    }
    /// The log of a process as it stands at the start.
    pub fn preload_disk(&mut self, address: Address, records: Vec<crate::wire::DiskRecord>) {
        self.storage.preload(address, records);
    }

    fn machine(&mut self, id: MachineId) -> &mut Machine {
        &mut self.machines[id.0 as usize]
    }
    /// Has power, and does not stand still.
    fn runs(&self, id: MachineId) -> bool {
        let machine = &self.machines[id.0 as usize];
        machine.powered && machine.frozen.is_none()
    }
    fn push_input(&self, queue: &mut Queue, at: Time, to: Address, input: Input<std::convert::Infallible>, cause: Cause) {
        let incarnation = self.processes.get(&to).map_or(Incarnation(0), |process| process.incarnation);
        push(queue, at, Event::input(to, input), incarnation, cause);
    }
    fn push_host(&self, queue: &mut Queue, at: Time, what: u32, which: u64, cause: Cause) {
        queue.push(at, Pending::any(Event::Host(HostEvent { what, which }), cause));
    }
    fn push_life(queue: &mut Queue, at: Time, address: Address, life: Life, cause: Cause) {
        queue.push(at, Pending::any(Event::Life(address, life), cause));
    }

    /// Puts a machine's engine into the queue if it wants to be woken earlier than it is.
    fn arm_engine(&mut self, id: MachineId, queue: &mut Queue) {
        let Some(engine) = self.engines.get(&id) else { return };
        let deadline = engine.deadline();
        let machine = &mut self.machines[id.0 as usize];
        if deadline < machine.engine_armed {
            machine.engine_armed = deadline;
            self.push_host(queue, deadline, what::ENGINE, u64::from(id.0), Cause::NONE);
        }
    }
    fn arm_registry(&mut self, queue: &mut Queue) {
        let deadline = self.registry.deadline();
        if deadline < self.registry_armed {
            self.registry_armed = deadline;
            self.push_host(queue, deadline, what::REGISTRY, 0, Cause::NONE);
        }
    }

    /// Lets the registry go on and hands its results to the engines.
    fn wake_registry(&mut self, now: Time, queue: &mut Queue) {
        let mut pulls = std::mem::take(&mut self.pulls);
        self.registry.wake(now, &mut pulls);
        self.hand_out_pulls(now, pulls, queue);
        self.arm_registry(queue);
    }
    fn hand_out_pulls(&mut self, now: Time, mut pulls: Vec<PullResult>, queue: &mut Queue) {
        for PullResult { machine, image, result } in pulls.drain(..) {
            if let Some(engine) = self.engines.get_mut(&machine) {
                engine.pulled(&image, result, &mut self.answers);
                self.answer_kubelet(now, machine, queue);
            }
        }
        self.pulls = pulls;
    }
    fn wake_engine(&mut self, now: Time, id: MachineId, queue: &mut Queue) {
        self.machine(id).engine_armed = Time::NEVER;
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.wake(now, &mut self.workloads, &mut self.answers);
        }
        self.answer_kubelet(now, id, queue);
        self.arm_engine(id, queue);
    }

    /// Sends what an engine said to the kubelet of its machine; ends connections of containers that exited.
    fn answer_kubelet(&mut self, now: Time, id: MachineId, queue: &mut Queue) {
        let mut answers = std::mem::take(&mut self.answers);
        let kubelet = self.machines[id.0 as usize].kubelet;
        let silent = self.engines.get(&id).is_some_and(ContainerEngine::is_paused);
        for Answer { asked, cause, event } in answers.drain(..) {
            assert!(self.machines[id.0 as usize].powered, "a container of a machine without power made progress: {event:?}");
            if let crate::wire::container::ContainerEvent::Exited { .. } | crate::wire::container::ContainerEvent::SandboxStopped { .. } =
                event
            {
                self.reset_dead_pods(now, id, cause, queue);
            }
            if silent && !matches!(event, crate::wire::container::ContainerEvent::Probed { .. }) {
                self.engines.get_mut(&id).expect("it has just answered").keep_untold(Answer { asked, cause, event });
                continue;
            }
            if let Some(kubelet) = kubelet {
                let input = Event::input(kubelet, Input::Container(Box::new(event)));
                push(queue, now, input, asked.unwrap_or(Incarnation(0)), cause);
            }
        }
        self.answers = answers;
    }
}

impl Host for SimHost {
    fn advance(&mut self, deadline: Time, _queue: &mut Queue) -> Time {
        deadline
    }

    fn perform(&mut self, now: Time, from: Address, cause: Cause, effect: Effect, queue: &mut Queue) {
        match effect {
            Effect::Net(op) => self.net(now, from, cause, op, queue),
            Effect::Disk(DiskOp::Write(record)) => {
                let machine = self.processes[&from].machine;
                if self.machine(machine).disk.filled_by().is_empty() {
                    self.storage.write(from, record);
                } else {
                    self.end_for_lack_of_space(now, from, queue);
                }
            }
            Effect::Disk(DiskOp::Sync(id)) => {
                let process = &self.processes[&from];
                let (machine, incarnation) = (process.machine, process.incarnation);
                let number = self.storage.sync(from, incarnation, id);
                let machine = self.machine(machine);
                if machine.disk.is_stalled() {
                    machine.waiting.push((number, cause));
                } else {
                    let done = machine.disk.sync(now);
                    self.push_host(queue, done, what::SYNCED, number, cause);
                }
            }
            Effect::Disk(DiskOp::Repair) => self.storage.repair(from),
            Effect::Exit => SimHost::push_life(queue, now, from, Life::Stop, cause),
            Effect::Container(op) => {
                let (machine, incarnation) = (self.processes[&from].machine, self.processes[&from].incarnation);
                if matches!(*op, crate::wire::container::ContainerOp::List) {
                    self.tell_of_silence(now, machine, incarnation, queue);
                }
                let engine = self.engines.get_mut(&machine).expect("a kubelet's machine has an engine");
                engine.request(now, incarnation, cause, *op, &mut self.registry);
                self.join_crowd(now, machine, queue);
                self.arm_engine(machine, queue);
                self.arm_registry(queue);
            }
            Effect::Compute(id, work) => {
                let machine = self.processes[&from].machine;
                let done = self.machine(machine).cores.request(now, work);
                self.push_input(queue, done, from, Input::Done(id), cause);
            }
            Effect::Endpoints(change) => self.log.append(now, cause, *change),
            Effect::Provision(provision) => {
                let Provision { process, disk } = *provision;
                self.storage.provision(process, disk);
                SimHost::push_life(queue, now, process, Life::Stop, cause);
                self.start(now, process, cause, queue);
            }
            // The engine keeps these to itself.
            Effect::Record(..) | Effect::History(_) => unreachable!("facts do not reach the host"),
        }
    }

    fn inject(&mut self, now: Time, number: u32, fault: &Fault, cause: Cause, queue: &mut Queue) {
        self.begin_fault(now, number, fault, cause, queue);
    }
    fn heal(&mut self, now: Time, number: u32, fault: &Fault, cause: Cause, queue: &mut Queue) {
        self.end_fault(now, number, fault, cause, queue);
    }

    fn wake(&mut self, now: Time, event: HostEvent, cause: Cause, queue: &mut Queue) {
        match event.what {
            what::KEEP_ALIVE => self.check_keep_alive(now, Conn(event.which / 2), (event.which % 2) as usize, queue),
            what::UNACKNOWLEDGED => self.check_unacknowledged(now, Conn(event.which / 2), (event.which % 2) as usize, queue),
            what::DIAL_AGAIN => self.dial_again(now, Conn(event.which), queue),
            what::SERVED => self.served(now, Conn(event.which), cause, queue),
            what::ENGINE => self.wake_engine(now, MachineId(event.which as u32), queue),
            what::CROWD => self.wake_crowd(now, queue),
            what::REGISTRY => {
                self.registry_armed = Time::NEVER;
                self.wake_registry(now, queue);
            }
            what::SYNCED => {
                if let Some(asker) = self.storage.syncing(event.which) {
                    let machine = self.processes[&asker].machine;
                    let machine = self.machine(machine);
                    if machine.disk.is_stalled() {
                        machine.waiting.push((event.which, cause));
                        return;
                    }
                }
                if let Some((address, incarnation, id)) = self.storage.synced(event.which) {
                    push(queue, now, Event::input(address, Input::Synced(id)), incarnation, cause);
                }
            }
            what::COMES_UP => self.comes_up(now, event.which, cause, queue),
            what::FLAP => self.flap(now, event.which as u32, queue),
            what::BALANCER => self.balancer_checks(event.which),
            what::BOOTED => self.end_down(now, (event.which >> 32) as u32, MachineId(event.which as u32), cause, queue),
            other => unreachable!("no host event has the number {other}"),
        }
    }

    fn may_start(&self, address: Address) -> bool {
        self.processes.get(&address).is_none_or(|process| !process.holds.any(Hold::Down) && self.runs(process.machine))
    }
    fn boot(&mut self, _now: Time, address: Address, incarnation: Incarnation) -> Boot {
        let (disk, damaged) = self.storage.read(address);
        let process = self.processes.get_mut(&address).expect("every process has a place");
        process.up = true;
        process.incarnation = incarnation;
        Boot { incarnation, machine_boot: self.machines[process.machine.0 as usize].boot, disk, damaged }
    }

    fn stopped(&mut self, now: Time, address: Address, cause: Cause, queue: &mut Queue) {
        let process = self.processes.get_mut(&address).expect("every process has a place");
        process.up = false;
        process.healthy = false;
        process.condemned = false;
        process.holds.end_all(now, Hold::Still);
        let machine = &self.machines[process.machine.0 as usize];
        let kernel_lives = machine.powered || machine.shut_down;
        self.storage.stopped(address, kernel_lives);
        // Its dials die with it: none may open a connection for its next life.
        self.dialling.retain(|_, dial| !dial.is_from(address));
        self.end_connections_of(now, address, kernel_lives, cause, queue);
        if matches!(address, Address::Api(_)) {
            self.notice_health(now, address, queue);
        }
    }

    fn delivers(&mut self, to: Address, conn: Conn, closes: bool) -> bool {
        match self.connections.open_side(conn, to) {
            Some(side) => {
                if closes {
                    self.connections.end(conn, side, EndState::Closed);
                }
                true
            }
            // A dial that failed never was a connection.
            None => closes && self.connections.get(conn).is_none(),
        }
    }

    fn silenced_by(&self, now: Time, address: Address) -> Cause {
        let any = |addresses: &mut dyn Iterator<Item = Address>| {
            addresses.map(|address| self.silenced_by(now, address)).find(|cause| !cause.is_none()).unwrap_or_default()
        };
        let Some(process) = self.processes.get(&address) else {
            let servers = 1..=self.plan.api_servers.len() as u16;
            return if address == Address::ApiBalancer { any(&mut servers.map(|n| Address::Api(Server(n)))) } else { Cause::NONE };
        };
        let machine = &self.machines[process.machine.0 as usize];
        let cut = self.links.cut_around(process.machine).unwrap_or_default();
        let own = process.holds.cause(now).or(machine.holds.cause(now)).or(cut);
        match address {
            // A server that is well and does not answer waits for a member of etcd.
            Address::Api(_) if own.is_none() => any(&mut (1..=self.plan.etcd.len() as u16).map(|n| Address::Etcd(Member(n)))),
            _ => own,
        }
    }
}
