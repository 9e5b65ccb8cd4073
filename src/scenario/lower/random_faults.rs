//! Faults that come again and again, at random. They are drawn from the run's seed while the scenario is read, so that the plan names every
//! one of them: a run, its reports and `sim minimize` treat them as faults that were written out.
//!
//! Each machine (or process) has a stream of its own, named after the fault and the machine: others may come or go, and its times stay.

use super::{Lowering, at};
use crate::base::random::Seed;
use crate::base::{Duration, Name, Stream};
use crate::engine::plan::{Choice, Fault, FaultPlan, Targets};
use crate::models::distribution::Distribution;
use crate::scenario::file;
use crate::scenario::units::{self, format_duration};
use crate::wire::address::{Address, MachineId};

/// Occurrences of one written fault.
const MAX_OCCURRENCES: usize = 10_000;

/// How long it is well, and how long it takes to be repaired (`None`: it is an instant).
struct Law {
    up: Distribution,
    repair: Option<Distribution>,
    each: file::Each,
}

/// What fails by itself: what it does, and what it is called.
struct Unit {
    fault: Fault,
    name: String,
}

/// Figures of facts/failure-models.md section 5; where it has medians only, the spread is our choice.
fn preset(preset: file::FaultPreset) -> Law {
    let days = |days: u64| Distribution::Exponential { mean: Duration::from_secs(days * 86_400) };
    let about = |seconds: u64| Distribution::LogNormal { median: Duration::from_secs(seconds), sigma: 0.5 };
    // A new virtual machine is ready after 60 to 120 s.
    let replaced = Distribution::Uniform { low: Duration::from_secs(60), high: Duration::from_secs(120) };
    let hours =
        |low: u64, high: u64| Distribution::Uniform { low: Duration::from_secs(low * 3600), high: Duration::from_secs(high * 3600) };
    let law = |up, repair, each| Law { up, repair: Some(repair), each };
    match preset {
        file::FaultPreset::CloudVm => law(days(365), replaced, file::Each::Machine),
        file::FaultPreset::CloudZone => law(days(730), hours(2, 10), file::Each::Zone),
        file::FaultPreset::Warehouse => {
            // Reboots, repairs and replacements: 90, 9 and 1 of 100.
            let lasting = Distribution::Mixture { weight: 0.9, first: Box::new(about(7_200)), second: Box::new(about(172_800)) };
            let repair = Distribution::Mixture { weight: 0.9, first: Box::new(about(240)), second: Box::new(lasting) };
            law(days(180), repair, file::Each::Machine)
        }
        file::FaultPreset::WarehouseRack => law(days(3_650), hours(1, 6), file::Each::Rack),
        file::FaultPreset::Stress => law(days(1), replaced, file::Each::Machine),
    }
}

