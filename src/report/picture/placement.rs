//! `placement.png`: where pods ran. A lane a node, a bar a pod; with many nodes a heat map of ready pods.

use super::axis::Panel;
use super::canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};
use super::{Band, bands, colour_bar, fault_labels, fault_lines, header, nothing, shorten, zone_labels, zones};
use crate::base::Time;
use crate::report::Report;
use crate::report::model::{Pod, PodState};

const TITLE: &str = "Where the pods ran";
/// More nodes, or more bars one above the other, than this are shown as a heat map: a bar would be thinner than three pixels.
const MOST_LANES: usize = 60;
const MOST_BARS: usize = 320;
const LABELS: f64 = 190.0;

pub fn draw(report: &Report) -> Canvas {
    if report.model.nodes.is_empty() {
        return nothing(report, TITLE, "The cluster has no nodes.");
    }
    if report.model.nodes.len() <= MOST_LANES {
        let lanes = lanes(report);
        if lanes.iter().map(|lane| lane.rows.max(1)).sum::<usize>() <= MOST_BARS {
            return bars(report, &lanes);
        }
    }
    heat_map(report)
}

/// Pods side by side: each with its row in the lane.
struct Lane {
    /// `None`: pods that are on no node yet.
    node: Option<usize>,
    zone: usize,
    first_of_zone: bool,
    pods: Vec<(usize, usize)>,
    rows: usize,
}

fn lanes(report: &Report) -> Vec<Lane> {
    let model = &report.model;
    let mut on: Vec<Vec<(Time, Time, usize)>> = vec![Vec::new(); model.nodes.len()];
    let mut waiting = Vec::new();
    // A wait that is shorter than two pixels is not worth a lane.
    let short = model.end.since(model.start).scale(2, 1300);
    for (index, pod) in model.pods.iter().enumerate() {
        let until = pod.removed.unwrap_or(model.end);
        if let Some((bound, node)) = pod.bound {
            on[node].push((bound, until, index));
        }
        let bound = pod.bound.map_or(until, |(bound, _)| bound);
        if bound.since(pod.created) > short {
            waiting.push((pod.created, bound, index));
        }
    }
    let mut lanes = Vec::new();
    for (zone, (_, nodes)) in zones(report).into_iter().enumerate() {
        for (at, node) in nodes.into_iter().enumerate() {
            let (pods, rows) = stack(std::mem::take(&mut on[node]));
            lanes.push(Lane { node: Some(node), zone, first_of_zone: at == 0, pods, rows });
        }
    }
    if !waiting.is_empty() {
        let (pods, rows) = stack(waiting);
        lanes.push(Lane { node: None, zone: usize::MAX, first_of_zone: true, pods, rows });
    }
    lanes
}

/// Gives each interval the first row that is free for the whole of it: (pod, row), and how many rows there are.
fn stack(mut intervals: Vec<(Time, Time, usize)>) -> (Vec<(usize, usize)>, usize) {
    intervals.sort_unstable();
    let mut free: Vec<Time> = Vec::new();
    let mut rows = Vec::new();
    for (from, until, pod) in intervals {
        let row = free.iter().position(|&since| since <= from).unwrap_or(free.len());
        if row == free.len() {
            free.push(until);
        }
        free[row] = until;
        rows.push((pod, row));
    }
    (rows, free.len())
}

