//! An actor's write-ahead log in a file: records in frames, each with a checksum over itself and the one before, made durable by fdatasync.
//! A snapshot begins a new file, which takes the place of the old one when it is durable itself. A thread writes, so that a slow disk does
//! not hold the actor up; what it has not written yet is lost with the process, as what is not synced may be.
//!
//! As in etcd (`server/storage/wal/decoder.go`, isTornEntry) a last record is torn if the file ends before it does, or if a whole sector of
//! it is zero; it was never acknowledged, and is cut off. Any other mismatch is corruption: the process does not start. A length that has
//! become too large is taken for a torn end, there and here.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex};

use super::arrival::{Arrival, Told};
use super::control::DiskTrouble;
use super::{frame, threads};
use crate::base::digest::stable_hash;
use crate::base::{Cause, Stream};
use crate::host::prepare::compacted;
use crate::wire::{DiskOp, DiskRecord};

/// What disks write at once (etcd `wal/decoder.go`, minSectorSize).
const SECTOR: usize = 512;

/// The log of one actor.
pub struct Log {
    ops: Option<Sender<(Cause, DiskOp)>>,
    path: PathBuf,
    trouble: Trouble,
    /// What a slow disk draws from; the writing thread's, once there is one.
    slow: Option<Stream>,
}

/// What faults do to the disk: set by whoever hears of them, felt by each sync.
#[derive(Clone, Default)]
pub struct Trouble(Arc<(Mutex<DiskTrouble>, Condvar)>);

impl Trouble {
    pub fn set(&self, now: DiskTrouble) {
        *self.0.0.lock().expect("no thread panics with this lock") = now;
        self.0.1.notify_all();
    }
    /// A sync's own time is over: waits for what the faults make of it.
    fn feel(&self, stream: &mut Stream) {
        let (trouble, changed) = &*self.0;
        let extra = trouble.lock().expect("no thread panics with this lock").extra.clone();
        let takes: u64 = extra.iter().map(|extra| extra.sample(stream).nanos()).sum();
        if takes > 0 {
            threads::pause(std::time::Duration::from_nanos(takes));
        }
        let trouble = trouble.lock().expect("no thread panics with this lock");
        drop(changed.wait_while(trouble, |trouble| trouble.stalled).expect("no thread panics with this lock"));
    }
}

impl Log {
    /// The log at `path`, and the records that are in it, without a torn end, which is cut off. An error if one is corrupted. `slow`: what
    /// a slow disk draws from.
    pub fn open(path: &Path, slow: Stream) -> io::Result<(Log, Vec<DiskRecord>)> {
        let found = read(path)?;
        if let Ok(file) = OpenOptions::new().write(true).open(path) {
            file.set_len(found.whole)?;
            file.sync_data()?;
        }
        Ok((Log { ops: None, path: path.to_owned(), trouble: Trouble::default(), slow: Some(slow) }, found.records))
    }
    pub fn trouble(&self) -> Trouble {
        self.trouble.clone()
    }
    /// Does it, in order; `told` hears of syncs.
    pub fn perform(&mut self, cause: Cause, op: DiskOp, told: &Told) {
        if let Some(slow) = self.slow.take() {
            let (sender, ops) = channel();
            let (path, told, trouble) = (self.path.clone(), told.clone(), self.trouble.clone());
            threads::spawn(move || {
                if let Err(error) = serve(&path, &ops, &told, &trouble, slow) {
                    // A store that can't write must not go on as if it had (etcd panics, too).
                    eprintln!("error: {}: {error}", path.display());
                    std::process::exit(1);
                }
            });
            self.ops = Some(sender);
        }
        // The thread ends with the process.
        let _ = self.ops.as_ref().expect("just made").send((cause, op));
    }
}

