//! `sim bench`: how fast this machine runs it, beside references measured in the same run and recorded figures of other programs.
//!
//! All rates are per CPU second, the best of five. What is measured on the way up: scheduling decisions, the event queue alone, the loop
//! with the simulated host beneath actors that do nothing, a store under load, whole clusters.

mod cluster;
mod engine;
mod etcd;
mod measure;
mod queue;
mod scheduling;

use std::fmt::Write;

use clap::Args;
use cluster::Start;
use serde::Serialize;

use super::{Outcome, complain, say};
use crate::base::Duration;
use crate::models::distribution::Distribution;

/// How fast this machine runs it, beside a reference measured in the same run.
#[derive(Args)]
pub struct Bench {
    /// A tenth of the work and the smallest cluster only.
    #[arg(long)]
    quick: bool,
    /// Measure a cluster of this many nodes (30 pods each), once running at the start and once brought up. May be given again; 0: none.
    /// Without it 100, 1,000 and 5,000.
    #[arg(long, value_name = "NODES")]
    cluster: Vec<u32>,
    /// Change a field of the clusters' scenario: duration=5m. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Measure scheduling decisions only.
    #[arg(long, conflicts_with_all = ["cluster", "set"])]
    scheduling: bool,
    /// Print JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Be the process that plays one cluster.
    #[arg(long, hide = true)]
    child: Option<u32>,
    /// Be the process that plays one store.
    #[arg(long, hide = true)]
    child_etcd: Option<usize>,
}

/// All that was measured.
#[derive(Serialize)]
struct Figures {
    /// Millions a CPU second.
    calibration_steps: f64,
    calibration_reads: f64,
    queue: Vec<queue::Hold>,
    engine: Vec<engine::Rate>,
    scheduling: Vec<scheduling::Rate>,
    stores: Vec<etcd::Store>,
    clusters: Vec<cluster::Cluster>,
    recorded: &'static [Recorded],
}

/// A figure of another program that cannot be run here: measured once on a shared two-core machine under load, medians of five.
#[derive(Serialize)]
struct Recorded {
    program: &'static str,
    what: &'static str,
    figure: &'static str,
}

const RECORDED: &[Recorded] = &[
    Recorded { program: "DSLab core", what: "ping-pong / 1,000 / 100,000 timers", figure: "17 / 7.9 / 0.72 M events/CPU s" },
    Recorded { program: "SimCore", what: "ping-pong / 1,000 / 100,000 timers", figure: "30 / 10.8 / 1.06 M events/CPU s" },
    Recorded {
        program: "NeXosim 1.0, one thread",
        what: "timed ping-pong / 1,000 / 100,000 timers",
        figure: "2.9 / 1.19 / 0.30 M events/CPU s",
    },
    Recorded { program: "kubernetriks", what: "1,000 nodes, 100,000 pods over 12,000 s", figure: "32.7 CPU s, 499 MB" },
    Recorded { program: "kubernetriks", what: "5,000 nodes, 150,000 pods running at once", figure: "307 CPU s, 753 MB" },
];

impl Bench {
    pub fn run(self) -> Outcome {
        fn tell<T: Serialize>(played: Result<T, Vec<crate::scenario::InputError>>) -> Outcome {
            match played {
                Ok(figures) => {
                    say(&serde_json::to_string(&figures).expect("figures can be written"));
                    Outcome::Held
                }
                Err(errors) => complain(&errors),
            }
        }
        if let Some(nodes) = self.child {
            return tell(cluster::play(nodes, &self.set));
        }
        if let Some(number) = self.child_etcd.filter(|number| *number < etcd::SIZES.len()) {
            return tell(etcd::play(number));
        }
        if cfg!(debug_assertions) {
            eprintln!("warning: this is a debug build: its figures say nothing about a release build");
        }
        let figures = self.measure();
        let complete = figures.clusters.len() == self.clusters().len()
            && figures.clusters.iter().all(|cluster| cluster.held)
            && figures.stores.len() == self.stores()
            && figures.stores.iter().all(|store| store.held);
        if self.json {
            say(&(serde_json::to_string_pretty(&figures).expect("figures can be written") + "\n"));
        } else {
            say(&figures.tables());
        }
        if complete { Outcome::Held } else { Outcome::Failed }
    }

    fn clusters(&self) -> Vec<(Start, u32)> {
        let sizes = match (self.cluster.as_slice(), self.quick) {
            _ if self.scheduling => &[],
            ([], true) => &[100][..],
            ([], false) => &[100, 1_000, 5_000],
            (sizes, _) => sizes,
        };
        let all = |start| sizes.iter().filter(|nodes| **nodes > 0).map(move |nodes| (start, *nodes));
        all(Start::Running).chain(all(Start::Empty)).collect()
    }

    /// How many sizes of the store.
    fn stores(&self) -> usize {
        if self.scheduling {
            return 0;
        }
        if self.quick { 1 } else { etcd::SIZES.len() }
    }

