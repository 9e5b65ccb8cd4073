//! The cluster: the plan's actors, made, stepped and looked into.
//!
//! The one place that knows all kinds of actors. It also holds the observer and the expectations, since both look at what the store's
//! members applied, and compares members with one another.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::checks::history::History;
use super::checks::{self, Checks};
use super::event::Event;
use super::expectations::Expectations;
use super::observer::Observer;
use super::plan::{Fault, FaultPlan, Plan, Targets, Whose};
use super::record::{EtcdSample, Role, Sample, Verdict};
use super::recorder::Recorder;
use super::run::Actors;
use crate::apiserver::ApiServer;
use crate::base::random::Seed;
use crate::base::{Duration, Incarnation, Name, Revision, Time};
use crate::controllers::Manager;
use crate::etcd::{self, EtcdMember};
use crate::kubelet::Kubelet;
use crate::objects::pod::PodIp;
use crate::operator::Operator;
use crate::operator::etcdctl::Etcdctl;
use crate::proxy::Watcher;
use crate::scheduler::Scheduler;
use crate::traffic;
use crate::wire::etcd::{Applied, StoreKey};
use crate::wire::history as history_wire;
use crate::wire::{Actor, Address, DiskRecord, MachineId, Member, Message, NodeId, Outbox, Provision, Replica, Server};

/// A traffic client of the plan: one for each machine that a source sends from.
struct ClientPlan {
    machine: MachineId,
    config: traffic::Config,
}

/// A client of etcd, and where it runs.
struct EtcdClientPlan {
    machine: MachineId,
    /// Shared by the clients of a group.
    config: Arc<traffic::etcd::Config>,
}

/// See the module.
pub struct Cluster {
    plan: Arc<Plan>,
    seed: Seed,
    etcd: Vec<Option<Box<EtcdMember>>>,
    /// The members' databases, while they are down. `None`: this host keeps none.
    databases: Option<Vec<Option<Box<etcd::Database>>>>,
    /// Members that will begin their next life with another disk, and without their database.
    provisioned: BTreeSet<Member>,
    /// Clients of etcd tell what they do and see.
    has_histories: bool,
    has_objects: bool,
    /// What the last new cluster began with.
    restored: Option<Arc<crate::wire::raft::Snapshot>>,
    servers: Vec<Option<Box<ApiServer>>>,
    managers: Vec<Option<Box<Manager>>>,
    schedulers: Vec<Option<Box<Scheduler>>>,
    kubelets: Vec<Option<Kubelet>>,
    proxy: Option<Watcher>,
    operator: Option<Operator>,
    clients: Vec<Option<traffic::Client>>,
    client_plans: Vec<ClientPlan>,
    etcd_clients: Vec<Option<Box<traffic::etcd::Client>>>,
    etcd_client_plans: Vec<EtcdClientPlan>,
    etcdctl: Option<Box<Etcdctl>>,
    pub observer: Observer,
    /// What pods request on each node, as it was last sampled.
    requested: Arc<[(u32, i64, i64)]>,
    pub expectations: Expectations,
    pub checks: Checks,
    /// Samples are taken each so many seconds, so that a record stays small.
    sample_every: Duration,
    next_sample: Time,
}

/// Samples of nodes that a record may hold: beyond it they are taken less often.
const NODE_SAMPLES_MAX: u64 = 2_000_000;

