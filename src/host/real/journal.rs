//! A process' journal: all that came from outside, when and in which order, written before the actor saw it; and a digest of each effect
//! that it asked for, so that a replay can be held against it.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::arrival::Caused;
use super::control::Setup;
use super::frame;
use crate::base::digest::Digester;
use crate::base::{Cause, Digest, Time};
use crate::wire::{DiskOp, DiskRecord, Effect, NetOp, codec};

/// A line of a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Line {
    /// The first: who it was, from when on, and what its disk held.
    Begin { setup: Box<Setup>, at: Time, disk: Vec<DiskRecord> },
    /// The actor was woken at `reached` with these arrivals; `effects` are those since the line before.
    Turn { effects: Vec<Digest>, reached: Time, arrivals: Vec<Caused> },
    /// The run was over. A process that was killed has no such line.
    End { effects: Vec<Digest>, outcome: Digest },
}

/// Writes lines, each whole and before the next step: what the kernel has outlives the process.
pub struct Journal {
    file: File,
    effects: Vec<Digest>,
}

impl Journal {
    pub fn create(path: &Path, begin: &Line) -> io::Result<Journal> {
        let mut file = File::create(path)?;
        frame::write(&mut file, begin)?;
        Ok(Journal { file, effects: Vec::new() })
    }
    pub fn effect(&mut self, digest: Digest) {
        self.effects.push(digest);
    }
    /// The arrivals come back: they are journalled, now the actor may see them.
    pub fn turn(&mut self, reached: Time, arrivals: Vec<Caused>) -> io::Result<Vec<Caused>> {
        let line = Line::Turn { effects: std::mem::take(&mut self.effects), reached, arrivals };
        self.file.write_all(&frame::of(&line))?;
        let Line::Turn { arrivals, .. } = line else { unreachable!("it was made above") };
        Ok(arrivals)
    }
    pub fn end(&mut self, outcome: Digest) -> io::Result<()> {
        frame::write(&mut self.file, &Line::End { effects: std::mem::take(&mut self.effects), outcome })
    }
}

/// Reads the lines of a journal. What a killed process left half written is its end.
pub struct Reader(BufReader<File>);

impl Reader {
    pub fn open(path: &Path) -> io::Result<Reader> {
        Ok(Reader(BufReader::new(File::open(path)?)))
    }
    pub fn read(&mut self) -> io::Result<Option<Line>> {
        match frame::next(&mut self.0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            other => other,
        }
    }
}

/// An effect as bytes, with its cause: two effects with the same bytes are the same.
pub fn bytes_of(cause: Cause, effect: &Effect) -> Vec<u8> {
    let mut bytes = postcard::to_allocvec(&cause).expect("a number can be written");
    match effect {
        Effect::Net(NetOp::Write(conn, message)) => {
            bytes.extend(conn.0.to_le_bytes());
            bytes.extend(codec::encode(message));
        }
        Effect::Disk(DiskOp::Write(record)) => bytes = postcard::to_extend(record, bytes).expect("a record can be written"),
        Effect::Container(op) => bytes = postcard::to_extend(op, bytes).expect("a request can be written"),
        Effect::Endpoints(change) => bytes = postcard::to_extend(change, bytes).expect("a change can be written"),
        // Numbers and addresses only: their text tells all of them.
        Effect::Net(op) => bytes.extend(format!("{op:?}").bytes()),
        Effect::Disk(op) => bytes.extend(format!("{op:?}").bytes()),
        Effect::Compute(id, work) => bytes.extend(format!("{id:?} {work:?}").bytes()),
        Effect::Exit => bytes.extend(b"exit"),
        Effect::History(_) | Effect::Provision(_) => unreachable!("clients of etcd are simulated only"),
        Effect::Record(..) => unreachable!("the engine keeps these to itself"),
    }
    bytes
}

pub fn digest_of(bytes: &[u8]) -> Digest {
    let mut digester = Digester::default();
    digester.bytes(bytes);
    digester.digest()
}
