//! What a validation tells: a table for people, `validation.csv`, `validation.json` and `validation.png`. Times in seconds.

use std::fmt::Write;
use std::io;
use std::path::Path;

use super::milestones::Unit;
use super::statistics::{median, percentile};
use super::{Profile, Row, Validation, picture};
use crate::base::Duration;
use crate::host::real::control::Lag;

/// Microseconds as seconds, or a count as it is.
pub(super) fn number(unit: Unit, value: i64) -> String {
    match unit {
        Unit::Count => value.to_string(),
        Unit::Time => format!("{}{}.{:03}", if value < 0 { "-" } else { "" }, value.abs() / 1_000_000, value.abs() / 1000 % 1000),
    }
}

fn cells(row: &Row) -> [String; 9] {
    let unit = row.milestone.unit;
    let of = |values: &[u64], which: fn(&[u64]) -> u64| match values {
        [] => "-".to_owned(),
        values => number(unit, which(values).cast_signed()),
    };
    let p95 = |values: &[u64]| percentile(values, 95);
    let (low, high) = row.comparison.interval;
    [
        row.milestone.name.clone(),
        of(&row.predicted, median),
        of(&row.predicted, p95),
        of(&row.measured, median),
        of(&row.measured, p95),
        format!("{} .. {}", number(unit, low), number(unit, high)),
        number(unit, row.comparison.tolerance.cast_signed()),
        format!("{:.2} ({:.2})", row.comparison.distance, row.comparison.p),
        row.comparison.verdict.name().to_owned(),
    ]
}

/// For a terminal.
pub fn text(validation: &Validation) -> String {
    let heads = ["milestone", "predicted", "p95", "measured", "p95", "difference, 99 %", "tolerance", "KS (p)", "verdict"];
    let mut lines = vec![heads.map(str::to_owned)];
    lines.extend(validation.rows.iter().map(cells));
    let widths: Vec<usize> =
        (0..heads.len()).map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for line in &lines {
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(text, "{cell:<width$}"),
                8 => write!(text, "  {cell}"),
                _ => write!(text, "  {cell:>width$}"),
            };
        }
        text.push('\n');
    }
    let confirmed = validation.rows.iter().filter(|row| row.comparison.verdict == super::statistics::Verdict::Confirmed).count();
    let _ = writeln!(
        text,
        "\n{}, runtime {}: {confirmed} of {} milestones confirmed; {} seeds predicted, {} runs measured, {} invalid",
        validation.scenario,
        validation.runtime,
        validation.rows.len(),
        validation.seeds,
        validation.repeats,
        validation.invalid.len(),
    );
    validation.links.iter().for_each(|means| text.push_str(&means.line()));
    if let Some((count, cpu, memory)) = most_used(validation) {
        let (cpu, tenths) = (number(Unit::Time, (cpu.nanos() / 1000).cast_signed()), (memory * 10) >> 20);
        let _ = writeln!(
            text,
            "containers at the end: at most {count}, none used more than {cpu} s of CPU and {}.{} MiB of memory",
            tenths / 10,
            tenths % 10
        );
    }
    let share = |lag: &Lag| format!("{}.{:02} %", lag.late * 100 / lag.wakes.max(1), lag.late * 10_000 / lag.wakes.max(1) % 100);
    let lags = validation.lags.iter().map(|(process, lag)| format!("{process} {}", share(lag)));
    let _ = writeln!(
        text,
        "woken more than {} ms late: {}; the latest by {} ms",
        Lag::LATE_NANOS / 1_000_000,
        lags.collect::<Vec<_>>().join(", "),
        validation.worst_lag_nanos() / 1_000_000
    );
    for why in &validation.invalid {
        let _ = writeln!(text, "invalid: {why}");
    }
    text
}

/// Over all runs: the most containers at the end, and the most that one had used.
fn most_used(validation: &Validation) -> Option<(usize, Duration, u64)> {
    let all = || validation.stats.iter().flatten();
    let cpu = all().map(|one| one.cpu).max()?;
    Some((validation.stats.iter().map(Vec::len).max()?, cpu, all().map(|one| one.memory_bytes).max()?))
}

