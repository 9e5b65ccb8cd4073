//! What waits in a container engine while its disk or its daemon stands still. Processes go on: their parents are shims, not the daemon.
//!
//! A disk that stands still keeps back what the daemon has to write. A daemon that stands still (SIGSTOP) does nothing at all and hears
//! nothing: requests lie in its socket, and so do the exits that the shims tell of. What was under way takes the time that was left of it.
//! What a kubelet asked whose life is over by the end went with its connection.
//!
//! Left out: layers go on being unpacked, and so does what a measured daemon does that all machines share ("profile"); it is told after.

use std::cmp::Reverse;

use super::{Answer, Asker, ContainerEngine, KILLED, Pending};
use crate::base::{Incarnation, Time};
use crate::models::registry::Registry;
use crate::wire::container::{ContainerId, ContainerOp};

/// See the module.
#[derive(Default)]
pub(super) struct Standstill {
    stalled: bool,
    paused: bool,
    paused_at: Time,
    /// What the daemon has under way: when it would be done, and since when it waits.
    held: Vec<(Time, Time, Pending)>,
    /// What it has not heard yet.
    unheard: Vec<(Asker, ContainerOp)>,
    /// What it has not told yet.
    untold: Vec<Answer>,
}

impl Standstill {
    /// Whether this is not done before something ends.
    pub fn keeps_back(&self, pending: &Pending) -> bool {
        (self.stalled && pending.is_written()) || (self.paused && pending.is_the_daemons())
    }
    pub fn keep_back(&mut self, at: Time, since: Time, pending: Pending) {
        self.held.push((at, since, pending));
    }
    /// Takes what the daemon does not hear now. Probes are the kubelet's own: what runs by `exec` it does not ask of one that is silent.
    pub fn takes(&mut self, asker: Asker, op: &ContainerOp) -> bool {
        let unheard = self.paused && !matches!(op, ContainerOp::Probe { .. });
        if unheard {
            self.unheard.push((asker, op.clone()));
        }
        unheard
    }
    /// Power is lost: what the daemon was to do, hear and tell goes with it, and the next one does not stand still. A disk may still.
    pub fn forget(&mut self) {
        *self = Standstill { stalled: self.stalled, ..Standstill::default() };
    }
}

impl ContainerEngine {
    /// The machine's disk stands still: what the daemon has to write waits, and containers go on.
    pub fn stall(&mut self, now: Time) {
        self.standstill.stalled = true;
        self.hold(now);
    }
    /// It goes on: what waited takes the time that was left of it.
    pub fn end_stall(&mut self, now: Time) {
        self.standstill.stalled = false;
        self.release(now);
    }
    pub fn is_paused(&self) -> bool {
        self.standstill.paused
    }
    /// The daemon stands still. Processes end by themselves; it kills none whose grace is over.
    pub fn pause(&mut self, now: Time) {
        self.standstill.paused = true;
        self.standstill.paused_at = self.frozen.unwrap_or(now);
        self.hold(now);
        for (id, itself) in self.to_be_killed() {
            let process = self.containers.get_mut(&id).and_then(|container| container.process.as_mut()).expect("it runs");
            let (at, _, number) = process.end.take().expect("it was to be killed");
            self.pending.remove(&(at, number));
            let (at, code) = itself;
            self.end_at(&id, at, code);
        }
    }
    /// It goes on: what it had under way, then the kills that are due, then what it was asked meanwhile by the life of the kubelet that
    /// asks still. What it has to tell of before all that is returned.
    pub fn resume(&mut self, now: Time, asks: Option<Incarnation>, registry: &mut Registry) -> Vec<Answer> {
        let due = self.containers.iter().filter(|(_, container)| container.runs());
        let due = due.filter_map(|(id, container)| Some((id.clone(), container.process.as_ref()?.kill?.due)));
        for (id, due) in due.collect::<Vec<_>>() {
            self.end_at(&id, due.max(now), KILLED);
        }
        self.standstill.paused = false;
        let since = self.standstill.paused_at;
        let stood = self.frozen.unwrap_or(now).since(since);
        self.workers = self.workers.drain().map(|Reverse(at)| Reverse(if at > since { at + stood } else { at })).collect();
        self.release(now);
        for (asker, op) in std::mem::take(&mut self.standstill.unheard) {
            if asks == Some(asker.incarnation) {
                self.request(now, asker.incarnation, asker.cause, op, registry);
            }
        }
        std::mem::take(&mut self.standstill.untold)
    }
    /// Keeps what a daemon that stands still would have told.
    pub fn keep_untold(&mut self, answer: Answer) {
        self.standstill.untold.push(answer);
    }

    /// The processes that will be killed because their grace is over, and when they would end if nobody did.
    fn to_be_killed(&self) -> Vec<(ContainerId, (Time, i32))> {
        let running = self.containers.iter().filter(|(_, container)| container.runs());
        let killed = running.filter_map(|(id, container)| {
            let process = container.process.as_ref()?;
            let (kill, (end, ..)) = (process.kill.as_ref()?, process.end?);
            (end >= kill.due).then(|| (id.clone(), kill.itself))
        });
        killed.collect()
    }
    fn hold(&mut self, now: Time) {
        // A machine that stands still has done nothing since it does.
        let since = self.frozen.unwrap_or(now);
        let standstill = &mut self.standstill;
        let (held, others) = std::mem::take(&mut self.pending).into_iter().partition(|(_, pending)| standstill.keeps_back(pending));
        self.pending = others;
        let held: std::collections::BTreeMap<(Time, u64), Pending> = held;
        standstill.held.extend(held.into_iter().map(|((at, _), pending)| (at, since, pending)));
    }
    fn release(&mut self, now: Time) {
        // What a machine stands still beyond is added when it goes on.
        let until = self.frozen.unwrap_or(now);
        for (at, since, pending) in std::mem::take(&mut self.standstill.held) {
            self.push(until, at + until.since(since), pending);
        }
    }
}

impl Pending {
    /// The daemon writes to its disk before it answers.
    fn is_written(&self) -> bool {
        match self {
            Pending::RunSandbox(..) | Pending::Create(..) | Pending::Start(..) | Pending::Remove(..) | Pending::StopSandbox(..) => true,
            Pending::List(_) | Pending::Resolved(..) | Pending::Probe(..) | Pending::End(_) | Pending::NotRunning(..) => false,
        }
    }
    /// The daemon does it.
    fn is_the_daemons(&self) -> bool {
        !matches!(self, Pending::Probe(..) | Pending::End(_))
    }
}
