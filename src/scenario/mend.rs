//! A scenario that does not fit the schema, without what does not fit: lowering what remains finds the errors that a schema cannot know.
//!
//! An error that may be a consequence of what was taken out is not told: a node's name that is unknown because its group is broken, say.

use serde_json::Value as Json;

use super::{Source, lower, validator, written};
use crate::manifest::{self, Entry, Errors, InputError, Node, Pruned, Step, Value, parse_path};

/// Taking a value out may make its parent unfit in turn; no file needs more rounds than it has levels.
const ROUNDS: usize = manifest::MAX_DEPTH;

/// What each part of a scenario may refer to comes before it.
const ORDER: [&[&str]; 5] = [
    &["version", "name", "description", "seed", "startTime", "duration", "initial"],
    &["cluster", "trace", "policy"],
    &["workload", "workloadAt", "steps"],
    &["behaviours", "traffic", "faults"],
    &["expectations"],
];

fn order(field: &str) -> usize {
    ORDER.iter().position(|part| part.contains(&field)).unwrap_or(0)
}

/// The errors of lowering what fits. None if too little does.
pub fn further(source: &Source, root: &Node, schema: &Json, unfit: &Errors) -> Vec<InputError> {
    let mut tree = Pruned::new(root.clone());
    // How far the errors of later parts can be trusted.
    let mut last = ORDER.len();
    let mut found = unfit.found().to_vec();
    for _ in 0..ROUNDS {
        if found.is_empty() {
            return lowered(source, tree, last);
        }
        let mut paths = Vec::new();
        for error in &found {
            let steps = parse_path(&error.path).unwrap_or_default();
            if let Some(Step::Key(field)) = steps.first() {
                // A field at the top that is unknown may be meant as the one that it resembles.
                let field = if steps.len() == 1 { error.suggestion.as_deref().unwrap_or(field) } else { field };
                // An unknown field that resembles none makes nothing else wrong.
                let harmless = error.message.starts_with("unknown field") && error.suggestion.is_none();
                if field != "duration" && !harmless {
                    last = last.min(order(field));
                }
                paths.push(steps);
            }
        }
        tree.remove(&paths);
        complete(&mut tree.root);
        let mut again = Errors::default();
        validator::validate(&source.file, &tree.root, schema, &mut again);
        // The same errors once more: what is missing cannot be had.
        if again.found() == found {
            return Vec::new();
        }
        found = again.found().to_vec();
    }
    Vec::new()
}

/// What a scenario must have and nothing refers to. So long a run ends after any instant.
fn complete(root: &mut Node) {
    let substitutes = [("version", Json::from(1)), ("name", Json::from("unnamed")), ("duration", Json::from("876000h"))];
    let place = root.place;
    let is_study = root.get("cluster").is_none() && root.get("trace").is_some();
    if let Value::Map(entries) = &mut root.value {
        for (key, value) in substitutes {
            let given = entries.iter().any(|entry| entry.key == key);
            let needed = key != "duration" || !is_study;
            if needed && !given {
                let node = Node { place, ..Node::from_json(&value) };
                entries.push(Entry { key: key.to_owned(), key_place: place, node });
            }
        }
    }
}

fn lowered(source: &Source, tree: Pruned, last: usize) -> Vec<InputError> {
    let Ok(scenario) = written(source, &tree.root) else { return Vec::new() };
    let Err(errors) = lower::lower(source, tree.root.clone(), &scenario) else { return Vec::new() };
    let mut kept = Vec::new();
    for error in errors.found() {
        // Errors in files of manifests are about these alone.
        let elsewhere = error.file != source.file && error.file != "--set";
        let path = if elsewhere { error.path.clone() } else { tree.original(&error.path) };
        let field = match parse_path(&path).unwrap_or_default().into_iter().next() {
            Some(Step::Key(field)) => field,
            _ => String::new(),
        };
        if elsewhere || (order(&field) <= last && !tree.is_hurt(&path)) {
            kept.push(InputError { path, ..error.clone() });
        }
    }
    kept
}