fn serve(path: &Path, ops: &Receiver<(Cause, DiskOp)>, told: &Told, trouble: &Trouble, mut slow: Stream) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let mut checksum = read(path)?.checksum;
    while let Ok((cause, op)) = ops.recv() {
        match op {
            DiskOp::Write(record @ DiskRecord::Snapshot(_)) => {
                let mut records = read(path)?.records;
                records.push(record);
                (file, checksum) = rewrite(path, compacted(records))?;
            }
            DiskOp::Write(record) => file.write_all(&framed(&record, &mut checksum))?,
            DiskOp::Sync(id) => {
                file.sync_data()?;
                trouble.feel(&mut slow);
                told.tell(cause, Arrival::Synced(id));
            }
            // Done when the log was opened.
            DiskOp::Repair => {}
        }
    }
    Ok(())
}

/// The new file, and the checksum of its last record.
fn rewrite(path: &Path, records: Vec<DiskRecord>) -> io::Result<(File, u64)> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    let mut checksum = 0;
    for record in &records {
        file.write_all(&framed(record, &mut checksum))?;
    }
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok((file, checksum))
}

/// Checksum and record, in a frame. `checksum`: of the record before, and then of this.
fn framed(record: &DiskRecord, checksum: &mut u64) -> Vec<u8> {
    let body = postcard::to_allocvec(record).expect("a record can be written");
    *checksum = stable_hash(&(*checksum, &body[..]));
    frame::of(&(*checksum, body))
}

/// What stands in a log.
#[derive(Default)]
struct Found {
    records: Vec<DiskRecord>,
    /// How many bytes they take.
    whole: u64,
    /// Of the last.
    checksum: u64,
}

fn read(path: &Path) -> io::Result<Found> {
    let file = match std::fs::read(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::default()),
        Err(error) => return Err(error),
    };
    let mut found = Found::default();
    let mut rest = &file[..];
    loop {
        let bytes = match frame::read(&mut rest) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(found),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(found),
            Err(error) => return Err(error),
        };
        let checked = frame::value::<(u64, Vec<u8>)>(&bytes).ok().filter(|(checksum, body)| {
            let expected = stable_hash(&(found.checksum, &body[..]));
            *checksum == expected
        });
        let record = checked.and_then(|(checksum, body)| Some((checksum, postcard::from_bytes(&body).ok()?)));
        let Some((checksum, record)) = record else {
            let begun = &file[found.whole as usize..];
            return if is_torn(begun, found.whole, rest) { Ok(found) } else { Err(corrupted(path, &found)) };
        };
        found.records.push(record);
        found.whole += 4 + bytes.len() as u64;
        found.checksum = checksum;
    }
}

/// Of the bytes from `at` on, which should have begun with a record: a sector that was never written, and nothing after it.
fn is_torn(begun: &[u8], at: u64, after: &[u8]) -> bool {
    let head = (SECTOR - at as usize % SECTOR).min(begun.len());
    let mut sectors = std::iter::once(&begun[..head]).chain(begun[head..].chunks(SECTOR));
    after.iter().all(|byte| *byte == 0) && sectors.any(|sector| sector.iter().all(|byte| *byte == 0))
}

fn corrupted(path: &Path, found: &Found) -> io::Error {
    let words = format!("{}: record {} does not match its checksum", path.display(), found.records.len() + 1);
    io::Error::new(io::ErrorKind::InvalidData, words)
}

#[cfg(test)]
mod tests {
    use super::super::arrival::Inbox;
    use super::*;
    use crate::base::random::Seed;
    use crate::base::{Index, Term};
    use crate::wire::SyncId;
    use crate::wire::raft::{Entry, HardState, Snapshot};

    fn entries(range: std::ops::RangeInclusive<u64>) -> DiskRecord {
        DiskRecord::Entries(range.map(|index| Entry { term: Term(1), index: Index(index), command: None, change: None }).collect())
    }
    fn state(term: u64) -> DiskRecord {
        DiskRecord::HardState(HardState { term: Term(term), vote: None, commit: Index(0) })
    }
    fn opened(path: &Path) -> io::Result<(Log, Vec<DiskRecord>)> {
        Log::open(path, Seed(1).stream("slow disk"))
    }
    /// Writes the records, waits until they are durable.
    fn write(path: &Path, records: Vec<DiskRecord>) {
        let (mut log, _) = opened(path).expect("a log");
        let (sender, told) = Told::new();
        for record in records {
            log.perform(Cause::NONE, DiskOp::Write(record), &sender);
        }
        log.perform(Cause::NONE, DiskOp::Sync(SyncId(1)), &sender);
        assert!(matches!(told.recv(), Ok(Inbox::Arrival((_, Arrival::Synced(SyncId(1)))))));
    }

