//! The store against a naive model, which keeps a full copy of its state for every revision, over random mutations; and the figures of
//! its memory and speed.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::base::random::Seed;
use crate::base::{Duration, Stream};
use crate::wire::etcd::{
    Compare, CompareResult, CompareTarget, LeaseRecord, Op, OpAnswer, PutOptions, Range, RangeAnswer, Sort, SortTarget, Txn,
};

type State = BTreeMap<String, KeyValue>;

/// A full copy for each revision.
#[derive(Default)]
struct Model {
    states: BTreeMap<Revision, State>,
    compacted: Revision,
    leases: BTreeMap<LeaseId, Duration>,
    /// Every change: (revision, key, deleted), in order.
    changes: Vec<(Revision, String, bool)>,
}

impl Model {
    fn revision(&self) -> Revision {
        self.states.last_key_value().map_or(Revision(1), |(revision, _)| *revision)
    }
    fn now(&self) -> State {
        self.states.last_key_value().map_or_else(State::new, |(_, state)| state.clone())
    }
    fn keep(&mut self, state: State, changed: Vec<(String, bool)>) {
        if !changed.is_empty() {
            let revision = self.revision().next();
            self.states.insert(revision, state);
            self.changes.extend(changed.into_iter().map(|(key, deleted)| (revision, key, deleted)));
        }
    }
    fn holds(state: &State, compare: &Compare) -> bool {
        let kvs: Vec<&KeyValue> = state.values().filter(|kv| compare.keys.contains(&kv.key)).collect();
        let one = |kv: Option<&KeyValue>| {
            let ordering = match &compare.target {
                CompareTarget::Version(wanted) => kv.map_or(0, |kv| kv.version).cmp(wanted),
                CompareTarget::ModRevision(wanted) => kv.map_or(Revision(0), |kv| kv.mod_revision).cmp(wanted),
                CompareTarget::CreateRevision(wanted) => kv.map_or(Revision(0), |kv| kv.create_revision).cmp(wanted),
                CompareTarget::Lease(wanted) => kv.map_or(LeaseId(0), |kv| kv.lease).cmp(wanted),
                CompareTarget::Value(wanted) => match kv {
                    None => return false,
                    Some(kv) => kv.value.as_bytes().cmp(&wanted.as_bytes()),
                },
            };
            match compare.result {
                CompareResult::Equal => ordering.is_eq(),
                CompareResult::NotEqual => ordering.is_ne(),
                CompareResult::Greater => ordering.is_gt(),
                CompareResult::Less => ordering.is_lt(),
            }
        };
        if kvs.is_empty() { one(None) } else { kvs.into_iter().all(|kv| one(Some(kv))) }
    }
    fn check(&self, state: &State, txn: &Txn) -> Result<(), EtcdError> {
        for op in self.branch(state, txn) {
            match op {
                Op::Put { lease, .. } if *lease != LeaseId(0) && !self.leases.contains_key(lease) => return Err(EtcdError::LeaseNotFound),
                Op::Put { key, options, .. } if (options.ignore_value || options.ignore_lease) && !state.contains_key(&**key) => {
                    return Err(EtcdError::KeyNotFound);
                }
                Op::Txn(inner) => self.check(state, inner)?,
                _ => {}
            }
        }
        Ok(())
    }
    fn branch<'a>(&self, state: &State, txn: &'a Txn) -> &'a [Op] {
        if txn.compares.iter().all(|compare| Model::holds(state, compare)) { &txn.then } else { &txn.otherwise }
    }
    fn txn(&mut self, txn: &Txn) -> Result<(), EtcdError> {
        let before = self.now();
        self.check(&before, txn)?;
        let (mut state, mut changed) = (before.clone(), Vec::new());
        self.run(txn, &before, &mut state, &mut changed);
        self.keep(state, changed);
        Ok(())
    }
    fn run(&self, txn: &Txn, before: &State, state: &mut State, changed: &mut Vec<(String, bool)>) {
        let revision = self.revision().next();
        for op in self.branch(before, txn) {
            match op {
                Op::Put { key, value, lease, options } => {
                    let old = state.get(&**key);
                    let kv = KeyValue {
                        key: key.clone(),
                        value: if options.ignore_value { old.unwrap().value.clone() } else { value.clone() },
                        create_revision: old.map_or(revision, |old| old.create_revision),
                        mod_revision: revision,
                        version: old.map_or(1, |old| old.version + 1),
                        lease: if options.ignore_lease { old.unwrap().lease } else { *lease },
                        cause: Cause::NONE,
                    };
                    state.insert(key.to_string(), kv);
                    changed.push((key.to_string(), false));
                }
                Op::Delete { keys, .. } => {
                    let gone: Vec<String> = state.keys().filter(|key| keys.contains(key)).cloned().collect();
                    for key in gone {
                        state.remove(&key);
                        changed.push((key, true));
                    }
                }
                Op::Txn(inner) => self.run(inner, before, state, changed),
                Op::Range(_) => {}
            }
        }
    }
    fn revoke(&mut self, id: LeaseId) -> Result<(), EtcdError> {
        self.leases.remove(&id).ok_or(EtcdError::LeaseNotFound)?;
        let mut state = self.now();
        let gone: Vec<String> = state.values().filter(|kv| kv.lease == id).map(|kv| kv.key.to_string()).collect();
        gone.iter().for_each(|key| drop(state.remove(key)));
        self.keep(state, gone.into_iter().map(|key| (key, true)).collect());
        Ok(())
    }
    fn compact(&mut self, revision: Revision) -> Result<(), EtcdError> {
        if revision <= self.compacted {
            return Err(EtcdError::Compacted);
        }
        if revision > self.revision() {
            return Err(EtcdError::FutureRevision);
        }
        self.compacted = revision;
        Ok(())
    }
    fn at(&self, revision: Revision) -> State {
        self.states.range(..=revision).next_back().map_or_else(State::new, |(_, state)| state.clone())
    }
    fn range(&self, range: &Range) -> Result<RangeAnswer, EtcdError> {
        let at = match range.revision {
            Revision(0) => self.revision(),
            revision if revision > self.revision() => return Err(EtcdError::FutureRevision),
            revision if revision < self.compacted => return Err(EtcdError::Compacted),
            revision => revision,
        };
        let mut kvs: Vec<KeyValue> = self.at(at).into_values().filter(|kv| range.keys.contains(&kv.key)).collect();
        let count = kvs.len() as u64;
        let within = |min: Revision, is: Revision, max: Revision| is >= min && (max == Revision(0) || is <= max);
        kvs.retain(|kv| {
            within(range.min_mod_revision, kv.mod_revision, range.max_mod_revision)
                && within(range.min_create_revision, kv.create_revision, range.max_create_revision)
        });
        match range.sort.by {
            SortTarget::Key => {}
            SortTarget::Version => kvs.sort_by_key(|kv| if range.sort.descending { u64::MAX - kv.version } else { kv.version }),
            other => panic!("the model does not sort by {other:?}"),
        }
        if range.sort == (Sort { by: SortTarget::Key, descending: true }) {
            kvs.reverse();
        }
        let more = range.limit > 0 && kvs.len() > range.limit as usize && !range.count_only;
        if range.limit > 0 {
            kvs.truncate(range.limit as usize);
        }
        if range.count_only {
            kvs.clear();
        }
        if range.keys_only {
            kvs.iter_mut().for_each(|kv| kv.value = Value::bytes(b""));
        }
        Ok(RangeAnswer { kvs, count, more })
    }
}

