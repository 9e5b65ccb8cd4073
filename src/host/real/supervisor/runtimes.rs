//! A container runtime whose daemon stands still for a machine's node. The daemon is one for all nodes, and where it is Docker for whoever
//! else uses it: so it is not stopped, but nothing passes between it and the node's kubelet. What it was asked before it does, down to the
//! kill at the end of a grace. Probes are the kubelet's own: what runs by `exec` that does not ask of a runtime that is silent.

use super::Run;
use crate::base::Cause;
use crate::engine::plan::{Fault, FaultPlan};
use crate::host::real::control::ToChild;
use crate::host::real::runtime::Answer;
use crate::wire::container::{ContainerEvent, ContainerOp};
use crate::wire::{Address, MachineId, NodeId};

impl Run {
    /// Whether the runtime's daemon stands still for a machine's node.
    fn has_paused_runtime(&self, machine: MachineId) -> bool {
        self.runtime_pauses.iter().any(|(_, of)| *of == machine)
    }
    /// Tells a life of a kubelet that begins meanwhile.
    pub(super) fn tell_of_silence(&self, machine: MachineId) {
        if let Some((fault, _)) = self.runtime_pauses.iter().find(|(_, of)| *of == machine) {
            self.say_of_runtime(machine, self.fault_facts[*fault], ContainerEvent::FellSilent);
        }
    }
    /// Whether the runtime is to be asked this later: its disk stands still, or it does itself.
    pub(super) fn is_kept_waiting(&self, machine: MachineId, op: &ContainerOp) -> bool {
        // Probes and lists write nothing.
        let writes = !matches!(op, ContainerOp::List | ContainerOp::Probe { .. });
        (writes && self.disk(machine).stalled) || (!matches!(op, ContainerOp::Probe { .. }) && self.has_paused_runtime(machine))
    }
    /// Whether the runtime is to say this later.
    pub(super) fn is_kept_quiet(&self, answer: &Answer) -> bool {
        let machine = self.plan.nodes[answer.node.0 as usize].machine;
        !matches!(answer.event, ContainerEvent::Probed { .. }) && self.has_paused_runtime(machine)
    }
    pub(super) fn has_no_power(&self, machine: MachineId) -> bool {
        let takes_it = |fault: &Fault| match fault {
            Fault::PowerLoss(machines) | Fault::Reboot { machines, .. } => machines.contains(&machine),
            _ => false,
        };
        self.played.iter().flatten().any(|plan| takes_it(&plan.fault))
    }
    /// The fault that holds a machine still.
    pub(super) fn frozen_by(&self, machine: MachineId) -> Option<usize> {
        let holds = |plan: &FaultPlan| matches!(&plan.fault, Fault::Freeze(machines) if machines.contains(&machine));
        self.played.iter().position(|plan| plan.as_ref().is_some_and(holds))
    }
    pub(super) fn say_of_runtime(&self, machine: MachineId, cause: Cause, event: ContainerEvent) {
        for process in self.processes.iter().filter(|one| one.machine == machine && matches!(one.address, Address::Kubelet(_))) {
            process.say(&ToChild::Container(cause, Box::new(event.clone())));
        }
    }
    /// Unless another fault keeps it: it tells what it has not told, then does what it was asked by kubelets that live still.
    pub(super) fn resume_runtime(&mut self, machine: MachineId, cause: Cause) {
        if self.has_paused_runtime(machine) {
            return;
        }
        self.say_of_runtime(machine, cause, ContainerEvent::AnswersAgain);
        let untold = std::mem::take(&mut self.untold);
        self.answer(untold);
        let lives: Vec<_> = self.processes.iter().filter(|one| one.child.is_some()).map(|one| (one.address, one.life)).collect();
        let elsewhere = |node: NodeId| self.plan.nodes[node.0 as usize].machine != machine;
        self.waiting.retain(|(node, life, ..)| elsewhere(*node) || lives.contains(&(Address::Kubelet(*node), *life)));
        self.ask_what_waited();
    }
}
