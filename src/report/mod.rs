//! Floor 7: a [`Record`] to CSV, JSON, PNG and text. This room never sees a cluster or a plan: a report can be made again from a saved
//! record without a new run (`sim report`).
//!
//! [`write_all`] writes the files of the contract into a folder. Every file is written whole or not at all ([`files`]), holds no wall
//! time, host name or path, and is the same, byte for byte, for the same record. Times are seconds since the start of the run, cut to
//! microseconds by integer arithmetic. [`text`] is what a terminal shows; [`timeline`] heads it; [`saved`] keeps the record
//! itself; [`story`] tells of one object, with causes.
//!
//! Inside: [`model`] makes timelines of the facts in one pass, [`recovery`] the rows of `recovery.csv`; [`tables`], [`summary`] and
//! [`picture`] only write down what these two say. A new file is an [`Exporter`] and a line in [`exporters`].
//!
//! [`kubectl`] stands apart: from objects as JSON, whoever has them, to what kubectl would print.

pub mod clients;
pub mod files;
pub mod kubectl;
pub mod model;
pub mod picture;
pub mod recovery;
pub mod saved;
pub mod story;
pub mod study;
pub mod summary;
pub mod tables;
pub mod text;
pub mod timeline;

#[cfg(test)]
mod synthetic;

use std::io;
use std::path::Path;

use crate::engine::record::{Record, Results};

pub use clients::Clients;
pub use files::ReportError;
pub use model::Model;
pub use recovery::Recovery;
pub use saved::{read, save};

/// A report with what every exporter reads: the timelines and the recovery table.
pub struct Report<'r> {
    pub model: Model<'r>,
    pub recovery: Vec<Recovery>,
    pub clients: Clients<'r>,
}

/// One file of the output folder.
pub trait Exporter {
    /// Its name in the folder.
    fn file(&self) -> &'static str;
    /// Whether this run has anything of its kind to show: else there is no such file.
    fn applies(&self, _: &Report) -> bool {
        true
    }
    /// Writes the whole of it to `path`, where nothing is yet.
    fn export(&self, report: &Report, path: &Path) -> io::Result<()>;
}

impl<'r> Report<'r> {
    /// There is a Kubernetes around etcd.
    pub fn has_nodes(&self) -> bool {
        !self.model.nodes.is_empty()
    }
    /// There is a cluster, etcd alone it may be: not the scheduler alone.
    pub fn has_cluster(&self) -> bool {
        self.study().is_none()
    }
    /// What the scheduler alone came to, in a run of nothing else.
    pub fn study(&self) -> Option<&'r Results> {
        self.model.record.study.as_ref()
    }
    /// Somebody used etcd itself.
    pub fn has_clients(&self) -> bool {
        !self.clients.buckets.is_empty() || !self.clients.operations.is_empty()
    }
    pub fn new(record: &'r Record) -> Report<'r> {
        let model = Model::new(record);
        let recovery = recovery::recoveries(&model);
        Report { model, recovery, clients: Clients::new(record) }
    }
}

/// Every exporter, in the order in which the files are written.
pub fn exporters(plots: bool) -> Vec<Box<dyn Exporter>> {
    let mut all = tables::exporters();
    all.extend(study::exporters());
    all.push(Box::new(summary::SummaryFile));
    if plots {
        all.extend(picture::exporters());
    }
    all
}

/// Writes all files of a run into `dir`, which is made if it is not there. `scenario_json` is the scenario as resolved; it is kept as it
/// is, beside the record.
pub fn write_all(record: &Record, scenario_json: &str, dir: &Path, plots: bool) -> Result<(), ReportError> {
    files::make_folder(dir)?;
    files::write_whole(dir, "scenario.json", |path| std::fs::write(path, scenario_json))?;
    save(record, &dir.join(saved::FILE))?;
    if !plots {
        // Pictures of an earlier run would stand beside the tables of this one.
        for exporter in picture::exporters() {
            files::remove(dir, exporter.file())?;
        }
    }
    write_reports(record, dir, plots)
}

/// Writes what can be made again from the saved record: tables, summary and pictures (`sim report`).
pub fn write_reports(record: &Record, dir: &Path, plots: bool) -> Result<(), ReportError> {
    files::make_folder(dir)?;
    let report = Report::new(record);
    for exporter in exporters(plots) {
        if exporter.applies(&report) {
            files::write_whole(dir, exporter.file(), |path| exporter.export(&report, path))?;
        } else {
            // An earlier run's would stand beside the files of this one.
            files::remove(dir, exporter.file())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