struct Draw(Stream);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }
    fn key(&mut self) -> StoreKey {
        format!("{}{}", ["a", "b/", "b/c"][self.below(3) as usize], self.below(5)).into()
    }
    fn keys(&mut self) -> KeyRange {
        match self.below(8) {
            0 => KeyRange::Prefix("b/".into()),
            1 => KeyRange::From(self.key()),
            2 | 3 => KeyRange::Between(self.key(), self.key()),
            4 => KeyRange::Prefix("".into()),
            _ => KeyRange::One(self.key()),
        }
    }
    fn lease(&mut self) -> LeaseId {
        LeaseId(if self.below(3) > 0 { 0 } else { self.below(5) })
    }
    fn value(&mut self) -> Value {
        // Some are longer than what a value holds without memory of its own.
        let length = [1, 5, 23, 24, 100][self.below(5) as usize];
        let letter = b'a' + self.below(4) as u8;
        Value::bytes(&vec![letter; length])
    }
    fn op(&mut self, depth: u32) -> Op {
        match self.below(12) {
            0 | 1 => Op::Delete { keys: self.keys(), previous: self.below(2) == 0 },
            2 => Op::Range(Range::of(self.keys()).into()),
            3 if depth < 2 => Op::Txn(Box::new(self.txn(depth + 1))),
            kind => {
                let (ignore_value, ignore_lease) = (kind == 4, kind == 5);
                let value = if ignore_value { Value::bytes(b"") } else { self.value() };
                let lease = if ignore_lease { LeaseId(0) } else { self.lease() };
                let options = PutOptions { previous: self.below(2) == 0, ignore_value, ignore_lease };
                Op::Put { key: self.key(), value, lease, options }
            }
        }
    }
    fn txn(&mut self, depth: u32) -> Txn {
        let ops = |draw: &mut Draw| (0..draw.below(4)).map(|_| draw.op(depth)).collect::<Vec<Op>>();
        let compares = (0..self.below(3)).map(|_| self.compare()).collect();
        Txn { compares, then: ops(self).into(), otherwise: ops(self) }
    }
    fn compare(&mut self) -> Compare {
        use CompareResult::*;
        let number = self.below(6);
        let target = match self.below(5) {
            0 => CompareTarget::Version(number),
            1 => CompareTarget::ModRevision(Revision(number * 8)),
            2 => CompareTarget::CreateRevision(Revision(number * 8)),
            3 => CompareTarget::Lease(LeaseId(number)),
            _ => CompareTarget::Value(self.value()),
        };
        Compare { keys: self.keys(), target, result: [Equal, NotEqual, Greater, Less][self.below(4) as usize] }
    }
    fn range(&mut self, up_to: Revision) -> Range {
        let some = |draw: &mut Draw| Revision(if draw.below(4) == 0 { draw.below(up_to.0 + 2) } else { 0 });
        let by = [SortTarget::Key, SortTarget::Key, SortTarget::Version][self.below(3) as usize];
        Range {
            keys: self.keys(),
            revision: if self.below(2) == 0 { Revision(self.below(up_to.0 + 2)) } else { Revision(0) },
            limit: if self.below(3) == 0 { self.below(5) as u32 } else { 0 },
            keys_only: self.below(5) == 0,
            count_only: self.below(8) == 0,
            sort: Sort { by, descending: self.below(3) == 0 },
            min_mod_revision: some(self),
            max_mod_revision: some(self),
            min_create_revision: some(self),
            max_create_revision: some(self),
            ..Range::of(KeyRange::Prefix("".into()))
        }
    }
}