impl Cluster {
    /// `service_ips`: the cluster IP that each traffic source's service will have, in the plan's order.
    pub fn new(plan: Arc<Plan>, service_ips: &[PodIp]) -> Cluster {
        let mut client_plans = Vec::new();
        let mut ranges = Vec::new();
        for (source, service) in plan.traffic.iter().zip(service_ips) {
            let first = client_plans.len() as u32;
            let machines = source.from.len().max(1) as u64;
            for (number, machine) in source.from.iter().enumerate() {
                // The rate is shared so that the parts add up to it.
                let rate_milli = source.rate_milli / machines + u64::from((number as u64) < source.rate_milli % machines);
                let config =
                    traffic::Config { service: *service, rate_milli, timeout: source.timeout, begin: source.start.max(plan.start) };
                client_plans.push(ClientPlan { machine: *machine, config });
            }
            ranges.push(first..client_plans.len() as u32);
        }
        let etcd_client_plans = etcd_clients(&plan);
        let mut checks = Checks::default();
        let drifts = plan.faults.iter().map(|fault| if let Fault::ClockDrift { ppm, .. } = fault.fault { ppm.unsigned_abs() } else { 0 });
        checks.clients.tolerate(drifts.sum());
        checks.clients.miss_some(plan.etcd_load.iter().any(|load| !load.records));
        let seconds = plan.duration.as_secs().max(1);
        let every = (plan.nodes.len() as u64 * seconds).div_ceil(NODE_SAMPLES_MAX).max(1);
        let none = |count: usize| (0..count).map(|_| None).collect::<Vec<_>>();
        Cluster {
            seed: Seed(plan.seed),
            etcd: (0..plan.etcd.len()).map(|_| None).collect(),
            databases: None,
            provisioned: BTreeSet::new(),
            has_histories: plan.etcd_load.iter().any(|load| load.records),
            has_objects: !plan.api_servers.is_empty(),
            restored: None,
            servers: (0..plan.api_servers.len()).map(|_| None).collect(),
            managers: (0..plan.managers.len()).map(|_| None).collect(),
            schedulers: (0..plan.schedulers.len()).map(|_| None).collect(),
            kubelets: (0..plan.nodes.len()).map(|_| None).collect(),
            proxy: None,
            operator: None,
            clients: none(client_plans.len()),
            client_plans,
            etcd_clients: (0..etcd_client_plans.len()).map(|_| None).collect(),
            etcd_client_plans,
            etcdctl: None,
            observer: Observer::default(),
            requested: Arc::default(),
            expectations: Expectations::new(&plan, ranges),
            checks,
            sample_every: Duration::from_secs(every),
            next_sample: plan.start,
            plan,
        }
    }

    /// This process outlives those of the members: it keeps their databases between their lives.
    pub fn keep_databases(&mut self) {
        self.databases = Some(self.plan.etcd.iter().map(|_| None).collect());
    }
    /// Every process and its machine, in the order that [`super::run::Directory`] wants. What is outside of the cluster (the operator,
    /// the proxies' watcher) lives on `outside`.
    pub fn places(&self, outside: MachineId) -> Vec<(Address, MachineId)> {
        let plan = &self.plan;
        let mut places = Vec::new();
        if !plan.is_etcd_only() {
            places.extend([(Address::Operator, outside), (Address::Proxy, outside)]);
        }
        let mut numbered = |machines: &[MachineId], address: &dyn Fn(u16) -> Address| {
            places.extend(machines.iter().enumerate().map(|(index, machine)| (address(index as u16 + 1), *machine)));
        };
        numbered(&plan.etcd, &|n| Address::Etcd(Member(n)));
        numbered(&plan.api_servers, &|n| Address::Api(Server(n)));
        numbered(&plan.managers, &|n| Address::Manager(Replica(n)));
        numbered(&plan.schedulers, &|n| Address::Scheduler(Replica(n)));
        places.extend(self.client_plans.iter().enumerate().map(|(n, client)| (Address::Traffic(n as u32), client.machine)));
        let etcd_clients = self.etcd_client_plans.iter().enumerate();
        places.extend(etcd_clients.map(|(n, client)| (Address::EtcdClient(n as u32), client.machine)));
        if !plan.etcd_steps.is_empty() {
            places.push((Address::Etcdctl, outside));
        }
        places.extend(plan.nodes.iter().enumerate().map(|(n, node)| (Address::Kubelet(NodeId(n as u32)), node.machine)));
        places
    }
    /// Who is meant by the names that facts of silence use.
    pub fn introduce(&self, recorder: &mut Recorder) {
        for (number, node) in self.plan.nodes.iter().enumerate() {
            recorder.know(node.shape.name.clone(), Address::Kubelet(NodeId(number as u32)));
        }
        for (address, _) in self.places(MachineId(0)) {
            recorder.know(Name::from(address.to_string()), address);
        }
        recorder.know_machines(self.plan.machines.iter().map(|machine| machine.name.clone()).collect());
    }
    /// The service of each traffic client, by its number.
    pub fn traffic_services(&self) -> Vec<crate::objects::Key> {
        let sources = self.plan.traffic.iter();
        sources.flat_map(|source| source.from.iter().map(|_| source.service.clone())).collect()
    }
    /// Judges the expectations that are left.
    pub fn finish(&mut self, end: Time, recorder: &mut Recorder) -> Vec<Verdict> {
        if recorder.violations.is_empty() {
            let mut violations = Vec::new();
            self.checks.clients.linearizability(recorder.histories(), &mut violations);
            recorder.violations = violations;
        }
        let empty = Expectations::new(&self.plan, Vec::new());
        std::mem::replace(&mut self.expectations, empty).finish(end, &self.observer, recorder)
    }
    /// The newest version of every object, as committed.
    pub fn observer(&self) -> &Observer {
        &self.observer
    }
    pub fn revision(&self) -> Revision {
        self.observer.revision()
    }
    /// The members that live, with their numbers.
    pub fn etcd_members(&self) -> Vec<(Member, &EtcdMember)> {
        self.etcd
            .iter()
            .enumerate()
            .filter_map(|(index, member)| {
                let member: &EtcdMember = member.as_deref()?;
                Some((Member(index as u16 + 1), member))
            })
            .collect()
    }

