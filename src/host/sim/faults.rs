//! Faults: what each does to power, processes, links, disks, the registry and containers.
//!
//! | fault | unsynced writes | connections | containers |
//! | --- | --- | --- | --- |
//! | kill | kept (page cache) | reset | go on |
//! | pause | kept | silent, then go on | go on |
//! | power loss | a prefix survives, and perhaps a part of the next record | silent | gone |
//! | reboot | kept (files are synced) | reset | gone |
//! | freeze | kept | silent, then go on | stand still |
//! | full disk | the member of etcd that writes ends | reset | go on; none can be made |
//! | disk stall | wait | go on | go on; none can be made before it ends |
//! | runtime pause | kept | go on | go on; the kubelet gets no answer and hears of no exit |
//!
//! A slow machine does the same later: what its cores compute, what its container engine and its containers do, and what its network
//! interface carries. Clocks are the engine's.
//!
//! Faults may overlap: what holds a target is kept in [`super::holds`], links, disks and the registry by the faults' numbers, and the
//! target is free when the last of them has ended. A machine that stands still can neither end a process nor start one: it does when it
//! goes on.

use super::holds::Hold;
use super::{SimHost, what};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Time};
use crate::engine::event::Life;
use crate::engine::plan::{Fault, Targets};
use crate::engine::{Host, Queue};
use crate::models::distribution::Distribution;
use crate::wire::{Address, MachineId};

/// What a message counts as on a slow interface (our choice): most are objects of 1 to 3 kB, or heartbeats of less.
const MESSAGE_BYTES: u64 = 1_500;

