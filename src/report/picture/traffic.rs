//! `traffic.png`: what became of the requests, second by second, and how long they took. `clients.png`: the same of the operations of etcd's
//! clients, with the store's leaders.

use super::axis::{Panel, round_up};
use super::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use super::{fault_bands, fault_labels, fault_lines, grouped, header, nothing, shorten};
use crate::base::{Duration, Time};
use crate::report::Report;
use crate::report::model::{Bucket, Traffic, path_name};
use crate::wire::fact::What;

const TITLE: &str = "What clients saw";
/// The services with most requests; traffic.csv has all.
const MOST_SERVICES: usize = 3;
const LABELS: f64 = 80.0;
const OK: Colour = palette::GREEN;

/// An outcome's name, its colour, and how many requests of a bucket had it.
type Outcome = (&'static str, Colour, fn(&Bucket) -> u32);

/// Outcomes from the bottom of a bar to its top.
const OUTCOMES: [Outcome; 4] = [
    ("ok", OK, |bucket| bucket.ok),
    ("refused", palette::ORANGE, |bucket| bucket.refused),
    ("reset", palette::PURPLE, |bucket| bucket.reset),
    ("timed out", palette::VERMILLION, |bucket| bucket.timeout),
];

/// What became of operations on etcd; the fields are those of [`crate::report::clients::Clients::buckets`].
const CLIENT_OUTCOMES: [Outcome; 3] = [
    ("ok", OK, |bucket| bucket.ok),
    ("failed", palette::ORANGE, |bucket| bucket.refused),
    ("unknown", palette::VERMILLION, |bucket| bucket.timeout),
];

/// Requests of one kind: what they are, and their buckets.
struct Series<'b> {
    caption: String,
    buckets: &'b [Bucket],
}

pub fn draw(report: &Report) -> Canvas {
    let services = services(report);
    if services.is_empty() {
        return nothing(report, TITLE, "The scenario has no traffic.");
    }
    let all: Vec<Series> = services
        .iter()
        .map(|traffic| Series {
            caption: format!("Service {}, requests per second by outcome", shorten(&path_name(traffic.service), 60)),
            buckets: &traffic.buckets,
        })
        .collect();
    draw_series(report, &all, &OUTCOMES, &[])
}

pub fn draw_clients(report: &Report) -> Canvas {
    let facts = report.model.record.facts.iter();
    // The first leader is no change.
    let leaders: Vec<Time> =
        facts.filter(|entry| matches!(entry.fact.what, What::BecameLeader { .. })).map(|entry| entry.at).skip(1).collect();
    let caption = "Operations of etcd's clients per second, by outcome".to_owned();
    draw_series(report, &[Series { caption, buckets: &report.clients.buckets }], &CLIENT_OUTCOMES, &leaders)
}

fn draw_series(report: &Report, series: &[Series], kinds: &[Outcome], leaders: &[Time]) -> Canvas {
    let model = &report.model;
    let (outcomes_height, latency_height) = if series.len() == 1 { (340.0, 220.0) } else { (220.0, 140.0) };
    let mut scratch = Canvas::new(WIDTH, 100.0);
    let base = Panel { left: MARGIN + LABELS, top: 0.0, right: WIDTH - MARGIN, bottom: 0.0, start: model.start, end: model.end };
    let labels = fault_labels(report, &base, &mut scratch);
    let mut top = HEADER + 24.0 + labels.height();
    let mut panels = Vec::new();
    for _ in series {
        let outcomes = Panel { top, bottom: top + outcomes_height, ..base };
        let latency = Panel { top: outcomes.bottom + 48.0, bottom: outcomes.bottom + 48.0 + latency_height, ..base };
        top = latency.bottom + 64.0;
        panels.push((outcomes, latency));
    }
    let mut canvas = Canvas::new(WIDTH, top);
    let mut legend: Vec<(Swatch, String)> = kinds.iter().map(|&(name, colour, _)| (Swatch::Fill(colour), name.to_string())).collect();
    legend.push((Swatch::Line(palette::BLUE), "half of the answers are faster (p50)".to_string()));
    legend.push((Swatch::Line(palette::TEXT), "99 % are faster (p99)".to_string()));
    if !leaders.is_empty() {
        legend.push((Swatch::Line(palette::PURPLE), "a new leader".to_string()));
    }
    header(&mut canvas, report, TITLE, &legend);
    for (index, (Series { caption, buckets }, (outcomes, latency))) in series.iter().zip(&panels).enumerate() {
        let room = if index == 0 { labels.height() } else { 0.0 };
        draw_outcomes(report, &mut canvas, outcomes, caption, kinds, buckets, room);
        draw_latency(report, &mut canvas, latency, buckets);
        for panel in [outcomes, latency] {
            for &at in leaders {
                let x = panel.x(at);
                canvas.dashes(&[(x, panel.top), (x, panel.bottom)], palette::PURPLE, 1.5);
            }
        }
        if index == 0 {
            labels.draw(&mut canvas, outcomes.top - 6.0, outcomes.top);
        }
    }
    if let Some((_, last)) = panels.last() {
        last.time_labels(&mut canvas);
    }
    canvas
}

