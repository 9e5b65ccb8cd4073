//! What a terminal shows after a sweep; the last line is the digest.

use super::study;
use super::summary::{Part, Summary};
use crate::report::picture::{grouped, shorten};

/// Failing seeds that are shown; summary.json has all.
const MOST_FAILING: usize = 20;

/// Faults that are shown.
const MOST_FAULTS: usize = 12;

/// The whole summary, ending in `digest <32 hex>` and a newline.
pub fn summary(summary: &Summary) -> String {
    let runs = grouped(summary.held.runs as u64);
    let mut text = format!("{}  seeds {} to {}, {runs} runs\n", summary.name, summary.first_seed, summary.last_seed);
    for fault in summary.faults.iter().take(MOST_FAULTS) {
        text.push_str(&format!("  fault  {fault}\n"));
    }
    if summary.faults.len() > MOST_FAULTS {
        text.push_str(&format!("  ... {} more faults, see summary.json\n", grouped((summary.faults.len() - MOST_FAULTS) as u64)));
    }
    for part in &summary.variations {
        text.push('\n');
        if !part.values.is_empty() {
            let values: Vec<String> = part.values.iter().map(|(path, value)| format!("{path}={value}")).collect();
            text.push_str(&format!("  {}\n", values.join("  ")));
        }
        text.push_str(&table(part));
        for expectation in &part.expectations {
            let held = &expectation.held;
            let mark = if held.held == held.runs { "✓" } else { "✗" };
            let interval = format!("95 % interval {:.1} to {:.1} %", held.low * 100.0, held.high * 100.0);
            text.push_str(&format!("  {mark} {}: held in {} of {} ({interval})\n", expectation.description, held.held, held.runs));
        }
    }
    let values = |part: &Part| part.values.values().cloned().collect::<Vec<_>>().join(", ");
    let studies: Vec<_> = summary.variations.iter().filter_map(|part| Some((values(part), part.study.as_ref()?))).collect();
    text.push_str(&study::text(&studies));
    if !summary.failing.is_empty() {
        text.push_str(&format!("\n  {} of {runs} runs failed:\n", grouped(summary.failing.len() as u64)));
    }
    for failing in summary.failing.iter().take(MOST_FAILING) {
        text.push_str(&format!("  {}\n", failing.command));
        let why = failing.violations.iter().cloned().chain(failing.expectations.iter().map(|v| format!("{}: {}", v.description, v.seen)));
        for line in why {
            text.push_str(&format!("      {line}\n"));
        }
    }
    if summary.failing.len() > MOST_FAILING {
        text.push_str(&format!("  ... {} more in summary.json\n", grouped((summary.failing.len() - MOST_FAILING) as u64)));
    }
    text.push_str(&format!("digest {}\n", summary.digest));
    text
}

fn table(part: &Part) -> String {
    let mut rows = vec![["figure", "runs", "min", "median", "95 % of the median", "mean", "p95", "p99", "max"].map(str::to_owned).to_vec()];
    for figure in &part.figures {
        let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
        let interval = match (figure.median_low, figure.median_high) {
            (Some(low), Some(high)) => format!("{low:.1} to {high:.1}"),
            _ => "-".to_owned(),
        };
        let mut row = vec![shorten(&figure.figure, 60), figure.count.to_string(), number(figure.min), number(figure.median), interval];
        row.extend([figure.mean, figure.p95, figure.p99, figure.max].map(number));
        rows.push(row);
    }
    if rows.len() == 1 {
        return String::new();
    }
    let widths: Vec<usize> = (0..rows[0].len()).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cell = |(at, cell): (usize, &String)| {
            let width = widths[at];
            if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
    }
    text
}
