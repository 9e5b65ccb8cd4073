//! Transactions: comparisons choose a branch, a branch's operations make at most one revision together.

use super::Store;
use crate::base::{Cause, Revision};
use crate::wire::etcd::{Compare, CompareResult, CompareTarget, EtcdError, KeyRange, KeyValue, LeaseId, Op, OpAnswer, Txn, WatchEvent};

/// etcd's `--max-txn-ops` (server/embed/config.go).
const MAX_OPS: usize = 128;

/// The branches that a transaction and those nested in it take, in the order in which they run.
type Branches<'a> = std::iter::Copied<std::slice::Iter<'a, bool>>;

impl Store {
    /// Applies a transaction. An error means that nothing was changed. `events` must come empty, and gets the changes.
    pub fn txn(&mut self, txn: &Txn, cause: Cause, events: &mut Vec<WatchEvent>) -> Result<(bool, Vec<OpAnswer>), EtcdError> {
        debug_assert!(events.is_empty());
        let mut branches = std::mem::take(&mut self.branches);
        branches.clear();
        self.choose(txn, &mut branches);
        let result = self.check(txn, &mut branches.iter().copied()).map(|()| {
            let revision = self.revision.next();
            let answer = self.execute(txn, &mut branches.iter().copied(), revision, cause, events);
            self.advance_to(revision, events);
            answer
        });
        self.branches = branches;
        result
    }
    /// Answers a transaction that holds only ranges.
    pub fn read_txn(&self, txn: &Txn) -> Result<(bool, Vec<OpAnswer>), EtcdError> {
        let succeeded = self.holds(txn);
        let mut answers = Vec::new();
        for op in branch(txn, succeeded) {
            answers.push(match op {
                Op::Range(range) => OpAnswer::Range(self.range(range)?),
                Op::Txn(inner) => {
                    let (succeeded, answers) = self.read_txn(inner)?;
                    OpAnswer::Txn { succeeded, answers }
                }
                Op::Put { .. } | Op::Delete { .. } => unreachable!("a read-only transaction"),
            });
        }
        Ok((succeeded, answers))
    }

    fn holds(&self, txn: &Txn) -> bool {
        txn.compares.iter().all(|compare| holds(compare, self.get(&compare.key)))
    }
    /// All comparisons, nested ones too, look at the state before the transaction (etcd `server/etcdserver/txn`).
    fn choose(&self, txn: &Txn, branches: &mut Vec<bool>) {
        let succeeded = self.holds(txn);
        branches.push(succeeded);
        for op in branch(txn, succeeded) {
            if let Op::Txn(inner) = op {
                self.choose(inner, branches);
            }
        }
    }
    /// Finds what would fail in the chosen branches, before anything is changed.
    fn check(&self, txn: &Txn, branches: &mut Branches<'_>) -> Result<(), EtcdError> {
        let succeeded = branches.next().expect("a branch was chosen for every transaction");
        for op in branch(txn, succeeded) {
            match op {
                Op::Range(range) => self.check_revision(range.revision)?,
                Op::Put { lease, .. } if *lease != LeaseId::default() && !self.leases.contains_key(lease) => {
                    return Err(EtcdError::LeaseNotFound);
                }
                Op::Put { .. } | Op::Delete { .. } => {}
                Op::Txn(inner) => self.check(inner, branches)?,
            }
        }
        Ok(())
    }
    fn execute(
        &mut self,
        txn: &Txn,
        branches: &mut Branches<'_>,
        revision: Revision,
        cause: Cause,
        events: &mut Vec<WatchEvent>,
    ) -> (bool, Vec<OpAnswer>) {
        let succeeded = branches.next().expect("a branch was chosen for every transaction");
        let mut answers = Vec::with_capacity(branch(txn, succeeded).len());
        for op in branch(txn, succeeded) {
            answers.push(match op {
                Op::Range(range) => OpAnswer::Range(self.range(range).expect("ranges are checked before")),
                Op::Put { key, value, lease } => {
                    self.put_key(key, value, *lease, revision, cause, events);
                    OpAnswer::Put
                }
                Op::Delete { keys } => OpAnswer::Delete { deleted: self.delete(keys, revision, cause, events) },
                Op::Txn(inner) => {
                    let (succeeded, answers) = self.execute(inner, branches, revision, cause, events);
                    OpAnswer::Txn { succeeded, answers }
                }
            });
        }
        (succeeded, answers)
    }
    fn delete(&mut self, keys: &KeyRange, revision: Revision, cause: Cause, events: &mut Vec<WatchEvent>) -> u64 {
        let mut slots = Vec::new();
        self.for_each_slot(keys, |slot| slots.push(slot));
        slots.into_iter().map(|slot| u64::from(self.delete_slot(slot, revision, cause, events))).sum()
    }
}

