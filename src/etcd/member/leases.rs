//! When leases end: only a leader knows, by its own clock, and only it proposes to revoke them (etcd `server/lease/lessor.go`). It
//! answers keep-alives without asking anybody; what it knows of a lease's time is lost with its lead, unless it was checkpointed.
//!
//! A lease never ends before its time, and may last long: each new leader begins its time anew.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::Config;
use crate::base::planted::Bug;
use crate::base::{Duration, Index, Time};
use crate::etcd::store::Store;
use crate::wire::Member;
use crate::wire::etcd::{Alarm, LeaseId, LeaseRecord};

/// How often a leader looks for expired leases (runLoop).
const EXPIRY_CHECK: Duration = Duration::from_millis(500);
/// Revocations in one check: 1000 a second (leaseRevokeRate).
const REVOKES_MAX: usize = 500;
/// An expired lease that is still there is revoked again after this (defaultExpiredleaseRetryInterval).
const REVOKE_RETRY: Duration = Duration::from_secs(3);
/// From so many leases on a new leader spreads those that would end together (Promote: leaseRevokeRate) ...
const PILE_UP: usize = 1000;
/// ... to so many a second, three quarters of what it can revoke.
const EXPIRIES_A_SECOND: u64 = 750;
/// Leases in one checkpoint (maxLeaseCheckpointBatchSize).
const CHECKPOINTS_MAX: usize = 1000;

/// When leases expire; and, on every member, what was granted, revoked and raised since the last compaction.
pub(super) struct Leases {
    config: Config,
    leading: bool,
    expiry: BTreeMap<LeaseId, Time>,
    by_expiry: BTreeSet<(Time, LeaseId)>,
    checkpoints: BTreeSet<(Time, LeaseId)>,
    /// They have expired and are being revoked: too late to keep them alive (Renew, of an expired lease, waits for its end).
    ending: BTreeSet<LeaseId>,
    /// When each was granted, by this member's clock: only a planted mistake looks at it.
    granted: BTreeMap<LeaseId, Time>,
    /// Leases and alarms have no revisions: to know those of an older state, changes are undone from here.
    history: VecDeque<(Index, Undo)>,
}

enum Undo {
    Granted(LeaseId),
    Revoked(LeaseRecord),
    /// The alarms before.
    Alarms(Vec<(Member, Alarm)>),
}

impl Leases {
    /// No older state will be asked for.
    pub fn forget_history(&mut self) {
        self.history.clear();
    }
    pub fn new(config: Config) -> Leases {
        Leases {
            config,
            leading: false,
            expiry: BTreeMap::new(),
            by_expiry: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
            ending: BTreeSet::new(),
            granted: BTreeMap::new(),
            history: VecDeque::new(),
        }
    }
    /// A new leader does not know when leases were last kept alive: each gets its full time, or what a checkpoint has left of it, and an
    /// election timeout more.
    pub fn lead(&mut self, store: &Store, now: Time) {
        self.follow();
        self.leading = true;
        let extend = self.config.election_timeout;
        for lease in store.leases() {
            let mut at = now + left(&lease) + extend;
            if self.config.planted.has(Bug::LeaseNotExtended) {
                at = self.granted.get(&lease.id).map_or(now, |&granted| granted) + lease.ttl;
            }
            self.set(lease.id, at);
            self.schedule_checkpoint(&lease, now);
        }
        if self.expiry.len() >= PILE_UP {
            self.spread(now);
        }
    }
    /// Leases that would end within the same second end one after the other. A lease that lies n seconds behind the first of its pile is
    /// put off by n seconds less.
    fn spread(&mut self, now: Time) {
        let leases: Vec<(Time, LeaseId)> = self.by_expiry.iter().copied().collect();
        let second = Duration::from_secs(1);
        let mut first = leases[0].0;
        let (mut window, mut expiries) = (first + second, 0);
        for (at, id) in leases {
            if at > window {
                (first, window, expiries) = (at, at + second, 1);
                continue;
            }
            expiries += 1;
            if expiries <= EXPIRIES_A_SECOND {
                continue;
            }
            let pile = Duration::from_nanos(second.nanos() * expiries / EXPIRIES_A_SECOND);
            let delay = Duration::from_nanos(pile.nanos().saturating_sub(at.since(first).nanos()));
            window = first + delay;
            self.set(id, now + at.since(now) + delay);
        }
    }
    pub fn follow(&mut self) {
        self.leading = false;
        self.checkpoints.clear();
        self.ending.clear();
        if !self.config.planted.has(Bug::FollowerExpiresLeases) {
            self.expiry.clear();
            self.by_expiry.clear();
        }
    }
    /// The first check at which a lease will have expired, or be due for a checkpoint.
    pub fn deadline(&self, phase: Time) -> Time {
        let first = |of: &BTreeSet<(Time, LeaseId)>| of.first().map_or(Time::NEVER, |(at, _)| *at);
        match first(&self.by_expiry).min(first(&self.checkpoints)) {
            Time::NEVER => Time::NEVER,
            at => at.next_tick(phase, EXPIRY_CHECK),
        }
    }
    /// Starts the lease's time again, if it has not expired.
    pub fn keep_alive(&mut self, lease: &LeaseRecord, now: Time) -> bool {
        let alive = self.expiry.get(&lease.id).is_some_and(|&at| at > now) && !self.ending.contains(&lease.id);
        if alive && !self.config.planted.has(Bug::KeepAliveForgotten) {
            self.set(lease.id, now + lease.ttl);
        }
        alive
    }
    /// How long a lease has to live if nothing is heard of it, by the leader's clock.
    pub fn remaining(&self, id: LeaseId, now: Time) -> Option<Duration> {
        self.expiry.get(&id).filter(|&&at| at > now && !self.ending.contains(&id)).map(|at| at.since(now))
    }
    fn set(&mut self, id: LeaseId, at: Time) {
        if let Some(old) = self.expiry.insert(id, at) {
            self.by_expiry.remove(&(old, id));
        }
        self.by_expiry.insert((at, id));
    }
    fn schedule_checkpoint(&mut self, lease: &LeaseRecord, now: Time) {
        let interval = self.config.lease_checkpoint_interval;
        if self.config.lease_checkpoint && left(lease) > interval {
            self.checkpoints.insert((now + interval, lease.id));
        }
    }

