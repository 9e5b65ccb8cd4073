//! `utilisation.png`: CPU and memory that pods request, of the cluster and of each node.

use super::axis::{Panel, round_up};
use super::canvas::{Canvas, Colour, HEADER, Swatch, WIDTH, palette};
use super::{bands, colour_bar, fault_labels, fault_lines, grouped, header, nothing, shorten, zone_labels};
use crate::engine::record::Sample;
use crate::report::Report;

const TITLE: &str = "What the pods requested of the nodes";
/// Up to so many nodes have a row each, with their names.
const MOST_ROWS: usize = 40;
const COLUMNS: usize = 300;

/// CPU or memory: how to read it from a sample and a node, and how to show it.
struct Resource {
    name: &'static str,
    unit: &'static str,
    divisor: f64,
    requested: fn(&(u32, i64, i64)) -> i64,
    capacity: fn(&crate::report::model::Node) -> i64,
    colour: Colour,
}

const RESOURCES: [Resource; 2] = [
    Resource {
        name: "CPU",
        unit: "cores",
        divisor: 1000.0,
        requested: |&(_, cpu, _)| cpu,
        capacity: |node| node.cpu_milli,
        colour: palette::BLUE,
    },
    Resource {
        name: "Memory",
        unit: "GiB",
        divisor: 1_073_741_824.0,
        requested: |&(_, _, memory)| memory,
        capacity: |node| node.memory_bytes,
        colour: palette::GREEN,
    },
];

pub fn draw(report: &Report) -> Canvas {
    let model = &report.model;
    if model.record.samples.is_empty() || model.nodes.is_empty() {
        return nothing(report, TITLE, "Nothing was sampled.");
    }
    let rows = bands(report, if model.nodes.len() <= MOST_ROWS { model.nodes.len() } else { 36 });
    let row_height = (430.0 / rows.len() as f64).clamp(10.0, 26.0).floor();
    const LEFT: f64 = 130.0;
    const BAR: f64 = 90.0;
    let half = WIDTH / 2.0;
    let mut scratch = Canvas::new(WIDTH, 100.0);
    let column = |index: usize, top: f64, bottom: f64| Panel {
        left: half * index as f64 + LEFT,
        top,
        right: half * (index + 1) as f64 - BAR,
        bottom,
        start: model.start,
        end: model.end,
    };
    let labels = fault_labels(report, &column(0, 0.0, 0.0), &mut scratch);
    let top = HEADER + 34.0 + labels.height();
    let total_bottom = top + 220.0;
    let rows_top = total_bottom + 62.0;
    let rows_bottom = rows_top + rows.len() as f64 * row_height;
    let mut canvas = Canvas::new(WIDTH, rows_bottom + 62.0);
    let legend = [
        (Swatch::Fill(palette::BLUE.lighter(0.6)), "CPU requested".to_string()),
        (Swatch::Fill(palette::GREEN.lighter(0.6)), "memory requested".to_string()),
        (Swatch::Dashes(palette::TEXT), "allocatable on all nodes".to_string()),
        (Swatch::Dashes(palette::VERMILLION), "allocatable on nodes that are Ready".to_string()),
    ];
    header(&mut canvas, report, TITLE, &legend);
    for (index, resource) in RESOURCES.iter().enumerate() {
        let total = column(index, top, total_bottom);
        let caption = format!("{} of the cluster, {}", resource.name, resource.unit);
        canvas.text(total.left, HEADER + 8.0, &caption).size(15.0).bold().draw();
        cluster(report, &mut canvas, &total, resource);
        fault_lines(report, &total, &mut canvas);
        fault_labels(report, &total, &mut scratch).draw(&mut canvas, total.top - 6.0, total.top);

        let map = column(index, rows_top, rows_bottom);
        let each = if rows.len() == model.nodes.len() { "of each node" } else { "of groups of nodes" };
        map.caption(&mut canvas, &format!("{} {each}, requested share of allocatable", resource.name));
        for (row, band) in rows.iter().enumerate() {
            let row_top = map.top + row as f64 * row_height;
            heat_row(report, &mut canvas, &map, row_top, row_height, &band.nodes, resource);
            if rows.len() == model.nodes.len() {
                let name = shorten(model.nodes[band.nodes[0]].name, 15);
                canvas.text(map.left - 10.0, row_top + row_height / 2.0, &name).size(row_height.min(13.0)).right().draw();
            }
        }
        if rows.len() != model.nodes.len() {
            zone_labels(report, &mut canvas, &rows, &map, row_height);
        }
        fault_lines(report, &map, &mut canvas);
        colour_bar(&mut canvas, &map, "0 %", "100 %");
        map.time_labels(&mut canvas);
    }
    canvas
}

