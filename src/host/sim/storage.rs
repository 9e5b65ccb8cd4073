//! What each process has written to its machine's disk: an ordered log of records, a part of which is durable.

use crate::base::{Incarnation, Map, Stream};
use crate::host::prepare;
use crate::models::disk::Unsynced;
use crate::wire::{Address, DiskRecord, SyncId};

#[derive(Default)]
struct Log {
    durable: Vec<DiskRecord>,
    unsynced: Unsynced<DiskRecord>,
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
}

impl Storage {
    pub fn new(stream: Stream) -> Storage {
        Storage { logs: Map::default(), syncs: Map::default(), provisions: Map::default(), next: 1, stream }
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
    /// The process ended: killed (the page cache keeps all), or with its machine (a prefix may survive).
    pub fn stopped(&mut self, address: Address, powered: bool) {
        let Some(log) = self.logs.get_mut(&address) else { return };
        let survivors = if powered { log.unsynced.process_killed().collect() } else { log.unsynced.power_lost(&mut self.stream) };
        log.append(survivors);
        self.syncs.retain(|_, sync| sync.address != address);
    }
    /// From its next start on the process finds these records, and nothing else.
    pub fn provision(&mut self, address: Address, records: Vec<DiskRecord>) {
        self.provisions.insert(address, records);
    }
    /// What a new life finds.
    pub fn read(&mut self, address: Address) -> Vec<DiskRecord> {
        if let Some(durable) = self.provisions.remove(&address) {
            self.logs.insert(address, Log { durable, unsynced: Unsynced::default() });
        }
        self.logs.get(&address).map(|log| log.durable.clone()).unwrap_or_default()
    }
}

impl Log {
    /// Adds records that are durable now.
    fn append(&mut self, records: Vec<DiskRecord>) {
        let shortens = records.iter().any(|record| matches!(record, DiskRecord::Snapshot(_) | DiskRecord::Release(_)));
        self.durable.extend(records);
        if shortens {
            self.durable = prepare::compacted(std::mem::take(&mut self.durable));
        }
    }
}
