//! What each process has written to its machine's disk: an ordered log of records, a part of which is durable, and which of those are
//! damaged.

use super::damage;
use crate::base::{Incarnation, Map, Stream};
use crate::engine::plan::WhichRecord;
use crate::host::prepare;
use crate::models::disk::Unsynced;
use crate::wire::actor::Damaged;
use crate::wire::{Address, DiskRecord, SyncId};

#[derive(Default)]
struct Log {
    /// As they were written.
    durable: Vec<DiskRecord>,
    unsynced: Unsynced<DiskRecord>,
    /// Which of `durable` are damaged, in order, and what they read as.
    damaged: Vec<(Damaged, DiskRecord)>,
}

struct Sync {
    address: Address,
    incarnation: Incarnation,
    id: SyncId,
    mark: u64,
}

/// The logs of all processes.
pub struct Storage {
    logs: Map<Address, Log>,
    syncs: Map<u64, Sync>,
    /// What disks will hold instead of what was written, from their process's next start on.
    provisions: Map<Address, Vec<DiskRecord>>,
    next: u64,
    /// How much of what was not synced a power loss leaves.
    stream: Stream,
    /// How records are damaged.
    damage: Stream,
}

impl Storage {
    pub fn new(stream: Stream, damage: Stream) -> Storage {
        Storage { logs: Map::default(), syncs: Map::default(), provisions: Map::default(), next: 1, stream, damage }
    }
    pub fn preload(&mut self, address: Address, records: Vec<DiskRecord>) {
        self.logs.entry(address).or_default().durable = records;
    }
    pub fn write(&mut self, address: Address, record: DiskRecord) {
        self.logs.entry(address).or_default().unsynced.write(record);
    }
    /// Begins a sync of all that was written so far; its number names it when it is done.
    pub fn sync(&mut self, address: Address, incarnation: Incarnation, id: SyncId) -> u64 {
        let mark = self.logs.entry(address).or_default().unsynced.mark();
        let number = self.next;
        self.next += 1;
        self.syncs.insert(number, Sync { address, incarnation, id, mark });
        number
    }
    /// Who asked for a sync that is under way.
    pub fn syncing(&self, number: u64) -> Option<Address> {
        self.syncs.get(&number).map(|sync| sync.address)
    }
    /// A sync is done: whom to tell. `None` if power was lost meanwhile.
    pub fn synced(&mut self, number: u64) -> Option<(Address, Incarnation, SyncId)> {
        let sync = self.syncs.remove(&number)?;
        let log = self.logs.get_mut(&sync.address)?;
        let durable: Vec<DiskRecord> = log.unsynced.synced(sync.mark).collect();
        log.append(durable);
        Some((sync.address, sync.incarnation, sync.id))
    }
    /// The process ended: killed (the page cache keeps all), or with its machine (a prefix may survive, and a part of what follows it).
    pub fn stopped(&mut self, address: Address, powered: bool) {
        let Some(log) = self.logs.get_mut(&address) else { return };
        if powered {
            let survivors = log.unsynced.process_killed().collect();
            log.append(survivors);
        } else {
            let (survivors, begun) = log.unsynced.power_lost(&mut self.stream);
            log.append(survivors);
            // A process that never looked at its log since an earlier power loss has not cut that one's end off.
            let tail_is_whole = log.damaged.last().is_none_or(|(damaged, _)| !damaged.torn);
            // Half of the time the disk had begun with it (our choice).
            if let Some(begun) = begun.filter(|_| tail_is_whole && self.damage.chance(0.5))
                && let Some(torn) = damage::torn(&begun, &mut self.damage)
            {
                log.damaged.push((Damaged { at: log.durable.len(), torn: true }, torn));
                log.durable.push(begun);
            }
        }
        self.syncs.retain(|_, sync| sync.address != address);
    }
    /// Bits of one durable record change. False: there is none.
    pub fn corrupt(&mut self, address: Address, which: WhichRecord) -> bool {
        let Some(log) = self.logs.get_mut(&address) else { return false };
        let sound = |at: &usize| log.damaged.iter().all(|(damaged, _)| damaged.at != *at);
        let all: Vec<usize> = (0..log.durable.len()).filter(sound).collect();
        // Most of a log's bytes are those of commands, and so are the bits that flip.
        let commands =
            |record: &DiskRecord| matches!(record, DiskRecord::Entries(entries) if entries.iter().any(|entry| entry.command.is_some()));
        let likely: Vec<usize> = all.iter().copied().filter(|&at| commands(&log.durable[at])).collect();
        let from = if likely.is_empty() { all } else { likely };
        let Some(&last) = from.last() else { return false };
        let at = match which {
            WhichRecord::Oldest => from[0],
            WhichRecord::Newest => last,
            WhichRecord::Random => from[self.damage.index(from.len())],
        };
        let reads = damage::flipped(&log.durable[at], &mut self.damage);
        let place = log.damaged.partition_point(|(damaged, _)| damaged.at < at);
        log.damaged.insert(place, (Damaged { at, torn: false }, reads));
        true
    }
    /// Cuts off a torn last record.
    pub fn repair(&mut self, address: Address) {
        let Some(log) = self.logs.get_mut(&address) else { return };
        if let Some((last, _)) = log.damaged.pop_if(|(damaged, _)| damaged.torn) {
            log.durable.truncate(last.at);
        }
    }
    /// From its next start on the process finds these records, and nothing else.
    pub fn provision(&mut self, address: Address, records: Vec<DiskRecord>) {
        self.provisions.insert(address, records);
    }
    /// What a new life finds: all records as they read, and which of them are damaged.
    pub fn read(&mut self, address: Address) -> (Vec<DiskRecord>, Vec<Damaged>) {
        if let Some(durable) = self.provisions.remove(&address) {
            self.logs.insert(address, Log { durable, ..Log::default() });
        }
        let Some(log) = self.logs.get(&address) else { return Default::default() };
        let mut records = log.durable.clone();
        for (damaged, reads) in &log.damaged {
            records[damaged.at] = reads.clone();
        }
        (records, log.damaged.iter().map(|(damaged, _)| *damaged).collect())
    }
}