    fn etcd_leader(&self) -> Option<Address> {
        let leads = |(member, actor): (Member, &EtcdMember)| {
            let status = actor.status()?;
            (status.role == etcd::raft::Role::Leader).then_some((status.term, member))
        };
        self.etcd_members().into_iter().filter_map(leads).max().map(|(_, member)| Address::Etcd(member))
    }

    fn sample(&mut self, now: Time, up: &dyn Fn(Address) -> bool) -> Sample {
        if self.observer.take_requests_changed() || self.requested.len() != self.plan.nodes.len() {
            self.requested = self.plan.nodes.iter().map(|node| self.observer.requested(&node.shape.name)).collect();
        }
        let nodes = Arc::clone(&self.requested);
        let etcd = self.etcd.iter_mut().enumerate().map(|(index, member)| {
            let down = EtcdSample { role: Role::Down, term: 0, commit: 0, applied: 0, revision: 0, db_bytes: 0, commit_latency_p99: None };
            let address = Address::Etcd(Member(index as u16 + 1));
            let Some(member) = member.as_mut().filter(|_| up(address)) else { return down };
            let mut latencies = member.take_commit_latencies();
            latencies.sort_unstable();
            let p99 = latencies.get((latencies.len().saturating_sub(1)) * 99 / 100).copied();
            let Some(status) = member.status() else { return down };
            EtcdSample {
                role: match status.role {
                    etcd::raft::Role::Leader => Role::Leader,
                    etcd::raft::Role::Candidate | etcd::raft::Role::PreCandidate => Role::Candidate,
                    etcd::raft::Role::Follower => Role::Follower,
                },
                term: status.term.0,
                commit: status.commit.0,
                applied: status.applied.0,
                revision: status.revision.0,
                db_bytes: status.db_bytes,
                commit_latency_p99: p99,
            }
        });
        let etcd = etcd.collect();
        Sample { at: now, nodes, etcd }
    }
}

