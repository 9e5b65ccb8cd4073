//! The pictures: drawn for a reader who has a glance. One palette that colour-blind readers can tell apart, the legend outside of the
//! data, units on every axis, faults in every picture.
//!
//! Floats are used for coordinates only. Pictures are drawn at twice their size in memory and averaged down, so that every edge is smooth.

pub mod axis;
pub mod canvas;
mod etcd;
mod placement;
mod recovery;
pub mod study;
mod traffic;
mod utilisation;

use std::io;
use std::path::Path;

use super::{Exporter, Report};
use axis::{Panel, Stagger};
use canvas::{Canvas, Colour, HEADER, MARGIN, Swatch, WIDTH, palette};

/// A picture: its file, and what draws it.
struct Picture {
    file: &'static str,
    applies: fn(&Report) -> bool,
    draw: fn(&Report) -> Canvas,
}

const PICTURES: [Picture; 7] = [
    Picture { file: "placement.png", applies: |report| report.has_cluster(), draw: placement::draw },
    Picture { file: "recovery.png", applies: |report| report.has_cluster(), draw: recovery::draw },
    Picture { file: "utilisation.png", applies: |report| report.has_cluster(), draw: utilisation::draw },
    Picture { file: "etcd.png", applies: |report| report.has_cluster(), draw: etcd::draw },
    Picture { file: "traffic.png", applies: |report| report.has_cluster(), draw: traffic::draw },
    Picture { file: "clients.png", applies: |report| report.has_clients(), draw: traffic::draw_clients },
    Picture { file: "allocation.png", applies: |report| report.study().is_some(), draw: study::draw_run },
];

pub fn exporters() -> Vec<Box<dyn Exporter>> {
    PICTURES.into_iter().map(|picture| Box::new(picture) as Box<dyn Exporter>).collect()
}

impl Exporter for Picture {
    fn file(&self) -> &'static str {
        self.file
    }
    fn applies(&self, report: &Report) -> bool {
        (self.applies)(report)
    }
    fn export(&self, report: &Report, path: &Path) -> io::Result<()> {
        (self.draw)(report).save(path)
    }
}

/// Title, the run it is of, and the legend.
fn header(canvas: &mut Canvas, report: &Report, title: &str, legend: &[(Swatch, String)]) {
    let model = &report.model;
    let scenario = &model.record.scenario;
    canvas.text(MARGIN, 34.0, title).size(25.0).bold().draw();
    let zones = zones(report).len();
    let mut subtitle = format!("{}  ·  seed {}  ·  ", scenario.name, scenario.seed);
    if report.has_nodes() {
        subtitle.push_str(&count(model.nodes.len(), "node"));
        if zones > 1 {
            subtitle.push_str(&format!(" in {zones} zones"));
        }
        subtitle.push_str(&format!("  ·  {}", count(model.pods.len(), "pod")));
    } else {
        subtitle.push_str(&count(scenario.etcd_members.into(), "etcd member"));
    }
    canvas.text(MARGIN, 62.0, &subtitle).size(15.0).colour(palette::SUBTLE).draw();
    let mut x = MARGIN;
    for (swatch, label) in legend {
        canvas.swatch(x, 90.0, swatch);
        x += 28.0 + canvas.text(x + 28.0, 90.0, label).size(14.0).colour(palette::SUBTLE).draw() + 24.0;
    }
}

/// `1 pod`, `10 pods`, `150,000 pods`.
pub fn count(number: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(number as u64), if number == 1 { "" } else { "s" })
}

/// `150,000`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Zones in the order in which they first appear, with their nodes.
fn zones<'r>(report: &Report<'r>) -> Vec<(&'r str, Vec<usize>)> {
    let mut zones: Vec<(&str, Vec<usize>)> = Vec::new();
    let mut index: std::collections::BTreeMap<&str, usize> = Default::default();
    for (at, node) in report.model.nodes.iter().enumerate() {
        let zone = *index.entry(node.zone).or_insert_with(|| {
            zones.push((node.zone, Vec::new()));
            zones.len() - 1
        });
        zones[zone].1.push(at);
    }
    zones
}

/// The instants of faults above a panel, with what they are: how many rows of labels, and the labels.
fn fault_labels(report: &Report, panel: &Panel, canvas: &mut Canvas) -> Stagger {
    let mut labels = Stagger::default();
    let faults = report.model.faults();
    for (number, fault) in faults.iter().enumerate().filter(|(_, fault)| fault.at <= report.model.end) {
        // Many faults are told by number; events.csv has their words.
        let text = if faults.len() <= 6 { shorten(&fault.description, 60) } else { format!("{}", number + 1) };
        labels.push(canvas, panel, fault.at, &text, palette::FAULT);
    }
    labels
}