/// One random mutation of both.
fn mutate(draw: &mut Draw, store: &mut Store, model: &mut Model) {
    match draw.below(16) {
        0 => {
            let (id, ttl) = (LeaseId(1 + draw.below(4)), Duration::from_secs(5));
            let granted = store.grant(id, ttl);
            assert_eq!(granted.is_ok(), !model.leases.contains_key(&id));
            model.leases.entry(id).or_insert(ttl);
        }
        1 => {
            let id = LeaseId(1 + draw.below(4));
            assert_eq!(store.revoke(id, Cause::NONE), model.revoke(id));
        }
        2 => {
            let revision = Revision(model.compacted.0 + draw.below(6));
            assert_eq!(store.compact(revision), model.compact(revision));
        }
        _ => {
            let txn = draw.txn(0);
            if validate(&txn).is_err() {
                return;
            }
            let asked = draw.below(2) == 0;
            let answer = store.txn(&txn, Cause::NONE, asked);
            assert_eq!(answer.as_ref().err(), model.txn(&txn).err().as_ref(), "{txn:?}");
            assert!(asked || answer.is_err() || answer.unwrap().1.is_empty());
        }
    }
}

fn everything(at: Revision) -> Range {
    Range { revision: at, ..Range::of(KeyRange::Prefix("".into())) }
}

#[test]
fn the_store_is_what_a_naive_model_is() {
    for seed in 0..60 {
        let mut draw = Draw(Seed(seed).stream("store"));
        let (mut store, mut model) = (Store::new(), Model::default());
        for _ in 0..250 {
            mutate(&mut draw, &mut store, &mut model);
            assert_eq!((store.revision(), store.compacted()), (model.revision(), model.compacted));
            for _ in 0..4 {
                let range = draw.range(model.revision());
                assert_eq!(store.range(&range), model.range(&range), "seed {seed}: {range:?}");
            }
            let key = draw.key();
            assert_eq!(store.get(&key).as_ref(), model.now().get(&*key));
        }
        let from = store.compacted().next();
        let keys = KeyRange::Prefix("".into());
        let told: Vec<_> = store.events_since(from, &keys).map(|it| (it.kv.mod_revision, it.kv.key.to_string(), it.deleted)).collect();
        let changed: Vec<_> = model.changes.iter().filter(|(revision, ..)| *revision >= from).cloned().collect();
        assert_eq!(told, changed, "seed {seed}");
        for event in store.events_since(from, &keys) {
            let before = model.at(Revision(event.kv.mod_revision.0 - 1));
            // What was there at the compacted revision is still known, what was before is not.
            assert_eq!(event.previous.as_ref(), before.get(&*event.kv.key), "seed {seed}");
        }
        let attached = |id| model.now().values().filter(|kv| kv.lease == id).map(|kv| kv.key.clone()).collect::<BTreeSet<_>>();
        for &id in model.leases.keys() {
            assert_eq!(store.lease_keys(id).cloned().collect::<BTreeSet<_>>(), attached(id));
        }
    }
}

