//! `sim oracle`: hold the scheduler against recorded decisions of the real one.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use super::{Outcome, say};
use crate::scenario::unpacked;
use crate::scheduler::oracle::{self, Comparison, Counts, Tally};

/// What the help ends with.
const HELP: &str = "Exit status: 0 all decisions agree; 1 some do not; 2 a file cannot be read or is no case.\n\nA case holds a small cluster, \
                    pods that wait, and what kube-scheduler decided for each. Files of a folder that are no cases are passed over.";

/// Hold the scheduler against recorded decisions of kube-scheduler: agreement by plugin, and where a case first disagrees.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Oracle {
    /// Cases (.json, .json.gz), or folders of them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// What all cases came to.
#[derive(Default)]
struct Total {
    cases: usize,
    agreeing_cases: usize,
    pods: Counts,
    groups: BTreeMap<String, Counts>,
    tally: Tally,
    disagreements: Vec<String>,
}

impl Oracle {
    pub fn run(self) -> Outcome {
        let mut total = Total::default();
        let mut errors = Vec::new();
        for named in &self.files {
            match collect(named) {
                Ok(files) => {
                    for file in files {
                        // What is named is a case; what lies in a folder may be something else.
                        if let Err(error) = total.play(&file, file == *named) {
                            errors.push(format!("{}: {error}", file.display()));
                        }
                    }
                }
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() && total.cases == 0 {
            errors.push("no case was found".to_owned());
        }
        if total.cases > 0 {
            say(&total.text());
        }
        for error in &errors {
            eprintln!("error: {error}");
        }
        match (errors.is_empty(), total.disagreements.is_empty()) {
            (false, _) => Outcome::BadInput,
            (true, false) => Outcome::Failed,
            (true, true) => Outcome::Held,
        }
    }
}

/// The files of a folder and the folders in it, by name; a file stands for itself.
fn collect(path: &Path) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let complain = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>())
        .map_err(complain)?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        let name = entry.to_string_lossy();
        if entry.is_dir() {
            files.extend(collect(&entry)?);
        } else if name.ends_with(".json") || name.ends_with(".json.gz") {
            files.push(entry);
        }
    }
    Ok(files)
}

fn read(file: &Path) -> Result<serde_json::Value, String> {
    let bytes = std::fs::read(file).map_err(|error| error.to_string())?;
    let text = unpacked(&bytes)?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

impl Total {
    fn play(&mut self, file: &Path, named: bool) -> Result<(), String> {
        let case = read(file)?;
        if !named && !oracle::is_case(&case) {
            return Ok(());
        }
        let Comparison { group, pods, agreeing, tally, first } = oracle::compare(&case)?;
        let counts = Counts { compared: pods as u64, agreeing: agreeing as u64 };
        self.cases += 1;
        self.agreeing_cases += usize::from(first.is_none());
        self.pods.add(counts);
        self.groups.entry(group).or_default().add(counts);
        self.tally.merge(&tally);
        self.disagreements.extend(first.map(|first| format!("{}: {first}", file.display())));
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let row = |text: &mut String, name: &str, Counts { compared, agreeing }: Counts| {
            // Rounded down: 100 % is all of them.
            let hundredths = (agreeing * 10_000).checked_div(compared).unwrap_or(10_000);
            writeln!(text, "  {name:<52} {agreeing:>7} of {compared:>7} {:>6}.{:02} %", hundredths / 100, hundredths % 100)
        };
        writeln!(text, "pods by group")?;
        for (group, counts) in &self.groups {
            row(text, group, *counts)?;
        }
        writeln!(text, "\nparts of decisions by plugin")?;
        for (aspect, counts) in self.tally.iter() {
            row(text, &aspect.to_string(), *counts)?;
        }
        if !self.disagreements.is_empty() {
            writeln!(text, "\nfirst disagreements")?;
        }
        for disagreement in &self.disagreements {
            writeln!(text, "{disagreement}")?;
        }
        let Total { cases, agreeing_cases, pods: Counts { compared, agreeing }, .. } = self;
        writeln!(text, "\n{agreeing_cases} of {cases} cases agree, {agreeing} of {compared} pods")
    }
}