impl Log {
    /// Adds records that are durable now.
    fn append(&mut self, records: Vec<DiskRecord>) {
        let shortens = records.iter().any(|record| matches!(record, DiskRecord::Snapshot(_) | DiskRecord::Release(_)));
        self.durable.extend(records);
        if shortens {
            let damaged = std::mem::take(&mut self.damaged).into_iter();
            let damaged = damaged.map(|(damaged, reads)| (self.durable[damaged.at].clone(), damaged.torn, reads)).collect::<Vec<_>>();
            self.durable = prepare::compacted(std::mem::take(&mut self.durable));
            // What a snapshot holds is released, damaged or not; what stays of a damaged record stays damaged.
            for (was, torn, reads) in damaged {
                let Some(at) = self.durable.iter().position(|record| is_what_is_left_of(record, &was)) else { continue };
                let (DiskRecord::Entries(left), DiskRecord::Entries(reads)) = (&self.durable[at], reads) else { continue };
                let first = left[0].index;
                let reads = DiskRecord::Entries(reads.iter().filter(|entry| entry.index >= first).cloned().collect());
                self.damaged.push((Damaged { at, torn }, reads));
            }
        }
    }
}

/// Entries end with the same one, wherever they begin.
fn is_what_is_left_of(record: &DiskRecord, was: &DiskRecord) -> bool {
    let (DiskRecord::Entries(left), DiskRecord::Entries(was)) = (record, was) else { return false };
    matches!((left.last(), was.last()), (Some(left), Some(was)) if left == was)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::random::Seed;
    use crate::base::{Cause, Index, Revision, Term};
    use crate::wire::Member;
    use crate::wire::etcd::{Command, Mutation};
    use crate::wire::raft::{Configuration, Entry, HardState, Snapshot};

    const WHO: Address = Address::Etcd(Member(1));

    fn entries(range: std::ops::RangeInclusive<u64>) -> DiskRecord {
        let mutation = Mutation::Compact { revision: Revision(1) };
        let command = Some(Arc::new(Command { origin: Member(1), number: 1, cause: Cause::NONE, mutation }));
        let entry = |index| Entry { term: Term(1), index: Index(index), command: command.clone(), change: None };
        DiskRecord::Entries(range.map(entry).collect())
    }
    fn state(term: u64) -> DiskRecord {
        DiskRecord::HardState(HardState { term: Term(term), vote: Some(Member(2)), commit: Index(0) })
    }
    fn snapshot(index: u64) -> DiskRecord {
        let configuration = Configuration::default();
        DiskRecord::Snapshot(Arc::new(Snapshot { index: Index(index), term: Term(1), configuration, state: Arc::default() }))
    }
    fn storage(seed: u64) -> Storage {
        Storage::new(Seed(seed).stream("power loss"), Seed(seed).stream("damage"))
    }
    fn write_durably(storage: &mut Storage, records: impl IntoIterator<Item = DiskRecord>) {
        records.into_iter().for_each(|record| storage.write(WHO, record));
        let sync = storage.sync(WHO, Incarnation(1), SyncId(1));
        assert!(storage.synced(sync).is_some());
    }

    #[test]
    fn a_power_loss_tears_at_most_the_record_after_those_that_survive() {
        let mut torn = 0;
        for seed in 0..100 {
            let mut storage = storage(seed);
            write_durably(&mut storage, [state(1), entries(1..=2)]);
            for record in [entries(3..=5), state(2)] {
                storage.write(WHO, record);
            }
            storage.stopped(WHO, false);
            let (records, damaged) = storage.read(WHO);
            assert_eq!(records[..2], [state(1), entries(1..=2)], "what was synced is there");
            let Some(tail) = damaged.first() else { continue };
            torn += 1;
            assert_eq!((damaged.len(), tail.at, tail.torn), (1, records.len() - 1, true));
            assert_ne!(records[tail.at], [entries(3..=5), state(2)][tail.at - 2], "it reads as something else");
            storage.repair(WHO);
            let (cut, damaged) = storage.read(WHO);
            assert_eq!((&cut[..], damaged.len()), (&records[..tail.at], 0));
        }
        // Two times in three some record is next, and half of those were begun.
        assert!((20..=47).contains(&torn), "{torn}");
    }

    #[test]
    fn a_corrupted_record_reads_differently_until_a_snapshot_releases_it() {
        let sound = [state(1), entries(1..=2), entries(3..=5), state(2)];
        for (which, hit) in [(WhichRecord::Oldest, 1), (WhichRecord::Newest, 2)] {
            let mut storage = storage(1);
            assert!(!storage.corrupt(WHO, which), "nothing is there");
            write_durably(&mut storage, sound.clone());
            assert!(storage.corrupt(WHO, which));
            for _ in 0..2 {
                let (records, damaged) = storage.read(WHO);
                assert_eq!(damaged, [Damaged { at: hit, torn: false }]);
                let differs: Vec<usize> = (0..4).filter(|&at| records[at] != sound[at]).collect();
                assert_eq!(differs, [hit], "commands are most of the bytes");
            }
            write_durably(&mut storage, [snapshot(3)]);
            let (records, damaged) = storage.read(WHO);
            assert_eq!(records.len(), 3, "the snapshot, the state and what follows: {records:?}");
            let left = if which == WhichRecord::Newest { vec![Damaged { at: 2, torn: false }] } else { Vec::new() };
            assert_eq!(damaged, left);
            storage.provision(WHO, vec![snapshot(9)]);
            assert_eq!(storage.read(WHO), (vec![snapshot(9)], Vec::new()), "a new disk is sound");
        }
    }
}
