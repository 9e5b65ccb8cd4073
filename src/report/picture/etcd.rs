//! `etcd.png`: who led, in which term; how long commits took; how many there were.

use super::axis::{Panel, round_up};
use super::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use super::{fault_bands, fault_labels, fault_lines, header, nothing};
use crate::engine::record::{EtcdSample, Role};
use crate::report::Report;

const TITLE: &str = "The store: leaders, commits, load";
const LANE: f64 = 44.0;
const LABELS: f64 = 80.0;

const FOLLOWER: Colour = Colour(203, 223, 238);
const DOWN: (Colour, Colour) = (Colour(238, 240, 242), palette::TERMINATING);

pub fn draw(report: &Report) -> Canvas {
    let model = &report.model;
    let samples = &model.record.samples;
    let members = samples.iter().map(|sample| sample.etcd.len()).max().unwrap_or(0);
    if members == 0 {
        return nothing(report, TITLE, "The store was not sampled.");
    }
    let mut scratch = Canvas::new(WIDTH, 100.0);
    let mut lanes = Panel { left: MARGIN + LABELS, top: HEADER, right: WIDTH - MARGIN, bottom: HEADER, start: model.start, end: model.end };
    let labels = fault_labels(report, &lanes, &mut scratch);
    lanes.top += labels.height() + 4.0;
    lanes.bottom = lanes.top + members as f64 * LANE;
    let latency = Panel { top: lanes.bottom + 56.0, bottom: lanes.bottom + 56.0 + 210.0, ..lanes };
    let rate = Panel { top: latency.bottom + 56.0, bottom: latency.bottom + 56.0 + 160.0, ..lanes };
    let mut canvas = Canvas::new(WIDTH, rate.bottom + 62.0);
    let legend = [
        (Swatch::Fill(palette::BLUE), "leader".to_string()),
        (Swatch::Fill(FOLLOWER), "follower".to_string()),
        (Swatch::Fill(palette::ORANGE), "candidate".to_string()),
        (Swatch::Hatch(DOWN.0, DOWN.1), "down".to_string()),
    ];
    header(&mut canvas, report, TITLE, &legend);
    for member in 0..members {
        let top = lanes.top + member as f64 * LANE;
        canvas.text(lanes.left - 12.0, top + LANE / 2.0, &format!("etcd-{}", member + 1)).size(14.0).right().draw();
        draw_member(report, &mut canvas, &lanes, member, top);
    }
    fault_lines(report, &lanes, &mut canvas);
    labels.draw(&mut canvas, lanes.top - 2.0, lanes.top);

    draw_latency(report, &mut canvas, &latency);
    draw_rate(report, &mut canvas, &rate);
    rate.time_labels(&mut canvas);
    canvas
}

/// The role over time; the term where there is room and it is new.
fn draw_member(report: &Report, canvas: &mut Canvas, panel: &Panel, member: usize, top: f64) {
    let model = &report.model;
    let samples = &model.record.samples;
    let (top, bottom) = (top + 3.0, top + LANE - 3.0);
    let mut from = 0;
    let state = |at: usize| samples[at].etcd.get(member).map(|sample: &EtcdSample| (sample.role, sample.term));
    for at in 1..=samples.len() {
        if at < samples.len() && state(at) == state(from) {
            continue;
        }
        let (left, right) = (panel.x(samples[from].at), panel.x(samples.get(at).map_or(model.end, |next| next.at)));
        if let Some((role, term)) = state(from) {
            match role {
                Role::Leader => canvas.rect(left, top, right, bottom, palette::BLUE),
                Role::Follower => canvas.rect(left, top, right, bottom, FOLLOWER),
                Role::Candidate => canvas.rect(left, top, right, bottom, palette::ORANGE),
                Role::Down => canvas.hatch(left, top, right, bottom, DOWN.0, DOWN.1),
            }
            let text = if role == Role::Leader { format!("leader, term {term}") } else { format!("term {term}") };
            let colour = if role == Role::Leader { palette::BACKGROUND } else { palette::TEXT };
            let width = canvas.text(0.0, 0.0, &text).size(13.0).width();
            if role != Role::Down && width + 16.0 < right - left {
                canvas.text(left + 8.0, (top + bottom) / 2.0, &text).size(13.0).colour(colour).draw();
            }
        }
        from = at;
    }
}

/// 99th percentile of the time from proposal to commit, as the leader of each second saw it.
fn draw_latency(report: &Report, canvas: &mut Canvas, panel: &Panel) {
    let samples = &report.model.record.samples;
    let seen: Vec<Option<f64>> = samples
        .iter()
        .map(|sample| sample.etcd.iter().filter_map(|member| member.commit_latency_p99).max().map(|latency| latency.as_secs_f64() * 1e3))
        .collect();
    let most = round_up(seen.iter().flatten().copied().fold(0.0, f64::max) * 1.1);
    ground(report, canvas, panel, "Commit latency, 99th percentile, ms");
    panel.value_axis(canvas, most, milliseconds);
    // Where nothing was committed the line has a gap.
    let mut points: Vec<(f64, f64)> = Vec::new();
    for (sample, latency) in samples.iter().zip(&seen) {
        match latency {
            Some(latency) => points.push((panel.x(sample.at), panel.y(*latency, most))),
            None => stroke(canvas, &mut points),
        }
    }
    stroke(canvas, &mut points);
    fault_lines(report, panel, canvas);
}

fn stroke(canvas: &mut Canvas, points: &mut Vec<(f64, f64)>) {
    if let [(x, y)] = points[..] {
        canvas.rect(x - 1.5, y - 1.5, x + 1.5, y + 1.5, palette::PURPLE);
    } else if points.len() > 1 {
        canvas.line(points, palette::PURPLE, 2.0);
    }
    points.clear();
}

/// Revisions made each second.
fn draw_rate(report: &Report, canvas: &mut Canvas, panel: &Panel) {
    let samples = &report.model.record.samples;
    let revision = |at: usize| samples[at].etcd.iter().map(|member| member.revision).max().unwrap_or(0);
    // A bar may not be thinner than a pixel and a half: then several samples are one bar.
    let stride = samples.len().div_ceil(((panel.right - panel.left) / 1.5) as usize).max(1);
    let bars: Vec<(f64, f64, f64)> = (stride..samples.len())
        .step_by(stride)
        .map(|at| {
            let (before, now) = (samples[at - stride].at, samples[at].at);
            let seconds = now.since(before).as_secs_f64().max(1e-9);
            (panel.x(before), panel.x(now), revision(at).saturating_sub(revision(at - stride)) as f64 / seconds)
        })
        .collect();
    let most = round_up(bars.iter().map(|&(_, _, rate)| rate).fold(1.0, f64::max) * 1.1);
    ground(report, canvas, panel, "Writes, revisions per second");
    panel.value_axis(canvas, most, |value| if value < 10.0 { format!("{value}") } else { super::grouped(value as u64) });
    for (from, until, rate) in bars {
        canvas.rect(from, panel.y(rate, most), until, panel.bottom, palette::BLUE);
    }
    fault_lines(report, panel, canvas);
}

fn ground(report: &Report, canvas: &mut Canvas, panel: &Panel, caption: &str) {
    panel.ground(canvas);
    fault_bands(report, panel, canvas);
    panel.time_grid(canvas);
    panel.caption(canvas, caption);
    canvas.rect(panel.left, panel.bottom, panel.right, panel.bottom + 1.0, palette::BORDER);
}

/// A tick of an axis in milliseconds.
pub fn milliseconds(value: f64) -> String {
    if value >= 10.0 || value == 0.0 {
        super::grouped(value.round() as u64)
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}