impl Lowering<'_> {
    /// Every occurrence within the run, machine by machine.
    pub(super) fn random_faults(&mut self, written: &file::Fault, every: &file::Every, path: &str, faults: &mut Vec<FaultPlan>) {
        if written.spread_over.is_some() {
            let message = "a random fault comes to each machine at its own time".to_owned();
            self.error(&at(path, "spreadOver"), message, |error| error.expecting("\"at\" without \"every\""));
        }
        let once = file::Fault { every: None, lasts: None, until: None, spread_over: None, ..written.clone() };
        let mut templates = Vec::new();
        self.fault(&once, path, &mut templates);
        let begin = self.start + written.at.0;
        let end = match written.until {
            Some(until) => self.instant(until, &at(path, "until")),
            None => self.start + self.duration,
        };
        if written.until.is_some() && end <= begin {
            let message = "the faults would end before they begin".to_owned();
            self.error(&at(path, "until"), message, |error| error.expecting(format!("later than {}", format_duration(written.at.0))));
        }
        if written.lasts.is_some() {
            let message = "how long a random fault lasts is drawn each time".to_owned();
            self.error(&at(path, "for"), message, |error| error.expecting("\"every\": { \"repair\": ... }"));
        }
        let every_path = at(path, "every");
        let Some(law) = self.law(every, &every_path) else { return };
        let mut drawn = Vec::new();
        for template in templates {
            let instant = template.fault.is_instant();
            if !instant && law.repair.is_none() {
                self.error(&every_path, "nothing says how long it lasts".to_owned(), |error| {
                    error.expecting("\"repair\", a distribution: { \"exponential\": \"10m\" }")
                });
                return;
            }
            // Who is found only when it begins fails together.
            let each = if template.found.is_some() { file::Each::All } else { law.each };
            let kind = self.kind(&template, written);
            let group = group(&template, &kind, written);
            for unit in self.units(&template.fault, each) {
                let mut stream = self.random_stream(&format!("random {kind} {}", unit.name));
                let mut now = begin + law.up.sample(&mut stream);
                while now < end {
                    if drawn.len() == MAX_OCCURRENCES {
                        let message = format!("that would be more than {MAX_OCCURRENCES} faults");
                        self.error(&every_path, message, |error| error.expecting("a longer time between them, or fewer machines"));
                        return;
                    }
                    let lasts = law.repair.as_ref().map_or(Duration::ZERO, |repair| repair.sample(&mut stream)).max(MOMENT);
                    let fault = self.occurrence(&unit.fault, every.share.map(|share| share.0), lasts, &mut stream);
                    let ends_by_itself = instant || matches!(fault, Fault::Reboot { .. });
                    let whole = fault == unit.fault || matches!(fault, Fault::Reboot { .. });
                    let description = match &written.description {
                        Some(words) => Name::new(words),
                        None if template.found.is_some() || unit.name.is_empty() => template.description.clone(),
                        None if whole => Name::from(format!("{kind} {}", unit.name)),
                        None => Name::from(format!("{kind} {}", self.whom(&fault))),
                    };
                    let until = (!ends_by_itself).then_some(now + lasts);
                    let (group, found) = (Some(group.clone()), template.found.clone());
                    drawn.push(FaultPlan { at: now, until, description, fault, found, drawn: group });
                    now = now + lasts + law.up.sample(&mut stream).max(MOMENT);
                }
            }
        }
        drawn.sort_by_key(|fault| fault.at);
        faults.append(&mut drawn);
    }

    fn law(&mut self, every: &file::Every, path: &str) -> Option<Law> {
        if every.share.is_some_and(|share| !(share.0 > 0.0 && share.0 <= 1.0)) {
            self.error(&at(path, "share"), "no machine would be hit".to_owned(), |error| error.expecting("more than 0% and at most 100%"));
            return None;
        }
        let mut law = match (every.preset, every.mtbf, &every.up) {
            (Some(name), None, None) => preset(name),
            (None, Some(mean), None) => Law { up: Distribution::Exponential { mean: mean.0 }, repair: None, each: file::Each::Machine },
            (None, None, Some(up)) => Law { up: self.distribution(up, &at(path, "up")), repair: None, each: file::Each::Machine },
            _ => {
                self.error(path, "how often is not said once".to_owned(), |error| error.expecting("one of preset, mtbf and up"));
                return None;
            }
        };
        if every.mtbf.is_some_and(|mean| mean.0 == Duration::ZERO) {
            self.error(&at(path, "mtbf"), "it would never be well".to_owned(), |error| error.expecting("more than 0s"));
            return None;
        }
        law.each = every.each.unwrap_or(law.each);
        if every.share.is_some() && law.each == file::Each::Machine {
            let message = "each machine fails by itself, so that there is nothing to take a share of".to_owned();
            self.error(&at(path, "share"), message, |error| error.expecting("\"each\": \"rack\", \"zone\", \"region\" or \"all\""));
            return None;
        }
        if let Some(repair) = &every.repair {
            law.repair = Some(self.distribution(repair, &at(path, "repair")));
        }
        Some(law)
    }
    /// The stream of this name; a second fault of the same kind on the same machine has another.
    fn random_stream(&mut self, name: &str) -> Stream {
        let times = self.random_streams.entry(name.to_owned()).or_insert(0);
        *times += 1;
        Seed(self.seed).stream(&format!("{name} {times}"))
    }
    /// What one occurrence does: to all machines of the unit or to a share of them, drawn anew.
    fn occurrence(&self, unit: &Fault, share: Option<f64>, lasts: Duration, stream: &mut Stream) -> Fault {
        let mut fault = unit.clone();
        if let (Some(share), Some(hit)) = (share, fault.machines_mut()) {
            stream.shuffle(hit);
            hit.truncate(Choice::Share(share).of(hit.len()));
            hit.sort_unstable();
        }
        if let Fault::Reboot { takes, .. } = &mut fault {
            *takes = lasts;
        }
        fault
    }
    /// Whom it hits, for people and for the stream's name; empty if the fault names no machines and no processes.
    fn whom(&self, fault: &Fault) -> String {
        match fault {
            Fault::Kill(Targets::Addresses(whom)) | Fault::Pause(Targets::Addresses(whom)) => {
                whom.iter().map(|address| self.process_name(*address)).collect::<Vec<_>>().join(", ")
            }
            _ => fault.machines().map_or_else(String::new, |hit| self.machine_names(hit)),
        }
    }
    /// As scenarios name it.
    pub(super) fn process_name(&self, address: Address) -> String {
        match address {
            Address::Kubelet(node) => format!("kubelet-{}", self.topology.nodes[node.0 as usize].shape.name),
            other => other.to_string(),
        }
    }
    /// What of a fault's description says what happens, before whom it happens to: `power loss of`.
    fn kind(&self, template: &FaultPlan, written: &file::Fault) -> String {
        let made = &template.description;
        if written.description.is_some() {
            return made.to_string();
        }
        ["slow machine:", "kubelet down on"]
            .into_iter()
            .find(|kind| made.starts_with(kind))
            .map(str::to_owned)
            .or_else(|| made.split_once(" of ").map(|(kind, _)| format!("{kind} of")))
            .unwrap_or_else(|| made.to_string())
    }
    /// What fails by itself: each machine, each named process, each rack, zone or region; else the whole.
    fn units(&self, fault: &Fault, each: file::Each) -> Vec<Unit> {
        let whole = || vec![Unit { fault: fault.clone(), name: self.whom(fault) }];
        let (Fault::Kill(Targets::Addresses(all)) | Fault::Pause(Targets::Addresses(all))) = fault else {
            let Some(all) = fault.machines().filter(|_| !fault.is_of_links() && each != file::Each::All) else { return whole() };
            let mut units: Vec<(String, Vec<MachineId>)> = Vec::new();
            for id in all {
                let machine = &self.topology.machines[id.0 as usize];
                let name = match each {
                    file::Each::Rack => format!("rack {}", machine.rack),
                    file::Each::Zone => format!("zone {}", machine.zone),
                    file::Each::Region => format!("region {}", machine.region),
                    file::Each::Machine | file::Each::All => machine.name.to_string(),
                };
                match units.iter_mut().find(|(other, _)| *other == name) {
                    Some((_, machines)) => machines.push(*id),
                    None => units.push((name, vec![*id])),
                }
            }
            let unit = |(name, machines): (String, Vec<MachineId>)| {
                let mut one = fault.clone();
                *one.machines_mut().expect("it has machines") = machines;
                Unit { fault: one, name }
            };
            return units.into_iter().map(unit).collect();
        };
        if each == file::Each::All {
            return whole();
        }
        let one = |address: &Address| {
            let targets = Targets::Addresses(vec![*address]);
            let one = if matches!(fault, Fault::Kill(_)) { Fault::Kill(targets) } else { Fault::Pause(targets) };
            Unit { name: self.process_name(*address), fault: one }
        };
        all.iter().map(one).collect()
    }
    /// Gives each machine of a fault a beginning of its own, if the fault is to reach one after another.
    pub(super) fn spread_over(&mut self, written: &file::Fault, path: &str, faults: &mut Vec<FaultPlan>) {
        let Some(over) = written.spread_over else { return };
        let path = at(path, "spreadOver");
        if faults.iter().any(|fault| fault.found.is_some() || fault.fault.machines().is_none()) {
            let message = "there are no machines to reach one after another".to_owned();
            self.error(&path, message, |error| error.expecting("a fault of machines that are known from the beginning"));
            return;
        }
        if let Some(until) = written.until.filter(|until| until.0 <= written.at.0 + over.0) {
            let message = format!("it would be over at {} before all are reached", format_duration(until.0));
            self.error(&path, message, |error| error.expecting("\"for\", or a later \"until\""));
        }
        self.instant(units::Span(written.at.0 + over.0), &path);
        let mut spread = Vec::new();
        for fault in std::mem::take(faults) {
            let kind = self.kind(&fault, written);
            let group = group(&fault, &kind, written);
            for unit in self.units(&fault.fault, file::Each::Machine) {
                let mut stream = self.random_stream(&format!("spread {kind} {}", unit.name));
                let late = stream.duration_between(Duration::ZERO, over.0);
                let until = fault.until.map(|until| if written.until.is_some() { until } else { until + late });
                let description = match &written.description {
                    Some(words) => Name::new(words),
                    None => Name::from(format!("{kind} {}", unit.name)),
                };
                spread.push(FaultPlan {
                    at: fault.at + late,
                    until,
                    description,
                    fault: unit.fault,
                    found: None,
                    drawn: Some(group.clone()),
                });
            }
        }
        spread.sort_by_key(|fault| fault.at);
        *faults = spread;
    }
    /// `worker-3, worker-4`, or `12 machines`.
    pub(super) fn machine_names(&self, machines: &[MachineId]) -> String {
        if machines.len() > 4 {
            return format!("{} machines", machines.len());
        }
        machines.iter().map(|id| self.topology.machines[id.0 as usize].name.to_string()).collect::<Vec<_>>().join(", ")
    }
    /// Some of the worker nodes among these machines, chosen by the seed.
    pub(super) fn choose_nodes(&mut self, found: &[MachineId], choice: Choice, path: &str) -> Vec<MachineId> {
        let mut nodes: Vec<MachineId> =
            self.topology.nodes.iter().map(|node| node.machine).filter(|machine| found.contains(machine)).collect();
        if let Choice::Count(count) = choice
            && count > nodes.len() as u64
        {
            let message = format!("{count} of {} worker nodes", nodes.len());
            let most = nodes.len();
            self.error(&at(path, "randomNodes"), message, |error| error.expecting(format!("at most {most}")));
            return nodes;
        }
        nodes.sort_unstable();
        let mut stream = self.random_stream("random nodes");
        stream.shuffle(&mut nodes);
        nodes.truncate(choice.of(nodes.len()));
        nodes.sort_unstable();
        nodes
    }
}

