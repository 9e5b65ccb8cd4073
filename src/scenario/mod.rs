//! Floor 7: from a scenario's file to a checked [`Plan`].
//!
//! Text -> tree with places (`manifest`) -> `--set` -> held against the JSON Schema ([`schema`]), all errors at once -> the written types
//! ([`file`]) -> lowered into a `Plan`, where references, times and limits are checked, again all errors at once. Errors point:
//! `file:line:column: path: message (expected ...; did you mean "..."?)`. The JSON Schema is made from the written types, whose doc
//! comments are its descriptions; so a new field is one line in [`file`] and one in `lower`.
//!
//! Left out: whether a plan fits the machine's memory (the command line estimates it). Invariants: no file panics, no file is accepted in
//! part (`tests/inputs.rs`); every shipped scenario is valid (`tests/scenarios.rs`).

pub mod file;
pub mod file_etcd;
pub mod file_faults;
pub mod file_play;
pub mod file_scheduler;
pub mod file_trace;
mod gzip;
mod lower;
mod mend;
mod shipped;
pub mod timings;
pub mod units;
mod validator;

use std::path::{Path as FilePath, PathBuf};
use std::sync::LazyLock;

use crate::engine::plan::Plan;
use crate::manifest::{self, Errors, Node, Place, Syntax, Value};
pub use crate::manifest::{InputError, Warning};
pub use gzip::unpacked;
pub use shipped::{Shipped, shipped};

/// A scenario's text and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// As errors name it: the path as given, or the name of a shipped scenario with its ending.
    pub file: String,
    pub text: Vec<u8>,
    /// Where files that it names are looked for; a shipped scenario has none.
    pub folder: Option<PathBuf>,
}

/// A scenario, ready to run.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub plan: Plan,
    /// What is understood but has no effect.
    pub warnings: Vec<Warning>,
    /// `scenario.json` as resolved: settings applied, files of manifests inside. Loading it again gives the same plan.
    pub resolved: String,
    /// The same with each fault that was drawn at random written out, if there are any: it plays the same run.
    pub written_out: Option<String>,
}

impl Loaded {
    /// The error for what needs a cluster, where the scheduler is alone.
    pub fn needs_cluster(&self, verb: &str) -> Result<(), InputError> {
        let message = format!("\"{}\" plays the scheduler alone: there is nothing to {verb}", self.plan.name);
        if self.plan.study.is_none() {
            Ok(())
        } else {
            Err(InputError::new("scenario", None, "", message).expecting("a scenario with a \"cluster\""))
        }
    }
}

/// The scenario that a user names: a file, or a shipped one.
pub fn find(name: &str) -> Result<Source, InputError> {
    let path = FilePath::new(name);
    let looks_like_a_file = name.contains(['/', '\\']) || name.ends_with(".json") || name.ends_with(".yaml") || path.is_file();
    if !looks_like_a_file {
        let list = shipped();
        return match list.iter().find(|scenario| scenario.name == name) {
            Some(scenario) => Ok(Source { file: format!("{name}.json"), text: scenario.text.as_bytes().to_vec(), folder: None }),
            None => Err(InputError::new(name, None, "", "neither a file nor a shipped scenario".to_owned())
                .suggesting(name, list.iter().map(|scenario| scenario.name))),
        };
    }
    let text = read_file(name, path)?;
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(FilePath::new("."));
    Ok(Source { file: name.to_owned(), text, folder: Some(folder.to_owned()) })
}

/// Reads a file, but never more than the limit allows.
fn read_file(shown: &str, path: &FilePath) -> Result<Vec<u8>, InputError> {
    use std::io::Read;
    let fail = |error: std::io::Error| InputError::new(shown, None, "", format!("cannot be read: {error}"));
    let cannot = |why: &str| Err(InputError::new(shown, None, "", format!("cannot be read: {why}")));
    let kind = std::fs::metadata(path).map_err(fail)?;
    // What the shell hands over (`/dev/stdin`, `<(...)`) has a writer; opening another pipe would wait for one.
    let handed_over = path.starts_with("/dev/stdin") || path.starts_with("/dev/fd") || path.starts_with("/proc/self/fd");
    if kind.is_dir() {
        return cannot("it is a folder");
    } else if !kind.is_file() && !handed_over {
        return cannot("it is a pipe or a device, not a file");
    } else if kind.len() > manifest::MAX_BYTES as u64 {
        return cannot(&format!("it has {} bytes; the limit is {} (64 MiB)", kind.len(), manifest::MAX_BYTES));
    }
    let file = std::fs::File::open(path).map_err(fail)?;
    let mut text = Vec::new();
    file.take(manifest::MAX_BYTES as u64 + 1).read_to_end(&mut text).map_err(fail)?;
    Ok(text)
}

