//! What a terminal shows: of baselines, and of two runs. From the outside in: figures, expectations, then the first second that differs,
//! with the facts of both sides and their causes.

use super::baseline::Changed;
use super::difference::{Difference, Side};
use super::{Case, ChangedExpectation, Changes, Check, Parted, figures};
use crate::base::Duration;

/// Figures that are told of a scenario; the others are counted.
const MOST_FIGURES: usize = 20;

/// All cases, and what they came to.
pub fn suite(cases: &[Case], checks: &[Check], bless: &str) -> String {
    let mut text = String::new();
    let width = cases.iter().map(|case| case.name.chars().count()).max().unwrap_or(0);
    for (case, check) in cases.iter().zip(checks) {
        text.push_str(&format!("{} {:width$}  seed {}: {}\n", mark(check), case.name, case.seed, headline(check)));
        text.push_str(&indented(&details(check)));
    }
    let count = |fits: fn(&Check) -> bool| checks.iter().filter(|check| fits(check)).count();
    let blessed = count(|check| matches!(check, Check::Blessed { .. }));
    let (missing, gave_up) = (count(|check| matches!(check, Check::Missing)), count(|check| matches!(check, Check::GaveUp(_))));
    let mut parts = Vec::new();
    for (number, words) in [
        (count(|check| matches!(check, Check::Same)), "as the baseline"),
        (count(|check| matches!(check, Check::Differs(_))), "different"),
        (missing, "without a baseline"),
        (blessed, "recorded"),
        (gave_up, "given up"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {words}"));
        }
    }
    text.push_str(&format!("{}\n", parts.join(", ")));
    if checks.iter().any(|check| matches!(check, Check::Missing | Check::Differs(_))) {
        text.push_str(&format!("if that is right, make it the baseline: {bless}\n"));
    }
    text
}

fn mark(check: &Check) -> &'static str {
    if check.held() { "✓" } else { "✗" }
}

/// A check in a line.
pub fn headline(check: &Check) -> String {
    match check {
        Check::Same => "as its baseline".to_owned(),
        Check::Missing => "there is no baseline".to_owned(),
        Check::GaveUp(words) => format!("the simulator gave up: {words}"),
        Check::Blessed { new: true, .. } => "recorded".to_owned(),
        Check::Blessed { changed: true, .. } => "recorded anew".to_owned(),
        Check::Blessed { .. } => "recorded anew, nothing changed".to_owned(),
        Check::Differs(changes) => {
            let figures = changes.figures.iter().filter(|figure| !figure.tolerated).count();
            let mut parts = Vec::new();
            if figures > 0 {
                parts.push(counted(figures, "figure"));
            }
            if !changes.expectations.is_empty() {
                parts.push(counted(changes.expectations.len(), "expectation"));
            }
            if !changes.violations.is_empty() {
                parts.push(counted(changes.violations.len(), "broken invariant"));
            }
            match &changes.parted {
                Parted::Nowhere if changes.digest.is_some() => parts.push("the digest".to_owned()),
                Parted::Nowhere => {}
                Parted::At(difference) => parts.push(format!("the facts from second {} on", first_second(difference))),
                Parted::Between { to, .. } => parts.push(format!("the facts from second {} on", to.saturating_sub(1))),
            }
            match parts.is_empty() {
                true => "differs from its baseline".to_owned(),
                false => format!("differs from its baseline in {}", listed(&parts)),
            }
        }
    }
}

/// What is told below the headline.
pub fn details(check: &Check) -> String {
    match check {
        Check::Differs(changes) => of_changes(changes),
        _ => String::new(),
    }
}

fn of_changes(changes: &Changes) -> String {
    let mut text = String::new();
    if changes.other_scenario {
        text.push_str("the scenario is not the one that the baseline is of: its file, or a setting, changed\n");
    }
    for violation in &changes.violations {
        text.push_str(&format!("a broken invariant: {violation}\n"));
    }
    if !changes.figures.is_empty() {
        text.push('\n');
        text.push_str(&of_figures(&changes.figures));
    }
    if !changes.expectations.is_empty() {
        text.push('\n');
    }
    for expectation in &changes.expectations {
        text.push_str(&of_expectation(expectation));
    }
    match &changes.parted {
        Parted::Nowhere => {}
        Parted::At(difference) => {
            text.push('\n');
            text.push_str(&of_difference(difference, ["was", "is"]));
        }
        Parted::Between { from, to, why, is } => {
            text.push_str(&format!("\nthe first difference lies between {from} s and {to} s; what was is not known: {why}\n"));
            text.push_str(&of_side("is", is, ""));
        }
    }
    if let Some((was, is)) = &changes.digest {
        text.push_str(&format!("\ndigest was {was}\n       is  {is}\n"));
    }
    text
}

