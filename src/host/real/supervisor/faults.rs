//! Faults for real: signals, cut links, and what the runtime does to containers. Names of roles are replaced by who has them at that
//! instant.

use nix::sys::signal::Signal;

use super::{CUT_HEARD, Run};
use crate::base::{Cause, Incarnation};
use crate::engine::plan::{Fault, FaultPlan, Targets, Whose};
use crate::engine::record::FaultInfo;
use crate::engine::recorder::describe;
use crate::host::real::control::{By, Cut, DiskTrouble, Links, SlowLink, ToChild};
use crate::host::real::{payload, threads};
use crate::wire::container::ContainerEvent;
use crate::wire::fact::{Subject, What};
use crate::wire::{Address, MachineId, NodeId};

/// Whether a fault is beyond what a real run can do so far.
pub(super) fn simulated_only(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::UnreliableLink { .. }
            | Fault::Partition { flap: Some(_), .. }
            | Fault::DiskCorrupt { .. }
            | Fault::RegistryDown
            | Fault::RegistrySlow { .. }
            | Fault::DiskFull(_)
            | Fault::SlowMachine { .. }
            | Fault::ClockDrift { .. }
    )
}

impl Run {
    pub(super) fn begin_fault(&mut self, number: usize) {
        let plan = self.resolved(number);
        let what = What::FaultInjected { fault: number as u32, description: plan.description.clone() };
        let cause = self.tell(Cause::NONE, Subject::Place(plan.description.clone()), what);
        self.fault_facts[number] = cause;
        let names: Vec<_> = self.plan.machines.iter().map(|machine| machine.name.clone()).collect();
        let (kind, targets) = describe(&plan.fault, &names);
        let (description, drawn) = (plan.description.clone(), plan.drawn.clone());
        let info = FaultInfo { description, kind: kind.into(), targets, at: self.clock.now(), until: plan.ends(), drawn };
        self.fault_infos.push(info);
        match &plan.fault {
            Fault::Kill(targets) => {
                for address in listed(targets) {
                    self.hold_down(number, address, cause);
                }
            }
            Fault::Pause(targets) => {
                for address in listed(targets) {
                    self.hold_still(number, address);
                }
            }
            Fault::PowerLoss(machines) | Fault::Reboot { machines, .. } => {
                let in_order = matches!(plan.fault, Fault::Reboot { .. });
                for machine in machines {
                    if !in_order {
                        self.isolate(number, *machine, self.cutter());
                    }
                }
                self.tell_links();
                // So that peers know of the silence before their kernels tell of the end.
                threads::pause(CUT_HEARD);
                for machine in machines {
                    for node in self.nodes_on(*machine) {
                        self.runtime.lose(node);
                        // What a kubelet of before asked a disk or a runtime that stood still is lost, too.
                        self.waiting.retain(|(of, ..)| *of != node);
                        self.untold.retain(|answer| answer.node != node);
                    }
                    self.runtime_pauses.retain(|(_, of)| of != machine);
                    for address in self.processes_on(*machine) {
                        self.hold_down(number, address, cause);
                    }
                    if let Some(network) = &mut self.network
                        && let Err(error) = network.lose(*machine)
                    {
                        self.troubles.push(format!("a machine's network could not be made anew: {error}"));
                    }
                    let boot = self.machine_boots.entry(*machine).or_insert(Incarnation(1));
                    *boot = boot.next();
                }
            }
            Fault::Freeze(machines) => {
                for machine in machines {
                    // What comes meanwhile is kept: a link that is down would lose it.
                    self.isolate(number, *machine, By::Standstill);
                }
                self.tell_links();
                for machine in machines {
                    self.nodes_on(*machine).into_iter().for_each(|node| self.runtime.freeze(node, true));
                    for address in self.processes_on(*machine) {
                        self.hold_still(number, address);
                    }
                }
            }
            Fault::Partition { from, to, one_way, .. } => {
                let by = self.cutter();
                for (from, to) in from.iter().flat_map(|from| to.iter().map(move |to| (*from, *to))) {
                    self.cuts.push((number, Cut { from, to, by }));
                    if !one_way {
                        self.cuts.push((number, Cut { from: to, to: from, by }));
                    }
                }
                self.tell_links();
            }
            Fault::SlowLink { from, to, latency, loss } => {
                for (from, to) in [(from, to), (to, from)] {
                    let mut link = SlowLink { from: from.clone(), to: to.clone(), latency: latency.clone(), loss: *loss, by_kernel: false };
                    link.by_kernel = self.network.as_ref().is_some_and(|network| network.delays(&link));
                    if !link.by_kernel {
                        self.means.delays_by_transport();
                    }
                    self.slow.push((number, link));
                }
                self.tell_links();
            }
            Fault::SlowDisk { machines, latency } => {
                self.disks.extend(machines.iter().map(|machine| (number, *machine, Some(latency.clone()))));
                self.tell_disks(machines);
            }
            Fault::DiskStall(machines) => {
                self.disks.extend(machines.iter().map(|machine| (number, *machine, None)));
                self.tell_disks(machines);
            }
            Fault::RuntimePause(machines) => {
                // A machine without power has no daemon; one that boots has another.
                for machine in machines.iter().filter(|machine| !self.has_no_power(**machine)).copied().collect::<Vec<_>>() {
                    self.runtime_pauses.push((number, machine));
                    self.say_of_runtime(machine, cause, ContainerEvent::FellSilent);
                }
            }
            Fault::ContainerCrash { namespace, workload, count, exit_code, oom_killed } => {
                let order = if *oom_killed { payload::EXHAUST.to_owned() } else { payload::exit_order(*exit_code) };
                self.runtime.crash(namespace, workload, *count, &order, cause);
            }
            // Of those that a plan is refused for.
            _ => {
                self.troubles.push(format!("{} was not refused", plan.description));
            }
        }
        self.played[number] = Some(plan);
    }

