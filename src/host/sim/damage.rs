//! What a damaged record of a log reads as: the records are data here, so that flipped bits and missing ends are shown by what they would do
//! to it. Only who ignores the checksum ever sees that.

use crate::base::Stream;
use crate::wire::DiskRecord;
use crate::wire::raft::{Entry, HardState};

/// Some bits have changed: those of a command, since commands are most of a log's bytes; of a hard state, its vote.
pub fn flipped(record: &DiskRecord, stream: &mut Stream) -> DiskRecord {
    match record {
        DiskRecord::Entries(entries) => {
            let with_commands: Vec<usize> = (0..entries.len()).filter(|&at| entries[at].command.is_some()).collect();
            let hit = if with_commands.is_empty() { entries.len() - 1 } else { with_commands[stream.index(with_commands.len())] };
            let mut entries = entries.to_vec();
            entries[hit] = emptied(&entries[hit]);
            DiskRecord::Entries(entries.into())
        }
        DiskRecord::HardState(state) => DiskRecord::HardState(HardState { vote: None, ..*state }),
        other => other.clone(),
    }
}

/// Its end is missing. `None`: nothing of it can be read at all. Logs are preallocated with zeros (etcd `server/storage/wal`, 64 MB a
/// segment), so that what is missing reads as nothing.
pub fn torn(record: &DiskRecord, stream: &mut Stream) -> Option<DiskRecord> {
    match record {
        DiskRecord::Entries(entries) => {
            let begun = stream.index(entries.len()) + 1;
            let mut entries = entries[..begun].to_vec();
            let last = entries.last_mut()?;
            *last = emptied(last);
            Some(DiskRecord::Entries(entries.into()))
        }
        DiskRecord::HardState(state) => Some(DiskRecord::HardState(HardState { vote: None, ..*state })),
        // A snapshot is a file of its own, with its name only when it is whole.
        _ => None,
    }
}

fn emptied(entry: &Entry) -> Entry {
    Entry { command: None, change: None, ..*entry }
}
