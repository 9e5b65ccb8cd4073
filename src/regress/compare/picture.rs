//! `compare.png`: ready replicas of both runs over time, with the faults of each and where they part.

use super::Comparison;
use crate::base::{Duration, Time};
use crate::engine::record::FaultInfo;
use crate::report::Report;
use crate::report::model::{Replicas, path_name};
use crate::report::picture::axis::{Panel, Stagger, round_up};
use crate::report::picture::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use crate::report::picture::{grouped, shorten};

/// The workloads that differ most are shown.
const MOST_PANELS: usize = 4;
const LABELS: f64 = 80.0;
const A: Colour = palette::BLUE;
const B: Colour = palette::ORANGE;

/// A workload's replica counts since the start, in both runs.
struct Pair<'r> {
    name: String,
    a: &'r [Replicas],
    b: &'r [Replicas],
}

pub fn draw(comparison: &Comparison, a: &Report, b: &Report) -> Canvas {
    let pairs = pairs(a, b);
    let (shown, others) = pairs.split_at(pairs.len().min(MOST_PANELS));
    let height = match shown.len() {
        0 => 120.0,
        1 => 440.0,
        2 => 300.0,
        _ => 220.0,
    };
    let length = |report: &Report| report.model.end.since(report.model.start);
    let end = Time::ZERO + length(a).max(length(b));
    let mut panel = Panel { left: MARGIN + LABELS, top: HEADER + 28.0, right: WIDTH - MARGIN, bottom: 0.0, start: Time::ZERO, end };
    let marks = marks(comparison, a, b, &panel);
    let top_of_marks = panel.top;
    panel.top += marks.height() + 8.0;
    let total = panel.top + shown.len() as f64 * (height + 60.0) + 14.0;
    let mut canvas = Canvas::new(WIDTH, total.max(320.0));
    header(&mut canvas, comparison);
    if shown.is_empty() {
        canvas.text(WIDTH / 2.0, HEADER + 90.0, "No workload reported replicas.").size(18.0).colour(palette::SUBTLE).centre().draw();
        return canvas;
    }
    let foot = panel.top + (shown.len() - 1) as f64 * (height + 60.0) + height;
    for (index, pair) in shown.iter().enumerate() {
        panel.bottom = panel.top + height;
        let mut caption = format!("{}, ready replicas", shorten(&pair.name, 60));
        if index == 0 && !others.is_empty() {
            caption.push_str(&format!(" (of {} workloads, those that differ most)", grouped(pairs.len() as u64)));
        }
        panel.ground(&mut canvas);
        let most = pair.a.iter().chain(pair.b).map(|step| step.wanted.max(step.ready)).max().unwrap_or(0) as f64;
        let most = round_up((most * 1.08).max(1.0));
        panel.time_grid(&mut canvas);
        panel.value_axis(&mut canvas, most, |value| if value.fract() == 0.0 { grouped(value as u64) } else { String::new() });
        // Above the marks, whose lines go down to the last panel.
        let above = if index == 0 { top_of_marks } else { panel.top };
        canvas.text(panel.left, above - 14.0, &caption).size(15.0).bold().draw();
        let points = |steps: &[Replicas], report: &Report, value: fn(&Replicas) -> u64| {
            line(&panel, steps, report.model.start, length(report), value, most)
        };
        canvas.dashes(&points(pair.a, a, |step| step.wanted), palette::TEXT, 1.5);
        canvas.line(&points(pair.a, a, |step| step.ready), A, 4.5);
        // Thinner and over the other: where both are the same, both are seen.
        canvas.line(&points(pair.b, b, |step| step.ready), B, 2.0);
        if index + 1 == shown.len() {
            panel.time_labels(&mut canvas);
        }
        if index == 0 {
            marks.draw(&mut canvas, top_of_marks + marks.height(), foot);
        }
        panel.top = panel.bottom + 60.0;
    }
    canvas
}