    #[test]
    fn the_next_life_finds_what_was_synced_and_a_torn_record_is_cut_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        write(&path, vec![state(1), entries(1..=2)]);
        let mut file = OpenOptions::new().append(true).open(&path).expect("the log");
        file.write_all(&framed(&state(2), &mut 0)[..9]).expect("half a record");
        let (_, records) = opened(&path).expect("a log");
        assert_eq!(records, [state(1), entries(1..=2)]);
        write(&path, vec![state(3)]);
        let (_, records) = opened(&path).expect("a log");
        assert_eq!(records, [state(1), entries(1..=2), state(3)], "what is written after the cut is read");
    }

    #[test]
    fn a_record_whose_end_was_never_written_is_torn_and_one_with_other_bits_is_corrupted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        write(&path, vec![state(1), entries(1..=200), entries(201..=400)]);
        let whole = std::fs::read(&path).expect("the log");
        let opened_with = |bytes: &[u8]| {
            std::fs::write(&path, bytes).expect("a changed log");
            opened(&path).map(|(_, records)| records.len()).map_err(|error| error.to_string())
        };
        assert_eq!(opened_with(&whole), Ok(3));
        let mut torn = whole.clone();
        let written = torn.len() - 700;
        torn[written..].fill(0);
        assert_eq!(opened_with(&torn), Ok(2), "a sector of the last is missing");
        assert_eq!(opened_with(&[&whole[..], &[0; 600]].concat()), Ok(3), "preallocated");
        // Any bit but those of the frames' lengths.
        for at in [4, 10, whole.len() / 3, whole.len() - 1] {
            let mut corrupted = whole.clone();
            corrupted[at] ^= 0x10;
            let error = opened_with(&corrupted).expect_err("it is refused");
            assert!(error.ends_with(" does not match its checksum"), "{at}: {error}");
        }
        let first = 4 + u32::from_le_bytes(whole[..4].try_into().expect("four")) as usize;
        let second = first + 4 + u32::from_le_bytes(whole[first..first + 4].try_into().expect("four")) as usize;
        let lost = [&whole[..first], &whole[second..]].concat();
        assert!(opened_with(&lost).expect_err("it is refused").contains("record 2 does not"), "a record that is missing breaks the chain");
    }

    #[test]
    fn a_disk_that_stands_still_ends_no_sync_before_it_goes_on() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mut log, _) = opened(&folder.path().join("wal")).expect("a log");
        let (sender, told) = Told::new();
        let trouble = log.trouble();
        trouble.set(DiskTrouble { extra: Vec::new(), stalled: true });
        log.perform(Cause::NONE, DiskOp::Write(state(1)), &sender);
        log.perform(Cause::NONE, DiskOp::Sync(SyncId(1)), &sender);
        assert!(told.recv_timeout(std::time::Duration::from_millis(100)).is_err(), "it ended");
        trouble.set(DiskTrouble::default());
        assert!(matches!(told.recv(), Ok(Inbox::Arrival((_, Arrival::Synced(SyncId(1)))))));
    }

    #[test]
    fn a_snapshot_takes_the_place_of_what_stands_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let configuration = crate::wire::raft::Configuration::default();
        let snapshot = DiskRecord::Snapshot(Arc::new(Snapshot { index: Index(3), term: Term(1), configuration, state: Arc::default() }));
        write(&path, vec![state(1), entries(1..=5), snapshot.clone(), entries(6..=6)]);
        let (_, records) = opened(&path).expect("a log");
        assert_eq!(records, [snapshot, state(1), entries(4..=5), entries(6..=6)]);
    }
}
