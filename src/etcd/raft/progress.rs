//! What a leader knows of a follower (etcd-io/raft `tracker/progress.go`): how far its log matches, what to send next, and how freely.

use std::collections::VecDeque;

use crate::base::Index;
use crate::wire::Member;
use crate::wire::raft::Rejection;

/// See the module.
pub struct Progress {
    pub member: Member,
    /// The last entry that is durable there and equal to ours.
    pub matched: Index,
    /// The next entry to send.
    pub next: Index,
    /// The commit index that it was last told.
    pub told_commit: Index,
    pub flow: Flow,
    /// Was anything heard from it since the last quorum check?
    pub recently_active: bool,
    /// The newest round of read confirmations that it has answered.
    pub read_round: u64,
    /// Its answer to our (pre-)candidacy.
    pub vote: Option<bool>,
}

/// How appends flow to a follower.
pub enum Flow {
    /// Where its log matches is not known: one append at a time, the next after an answer or a heartbeat's.
    Probe { waiting: bool },
    /// Pipelined: the last index of each append that is not acknowledged.
    Replicate { in_flight: VecDeque<Index> },
    /// A snapshot at this index is on its way; nothing else is sent. `heartbeats`: answered since.
    Snapshot { index: Index, heartbeats: u32 },
}

/// A snapshot that has not arrived after so many heartbeats was lost.
const SNAPSHOT_HEARTBEATS_MAX: u32 = 100;

impl Progress {
    pub fn new(member: Member) -> Progress {
        Progress {
            member,
            matched: Index::ZERO,
            next: Index(1),
            told_commit: Index::ZERO,
            flow: Flow::Probe { waiting: false },
            recently_active: false,
            read_round: 0,
            vote: None,
        }
    }
    /// A new role begins, with this last index in our log.
    pub fn reset(&mut self, last_index: Index) {
        *self = Progress { next: last_index.next(), ..Progress::new(self.member) };
    }
    /// May nothing be appended now?
    pub fn is_paused(&self, max_in_flight: usize) -> bool {
        match &self.flow {
            Flow::Probe { waiting } => *waiting,
            Flow::Replicate { in_flight } => in_flight.len() >= max_in_flight,
            Flow::Snapshot { .. } => true,
        }
    }
    /// An append up to `last` has been sent, with `count` entries.
    pub fn sent(&mut self, last: Index, count: usize) {
        match &mut self.flow {
            Flow::Probe { waiting } => *waiting = true,
            Flow::Replicate { in_flight } if count > 0 => {
                in_flight.push_back(last);
                self.next = last.next();
            }
            Flow::Replicate { .. } => {}
            Flow::Snapshot { .. } => unreachable!("nothing is appended while a snapshot is on its way"),
        }
    }
    /// It has acknowledged everything up to `index`.
    pub fn acknowledged(&mut self, index: Index) -> bool {
        let news = index > self.matched;
        self.matched = self.matched.max(index);
        self.next = self.next.max(index.next());
        match &mut self.flow {
            Flow::Replicate { in_flight } => {
                while in_flight.front().is_some_and(|&first| first <= index) {
                    in_flight.pop_front();
                }
            }
            Flow::Probe { .. } if index >= self.matched => self.replicate(),
            Flow::Snapshot { index: pending, .. } if self.matched >= *pending => self.replicate(),
            // An old answer, or one that crossed the snapshot.
            Flow::Probe { .. } | Flow::Snapshot { .. } => {}
        }
        news
    }
    /// It has rejected an append; `next_probe` is the last index at which the logs may match. `false`: an old answer, nothing changes.
    pub fn rejected(&mut self, rejection: Rejection, next_probe: Index) -> bool {
        match &mut self.flow {
            Flow::Replicate { .. } if rejection.index <= self.matched => return false,
            Flow::Replicate { .. } => self.next = self.matched.next(),
            Flow::Probe { waiting } => {
                if self.next.previous() != rejection.index {
                    return false;
                }
                *waiting = false;
                self.next = Index(rejection.index.0.min(next_probe.0 + 1).max(self.matched.0 + 1).max(1));
            }
            Flow::Snapshot { .. } => return false,
        }
        self.probe();
        true
    }
    /// Messages to it have been lost: find out anew what it has.
    pub fn unreachable(&mut self) {
        if !matches!(self.flow, Flow::Probe { .. }) {
            self.next = self.matched.next();
            self.probe();
        }
    }
    /// A heartbeat's answer: it is there, so what holds appends back may be lifted.
    pub fn answered_heartbeat(&mut self, max_in_flight: usize) {
        match &mut self.flow {
            Flow::Probe { waiting } => *waiting = false,
            Flow::Replicate { in_flight } if in_flight.len() >= max_in_flight => {
                in_flight.pop_front();
            }
            Flow::Snapshot { heartbeats, .. } => {
                *heartbeats += 1;
                if *heartbeats > SNAPSHOT_HEARTBEATS_MAX {
                    self.unreachable();
                }
            }
            Flow::Replicate { .. } => {}
        }
    }
    pub fn send_snapshot(&mut self, index: Index) {
        self.flow = Flow::Snapshot { index, heartbeats: 0 };
        self.next = index.next();
    }
    fn probe(&mut self) {
        self.flow = Flow::Probe { waiting: false };
    }
    fn replicate(&mut self) {
        self.flow = Flow::Replicate { in_flight: VecDeque::new() };
        self.next = self.matched.next();
    }
}
