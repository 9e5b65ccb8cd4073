//! Files that are there whole or not at all: each is written under a name of its own beside its place, then renamed.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Why a report could not be written, or a record not be read.
#[derive(Debug)]
pub enum ReportError {
    /// The output folder can't be made or is no folder.
    Folder { path: PathBuf, source: io::Error },
    /// No space is left for this file.
    Full { path: PathBuf },
    /// This file could not be written.
    Write { path: PathBuf, source: io::Error },
    /// This file could not be read.
    Read { path: PathBuf, source: io::Error },
    /// This file is not a record, or one that this version can't read.
    Malformed { path: PathBuf, why: String },
}

impl fmt::Display for ReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReportError::Folder { path, source } => write!(f, "{}: the output folder can't be used: {source}", path.display()),
            ReportError::Full { path } => write!(f, "{}: the disk is full; nothing of this file was kept", path.display()),
            ReportError::Write { path, source } => write!(f, "{}: can't be written: {source}", path.display()),
            ReportError::Read { path, source } => write!(f, "{}: can't be read: {source}", path.display()),
            ReportError::Malformed { path, why } => write!(f, "{}: not a saved record: {why}", path.display()),
        }
    }
}
impl std::error::Error for ReportError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ReportError::Folder { source, .. } | ReportError::Write { source, .. } | ReportError::Read { source, .. } => Some(source),
            ReportError::Full { .. } | ReportError::Malformed { .. } => None,
        }
    }
}

/// Makes the folder and those above it.
pub fn make_folder(dir: &Path) -> Result<(), ReportError> {
    fs::create_dir_all(dir).map_err(|source| ReportError::Folder { path: dir.to_path_buf(), source })
}

/// Removes a file of an earlier run, if it is there.
pub fn remove(dir: &Path, name: &str) -> Result<(), ReportError> {
    let path = dir.join(name);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ReportError::Write { path, source }),
        _ => Ok(()),
    }
}

/// Has `write` make the file under a temporary name in `dir`, then gives it its own: whoever looks sees the old file, or the whole new
/// one. What was half written is removed.
pub fn write_whole(dir: &Path, name: &str, write: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), ReportError> {
    let path = dir.join(name);
    // The ending stays: a picture's format is told by it.
    let part = dir.join(format!(".part-{name}"));
    write(&part).and_then(|()| fs::rename(&part, &path)).map_err(|source| {
        // Best effort: the error that is told is the first one.
        let _ = fs::remove_file(&part);
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ReportError::Full { path },
            _ => ReportError::Write { path, source },
        }
    })
}