/// The clients of all groups, in the plan's order.
fn etcd_clients(plan: &Plan) -> Vec<EtcdClientPlan> {
    let all = plan.first_members();
    let mut clients = Vec::new();
    for load in &plan.etcd_load {
        let keys: Arc<[StoreKey]> = (0..load.keys).map(|key| history_wire::Key(key).store_key()).collect();
        let config = |endpoints: Vec<Member>| traffic::etcd::Config {
            endpoints,
            pace: load.pace.clone(),
            mix: load.mix,
            keys: keys.clone(),
            value_size: load.value_size,
            timeout: load.timeout,
            begin: load.start.max(plan.start),
            until: load.until,
            lease: load.lease,
            watch: load.watch,
            records: load.records,
            planted: plan.timings.etcd.planted,
        };
        let lists = if load.one_endpoint { all.iter().map(|member| vec![*member]).collect() } else { vec![all.clone()] };
        let configs: Vec<Arc<traffic::etcd::Config>> = lists.into_iter().map(|endpoints| Arc::new(config(endpoints))).collect();
        for nth in 0..load.count as usize {
            clients.push(EtcdClientPlan { machine: load.from[nth % load.from.len()], config: configs[nth % configs.len()].clone() });
        }
    }
    clients
}

fn slot<T>(actors: &mut [Option<T>], number: u16) -> &mut Option<T> {
    &mut actors[usize::from(number) - 1]
}

impl Actors for Cluster {
    fn spawn(&mut self, address: Address, incarnation: Incarnation) {
        let stream = |purpose: &str| self.seed.stream(&format!("{address} {purpose} incarnation {incarnation}"));
        let timings = &self.plan.timings;
        let server = Address::ApiBalancer;
        match address {
            Address::Etcd(member) => {
                self.checks.began(address);
                let mut actor = EtcdMember::new(timings.etcd.clone(), member, self.plan.first_members(), stream("raft"));
                if let Some(databases) = &mut self.databases {
                    actor = actor.with_database(databases[usize::from(member.0) - 1].take());
                }
                *slot(&mut self.etcd, member.0) = Some(Box::new(actor));
            }
            Address::Api(number) => {
                let actor = ApiServer::new(timings.apiserver.clone(), number, self.plan.first_members(), stream("server"));
                *slot(&mut self.servers, number.0) = Some(Box::new(actor));
            }
            Address::Manager(replica) => {
                let actor = Manager::new(timings.controllers.clone(), replica, server, stream("manager"));
                *slot(&mut self.managers, replica.0) = Some(Box::new(actor));
            }
            Address::Scheduler(replica) => {
                let actor =
                    Scheduler::new(timings.scheduler.clone(), replica, server, stream("session"), stream("election"), stream("ties"));
                *slot(&mut self.schedulers, replica.0) = Some(Box::new(actor));
            }
            Address::Kubelet(node) => {
                let shape = Arc::new(self.plan.nodes[node.0 as usize].shape.clone());
                let actor = Kubelet::new(timings.kubelet.clone(), node, shape, server, stream("kubelet"));
                self.kubelets[node.0 as usize] = Some(actor);
            }
            Address::Proxy => self.proxy = Some(Watcher::new(server, stream("watcher"))),
            Address::Operator => {
                let workload = match self.plan.initial {
                    super::plan::Initial::Empty => self.plan.workload.clone(),
                    super::plan::Initial::Running => Vec::new(),
                };
                let (steps, start) = (self.plan.steps.clone(), self.plan.start);
                self.operator = Some(Operator::new(server, workload, steps, start, stream("operator")));
            }
            Address::Traffic(client) => {
                let config = self.client_plans[client as usize].config.clone();
                self.clients[client as usize] = Some(traffic::Client::new(client, config, stream("client")));
            }
            Address::EtcdClient(client) => {
                let config = self.etcd_client_plans[client as usize].config.clone();
                let actor = traffic::etcd::Client::new(client, config, incarnation, stream("network"), stream("client"));
                self.etcd_clients[client as usize] = Some(Box::new(actor));
            }
            Address::Etcdctl => {
                let (first, steps) = (self.plan.steps.len() as u32, self.plan.etcd_steps.clone());
                let all = (1..=self.plan.etcd.len() as u16).map(Member).collect();
                self.etcdctl = Some(Box::new(Etcdctl::new(all, first, steps, stream("etcdctl"))));
            }
            Address::ApiBalancer | Address::Service(_) | Address::Pod(_) => unreachable!("{address} is no actor"),
        }
    }