impl SimHost {
    pub(super) fn begin_fault(&mut self, now: Time, number: u32, fault: &Fault, cause: Cause, queue: &mut Queue) {
        match fault {
            Fault::Kill(targets) => {
                for address in addresses(targets) {
                    let machine = self.process(address).machine;
                    let stands_still = self.machine(machine).frozen.is_some();
                    let process = self.process(address);
                    process.holds.begin(number, Hold::Down, cause);
                    if stands_still {
                        process.condemned = true;
                    } else {
                        SimHost::push_life(queue, now, address, Life::Stop, cause);
                    }
                }
            }
            Fault::Pause(targets) => {
                for address in addresses(targets) {
                    let process = self.process(address);
                    // Nobody is there to stop.
                    if process.up && process.holds.begin(number, Hold::Still, cause) {
                        SimHost::push_life(queue, now, address, Life::Freeze, cause);
                        self.fell_silent(now, address, cause, queue);
                    }
                }
            }
            Fault::PowerLoss(machines) => self.each(machines, |host, machine| host.power_off(now, number, machine, false, cause, queue)),
            Fault::Reboot { machines, takes } => {
                self.each(machines, |host, machine| {
                    // What has no power does not restart.
                    if host.machine(machine).powered {
                        host.power_off(now, number, machine, true, cause, queue);
                        let which = u64::from(number) << 32 | u64::from(machine.0);
                        host.push_host(queue, now + *takes, what::BOOTED, which, cause);
                    }
                });
            }
            Fault::Freeze(machines) => {
                self.each(machines, |host, id| {
                    let machine = host.machine(id);
                    if !machine.powered || !machine.holds.begin(number, Hold::Still, cause) {
                        return;
                    }
                    machine.frozen = Some(now);
                    if let Some(engine) = host.engines.get_mut(&id) {
                        engine.freeze(now);
                    }
                    for address in host.processes_on(id) {
                        SimHost::push_life(queue, now, address, Life::Freeze, cause);
                        host.fell_silent(now, address, cause, queue);
                    }
                });
                self.note_hearing(now);
            }
            Fault::Partition { from, to, one_way, flap } => {
                self.cut(now, number, from, to, *one_way, cause, queue);
                if let Some(flap) = flap {
                    self.begin_to_flap(now, number, fault, flap, cause, queue);
                }
            }
            Fault::SlowLink { from, to, latency, loss } => self.links.add_slow(number, from, to, latency.clone(), *loss),
            Fault::UnreliableLink { from, to, how } => self.links.add_unreliable(number, from, to, how.clone()),
            Fault::RegistryDown => {
                self.registry_faults.insert(number, None);
                self.set_registry(now, queue);
            }
            Fault::RegistrySlow { bandwidth } => {
                self.registry_faults.insert(number, Some(*bandwidth));
                self.set_registry(now, queue);
            }
            Fault::SlowDisk { machines, latency } => {
                self.each(machines, |host, machine| host.machine(machine).disk.add_extra(number, latency.clone()));
            }
            Fault::DiskStall(machines) => self.each(machines, |host, machine| {
                host.machine(machine).disk.stall(number);
                if let Some(engine) = host.engines.get_mut(&machine) {
                    engine.stall(now);
                }
            }),
            Fault::RuntimePause(machines) => self.each(machines, |host, id| host.pause_runtime(now, number, id, cause, queue)),
            Fault::DiskCorrupt { machines, which } => self.each(machines, |host, id| {
                for address in host.processes_on(id) {
                    if matches!(address, Address::Etcd(_)) {
                        host.storage.corrupt(address, *which);
                    }
                }
            }),
            Fault::DiskFull(machines) => {
                self.full_disks.insert(number, cause);
                self.each(machines, |host, machine| {
                    host.machine(machine).disk.fill(number);
                    if let Some(engine) = host.engines.get_mut(&machine) {
                        engine.set_full(true);
                    }
                });
            }
            Fault::SlowMachine { machines, cpu_milli, network_milli } => {
                self.each(machines, |host, machine| {
                    host.machine(machine).slowed.push((number, *cpu_milli, *network_milli));
                    host.set_speeds(now, machine, queue);
                });
                if *network_milli < 1000 {
                    self.slow_interfaces(number, machines, *network_milli);
                }
            }
            // The engine does it.
            Fault::ClockDrift { .. } => {}
            Fault::ContainerCrash { namespace, workload, count, exit_code, oom_killed } => {
                let mut victims = Vec::new();
                for (machine, engine) in &self.engines {
                    for (identity, container) in engine.running(namespace, workload) {
                        victims.push((identity.pod.clone(), *machine, container.clone()));
                    }
                }
                victims.sort();
                for (_, machine, container) in victims.into_iter().take(count.unwrap_or(u64::MAX) as usize) {
                    if let Some(engine) = self.engines.get_mut(&machine) {
                        engine.crash(now, cause, &container, *exit_code, *oom_killed);
                    }
                    self.arm_engine(machine, queue);
                }
            }
        }
    }