    pub(super) fn end_fault(&mut self, number: usize) {
        let Some(plan) = self.played[number].take() else { return };
        let what = What::FaultEnded { fault: number as u32, description: plan.description.clone() };
        let cause = self.tell(self.fault_facts[number], Subject::Place(plan.description.clone()), what);
        self.cuts.retain(|(fault, ..)| *fault != number);
        self.slow.retain(|(fault, _)| *fault != number);
        self.tell_links();
        let well: Vec<MachineId> = self.disks.extract_if(.., |(fault, ..)| *fault == number).map(|(_, machine, _)| machine).collect();
        self.tell_disks(&well);
        for machine in self.runtime_pauses.extract_if(.., |(fault, _)| *fault == number).map(|(_, machine)| machine).collect::<Vec<_>>() {
            match self.frozen_by(machine) {
                // Its daemon stands still as long as it does.
                Some(fault) => self.runtime_pauses.push((fault, machine)),
                None => self.resume_runtime(machine, cause),
            }
        }
        if let Fault::Freeze(machines) = &plan.fault {
            for machine in machines {
                self.nodes_on(*machine).into_iter().for_each(|node| self.runtime.freeze(node, false));
            }
        }
        for process in 0..self.processes.len() {
            let one = &mut self.processes[process];
            let (was_still, was_down) = (one.still.contains(&number), one.down.contains(&number));
            one.still.retain(|fault| *fault != number);
            one.down.retain(|fault| *fault != number);
            if was_still && one.still.is_empty() {
                one.signal(Signal::SIGCONT);
            }
            one.started_by = cause;
            if was_down
                && one.down.is_empty()
                && let Err(error) = self.spawn(process)
            {
                self.troubles.push(format!("{} could not be started again: {error}", self.processes[process].address));
            }
        }
    }