/// Reads, checks and lowers a scenario. `sets`: `PATH=VALUE`, applied in order before anything is checked.
pub fn load(source: &Source, sets: &[String]) -> Result<Loaded, Vec<InputError>> {
    let one = |error: InputError| vec![error];
    let mut errors = Errors::default();
    let syntax = Syntax::of(&source.file, &source.text);
    let mut documents = manifest::parse_on(&source.file, &source.text, syntax, &mut errors).map_err(one)?;
    if documents.len() != 1 {
        let message = match documents.get(1) {
            None => "the file has nothing in it".to_owned(),
            Some(_) => format!("the file has {} documents", documents.len()),
        };
        let place = documents.get(1).and_then(|second| second.place);
        return Err(one(InputError::new(&source.file, place, "", message).expecting("one scenario")));
    }
    let mut root = documents.remove(0);
    for setting in sets {
        apply(&mut root, setting).map_err(one)?;
    }
    version(&source.file, &root).map_err(one)?;
    let schema = &*SCHEMA;
    let mut unfit = Errors::default();
    validator::validate(&source.file, &root, schema, &mut unfit);
    if unfit.is_empty() {
        let scenario = written(source, &root).map_err(one)?;
        return match lower::lower(source, root, &scenario) {
            Ok(loaded) if errors.is_empty() => Ok(loaded),
            Ok(_) => Err(errors.into_vec()),
            Err(more) => {
                errors.append(more);
                Err(errors.into_vec())
            }
        };
    }
    // What does not fit is taken out, and the rest is checked for what it says.
    let further = if unfit.is_full() { Vec::new() } else { mend::further(source, &root, schema, &unfit) };
    errors.append(unfit);
    for error in further {
        errors.push(error);
    }
    Err(errors.into_vec())
}

fn written(source: &Source, root: &Node) -> Result<file::Scenario, InputError> {
    serde_json::from_value(root.to_json())
        .map_err(|error| InputError::new(&source.file, root.place, "", format!("does not fit the schema: {error}")))
}

/// Checks a scenario and runs nothing: what is not modelled, or all errors.
pub fn check(source: &Source, sets: &[String]) -> Result<Vec<Warning>, Vec<InputError>> {
    load(source, sets).map(|loaded| loaded.warnings)
}

/// A file of another version is told so before it is told about fields.
fn version(file: &str, root: &Node) -> Result<(), InputError> {
    match root.get("version") {
        Some(Node { value: Value::Number(number), place }) if number.as_u64() != Some(1) => {
            Err(located(file, *place, "version", format!("version {number} of the format is not known")).expecting("1"))
        }
        _ => Ok(()),
    }
}

/// Applies one `PATH=VALUE`. The value is JSON if it reads as such, else text; where the file has a text, bare words and numbers stay text.
fn apply(root: &mut Node, setting: &str) -> Result<(), InputError> {
    let fail = |message: String| InputError::new("--set", None, setting, message);
    let Some((path, text)) = setting.split_once('=') else {
        return Err(fail("not a setting".to_owned()).expecting("PATH=VALUE"));
    };
    let steps = manifest::parse_path(path.trim()).map_err(fail)?;
    let was_text = root.at(path.trim()).is_some_and(|node| node.as_str().is_some());
    let value = match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Number(_) | serde_json::Value::Bool(_)) if was_text => serde_json::Value::from(text),
        Ok(value) => value,
        Err(_) => serde_json::Value::from(text),
    };
    manifest::set(root, &steps, Node::from_json(&value)).map_err(fail)
}

/// An error at a place; what has no place was given by `--set`.
fn located(file: &str, place: Option<Place>, path: &str, message: String) -> InputError {
    InputError::new(if place.is_some() { file } else { "--set" }, place, path, message)
}

/// The JSON Schema of scenario files, as text that ends with a newline. Stable: equal for equal sources.
pub fn schema() -> String {
    let mut schema = SCHEMA.clone();
    if cfg!(feature = "planted-bugs") {
        // What only tests may write is no part of the format.
        let definitions = schema["$defs"].as_object_mut().expect("the types of a scenario have names");
        definitions.remove("Bug");
        definitions["Timings"]["properties"].as_object_mut().expect("timings are an object").remove("plantedBug");
    }
    let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
    text.push('\n');
    text
}

/// Made once: a sweep reads its scenario for every seed.
static SCHEMA: LazyLock<serde_json::Value> = LazyLock::new(|| schemars::schema_for!(file::Scenario).to_value());