    fn retire(&mut self, address: Address) {
        match address {
            Address::Etcd(member) => {
                let database = slot(&mut self.etcd, member.0).take().and_then(|actor| actor.into_database());
                if let Some(databases) = &mut self.databases {
                    databases[usize::from(member.0) - 1] = database.filter(|_| !self.provisioned.remove(&member));
                }
            }
            Address::Api(server) => *slot(&mut self.servers, server.0) = None,
            Address::Manager(replica) => *slot(&mut self.managers, replica.0) = None,
            Address::Scheduler(replica) => *slot(&mut self.schedulers, replica.0) = None,
            Address::Kubelet(node) => self.kubelets[node.0 as usize] = None,
            Address::Proxy => self.proxy = None,
            Address::Operator => self.operator = None,
            Address::Traffic(client) => self.clients[client as usize] = None,
            Address::EtcdClient(client) => self.etcd_clients[client as usize] = None,
            Address::Etcdctl => self.etcdctl = None,
            Address::ApiBalancer | Address::Service(_) | Address::Pod(_) => {}
        }
    }

    fn step(&mut self, now: Time, event: Event, out: &mut Outbox) {
        const LIVES: &str = "only the living get input";
        match event {
            Event::Etcd(member, input) => slot(&mut self.etcd, member.0).as_mut().expect(LIVES).step(now, input, out),
            Event::Api(server, input) => slot(&mut self.servers, server.0).as_mut().expect(LIVES).step(now, input, out),
            Event::Manager(replica, input) => slot(&mut self.managers, replica.0).as_mut().expect(LIVES).step(now, input, out),
            Event::Scheduler(replica, input) => slot(&mut self.schedulers, replica.0).as_mut().expect(LIVES).step(now, input, out),
            Event::Kubelet(node, input) => self.kubelets[node.0 as usize].as_mut().expect(LIVES).step(now, input, out),
            Event::Proxy(input) => self.proxy.as_mut().expect(LIVES).step(now, input, out),
            Event::Operator(input) => self.operator.as_mut().expect(LIVES).step(now, input, out),
            Event::Traffic(client, input) => self.clients[client as usize].as_mut().expect(LIVES).step(now, input, out),
            Event::EtcdClient(client, input) => self.etcd_clients[client as usize].as_mut().expect(LIVES).step(now, input, out),
            Event::Etcdctl(input) => self.etcdctl.as_mut().expect(LIVES).step(now, input, out),
            Event::Life(..) | Event::Host(_) | Event::Fault { .. } | Event::Second => unreachable!("{event:?} is for no actor"),
        }
    }

    fn deadline(&self, address: Address) -> Time {
        fn of<A: Actor>(actor: Option<&A>) -> Time {
            actor.map_or(Time::NEVER, Actor::deadline)
        }
        match address {
            Address::Etcd(member) => of(self.etcd[usize::from(member.0) - 1].as_deref()),
            Address::Api(server) => of(self.servers[usize::from(server.0) - 1].as_deref()),
            Address::Manager(replica) => of(self.managers[usize::from(replica.0) - 1].as_deref()),
            Address::Scheduler(replica) => of(self.schedulers[usize::from(replica.0) - 1].as_deref()),
            Address::Kubelet(node) => of(self.kubelets[node.0 as usize].as_ref()),
            Address::Proxy => of(self.proxy.as_ref()),
            Address::Operator => of(self.operator.as_ref()),
            Address::Traffic(client) => of(self.clients[client as usize].as_ref()),
            Address::EtcdClient(client) => of(self.etcd_clients[client as usize].as_deref()),
            Address::Etcdctl => of(self.etcdctl.as_deref()),
            Address::ApiBalancer | Address::Service(_) | Address::Pod(_) => Time::NEVER,
        }
    }

    fn applied(&mut self, now: Time, from: Address, applied: Applied, recorder: &mut Recorder, out: &mut Outbox) {
        if self.checks.applied(from, &applied, &mut recorder.violations) {
            if self.has_histories {
                self.checks.clients.applied(now, &applied, &mut recorder.violations);
            }
            self.expectations.advance(now, &self.observer, recorder);
            let touched = self.observer.committed(now, &applied, recorder, out);
            recorder.violations.append(&mut self.observer.take_violations());
            self.expectations.changed(now, &touched, &self.observer, recorder);
        }
    }

