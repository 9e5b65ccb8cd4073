//! What goes wrong.

use super::{Lowering, at};
use crate::base::{Duration, Name, Time};
use crate::engine::plan::{Fault, FaultPlan, Flap, Found, Targets, Unreliable, WhichRecord};
use crate::models::container_engine::KILLED;
use crate::models::distribution::Distribution;
use crate::scenario::file;
use crate::scenario::lower::topology::Component;
use crate::scenario::lower::workload::WORKLOADS;
use crate::scenario::units::{Probability, format_duration};
use crate::wire::address::MachineId;

impl Lowering<'_> {
    /// The faults, and for each written one the number of the first that it became (killing `etcd-1` and `etcd-leader` at once is two).
    pub fn faults(&mut self, written: &[file::Fault]) -> (Vec<FaultPlan>, Vec<usize>) {
        let mut faults = Vec::new();
        let mut first = Vec::new();
        for (index, fault) in written.iter().enumerate() {
            first.push(faults.len());
            let path = format!("faults[{index}]");
            match &fault.every {
                None => {
                    let mut once = Vec::new();
                    self.fault(fault, &path, &mut once);
                    self.spread_over(fault, &path, &mut once);
                    faults.append(&mut once);
                }
                Some(every) => self.random_faults(fault, every, &path, &mut faults),
            }
        }
        (faults, first)
    }
    /// A fault that comes once.
    pub(super) fn fault(&mut self, written: &file::Fault, path: &str, faults: &mut Vec<FaultPlan>) {
        let (begin, end) = self.span_of(written, path);
        let given = [
            ("kill", written.kill.is_some()),
            ("pause", written.pause.is_some()),
            ("powerLoss", written.power_loss.is_some()),
            ("freeze", written.freeze.is_some()),
            ("reboot", written.reboot.is_some()),
            ("partition", written.partition.is_some()),
            ("slowLink", written.slow_link.is_some()),
            ("unreliableLink", written.unreliable_link.is_some()),
            ("registryDown", written.registry_down.is_some()),
            ("registrySlow", written.registry_slow.is_some()),
            ("slowDisk", written.slow_disk.is_some()),
            ("diskStall", written.disk_stall.is_some()),
            ("diskFull", written.disk_full.is_some()),
            ("diskCorrupt", written.disk_corrupt.is_some()),
            ("slowMachine", written.slow_machine.is_some()),
            ("kubeletDown", written.kubelet_down.is_some()),
            ("runtimePause", written.runtime_pause.is_some()),
            ("clockDrift", written.clock_drift.is_some()),
            ("containerCrash", written.container_crash.is_some()),
        ];
        if !self.exactly_one(&given, "a fault is", path) {
            return;
        }
        let mut add = |made: String, fault: Fault, until: Option<Time>, found: Option<Found>| {
            let description = written.description.as_deref().map_or_else(|| Name::from(made), Name::new);
            faults.push(FaultPlan { at: begin, until, description, fault, found, drawn: None });
        };
        for (field, names) in [("kill", &written.kill), ("pause", &written.pause)] {
            let Some(names) = names else { continue };
            for (targets, shown) in self.targets(names, &at(path, field)) {
                let fault = if field == "kill" { Fault::Kill(targets) } else { Fault::Pause(targets) };
                add(format!("{field} of {shown}"), fault, end, None);
            }
        }
        if let Some(places) = &written.power_loss {
            let (machines, found) = self.hit(places, &at(path, "powerLoss"));
            add(format!("power loss of {}", self.shown(places, &machines)), Fault::PowerLoss(machines), end, found);
        }
        if let Some(places) = &written.freeze {
            let (machines, found) = self.hit(places, &at(path, "freeze"));
            add(format!("freeze of {}", self.shown(places, &machines)), Fault::Freeze(machines), end, found);
        }
        if let Some(places) = &written.reboot {
            let (machines, found) = self.hit(places, &at(path, "reboot"));
            // 1 min (our choice): firmware and kernel of a common virtual machine.
            let takes = end.map_or(Duration::from_secs(60), |end| end.since(begin));
            add(format!("reboot of {}", self.shown(places, &machines)), Fault::Reboot { machines, takes }, None, found);
        }
        if let Some(partition) = &written.partition {
            let path = at(path, "partition");
            let (from, found) = self.hit(&partition.from, &at(&path, "from"));
            let to = self.other_side(&from, &partition.to, &path);
            let whom = self.shown(&partition.from, &from);
            let rest = partition.to.as_ref().map_or("the rest".to_owned(), |places| self.shown(places, &to));
            let arrow = if partition.one_way { "to" } else { "from" };
            let flap = partition.flap.as_ref().map(|flap| self.flap(flap, &at(&path, "flap")));
            let kind = if flap.is_some() { "flapping partition" } else { "partition" };
            let fault = Fault::Partition { from, to, one_way: partition.one_way, flap };
            add(format!("{kind} of {whom} {arrow} {rest}"), fault, end, found);
        }
        if let Some(link) = &written.slow_link {
            let path = at(path, "slowLink");
            let (from, found) = self.hit(&link.from, &at(&path, "from"));
            let to = self.other_side(&from, &link.to, &path);
            let whom = self.shown(&link.from, &from);
            if link.latency.is_none() && link.loss.is_none() {
                self.error(&path, "the link is as good as before".to_owned(), |error| error.expecting("latency, loss or both"));
            }
            let latency = self.distribution_or(&link.latency, &at(&path, "latency"), Distribution::Constant(Duration::ZERO));
            let loss = link.loss.map_or(0.0, |loss| loss.0);
            add(format!("slow link of {whom}"), Fault::SlowLink { from, to, latency, loss }, end, found);
        }
        if let Some(link) = &written.unreliable_link {
            let path = at(path, "unreliableLink");
            let (from, found) = self.hit(&link.from, &at(&path, "from"));
            let to = self.other_side(&from, &link.to, &path);
            let whom = self.shown(&link.from, &from);
            let how = self.unreliable(link, &path);
            add(format!("unreliable link of {whom}"), Fault::UnreliableLink { from, to, how }, end, found);
        }
        if let Some(down) = written.registry_down {
            if !down {
                self.error(&at(path, "registryDown"), "false is no fault".to_owned(), |error| error.expecting("true"));
            }
            add("registry down".to_owned(), Fault::RegistryDown, end, None);
        }
        if let Some(bandwidth) = written.registry_slow {
            add(format!("registry slow: {} bytes/s", bandwidth.0), Fault::RegistrySlow { bandwidth: bandwidth.0 }, end, None);
        }
        if let Some(slow) = &written.slow_disk {
            let path = at(path, "slowDisk");
            let (machines, found) = self.hit(&slow.on, &at(&path, "on"));
            let latency = self.distribution(&slow.latency, &at(&path, "latency"));
            add(format!("slow disk of {}", self.shown(&slow.on, &machines)), Fault::SlowDisk { machines, latency }, end, found);
        }
        if let Some(places) = &written.disk_stall {
            let (machines, found) = self.hit(places, &at(path, "diskStall"));
            add(format!("disk stall of {}", self.shown(places, &machines)), Fault::DiskStall(machines), end, found);
        }
        if let Some(places) = &written.disk_full {
            let (machines, found) = self.hit(places, &at(path, "diskFull"));
            add(format!("full disk of {}", self.shown(places, &machines)), Fault::DiskFull(machines), end, found);
        }
        if let Some(corrupt) = &written.disk_corrupt {
            let path = at(path, "diskCorrupt");
            let (mut machines, found) = self.hit(&corrupt.on, &at(&path, "on"));
            if end.is_some() {
                let message = "bits flip at an instant: it has no end".to_owned();
                self.error(&path, message, |error| error.expecting("neither \"for\" nor \"until\""));
            }
            machines.retain(|machine| self.topology.etcd.contains(machine));
            let whom = self.shown(&corrupt.on, &machines);
            if machines.is_empty() && found.is_none() {
                let message = format!("{whom} runs no member of etcd");
                self.error(&at(&path, "on"), message, |error| error.expecting("{ \"components\": [\"etcd-1\"] }, say"));
            }
            let which = match corrupt.record {
                file::WhichRecord::Random => WhichRecord::Random,
                file::WhichRecord::Oldest => WhichRecord::Oldest,
                file::WhichRecord::Newest => WhichRecord::Newest,
            };
            add(format!("corrupted disk of {whom}"), Fault::DiskCorrupt { machines, which }, None, found);
        }
        if let Some(slow) = &written.slow_machine {
            let path = at(path, "slowMachine");
            let (machines, found) = self.hit(&slow.on, &at(&path, "on"));
            if slow.cpu.is_none() && slow.network.is_none() {
                self.error(&path, "the machine is as fast as before".to_owned(), |error| error.expecting("cpu, network or both"));
            }
            let cpu_milli = self.share_left(slow.cpu, &at(&path, "cpu"));
            let network_milli = self.share_left(slow.network, &at(&path, "network"));
            let fault = Fault::SlowMachine { machines, cpu_milli, network_milli };
            let whom = self.shown(&slow.on, fault.machines().expect("it is one of machines"));
            add(format!("slow machine: {whom}"), fault, end, found);
        }
        if let Some(places) = &written.kubelet_down {
            let (machines, found) = self.hit_nodes(places, &at(path, "kubeletDown"), "kubelet");
            let whom = self.shown(places, &machines);
            add(format!("kubelet down on {whom}"), Fault::Kill(Targets::KubeletsOn(machines)), end, found);
        }
        if let Some(places) = &written.runtime_pause {
            let (machines, found) = self.hit_nodes(places, &at(path, "runtimePause"), "container runtime");
            let whom = self.shown(places, &machines);
            add(format!("paused container runtime on {whom}"), Fault::RuntimePause(machines), end, found);
        }
        if let Some(drift) = &written.clock_drift {
            let path = at(path, "clockDrift");
            let (machines, found) = self.hit(&drift.on, &at(&path, "on"));
            if drift.ppm == 0 {
                self.error(&at(&path, "ppm"), "the clock would keep time".to_owned(), |error| error.expecting("500 or -500, say"));
            }
            let whom = self.shown(&drift.on, &machines);
            let fault = Fault::ClockDrift { machines, ppm: drift.ppm };
            add(format!("clock drift of {whom}"), fault, end, found);
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
            if crash.oom_killed && crash.exit_code.is_some() {
                let message = "what is killed for lack of memory exits with 137".to_owned();
                self.error(&at(&path, "exitCode"), message, |error| error.expecting("exitCode or oomKilled"));
            }
            if let Some(key) = self.workload_key(&crash.workload, &crash.namespace, &at(&path, "workload"), &WORKLOADS) {
                let fault = Fault::ContainerCrash {
                    namespace: Name::new(key.namespace()),
                    workload: Name::new(key.name()),
                    count: crash.count,
                    exit_code: crash.exit_code.unwrap_or(if crash.oom_killed { KILLED } else { 1 }),
                    oom_killed: crash.oom_killed,
                };
                let how = if crash.oom_killed { "are killed for lack of memory" } else { "crash" };
                add(format!("containers of {} {how}", crash.workload), fault, None, None);
            }
        }
    }
    /// The worker nodes among these places, which alone run a kubelet and a container runtime.
    fn hit_nodes(&mut self, places: &file::Places, path: &str, what: &str) -> (Vec<MachineId>, Option<Found>) {
        let (mut machines, found) = self.hit(places, path);
        machines.retain(|machine| self.topology.nodes.iter().any(|node| node.machine == *machine));
        if machines.is_empty() && found.is_none() {
            let whom = self.shown(places, &machines);
            self.error(path, format!("{whom} runs no {what}"), |error| error.expecting("worker nodes"));
        }
        (machines, found)
    }
    fn flap(&mut self, flap: &file::Flap, path: &str) -> Flap {
        let down = self.distribution(&flap.down, &at(path, "down"));
        let up = self.distribution(&flap.up, &at(path, "up"));
        for (field, how_long) in [("down", &down), ("up", &up)] {
            if *how_long == Distribution::Constant(Duration::ZERO) {
                self.error(&at(path, field), "a turn of no length".to_owned(), |error| error.expecting("more than 0s"));
            }
        }
        Flap { down, up }
    }
    fn unreliable(&mut self, link: &file::UnreliableLink, path: &str) -> Unreliable {
        let share = |share: Option<Probability>| share.map_or(0.0, |share| share.0);
        let (drop, duplicate, reorder) = (share(link.drop), share(link.duplicate), share(link.reorder));
        if drop + duplicate + reorder == 0.0 {
            let message = "the link is as good as before".to_owned();
            self.error(path, message, |error| error.expecting("drop, duplicate or reorder above 0%"));
        }
        // 20 ms (our choice): some hundred messages of a busy leader go by, and it is far below an election timeout.
        let default = Distribution::Exponential { mean: Duration::from_millis(20) };
        let late = self.distribution_or(&link.delay, &at(path, "delay"), default);
        Unreliable { drop, duplicate, reorder, late }
    }
    /// What is left of the whole, in thousandths.
    fn share_left(&mut self, share: Option<Probability>, path: &str) -> u64 {
        let Some(share) = share else { return 1000 };
        let milli = (share.0 * 1000.0).round() as u64;
        if milli == 0 {
            self.error(path, "nothing would be left".to_owned(), |error| error.expecting("0.1% or more"));
        }
        milli.clamp(1, 1000)
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
        let random = places.random_nodes.is_some() || places.random_share.is_some();
        if random && places.nodes_of.is_empty() && places.components.is_empty() {
            return self.machine_names(machines);
        }
        let words = [
            ("", &places.nodes),
            ("group ", &places.groups),
            ("rack ", &places.racks),
            ("zone ", &places.zones),
            ("region ", &places.regions),
            ("", &places.machines),
            ("the machine of ", &places.components),
            ("a node of ", &places.nodes_of),
        ];
        if machines.is_empty() && places.nodes_of.len() == 1 && !random {
            return format!("the nodes of {}", places.nodes_of[0]);
        }
        let names: Vec<String> = words.iter().flat_map(|(word, names)| names.iter().map(move |name| format!("{word}{name}"))).collect();
        if names.len() <= 4 { names.join(", ") } else { format!("{} machines", machines.len()) }
    }
}
