//! What goes wrong.

use super::{Lowering, at};
use crate::base::{Duration, Name, Time};
use crate::engine::plan::{Fault, FaultPlan, Targets};
use crate::models::distribution::Distribution;
use crate::scenario::file;
use crate::scenario::lower::topology::Component;
use crate::scenario::lower::workload::WORKLOADS;
use crate::scenario::units::format_duration;
use crate::wire::address::MachineId;

impl Lowering<'_> {
    /// The faults, and for each written one the number of the first that it became (killing `etcd-1` and `etcd-leader` at once is two).
    pub fn faults(&mut self, written: &[file::Fault]) -> (Vec<FaultPlan>, Vec<usize>) {
        let mut faults = Vec::new();
        let mut first = Vec::new();
        for (index, fault) in written.iter().enumerate() {
            first.push(faults.len());
            self.fault(fault, &format!("faults[{index}]"), &mut faults);
        }
        (faults, first)
    }
    fn fault(&mut self, written: &file::Fault, path: &str, faults: &mut Vec<FaultPlan>) {
        let (begin, end) = self.span_of(written, path);
        let given = [
            ("kill", written.kill.is_some()),
            ("pause", written.pause.is_some()),
            ("powerLoss", written.power_loss.is_some()),
            ("freeze", written.freeze.is_some()),
            ("reboot", written.reboot.is_some()),
            ("partition", written.partition.is_some()),
            ("slowLink", written.slow_link.is_some()),
            ("registryDown", written.registry_down.is_some()),
            ("registrySlow", written.registry_slow.is_some()),
            ("slowDisk", written.slow_disk.is_some()),
            ("containerCrash", written.container_crash.is_some()),
        ];
        if !self.exactly_one(&given, "a fault is", path) {
            return;
        }
        let mut add = |made: String, fault: Fault, until: Option<Time>| {
            let description = written.description.as_deref().map_or_else(|| Name::from(made), Name::new);
            faults.push(FaultPlan { at: begin, until, description, fault });
        };
        for (field, names) in [("kill", &written.kill), ("pause", &written.pause)] {
            let Some(names) = names else { continue };
            for (targets, shown) in self.targets(names, &at(path, field)) {
                let fault = if field == "kill" { Fault::Kill(targets) } else { Fault::Pause(targets) };
                add(format!("{field} of {shown}"), fault, end);
            }
        }
        if let Some(places) = &written.power_loss {
            let machines = self.places(places, &at(path, "powerLoss"));
            add(format!("power loss of {}", self.shown(places, &machines)), Fault::PowerLoss(machines), end);
        }
        if let Some(places) = &written.freeze {
            let machines = self.places(places, &at(path, "freeze"));
            add(format!("freeze of {}", self.shown(places, &machines)), Fault::Freeze(machines), end);
        }
        if let Some(places) = &written.reboot {
            let machines = self.places(places, &at(path, "reboot"));
            // 1 min (our choice): firmware and kernel of a common virtual machine.
            let takes = end.map_or(Duration::from_secs(60), |end| end.since(begin));
            add(format!("reboot of {}", self.shown(places, &machines)), Fault::Reboot { machines, takes }, None);
        }
        if let Some(partition) = &written.partition {
            let path = at(path, "partition");
            let from = self.places(&partition.from, &at(&path, "from"));
            let to = self.other_side(&from, &partition.to, &path);
            let whom = self.shown(&partition.from, &from);
            let rest = partition.to.as_ref().map_or("the rest".to_owned(), |places| self.shown(places, &to));
            let arrow = if partition.one_way { "to" } else { "from" };
            add(format!("partition of {whom} {arrow} {rest}"), Fault::Partition { from, to, one_way: partition.one_way }, end);
        }
        if let Some(link) = &written.slow_link {
            let path = at(path, "slowLink");
            let from = self.places(&link.from, &at(&path, "from"));
            let to = self.other_side(&from, &link.to, &path);
            let whom = self.shown(&link.from, &from);
            if link.latency.is_none() && link.loss.is_none() {
                self.error(&path, "the link is as good as before".to_owned(), |error| error.expecting("latency, loss or both"));
            }
            let latency = self.distribution_or(&link.latency, &at(&path, "latency"), Distribution::Constant(Duration::ZERO));
            add(format!("slow link of {whom}"), Fault::SlowLink { from, to, latency, loss: link.loss.map_or(0.0, |loss| loss.0) }, end);
        }
        if let Some(down) = written.registry_down {
            if !down {
                self.error(&at(path, "registryDown"), "false is no fault".to_owned(), |error| error.expecting("true"));
            }
            add("registry down".to_owned(), Fault::RegistryDown, end);
        }
        if let Some(bandwidth) = written.registry_slow {
            add(format!("registry slow: {} bytes/s", bandwidth.0), Fault::RegistrySlow { bandwidth: bandwidth.0 }, end);
        }
        if let Some(slow) = &written.slow_disk {
            let path = at(path, "slowDisk");
            let machines = self.places(&slow.on, &at(&path, "on"));
            let latency = self.distribution(&slow.latency, &at(&path, "latency"));
            add(format!("slow disk of {}", self.shown(&slow.on, &machines)), Fault::SlowDisk { machines, latency }, end);
        }
        if let Some(crash) = &written.container_crash {
            let path = at(path, "containerCrash");
            if end.is_some() {
                let message = "a crash is an instant: it has no end".to_owned();
                self.error(&path, message, |error| error.expecting("neither \"for\" nor \"until\""));
            }
            if crash.count == Some(0) {
                self.error(&at(&path, "count"), "no container would crash".to_owned(), |error| error.expecting("1 or more"));
            }
            if let Some(key) = self.workload_key(&crash.workload, &crash.namespace, &at(&path, "workload"), &WORKLOADS) {
                let fault = Fault::ContainerCrash {
                    namespace: Name::new(key.namespace()),
                    workload: Name::new(key.name()),
                    count: crash.count,
                    exit_code: crash.exit_code.unwrap_or(1),
                };
                add(format!("containers of {} crash", crash.workload), fault, None);
            }
        }
    }
    fn span_of(&mut self, written: &file::Fault, path: &str) -> (Time, Option<Time>) {
        let begin = self.instant(written.at, &at(path, "at"));
        let end = match (written.lasts, written.until) {
            (Some(_), Some(_)) => {
                self.error(path, "both \"for\" and \"until\" are given".to_owned(), |error| error.expecting("one of them"));
                None
            }
            (Some(lasts), None) => {
                if lasts.0 == Duration::ZERO {
                    self.error(&at(path, "for"), "a fault of no length".to_owned(), |error| error.expecting("more than 0s"));
                }
                // One that outlasts the run is never undone in it.
                Some(begin + lasts.0)
            }
            (None, Some(until)) => {
                let end = self.instant(until, &at(path, "until"));
                if end <= begin {
                    let message = format!("the fault would end at {} or before it begins", format_duration(until.0));
                    self.error(&at(path, "until"), message, |error| {
                        error.expecting(format!("later than {}", format_duration(written.at.0)))
                    });
                }
                Some(end)
            }
            (None, None) => None,
        };
        (begin, end)
    }
    /// Processes by address together, each role apart.
    fn targets(&mut self, names: &[String], path: &str) -> Vec<(Targets, String)> {
        if names.is_empty() {
            self.error(path, "no process is named".to_owned(), |error| error.expecting("for example [\"etcd-leader\"]"));
        }
        let mut addresses = Vec::new();
        let mut targets = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if names[..index].contains(name) {
                self.error(&path, format!("{name} is named twice"), |error| error);
                continue;
            }
            match self.component(name, &path) {
                None => {}
                Some(Component::One(address)) => addresses.push((address, name.as_str())),
                Some(Component::EtcdLeader) => targets.push((Targets::EtcdLeader, name.clone())),
                Some(Component::ManagerLeader) => targets.push((Targets::ManagerLeader, name.clone())),
                Some(Component::SchedulerLeader) => targets.push((Targets::SchedulerLeader, name.clone())),
            }
        }
        if !addresses.is_empty() {
            addresses.sort_unstable();
            let shown = addresses.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ");
            targets.insert(0, (Targets::Addresses(addresses.into_iter().map(|(address, _)| address).collect()), shown));
        }
        targets
    }
    /// `worker-3`, `zone b`, `12 machines`.
    fn shown(&self, places: &file::Places, machines: &[MachineId]) -> String {
        let words = [
            ("", &places.nodes),
            ("group ", &places.groups),
            ("rack ", &places.racks),
            ("zone ", &places.zones),
            ("region ", &places.regions),
            ("", &places.machines),
            ("the machine of ", &places.components),
        ];
        let names: Vec<String> = words.iter().flat_map(|(word, names)| names.iter().map(move |name| format!("{word}{name}"))).collect();
        if names.len() <= 4 { names.join(", ") } else { format!("{} machines", machines.len()) }
    }
}