fn of_figures(changed: &[Changed]) -> String {
    // What is beyond its tolerance first.
    let (beyond, within): (Vec<_>, Vec<_>) = changed.iter().partition(|figure| !figure.tolerated);
    let mut rows = vec![["figure", "was", "is", "change", "tolerance", ""].map(str::to_owned)];
    for figure in beyond.iter().chain(&within).take(MOST_FIGURES) {
        rows.push([
            figure.name.clone(),
            figures::shown(figure.was),
            figures::shown(figure.is),
            figures::change(figure.was, figure.is),
            figure.tolerance.words(),
            if figure.tolerated { "tolerated" } else { figure.unit }.to_owned(),
        ]);
    }
    let mut text = table(&rows);
    if changed.len() > MOST_FIGURES {
        text.push_str(&format!("... {} more\n", changed.len() - MOST_FIGURES));
    }
    text
}

/// Rows in columns: the first and the last to the left, numbers to the right.
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: Vec<usize> = (0..N).map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for row in rows {
        let cell = |(at, cell): (usize, &String)| {
            let width = widths[at];
            if at == 0 || at + 1 == N { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        };
        let cells: Vec<String> = row.iter().enumerate().map(cell).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn of_expectation(expectation: &ChangedExpectation) -> String {
    let words = |held: Option<Option<bool>>| match held {
        None => "was not there",
        Some(None) => "was not reached",
        Some(Some(true)) => "held",
        Some(Some(false)) => "failed",
    };
    let now = match expectation.is {
        None => "is gone",
        Some(None) => "is not reached",
        Some(Some(true)) => "holds",
        Some(Some(false)) => "does not hold",
    };
    let seen = if expectation.seen.is_empty() { String::new() } else { format!(" ({})", expectation.seen) };
    format!("expectation \"{}\": {}, now it {now}{seen}\n", expectation.description, words(expectation.was))
}

/// The first second that differs; `names` are those of the two sides.
pub fn of_difference(difference: &Difference, names: [&str; 2]) -> String {
    let mut text = String::new();
    if let Some(beneath) = &difference.beneath {
        let revision = |revision: Option<u64>| revision.map_or_else(String::new, |revision| format!(" (revision {revision})"));
        text.push_str(&format!(
            "first difference in second {}, in numbers that no words tell of: at {} s {}\n  {}{}, {}{}\n",
            difference.second,
            seconds(beneath.at),
            beneath.sentence,
            names[0],
            revision(beneath.was),
            names[1],
            revision(beneath.is),
        ));
    }
    let Some(told) = &difference.told else { return text };
    let others = if told.same > 0 {
        format!("; {} of that second {} on both sides", counted(told.same, "fact"), are(told.same))
    } else {
        String::new()
    };
    let first = if difference.beneath.is_some() { "first difference in words" } else { "first difference" };
    text.push_str(&format!("{first} in second {} ({} s to {} s){others}\n", told.second, told.second, told.second + 1));
    text.push_str(&of_side(names[0], &told.was, names[1]));
    text.push_str(&of_side(names[1], &told.is, names[0]));
    text
}

/// Facts with their causes. `other` is what the other side is called.
fn of_side(name: &str, side: &Side, other: &str) -> String {
    let mut text = format!("  {name}:\n");
    if side.facts.is_empty() {
        text.push_str("    nothing else\n");
    }
    for fact in &side.facts {
        let elsewhere = fact.elsewhere.map_or_else(String::new, |at| format!("  [{other}: at {} s]", seconds(at)));
        text.push_str(&format!("    {:>9} s  {}{elsewhere}\n", seconds(fact.at), fact.sentence));
        for cause in &fact.causes {
            text.push_str(&format!("                 because {cause}\n"));
        }
    }
    if side.more > 0 {
        text.push_str(&format!("    ... {} more\n", side.more));
    }
    text
}

/// The first second in which anything differs.
pub fn first_second(difference: &Difference) -> u64 {
    difference.second
}

/// `160.403`: cut to thousandths.
pub fn seconds(at: Duration) -> String {
    let millis = at.nanos() / 1_000_000;
    format!("{}.{:03}", millis / 1000, millis % 1000)
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
fn are(number: usize) -> &'static str {
    if number == 1 { "is" } else { "are" }
}
fn listed(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}
fn indented(text: &str) -> String {
    let line = |line: &str| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") };
    text.lines().map(line).collect()
}
