//! What the scheduler alone came to: tables in the layout of the study's result files, the lines for a terminal, figures for programs.
//!
//! `allocation.csv` and `fragmentation.csv` have a column for each per cent of all GPUs that was asked for, and per cent of all GPUs in them:
//! those in use, those that are free and of no use. `unplaced.csv` groups the pods that found no node; `placements.csv` has every pod in the
//! order of arrival.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::picture::{count, grouped};
use super::{Exporter, Report};
use crate::engine::record::{Column, Curve, Results, Unplaced};
use crate::scheduler::policies::Devices;

/// A run's row in a table.
#[derive(Clone, Copy)]
pub struct Row<'r> {
    pub workload: &'r str,
    pub label: &'r str,
    pub load_per_mille: u64,
    pub seed: u64,
    pub gpus: u64,
    pub curve: &'r Curve,
}

impl<'r> Row<'r> {
    pub fn of(results: &'r Results, seed: u64) -> Row<'r> {
        let Results { workload, label, load_per_mille, gpus, curve, .. } = results;
        Row { workload, label, load_per_mille: *load_per_mille, seed, gpus: *gpus, curve }
    }
}

/// `allocation.csv`.
pub fn allocation(rows: &[Row]) -> Vec<u8> {
    table(rows, true, |column| column.allocation)
}
/// `fragmentation.csv`.
pub fn fragmentation(rows: &[Row]) -> Vec<u8> {
    table(rows, false, |column| column.fragment)
}

fn table(rows: &[Row], with_gpus: bool, value: fn(&Column) -> Option<u32>) -> Vec<u8> {
    let columns = rows.iter().map(|row| row.curve.columns.len()).max().unwrap_or(0);
    let mut header: Vec<String> = ["workload", "sc_policy", "tune", "seed"].map(str::to_owned).to_vec();
    header.extend(with_gpus.then(|| "total_gpus".to_owned()));
    header.extend((0..columns).map(|percent| percent.to_string()));
    let body = rows.iter().map(|row| {
        let mut cells = vec![row.workload.to_owned(), row.label.to_owned(), decimal(row.load_per_mille, 3), row.seed.to_string()];
        cells.extend(with_gpus.then(|| row.gpus.to_string()));
        let cell = |column: usize| row.curve.columns.get(column).and_then(value).map_or_else(String::new, |v| decimal(u64::from(v), 2));
        cells.extend((0..columns).map(cell));
        cells
    });
    csv_of(std::iter::once(header).chain(body))
}

fn csv_of(rows: impl Iterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for cells in rows {
        writer.write_record(cells).expect("rows of one length can be written to memory");
    }
    writer.into_inner().expect("memory can be written")
}

/// With as few digits as say it, but one at least: `90.0`, `1.25`.
fn decimal(value: u64, digits: u32) -> String {
    let scale = 10u64.pow(digits);
    let fraction = format!("{:0width$}", value % scale, width = digits as usize);
    let fraction = fraction.trim_end_matches('0');
    format!("{}.{}", value / scale, if fraction.is_empty() { "0" } else { fraction })
}

/// A file of a study.
struct File {
    name: &'static str,
    bytes: fn(&Results, u64) -> Vec<u8>,
}

const FILES: [File; 4] = [
    File { name: "allocation.csv", bytes: |results, seed| allocation(&[Row::of(results, seed)]) },
    File { name: "fragmentation.csv", bytes: |results, seed| fragmentation(&[Row::of(results, seed)]) },
    File { name: "unplaced.csv", bytes: |results, _| unplaced(results) },
    File { name: "placements.csv", bytes: |results, _| placements(results) },
];

pub fn exporters() -> Vec<Box<dyn Exporter>> {
    FILES.into_iter().map(|file| Box::new(file) as Box<dyn Exporter>).collect()
}

impl Exporter for File {
    fn file(&self) -> &'static str {
        self.name
    }
    fn applies(&self, report: &Report) -> bool {
        report.study().is_some()
    }
    fn export(&self, report: &Report, path: &Path) -> io::Result<()> {
        let results = report.study().ok_or_else(|| io::Error::other("the run is no study"))?;
        std::fs::write(path, (self.bytes)(results, report.model.record.scenario.seed))
    }
}

fn unplaced(results: &Results) -> Vec<u8> {
    let header = ["cpu_milli", "num_gpu", "gpu_milli", "num_pod"].map(str::to_owned).to_vec();
    let row = |group: &Unplaced| [group.cpu_milli, group.gpus, group.gpu_milli, group.pods].map(|number| number.to_string()).to_vec();
    csv_of(std::iter::once(header).chain(results.unplaced.iter().map(row)))
}