    fn hold_down(&mut self, number: usize, address: Address, cause: Cause) {
        let process = &mut self.processes[self.addresses.number(address)];
        let first = process.down.is_empty();
        process.down.push(number);
        if first {
            process.kill();
            self.leading.retain(|leader| *leader != address);
            self.tell(cause, Subject::Actor(address), What::Stopped);
        }
    }
    fn hold_still(&mut self, number: usize, address: Address) {
        let process = &mut self.processes[self.addresses.number(address)];
        process.still.push(number);
        process.signal(Signal::SIGSTOP);
    }
    /// Who makes cuts that lose what is sent.
    fn cutter(&self) -> By {
        if self.network.is_some() { By::Kernel } else { By::Loss }
    }
    /// Nothing passes between this machine and any other.
    fn isolate(&mut self, number: usize, machine: MachineId, by: By) {
        // One more than the plan has: whoever uses the cluster sits outside.
        for other in (0..=self.plan.machines.len() as u32).map(MachineId).filter(|other| *other != machine) {
            self.cuts.push((number, Cut { from: machine, to: other, by }));
            self.cuts.push((number, Cut { from: other, to: machine, by }));
        }
    }
    pub(super) fn links(&self) -> Links {
        let mut cuts: Vec<_> = self.cuts.iter().map(|(_, cut)| *cut).collect();
        cuts.sort();
        cuts.dedup();
        Links { cuts, slow: self.slow.iter().map(|(_, link)| link.clone()).collect() }
    }
    fn tell_links(&mut self) {
        let links = self.links();
        if let Some(network) = &mut self.network {
            let cuts: Vec<_> = links.cuts.iter().filter(|cut| cut.by == By::Kernel).map(|cut| (cut.from, cut.to)).collect();
            let slow = links.slow.iter().filter(|link| link.by_kernel).cloned().collect();
            if let Err(error) = network.set(&cuts, slow) {
                self.troubles.push(format!("links could not be cut or mended: {error}"));
            }
        }
        for process in &self.processes {
            process.say(&ToChild::Links(links.clone()));
        }
    }
    pub(super) fn disk(&self, machine: MachineId) -> DiskTrouble {
        let of_it = || self.disks.iter().filter(move |(_, of, _)| *of == machine).map(|(.., extra)| extra);
        DiskTrouble { extra: of_it().flatten().cloned().collect(), stalled: of_it().any(Option::is_none) }
    }
    /// Tells the processes on these machines; what waited for a disk that goes on is asked now.
    fn tell_disks(&mut self, machines: &[MachineId]) {
        for machine in machines {
            let word = ToChild::Disk(self.disk(*machine));
            for process in self.processes.iter().filter(|process| process.machine == *machine) {
                process.say(&word);
            }
        }
        self.ask_what_waited();
    }
    pub(super) fn ask_what_waited(&mut self) {
        for (node, life, cause, op) in std::mem::take(&mut self.waiting) {
            match self.is_kept_waiting(self.plan.nodes[node.0 as usize].machine, &op) {
                true => self.waiting.push((node, life, cause, op)),
                false => self.request(node, life, cause, op),
            }
        }
    }
    fn processes_on(&self, machine: MachineId) -> Vec<Address> {
        self.processes.iter().filter(|process| process.machine == machine).map(|process| process.address).collect()
    }
    fn nodes_on(&self, machine: MachineId) -> Vec<NodeId> {
        let nodes = self.plan.nodes.iter().enumerate().filter(|(_, node)| node.machine == machine);
        nodes.map(|(number, _)| NodeId(number as u32)).collect()
    }
    /// With roles replaced by who has them now.
    fn resolved(&self, number: usize) -> FaultPlan {
        let plan = self.plan.faults[number].clone();
        let leads = |role: fn(&Address) -> bool| -> Vec<Address> { self.leading.iter().copied().filter(role).collect() };
        let etcd_leader = || self.etcd_leader.iter().map(|(_, address)| *address).collect::<Vec<_>>();
        let is_manager: fn(&Address) -> bool = |address| matches!(address, Address::Manager(_));
        let is_scheduler: fn(&Address) -> bool = |address| matches!(address, Address::Scheduler(_));
        let mut machines = plan.fault.machines().cloned().unwrap_or_default();
        for whose in plan.found.iter().flat_map(|found| &found.whose) {
            let addresses = match whose {
                Whose::EtcdLeader => etcd_leader(),
                Whose::ManagerLeader => leads(is_manager),
                Whose::SchedulerLeader => leads(is_scheduler),
                // Such a plan is refused.
                Whose::Pods(_) => Vec::new(),
            };
            machines.extend(addresses.into_iter().map(|address| self.processes[self.addresses.number(address)].machine));
        }
        machines.sort_unstable();
        machines.dedup();
        let names: Vec<_> = self.plan.machines.iter().map(|machine| machine.name.clone()).collect();
        let mut plan = plan.with_machines(machines, &names);
        if let Fault::Kill(targets) | Fault::Pause(targets) = &mut plan.fault {
            let addresses = match targets {
                Targets::Addresses(addresses) => std::mem::take(addresses),
                Targets::EtcdLeader => etcd_leader(),
                Targets::ManagerLeader => leads(is_manager),
                Targets::SchedulerLeader => leads(is_scheduler),
                Targets::KubeletsOn(machines) => {
                    let all = machines.iter().flat_map(|machine| self.processes_on(*machine));
                    all.filter(|address| matches!(address, Address::Kubelet(_))).collect()
                }
            };
            *targets = Targets::Addresses(addresses);
        }
        plan
    }
}

fn listed(targets: &Targets) -> Vec<Address> {
    match targets {
        Targets::Addresses(addresses) => addresses.clone(),
        Targets::EtcdLeader | Targets::ManagerLeader | Targets::SchedulerLeader | Targets::KubeletsOn(_) => unreachable!("resolved before"),
    }
}
