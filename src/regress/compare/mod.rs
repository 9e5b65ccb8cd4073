//! Two runs beside each other: their figures and expectations, and where they part. From their records alone.

mod picture;

use std::path::Path;

use super::difference::{self, Difference, Found};
use super::figures::{change, figures, shown};
use super::tale::Tale;
use super::text;
use crate::engine::record::Record;
use crate::report::files::{make_folder, remove, write_whole};
use crate::report::{Report, ReportError};

/// A run and what it is called: "A" and "B" stand for the two in what is written.
pub struct Run {
    pub label: String,
    pub record: Record,
}

/// Two runs.
pub struct Comparison<'r> {
    pub a: &'r Run,
    pub b: &'r Run,
    pub rows: Vec<Row>,
    /// Description, and how it came out: the outer `None` where there is no such expectation, the inner where the run ended before.
    pub expectations: Vec<(String, [Option<Option<bool>>; 2])>,
    pub difference: Option<Box<Difference>>,
}

/// A figure of both; the outer `None` where a run has no such figure.
pub struct Row {
    pub name: String,
    pub unit: &'static str,
    pub values: [Option<Option<i64>>; 2],
}

impl<'r> Comparison<'r> {
    pub fn new(a: &'r Run, b: &'r Run) -> Comparison<'r> {
        let difference = match difference::first(&Tale::of(&a.record), &Tale::of(&b.record)) {
            Found::Difference(difference) => Some(difference),
            Found::Nothing | Found::Beyond => None,
        };
        Comparison { a, b, rows: rows(&a.record, &b.record), expectations: expectations(&a.record, &b.record), difference }
    }
    /// The outcomes are the same, fact by fact.
    pub fn equal(&self) -> bool {
        self.a.record.digest == self.b.record.digest
    }

    /// What a terminal shows.
    pub fn text(&self) -> String {
        let described = |letter: &str, run: &Run| {
            let scenario = &run.record.scenario;
            let length = scenario.end.since(scenario.start).as_secs();
            format!("{letter}  {}  ({}, seed {}, {length} s)\n", run.label, scenario.name, scenario.seed)
        };
        let mut text = described("A", self.a) + &described("B", self.b) + "\n";
        let mut table = vec![["figure", "A", "B", "B - A", ""].map(str::to_owned)];
        for row in &self.rows {
            let [a, b] = row.values.map(|value| shown(value.flatten()));
            let change = if a == b { String::new() } else { change(row.values[0].flatten(), row.values[1].flatten()) };
            table.push([row.name.clone(), a, b, change, row.unit.to_owned()]);
        }
        text.push_str(&indented(&text::table(&table)));
        if !self.expectations.is_empty() {
            let mark = |held: Option<Option<bool>>| match held {
                None => " ",
                Some(None) => "-",
                Some(Some(true)) => "✓",
                Some(Some(false)) => "✗",
            };
            text.push_str("\n  A B  expectation\n");
            for (description, held) in &self.expectations {
                text.push_str(&format!("  {} {}  {description}\n", mark(held[0]), mark(held[1])));
            }
        }
        text.push('\n');
        match &self.difference {
            Some(difference) => text.push_str(&indented(&text::of_difference(difference, ["A", "B"]))),
            None if self.equal() => text.push_str("  no difference: the outcomes are the same, fact by fact\n"),
            None => text.push_str("  the facts are the same\n"),
        }
        text.push_str(&format!("digest {} of A\ndigest {} of B\n", self.a.record.digest, self.b.record.digest));
        text
    }

    /// Writes `compare.csv` and `compare.png`.
    pub fn write(&self, folder: &Path, plots: bool) -> Result<(), ReportError> {
        make_folder(folder)?;
        write_whole(folder, "compare.csv", |path| std::fs::write(path, self.csv()?))?;
        if plots {
            let (a, b) = (Report::new(&self.a.record), Report::new(&self.b.record));
            write_whole(folder, "compare.png", |path| picture::draw(self, &a, &b).save(path))
        } else {
            remove(folder, "compare.png")
        }
    }
    fn csv(&self) -> std::io::Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let cell = |value: Option<Option<i64>>| value.flatten().map_or_else(String::new, |value| shown(Some(value)));
        let mut record = |cells: [&str; 5]| writer.write_record(cells).map_err(std::io::Error::other);
        record(["figure", "unit", "a", "b", "difference"])?;
        for row in &self.rows {
            let [a, b] = row.values;
            let difference = match (a.flatten(), b.flatten()) {
                (Some(a), Some(b)) => shown(Some(b - a)),
                _ => String::new(),
            };
            record([&row.name, row.unit, &cell(a), &cell(b), &difference])?;
        }
        for (description, held) in &self.expectations {
            let [a, b] = held.map(|held| match held.flatten() {
                None => "",
                Some(true) => "1",
                Some(false) => "0",
            });
            record([&format!("expectation: {description}"), "held", a, b, ""])?;
        }
        writer.into_inner().map_err(|error| error.into_error())
    }
}

/// The figures of both, those of A first.
fn rows(a: &Record, b: &Record) -> Vec<Row> {
    let (a, b) = (figures(a), figures(b));
    let of = |figures: &[super::figures::Figure], name: &str| figures.iter().find(|figure| figure.name == name).map(|figure| figure.value);
    let only_b = b.iter().filter(|figure| of(&a, &figure.name).is_none());
    let row = |figure: &super::figures::Figure| Row {
        name: figure.name.clone(),
        unit: figure.unit,
        values: [of(&a, &figure.name), of(&b, &figure.name)],
    };
    // The counts stay at the end.
    let (mut rows, mut counts): (Vec<Row>, Vec<Row>) = a.iter().map(row).partition(|row| !row.name.starts_with("counts."));
    for row in only_b.map(row) {
        if row.name.starts_with("counts.") { counts.push(row) } else { rows.push(row) }
    }
    rows.extend(counts);
    rows
}

fn expectations(a: &Record, b: &Record) -> Vec<(String, [Option<Option<bool>>; 2])> {
    let of = |record: &Record, description: &str| {
        let verdict = record.expectations.iter().find(|verdict| &*verdict.description == description)?;
        Some(verdict.reached.then_some(verdict.held))
    };
    let mut all: Vec<(String, [Option<Option<bool>>; 2])> = Vec::new();
    for verdict in a.expectations.iter().chain(&b.expectations) {
        let description = &*verdict.description;
        if all.iter().all(|(known, _)| known != description) {
            all.push((description.to_string(), [of(a, description), of(b, description)]));
        }
    }
    all
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}