/// Bands in which faults last, over the height of a panel.
fn fault_bands(report: &Report, panel: &Panel, canvas: &mut Canvas) {
    for fault in report.model.faults().iter().filter(|fault| fault.at <= report.model.end) {
        let (from, until) = (panel.x(fault.at), panel.x(fault.end(report.model.end)));
        canvas.rect(from, panel.top, until.max(from + 1.0), panel.bottom, palette::FAULT_BAND);
    }
}

/// The lines at which faults begin; drawn over the data.
fn fault_lines(report: &Report, panel: &Panel, canvas: &mut Canvas) {
    for fault in report.model.faults().iter().filter(|fault| fault.at <= report.model.end) {
        let x = panel.x(fault.at);
        canvas.line(&[(x, panel.top), (x, panel.bottom)], palette::FAULT, 1.5);
    }
}

/// What is drawn where there is nothing to draw: the file is there for every run, and says why it is empty.
fn nothing(report: &Report, title: &str, why: &str) -> Canvas {
    let mut canvas = Canvas::new(WIDTH, 320.0);
    header(&mut canvas, report, title, &[]);
    canvas.text(WIDTH / 2.0, HEADER + 90.0, why).size(18.0).colour(palette::SUBTLE).centre().draw();
    canvas
}

/// The text, or its beginning and an ellipsis: at most so many letters.
pub fn shorten(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_string();
    }
    text.chars().take(length - 1).chain(['…']).collect()
}

/// A row of a heat map: nodes side by side.
struct Band {
    nodes: Vec<usize>,
    /// Where a zone begins.
    first_of_zone: bool,
    zone: usize,
}

/// Cuts the nodes, zone by zone, into at most about `rows` bands of as many nodes each.
fn bands(report: &Report, rows: usize) -> Vec<Band> {
    let zones = zones(report);
    let size = report.model.nodes.len().div_ceil(rows).max(1);
    let cut = |(zone, (_, nodes)): (usize, &(&str, Vec<usize>))| -> Vec<Band> {
        nodes.chunks(size).enumerate().map(|(at, nodes)| Band { nodes: nodes.to_vec(), first_of_zone: at == 0, zone }).collect()
    };
    zones.iter().enumerate().flat_map(cut).collect()
}

/// Zone names beside the bands of a heat map, and a line between zones.
fn zone_labels(report: &Report, canvas: &mut Canvas, bands: &[Band], panel: &Panel, band_height: f64) {
    let zones = zones(report);
    for (at, band) in bands.iter().enumerate().filter(|(_, band)| band.first_of_zone) {
        let y = panel.top + at as f64 * band_height;
        if at > 0 {
            canvas.rect(panel.left, y - 1.0, panel.right, y + 1.0, palette::BACKGROUND);
        }
        let (name, nodes) = &zones[band.zone];
        let height = bands.iter().filter(|other| other.zone == band.zone).count() as f64 * band_height;
        let name = shorten(if name.is_empty() { "no zone" } else { name }, 16);
        if bands.len() == report.model.nodes.len() {
            // A row a node: the nodes have their names beside the rows, the zone is further out.
            canvas.text(MARGIN, y + height / 2.0, &name).size(14.0).colour(palette::SUBTLE).bold().draw();
            continue;
        }
        let (first, second) = (y + height / 2.0 - 9.0, y + height / 2.0 + 9.0);
        canvas.text(panel.left - 12.0, first, &name).size(14.0).right().draw();
        canvas.text(panel.left - 12.0, second, &count(nodes.len(), "node")).size(12.0).colour(palette::SUBTLE).right().draw();
    }
    if bands.len() == report.model.nodes.len() {
        for (at, band) in bands.iter().enumerate() {
            let y = panel.top + (at as f64 + 0.5) * band_height;
            let name = shorten(report.model.nodes[band.nodes[0]].name, 14);
            canvas.text(panel.left - 10.0, y, &name).size(band_height.min(13.0)).right().draw();
        }
    }
}

/// A scale of colours beside a heat map.
fn colour_bar(canvas: &mut Canvas, panel: &Panel, low: &str, high: &str) {
    let (left, right) = (panel.right + 14.0, panel.right + 28.0);
    let steps = 60;
    let height = (panel.bottom - panel.top).min(180.0);
    for step in 0..steps {
        let share = (f64::from(step) + 0.5) / f64::from(steps);
        let bottom = panel.top + height * (1.0 - f64::from(step) / f64::from(steps));
        canvas.rect(left, bottom - height / f64::from(steps), right, bottom, Colour::heat(share));
    }
    canvas.text(right + 6.0, panel.top + 5.0, high).size(12.0).colour(palette::SUBTLE).draw();
    canvas.text(right + 6.0, panel.top + height - 5.0, low).size(12.0).colour(palette::SUBTLE).draw();
}

#[cfg(test)]
pub fn placement(report: &Report) -> Canvas {
    placement::draw(report)
}