/// What all that is drawn of one written fault is called, whatever the seed.
fn group(template: &FaultPlan, kind: &str, written: &file::Fault) -> Name {
    let random = places(written).and_then(|places| match (places.random_nodes, places.random_share) {
        (Some(1), _) => Some("a random node".to_owned()),
        (Some(count), _) => Some(format!("{count} random nodes")),
        (None, Some(share)) => Some(format!("{} % of the nodes", share.0 * 100.0)),
        (None, None) => None,
    });
    match random {
        Some(random) if written.description.is_none() && template.found.is_none() => Name::from(format!("{kind} {random}")),
        _ => template.description.clone(),
    }
}

/// Where a fault names its machines.
fn places(written: &file::Fault) -> Option<&file::Places> {
    let plain = [
        &written.power_loss,
        &written.freeze,
        &written.reboot,
        &written.disk_stall,
        &written.disk_full,
        &written.kubelet_down,
        &written.runtime_pause,
    ];
    let plain = plain.into_iter().find_map(Option::as_ref);
    plain
        .or(written.slow_disk.as_ref().map(|slow| &slow.on))
        .or(written.slow_machine.as_ref().map(|slow| &slow.on))
        .or(written.clock_drift.as_ref().map(|drift| &drift.on))
        .or(written.partition.as_ref().map(|partition| &partition.from))
        .or(written.slow_link.as_ref().map(|link| &link.from))
        .or(written.unreliable_link.as_ref().map(|link| &link.from))
        .or(written.disk_corrupt.as_ref().map(|corrupt| &corrupt.on))
}

/// No two occurrences at one instant.
const MOMENT: Duration = Duration::from_millis(1);
