//! Files that may be compressed with gzip.

use std::borrow::Cow;
use std::io::Read;

/// A file that grows beyond this when it is unpacked is refused.
const MOST_UNPACKED: u64 = 256 << 20;

/// What a file holds: all members where it is compressed with gzip (RFC 1952: it begins with the magic number), else the bytes themselves.
pub fn unpacked(bytes: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    let plain: Cow<[u8]> = if bytes.starts_with(&[0x1f, 0x8b]) {
        let mut plain = Vec::new();
        let read = flate2::read::MultiGzDecoder::new(bytes).take(MOST_UNPACKED + 1).read_to_end(&mut plain);
        read.map_err(|error| format!("cannot be unpacked: {error}"))?;
        plain.into()
    } else {
        bytes.into()
    };
    if plain.len() as u64 > MOST_UNPACKED {
        return Err(format!("it has more than {} MiB unpacked", MOST_UNPACKED >> 20));
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_whole_compressed_or_not() {
        let packed = |text: &str| {
            let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            writer.write_all(text.as_bytes()).expect("to memory");
            writer.finish().expect("to memory")
        };
        let both = [packed("first "), packed("second")].concat();
        assert_eq!(unpacked(&both).as_deref(), Ok(&b"first second"[..]));
        assert_eq!(unpacked(b"first second").as_deref(), Ok(&b"first second"[..]));
        assert!(unpacked(&both[..both.len() - 3]).is_err_and(|error| error.starts_with("cannot be unpacked")));
    }
}
