//! What happens to committed entries: they change the store, in log order, on every member alike. And what follows from that here:
//! watchers are told, requests of this member are answered, leases get their expiry (on the leader), the log is shortened.

use std::sync::Arc;

use super::leases::Leases;
use super::{LATENCIES_MAX, Life};
use crate::base::planted::Bug;
use crate::base::{Cause, Index, Revision, Time};
use crate::etcd::raft::Role;
use crate::etcd::store::{self, Store};
use crate::wire::etcd::{Alarm, Answer, Applied, Command, EtcdError, LeaseRecord, Mutation, Txn};
use crate::wire::raft::{Entry, Snapshot};
use crate::wire::{Address, Fact, Outbox, What, fact::Subject};

/// What a lease costs of the space quota (etcd `server/storage/quota.go`, leaseOverhead).
const LEASE_BYTES: u64 = 64;
/// Entries that are looked at together before they are applied.
const LOOK_AHEAD: usize = 16;

impl Life {
    /// What the log on disk holds, after a start: the observer and clients have heard of it in an earlier life.
    pub(super) fn replay(&mut self) {
        let mut ready = std::mem::take(&mut self.ready);
        if let Some(snapshot) = ready.restore.take() {
            self.restore(&snapshot);
        }
        for entry in ready.committed.iter().flat_map(|run| &**run) {
            drop(self.apply_entry(entry, false));
        }
        assert!(ready.messages.is_empty() && ready.persist.is_none(), "a member that has just started has nothing to say");
        self.ready = ready;
    }
    /// The state becomes a snapshot's. Watchers go on from its history, if that reaches back to them.
    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        let told = self.store.revision();
        self.store = Store::from_snapshot(&snapshot.state).with(self.config.planted);
        self.applied = snapshot.index;
        self.made_by.clear();
        self.configurations = vec![(snapshot.index, snapshot.configuration.clone())];
        self.leases = Leases::new(self.config.clone());
        self.watchers.fall_behind(told);
    }
    /// Applies committed entries.
    pub(super) fn apply(&mut self, entries: &[Entry], out: &mut Outbox) {
        for (number, entry) in entries.iter().enumerate() {
            if number % LOOK_AHEAD == 0 {
                self.look_ahead(&entries[number..entries.len().min(number + LOOK_AHEAD)]);
            }
            self.measure(entry.index);
            let before = self.store.revision();
            let client = entry.command.as_ref().and_then(|command| {
                let mine = command.origin == self.me;
                if mine { self.proposals.answered(command.number) } else { None }
            });
            let result = self.apply_entry(entry, client.is_some());
            let Some(command) = &entry.command else { continue };
            out.because(command.cause);
            if self.store.revision() > before {
                self.tell(entry, command, out);
            }
            if let Some((conn, id)) = client {
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
    /// Looks where the next entries will write. One after another they would each wait for memory, of which a large store has far more than
    /// caches hold; looked for at once, they wait together.
    fn look_ahead(&mut self, entries: &[Entry]) {
        let mutations = entries.iter().filter_map(|entry| entry.command.as_ref()).map(|command| &command.mutation);
        self.store.look_ahead(mutations.filter_map(|mutation| if let Mutation::Txn(txn) = mutation { Some(&**txn) } else { None }));
    }
    /// Tells watchers and the observer of the revision that an entry has made. Its changes are gathered only if somebody will look.
    fn tell(&mut self, entry: &Entry, command: &Command, out: &mut Outbox) {
        let revision = self.store.revision();
        let capped = self.store.is_raised(Alarm::NoSpace);
        let is_news = out.is_news(revision) || capped;
        let mut events = Vec::new();
        if is_news || !self.watchers.is_empty() {
            events.extend(self.store.newest_events());
            self.watchers.notify(&events);
        }
        if !is_news {
            events = Vec::new();
        }
        let (hash, cause) = (self.store.hash(), command.cause);
        out.applied(Applied { index: entry.index, revision, term: entry.term, cause, hash, capped, events });
    }
    /// `asked`: does a client of this member wait for the answer?
    fn apply_entry(&mut self, entry: &Entry, asked: bool) -> Result<Answer, EtcdError> {
        assert_eq!(entry.index, self.applied.next(), "entries are applied in order");
        self.applied = entry.index;
        let changed = entry.change.as_ref().is_some_and(|change| self.change_membership(change));
        let Some(command) = &entry.command else { return Err(EtcdError::Unavailable) };
        let before = self.store.revision();
        let result = match &command.mutation {
            Mutation::Txn(txn) => self.apply_txn(txn, command.cause, asked),
            // Nothing is repaired by ending leases early or late, nor is a damaged history compacted (etcd applierV3Corrupt).
            Mutation::LeaseGrant { .. } | Mutation::LeaseRevoke { .. } | Mutation::Compact { .. }
                if self.store.is_raised(Alarm::Corrupt) =>
            {
                Err(EtcdError::Corrupt)
            }
            Mutation::LeaseGrant { .. } if self.is_capped() => Err(EtcdError::NoSpace),
            Mutation::LeaseGrant { id, ttl } => self.store.grant(*id, *ttl).map(|()| {
                let lease = LeaseRecord { id: *id, ttl: *ttl, remaining: Default::default() };
                self.leases.granted(entry.index, &lease, self.now);
                Answer::LeaseGranted { ttl: *ttl }
            }),
            Mutation::LeaseRevoke { id } => {
                let lease = self.store.lease(*id);
                self.store.revoke(*id, command.cause).map(|()| {
                    self.leases.revoked(entry.index, lease.expect("what was revoked was there"));
                    Answer::LeaseRevoked
                })
            }
            Mutation::LeaseCheckpoint(remaining) => {
                for &(id, remaining) in &**remaining {
                    self.store.checkpoint(id, remaining);
                    if let Some(lease) = self.store.lease(id) {
                        self.leases.checkpointed(&lease, self.now);
                    }
                }
                Err(EtcdError::Unavailable)
            }
            Mutation::Alarm { member, alarm } => {
                self.leases.alarms_changed(entry.index, self.store.alarms().collect());
                self.store.raise(*member, *alarm);
                if *member == self.me {
                    self.alarm_asked = None;
                }
                Ok(Answer::Alarms(self.store.alarms().collect()))
            }
            Mutation::AlarmDisarm => {
                let alarms: Vec<_> = self.store.alarms().collect();
                self.leases.alarms_changed(entry.index, alarms.clone());
                self.store.disarm();
                Ok(Answer::Alarms(alarms))
            }
            Mutation::Membership(_) if changed => Ok(Answer::Members(self.raft.configuration().clone())),
            Mutation::Membership(_) => Err(EtcdError::UnhealthyCluster),
            Mutation::Compact { revision } => self.compact(*revision).map(|()| Answer::Compacted),
        };
        if self.store.revision() > before && !self.keeps_database {
            self.made_by.push_back(entry.index);
        }
        result
    }
    /// Under a NOSPACE alarm of any member nothing is put, on all members alike. One whose own database is full puts this, since the
    /// others do, but does not say that all is well (etcd `server/etcdserver/apply`, applierV3Capped and quotaApplierV3).
    fn apply_txn(&mut self, txn: &Txn, cause: Cause, asked: bool) -> Result<Answer, EtcdError> {
        if self.store.alarms().next().is_some() {
            if self.store.is_raised(Alarm::Corrupt) {
                return Err(EtcdError::Corrupt);
            }
            if self.is_capped() && store::put_bytes(txn) > 0 {
                return Err(EtcdError::NoSpace);
            }
        }
        let has_space = self.has_space(|| store::put_bytes(txn));
        let (succeeded, answers) = self.store.txn(txn, cause, asked)?;
        if has_space { Ok(Answer::Txn { succeeded, answers }) } else { Err(EtcdError::NoSpace) }
    }
    fn is_capped(&self) -> bool {
        self.store.is_raised(Alarm::NoSpace) && !self.config.planted.has(Bug::NoSpaceIgnored)
    }
    /// Does what costs so many bytes fit into this member's quota? If not, it asks for an alarm.
    fn has_space(&mut self, bytes: impl FnOnce() -> u64) -> bool {
        let (used, quota) = (self.store.db_bytes(), self.config.quota_backend_bytes);
        // Most databases are far from full: no request is that large.
        if used + 2 * (self.config.max_request_bytes as u64) < quota {
            return true;
        }
        let bytes = bytes();
        let fits = bytes == 0 || used + bytes < quota;
        if !fits {
            self.raise_no_space();
        }
        fits
    }
    /// Does the mutation fit into this member's quota? Else it is refused before it is proposed (etcd `server/etcdserver/api/v3rpc/quota.go`).
    pub(super) fn fits(&mut self, mutation: &Mutation) -> bool {
        let fits = match mutation {
            Mutation::Txn(txn) => self.has_space(|| store::put_bytes(txn)),
            Mutation::LeaseGrant { .. } => self.has_space(|| LEASE_BYTES),
            _ => true,
        };
        fits || self.config.planted.has(Bug::NoSpaceIgnored)
    }
    /// One request for an alarm is under way at a time.
    fn raise_no_space(&mut self) {
        let alarm = (self.me, Alarm::NoSpace);
        let is_asked = self.alarm_asked.is_some_and(|asked| self.now < asked + self.proposals.timeout());
        if is_asked || self.store.alarms().any(|raised| raised == alarm) {
            return;
        }
        self.alarm_asked = Some(self.now);
        self.propose_unasked(Mutation::Alarm { member: self.me, alarm: Alarm::NoSpace });
    }
    /// Compacts the store, and then the log: to the entry that made this revision, of which the store still holds the state. All
    /// members do it at the same entry. A member that starts from there reads all later history from the log again, as real etcd finds it
    /// in its database file.
    fn compact(&mut self, revision: Revision) -> Result<(), EtcdError> {
        self.store.compact(revision)?;
        if self.keeps_database {
            self.leases.forget_history();
            return Ok(());
        }
        let older = (self.store.revision().0 - revision.0) as usize;
        // Revision 1 was made by no entry.
        let Some(dropped) = self.made_by.len().checked_sub(older).filter(|&dropped| dropped > 0) else { return Ok(()) };
        let index = self.made_by[dropped - 1];
        self.made_by.drain(..dropped);
        let (leases, alarms) = self.leases.at(index, &self.store);
        let state = Arc::new(self.store.snapshot_at_compaction(leases, alarms));
        let term = self.raft.entry_term(index).expect("what was applied since the last compaction is in the log");
        let configuration = self.configuration_at(index);
        self.raft.compact(Arc::new(Snapshot { index, term, configuration, state }));
        Ok(())
    }
    /// How long an entry took from the leader's append to its commit.
    fn measure(&mut self, index: Index) {
        while self.appended.pop_front_if(|(_, last, _)| *last < index).is_some() {}
        if let Some(&(first, _, at)) = self.appended.front()
            && first <= index
            && self.latencies.len() < LATENCIES_MAX
        {
            self.latencies.push(self.now - at);
        }
    }
    /// When leases are next looked at. Who has stepped down does not ask its successor to end what that knows better (etcd issue 15247), though
    /// while its log is being written it has not come to forget them.
    pub(super) fn lease_deadline(&self) -> Time {
        if self.raft.role() == Role::Leader || self.config.planted.has(Bug::FollowerExpiresLeases) {
            self.leases.deadline(self.booted)
        } else {
            Time::NEVER
        }
    }
    /// Proposes to revoke what has expired, and notes what is left of long leases.
    pub(super) fn expire_leases(&mut self) {
        if self.lease_deadline() > self.now {
            return;
        }
        for id in self.leases.expired(self.now) {
            self.propose_unasked(Mutation::LeaseRevoke { id });
        }
        loop {
            let due = self.leases.due_checkpoints(&self.store, self.now);
            if due.is_empty() {
                break;
            }
            self.propose_unasked(Mutation::LeaseCheckpoint(due.into()));
        }
    }
    /// For which no client waits. Without a leader it comes to nothing, and is tried again by who wanted it.
    pub(super) fn propose_unasked(&mut self, mutation: Mutation) {
        let command = self.proposals.command(mutation, Cause::NONE);
        let _ = self.raft.propose(self.now, Cause::NONE, Arc::new(command));
    }
}
