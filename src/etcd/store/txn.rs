//! Transactions: comparisons choose a branch, a branch's operations make at most one revision together.

use smallvec::SmallVec;

use super::{Ahead, Store, Version, keys};
use crate::base::{Cause, Revision};
use crate::wire::etcd::{
    Answers, Compare, CompareResult, CompareTarget, EtcdError, KeyRange, LeaseId, Op, OpAnswer, PutOptions, StoreKey, Txn, Value,
};

/// etcd's `--max-txn-ops` (server/embed/config.go).
const MAX_OPS: usize = 128;
/// What a put costs beside key and value (etcd `server/storage/quota.go`, kvOverhead).
const PUT_OVERHEAD: u64 = 256;

/// The branches that a transaction and those nested in it take, in the order in which they run.
type Branches<'a> = std::iter::Copied<std::slice::Iter<'a, bool>>;

/// Whether the comparisons held, and what the operations answer: nothing when nobody asked.
pub type Answered = (bool, Answers);

/// One application of a transaction.
#[derive(Clone, Copy)]
struct Run {
    revision: Revision,
    cause: Cause,
    /// Does somebody here wait for the answers?
    answers: bool,
}

impl Store {
    /// Applies a transaction. An error means that nothing was changed. Its answers are made if somebody here waits for them.
    pub fn txn(&mut self, txn: &Txn, cause: Cause, answers: bool) -> Result<Answered, EtcdError> {
        // Most are one put.
        if let (true, [Op::Put { key, value, lease: LeaseId(0), options }]) = (txn.compares.is_empty(), &*txn.then)
            && *options == PutOptions::default()
        {
            self.put_key(key, Some(value), Some(LeaseId::default()), self.revision.next(), cause);
            let put = answers.then_some(OpAnswer::Put { previous: None });
            return Ok((true, put.into_iter().collect()));
        }
        let mut branches = std::mem::take(&mut self.branches);
        branches.clear();
        self.choose(txn, &mut branches);
        let result = self.check(txn, &mut branches.iter().copied()).map(|()| {
            let run = Run { revision: self.revision.next(), cause, answers };
            self.execute(txn, &mut branches.iter().copied(), run)
        });
        self.branches = branches;
        result
    }
    /// Looks where transactions that are about to be applied will put, those of them that are one put.
    pub fn look_ahead<'a>(&mut self, txns: impl Iterator<Item = &'a Txn>) {
        let puts = txns.filter_map(|txn| if let [Op::Put { key, .. }] = &*txn.then { Some(key) } else { None });
        let keys: SmallVec<[&StoreKey; 16]> = puts.collect();
        self.ahead.clear();
        self.ahead.extend(keys.iter().rev().map(|key| Ahead { hash: keys::hash_of(key), slot: None }));
        // First the places of all in the index, then the slots: what waits for memory waits together.
        std::hint::black_box(self.ahead.iter().map(|ahead| self.by_key.glance(ahead.hash)).fold(0, u32::wrapping_add));
        for (ahead, key) in self.ahead.iter_mut().rev().zip(keys) {
            ahead.slot = self.by_key.get(key, ahead.hash, &self.versions.slots);
        }
    }
    /// The operations that this transaction comes to now, without its comparisons.
    pub fn decided(&self, txn: &Txn) -> Txn {
        let ops = branch(txn, self.holds(txn)).iter().map(|op| match op {
            Op::Txn(inner) => Op::Txn(Box::new(self.decided(inner))),
            op => op.clone(),
        });
        Txn { compares: Vec::new(), then: ops.collect(), otherwise: Vec::new() }
    }
    /// Answers a transaction that holds only ranges.
    pub fn read_txn(&self, txn: &Txn) -> Result<Answered, EtcdError> {
        let succeeded = self.holds(txn);
        let mut answers = Answers::new();
        for op in branch(txn, succeeded) {
            answers.push(match op {
                Op::Range(range) => OpAnswer::Range(self.range(range)?),
                Op::Txn(inner) => {
                    let (succeeded, answers) = self.read_txn(inner)?;
                    OpAnswer::Txn { succeeded, answers: answers.into_vec() }
                }
                Op::Put { .. } | Op::Delete { .. } => unreachable!("a read-only transaction"),
            });
        }
        Ok((succeeded, answers))
    }

    fn holds(&self, txn: &Txn) -> bool {
        txn.compares.iter().all(|compare| self.compare_holds(compare))
    }
    /// For each key of the range. Without any: as for one key that is absent.
    fn compare_holds(&self, compare: &Compare) -> bool {
        let (mut found, mut all) = (false, true);
        self.for_each_slot(&compare.keys, |slot| {
            if let Some(version) = self.versions.live(slot) {
                found = true;
                // The pair's lease is known by its name here.
                all = all && holds(compare, Some((version, self.leases.id(version.lease))));
            }
        });
        if found { all } else { holds(compare, None) }
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
                Op::Put { lease, .. } if *lease != LeaseId::default() && !self.leases.exists(*lease) => {
                    return Err(EtcdError::LeaseNotFound);
                }
                Op::Put { key, options, .. } if (options.ignore_value || options.ignore_lease) && self.live(key).is_none() => {
                    return Err(EtcdError::KeyNotFound);
                }
                Op::Put { .. } | Op::Delete { .. } => {}
                Op::Txn(inner) => self.check(inner, branches)?,
            }
        }
        Ok(())
    }
    fn execute(&mut self, txn: &Txn, branches: &mut Branches<'_>, run: Run) -> Answered {
        let succeeded = branches.next().expect("a branch was chosen for every transaction");
        let ops = branch(txn, succeeded);
        let mut answers = Answers::with_capacity(if run.answers { ops.len() } else { 0 });
        for op in ops {
            let answer = match op {
                Op::Range(range) => run.answers.then(|| OpAnswer::Range(self.range(range).expect("ranges are checked before"))),
                Op::Put { key, value, lease, options } => {
                    let previous = if run.answers && options.previous { self.get(key).map(Box::new) } else { None };
                    let PutOptions { ignore_value, ignore_lease, .. } = options;
                    self.put_key(key, (!ignore_value).then_some(value), (!ignore_lease).then_some(*lease), run.revision, run.cause);
                    run.answers.then_some(OpAnswer::Put { previous })
                }
                Op::Delete { keys, previous } => self.delete(keys, *previous, run),
                Op::Txn(inner) => {
                    let (succeeded, answers) = self.execute(inner, branches, run);
                    run.answers.then(|| OpAnswer::Txn { succeeded, answers: answers.into_vec() })
                }
            };
            answers.extend(answer);
        }
        (succeeded, answers)
    }
    fn delete(&mut self, keys: &KeyRange, with_previous: bool, run: Run) -> Option<OpAnswer> {
        let mut slots = Vec::new();
        self.for_each_slot(keys, |slot| slots.push(slot));
        let (mut deleted, mut previous) = (0, Vec::new());
        for at in slots {
            if run.answers && with_previous {
                previous.extend(self.versions.live(at).map(|version| self.pair(self.versions.slot(at), version)));
            }
            deleted += u64::from(self.delete_slot(at, run.revision, run.cause));
        }
        run.answers.then_some(OpAnswer::Delete { deleted, previous })
    }
    fn live(&self, key: &StoreKey) -> Option<&Version> {
        self.find(key).and_then(|slot| self.versions.live(slot))
    }
}

