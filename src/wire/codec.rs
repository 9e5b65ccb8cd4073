//! The one codec for what crosses a process boundary: postcard behind a version byte. Objects travel as their JSON, since their `rest`
//! needs a self-describing format. Ids that are local to a process never cross.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Message;

/// The first byte of every frame.
pub const VERSION: u8 = 1;

/// Why a frame could not be read.
#[derive(Debug, PartialEq, Eq)]
pub enum CodecError {
    Version(Option<u8>),
    Malformed(String),
}
impl std::fmt::Display for CodecError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CodecError::Version(found) => write!(f, "a frame of version {found:?}, expected {VERSION}"),
            CodecError::Malformed(why) => write!(f, "a malformed frame: {why}"),
        }
    }
}
impl std::error::Error for CodecError {}

pub fn encode(message: &Message) -> Vec<u8> {
    postcard::to_extend(message, vec![VERSION]).expect("every message can be written")
}

pub fn decode(frame: &[u8]) -> Result<Message, CodecError> {
    match frame.split_first() {
        Some((&VERSION, body)) => postcard::from_bytes(body).map_err(|error| CodecError::Malformed(error.to_string())),
        other => Err(CodecError::Version(other.map(|(version, _)| *version))),
    }
}

/// Through JSON text: for what a format that does not describe itself can't hold.
pub mod as_json {
    use super::*;

    pub fn serialize<T: Serialize, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serde_json::to_string(value).map_err(serde::ser::Error::custom)?.serialize(serializer)
    }
    pub fn deserialize<'de, T: DeserializeOwned, D: serde::Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        serde_json::from_str(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A shared object, as JSON text.
pub mod object {
    use std::sync::Arc;

    use super::*;
    use crate::objects::Object;

    pub fn serialize<S: serde::Serializer>(object: &Arc<Object>, serializer: S) -> Result<S::Ok, S::Error> {
        as_json::serialize(&object.to_json(), serializer)
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Arc<Object>, D::Error> {
        let value: serde_json::Value = as_json::deserialize(deserializer)?;
        Object::from_json(value).map(Arc::new).map_err(serde::de::Error::custom)
    }
}

/// A stored object: (revision, cause, object).
pub mod stored {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Cause, Revision};
    use crate::objects::{Object, Stored};

    #[derive(Serialize)]
    struct Out<'a>(Revision, Cause, #[serde(with = "super::object")] &'a Arc<Object>);
    #[derive(Deserialize)]
    pub(super) struct In(Revision, Cause, #[serde(with = "super::object")] Arc<Object>);

    impl From<In> for Stored {
        fn from(In(revision, cause, object): In) -> Stored {
            Stored::new(revision, cause, object)
        }
    }
    pub fn serialize<S: serde::Serializer>(stored: &Stored, serializer: S) -> Result<S::Ok, S::Error> {
        Out(stored.revision, stored.cause, &stored.object).serialize(serializer)
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Stored, D::Error> {
        In::deserialize(deserializer).map(Stored::from)
    }
}

/// A list of stored objects.
pub mod stored_list {
    use super::*;
    use crate::objects::Stored;

    #[derive(Serialize)]
    struct Out<'a>(#[serde(with = "super::stored")] &'a Stored);

    pub fn serialize<S: serde::Serializer>(items: &[Stored], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(items.iter().map(Out))
    }
    pub fn deserialize<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Stored>, D::Error> {
        Ok(Vec::<super::stored::In>::deserialize(deserializer)?.into_iter().map(Stored::from).collect())
    }
}