fn branch(txn: &Txn, succeeded: bool) -> &[Op] {
    if succeeded { &txn.then } else { &txn.otherwise }
}

/// Does a comparison hold? An absent key has version, create and mod revision and lease 0, and no value that could compare.
fn holds(compare: &Compare, kv: Option<&KeyValue>) -> bool {
    use std::cmp::Ordering;
    let ordering = match &compare.target {
        CompareTarget::Version(wanted) => kv.map_or(0, |kv| kv.version).cmp(wanted),
        CompareTarget::CreateRevision(wanted) => kv.map_or(Revision::ZERO, |kv| kv.create_revision).cmp(wanted),
        CompareTarget::ModRevision(wanted) => kv.map_or(Revision::ZERO, |kv| kv.mod_revision).cmp(wanted),
        CompareTarget::Lease(wanted) => kv.map_or(LeaseId::default(), |kv| kv.lease).cmp(wanted),
        CompareTarget::Value(wanted) => match kv {
            None => return false,
            // Values are known by size and hash: equal or not is exact, an order between different ones is only stable.
            Some(kv) => (kv.value.size, kv.value.hash).cmp(&(wanted.size, wanted.hash)),
        },
    };
    match compare.result {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}

/// What an etcd server refuses before it proposes: a key changed twice in one branch, or too many operations.
pub fn validate(txn: &Txn) -> Result<(), EtcdError> {
    if txn.compares.len().max(txn.then.len()).max(txn.otherwise.len()) > MAX_OPS {
        return Err(EtcdError::TooLarge);
    }
    written(&txn.then)?;
    written(&txn.otherwise)?;
    Ok(())
}

/// The keys that a branch puts and the ranges that it deletes, nested ones included; an error if two of them meet.
fn written(ops: &[Op]) -> Result<(Vec<&str>, Vec<&KeyRange>), EtcdError> {
    let (mut puts, mut deletes): (Vec<&str>, Vec<&KeyRange>) = (Vec::new(), Vec::new());
    for op in ops {
        let (new_puts, new_deletes) = match op {
            Op::Range(_) => continue,
            Op::Put { key, .. } => (vec![&**key], Vec::new()),
            Op::Delete { keys } => (Vec::new(), vec![keys]),
            Op::Txn(inner) => {
                validate(inner)?;
                // Only one of the two branches will run, so they may meet each other, but not what stands beside them.
                let (mut puts, mut deletes) = written(&inner.then)?;
                let (other_puts, other_deletes) = written(&inner.otherwise)?;
                puts.extend(other_puts);
                puts.sort_unstable();
                puts.dedup();
                deletes.extend(other_deletes);
                (puts, deletes)
            }
        };
        let meets = new_puts.iter().any(|put| puts.contains(put) || deletes.iter().any(|keys| keys.contains(put)))
            || new_deletes.iter().any(|keys| puts.iter().any(|put| keys.contains(put)));
        if meets {
            return Err(EtcdError::DuplicateKey);
        }
        puts.extend(new_puts);
        deletes.extend(new_deletes);
    }
    Ok((puts, deletes))
}