/// A profile, for a terminal: medians and 95th percentiles in milliseconds.
pub fn profile(profile: &Profile) -> String {
    let about = &profile.provenance;
    let millis = |nanos: u64| format!("{}.{:03}", nanos / 1_000_000, nanos / 1000 % 1000);
    let both = |samples: &[u64]| format!("{} / {}", millis(median(samples)), millis(percentile(samples, 95)));
    let load = |milli: u64| format!("{}.{:02}", milli / 1000, milli / 10 % 100);
    let mut text = format!("{:<16}", format!("{}, ms", profile.runtime));
    for level in &profile.sandbox {
        let _ = write!(text, "{:>20}", format!("{} at once", level.at_once));
    }
    text.push('\n');
    for (name, levels) in profile.verbs() {
        let _ = write!(text, "{name:<16}");
        for level in levels {
            let _ = write!(text, "{:>20}", both(&level.nanos));
        }
        text.push('\n');
    }
    for (name, samples) in profile.alone().into_iter().filter(|(_, samples)| !samples.is_empty()) {
        let _ = writeln!(text, "{name:<16}{:>20}", both(samples));
    }
    let engine = about.engine.as_deref().map(|engine| format!(", engine {engine}")).unwrap_or_default();
    let (before, after) = (load(about.load_before_milli), load(about.load_after_milli));
    let _ = writeln!(
        text,
        "median / 95th percentile; {} cores, Linux {}{engine}; load {before} before, {after} after",
        about.cores, about.kernel
    );
    text
}

/// All files. The number of a run is its seed: a predicted and a measured one of the same had the same chances.
pub fn write(validation: &Validation, folder: &Path) -> io::Result<()> {
    let mut csv = csv::Writer::from_path(folder.join("validation.csv"))?;
    csv.write_record(["milestone", "unit", "kind", "run", "value"])?;
    for row in &validation.rows {
        let unit = row.milestone.unit;
        for (kind, values) in [("predicted", &row.runs.0), ("measured", &row.runs.1)] {
            for (seed, value) in values {
                let value = match unit {
                    Unit::Time => format!("{}.{:06}", value / 1_000_000, value % 1_000_000),
                    Unit::Count => value.to_string(),
                };
                let unit = if unit == Unit::Time { "s" } else { "count" };
                csv.write_record([row.milestone.name.as_str(), unit, kind, &seed.to_string(), &value])?;
            }
        }
    }
    csv.flush()?;
    let rows: Vec<_> = validation.rows.iter().map(json).collect();
    let of_process = |(process, lag): (&String, &Lag)| {
        let worst = lag.worst_nanos as f64 / 1e9;
        (process.clone(), serde_json::json!({ "wakes": lag.wakes, "late": lag.late, "worst_seconds": worst }))
    };
    let lags: serde_json::Map<_, _> = validation.lags.iter().map(of_process).collect();
    let whole = serde_json::json!({
        "format": 1,
        "scenario": validation.scenario,
        "runtime": validation.runtime,
        "links": validation.links.iter().map(|means| serde_json::json!({ "cuts": means.cuts, "delays": means.delays })).collect::<Vec<_>>(),
        "seeds": validation.seeds,
        "repeats": validation.repeats,
        "invalid": validation.invalid,
        "containers": most_used(validation).map(|(count, cpu, memory)| {
            serde_json::json!({ "atEnd": count, "cpuSeconds": cpu.nanos() as f64 / 1e9, "memoryBytes": memory })
        }),
        "worst_lag_seconds": validation.worst_lag_nanos() as f64 / 1e9,
        "lag": lags,
        "confirmed": validation.confirmed(),
        "milestones": rows,
    });
    std::fs::write(folder.join("validation.json"), format!("{whole:#}\n"))?;
    picture::draw(validation).save(&folder.join("validation.png"))
}

fn json(row: &Row) -> serde_json::Value {
    let scale = if row.milestone.unit == Unit::Time { 1e6 } else { 1.0 };
    let of = |value: u64| value as f64 / scale;
    let both = |values: &[u64]| {
        let median = (!values.is_empty()).then(|| of(median(values)));
        serde_json::json!({ "runs": values.len(), "median": median, "p95": median.map(|_| of(percentile(values, 95))) })
    };
    let comparison = &row.comparison;
    serde_json::json!({
        "name": row.milestone.name,
        "predicted": both(&row.predicted),
        "measured": both(&row.measured),
        "interval": [comparison.interval.0 as f64 / scale, comparison.interval.1 as f64 / scale],
        "tolerance": of(comparison.tolerance),
        "ks": comparison.distance,
        "p": comparison.p,
        "verdict": comparison.verdict.name(),
    })
}
