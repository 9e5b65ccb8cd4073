//! What is kept of a run to hold later ones against: `NAME.json`, for people, and `NAME.facts.zst` beside it, which has the facts
//! ([`super::tale`]) so that a difference can be told with what was.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::figures::{self, Figure};
use super::tale::Tale;
use crate::base::Duration;
use crate::base::digest::Digester;
use crate::engine::record::Record;
use crate::report::ReportError;
use crate::report::files::{make_folder, remove, write_whole};

/// The word in place of a digest: only figures, expectations and invariants are compared.
pub const IGNORE: &str = "ignore";
/// Of a long run every second, fourth, ... checkpoint is kept: so many at most.
const MOST_CHECKPOINTS: u64 = 1_024;
/// Checkpoints in a line of the file.
const IN_A_LINE: usize = 10;

/// The file. Fields are only ever added.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    pub format: u32,
    /// The scenario's name, which is the file's.
    pub name: String,
    /// With which it is played, whatever the scenario's own is. May be edited.
    pub seed: u64,
    /// Of the scenario as resolved: tells a changed scenario from a changed program.
    pub scenario: String,
    /// Of the outcome, or `ignore`. May be edited.
    pub digest: String,
    pub expectations: Vec<Expectation>,
    pub violations: Vec<String>,
    pub figures: BTreeMap<String, Option<Number>>,
    /// By how much a figure may differ: `2.5` in its unit, or `"5%"`; by name, in which `*` stands for anything. The longest name that fits
    /// counts. May be edited, and is kept.
    #[serde(default)]
    pub tolerance: BTreeMap<String, Value>,
    #[serde(default)]
    pub checkpoints: Checkpoints,
}

/// An expectation and how it came out; `null` if the run ended before.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    pub description: String,
    pub held: Option<bool>,
}

/// The outcome digest so far, each so many seconds: its first eight digits, ten in a line.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoints {
    pub every_seconds: u64,
    pub digests: Vec<String>,
}

/// By how much a figure may differ.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Tolerance {
    /// In millionths of the unit.
    Absolute(i64),
    /// In millionths of what was.
    Share(i64),
}

impl Baseline {
    /// What a run came to. Seed, tolerances and whether the digest counts are those of the baseline before, if there is one.
    pub fn of(record: &Record, scenario: String, before: Option<&Baseline>) -> Baseline {
        let held = |verdict: &crate::engine::record::Verdict| Expectation {
            description: verdict.description.to_string(),
            held: verdict.reached.then_some(verdict.held),
        };
        let ignored = before.is_some_and(Baseline::ignores_digest);
        Baseline {
            format: 1,
            name: record.scenario.name.to_string(),
            seed: record.scenario.seed,
            scenario,
            digest: if ignored { IGNORE.to_owned() } else { record.digest.to_string() },
            expectations: record.expectations.iter().map(held).collect(),
            violations: record.violations.iter().map(|violation| violation.to_string()).collect(),
            figures: figures::figures(record).into_iter().map(|figure| (figure.name, figure.value.map(number))).collect(),
            tolerance: before.map(|before| before.tolerance.clone()).unwrap_or_default(),
            checkpoints: if ignored { Checkpoints::default() } else { Checkpoints::of(record, None) },
        }
    }
    pub fn ignores_digest(&self) -> bool {
        self.digest == IGNORE
    }
    /// The figure, in millionths. The outer `None`: there is no such figure.
    pub fn figure(&self, name: &str) -> Option<Option<i64>> {
        self.figures.get(name).map(|value| value.as_ref().map(millionths))
    }
    /// By how much a figure may differ: not at all, unless the file says so.
    pub fn tolerance(&self, name: &str) -> Tolerance {
        let fitting = self.tolerance.iter().filter(|(pattern, _)| fits(pattern, name)).max_by_key(|(pattern, _)| pattern.len());
        fitting.and_then(|(_, value)| Tolerance::read(value)).unwrap_or(Tolerance::Absolute(0))
    }

