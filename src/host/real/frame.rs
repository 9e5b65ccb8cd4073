//! Frames: four bytes of length, little endian, then so many bytes. Everything between processes of a run travels in them.

use std::io::{self, Read, Write};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// No frame is longer: a list of all objects of the largest cluster that a machine can hold for real is far below.
const LENGTH_MAX: u32 = 1 << 28;

/// Reads a frame; `None` at the end of the stream, if that is between two frames.
pub fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    let mut got = 0;
    while got < length.len() {
        match from.read(&mut length[got..]) {
            Ok(0) if got == 0 => return Ok(None),
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let length = u32::from_le_bytes(length);
    if length > LENGTH_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("a frame of {length} bytes")));
    }
    let mut body = vec![0; length as usize];
    from.read_exact(&mut body)?;
    Ok(Some(body))
}

/// A value as a whole frame.
pub fn of(value: &impl Serialize) -> Vec<u8> {
    let mut frame = postcard::to_extend(value, vec![0; 4]).expect("what travels between processes can be written");
    let length = u32::try_from(frame.len() - 4).expect("a frame below 4 GiB");
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame
}

pub fn write(to: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    to.write_all(&of(value))
}

/// The value of a frame's body.
pub fn value<T: DeserializeOwned>(body: &[u8]) -> io::Result<T> {
    postcard::from_bytes(body).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Reads the next value; `None` at the end of the stream.
pub fn next<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    read(from)?.map(|body| value(&body)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_a_torn_frame_is_an_error() {
        let mut bytes = of(&(7u32, "seven".to_owned()));
        bytes.extend(of(&(8u32, "eight".to_owned())));
        let mut from = &bytes[..];
        assert_eq!(next::<(u32, String)>(&mut from).expect("a value"), Some((7, "seven".to_owned())));
        assert_eq!(next::<(u32, String)>(&mut from).expect("a value"), Some((8, "eight".to_owned())));
        assert_eq!(next::<(u32, String)>(&mut from).expect("the end"), None);
        let torn = &bytes[..bytes.len() - 1];
        let mut from = torn;
        next::<(u32, String)>(&mut from).expect("the first is whole");
        assert!(next::<(u32, String)>(&mut from).is_err());
        assert!(read(&mut &[255u8, 255, 255, 255][..]).is_err(), "too long");
    }
}