fn header(canvas: &mut Canvas, comparison: &Comparison) {
    canvas.text(MARGIN, 34.0, "Two runs compared").size(25.0).bold().draw();
    let described = |run: &super::Run| format!("{}, seed {}", run.record.scenario.name, run.record.scenario.seed);
    let subtitle = match comparison.equal() {
        true => "The outcomes are the same, fact by fact.".to_owned(),
        false => "The outcomes differ.".to_owned(),
    };
    canvas.text(MARGIN, 62.0, &subtitle).size(15.0).colour(palette::SUBTLE).draw();
    let legend = [
        (Swatch::Line(A), format!("A: {}", described(comparison.a))),
        (Swatch::Line(B), format!("B: {}", described(comparison.b))),
        (Swatch::Dashes(palette::TEXT), "wanted in A".to_owned()),
    ];
    let mut x = MARGIN;
    for (swatch, label) in &legend {
        canvas.swatch(x, 90.0, swatch);
        x += 28.0 + canvas.text(x + 28.0, 90.0, label).size(14.0).colour(palette::SUBTLE).draw() + 24.0;
    }
}

/// Faults of both, and where they part, in order of time.
fn marks(comparison: &Comparison, a: &Report, b: &Report, panel: &Panel) -> Stagger {
    let since = |report: &Report, at: Time| Time::ZERO + at.since(report.model.start);
    let (of_a, of_b) = (a.model.faults(), b.model.faults());
    let mut marks: Vec<(Time, String, Colour)> = Vec::new();
    let same = |one: (&Report, &FaultInfo), other: (&Report, &FaultInfo)| {
        since(one.0, one.1.at) == since(other.0, other.1.at) && one.1.description == other.1.description
    };
    for fault in of_a {
        let both = of_b.iter().any(|other| same((a, fault), (b, other)));
        let (prefix, colour) = if both { ("", palette::FAULT) } else { ("A: ", A) };
        marks.push((since(a, fault.at), format!("{prefix}{}", shorten(&fault.description, 60)), colour));
    }
    for fault in of_b.iter().filter(|fault| !of_a.iter().any(|other| same((a, other), (b, fault)))) {
        marks.push((since(b, fault.at), format!("B: {}", shorten(&fault.description, 60)), B));
    }
    if let Some(difference) = &comparison.difference {
        let at = Time::ZERO + Duration::from_secs(difference.second);
        marks.push((at, format!("first difference, second {}", difference.second), palette::TEXT));
    }
    marks.retain(|(at, _, _)| *at <= panel.end);
    marks.sort_by_key(|(at, _, _)| *at);
    let mut scratch = Canvas::new(WIDTH, 100.0);
    let mut labels = Stagger::default();
    for (at, text, colour) in marks {
        labels.push(&mut scratch, panel, at, &text, colour);
    }
    labels
}

/// The workloads of both runs, those that differ most first.
fn pairs<'r>(a: &'r Report, b: &'r Report) -> Vec<Pair<'r>> {
    let mut pairs: Vec<Pair> = Vec::new();
    for workload in &a.model.workloads {
        let other = b.model.workloads.iter().find(|other| other.key == workload.key);
        pairs.push(Pair { name: path_name(workload.key), a: &workload.steps, b: other.map_or(&[], |other| &other.steps) });
    }
    for workload in b.model.workloads.iter().filter(|workload| a.model.workloads.iter().all(|other| other.key != workload.key)) {
        pairs.push(Pair { name: path_name(workload.key), a: &[], b: &workload.steps });
    }
    pairs.retain(|pair| !pair.a.is_empty() || !pair.b.is_empty());
    let lost = |steps: &[Replicas]| -> u128 {
        let lasting = steps.windows(2).map(|two| u128::from(two[1].at.since(two[0].at).nanos()) * u128::from(two[0].shortfall()));
        lasting.sum()
    };
    // Stable: equal ones stay in the order of names.
    pairs.sort_by_key(|pair| std::cmp::Reverse(lost(pair.a).abs_diff(lost(pair.b))));
    pairs
}

/// A step function from the first count to the end of its run.
fn line(panel: &Panel, steps: &[Replicas], start: Time, length: Duration, value: fn(&Replicas) -> u64, most: f64) -> Vec<(f64, f64)> {
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let until = steps.get(index + 1).map_or(Time::ZERO + length, |next| Time::ZERO + next.at.since(start));
        let (from, until, y) = (panel.x(Time::ZERO + step.at.since(start)), panel.x(until), panel.y(value(step) as f64, most));
        match points.last_mut() {
            Some(last) if last.1 == y => last.0 = until,
            _ => points.extend([(from, y), (until, y)]),
        }
    }
    points
}