    // What is applied.

    pub fn granted(&mut self, index: Index, lease: &LeaseRecord, now: Time) {
        self.history.push_back((index, Undo::Granted(lease.id)));
        if self.config.planted.has(Bug::LeaseNotExtended) {
            self.granted.insert(lease.id, now);
        }
        if self.leading || self.config.planted.has(Bug::FollowerExpiresLeases) {
            self.set(lease.id, now + lease.ttl);
            self.schedule_checkpoint(lease, now);
        }
    }
    pub fn revoked(&mut self, index: Index, lease: LeaseRecord) {
        if let Some(at) = self.expiry.remove(&lease.id) {
            self.by_expiry.remove(&(at, lease.id));
        }
        self.granted.remove(&lease.id);
        self.ending.remove(&lease.id);
        self.history.push_back((index, Undo::Revoked(lease)));
    }
    /// It is checkpointed again after an interval, if so much is left.
    pub fn checkpointed(&mut self, lease: &LeaseRecord, now: Time) {
        if self.leading {
            self.schedule_checkpoint(lease, now);
        }
    }
    pub fn alarms_changed(&mut self, index: Index, before: Vec<(Member, Alarm)>) {
        self.history.push_back((index, Undo::Alarms(before)));
    }
    /// Leases and alarms as they were after entry `index`, given those of now; what is older is forgotten.
    pub fn at(&mut self, index: Index, store: &Store) -> (Vec<LeaseRecord>, Vec<(Member, Alarm)>) {
        let mut leases: BTreeMap<LeaseId, LeaseRecord> = store.leases().map(|lease| (lease.id, lease)).collect();
        let mut alarms: Vec<(Member, Alarm)> = store.alarms().collect();
        for (_, undo) in self.history.iter().rev().take_while(|(changed, _)| *changed > index) {
            match undo {
                Undo::Granted(id) => {
                    leases.remove(id);
                }
                Undo::Revoked(lease) => {
                    leases.insert(lease.id, *lease);
                }
                Undo::Alarms(before) => alarms.clone_from(before),
            }
        }
        while self.history.front().is_some_and(|(changed, _)| *changed <= index) {
            self.history.pop_front();
        }
        (leases.into_values().collect(), alarms)
    }

    // What a leader does at a check.

    /// What has expired, and is to be revoked.
    pub fn expired(&mut self, now: Time) -> Vec<LeaseId> {
        let due = self.by_expiry.iter().take_while(|(at, _)| *at <= now);
        let expired: Vec<LeaseId> = due.map(|&(_, id)| id).take(REVOKES_MAX).collect();
        for &id in &expired {
            self.set(id, now + REVOKE_RETRY);
            self.ending.insert(id);
        }
        expired
    }
    /// What is left of leases that are due for a checkpoint, in whole seconds.
    pub fn due_checkpoints(&mut self, store: &Store, now: Time) -> Vec<(LeaseId, Duration)> {
        let mut due = Vec::new();
        while due.len() < CHECKPOINTS_MAX
            && let Some(&(at, id)) = self.checkpoints.first()
            && at <= now
        {
            self.checkpoints.pop_first();
            let (Some(lease), Some(remaining)) = (store.lease(id), self.remaining(id, now)) else { continue };
            let remaining = Duration::from_secs(remaining.nanos().div_ceil(1_000_000_000));
            if remaining < lease.ttl {
                due.push((id, remaining));
            }
        }
        due
    }
}

/// The time that a lease gets from a new leader.
fn left(lease: &LeaseRecord) -> Duration {
    if lease.remaining == Duration::ZERO { lease.ttl } else { lease.remaining }
}