fn placements(results: &Results) -> Vec<u8> {
    let header = ["number", "pod", "node", "gpus"].map(str::to_owned).to_vec();
    let body = results.placements.iter().enumerate().map(|(number, placement)| {
        let gpus: Vec<String> = Devices(placement.devices).iter().map(|gpu| gpu.to_string()).collect();
        let node = placement.node.as_ref().map_or_else(String::new, ToString::to_string);
        vec![(number + 1).to_string(), placement.pod.to_string(), node, gpus.join("-")]
    });
    csv_of(std::iter::once(header).chain(body))
}

/// What `summary.json` has of a study. Shares are in per cent.
#[derive(Serialize)]
pub struct Figures<'r> {
    workload: &'r str,
    policy: &'r str,
    /// The scheduler was played, and nothing else of a cluster.
    scheduler_alone: bool,
    order_drawn: bool,
    nodes: u64,
    gpus: u64,
    pods: usize,
    placed: usize,
    /// GPUs that were asked for, and that are in use.
    gpus_arrived: f64,
    gpus_used: f64,
    /// By arrived per cent.
    allocation: Vec<Option<f64>>,
    fragmentation: Vec<Option<f64>>,
}

pub fn figures(results: &Results) -> Figures<'_> {
    let percent = |value: fn(&Column) -> Option<u32>| -> Vec<Option<f64>> {
        results.curve.columns.iter().map(|column| value(column).map(|hundredths| f64::from(hundredths) / 100.0)).collect()
    };
    Figures {
        workload: &results.workload,
        policy: &results.policy,
        scheduler_alone: true,
        order_drawn: results.drawn,
        nodes: results.nodes,
        gpus: results.gpus,
        pods: results.placements.len(),
        placed: placed(results),
        gpus_arrived: results.arrived_milli as f64 / 1000.0,
        gpus_used: results.used_milli as f64 / 1000.0,
        allocation: percent(|column| column.allocation),
        fragmentation: percent(|column| column.fragment),
    }
}

fn placed(results: &Results) -> usize {
    results.placements.iter().filter(|placement| placement.node.is_some()).count()
}

/// Arrived loads of which a terminal is told: every tenth per cent from half of the GPUs on, 85 and 95, and the last.
pub fn told(columns: usize) -> Vec<usize> {
    let last = columns.saturating_sub(1);
    let mut told: Vec<usize> = (50..last).filter(|percent| percent % 10 == 0 || [85, 95].contains(percent)).collect();
    told.push(last);
    told
}

/// `95.30`, or `-` where there is nothing.
pub fn percent(hundredths: Option<u32>) -> String {
    hundredths.map_or_else(|| "-".to_owned(), |value| format!("{}.{:02}", value / 100, value % 100))
}

/// The lines between the head and the expectations.
pub fn text(results: &Results) -> String {
    let order = if results.drawn { "drawn from the seed by the study's protocol" } else { "as the order file says" };
    let mut text = format!(
        "  the scheduler alone, without a control plane and without time: pods arrive one after the other and stay\n  policy {}, {} with {}, {} of {}, order {order}\n\n",
        results.policy,
        count(results.nodes as usize, "node"),
        count(results.gpus as usize, "GPU"),
        count(results.placements.len(), "pod"),
        results.workload,
    );
    text.push_str("  GPUs asked for    in use    free and of no use   (per cent of all)\n");
    for at in told(results.curve.columns.len()) {
        let column = results.curve.columns.get(at).copied().unwrap_or_default();
        let (allocation, fragment) = (percent(column.allocation), percent(column.fragment));
        text.push_str(&format!("  {at:>14}  {allocation:>8}  {fragment:>20}\n"));
    }
    let placed = placed(results);
    let rest = results.placements.len() - placed;
    text.push_str(&format!("\n  {} placed, {} found no node", count(placed, "pod"), grouped(rest as u64)));
    if let Some(most) = results.unplaced.first() {
        let gpus = match (most.gpus, most.gpu_milli) {
            (0, _) => "no GPU".to_owned(),
            (1, 1000) => "a GPU".to_owned(),
            (1, milli) => format!("{milli}/1000 of a GPU"),
            (gpus, _) => format!("{gpus} GPUs"),
        };
        let cores = decimal(most.cpu_milli, 3);
        text.push_str(&format!(": {} of them asked for {gpus} and {cores} cores", grouped(most.pods)));
    }
    text.push('\n');
    text
}
