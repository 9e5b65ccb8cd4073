//! `sim new`: a commented scenario to start from.

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use clap::Args;

use super::{Outcome, say};

/// Write a commented scenario to start from: it runs as it stands.
///
/// The file is YAML, since JSON has no comments; the fields are the same in both. A file that is there is never overwritten.
#[derive(Args)]
#[command(
    after_help = "Exit status: 0 written; 2 the name cannot be used, or the file exists; 3 it cannot be written.\n\n\
                  Example: sim new my-cluster && sim run my-cluster.yaml\n\nsim new --help shows every form of steps, faults and expectations.",
    after_long_help = concat!(
        "Exit status: 0 written; 2 the name cannot be used, or the file exists; 3 it cannot be written.\n\n\
         Example: sim new my-cluster && sim run my-cluster.yaml\n\n\
         A whole scenario, and in comments each other step, fault and expectation that there is. sim schema FIELD tells what a field \
         means (sim schema faults.partition); sim check FILE tells what is wrong.\n\n",
        include_str!("guide.yaml")
    )
)]
pub struct New {
    /// The scenario's name: lower-case letters, digits and dashes.
    name: String,
    /// The file to write to, ending in .yaml or .yml. Default: NAME.yaml.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

const TEMPLATE: &str = include_str!("new.yaml");

impl New {
    pub fn run(self) -> Outcome {
        let bad = |message: String| {
            eprintln!("error: {message}");
            Outcome::BadInput
        };
        let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
        if self.name.is_empty() || self.name.len() > 63 || self.name.starts_with('-') || !self.name.chars().all(fits) {
            return bad(format!("\"{}\" is no name for a scenario (expected up to 63 lower-case letters, digits and dashes)", self.name));
        }
        let file = self.output.unwrap_or_else(|| PathBuf::from(format!("{}.yaml", self.name)));
        if !file.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
            return bad(format!("{}: the file has comments, and so must end in .yaml or .yml", file.display()));
        }
        // The template quotes the name: one of digits is a text all the same.
        let text = TEMPLATE.replace("NAME", &self.name);
        let mut opened = match std::fs::OpenOptions::new().write(true).create_new(true).open(&file) {
            Ok(opened) => opened,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return bad(format!("{} exists, and is not overwritten", file.display()));
            }
            Err(error) => {
                eprintln!("error: {}: {error}", file.display());
                return Outcome::Lacking;
            }
        };
        if let Err(error) = opened.write_all(text.as_bytes()) {
            // Nothing half-written stays; if it cannot be removed either, the first error says why.
            let _ = std::fs::remove_file(&file);
            eprintln!("error: {}: {error}", file.display());
            return Outcome::Lacking;
        }
        say(&format!("{0} is written: try sim run {0}\n", file.display()));
        Outcome::Held
    }
}

#[cfg(test)]
mod tests {
    use crate::scenario::{self, Source};

    fn load(text: &str) -> Result<(), String> {
        let source = Source { file: "guide.yaml".to_owned(), text: text.as_bytes().to_vec(), folder: None };
        scenario::load(&source, &[]).map(|_| ()).map_err(|errors| format!("{errors:?}"))
    }

    #[test]
    fn the_guide_and_each_form_in_its_comments_can_be_played() {
        let guide = include_str!("guide.yaml");
        load(guide).unwrap();
        let forms: Vec<&str> = guide.lines().filter(|line| line.trim_start().starts_with("#-")).collect();
        assert!(forms.len() > 20, "{} forms", forms.len());
        for form in forms.iter().filter(|form| !form.contains("...") && !form.contains("file:")) {
            let text = guide.replace(form, &form.replacen("#-", "-", 1));
            load(&text).unwrap_or_else(|error| panic!("{form}: {error}"));
        }
        for line in guide.lines() {
            assert!(line.len() <= 88, "a terminal would break {line}");
        }
    }

    #[test]
    fn the_guide_has_every_step_fault_and_expectation() {
        let guide = include_str!("guide.yaml");
        let schema: serde_json::Value = serde_json::from_str(&scenario::schema()).unwrap();
        for kind in ["Step", "Fault", "Expectation"] {
            for name in schema["$defs"][kind]["properties"].as_object().unwrap().keys().filter(|name| *name != "description") {
                assert!(guide.contains(&format!(" {name}: ")), "the guide lacks {name}");
            }
        }
    }
}
