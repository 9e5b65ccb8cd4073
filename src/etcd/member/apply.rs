//! What happens to committed entries: they change the store, in log order, on every member alike. And what follows from that here:
//! watchers are told, requests of this member are answered, leases get their expiry (on the leader), the log is shortened.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::{LATENCIES_MAX, Life};
use crate::base::{Cause, Duration, Index, Revision, Time};
use crate::etcd::raft::Role;
use crate::etcd::store::Store;
use crate::wire::etcd::{Answer, Applied, EtcdError, LeaseId, Mutation, WatchEvent};
use crate::wire::raft::{Entry, Snapshot};
use crate::wire::{Address, Fact, Outbox, What, fact::Subject};

/// How often a leader looks for expired leases (etcd `server/lease/lessor.go`, runLoop).
const EXPIRY_CHECK: Duration = Duration::from_millis(500);
/// Revocations in one check: 1000 a second (same file, defaultLeaseRevokeRate).
const REVOKES_MAX: usize = 500;
/// An expired lease that is still there is revoked again after this (same file, defaultExpiredleaseRetryInterval).
const REVOKE_RETRY: Duration = Duration::from_secs(3);

/// When leases expire, which only a leader knows; and which were granted and revoked since the last compaction, on every member.
#[derive(Default)]
pub(super) struct Leases {
    leading: bool,
    expiry: BTreeMap<LeaseId, Time>,
    by_expiry: BTreeSet<(Time, LeaseId)>,
    /// Leases have no revisions: to know those of an older state, changes are undone from here. `true`: granted.
    history: VecDeque<(Index, LeaseId, Duration, bool)>,
}

impl Leases {
    /// A new leader does not know when leases were last kept alive: each gets its full time, and an election timeout more.
    pub fn lead(&mut self, store: &Store, now: Time, election_timeout: Duration) {
        self.follow();
        self.leading = true;
        for (id, ttl) in store.leases() {
            self.set(id, now + ttl + election_timeout);
        }
    }
    pub fn follow(&mut self) {
        self.leading = false;
        self.expiry.clear();
        self.by_expiry.clear();
    }
    /// The first check at which a lease will have expired.
    pub fn deadline(&self, phase: Time) -> Time {
        self.by_expiry.first().map_or(Time::NEVER, |(at, _)| at.next_tick(phase, EXPIRY_CHECK))
    }
    /// Starts the lease's time again, if it has not expired.
    pub fn keep_alive(&mut self, id: LeaseId, ttl: Duration, now: Time) -> bool {
        let alive = self.expiry.get(&id).is_some_and(|&at| at > now);
        if alive {
            self.set(id, now + ttl);
        }
        alive
    }
    fn set(&mut self, id: LeaseId, at: Time) {
        if let Some(old) = self.expiry.insert(id, at) {
            self.by_expiry.remove(&(old, id));
        }
        self.by_expiry.insert((at, id));
    }
    fn granted(&mut self, index: Index, id: LeaseId, ttl: Duration, now: Time) {
        self.history.push_back((index, id, ttl, true));
        if self.leading {
            self.set(id, now + ttl);
        }
    }
    fn revoked(&mut self, index: Index, id: LeaseId, ttl: Duration) {
        self.history.push_back((index, id, ttl, false));
        if let Some(at) = self.expiry.remove(&id) {
            self.by_expiry.remove(&(at, id));
        }
    }
    /// The leases that there were after entry `index`, given those of now; what is older is forgotten.
    fn at(&mut self, index: Index, now: impl Iterator<Item = (LeaseId, Duration)>) -> Vec<(LeaseId, Duration)> {
        let mut leases: BTreeMap<LeaseId, Duration> = now.collect();
        for &(_, id, ttl, granted) in self.history.iter().rev().take_while(|(changed, ..)| *changed > index) {
            if granted {
                leases.remove(&id);
            } else {
                leases.insert(id, ttl);
            }
        }
        while self.history.front().is_some_and(|(changed, ..)| *changed <= index) {
            self.history.pop_front();
        }
        leases.into_iter().collect()
    }
}