    pub(super) fn end_fault(&mut self, now: Time, number: u32, fault: &Fault, cause: Cause, queue: &mut Queue) {
        match fault {
            Fault::Kill(targets) => {
                for address in addresses(targets) {
                    if self.process(address).holds.end(now, number, Hold::Down) {
                        self.start(now, address, cause, queue);
                    }
                }
            }
            Fault::Pause(targets) => {
                let mut thawed = addresses(targets);
                thawed.retain(|address| self.process(*address).holds.end(now, number, Hold::Still));
                if thawed.is_empty() {
                    return;
                }
                for address in &thawed {
                    let machine = self.process(*address).machine;
                    if self.machine(machine).frozen.is_none() {
                        SimHost::push_life(queue, now, *address, Life::Thaw, cause);
                    }
                }
                self.release(now, |address, _| thawed.contains(&address), queue);
                for address in thawed {
                    self.notice_health(now, address, queue);
                }
            }
            Fault::PowerLoss(machines) => self.each(machines, |host, machine| host.end_down(now, number, machine, cause, queue)),
            // It ended by itself.
            Fault::Reboot { .. } | Fault::ContainerCrash { .. } | Fault::DiskCorrupt { .. } => {}
            // The engine does it.
            Fault::ClockDrift { .. } => {}
            Fault::DiskStall(machines) => self.each(machines, |host, id| host.end_stall(now, number, id, queue)),
            Fault::RuntimePause(machines) => self.each(machines, |host, id| host.end_runtime_pause(now, number, id, cause, queue)),
            Fault::DiskFull(machines) => {
                self.full_disks.remove(&number);
                self.each(machines, |host, id| {
                    let disk = &mut host.machine(id).disk;
                    disk.end_fill(number);
                    let full = !disk.filled_by().is_empty();
                    if let Some(engine) = host.engines.get_mut(&id) {
                        engine.set_full(full);
                    }
                    for address in host.processes_on(id) {
                        if host.process(address).holds.end(now, number, Hold::Down) {
                            host.start(now, address, cause, queue);
                        }
                    }
                });
            }
            Fault::SlowMachine { machines, .. } => {
                self.links.end(number);
                self.each(machines, |host, machine| {
                    host.machine(machine).slowed.retain(|(fault, ..)| *fault != number);
                    host.set_speeds(now, machine, queue);
                });
            }
            Fault::Freeze(machines) => {
                let mut thawed = machines.clone();
                thawed.retain(|machine| self.machine(*machine).holds.end(now, number, Hold::Still));
                if thawed.is_empty() {
                    return;
                }
                self.each(&thawed, |host, machine| host.thaw(now, machine, cause, queue));
                self.note_hearing(now);
                self.release(now, |_, machine| thawed.contains(&machine), queue);
            }
            Fault::Partition { from, to, .. } => {
                self.flaps.remove(&number);
                self.end_cut(now, number, from, to, queue);
            }
            Fault::SlowLink { .. } | Fault::UnreliableLink { .. } => self.links.end(number),
            Fault::RegistryDown | Fault::RegistrySlow { .. } => {
                self.registry_faults.remove(&number);
                self.set_registry(now, queue);
            }
            Fault::SlowDisk { machines, .. } => self.each(machines, |host, machine| host.machine(machine).disk.end_extra(number)),
        }
    }
}

impl SimHost {
    fn process(&mut self, address: Address) -> &mut super::Process {
        self.processes.get_mut(&address).expect("faults are resolved to processes of the plan")
    }
    fn each(&mut self, machines: &[MachineId], mut change: impl FnMut(&mut SimHost, MachineId)) {
        for machine in machines {
            change(self, *machine);
        }
    }
    /// The processes of a machine, in order of their addresses.
    fn processes_on(&self, machine: MachineId) -> Vec<Address> {
        let mut addresses: Vec<Address> =
            self.processes.iter().filter(|(_, process)| process.machine == machine).map(|(address, _)| *address).collect();
        addresses.sort();
        addresses
    }

    /// Starts a process, unless it is held down or its machine does not run: then it starts when that ends. One that is up, or is being
    /// stopped in this instant, is told so at once.
    pub(super) fn start(&mut self, now: Time, address: Address, cause: Cause, queue: &mut Queue) {
        let process = self.process(address);
        let (up, life) = (process.up, process.incarnation.next());
        // What is still to begin for the first time does so when its time has come.
        if !self.may_start(address) || (life.0 == 1 && self.plan.begins(address) > now) {
            return;
        }
        let mut stream = Seed(self.plan.seed).stream(&format!("start of {address} {life}"));
        let takes = if up { Duration::ZERO } else { self.plan.starts.again.sample(&mut stream) };
        if takes == Duration::ZERO {
            SimHost::push_life(queue, now, address, Life::Start, cause);
        } else {
            let number = self.processes.number(address).expect("every process has a place");
            self.push_host(queue, now + takes, what::COMES_UP, number, cause);
        }
    }
    /// A process that was started begins, unless it is held down again: the engine asks ([`Host::may_start`]).
    pub(super) fn comes_up(&self, now: Time, number: u64, cause: Cause, queue: &mut Queue) {
        SimHost::push_life(queue, now, self.processes.at(number).0, Life::Start, cause);
    }

