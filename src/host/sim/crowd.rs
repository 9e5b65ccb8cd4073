//! Machines that are one in truth share their container engine: what each asks of it goes to one [`Crowd`](crate::models::crowd::Crowd).

use super::{SimHost, what};
use crate::base::{Cause, Time};
use crate::engine::Queue;
use crate::wire::MachineId;

impl SimHost {
    /// Tells the shared daemon of what a machine's engine has begun.
    pub(super) fn join_crowd(&mut self, now: Time, id: MachineId, queue: &mut Queue) {
        let begun = self.engines.get_mut(&id).map(|engine| engine.take_begun()).unwrap_or_default();
        if begun.is_empty() {
            return;
        }
        for (number, verb, length) in begun {
            self.crowd.request(now, id, number, verb, length);
        }
        // What it was to be woken for before may be later now: that wake finds nothing to do.
        self.arm_crowd(queue);
    }
    pub(super) fn wake_crowd(&mut self, now: Time, queue: &mut Queue) {
        // Superseded by an earlier wake.
        if now < self.crowd_armed {
            return;
        }
        self.crowd_armed = Time::NEVER;
        for (id, number) in self.crowd.wake(now) {
            if let Some(engine) = self.engines.get_mut(&id) {
                engine.finish(now, number);
            }
            self.arm_engine(id, queue);
        }
        self.arm_crowd(queue);
    }
    fn arm_crowd(&mut self, queue: &mut Queue) {
        let deadline = self.crowd.deadline();
        if deadline < self.crowd_armed {
            self.crowd_armed = deadline;
            self.push_host(queue, deadline, what::CROWD, 0, Cause::NONE);
        }
    }
}