/// The services with most requests.
fn services<'m, 'r>(report: &'m Report<'r>) -> Vec<&'m Traffic<'r>> {
    let mut services: Vec<&Traffic> = report.model.traffic.iter().collect();
    services.sort_by_key(|traffic| std::cmp::Reverse(traffic.buckets.iter().map(|bucket| u64::from(bucket.sent)).sum::<u64>()));
    services.truncate(MOST_SERVICES);
    services
}

/// Several buckets as one, so that a bar is at least a pixel and a half wide: the bar's left and right, seconds, the buckets.
fn bars<'b>(panel: &Panel, buckets: &'b [Bucket]) -> Vec<(f64, f64, f64, &'b [Bucket])> {
    let stride = buckets.len().div_ceil(((panel.right - panel.left) / 1.5) as usize).max(1);
    // The first bucket began as long before its end as the second did.
    let width = match buckets {
        [first, second, ..] => second.at.since(first.at),
        _ => Duration::from_secs(1),
    };
    let first = buckets.first().map_or(panel.start, |bucket| bucket.at);
    let mut before = panel.start + first.since(panel.start).saturating_sub(width);
    let mut bars = Vec::new();
    for chunk in buckets.chunks(stride) {
        let at = chunk.last().expect("a chunk is not empty").at;
        if at > before {
            bars.push((panel.x(before), panel.x(at), at.since(before).as_secs_f64(), chunk));
        }
        before = before.max(at);
    }
    bars
}

fn draw_outcomes(report: &Report, canvas: &mut Canvas, panel: &Panel, caption: &str, kinds: &[Outcome], buckets: &[Bucket], labels: f64) {
    let rate = |chunk: &[Bucket], seconds: f64, outcome: fn(&Bucket) -> u32| {
        chunk.iter().map(|bucket| f64::from(outcome(bucket))).sum::<f64>() / seconds
    };
    let bars = bars(panel, buckets);
    let all = |chunk: &[Bucket], seconds: f64| kinds.iter().map(|&(_, _, outcome)| rate(chunk, seconds, outcome)).sum::<f64>();
    let most = round_up(bars.iter().map(|&(_, _, seconds, chunk)| all(chunk, seconds)).fold(1.0, f64::max) * 1.08);
    panel.ground(canvas);
    fault_bands(report, panel, canvas);
    panel.time_grid(canvas);
    canvas.text(panel.left, panel.top - labels - 14.0, caption).size(15.0).bold().draw();
    panel.value_axis(canvas, most, |value| grouped(value as u64));
    for (left, right, seconds, chunk) in bars {
        let mut height = 0.0;
        for &(_, colour, outcome) in kinds {
            let rate = rate(chunk, seconds, outcome);
            if rate > 0.0 {
                canvas.rect(left, panel.y(height + rate, most), right, panel.y(height, most), colour);
            }
            height += rate;
        }
    }
    canvas.rect(panel.left, panel.bottom, panel.right, panel.bottom + 1.0, palette::BORDER);
    fault_lines(report, panel, canvas);
}

/// Latencies on a logarithmic scale: a request that waits for a connection takes a thousand times as long as one that does not.
fn draw_latency(report: &Report, canvas: &mut Canvas, panel: &Panel, buckets: &[Bucket]) {
    let answered: Vec<&Bucket> = buckets.iter().filter(|bucket| bucket.ok > 0 && bucket.p50.nanos() > 0).collect();
    panel.ground(canvas);
    fault_bands(report, panel, canvas);
    panel.time_grid(canvas);
    panel.caption(canvas, "Latency of the requests that were answered, ms (logarithmic)");
    let least = answered.iter().map(|bucket| bucket.p50.nanos()).min().unwrap_or(1_000_000);
    let most = answered.iter().map(|bucket| bucket.p99.nanos()).max().unwrap_or(1_000_000).max(least);
    // Whole decades, in nanoseconds.
    let (low, mut high) = (least.ilog10(), most.ilog10() + 1);
    if high < low + 2 {
        high = low + 2;
    }
    let decades = f64::from(high - low);
    let y = |nanos: u64| panel.y(crate::base::maths::ln(nanos as f64) / std::f64::consts::LN_10 - f64::from(low), decades);
    for decade in low..=high {
        let height = panel.y(f64::from(decade - low), decades);
        canvas.rect(panel.left, height - 0.5, panel.right, height + 0.5, palette::GRID);
        let label = if decade >= 6 { grouped(10u64.pow(decade - 6)) } else { format!("0.{:0>1$}", 1, 6 - decade as usize) };
        canvas.text(panel.left - 10.0, height, &label).size(13.0).colour(palette::SUBTLE).right().draw();
    }
    for (latency, colour) in [(0, palette::TEXT), (1, palette::BLUE)] {
        let points: Vec<(f64, f64)> =
            answered.iter().map(|bucket| (panel.x(bucket.at), y(if latency == 0 { bucket.p99 } else { bucket.p50 }.nanos()))).collect();
        if points.len() > 1 {
            canvas.line(&points, colour, if latency == 0 { 1.5 } else { 2.0 });
        }
    }
    canvas.rect(panel.left, panel.bottom, panel.right, panel.bottom + 1.0, palette::BORDER);
    fault_lines(report, panel, canvas);
}
