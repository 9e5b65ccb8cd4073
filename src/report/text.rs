//! What a terminal shows after a run: what happened in about ten lines, the recovery table, expectations with a check mark or what was
//! seen instead, and the digest as the last line. Colours only if they are asked for.

use super::model::{Bucket, Model, Traffic, path_name};
use super::picture::{count, grouped};
use super::{Report, study, summary, timeline};
use crate::base::{Duration, Time};
use crate::wire::fact::What;

/// Lines of the story; what is between the first and the last ones of a longer story is left to events.csv.
const STORY: usize = 12;

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";
const BOLD: &str = "1";
const FAINT: &str = "2";

/// The whole summary, ending in `digest <32 hex>` and a newline.
pub fn summary(report: &Report, colours: bool) -> String {
    let paint = Paint(colours);
    let model = &report.model;
    let record = model.record;
    let scenario = &record.scenario;
    let mut text = match report.study() {
        Some(results) => format!("{}  seed {}\n{}", paint.with(BOLD, &scenario.name), scenario.seed, study::text(results)),
        None => played(report, &paint),
    };
    if !report.recovery.is_empty() {
        text.push('\n');
        text.push_str(&table(report, &paint));
    }
    if !record.expectations.is_empty() {
        text.push('\n');
        for verdict in &record.expectations {
            let line = if !verdict.reached {
                format!("  - {}: {}\n", verdict.description, verdict.seen)
            } else if verdict.held {
                format!("  {} {}\n", paint.with(GREEN, "✓"), verdict.description)
            } else {
                format!("  {} {}: {}\n", paint.with(RED, "✗"), verdict.description, verdict.seen)
            };
            text.push_str(&line);
        }
    }
    for violation in &record.violations {
        text.push_str(&format!("  {} a broken invariant: {violation}\n", paint.with(RED, "✗")));
    }
    text.push('\n');
    if report.has_cluster() {
        text.push_str(&format!(
            "{} events, {} messages, {} revisions\n",
            grouped(record.counts.events),
            grouped(record.counts.messages),
            grouped(record.counts.revisions)
        ));
    }
    text.push_str(&format!("digest {}\n", record.digest));
    text
}

/// What a cluster went through.
fn played(report: &Report, paint: &Paint) -> String {
    let model = &report.model;
    let record = model.record;
    let scenario = &record.scenario;
    let mut text = format!(
        "{}  seed {}, {}, {} of virtual time\n",
        paint.with(BOLD, &scenario.name),
        scenario.seed,
        if report.has_nodes() { count(model.nodes.len(), "node") } else { count(scenario.etcd_members.into(), "etcd member") },
        span(summary::duration(report)),
    );
    text.push_str(&paint.lines(YELLOW, &timeline::text(record, None)));
    text.push('\n');
    for line in story(report) {
        let words = if line.grave { paint.with(YELLOW, &line.text) } else { line.text };
        match line.at {
            Some(at) => text.push_str(&format!("  {}  {words}\n", paint.with(FAINT, &format!("{:>9} s", tenths(at.since(model.start)))))),
            None => text.push_str(&format!("  {:>11}  {words}\n", "")),
        }
    }
    text
}

struct Paint(bool);

