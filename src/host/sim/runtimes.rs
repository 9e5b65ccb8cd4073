//! The container runtime's daemon of a machine stands still: its engine keeps what the kubelet asks and what it would tell, the machine's
//! pulls get nothing of its network, and the kubelet is told of the silence that its polls would find.

use super::SimHost;
use crate::base::{Cause, Incarnation, Time};
use crate::engine::Queue;
use crate::engine::event::{Event, push};
use crate::models::container_engine::Answer;
use crate::wire::container::ContainerEvent;
use crate::wire::{Input, MachineId};

impl SimHost {
    pub(super) fn pause_runtime(&mut self, now: Time, fault: u32, id: MachineId, cause: Cause, queue: &mut Queue) {
        if !self.machine(id).powered || !self.engines.contains_key(&id) {
            return;
        }
        let machine = self.machine(id);
        machine.runtime_pauses.push((fault, cause));
        if machine.runtime_pauses.len() > 1 {
            return;
        }
        if let Some(engine) = self.engines.get_mut(&id) {
            engine.pause(now);
        }
        self.set_speeds(now, id, queue);
        self.tell_of_silence(now, id, Incarnation(0), queue);
        self.arm_engine(id, queue);
    }
    /// The kubelet of a machine whose runtime stands still finds it out; `life`: this one, or whichever lives.
    pub(super) fn tell_of_silence(&mut self, now: Time, id: MachineId, life: Incarnation, queue: &mut Queue) {
        let machine = self.machine(id);
        let Some(&(_, cause)) = machine.runtime_pauses.first() else { return };
        if let Some(kubelet) = machine.kubelet {
            push(queue, now, Event::input(kubelet, Input::Container(Box::new(ContainerEvent::FellSilent))), life, cause);
        }
    }
    pub(super) fn end_runtime_pause(&mut self, now: Time, fault: u32, id: MachineId, cause: Cause, queue: &mut Queue) {
        self.machine(id).runtime_pauses.retain(|(number, _)| *number != fault);
        self.resume_runtime(now, id, cause, queue);
    }
    /// The daemon goes on if nothing keeps it any more: a machine that stands still does.
    pub(super) fn resume_runtime(&mut self, now: Time, id: MachineId, cause: Cause, queue: &mut Queue) {
        let machine = &self.machines[id.0 as usize];
        let kubelet = machine.kubelet;
        if !machine.runtime_pauses.is_empty() || machine.frozen.is_some() {
            return;
        }
        let asks = kubelet.and_then(|kubelet| self.processes.get(&kubelet)).filter(|process| process.up).map(|process| process.incarnation);
        let Some(engine) = self.engines.get_mut(&id).filter(|engine| engine.is_paused()) else { return };
        let untold = engine.resume(now, asks, &mut self.registry);
        self.set_speeds(now, id, queue);
        if let Some(kubelet) = kubelet {
            let event = Event::input(kubelet, Input::Container(Box::new(ContainerEvent::AnswersAgain)));
            push(queue, now, event, Incarnation(0), cause);
        }
        for Answer { asked, cause, event } in untold {
            if let Some(kubelet) = kubelet {
                let input = Event::input(kubelet, Input::Container(Box::new(event)));
                push(queue, now, input, asked.unwrap_or(Incarnation(0)), cause);
            }
        }
        self.join_crowd(now, id, queue);
        self.arm_engine(id, queue);
        self.arm_registry(queue);
    }
    /// Of a machine without power nothing is left to go on.
    pub(super) fn forget_runtime_pauses(&mut self, now: Time, id: MachineId, queue: &mut Queue) {
        if !std::mem::take(&mut self.machine(id).runtime_pauses).is_empty() {
            self.set_speeds(now, id, queue);
        }
    }
}