    fn wants_changes(&self) -> bool {
        self.has_histories || self.has_objects
    }

    fn provisioned(&mut self, provision: &Provision, recorder: &mut Recorder) -> Option<Revision> {
        let Address::Etcd(member) = provision.process else { return None };
        if let Some(databases) = &mut self.databases {
            databases[usize::from(member.0) - 1] = None;
            if slot(&mut self.etcd, member.0).is_some() {
                self.provisioned.insert(member);
            }
        }
        let snapshot = provision.disk.iter().find_map(|record| match record {
            DiskRecord::Snapshot(snapshot) => Some(snapshot),
            _ => None,
        })?;
        // The members of one new cluster get one snapshot.
        if self.restored.as_ref().is_none_or(|last| !Arc::ptr_eq(last, snapshot)) {
            self.restored = Some(snapshot.clone());
            self.checks.restored(&etcd::store::Store::from_snapshot(&snapshot.state).newest(), recorder.histories());
            recorder.etcd_restored();
        }
        Some(snapshot.state.revision)
    }

    fn preload(&mut self, now: Time, stored: &[crate::objects::Stored], recorder: &mut Recorder, out: &mut Outbox) {
        self.observer.preload(now, stored, recorder, out);
    }

    fn second(&mut self, now: Time, up: &dyn Fn(Address) -> bool, recorder: &mut Recorder) {
        recorder.etcd_leader = self.etcd_leader().filter(|leader| up(*leader));
        if let Some(Address::Etcd(leader)) = recorder.etcd_leader
            && let Some(configuration) = slot(&mut self.etcd, leader.0).as_deref().and_then(EtcdMember::configuration)
            && recorder.etcd_members != *configuration
        {
            recorder.etcd_members = configuration.clone();
        }
        self.expectations.advance(now, &self.observer, recorder);
        if now >= self.next_sample {
            self.next_sample = now + self.sample_every;
            let sample = self.sample(now, up);
            recorder.samples.push(sample);
        }
        let members = self.etcd_members();
        self.checks.members(&members, &mut recorder.violations);
    }

    fn told(&mut self, recorder: &mut Recorder) {
        let mut violations = std::mem::take(&mut recorder.violations);
        self.checks.clients.told(recorder.histories(), &mut violations);
        recorder.violations = violations;
    }

    fn wrote(&mut self, message: &Message, recorder: &mut Recorder) {
        if let Message::Raft(message) = message {
            self.checks.members.wrote(message, &mut recorder.violations);
        }
    }

    fn stepped(&mut self, address: Address, recorder: &mut Recorder) {
        // One that is about to get another disk belongs to the old cluster.
        if let Address::Etcd(number) = address
            && !self.provisioned.contains(&number)
            && let Some(member) = slot(&mut self.etcd, number.0)
        {
            self.checks.members.stepped(number, member, &mut recorder.violations);
        }
    }

    fn check_full(&mut self, history: &History, recorder: &mut Recorder) {
        let violations = &mut recorder.violations;
        Checks::stores(&self.etcd_members(), violations);
        let mut check = |address, informers: &_| checks::caches::informers(address, informers, history, violations);
        for (number, manager) in self.managers.iter().enumerate() {
            if let Some(informers) = manager.as_deref().and_then(Manager::informers) {
                check(Address::Manager(Replica(number as u16 + 1)), &informers);
            }
        }
        for (number, scheduler) in self.schedulers.iter().enumerate() {
            if let Some(scheduler) = scheduler {
                check(Address::Scheduler(Replica(number as u16 + 1)), &scheduler.informers());
            }
        }
        if let Some(proxy) = &self.proxy {
            check(Address::Proxy, &proxy.informers());
        }
        for kubelet in self.kubelets.iter().flatten() {
            check(Address::Kubelet(kubelet.id()), &kubelet.informers());
        }
        for (kubelet, node) in self.kubelets.iter().zip(&self.plan.nodes) {
            if let Some(kubelet) = kubelet {
                let address = Address::Kubelet(kubelet.id());
                checks::caches::admitted(address, kubelet.admitted(), &node.shape.allocatable, violations);
            }
        }
    }

