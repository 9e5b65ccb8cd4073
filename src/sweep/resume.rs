//! The resume file: a line of JSON a finished run, appended when it ends. It lives in the output folder until the sweep is whole.
//!
//! A line names what its run depends on: the scenario's content, the build and the seed. A line of another scenario or build is no run of
//! this sweep; a torn last line (the program was killed while it wrote) is ignored, and cut off before more is appended.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{Outcome, Sweep};
use crate::report::ReportError;
use crate::report::files::write_whole;

/// Its name in the output folder.
pub const FILE: &str = "finished-runs.jsonl";

#[derive(Serialize, Deserialize)]
struct Line {
    scenario: String,
    build: String,
    values: Vec<String>,
    seed: u64,
    outcome: Outcome,
}

/// The file, open for more.
pub struct Resume {
    path: PathBuf,
    file: File,
    build: String,
}

impl Resume {
    /// Opens the file of a folder; gives the finished runs of this sweep, by their numbers.
    pub fn open(dir: &Path, sweep: &Sweep, build: &str) -> Result<(Resume, BTreeMap<usize, Outcome>), ReportError> {
        let path = dir.join(FILE);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(ReportError::Read { path, source }),
        };
        let numbers: BTreeMap<String, usize> =
            sweep.variations.iter().enumerate().map(|(number, variation)| (variation.content.to_string(), number)).collect();
        let mut finished = BTreeMap::new();
        let mut kept = Vec::new();
        // What follows the last line's end was not written to its end.
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        for text in bytes[..whole].split_inclusive(|&byte| byte == b'\n') {
            let Ok(line) = serde_json::from_slice::<Line>(text) else { continue };
            let Some(&variation) = numbers.get(&line.scenario).filter(|_| line.build == build) else { continue };
            let Some(seed) = line.seed.checked_sub(sweep.seeds.first).filter(|seed| *seed < sweep.seeds.count) else { continue };
            kept.extend_from_slice(text);
            finished.insert(variation * sweep.seeds.count as usize + seed as usize, line.outcome);
        }
        write_whole(dir, FILE, |path| fs::write(path, &kept))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|source| ReportError::Write { path: path.clone(), source })?;
        Ok((Resume { path, file, build: build.to_owned() }, finished))
    }
    /// Appends a finished run, in one write.
    pub fn append(&mut self, sweep: &Sweep, number: usize, outcome: &Outcome) -> Result<(), ReportError> {
        let (variation, seed) = sweep.run(number);
        let variation = &sweep.variations[variation];
        let line = Line {
            scenario: variation.content.to_string(),
            build: self.build.clone(),
            values: variation.values.clone(),
            seed,
            outcome: outcome.clone(),
        };
        let mut text = serde_json::to_vec(&line).expect("numbers and text can be written");
        text.push(b'\n');
        self.file.write_all(&text).map_err(|source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ReportError::Full { path: self.path.clone() },
            _ => ReportError::Write { path: self.path.clone(), source },
        })
    }
}

/// The sweep is whole: the file has done its work.
pub fn remove(dir: &Path) -> Result<(), ReportError> {
    let path = dir.join(FILE);
    match fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(ReportError::Write { path, source }),
        _ => Ok(()),
    }
}
