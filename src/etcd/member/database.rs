//! What outlives a member's process: its database file, as far as applied entries have made it, with the index and the membership that
//! it stands for (etcd `server/storage/backend` and `consistent_index`; here always as new as the last applied entry: what a real file
//! lacks of the last 100 ms its log makes up for). And the state that a member sends to one that lacks too much of the log.

use std::sync::Arc;

use super::apply::Leases;
use super::{Life, Store};
use crate::base::planted::Bug;
use crate::base::{Index, Term};
use crate::etcd::raft::{Applied, Role};
use crate::wire::Member;
use crate::wire::raft::{Configuration, Snapshot};

/// See the module.
pub struct Database {
    store: Store,
    leases: Leases,
    applied: Index,
    term: Term,
    configuration: Configuration,
    released: Index,
}

impl Database {
    pub(super) fn of(life: Life) -> Database {
        let Life { raft, store, mut leases, mut applied, released, config, .. } = life;
        leases.follow();
        if config.planted.has(Bug::AppliedTwice) {
            let before = Index(applied.0.saturating_sub(2).max(released.0));
            applied = if raft.entry_term(before).is_some() { before } else { applied };
        }
        let term = raft.entry_term(applied).expect("the log begins at or before the last applied entry");
        Database { store, leases, applied, term, configuration: raft.configuration().clone(), released }
    }
    /// What of the log is in here.
    pub(super) fn applied(&self) -> Applied {
        Applied { index: self.applied, term: self.term, configuration: self.configuration.clone() }
    }
    /// A new life begins with it.
    pub(super) fn open(self, life: &mut Life) {
        life.store = self.store;
        if life.config.planted.has(Bug::RevisionReused) {
            life.store.reuse_revisions();
        }
        (life.leases, life.applied, life.released) = (self.leases, self.applied, self.released);
    }
}

impl Life {
    /// Everything that this member has applied.
    fn snapshot(&self) -> Snapshot {
        let index = self.applied;
        let term = self.raft.entry_term(index).expect("the log begins at or before the last applied entry");
        Snapshot { index, term, configuration: self.raft.configuration().clone(), state: Arc::new(self.store.snapshot()) }
    }
    /// Sends the state to those who lack what the log no longer has.
    pub(super) fn send_snapshots(&mut self, wanted: &[Member]) {
        if wanted.is_empty() || self.raft.role() != Role::Leader {
            return;
        }
        let snapshot = Arc::new(self.snapshot());
        for &member in wanted {
            self.raft.send_snapshot(member, snapshot.clone());
        }
    }
    /// Each so many applied entries the log is shortened: all that it loses is in the database.
    pub(super) fn release_log(&mut self) {
        if self.keeps_database && self.applied.0 >= self.released.0 + self.config.snapshot_count {
            self.released = self.applied;
            self.raft.release(self.applied, self.config.snapshot_catchup_entries);
        }
    }
}
