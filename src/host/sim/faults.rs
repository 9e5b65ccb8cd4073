//! Faults: what each does to power, processes, links, disks, the registry and containers (mechanics.md, "Life of an actor, and faults").

use super::{Silence, SimHost, what};
use crate::base::{Cause, Incarnation, Time};
use crate::engine::Queue;
use crate::engine::event::Life;
use crate::engine::plan::{Fault, Targets};
use crate::wire::{Address, MachineId};

impl SimHost {
    pub(super) fn begin_fault(&mut self, now: Time, fault: &Fault, cause: Cause, queue: &mut Queue) {
        match fault {
            Fault::Kill(targets) => {
                for address in addresses(targets) {
                    self.process(address).fault = Silence::begin(cause);
                    SimHost::push_life(queue, now, address, Life::Stop, cause);
                }
            }
            Fault::Pause(targets) => {
                for address in addresses(targets) {
                    let process = self.process(address);
                    process.fault = Silence::begin(cause);
                    process.frozen = true;
                    SimHost::push_life(queue, now, address, Life::Freeze, cause);
                    self.fell_silent(now, address, cause, queue);
                }
            }
            Fault::PowerLoss(machines) => self.each(machines, |host, machine| host.power_off(now, machine, cause, queue)),
            Fault::Reboot { machines, takes } => {
                self.each(machines, |host, machine| {
                    // What has no power does not restart.
                    if !host.machine(machine).powered {
                        return;
                    }
                    host.power_off(now, machine, cause, queue);
                    host.push_host(queue, now + *takes, what::BOOTED, u64::from(machine.0), cause);
                });
            }
            Fault::Freeze(machines) => {
                self.each(machines, |host, machine| {
                    if !host.machine(machine).powered {
                        return;
                    }
                    host.machine(machine).frozen = true;
                    host.machine(machine).fault = Silence::begin(cause);
                    if let Some(engine) = host.engines.get_mut(&machine) {
                        engine.freeze(now);
                    }
                    for address in host.processes_on(machine) {
                        host.process(address).frozen = true;
                        SimHost::push_life(queue, now, address, Life::Freeze, cause);
                        host.fell_silent(now, address, cause, queue);
                    }
                });
            }
            Fault::Partition { from, to, one_way } => {
                let id = self.links.add_cut(from, to, *one_way, cause);
                self.disturbances.push((fault.clone(), id));
                for machine in from.iter().chain(to) {
                    let machine = self.machine(*machine);
                    machine.fault = Silence::begin(cause);
                }
                self.note_hearing(now);
                for conn in self.connections.all() {
                    let Some(connection) = self.connections.get(conn) else { continue };
                    let (a, b) = (connection.ends[0].machine, connection.ends[1].machine);
                    if self.links.cut(a, b).or(self.links.cut(b, a)).is_some() {
                        self.connections.get(conn).expect("it is there").silence = cause;
                        self.watch_silence(now, conn, queue);
                    }
                }
            }
            Fault::SlowLink { from, to, latency, loss } => {
                let id = self.links.add_slow(from, to, latency.clone(), *loss);
                self.disturbances.push((fault.clone(), id));
            }
            Fault::RegistryDown => self.set_registry(now, true, queue),
            Fault::RegistrySlow { bandwidth } => self.set_registry_bandwidth(now, Some(*bandwidth), queue),
            Fault::SlowDisk { machines, latency } => {
                self.each(machines, |host, machine| host.machine(machine).disk.set_extra(Some(latency.clone())));
            }
            Fault::ContainerCrash { namespace, workload, count, exit_code } => {
                let mut victims = Vec::new();
                for (machine, engine) in &self.engines {
                    for (identity, container) in engine.running(namespace, workload) {
                        victims.push((identity.pod.clone(), *machine, container.clone()));
                    }
                }
                victims.sort();
                for (_, machine, container) in victims.into_iter().take(count.unwrap_or(u64::MAX) as usize) {
                    if let Some(engine) = self.engines.get_mut(&machine) {
                        engine.crash(now, cause, &container, *exit_code);
                    }
                    self.arm_engine(machine, queue);
                }
            }
        }
    }