    pub fn file(folder: &Path, name: &str) -> PathBuf {
        folder.join(format!("{name}.json"))
    }
    /// Reads the baseline of a scenario; `None` if there is none. The error is for people.
    pub fn read(folder: &Path, name: &str) -> Result<Option<Baseline>, String> {
        let path = Baseline::file(folder, name);
        let wrong = |why: String| format!("{}: {why}", path.display());
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(wrong(format!("cannot be read: {error}"))),
        };
        let baseline: Baseline = serde_json::from_str(&text).map_err(|error| wrong(format!("not a baseline: {error}")))?;
        if baseline.format != 1 {
            return Err(wrong(format!("format {} of baselines is not known (expected 1)", baseline.format)));
        }
        if baseline.name != name {
            return Err(wrong(format!("it is the baseline of \"{}\" (expected \"{name}\")", baseline.name)));
        }
        for (pattern, value) in &baseline.tolerance {
            if Tolerance::read(value).is_none() {
                return Err(wrong(format!("tolerance: {pattern}: {value} is no tolerance (expected 2.5 or \"5%\", say)")));
            }
            if !baseline.figures.keys().any(|name| fits(pattern, name)) {
                return Err(wrong(format!("tolerance: {pattern}: no figure is called so")));
            }
        }
        Ok(Some(baseline))
    }
    /// Writes both files, each whole or not at all.
    pub fn write(&self, folder: &Path, tale: &Tale) -> Result<(), ReportError> {
        make_folder(folder)?;
        let facts = facts_file(&self.name);
        if self.ignores_digest() {
            remove(folder, &facts)?;
        } else {
            write_whole(folder, &facts, |path| std::fs::write(path, tale.pack()))?;
        }
        let mut text = serde_json::to_string_pretty(self).expect("numbers and text can be written");
        text.push('\n');
        write_whole(folder, &format!("{}.json", self.name), |path| std::fs::write(path, text))
    }
    /// The facts that it keeps. The error says why there are none.
    pub fn facts(&self, folder: &Path) -> Result<Tale<'static>, String> {
        let path = folder.join(facts_file(&self.name));
        let file = std::fs::read(&path).map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
        Tale::unpack(&file).map_err(|why| format!("{}: not the facts of a baseline: {why}", path.display()))
    }
}

impl Checkpoints {
    /// With a spacing that is given, or one that keeps few enough.
    pub fn of(record: &Record, every: Option<u64>) -> Checkpoints {
        let start = record.scenario.start;
        let length = record.checkpoints.last().map_or(0, |last| last.at.since(start).as_secs());
        let mut spacing = every.unwrap_or(1).max(1);
        while every.is_none() && length / spacing >= MOST_CHECKPOINTS {
            spacing *= 2;
        }
        let digest = |at: u64| {
            let at = start + Duration::from_secs(at);
            let reached = record.checkpoints.partition_point(|checkpoint| checkpoint.at <= at);
            let so_far = reached.checked_sub(1).map_or(0, |last| record.checkpoints[last].outcome.0);
            format!("{:08x}", (so_far >> 96) as u32)
        };
        let digests: Vec<String> = (0..=length / spacing).map(|number| digest(number * spacing)).collect();
        Checkpoints { every_seconds: spacing, digests: digests.chunks(IN_A_LINE).map(|line| line.join(" ")).collect() }
    }
    /// The first seconds at whose end they differ: from, to.
    pub fn first_difference(&self, other: &Checkpoints) -> Option<(u64, u64)> {
        let all = |checkpoints: &Checkpoints| -> Vec<String> {
            checkpoints.digests.iter().flat_map(|line| line.split(' ')).map(str::to_owned).collect()
        };
        let (was, is) = (all(self), all(other));
        let parted = was.iter().zip(&is).position(|(was, is)| was != is).or((was.len() != is.len()).then_some(was.len().min(is.len())))?;
        let end = parted as u64 * self.every_seconds;
        Some((end.saturating_sub(self.every_seconds), end))
    }
}

impl Tolerance {
    fn read(value: &Value) -> Option<Tolerance> {
        let of = |number: f64| (number.is_finite() && (0.0..=1e9).contains(&number)).then(|| (number * 1e6).round() as i64);
        match value {
            Value::Number(number) => of(number.as_f64()?).map(Tolerance::Absolute),
            Value::String(text) => of(text.strip_suffix('%')?.trim().parse::<f64>().ok()? / 100.0).map(Tolerance::Share),
            _ => None,
        }
    }
    /// What happened once and never another time is beyond every tolerance.
    pub fn allows(self, was: Option<i64>, is: Option<i64>) -> bool {
        let (Some(was), Some(is)) = (was, is) else { return was == is };
        let distance = was.abs_diff(is);
        match self {
            Tolerance::Absolute(most) => distance <= most.unsigned_abs(),
            Tolerance::Share(share) => {
                u128::from(distance) * 1_000_000 <= u128::from(share.unsigned_abs()) * u128::from(was.unsigned_abs())
            }
        }
    }
    pub fn words(self) -> String {
        match self {
            Tolerance::Absolute(most) => figures::shown(Some(most)),
            Tolerance::Share(share) => format!("{}%", figures::shown(Some(share.saturating_mul(100)))),
        }
    }
}