impl Life {
    /// What the log on disk holds, after a start: the observer and clients have heard of it in an earlier life.
    pub(super) fn replay(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        if let Some(snapshot) = ready.restore.take() {
            self.restore(&snapshot);
        }
        let mut events = Vec::new();
        for entry in &ready.committed {
            drop(self.apply_entry(entry, &mut events));
            events.clear();
        }
        assert!(ready.messages.is_empty() && ready.persist.is_none(), "a member that has just started has nothing to say");
        self.ready = ready;
    }
    /// The state becomes a snapshot's. Watchers go on from its history, if that reaches back to them.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        let told = self.store.revision();
        self.store = Store::from_snapshot(&snapshot.state);
        self.applied = snapshot.index;
        self.made_by.clear();
        self.leases = Leases::default();
        self.watchers.fall_behind(told);
    }
    /// Applies committed entries.
    pub(super) fn apply(&mut self, entries: &[Arc<Entry>], out: &mut Outbox) {
        for entry in entries {
            self.measure(entry.index);
            let mut events = Vec::new();
            let result = self.apply_entry(entry, &mut events);
            let Some(command) = &entry.command else { continue };
            out.because(command.cause);
            if !events.is_empty() {
                self.watchers.notify(&events);
                out.applied(Applied {
                    index: entry.index,
                    revision: self.store.revision(),
                    term: entry.term,
                    cause: command.cause,
                    events,
                });
            }
            if command.origin == self.me
                && let Some((conn, id)) = self.proposals.answered(command.number)
            {
                self.respond(conn, id, result, out);
            }
            if let (Mutation::Compact { revision }, Role::Leader) = (&command.mutation, self.raft.role())
                && *revision == self.store.compacted()
            {
                let subject = Subject::Actor(Address::Etcd(self.me));
                out.record(Fact { subject, what: What::Compacted { revision: *revision } });
            }
        }
    }
    fn apply_entry(&mut self, entry: &Entry, events: &mut Vec<WatchEvent>) -> Result<Answer, EtcdError> {
        assert_eq!(entry.index, self.applied.next(), "entries are applied in order");
        self.applied = entry.index;
        let changed = entry.change.as_ref().is_some_and(|change| self.change_membership(change));
        let Some(command) = &entry.command else { return Err(EtcdError::Unavailable) };
        let result = match &command.mutation {
            Mutation::Txn(txn) => self.store.txn(txn, command.cause, events).map(|(succeeded, answers)| Answer::Txn { succeeded, answers }),
            Mutation::LeaseGrant { id, ttl } => self.store.grant(*id, *ttl).map(|()| {
                self.leases.granted(entry.index, *id, *ttl, self.now);
                Answer::LeaseGranted { ttl: *ttl }
            }),
            Mutation::LeaseRevoke { id } => {
                let ttl = self.store.lease_ttl(*id).unwrap_or_default();
                self.store.revoke(*id, command.cause, events).map(|()| {
                    self.leases.revoked(entry.index, *id, ttl);
                    Answer::LeaseRevoked
                })
            }
            Mutation::Membership(_) if changed => Ok(Answer::Members(self.raft.configuration().clone())),
            Mutation::Membership(_) => Err(EtcdError::UnhealthyCluster),
            Mutation::Compact { revision } => self.compact(*revision).map(|()| Answer::Compacted),
        };
        if !events.is_empty() && !self.keeps_database {
            self.made_by.push_back(entry.index);
        }
        result
    }
    /// Compacts the store, and then the log: to the entry that made this revision, of which the store still holds the state. All
    /// members do it at the same entry. A member that starts from there reads all later history from the log again, as real etcd finds it
    /// in its database file.
    fn compact(&mut self, revision: Revision) -> Result<(), EtcdError> {
        self.store.compact(revision)?;
        if self.keeps_database {
            return Ok(());
        }
        let older = (self.store.revision().0 - revision.0) as usize;
        // Revision 1 was made by no entry.
        let Some(dropped) = self.made_by.len().checked_sub(older).filter(|&dropped| dropped > 0) else { return Ok(()) };
        let index = self.made_by[dropped - 1];
        self.made_by.drain(..dropped);
        let leases = self.leases.at(index, self.store.leases());
        let state = Arc::new(self.store.snapshot_at_compaction(leases));
        let term = self.raft.entry_term(index).expect("what was applied since the last compaction is in the log");
        self.raft.compact(Arc::new(Snapshot { index, term, configuration: self.raft.configuration().clone(), state }));
        Ok(())
    }
    /// How long an entry took from the leader's append to its commit.
    fn measure(&mut self, index: Index) {
        while let Some(&(appended, at)) = self.appended.front() {
            if appended > index {
                break;
            }
            self.appended.pop_front();
            if appended == index && self.latencies.len() < LATENCIES_MAX {
                self.latencies.push(self.now - at);
            }
        }
    }
    /// Proposes to revoke what has expired.
    pub(super) fn expire_leases(&mut self) {
        let now = self.now;
        if self.leases.deadline(self.booted) > now {
            return;
        }
        let expired: Vec<LeaseId> =
            self.leases.by_expiry.iter().take_while(|(at, _)| *at <= now).map(|&(_, id)| id).take(REVOKES_MAX).collect();
        for id in expired {
            self.leases.set(id, now + REVOKE_RETRY);
            let command = self.proposals.command(Mutation::LeaseRevoke { id }, Cause::NONE);
            // Without a leader it is tried again.
            let _ = self.raft.propose(now, Cause::NONE, Arc::new(command));
        }
    }
}