/// Requested of all nodes as an area, allocatable as a line.
fn cluster(report: &Report, canvas: &mut Canvas, panel: &Panel, resource: &Resource) {
    let model = &report.model;
    let samples = &model.record.samples;
    let capacity = model.nodes.iter().map(resource.capacity).sum::<i64>() as f64 / resource.divisor;
    let requested = |sample: &Sample| sample.nodes.iter().map(resource.requested).sum::<i64>() as f64 / resource.divisor;
    let most = round_up(samples.iter().map(requested).fold(capacity, f64::max) * 1.05);
    panel.ground(canvas);
    super::fault_bands(report, panel, canvas);
    panel.time_grid(canvas);
    panel.value_axis(canvas, most, |value| if value >= 10.0 || value == 0.0 { grouped(value as u64) } else { format!("{value:.1}") });
    let mut line = Vec::new();
    for (index, sample) in samples.iter().enumerate() {
        let (from, until) = (panel.x(sample.at), panel.x(samples.get(index + 1).map_or(model.end, |next| next.at)));
        let y = panel.y(requested(sample), most);
        canvas.rect(from, y, until, panel.bottom, resource.colour.lighter(0.6));
        line.extend([(from, y), (until, y)]);
    }
    canvas.line(&line, resource.colour, 2.0);
    let y = panel.y(capacity, most);
    canvas.dashes(&[(panel.left, y), (panel.right, y)], palette::TEXT, 1.5);
    ready_capacity(report, canvas, panel, resource, most);
    canvas.rect(panel.left, panel.bottom, panel.right, panel.bottom + 1.0, palette::BORDER);
}

/// What the nodes that are not known as not Ready can hold.
fn ready_capacity(report: &Report, canvas: &mut Canvas, panel: &Panel, resource: &Resource, most: f64) {
    let model = &report.model;
    let mut changes: Vec<(crate::base::Time, i64)> = Vec::new();
    for node in &model.nodes {
        for (from, until) in node.not_ready(model.end) {
            changes.extend([(from, -(resource.capacity)(node)), (until, (resource.capacity)(node))]);
        }
    }
    if changes.is_empty() {
        return;
    }
    changes.sort_unstable();
    let mut capacity: i64 = model.nodes.iter().map(resource.capacity).sum();
    let mut points = vec![(panel.left, panel.y(capacity as f64 / resource.divisor, most))];
    for (at, change) in changes.into_iter().filter(|&(at, _)| at < model.end) {
        let x = panel.x(at);
        points.push((x, points.last().expect("begins with one").1));
        capacity += change;
        points.push((x, panel.y(capacity as f64 / resource.divisor, most)));
    }
    points.push((panel.right, points.last().expect("begins with one").1));
    canvas.dashes(&points, palette::VERMILLION, 1.5);
}

/// Requested share of allocatable, of some nodes together, over time.
fn heat_row(report: &Report, canvas: &mut Canvas, panel: &Panel, top: f64, height: f64, nodes: &[usize], resource: &Resource) {
    let model = &report.model;
    let samples = &model.record.samples;
    let capacity: i64 = nodes.iter().map(|&node| (resource.capacity)(&model.nodes[node])).sum();
    let share = |sample: &Sample| {
        let requested: i64 = nodes.iter().filter_map(|&node| sample.nodes.get(node)).map(resource.requested).sum();
        requested as f64 / capacity.max(1) as f64
    };
    canvas.rect(panel.left, top, panel.right, top + height - 1.0, Colour::heat(0.0));
    // No more samples than columns are looked at.
    let stride = samples.len().div_ceil(COLUMNS).max(1);
    for at in (0..samples.len()).step_by(stride) {
        let (from, until) = (panel.x(samples[at].at), panel.x(samples.get(at + stride).map_or(model.end, |next| next.at)));
        canvas.rect(from, top, until, top + height - 1.0, Colour::heat(share(&samples[at])));
    }
}
