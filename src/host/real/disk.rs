//! An actor's write-ahead log in a file: records in frames with a checksum, made durable by fdatasync. A snapshot begins a new file, which
//! takes the place of the old one when it is durable itself. A thread writes, so that a slow disk does not hold the actor up; what it has
//! not written yet is lost with the process, as what is not synced may be.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::arrival::{Arrival, Told};
use super::{frame, threads};
use crate::base::Cause;
use crate::base::digest::stable_hash;
use crate::host::prepare::compacted;
use crate::wire::{DiskOp, DiskRecord};

/// The log of one actor.
pub struct Log {
    ops: Option<Sender<(Cause, DiskOp)>>,
    path: PathBuf,
}

impl Log {
    /// The log at `path`, and the records that are in it: up to the first that is torn or damaged, where it is cut.
    pub fn open(path: &Path) -> io::Result<(Log, Vec<DiskRecord>)> {
        let (records, whole) = read(path)?;
        if let Ok(file) = OpenOptions::new().write(true).open(path) {
            file.set_len(whole)?;
        }
        Ok((Log { ops: None, path: path.to_owned() }, records))
    }
    /// Does it, in order; `told` hears of syncs.
    pub fn perform(&mut self, cause: Cause, op: DiskOp, told: &Told) {
        if self.ops.is_none() {
            let (sender, ops) = channel();
            let (path, told) = (self.path.clone(), told.clone());
            threads::spawn(move || {
                if let Err(error) = serve(&path, &ops, &told) {
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

fn serve(path: &Path, ops: &Receiver<(Cause, DiskOp)>, told: &Told) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    while let Ok((cause, op)) = ops.recv() {
        match op {
            DiskOp::Write(record @ DiskRecord::Snapshot(_)) => {
                let (mut records, _) = read(path)?;
                records.push(record);
                file = rewrite(path, compacted(records))?;
            }
            DiskOp::Write(record) => file.write_all(&framed(&record))?,
            DiskOp::Sync(id) => {
                file.sync_data()?;
                told.tell(cause, Arrival::Synced(id));
            }
        }
    }
    Ok(())
}

fn rewrite(path: &Path, records: Vec<DiskRecord>) -> io::Result<File> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    for record in &records {
        file.write_all(&framed(record))?;
    }
    file.sync_data()?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

/// Checksum and record, in a frame.
fn framed(record: &DiskRecord) -> Vec<u8> {
    let body = postcard::to_allocvec(record).expect("a record can be written");
    frame::of(&(stable_hash(&body[..]), body))
}

/// The records up to the first that is not whole, and how many bytes they take.
fn read(path: &Path) -> io::Result<(Vec<DiskRecord>, u64)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        Err(error) => return Err(error),
    };
    let mut from = BufReader::new(file);
    let (mut records, mut whole) = (Vec::new(), 0);
    while let Ok(Some(bytes)) = frame::read(&mut from) {
        let Ok((checksum, body)) = frame::value::<(u64, Vec<u8>)>(&bytes) else { break };
        let record = (stable_hash(&body[..]) == checksum).then(|| postcard::from_bytes(&body).ok()).flatten();
        let Some(record) = record else { break };
        records.push(record);
        whole += 4 + bytes.len() as u64;
    }
    Ok((records, whole))
}

#[cfg(test)]
mod tests {
    use super::super::arrival::Inbox;
    use super::*;
    use crate::base::{Index, Term};
    use crate::wire::SyncId;
    use crate::wire::raft::Configuration;
    use crate::wire::raft::{Entry, HardState, Snapshot};
    use std::sync::Arc;

    fn entries(range: std::ops::RangeInclusive<u64>) -> DiskRecord {
        DiskRecord::Entries(
            range.map(|index| Arc::new(Entry { term: Term(1), index: Index(index), command: None, change: None })).collect(),
        )
    }
    fn state(term: u64) -> DiskRecord {
        DiskRecord::HardState(HardState { term: Term(term), vote: None, commit: Index(0) })
    }
    /// Writes the records, waits until they are durable.
    fn write(path: &Path, records: Vec<DiskRecord>) {
        let (mut log, _) = Log::open(path).expect("a log");
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
        file.write_all(&framed(&state(2))[..9]).expect("half a record");
        let (_, records) = Log::open(&path).expect("a log");
        assert_eq!(records, [state(1), entries(1..=2)]);
        write(&path, vec![state(3)]);
        let (_, records) = Log::open(&path).expect("a log");
        assert_eq!(records, [state(1), entries(1..=2), state(3)], "what is written after the cut is read");
    }

    #[test]
    fn a_snapshot_takes_the_place_of_what_stands_before_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("wal");
        let configuration = Configuration::default();
        let snapshot = DiskRecord::Snapshot(Arc::new(Snapshot { index: Index(3), term: Term(1), configuration, state: Arc::default() }));
        write(&path, vec![state(1), entries(1..=5), snapshot.clone(), entries(6..=6)]);
        let (_, records) = Log::open(&path).expect("a log");
        assert_eq!(records, [snapshot, state(1), entries(4..=5), entries(6..=6)]);
    }
}
