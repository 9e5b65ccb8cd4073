//! The record in a file: a zstd frame that holds a version byte and the record in postcard. Reading back gives an equal record.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::files::{ReportError, write_whole};
use crate::engine::record::Record;

/// Its name in an output folder.
pub const FILE: &str = "record.bin.zst";
/// The first byte inside the frame. A change of any type of the record changes it.
pub const VERSION: u8 = 2;

/// Saves a record, whole or not at all.
pub fn save(record: &Record, path: &Path) -> Result<(), ReportError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().map_or_else(|| FILE.to_string(), |name| name.to_string_lossy().into_owned());
    write_whole(dir, &name, |path| {
        let bytes = postcard::to_extend(record, vec![VERSION]).map_err(io::Error::other)?;
        fs::write(path, compress_to_vec(bytes.as_slice(), CompressionLevel::Fastest))
    })
}

/// Reads a saved record.
pub fn read(path: &Path) -> Result<Record, ReportError> {
    let malformed = |why: String| ReportError::Malformed { path: path.to_path_buf(), why };
    let file = fs::read(path).map_err(|source| ReportError::Read { path: path.to_path_buf(), source })?;
    let mut bytes = Vec::new();
    let mut decoder = StreamingDecoder::new(file.as_slice()).map_err(|error| malformed(error.to_string()))?;
    decoder.read_to_end(&mut bytes).map_err(|error| malformed(error.to_string()))?;
    match bytes.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|error| malformed(error.to_string())),
        Some((version, _)) => Err(malformed(format!("it has version {version}, this program reads version {VERSION}"))),
        None => Err(malformed("it is empty".to_string())),
    }
}