    fn resolve(&self, fault: &FaultPlan) -> FaultPlan {
        let leader = |targets: &Targets| -> Targets {
            let address = match targets {
                Targets::Addresses(_) => return targets.clone(),
                Targets::KubeletsOn(machines) => {
                    let mut kubelets = self.on_machines(machines);
                    kubelets.retain(|address| matches!(address, Address::Kubelet(_)));
                    return Targets::Addresses(kubelets);
                }
                Targets::EtcdLeader => self.etcd_leader(),
                Targets::ManagerLeader => self.manager_leader(),
                Targets::SchedulerLeader => self.scheduler_leader(),
            };
            Targets::Addresses(address.into_iter().collect())
        };
        let names: Vec<Name> = self.plan.machines.iter().map(|machine| machine.name.clone()).collect();
        let mut resolved = fault.clone().with_machines(self.find(fault), &names);
        if let Fault::Kill(targets) | Fault::Pause(targets) = &mut resolved.fault {
            *targets = leader(targets);
        }
        resolved
    }

    fn on_machines(&self, machines: &[MachineId]) -> Vec<Address> {
        let inside = self.places(MachineId(u32::MAX)).into_iter();
        inside.filter(|(_, machine)| machines.contains(machine)).map(|(address, _)| address).collect()
    }
}

impl Cluster {
    fn manager_leader(&self) -> Option<Address> {
        let leads = self.managers.iter().position(|manager| manager.as_ref().is_some_and(|manager| manager.is_leading()));
        leads.map(|index| Address::Manager(Replica(index as u16 + 1)))
    }
    fn scheduler_leader(&self) -> Option<Address> {
        let leads = self.schedulers.iter().position(|one| one.as_ref().is_some_and(|scheduler| scheduler.is_leading()));
        leads.map(|index| Address::Scheduler(Replica(index as u16 + 1)))
    }
    /// Where a process runs; those outside of the cluster have no machine of the plan.
    fn machine_of(&self, process: Option<Address>) -> Option<MachineId> {
        let places = self.places(MachineId(u32::MAX));
        places.into_iter().find(|(address, _)| Some(*address) == process).map(|(_, machine)| machine)
    }
    /// The machines that a fault hits, with those that are known only now; sorted, each once.
    fn find(&self, fault: &FaultPlan) -> Vec<MachineId> {
        let mut machines = fault.fault.machines().cloned().unwrap_or_default();
        let Some(found) = &fault.found else { return machines };
        for whose in &found.whose {
            match whose {
                Whose::EtcdLeader => machines.extend(self.machine_of(self.etcd_leader())),
                Whose::ManagerLeader => machines.extend(self.machine_of(self.manager_leader())),
                Whose::SchedulerLeader => machines.extend(self.machine_of(self.scheduler_leader())),
                Whose::Pods(key) => {
                    let one = self.observer.get(key).and_then(|stored| stored.object.as_pod());
                    let bound = one.into_iter().chain(self.observer.pods(key)).filter(|pod| !pod.status.phase.is_terminal());
                    let names: BTreeSet<&Name> = bound.filter_map(|pod| pod.node.as_ref()).collect();
                    machines.extend(self.plan.nodes.iter().filter(|node| names.contains(&node.shape.name)).map(|node| node.machine));
                }
            }
        }
        machines.sort_unstable();
        machines.dedup();
        if let Some(choice) = found.choose {
            machines.retain(|machine| self.plan.nodes.iter().any(|node| node.machine == *machine));
            let mut stream = self.seed.stream(&format!("machines of {} at {}", fault.description, fault.at));
            stream.shuffle(&mut machines);
            machines.truncate(choice.of(machines.len()));
            machines.sort_unstable();
        }
        machines
    }
}
