//! `recovery.png`: wanted, ready and available replicas over time, with what the cluster did about each fault.

use super::axis::{Panel, Stagger, clock, round_up};
use super::canvas::{Canvas, HEADER, MARGIN, Swatch, WIDTH, palette};
use super::{fault_bands, fault_lines, grouped, header, nothing, shorten};
use crate::base::Time;
use crate::report::Report;
use crate::report::model::Replicas;
use crate::report::recovery::Recovery;

const TITLE: &str = "How the workloads recovered";
/// The workloads that lost most are shown; recovery.csv has all.
const MOST_PANELS: usize = 4;
const LABELS: f64 = 80.0;

pub fn draw(report: &Report) -> Canvas {
    let model = &report.model;
    let shown = shown(report);
    if shown.is_empty() {
        return nothing(report, TITLE, "No workload reported replicas.");
    }
    let data = match shown.len() {
        1 => 440.0,
        2 => 300.0,
        _ => 220.0,
    };
    let mut scratch = Canvas::new(WIDTH, 100.0);
    let mut top = HEADER + 28.0;
    let mut panels = Vec::new();
    for &workload in &shown {
        let mut panel = Panel { left: MARGIN + LABELS, top, right: WIDTH - MARGIN, bottom: top, start: model.start, end: model.end };
        let marks = marks(report, &mut scratch, &panel, workload);
        panel.top += marks.height() + 8.0;
        panel.bottom = panel.top + data;
        top = panel.bottom + 60.0;
        panels.push((workload, panel, marks));
    }
    let mut canvas = Canvas::new(WIDTH, top + 14.0);
    let legend = [
        (Swatch::Dashes(palette::TEXT), "wanted".to_string()),
        (Swatch::Line(palette::ORANGE), "ready".to_string()),
        (Swatch::Fill(palette::BLUE.lighter(0.65)), "available".to_string()),
        (Swatch::Hatch(palette::BACKGROUND, palette::VERMILLION.lighter(0.25)), "missing: wanted but not available".to_string()),
    ];
    header(&mut canvas, report, TITLE, &legend);
    let last = panels.len() - 1;
    let others = model.workloads.iter().filter(|workload| !workload.steps.is_empty()).count() - panels.len();
    for (index, (workload, panel, marks)) in panels.iter().enumerate() {
        let workload = &model.workloads[*workload];
        let top_of_marks = panel.top - marks.height() - 8.0;
        let mut caption = format!("{} {}, replicas", workload.key.kind(), shorten(&super::super::model::path_name(workload.key), 60));
        if index == 0 && others > 0 {
            caption.push_str(&format!(
                " (of {} workloads, those that lost most; recovery.csv has all)",
                grouped((panels.len() + others) as u64)
            ));
        }
        canvas.text(MARGIN, top_of_marks - 12.0, &caption).size(15.0).bold().draw();
        panel.ground(&mut canvas);
        fault_bands(report, panel, &mut canvas);
        let most = workload.steps.iter().map(|step| step.wanted.max(step.ready).max(step.available)).max().unwrap_or(0) as f64;
        let most = round_up((most * 1.08).max(1.0));
        panel.time_grid(&mut canvas);
        panel.value_axis(&mut canvas, most, |value| if value.fract() == 0.0 { grouped(value as u64) } else { String::new() });
        replicas(&mut canvas, panel, &workload.steps, most);
        fault_lines(report, panel, &mut canvas);
        marks.draw(&mut canvas, panel.top - 6.0, panel.bottom);
        if index == last {
            panel.time_labels(&mut canvas);
        } else {
            canvas.rect(panel.left, panel.bottom, panel.right, panel.bottom + 1.0, palette::BORDER);
        }
    }
    canvas
}

