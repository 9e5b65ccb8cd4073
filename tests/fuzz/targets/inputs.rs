//! Whatever a user's file holds gives a plan or errors that point: no panic, no hang, no runaway memory, no error without its place.
//!
//! An input is a file: a scenario, or a manifest, in JSON or YAML as its first character tells. Half of the mutations are libFuzzer's own
//! on bytes; the others keep the file's structure (`mutate`): a value becomes one that is extreme, misplaced or another part of the same file, so that
//! most inputs get past the parser and the schema to what checks references, units and limits.
#![no_main]

mod mutate;

use clustersim::manifest::{self, Errors, InputError, Syntax};
use clustersim::scenario::{self, Source};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};

/// Machines and copies of manifests in an input. 100,000 of either are allowed and take their seconds: no finding.
const MOST: u64 = 5_000;

fuzz_target!(|text: &[u8]| {
    if is_large(text) {
        return;
    }
    let source = Source { file: "input".to_owned(), text: text.to_vec(), folder: None };
    match scenario::load(&source, &[]) {
        Ok(loaded) => {
            // What a run leaves in its folder can be run again.
            let again = Source { file: "scenario.json".to_owned(), text: loaded.resolved.into_bytes(), folder: None };
            if let Err(errors) = scenario::load(&again, &[]) {
                panic!("the resolved scenario is refused: {}", errors[0]);
            }
        }
        Err(errors) => pointed(&errors),
    }
    let mut errors = Errors::default();
    match manifest::parse_on("input", text, Syntax::of("input", text), &mut errors) {
        Ok(documents) => {
            for document in &documents {
                let read = manifest::objects("input", document, &manifest::Path::default(), &mut errors);
                for warning in &read.warnings {
                    assert!(warning.place.is_some(), "no place: {warning}");
                }
            }
            if !errors.is_empty() {
                pointed(&errors.into_vec());
            }
        }
        Err(error) => pointed(&[error]),
    }
});

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| { mutate::mutate(data, size, max_size, seed) });

fn is_large(text: &[u8]) -> bool {
    let documents = manifest::parse("input", text, Syntax::of("input", text)).unwrap_or_default();
    documents.iter().any(|document| largest(&document.to_json()) > MOST)
}
fn largest(value: &serde_json::Value) -> u64 {
    match value {
        serde_json::Value::Array(items) => items.iter().map(largest).max().unwrap_or(0),
        serde_json::Value::Object(fields) => {
            let own = ["count", "copies"].iter().filter_map(|name| fields.get(*name)?.as_u64()).max().unwrap_or(0);
            // Beyond the limits nothing is made.
            let own = if own > 100_000 { 0 } else { own };
            fields.values().map(largest).max().unwrap_or(0).max(own)
        }
        _ => 0,
    }
}

/// Every error names its file, line and column, but for those about the whole file.
fn pointed(errors: &[InputError]) {
    assert!(!errors.is_empty(), "a refusal says why");
    for error in errors {
        let whole = ["the file has", "the file is empty", "and "].iter().any(|start| error.message.starts_with(start));
        assert!(error.place.is_some() || whole, "no place: {error}");
        assert!(error.message.len() < 1_000, "{} bytes of message", error.message.len());
    }
}
