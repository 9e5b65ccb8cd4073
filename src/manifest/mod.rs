//! Floor 2: from the text of a file to a checked tree, and from manifests to [`crate::objects`].
//!
//! JSON and YAML become one [`Node`] tree that knows the line and column of every value and key, so that every later complaint points
//! at its place: [`parse`]. A Kubernetes document in such a tree is checked against the types of Kubernetes 1.34 (`k8s-openapi`) and
//! becomes an [`crate::objects::Object`]: [`objects`]. What a manifest asks for and we don't model is told to the user as a [`Warning`]
//! with the field's path, never dropped silently.
//!
//! Left out: defaults and admission (`apiserver`), patches, custom
//! resources. Invariant: no input, however broken, panics: `tests/inputs.rs`.

mod check;
mod error;
mod json;
mod kinds;
mod objects;
mod path;
mod prune;
mod tree;
mod unmodelled;
mod yaml;

pub use error::{Errors, InputError, MAX_ERRORS, Warning, nearest};
pub use objects::{Manifests, node_affinity, objects};
pub use path::{Path, Step, parse_path, set};
pub use prune::Pruned;
pub use tree::{Entry, Node, Place, Value};

/// 64 MiB a file.
pub const MAX_BYTES: usize = 64 << 20;
/// Values inside values.
pub const MAX_DEPTH: usize = 64;
/// Values of a file, aliases of YAML expanded.
pub const MAX_NODES: usize = 1_000_000;

/// Bytes of a key: what Kubernetes calls anything is shorter, and each value's path is made of keys.
const MAX_KEY: usize = 1024;

/// What is wrong with the length of a key, if it is too long.
fn too_long(key: &str) -> Option<String> {
    (key.len() > MAX_KEY).then(|| format!("a key of {} bytes that begins \"{}\"; the limit is {MAX_KEY}", key.len(), short(key)))
}

/// Cuts what a user wrote to what a line of a message can hold.
pub fn short(text: &str) -> String {
    let shown = |letter: char| if letter.is_control() { letter.escape_default().to_string() } else { letter.to_string() };
    text.chars().take(60).map(shown).collect()
}

/// How a file is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syntax {
    /// RFC 8259 and nothing beyond: no comments, no trailing commas.
    Json,
    /// YAML 1.2 with its core schema; several documents.
    Yaml,
}

impl Syntax {
    /// By the file's ending; without a known one, by its first character.
    pub fn of(file: &str, text: &[u8]) -> Syntax {
        let lower = file.to_ascii_lowercase();
        if lower.ends_with(".json") {
            Syntax::Json
        } else if lower.ends_with(".yaml") || lower.ends_with(".yml") {
            Syntax::Yaml
        } else if matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')) {
            Syntax::Json
        } else {
            Syntax::Yaml
        }
    }
}

/// Parses a file: the documents in it (exactly one for JSON; YAML's empty documents are skipped), or its first error.
pub fn parse(file: &str, bytes: &[u8], syntax: Syntax) -> Result<Vec<Node>, InputError> {
    let mut errors = Errors::default();
    let documents = parse_on(file, bytes, syntax, &mut errors)?;
    errors.into_vec().into_iter().next().map_or(Ok(documents), Err)
}

/// Parses a file and goes on where it can: keys that are given twice are added to `errors`, and the first of them counts.
pub fn parse_on(file: &str, bytes: &[u8], syntax: Syntax, errors: &mut Errors) -> Result<Vec<Node>, InputError> {
    if bytes.len() > MAX_BYTES {
        return Err(InputError::new(file, None, "", format!("the file has {} bytes; the limit is {MAX_BYTES} (64 MiB)", bytes.len())));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let before = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
        let line = before.matches('\n').count() as u32 + 1;
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() as u32 + 1;
        InputError::new(file, Some(Place { line, column }), "", "the file is not UTF-8 text".to_owned())
    })?;
    match syntax {
        Syntax::Json => json::parse(file, text, errors).map(|node| vec![node]),
        Syntax::Yaml => yaml::parse(file, text, errors),
    }
}
