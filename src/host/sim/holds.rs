//! What faults do to one process or machine: it stays under a fault until the last of those that hold it has ended.
//!
//! What ends a life ends what was done to that life: a process that is killed is no longer stopped by an earlier SIGSTOP, and a machine
//! that loses power no longer stands still.

use crate::base::{Cause, Duration, Time};

/// What a fault does to its target for as long as it lasts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hold {
    /// A process is not started again; a machine has no power.
    Down,
    /// It stands still.
    Still,
    /// A machine is cut off from some others.
    Cut,
}

/// See the module. Faults are named by their numbers in the plan.
#[derive(Clone, Default)]
pub struct Holds {
    /// In the order in which they began.
    active: Vec<(u32, Hold, Cause)>,
    /// The fault that ended last, and when.
    ended: Option<(Cause, Time)>,
}

impl Holds {
    /// Silence is noticed within a minute or so of its end: what is found later has another reason.
    const NOTICED: Duration = Duration::from_secs(120);

    /// True if it is the first of its kind.
    pub fn begin(&mut self, fault: u32, hold: Hold, cause: Cause) -> bool {
        let first = !self.any(hold);
        self.active.push((fault, hold, cause));
        first
    }
    /// True if it was the last of its kind.
    pub fn end(&mut self, now: Time, fault: u32, hold: Hold) -> bool {
        self.release(now, |number, other| number == fault && other == hold) && !self.any(hold)
    }
    /// The life of its target ends, and with it what held that life.
    pub fn end_all(&mut self, now: Time, hold: Hold) {
        self.release(now, |_, other| other == hold);
    }
    fn release(&mut self, now: Time, which: impl Fn(u32, Hold) -> bool) -> bool {
        let last = self.active.iter().rfind(|(number, hold, _)| which(*number, *hold)).map(|(.., cause)| *cause);
        self.active.retain(|(number, hold, _)| !which(*number, *hold));
        self.ended = last.map(|cause| (cause, now)).or(self.ended);
        last.is_some()
    }
    pub fn is_held_by(&self, fault: u32, hold: Hold) -> bool {
        self.active.iter().any(|(number, other, _)| *number == fault && *other == hold)
    }
    pub fn any(&self, hold: Hold) -> bool {
        self.active.iter().any(|(_, other, _)| *other == hold)
    }
    /// The fault because of which it says nothing: the earliest that lasts, else the one that ended just before.
    pub fn cause(&self, now: Time) -> Cause {
        let ended = || self.ended.filter(|(_, until)| now <= *until + Holds::NOTICED).map(|(cause, _)| cause);
        self.active.first().map(|(.., cause)| *cause).or_else(ended).unwrap_or_default()
    }
    /// The fault that stopped it (not one that only cuts it off).
    pub fn stopped_by(&self) -> Cause {
        self.active.iter().find(|(_, hold, _)| *hold != Hold::Cut).map(|(.., cause)| *cause).unwrap_or_default()
    }
}