    fn measure(&self) -> Figures {
        let quick = self.quick;
        let step = |what: &str| eprintln!("measuring {what}");
        step("this machine");
        let calibration = measure::calibrate(quick);
        let mut scheduling = Vec::new();
        for nodes in scheduling::SIZES.into_iter().filter(|nodes| !quick || *nodes <= 1_000) {
            step(&format!("scheduling decisions with {nodes} nodes"));
            scheduling.extend(scheduling::ASKS.map(|ask| scheduling::measure(nodes, ask, quick)));
        }
        if self.scheduling {
            return Figures {
                calibration_steps: calibration.steps,
                calibration_reads: calibration.reads,
                queue: Vec::new(),
                engine: Vec::new(),
                scheduling,
                stores: Vec::new(),
                clusters: Vec::new(),
                recorded: &[],
            };
        }
        let hold = |pending: usize| {
            step(&format!("the event queue with {pending} pending"));
            queue::hold(pending, quick)
        };
        let queue = [10, 1_000, 100_000, 1_000_000].map(hold).into();
        step("the loop");
        let millisecond = Duration::from_millis(1);
        let engine = vec![
            engine::ping_pong("ping-pong, constant latency", Distribution::Constant(millisecond), quick),
            engine::ping_pong("ping-pong, drawn latency", Distribution::LogNormal { median: millisecond, sigma: 0.2 }, quick),
            engine::timers("1,000 timers", 1_000, quick),
            engine::timers("100,000 timers", 100_000, quick),
        ];
        let store = |number: usize| {
            step(&format!("a store under load, {}", etcd::SIZES[number].name));
            etcd::measure(number, quick)
        };
        let stores = (0..self.stores()).filter_map(store).collect();
        let cluster = |(start, nodes): (Start, u32)| {
            let begins = if start == Start::Running { "that runs at the start" } else { "that is brought up" };
            step(&format!("a cluster of {nodes} nodes and {} pods {begins}", nodes * 30));
            cluster::measure(nodes, start, &self.set)
        };
        let clusters = self.clusters().into_iter().filter_map(cluster).collect();
        Figures {
            calibration_steps: calibration.steps,
            calibration_reads: calibration.reads,
            queue,
            engine,
            scheduling,
            stores,
            clusters,
            recorded: RECORDED,
        }
    }
}

impl Figures {
    fn tables(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text);
        text
    }
    fn write(&self, text: &mut String) -> std::fmt::Result {
        let (steps, reads) = (self.calibration_steps, self.calibration_reads);
        writeln!(text, "this machine: {steps:.0} M dependent integer steps, {reads:.1} M uncached reads per CPU second\n")?;
        self.write_loops(text)?;
        self.write_scheduling(text)?;
        if !self.stores.is_empty() {
            writeln!(text, "\nbench-etcd, 3 members, 1,000 clients    revisions    CPU s  writes/CPU s  peak MiB  bytes/revision  held")?;
        }
        for etcd::Store { name, revisions, cpu_seconds, peak_bytes, held, .. } in &self.stores {
            let (rate, peak) = (*revisions as f64 / cpu_seconds, *peak_bytes as f64 / f64::from(1 << 20));
            let (each, held) = (*peak_bytes as f64 / (*revisions).max(1) as f64, if *held { "yes" } else { "no" });
            writeln!(text, "  {name:<36} {revisions:>10} {cpu_seconds:>8.2} {rate:>13.0} {peak:>9.0} {each:>15.0}  {held:>4}")?;
        }
        if !self.clusters.is_empty() {
            writeln!(text, "\nbench-cluster  start    nodes     pods  virtual s    CPU s  M events  M events/CPU s  peak MiB  held")?;
        }
        for one in &self.clusters {
            let events = one.events as f64 / 1e6;
            let start = if one.start == Start::Running { "running" } else { "empty" };
            let (nodes, pods, seconds, cpu) = (one.nodes, one.pods, one.virtual_seconds, one.cpu_seconds);
            let (rate, peak, held) = (events / cpu, one.peak_bytes as f64 / f64::from(1 << 20), if one.held { "yes" } else { "no" });
            writeln!(
                text,
                "               {start:<7} {nodes:>6} {pods:>8} {seconds:>10} {cpu:>8.2} {events:>9.2} {rate:>15.2} {peak:>9.0}  {held:>4}"
            )?;
        }
        if !self.recorded.is_empty() {
            writeln!(text, "\nrecorded figures of other programs (a shared two-core machine under load; not measured here)")?;
        }
        for Recorded { program, what, figure } in self.recorded {
            writeln!(text, "  {program:<24} {what:<42} {figure}")?;
        }
        Ok(())
    }

    fn write_loops(&self, text: &mut String) -> std::fmt::Result {
        if self.queue.is_empty() {
            return Ok(());
        }
        writeln!(text, "event queue, hold model      M pairs/CPU s   BinaryHeap    ratio")?;
        for queue::Hold { pending, queue, binary_heap } in &self.queue {
            let name = format!("{pending} pending");
            writeln!(text, "  {name:<26} {queue:>13.1} {binary_heap:>12.1} {:>8.2}", queue / binary_heap)?;
        }
        writeln!(text, "\nloop and host               M events/CPU s")?;
        for engine::Rate { name, events } in &self.engine {
            writeln!(text, "  {name:<28} {events:>11.2}")?;
        }
        writeln!(text)
    }

    fn write_scheduling(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "scheduling, all nodes scored              nodes   pods/CPU s   kube-scheduler   ratio")?;
        for scheduling::Rate { nodes, pods, rate, recorded } in &self.scheduling {
            let (recorded, ratio) = match recorded {
                None => ("-".to_owned(), "-".to_owned()),
                Some(recorded) => (format!("{recorded:.0}"), format!("{:.0}", rate / recorded)),
            };
            writeln!(text, "  {pods:<36} {nodes:>8} {rate:>12.0} {recorded:>16} {ratio:>7}")?;
        }
        Ok(())
    }
}