fn bars(report: &Report, lanes: &[Lane]) -> Canvas {
    let model = &report.model;
    let rows: usize = lanes.iter().map(|lane| lane.rows.max(1)).sum();
    let bar = (760.0 / rows as f64).clamp(3.0, 22.0).floor();
    const PAD: f64 = 5.0;
    let height: f64 = lanes.iter().map(|lane| lane.rows.max(1) as f64 * bar + 2.0 * PAD).sum();
    let mut canvas = Canvas::new(WIDTH, 100.0);
    let mut panel =
        Panel { left: MARGIN + LABELS, top: HEADER, right: WIDTH - MARGIN, bottom: HEADER + height, start: model.start, end: model.end };
    let labels = fault_labels(report, &panel, &mut canvas);
    panel.top += labels.height() + 4.0;
    panel.bottom = panel.top + height;
    let mut canvas = Canvas::new(WIDTH, panel.bottom + 62.0);
    let (colours, legend) = legend(report);
    header(&mut canvas, report, TITLE, &legend);

    let mut top = panel.top;
    for (index, lane) in lanes.iter().enumerate() {
        let bottom = top + lane.rows.max(1) as f64 * bar + 2.0 * PAD;
        if index % 2 == 0 {
            canvas.rect(panel.left, top, panel.right, bottom, palette::LANE);
        }
        top = bottom;
    }
    let hit: Vec<Vec<usize>> = model.faults().iter().map(|fault| model.nodes_hit(fault)).collect();
    let mut top = panel.top;
    for lane in lanes {
        let bottom = top + lane.rows.max(1) as f64 * bar + 2.0 * PAD;
        for (fault, hit) in model.faults().iter().zip(&hit).filter(|(fault, _)| fault.at <= model.end) {
            // A fault of nodes shades their lanes, any other all.
            if hit.is_empty() || lane.node.is_some_and(|node| hit.binary_search(&node).is_ok()) {
                let (from, until) = (panel.x(fault.at), panel.x(fault.end(model.end)));
                canvas.rect(from, top, until.max(from + 1.0), bottom, palette::FAULT_LANE);
            }
        }
        top = bottom;
    }
    panel.time_grid(&mut canvas);
    let mut top = panel.top;
    for lane in lanes {
        let bottom = top + lane.rows.max(1) as f64 * bar + 2.0 * PAD;
        let middle = (top + bottom) / 2.0;
        let name = lane.node.map_or("not scheduled", |node| model.nodes[node].name);
        canvas.text(panel.left - 12.0, middle, &shorten(name, 20)).size((bar + 2.0 * PAD).min(14.0)).right().draw();
        for &(pod, row) in &lane.pods {
            draw_pod(&mut canvas, &panel, &model.pods[pod], lane.node.is_none(), top + PAD + row as f64 * bar, bar, &colours);
        }
        if let Some(node) = lane.node {
            for (from, until) in model.nodes[node].not_ready(model.end) {
                canvas.rect(panel.x(from), bottom - 3.0, panel.x(until), bottom, palette::VERMILLION);
            }
        }
        top = bottom;
    }
    zone_names(report, &mut canvas, lanes, &panel, |lane| lane.rows.max(1) as f64 * bar + 2.0 * PAD);
    fault_lines(report, &panel, &mut canvas);
    labels.draw(&mut canvas, panel.top - 2.0, panel.top);
    panel.time_labels(&mut canvas);
    canvas
}

fn zone_names(report: &Report, canvas: &mut Canvas, lanes: &[Lane], panel: &Panel, height: impl Fn(&Lane) -> f64) {
    let zones = zones(report);
    let mut top = panel.top;
    for lane in lanes {
        if lane.first_of_zone {
            if top > panel.top {
                canvas.rect(MARGIN, top - 0.75, panel.right, top + 0.75, palette::BORDER);
            }
            let all: f64 = lanes.iter().filter(|other| other.zone == lane.zone).map(&height).sum();
            if let Some((name, _)) = zones.get(lane.zone).filter(|(name, _)| !name.is_empty()) {
                canvas.text(MARGIN, top + all / 2.0, &shorten(name, 12)).size(14.0).colour(palette::SUBTLE).bold().draw();
            }
        }
        top += height(lane);
    }
}