impl Paint {
    fn lines(&self, code: &str, text: &str) -> String {
        text.lines().map(|line| format!("{}\n", self.with(code, line))).collect()
    }
    fn with(&self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// A line of the story. Without a time it is about the whole run.
struct Line {
    at: Option<Time>,
    text: String,
    grave: bool,
}

fn story(report: &Report) -> Vec<Line> {
    let model = &report.model;
    let mut lines = Vec::new();
    first_ready(model, &mut lines);
    told_facts(model, &mut lines);
    nodes_lost(model, &mut lines);
    for row in &report.recovery {
        let Some(workload) = row.workload.map(|workload| model.workload_name(workload)) else { continue };
        let mut tell = |at: Option<Time>, text: String| lines.extend(at.map(|at| Line { at: Some(at), text, grave: false }));
        let until = match (row.evicted, row.evicted_last) {
            (Some(first), Some(last)) if last > first => format!(", the last one {} s later", tenths(last.since(first))),
            _ => String::new(),
        };
        tell(row.evicted, format!("{} of {workload} evicted{until}", count(row.lost, "pod")));
        tell(row.replaced, format!("{} bound in {} place", count(row.lost, "successor"), if row.lost == 1 { "its" } else { "their" }));
        tell(row.ready_again, format!("{workload} is whole again"));
    }
    // Stable: what is of one instant stays in the order of telling.
    lines.sort_by_key(|line| line.at);
    if lines.len() > STORY {
        let left_out = lines.len() - (STORY - 1);
        let tail = lines.split_off(lines.len() - STORY / 2);
        lines.truncate(STORY - 1 - tail.len());
        lines.push(Line { at: None, text: format!("... {} more, see events.csv", grouped(left_out as u64)), grave: false });
        lines.extend(tail);
    }
    traffic(model, &mut lines);
    clients(report, &mut lines);
    lines
}

/// When each workload first had all that it wanted; all workloads in one line if there are many.
fn first_ready(model: &Model, lines: &mut Vec<Line>) {
    let whole = |workload: &super::model::Workload| {
        let step = workload.steps.iter().find(|step| step.wanted > 0 && step.shortfall() == 0);
        step.map(|step| (step.at, step.wanted))
    };
    let all: Vec<_> = model.workloads.iter().filter(|workload| !workload.steps.is_empty()).collect();
    let ready: Vec<_> = all.iter().filter_map(|workload| whole(workload).map(|(at, wanted)| (at, wanted, workload))).collect();
    if all.len() <= 2 {
        for workload in all.iter().filter(|workload| whole(workload).is_none()) {
            let most = workload.steps.iter().map(|step| (step.available, step.wanted)).max().unwrap_or_default();
            let text = format!("{} never had all its pods available ({} of {} at most)", path_name(workload.key), most.0, most.1);
            lines.push(Line { at: None, text, grave: true });
        }
        for (at, wanted, workload) in ready {
            let text = format!("{} has its {} available", path_name(workload.key), count(wanted as usize, "pod"));
            lines.push(Line { at: Some(at), text, grave: false });
        }
    } else if let Some(last) = ready.iter().map(|&(at, _, _)| at).max() {
        let pods: u64 = ready.iter().map(|&(_, wanted, _)| wanted).sum();
        let text = format!("{} of {} have all their {} available", ready.len(), count(all.len(), "workload"), count(pods as usize, "pod"));
        lines.push(Line { at: Some(last), text, grave: false });
    }
}

/// Faults, steps and new leaders of the store, as the facts tell them.
fn told_facts(model: &Model, lines: &mut Vec<Line>) {
    let mut leaders = 0;
    for entry in &model.record.facts {
        let (text, grave) = match &entry.fact.what {
            what @ (What::FaultInjected { .. } | What::StepFailed { .. }) => (what.to_string(), true),
            what @ (What::FaultEnded { .. } | What::StepDone { .. }) => (what.to_string(), false),
            What::BecameLeader { term } => {
                leaders += 1;
                // The first leader is no news.
                if leaders == 1 {
                    continue;
                }
                (format!("{} leads the store in term {term}", entry.fact.subject), false)
            }
            _ => continue,
        };
        lines.push(Line { at: Some(entry.at), text, grave });
    }
}

/// Nodes that stopped being Ready after a fault, those of one fault in one line.
fn nodes_lost(model: &Model, lines: &mut Vec<Line>) {
    for (number, fault) in model.faults().iter().enumerate() {
        let next = model.faults().iter().map(|other| other.at).filter(|&at| at > fault.at).min().unwrap_or(Time::NEVER);
        let hit = model.nodes_hit(fault);
        let mut lost: Vec<(Time, &str)> = Vec::new();
        for &index in &model.reactions {
            let entry = &model.record.facts[index];
            let What::NodeReady { .. } = &entry.fact.what else { continue };
            let crate::wire::fact::Subject::Object(key) = &entry.fact.subject else { continue };
            let known = match model.fault_of(index) {
                Some(by) => by == number,
                None => entry.at < next && hit.iter().any(|&node| model.nodes[node].name == key.name()),
            };
            if entry.at >= fault.at && known && lost.iter().all(|&(_, name)| name != key.name()) {
                lost.push((entry.at, key.name()));
            }
        }
        let Some(&(first, name)) = lost.first() else { continue };
        let after = format!("{} s after the fault", tenths(first.since(fault.at)));
        let text = match lost.len() {
            1 => format!("{name} is found not Ready, {after}"),
            more => format!("{} are found not Ready, the first {after}", count(more, "node")),
        };
        lines.push(Line { at: Some(first), text, grave: false });
    }
}

/// One line a service.
fn traffic(model: &Model, lines: &mut Vec<Line>) {
    for Traffic { service, buckets } in &model.traffic {
        let sum = |outcome: fn(&Bucket) -> u32| buckets.iter().map(|bucket| u64::from(outcome(bucket))).sum::<u64>();
        let (ok, refused) = (sum(|bucket| bucket.ok), sum(|bucket| bucket.refused));
        let (reset, timeout) = (sum(|bucket| bucket.reset), sum(|bucket| bucket.timeout));
        let all = ok + refused + reset + timeout;
        if all == 0 {
            continue;
        }
        // In hundredths of a percent, rounded down: 100 % means every one.
        let share = u128::from(ok) * 10_000 / u128::from(all);
        let mut text = format!("{}: {} requests, {}.{:02} % ok", path_name(service), grouped(all), share / 100, share % 100);
        for (number, what) in [(refused, "refused"), (reset, "reset"), (timeout, "timed out")] {
            if number > 0 {
                text.push_str(&format!(", {} {what}", grouped(number)));
            }
        }
        lines.push(Line { at: None, text, grave: false });
    }
}

/// What etcd's clients saw, in a line.
fn clients(report: &Report, lines: &mut Vec<Line>) {
    let clients = &report.clients;
    let all = clients.sum(|bucket| bucket.sent);
    if all == 0 {
        return;
    }
    let ok = clients.sum(|bucket| bucket.ok);
    let share = u128::from(ok) * 10_000 / u128::from(all);
    let mut text = format!("clients of etcd: {} operations, {}.{:02} % ok", grouped(all), share / 100, share % 100);
    for (number, what) in [(clients.sum(|bucket| bucket.refused), "failed"), (clients.sum(|bucket| bucket.timeout), "unknown")] {
        if number > 0 {
            text.push_str(&format!(", {} {what}", grouped(number)));
        }
    }
    if let (Some(p50), Some(p99)) = (clients.p50, clients.p99) {
        let millis = |span: Duration| {
            let tenths = span.nanos() / 100_000;
            format!("{}.{} ms", grouped(tenths / 10), tenths % 10)
        };
        text.push_str(&format!(", p50 {}, p99 {}", millis(p50), millis(p99)));
    }
    lines.push(Line { at: None, text, grave: false });
    if let Some((at, gap)) = clients.longest_write_gap {
        let text = format!(
            "the longest time without an acknowledged write: {} s, from {} s on",
            tenths(gap),
            tenths(at.since(report.model.start))
        );
        lines.push(Line { at: None, text, grave: false });
    }
}

/// The recovery table: times after the fault.
fn table(report: &Report, paint: &Paint) -> String {
    const MOST_ROWS: usize = 10;
    let model = &report.model;
    let header = ["fault", "workload", "detected", "evicted", "replaced", "ready again", "pod-seconds lost", "down"];
    let mut rows: Vec<Vec<String>> = vec![header.map(String::from).to_vec()];
    for row in report.recovery.iter().take(MOST_ROWS) {
        let after = |at: Option<Time>| at.map_or_else(|| "-".to_string(), |at| format!("+{} s", tenths(at.since(row.at))));
        let workload = row.workload.map_or_else(|| "-".to_string(), |workload| model.workload_name(workload));
        rows.push(vec![
            clip(&model.faults()[row.fault].description, 36),
            clip(&workload, 28),
            after(row.detected),
            after(row.evicted),
            after(row.replaced),
            after(row.ready_again),
            tenths_of(row.unavailable),
            format!("{} s", tenths(row.down)),
        ]);
    }
    let widths: Vec<usize> =
        (0..header.len()).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, &width))| if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") })
            .collect();
        let line = cells.join("  ");
        let line = if index == 0 { paint.with(FAINT, &line) } else { line };
        text.push_str(&format!("  {line}\n"));
    }
    if report.recovery.len() > MOST_ROWS {
        text.push_str(&format!("  ... {} more rows in recovery.csv\n", grouped((report.recovery.len() - MOST_ROWS) as u64)));
    }
    text
}

fn clip(text: &str, length: usize) -> String {
    if text.chars().count() <= length { text.to_string() } else { text.chars().take(length - 1).chain(['…']).collect() }
}

/// `48.3`: cut to tenths of a second.
pub(super) fn tenths(duration: Duration) -> String {
    tenths_of(u128::from(duration.nanos()))
}
fn tenths_of(nanos: u128) -> String {
    let tenths = nanos / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}

/// `15 min`, `1 h 5 min`, `90 s`.
fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{} s", tenths(duration).trim_end_matches(".0")),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}