fn branch(txn: &Txn, succeeded: bool) -> &[Op] {
    if succeeded { &txn.then } else { &txn.otherwise }
}

/// Does a comparison hold? An absent key has version, create and mod revision and lease 0, and no value that could compare.
fn holds(compare: &Compare, live: Option<(&Version, LeaseId)>) -> bool {
    use std::cmp::Ordering;
    let version = live.map(|(version, _)| version);
    let ordering = match &compare.target {
        CompareTarget::Version(wanted) => version.map_or(0, |version| u64::from(version.number)).cmp(wanted),
        CompareTarget::CreateRevision(wanted) => version.map_or(Revision::ZERO, |version| version.created).cmp(wanted),
        CompareTarget::ModRevision(wanted) => version.map_or(Revision::ZERO, |version| version.modified).cmp(wanted),
        CompareTarget::Lease(wanted) => live.map_or(LeaseId::default(), |(_, lease)| lease).cmp(wanted),
        CompareTarget::Value(wanted) => match version {
            None => return false,
            Some(version) if version.value == *wanted => Ordering::Equal,
            Some(version) => version.value.order(wanted),
        },
    };
    match compare.result {
        CompareResult::Equal => ordering == Ordering::Equal,
        CompareResult::NotEqual => ordering != Ordering::Equal,
        CompareResult::Greater => ordering == Ordering::Greater,
        CompareResult::Less => ordering == Ordering::Less,
    }
}

/// What an etcd server refuses before it proposes: a key changed twice in one branch, too many operations, a put that contradicts itself.
pub fn validate(txn: &Txn) -> Result<(), EtcdError> {
    if let (true, [Op::Put { value, lease, options, .. }], true) = (txn.compares.len() < 2, &*txn.then, txn.otherwise.is_empty()) {
        return check_put(value, *lease, *options);
    }
    if txn.compares.len().max(txn.then.len()).max(txn.otherwise.len()) > MAX_OPS {
        return Err(EtcdError::TooManyOperations);
    }
    written(&txn.then)?;
    written(&txn.otherwise)?;
    Ok(())
}
fn check_put(value: &Value, lease: LeaseId, options: PutOptions) -> Result<(), EtcdError> {
    match options {
        PutOptions { ignore_value: true, .. } if value.size() > 0 => Err(EtcdError::ValueProvided),
        PutOptions { ignore_lease: true, .. } if lease != LeaseId::default() => Err(EtcdError::LeaseProvided),
        _ => Ok(()),
    }
}

/// What a transaction may add to the database, by its dearer branch; 0: it puts nothing (etcd `server/storage/quota.go`, costTxn).
pub fn put_bytes(txn: &Txn) -> u64 {
    let cost = |ops: &[Op]| -> u64 {
        let cost = |op: &Op| match op {
            Op::Put { key, value, .. } => PUT_OVERHEAD + key.len() as u64 + u64::from(value.size()),
            Op::Txn(inner) => put_bytes(inner),
            Op::Range(_) | Op::Delete { .. } => 0,
        };
        ops.iter().map(cost).sum()
    };
    cost(&txn.then).max(cost(&txn.otherwise))
}

/// The keys that a branch puts and the ranges that it deletes, nested ones included; an error if two of them meet.
fn written(ops: &[Op]) -> Result<(Vec<&str>, Vec<&KeyRange>), EtcdError> {
    let (mut puts, mut deletes): (Vec<&str>, Vec<&KeyRange>) = (Vec::new(), Vec::new());
    for op in ops {
        let (new_puts, new_deletes) = match op {
            Op::Range(_) => continue,
            Op::Put { key, value, lease, options } => {
                check_put(value, *lease, *options)?;
                (vec![&**key], Vec::new())
            }
            Op::Delete { keys, .. } => (Vec::new(), vec![keys]),
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