fn draw_pod(canvas: &mut Canvas, panel: &Panel, pod: &Pod, waiting: bool, top: f64, bar: f64, colours: &[Colour]) {
    let bound = pod.bound.map_or(panel.end, |(bound, _)| bound);
    let last = pod.removed.unwrap_or(panel.end);
    let (from, until) = if waiting { (pod.created, bound.min(last)) } else { (bound, last) };
    let colour = pod.workload.map_or(palette::OTHER, |workload| colours[workload]);
    let gap = if bar >= 6.0 { 1.0 } else { 0.5 };
    let (top, bottom) = (top + gap, top + bar - gap);
    for (index, &(since, state)) in pod.states.iter().enumerate() {
        let next = pod.states.get(index + 1).map_or(until, |&(next, _)| next);
        let (since, next) = (since.max(from), next.min(until));
        if next <= since {
            continue;
        }
        // What happened is seen, however short it was.
        let (left, right) = (panel.x(since), panel.x(next).max(panel.x(since) + 1.0));
        match state {
            PodState::Pending | PodState::Starting => canvas.hatch(left, top, right, bottom, colour.lighter(0.8), colour.lighter(0.35)),
            PodState::NotReady => canvas.hatch(left, top, right, bottom, palette::FAULT_BAND, palette::VERMILLION),
            PodState::Ready => canvas.rect(left, top, right, bottom, colour),
            PodState::Terminating => canvas.rect(left, top, right, bottom, palette::TERMINATING),
            PodState::Finished => canvas.rect(left, top, right, bottom, colour.lighter(0.65)),
        }
    }
    // A thin end keeps two pods in one row apart.
    let (left, right) = (panel.x(from), panel.x(until));
    if right - left > 4.0 {
        canvas.rect(left, top, left + 0.75, bottom, palette::BACKGROUND);
        canvas.rect(right - 0.75, top, right, bottom, palette::BACKGROUND);
    }
}

/// A colour for each workload (the ones with most pods get their own), and the legend.
fn legend(report: &Report) -> (Vec<Colour>, Vec<(Swatch, String)>) {
    let model = &report.model;
    let mut pods = vec![0usize; model.workloads.len()];
    let mut others = model.pods.iter().any(|pod| pod.workload.is_none());
    for workload in model.pods.iter().filter_map(|pod| pod.workload) {
        pods[workload] += 1;
    }
    let mut order: Vec<usize> = (0..pods.len()).filter(|&workload| pods[workload] > 0).collect();
    order.sort_by_key(|&workload| (std::cmp::Reverse(pods[workload]), workload));
    let mut colours = vec![palette::OTHER; pods.len()];
    let mut legend = Vec::new();
    for (place, &workload) in order.iter().enumerate() {
        match palette::WORKLOADS.get(place) {
            Some(&colour) => {
                colours[workload] = colour;
                legend.push((Swatch::Fill(colour), format!("{} ready", shorten(model.workloads[workload].key.name(), 20))));
            }
            None => others = true,
        }
    }
    if others {
        legend.push((Swatch::Fill(palette::OTHER), "other pods".to_string()));
    }
    let first = palette::BLUE;
    legend.push((Swatch::Hatch(first.lighter(0.8), first.lighter(0.35)), "starting".to_string()));
    legend.push((Swatch::Hatch(palette::FAULT_BAND, palette::VERMILLION), "no longer ready".to_string()));
    legend.push((Swatch::Fill(palette::TERMINATING), "terminating".to_string()));
    legend.push((Swatch::Line(palette::VERMILLION), "node not Ready".to_string()));
    if !model.faults().is_empty() {
        legend.push((Swatch::Fill(palette::FAULT_LANE), "fault".to_string()));
    }
    (colours, legend)
}