    /// `in_order`: an operator's restart. The kubelet's graceful node shutdown is off by default (KubeletConfiguration,
    /// `shutdownGracePeriod: 0s`), so that the kubelet says nothing to the API server and pods just end; but files are synced, and kernels
    /// tell the peers of connections. The time that programs take to end is a part of the restart's. What stands still cannot be shut
    /// down: it is reset.
    fn power_off(&mut self, now: Time, number: u32, id: MachineId, in_order: bool, cause: Cause, queue: &mut Queue) {
        let machine = self.machine(id);
        machine.holds.begin(number, Hold::Down, cause);
        if !machine.powered {
            return;
        }
        let in_order = in_order && machine.frozen.is_none();
        machine.powered = false;
        machine.shut_down = in_order;
        machine.frozen = None;
        machine.holds.end_all(now, Hold::Still);
        machine.disk.reset(now);
        machine.waiting.clear();
        machine.cores.reset();
        self.unanswered.retain(|answer| answer.machine != id);
        self.note_hearing(now);
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.kill_all();
        }
        self.registry.abort(now, id);
        self.forget_runtime_pauses(now, id, queue);
        self.arm_registry(queue);
        for address in self.pods_on(id) {
            self.end_connections_of(now, address, in_order, cause, queue);
        }
        for address in self.processes_on(id) {
            SimHost::push_life(queue, now, address, Life::Stop, cause);
        }
    }

    /// One of the faults that keep a machine without power ends: it boots if it was the last.
    pub(super) fn end_down(&mut self, now: Time, number: u32, id: MachineId, cause: Cause, queue: &mut Queue) {
        let machine = self.machine(id);
        if !machine.holds.end(now, number, Hold::Down) {
            return;
        }
        assert!(!machine.powered, "{id:?} was held down with power");
        machine.powered = true;
        machine.shut_down = false;
        machine.boot = Incarnation(machine.boot.0 + 1);
        self.note_hearing(now);
        for address in self.processes_on(id) {
            self.start(now, address, cause, queue);
        }
    }

    /// A machine goes on where it stood.
    fn thaw(&mut self, now: Time, id: MachineId, cause: Cause, queue: &mut Queue) {
        self.machine(id).frozen = None;
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.thaw(now);
        }
        self.resume_runtime(now, id, cause, queue);
        for address in self.processes_on(id) {
            let process = self.process(address);
            if std::mem::take(&mut process.condemned) {
                SimHost::push_life(queue, now, address, Life::Stop, cause);
            } else if !process.holds.any(Hold::Still) {
                SimHost::push_life(queue, now, address, Life::Thaw, cause);
            }
            self.start(now, address, cause, queue);
            self.notice_health(now, address, queue);
        }
        self.answer_late(now, id, queue);
        self.arm_engine(id, queue);
    }

    /// Pods of a machine that have connections.
    fn pods_on(&self, machine: MachineId) -> Vec<Address> {
        let Some((first, last)) = self.pod_addresses(machine) else { return Vec::new() };
        self.connections.processes(first, last)
    }

    /// A process stands still: its peers begin to wonder, and the balancer with them.
    fn fell_silent(&mut self, now: Time, address: Address, cause: Cause, queue: &mut Queue) {
        for (conn, _) in self.connections.of(address) {
            if let Some(connection) = self.connections.get(conn) {
                connection.fall_silent(cause);
            }
            self.watch_silence(now, conn, queue);
        }
        if matches!(address, Address::Api(_)) {
            let at = now + super::network::HEALTH_CHECK * super::network::HEALTH_FALLS;
            if let Address::Api(number) = address {
                self.push_host(queue, at, what::BALANCER, u64::from(number.0), cause);
            }
        }
    }

    /// Which machines hear of changes of the API, and until when those that don't have heard.
    pub(super) fn note_hearing(&mut self, now: Time) {
        let servers: Vec<MachineId> = self.plan.api_servers.clone();
        for number in 0..self.machines.len() {
            let here = MachineId(number as u32);
            let reaches =
                |there: &MachineId| self.runs(*there) && self.links.cut(here, *there).is_none() && self.links.cut(*there, here).is_none();
            let hears = self.runs(here) && servers.iter().any(reaches);
            let machine = &mut self.machines[number];
            machine.hears_until = match (hears, machine.hears_until) {
                (true, _) => None,
                (false, None) => Some(now),
                (false, already) => already,
            };
        }
    }

    /// A process cannot write, and ends: etcd gives up when its log cannot be written (`server/storage/wal`, every caller's
    /// `lg.Fatal`). A supervisor would start it in vain until there is space.
    pub(super) fn end_for_lack_of_space(&mut self, now: Time, address: Address, queue: &mut Queue) {
        let machine = self.process(address).machine;
        let faults: Vec<u32> = self.machine(machine).disk.filled_by().to_vec();
        let mut first = Cause::NONE;
        for fault in faults {
            let cause = self.full_disks.get(&fault).copied().unwrap_or_default();
            first = first.or(cause);
            let holds = &mut self.process(address).holds;
            if !holds.is_held_by(fault, Hold::Down) {
                holds.begin(fault, Hold::Down, cause);
            }
        }
        SimHost::push_life(queue, now, address, Life::Stop, first);
    }

    /// One of the faults that keep a disk from going on ends: if it was the last, what waited is done, in its order.
    fn end_stall(&mut self, now: Time, number: u32, id: MachineId, queue: &mut Queue) {
        let machine = self.machine(id);
        machine.disk.end_stall(number);
        if machine.disk.is_stalled() {
            return;
        }
        for (sync, cause) in std::mem::take(&mut machine.waiting) {
            let done = self.machine(id).disk.sync(now);
            self.push_host(queue, done, super::what::SYNCED, sync, cause);
        }
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.end_stall(now);
        }
        self.arm_engine(id, queue);
    }

    /// A machine is as slow as the worst of its faults says; what a daemon that stands still has asked of the registry comes no further.
    pub(super) fn set_speeds(&mut self, now: Time, id: MachineId, queue: &mut Queue) {
        let machine = self.machine(id);
        let cpu = machine.slowed.iter().map(|(_, cpu, _)| *cpu).min().unwrap_or(1000);
        let network = machine.slowed.iter().map(|(.., network)| *network).min().unwrap_or(1000);
        let network = if machine.runtime_pauses.is_empty() { network } else { 0 };
        machine.cores.set_speed_milli(cpu);
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.set_speed_milli(cpu);
        }
        let mut pulls = Vec::new();
        self.registry.set_interface(now, id, network, &mut pulls);
        self.hand_out_pulls(now, pulls, queue);
        self.arm_registry(queue);
    }

    /// Each message to or from such a machine takes as long as its slow interface needs for it.
    fn slow_interfaces(&mut self, number: u32, machines: &[MachineId], network_milli: u64) {
        let all: Vec<MachineId> = (0..self.machines.len() as u32).map(MachineId).collect();
        for machine in machines {
            let rate = (u128::from(self.plan.machines[machine.0 as usize].bandwidth) * u128::from(network_milli) / 1000).max(1);
            let takes = u128::from(MESSAGE_BYTES) * 1_000_000_000 / rate;
            let takes = Distribution::Constant(Duration::from_nanos(u64::try_from(takes).unwrap_or(u64::MAX)));
            let others: Vec<MachineId> = all.iter().copied().filter(|other| other != machine).collect();
            self.links.add_slow(number, &[*machine], &others, takes, 0.0);
        }
    }

    /// The registry is down as long as a fault wants it so, and as slow as the worst of them says.
    fn set_registry(&mut self, now: Time, queue: &mut Queue) {
        let down = self.registry_faults.values().any(Option::is_none);
        let bandwidth = self.registry_faults.values().flatten().min().copied();
        let mut pulls = Vec::new();
        self.registry.set_down(now, down, &mut pulls);
        self.registry.set_bandwidth(now, bandwidth, &mut pulls);
        self.hand_out_pulls(now, pulls, queue);
        self.arm_registry(queue);
    }
}

/// The processes that a fault names. Roles have been resolved by the cluster.
fn addresses(targets: &Targets) -> Vec<Address> {
    match targets {
        Targets::Addresses(addresses) => addresses.clone(),
        Targets::EtcdLeader | Targets::ManagerLeader | Targets::SchedulerLeader | Targets::KubeletsOn(_) => Vec::new(),
    }
}