    pub(super) fn end_fault(&mut self, now: Time, fault: &Fault, cause: Cause, queue: &mut Queue) {
        match fault {
            Fault::Kill(targets) => {
                for address in addresses(targets) {
                    self.process(address).fault.until = now;
                    // Without power nothing starts; all that the machine has starts when it boots.
                    let machine = self.process(address).machine;
                    if self.machine(machine).powered {
                        SimHost::push_life(queue, now, address, Life::Start, cause);
                    }
                }
            }
            Fault::Pause(targets) => {
                let thawed = addresses(targets);
                for address in &thawed {
                    let process = self.process(*address);
                    process.fault.until = now;
                    process.frozen = false;
                    SimHost::push_life(queue, now, *address, Life::Thaw, cause);
                }
                self.release(now, |address, _| thawed.contains(&address), queue);
                for address in thawed {
                    self.notice_health(now, address, queue);
                }
            }
            Fault::PowerLoss(machines) => self.each(machines, |host, machine| host.power_on(now, machine, cause, queue)),
            // It ended by itself.
            Fault::Reboot { .. } | Fault::ContainerCrash { .. } => {}
            Fault::Freeze(machines) => {
                self.each(machines, |host, machine| {
                    host.machine(machine).frozen = false;
                    host.machine(machine).fault.until = now;
                    if let Some(engine) = host.engines.get_mut(&machine) {
                        engine.thaw(now);
                    }
                    for address in host.processes_on(machine) {
                        host.process(address).frozen = false;
                        SimHost::push_life(queue, now, address, Life::Thaw, cause);
                        host.notice_health(now, address, queue);
                    }
                    host.arm_engine(machine, queue);
                });
                let thawed = machines.clone();
                self.release(now, |_, machine| thawed.contains(&machine), queue);
            }
            Fault::Partition { from, to, .. } => {
                self.end_disturbance(fault);
                for machine in from.iter().chain(to) {
                    self.machine(*machine).fault.until = now;
                }
                self.note_hearing(now);
                self.release(now, |_, _| false, queue);
            }
            Fault::SlowLink { .. } => self.end_disturbance(fault),
            Fault::RegistryDown => self.set_registry(now, false, queue),
            Fault::RegistrySlow { .. } => self.set_registry_bandwidth(now, None, queue),
            Fault::SlowDisk { machines, .. } => self.each(machines, |host, machine| host.machine(machine).disk.set_extra(None)),
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

    fn power_off(&mut self, now: Time, id: MachineId, cause: Cause, queue: &mut Queue) {
        let machine = self.machine(id);
        if !machine.powered {
            return;
        }
        machine.powered = false;
        machine.frozen = false;
        machine.fault = Silence::begin(cause);
        machine.disk.reset(now);
        machine.cores.reset();
        self.note_hearing(now);
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.kill_all();
        }
        self.registry.abort(now, id);
        self.arm_registry(queue);
        for address in self.pods_on(id) {
            self.end_connections_of(now, address, false, cause, queue);
        }
        for address in self.processes_on(id) {
            SimHost::push_life(queue, now, address, Life::Stop, cause);
        }
    }

    pub(super) fn power_on(&mut self, now: Time, id: MachineId, cause: Cause, queue: &mut Queue) {
        let machine = self.machine(id);
        if machine.powered {
            return;
        }
        machine.powered = true;
        machine.boot = Incarnation(machine.boot.0 + 1);
        machine.fault.until = now;
        self.note_hearing(now);
        for address in self.processes_on(id) {
            SimHost::push_life(queue, now, address, Life::Start, cause);
        }
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
                connection.silence = cause;
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
    fn note_hearing(&mut self, now: Time) {
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

    fn end_disturbance(&mut self, fault: &Fault) {
        if let Some(place) = self.disturbances.iter().position(|(other, _)| other == fault) {
            let (_, id) = self.disturbances.remove(place);
            self.links.end(id);
        }
    }

    fn set_registry(&mut self, now: Time, down: bool, queue: &mut Queue) {
        let mut pulls = Vec::new();
        self.registry.set_down(now, down, &mut pulls);
        self.hand_out_pulls(now, pulls, queue);
        self.arm_registry(queue);
    }
    fn set_registry_bandwidth(&mut self, now: Time, bandwidth: Option<u64>, queue: &mut Queue) {
        let mut pulls = Vec::new();
        self.registry.set_bandwidth(now, bandwidth, &mut pulls);
        self.hand_out_pulls(now, pulls, queue);
        self.arm_registry(queue);
    }
}

/// The processes that a fault names. Roles have been resolved by the cluster.
fn addresses(targets: &Targets) -> Vec<Address> {
    match targets {
        Targets::Addresses(addresses) => addresses.clone(),
        Targets::EtcdLeader | Targets::ManagerLeader | Targets::SchedulerLeader => Vec::new(),
    }
}