#[test]
fn a_store_comes_back_from_its_snapshot_with_all_its_history() {
    for seed in 100..140 {
        let mut draw = Draw(Seed(seed).stream("store"));
        let (mut store, mut model) = (Store::new(), Model::default());
        for _ in 0..120 {
            mutate(&mut draw, &mut store, &mut model);
        }
        store.raise(Member(2), Alarm::NoSpace);
        let first = store.leases().next();
        if let Some(lease) = first {
            store.checkpoint(lease.id, Duration::from_secs(2));
        }
        let snapshot = store.snapshot();
        let mut restored = Store::from_snapshot(&snapshot);
        let observe = |store: &Store| {
            let states: Vec<_> =
                (store.compacted().0.max(1)..=store.revision().0).map(|at| store.range(&everything(Revision(at)))).collect();
            let events: Vec<_> = store.events_since(store.compacted().next(), &KeyRange::Prefix("".into())).collect();
            let leases: Vec<(LeaseRecord, Vec<StoreKey>)> =
                store.leases().map(|lease| (lease, store.lease_keys(lease.id).cloned().collect())).collect();
            let alarms: Vec<_> = store.alarms().collect();
            (states, events, leases, alarms, store.hash(), store.hash_kv(Revision(0)), store.db_bytes_in_use())
        };
        assert_eq!(observe(&store), observe(&restored), "seed {seed}");
        assert_eq!(restored.snapshot(), snapshot);
        // And it goes on as the other does, compactions included.
        let mut other = Draw(Seed(seed).stream("later"));

        for _ in 0..60 {
            let txn = other.txn(0);
            if validate(&txn).is_ok() {
                assert_eq!(store.txn(&txn, Cause::NONE, true), restored.txn(&txn, Cause::NONE, true));
            }
            if other.below(10) == 0 {
                let revision = Revision(store.compacted().0 + 3);
                assert_eq!(store.compact(revision), restored.compact(revision));
            }
        }
        assert_eq!(observe(&store), observe(&restored), "seed {seed}");
    }
}

#[test]
fn the_hash_at_a_compaction_is_that_of_a_store_that_ended_there() {
    let mut store = Store::new();
    let put = |store: &mut Store, key: &str, value: &str| {
        let txn = Txn::unconditional(Op::put(key.into(), Value::bytes(value.as_bytes()), LeaseId(0)));
        store.txn(&txn, Cause::NONE, false).unwrap();
    };
    put(&mut store, "a", "1");
    put(&mut store, "b", "1");
    let at_three = store.hash();
    put(&mut store, "a", "2");
    store.compact(Revision(3)).unwrap();
    assert_eq!(store.snapshot_at_compaction(Vec::new(), Vec::new()).hash, at_three);
    // Two members that differ in one value differ in both hashes.
    let (mut one, mut other) = (Store::new(), Store::new());
    put(&mut one, "a", "1");
    put(&mut other, "a", "2");
    assert_ne!(one.hash(), other.hash());
    assert_ne!(one.hash_kv(Revision(0)), other.hash_kv(Revision(0)));
}

#[test]
fn a_deleted_and_compacted_key_leaves_nothing_behind() {
    let mut store = Store::new();
    store.grant(LeaseId(7), Duration::from_secs(5)).unwrap();
    let put = Txn::unconditional(Op::put("a".into(), Value::bytes(&[1; 100]), LeaseId(7)));
    let delete = Txn::unconditional(Op::Delete { keys: KeyRange::One("a".into()), previous: true });
    store.txn(&put, Cause::NONE, false).unwrap();
    let (_, answers) = store.txn(&delete, Cause::NONE, true).unwrap();
    assert!(matches!(&*answers, [OpAnswer::Delete { deleted: 1, previous }] if previous[0].lease == LeaseId(7)));
    let full = store.db_bytes();
    store.compact(Revision(3)).unwrap();
    assert_eq!((store.db_bytes(), store.db_bytes_in_use()), (full, 0), "the file keeps its size until it is defragmented");
    store.defragment();
    assert_eq!(store.db_bytes(), 0);
    store.txn(&put, Cause::NONE, false).unwrap();
    assert_eq!(store.get("a").unwrap().version, 1);
}