/// Ready pods a node, by bands of nodes.
fn heat_map(report: &Report) -> Canvas {
    const COLUMNS: usize = 600;
    let model = &report.model;
    let bands = bands(report, 48);
    let height = (720.0 / bands.len() as f64).clamp(8.0, 24.0).floor();
    let mut scratch = Canvas::new(WIDTH, 100.0);
    let mut panel = Panel {
        left: MARGIN + LABELS - 40.0,
        top: HEADER,
        right: WIDTH - MARGIN - 90.0,
        bottom: HEADER,
        start: model.start,
        end: model.end,
    };
    let labels = fault_labels(report, &panel, &mut scratch);
    panel.top += labels.height() + 4.0;
    panel.bottom = panel.top + bands.len() as f64 * height;
    let mut canvas = Canvas::new(WIDTH, panel.bottom + 62.0);

    let (ready, not_ready) = heat(report, &bands, COLUMNS);
    let nodes = |band: usize| bands[band].nodes.len() as f64;
    let most =
        (0..bands.len()).flat_map(|band| ready[band].iter().map(move |&pods| (band, pods))).map(|(band, pods)| pods as f64 / nodes(band));
    let most = most.fold(1.0, f64::max);
    let largest = bands.iter().map(|band| band.nodes.len()).max().unwrap_or(1);
    let what = if largest > 1 { format!("ready pods a node (each row is {} nodes)", largest) } else { "ready pods a node".to_string() };
    let legend = [
        (Swatch::Fill(Colour::heat(0.7)), what),
        (Swatch::Fill(palette::VERMILLION), "nodes not Ready (the stronger, the more of the row)".to_string()),
    ];
    header(&mut canvas, report, TITLE, &legend);
    for (band, (ready, not_ready)) in ready.iter().zip(&not_ready).enumerate() {
        let top = panel.top + band as f64 * height;
        // Neighbours of one colour are one rectangle.
        let colour = |column: usize| {
            let base = Colour::heat(ready[column] as f64 / nodes(band) / most);
            match not_ready[column] {
                0 => base,
                // One node of a hundred must be seen.
                some => base.mix(palette::VERMILLION, 0.45 + 0.55 * some as f64 / nodes(band)),
            }
        };
        let x = |column: usize| panel.left + (panel.right - panel.left) * column as f64 / COLUMNS as f64;
        let mut from = 0;
        for column in 1..=COLUMNS {
            if column == COLUMNS || colour(column) != colour(from) {
                canvas.rect(x(from), top, x(column), top + height - 1.0, colour(from));
                from = column;
            }
        }
    }
    zone_labels(report, &mut canvas, &bands, &panel, height);
    fault_lines(report, &panel, &mut canvas);
    labels.draw(&mut canvas, panel.top - 2.0, panel.top);
    colour_bar(&mut canvas, &panel, "0", &format!("{most:.0} pods"));
    panel.time_labels(&mut canvas);
    canvas
}

/// For each band and column of time: ready pods, and nodes that are not Ready. Differences first, then sums: linear in the pods.
fn heat(report: &Report, bands: &[Band], columns: usize) -> (Vec<Vec<i64>>, Vec<Vec<i64>>) {
    let model = &report.model;
    let mut band_of = vec![0; model.nodes.len()];
    for (band, nodes) in bands.iter().enumerate() {
        for &node in &nodes.nodes {
            band_of[node] = band;
        }
    }
    let whole = u128::from(model.end.since(model.start).nanos().max(1));
    let column = |at: Time| (u128::from(at.since(model.start).nanos()) * columns as u128 / whole) as usize;
    let mut ready = vec![vec![0i64; columns + 1]; bands.len()];
    let mut not_ready = vec![vec![0i64; columns + 1]; bands.len()];
    let add = |row: &mut Vec<i64>, from: Time, until: Time| {
        let from = column(from).min(columns);
        row[from] += 1;
        // The last column is that of the end: what lasts so long is not taken away.
        row[if until >= model.end { columns } else { column(until).max(from) }] -= 1;
    };
    for pod in &model.pods {
        let Some((_, node)) = pod.bound else { continue };
        for (index, &(since, state)) in pod.states.iter().enumerate() {
            if state == PodState::Ready {
                let until = pod.states.get(index + 1).map_or(model.end, |&(next, _)| next);
                add(&mut ready[band_of[node]], since, until);
            }
        }
    }
    for (index, node) in model.nodes.iter().enumerate() {
        for (from, until) in node.not_ready(model.end) {
            add(&mut not_ready[band_of[index]], from, until);
        }
    }
    for row in ready.iter_mut().chain(&mut not_ready) {
        let mut sum = 0;
        for cell in row.iter_mut() {
            sum += *cell;
            *cell = sum;
        }
    }
    (ready, not_ready)
}