/// The workloads that lost most first; if none lost anything, the largest.
fn shown(report: &Report) -> Vec<usize> {
    let model = &report.model;
    let lost = |workload: usize| -> u128 {
        report.recovery.iter().filter(|row| row.workload == Some(workload)).map(|row| row.unavailable + row.lost as u128).sum()
    };
    let size = |workload: usize| model.workloads[workload].steps.iter().map(|step| step.wanted).max().unwrap_or(0);
    let mut order: Vec<usize> = (0..model.workloads.len()).filter(|&workload| !model.workloads[workload].steps.is_empty()).collect();
    order.sort_by_key(|&workload| (std::cmp::Reverse((lost(workload), size(workload))), workload));
    order.truncate(MOST_PANELS);
    order
}

fn replicas(canvas: &mut Canvas, panel: &Panel, steps: &[Replicas], most: f64) {
    let spans = || {
        steps.iter().enumerate().map(|(index, step)| {
            let until = steps.get(index + 1).map_or(panel.end, |next| next.at);
            (panel.x(step.at), panel.x(until), step)
        })
    };
    for (from, until, step) in spans() {
        let available = panel.y(step.available as f64, most);
        canvas.rect(from, available, until, panel.bottom, palette::BLUE.lighter(0.65));
        if step.shortfall() > 0 {
            // Seen, however short it was.
            let until = until.max(from + 1.5);
            canvas.hatch(from, panel.y(step.wanted as f64, most), until, available, palette::BACKGROUND, palette::VERMILLION.lighter(0.25));
        }
    }
    let line = |value: fn(&Replicas) -> u64| -> Vec<(f64, f64)> {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for (from, until, step) in spans() {
            let y = panel.y(value(step) as f64, most);
            // What stays level is one stroke, so that its dashes stay even.
            match points.last_mut() {
                Some(last) if last.1 == y => last.0 = until,
                _ => points.extend([(from, y), (until, y)]),
            }
        }
        points
    };
    canvas.line(&line(|step| step.available), palette::BLUE, 2.0);
    canvas.line(&line(|step| step.ready), palette::ORANGE, 2.0);
    canvas.dashes(&line(|step| step.wanted), palette::TEXT, 1.5);
}

/// The fault, and what followed, over a workload's panel.
fn marks(report: &Report, canvas: &mut Canvas, panel: &Panel, workload: usize) -> Stagger {
    let model = &report.model;
    let mut marks: Vec<(Time, String, bool)> = Vec::new();
    // Labels of one instant are one label.
    for (number, fault) in model.faults().iter().enumerate().filter(|(_, fault)| fault.at <= model.end) {
        let text = if model.faults().len() <= 6 { shorten(&fault.description, 60) } else { format!("fault {}", number + 1) };
        marks.push((fault.at, format!("{text}  {}", instant(report, fault.at)), true));
        for row in report.recovery.iter().filter(|row| row.fault == number && row.workload == Some(workload)) {
            marks.extend(reactions(report, row).into_iter().map(|(at, text)| (at, text, false)));
        }
    }
    marks.sort_by_key(|(at, _, fault)| (*at, !fault));
    let mut labels = Stagger::default();
    for (at, text, fault) in marks {
        labels.push(canvas, panel, at, &text, if fault { palette::FAULT } else { palette::TEXT });
    }
    labels
}

/// What followed a fault, each with the time since the fault.
fn reactions(report: &Report, row: &Recovery) -> Vec<(Time, String)> {
    let pods = super::count(row.lost, "pod");
    let marks = [
        (row.detected, "detected".to_string()),
        (row.evicted, format!("{pods} evicted")),
        (row.replaced, "replaced".to_string()),
        (row.ready_again, "ready again".to_string()),
    ];
    let after = |at: Time| {
        let tenths = at.since(row.at).nanos() / 100_000_000;
        format!("+{}.{} s", tenths / 10, tenths % 10)
    };
    marks
        .into_iter()
        .filter_map(|(at, text)| at.map(|at| (at, format!("{text}  {}", after(at)))))
        .filter(|(at, _)| *at <= report.model.end)
        .collect()
}

fn instant(report: &Report, at: Time) -> String {
    let model = &report.model;
    let whole = model.end.since(model.start);
    let clock = clock(at.since(model.start), whole);
    if whole <= crate::base::Duration::from_secs(180) { format!("at {clock} s") } else { format!("at {clock}") }
}