fn facts_file(name: &str) -> String {
    format!("{name}.facts.zst")
}

/// `*` stands for anything.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Millionths as a number of the file: whole where it is.
fn number(value: i64) -> Number {
    if value % 1_000_000 == 0 {
        Number::from(value / 1_000_000)
    } else {
        Number::from_f64(value as f64 / 1e6).expect("a quotient of whole numbers is finite")
    }
}
fn millionths(number: &Number) -> i64 {
    match number.as_i64() {
        Some(whole) => whole.saturating_mul(1_000_000),
        None => (number.as_f64().unwrap_or(0.0) * 1e6).round() as i64,
    }
}

/// A figure that is another than the baseline's.
#[derive(Clone, PartialEq, Debug)]
pub struct Changed {
    pub name: String,
    pub was: Option<i64>,
    pub is: Option<i64>,
    pub unit: &'static str,
    pub tolerance: Tolerance,
    /// Within the tolerance: told, but no difference.
    pub tolerated: bool,
}

/// All figures that changed, those that the run has first.
pub fn changed(baseline: &Baseline, figures: &[Figure]) -> Vec<Changed> {
    let row = |name: &str, was: Option<i64>, is: Option<i64>, unit: &'static str, known: bool| {
        let tolerance = baseline.tolerance(name);
        Changed { name: name.to_owned(), was, is, unit, tolerance, tolerated: known && tolerance.allows(was, is) }
    };
    let mut rows: Vec<Changed> = figures
        .iter()
        .map(|figure| (figure, baseline.figure(&figure.name)))
        .filter(|(figure, was)| *was != Some(figure.value))
        .map(|(figure, was)| row(&figure.name, was.flatten(), figure.value, figure.unit, was.is_some()))
        .collect();
    let gone = baseline.figures.keys().filter(|name| figures.iter().all(|figure| figure.name != **name));
    rows.extend(gone.map(|name| row(name, baseline.figure(name).flatten(), None, "", false)));
    rows
}

/// Of a scenario's text as resolved.
pub fn content(resolved: &str) -> String {
    let mut digester = Digester::default();
    digester.bytes(resolved.as_bytes());
    digester.digest().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, name, wanted) in [
            ("fault1.*", "fault1.default/web.down_seconds", true),
            ("*.down_seconds", "fault1.default/web.down_seconds", true),
            ("fault*.default/web.*", "fault12.default/web.down_seconds", true),
            ("counts.pods", "counts.pods", true),
            ("counts.pod", "counts.pods", false),
            ("*", "", true),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(pattern, name), wanted, "{pattern} {name}");
        }
    }

    #[test]
    fn a_tolerance_is_a_number_or_a_share_of_what_was() {
        let read = |text: &str| Tolerance::read(&serde_json::from_str(text).unwrap());
        let share = read("\"5%\"").unwrap();
        assert!(share.allows(Some(100_000_000), Some(105_000_000)));
        assert!(!share.allows(Some(100_000_000), Some(105_000_001)));
        let absolute = read("2.5").unwrap();
        assert!(absolute.allows(Some(1_000_000), Some(3_500_000)));
        assert!(!absolute.allows(Some(3_500_001), Some(1_000_000)));
        assert!(!absolute.allows(None, Some(0)), "that it happened at all is no matter of how much");
        assert_eq!((share.words(), absolute.words()), ("5%".to_owned(), "2.5".to_owned()));
        assert_eq!([read("\"5\""), read("-1"), read("null"), read("\"-3%\"")], [None; 4]);
    }

    #[test]
    fn figures_go_through_the_file_unchanged() {
        for value in [0, 1, 999_999, 1_000_000, 51_234_567, 86_400_000_001, -5_000_000] {
            assert_eq!(millionths(&number(value)), value);
            let text = number(value).to_string();
            assert_eq!(millionths(&serde_json::from_str::<Number>(&text).unwrap()), value);
        }
    }

    #[test]
    fn checkpoints_part_in_the_interval_before_the_first_that_differs() {
        let of = |lines: &[&str]| Checkpoints { every_seconds: 2, digests: lines.iter().map(|line| (*line).to_owned()).collect() };
        assert_eq!(of(&["a b c", "d"]).first_difference(&of(&["a b x", "y"])), Some((2, 4)));
        assert_eq!(of(&["a b"]).first_difference(&of(&["a b"])), None);
        assert_eq!(of(&["a b"]).first_difference(&of(&["a b", "c"])), Some((2, 4)));
    }
}
