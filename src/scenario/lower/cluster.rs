//! Machines, network, disks, images and the container engine. Defaults that have no component of their own are born in
//! `models::presets`.

use std::collections::{BTreeMap, BTreeSet};

use super::{Lowering, MAX_NODES, at, is_label, short};
use crate::base::{Duration, Name};
use crate::engine::plan;
use crate::kubelet::NodeShape;
use crate::models::disk::StallPattern;
use crate::models::distribution::Distribution;
use crate::models::presets;
use crate::objects::node::labels;
use crate::objects::{Quantity, Taint, TaintEffect};
use crate::scenario::file::{self, Cluster, Disk, NodeGroup};
use crate::wire::address::{MachineId, NodeId};

/// What of the plan is not a machine, and what machines have that are yet to come.
pub struct Parts {
    pub disk: MachineDisk,
    pub bandwidth: u64,
    pub network: plan::Network,
    pub images: plan::Images,
    pub runtime: plan::Runtime,
}

/// Where a node stands.
pub struct Spot<'a> {
    pub region: &'a str,
    pub zone: &'a str,
    pub rack: &'a str,
}

/// The disk of each machine.
pub struct MachineDisk {
    fsync: Distribution,
    stalls: Option<StallPattern>,
}

impl Lowering<'_> {
    pub fn cluster(&mut self, cluster: &Cluster) -> Parts {
        let disk = self.disk(cluster);
        let bandwidth = cluster.bandwidth.map_or(presets::NIC_10G, |bandwidth| bandwidth.0);
        self.control_plane(cluster, &disk, bandwidth);
        let is_etcd_only = self.topology.is_etcd_only();
        self.node_groups(&cluster.nodes, is_etcd_only, &disk, bandwidth);
        let (network, images, runtime) = (self.network(&cluster.network), self.images(&cluster.images), self.runtime(&cluster.runtime));
        Parts { disk, bandwidth, network, images, runtime }
    }
    fn disk(&mut self, cluster: &Cluster) -> MachineDisk {
        let fsync = match &cluster.disk {
            Disk::Nvme => presets::nvme_fsync(),
            Disk::Ssd => presets::ssd_fsync(),
            Disk::Hdd => presets::hdd_fsync(),
            Disk::Fsync(own) => self.distribution(own, "cluster.disk.fsync"),
        };
        let stalls = cluster.disk_stalls.as_ref().map(|written| {
            let mean_interval = written.mean_interval.map_or(presets::DISK_STALL_INTERVAL, |span| span.0);
            // Time goes on between any two stalls.
            if mean_interval < Duration::from_millis(1) {
                self.error("cluster.diskStalls.meanInterval", "a disk that always stalls does nothing".to_owned(), |error| {
                    error.expecting("1ms or more")
                });
            }
            let lasts = self.distribution_or(&written.lasts, "cluster.diskStalls.lasts", presets::disk_stall());
            StallPattern { mean_interval, lasts }
        });
        MachineDisk { fsync, stalls }
    }
    fn control_plane(&mut self, cluster: &Cluster, disk: &MachineDisk, bandwidth: u64) {
        let written = &cluster.control_plane;
        let path = |field: &str| format!("cluster.controlPlane.{field}");
        let is_etcd_only = [written.api_servers, written.controller_managers, written.schedulers] == [0; 3] && cluster.nodes.is_empty();
        let (sound, expected) =
            if is_etcd_only { ((1..=9).contains(&written.etcd), "1 to 9") } else { ([1, 3, 5].contains(&written.etcd), "1, 3 or 5") };
        if !sound {
            self.error(&path("etcd"), format!("{} etcd members", written.etcd), |error| error.expecting(expected));
        }
        if written.etcd_spares > 9 {
            self.error(&path("etcdSpares"), format!("{} spare processes of etcd", written.etcd_spares), |error| error.expecting("0 to 9"));
        }
        for (field, count) in
            [("apiServers", written.api_servers), ("controllerManagers", written.controller_managers), ("schedulers", written.schedulers)]
        {
            if !is_etcd_only && !(1..=9).contains(&count) {
                self.error(&path(field), format!("{count} instances"), |error| {
                    error.expecting("1 to 9, or 0 of apiServers, controllerManagers and schedulers and no nodes: etcd alone")
                });
            }
        }
        if !(1..=1024).contains(&written.cores) {
            self.error(&path("cores"), format!("{} cores", written.cores), |error| error.expecting("1 to 1024"));
        }
        for (index, zone) in written.zones.iter().enumerate() {
            self.topology_name(zone, &path(&format!("zones[{index}]")));
        }
        let group = cluster.nodes.first();
        let mut zones = written.zones.clone();
        if zones.is_empty() {
            zones = group.map_or_else(Vec::new, zones_of);
        }
        if zones.is_empty() {
            zones.push("zone-1".to_owned());
        }
        let region = group.and_then(|group| group.region.as_deref()).unwrap_or(DEFAULT_REGION);
        // At least one machine, whatever was written: the error is told already.
        let spares = written.etcd_spares.min(9);
        let count =
            (written.etcd.min(9) + spares).max(written.api_servers).max(written.controller_managers).max(written.schedulers).clamp(1, 18);
        for index in 0..count as usize {
            let zone = &zones[index % zones.len()];
            self.topology.machines.push(plan::Machine {
                name: format!("control-plane-{}", index + 1).into(),
                region: Name::new(region),
                zone: Name::new(zone),
                rack: format!("{zone}-control-plane").into(),
                cores: written.cores.min(1024) as u32,
                fsync: disk.fsync.clone(),
                stalls: disk.stalls.clone(),
                bandwidth,
            });
        }
        let first = |n: u64| (0..n.min(count) as u32).map(MachineId).collect::<Vec<_>>();
        self.topology.etcd = first(written.etcd + spares);
        self.topology.etcd_initial = written.etcd.min(count) as usize;
        self.topology.api_servers = first(written.api_servers);
        self.topology.managers = first(written.controller_managers);
        self.topology.schedulers = first(written.schedulers);
    }
    fn node_groups(&mut self, groups: &[NodeGroup], is_etcd_only: bool, disk: &MachineDisk, bandwidth: u64) {
        if groups.is_empty() && !is_etcd_only && !self.has_trace_nodes {
            self.error("cluster.nodes", "a cluster needs nodes".to_owned(), |error| error.expecting("at least one group"));
        }
        let total = groups.iter().fold(0u64, |sum, group| sum.saturating_add(group.count));
        if total > MAX_NODES {
            let path = if groups.len() == 1 { "cluster.nodes[0].count" } else { "cluster.nodes" };
            return self
                .error(path, format!("{total} nodes are beyond the limit"), |error| error.expecting(format!("{MAX_NODES} or less")));
        }
        let mut names = BTreeSet::new();
        for (index, group) in groups.iter().enumerate() {
            let path = format!("cluster.nodes[{index}]");
            if !is_label(&group.name) || group.name.len() > 50 {
                let message = format!("\"{}\" cannot begin a node's name", short(&group.name));
                self.error(&at(&path, "name"), message, |error| error.expecting("lower-case letters, digits and dashes, at most 50"));
            } else if matches!(group.name.as_str(), "control-plane" | "client") {
                let message = format!("\"{}\" is what other machines are called", group.name);
                self.error(&at(&path, "name"), message, |error| error.expecting("another name"));
            } else if !names.insert(group.name.as_str()) {
                self.error(&at(&path, "name"), format!("two groups are called \"{}\"", group.name), |error| error);
            } else {
                self.node_group(group, &path, disk, bandwidth);
            }
        }
    }
    fn node_group(&mut self, group: &NodeGroup, path: &str, disk: &MachineDisk, bandwidth: u64) {
        if group.count == 0 {
            self.error(&at(path, "count"), "a group of no nodes".to_owned(), |error| error.expecting("1 or more"));
        }
        for (index, zone) in group.zones.iter().enumerate() {
            let place = format!("{path}.zones[{index}]");
            self.topology_name(zone, &place);
            if group.zones[..index].contains(zone) {
                self.error(&place, format!("the zone \"{zone}\" is named twice"), |error| error);
            }
        }
        let racks = group.racks.unwrap_or(1);
        if !(1..=MAX_NODES).contains(&racks) {
            self.error(&at(path, "racks"), format!("{racks} racks"), |error| error.expecting(format!("1 to {MAX_NODES}")));
        }
        let region = group.region.as_deref().unwrap_or(DEFAULT_REGION);
        self.topology_name(region, &at(path, "region"));
        let (capacity, allocatable) = self.capacity(group, path);
        let taints = self.taints(&group.taints, &at(path, "taints"));
        for key in group.labels.keys() {
            if let labels::HOSTNAME | labels::ZONE | labels::REGION | labels::RACK = key.as_str() {
                let message = "this label is made from the node's place".to_owned();
                self.error(&at(&at(path, "labels"), key), message, |error| error.expecting("name, zones, region and racks"));
            }
        }
        let zones = zones_of(group);
        let group_name = Name::new(&group.name);
        for index in 0..group.count as usize {
            let name: Name = format!("{}-{}", group.name, index + 1).into();
            let zone = &zones[index % zones.len()];
            let rack = format!("{zone}-rack-{}", index / zones.len() % racks.max(1) as usize + 1);
            let place = Spot { region, zone, rack: &rack };
            let added =
                self.add_node(&name, &place, (&capacity, &allocatable), &group.labels, taints.clone(), &group_name, disk, bandwidth);
            if !added {
                self.error(&at(path, "name"), format!("two nodes are called \"{name}\""), |error| error);
            }
        }
    }
    /// Another worker node on a machine of its own; false if there is one of that name.
    #[expect(clippy::too_many_arguments, reason = "what makes a node, each of another kind")]
    pub fn add_node(
        &mut self,
        name: &Name,
        spot: &Spot<'_>,
        (capacity, allocatable): (&BTreeMap<Name, Quantity>, &BTreeMap<Name, Quantity>),
        own_labels: &BTreeMap<String, String>,
        taints: Vec<Taint>,
        group: &Name,
        disk: &MachineDisk,
        bandwidth: u64,
    ) -> bool {
        let cores = capacity.get("cpu").map_or(1, |cpu| cpu.value().clamp(1, 1 << 20)) as u32;
        let machine = MachineId(self.topology.machines.len() as u32);
        self.topology.machines.push(plan::Machine {
            name: name.clone(),
            region: Name::new(spot.region),
            zone: Name::new(spot.zone),
            rack: Name::new(spot.rack),
            cores,
            fsync: disk.fsync.clone(),
            stalls: disk.stalls.clone(),
            bandwidth,
        });
        let mut all_labels: BTreeMap<Name, Name> = own_labels.iter().map(|(key, value)| (Name::new(key), Name::new(value))).collect();
        let own = [(labels::HOSTNAME, name.as_str()), (labels::ZONE, spot.zone), (labels::REGION, spot.region), (labels::RACK, spot.rack)];
        for (key, value) in own {
            all_labels.insert(Name::new(key), Name::new(value));
        }
        let shape =
            NodeShape { name: name.clone(), capacity: capacity.clone(), allocatable: allocatable.clone(), labels: all_labels, taints };
        let id = NodeId(self.topology.nodes.len() as u32);
        self.topology.nodes.push(plan::NodePlan { machine, shape, group: group.clone() });
        self.topology.node_by_name.insert(name.clone(), id).is_none()
    }
    fn topology_name(&mut self, name: &str, path: &str) {
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.is_empty() || name.len() > 50 || !name.bytes().all(sound) {
            let message = format!("\"{}\" cannot be a label's value", short(name));
            self.error(path, message, |error| error.expecting("letters, digits, '-', '_' and '.', at most 50"));
        }
    }
    fn capacity(&mut self, group: &NodeGroup, path: &str) -> (BTreeMap<Name, Quantity>, BTreeMap<Name, Quantity>) {
        let written = &group.capacity;
        let gibibytes = |n: i64| Quantity::from_bytes(n << 30);
        let or = |written: Option<crate::scenario::units::Amount>, default| written.map_or(default, |amount| amount.0);
        let mut capacity = BTreeMap::from([
            (Name::new("cpu"), or(written.cpu, Quantity::from_units(4))),
            (Name::new("memory"), or(written.memory, gibibytes(16))),
            // 110: the kubelet's maxPods.
            (Name::new("pods"), Quantity::from_units(i64::try_from(written.pods.unwrap_or(110)).unwrap_or(i64::MAX))),
            (Name::new("ephemeral-storage"), or(written.ephemeral_storage, gibibytes(100))),
        ]);
        if capacity["cpu"].is_zero() {
            self.error(&at(&at(path, "capacity"), "cpu"), "a node without a CPU".to_owned(), |error| error.expecting("more than 0"));
        }
        for (name, amount) in &written.extended {
            if !name.contains('/') {
                let message = format!("\"{}\" is not the name of an extended resource", short(name));
                let path = at(&format!("{path}.capacity.extended"), name);
                self.error(&path, message, |error| error.expecting("a name with a domain, such as \"example.com/gpu\""));
            }
            capacity.insert(Name::new(name), amount.0);
        }
        let mut allocatable = capacity.clone();
        for (name, amount) in &group.reserved {
            let path = at(&at(path, "reserved"), name);
            match allocatable.get_mut(name.as_str()) {
                None => {
                    let known: Vec<String> = capacity.keys().map(|name| name.to_string()).collect();
                    self.unknown("resource", name, &path, &known);
                }
                Some(left) if amount.0 > *left => {
                    let message = format!("{} reserved of {left}", amount.0);
                    self.error(&path, message, |error| error.expecting("no more than the capacity"));
                }
                Some(left) if name == "cpu" => *left = Quantity::from_milli(left.milli_value() - amount.0.milli_value()),
                Some(left) => *left = Quantity::from_bytes(left.value() - amount.0.value()),
            }
        }
        (capacity, allocatable)
    }
    fn taints(&mut self, written: &[file::Taint], path: &str) -> Vec<Taint> {
        let mut taints: Vec<Taint> = Vec::new();
        for (index, taint) in written.iter().enumerate() {
            let effect = match taint.effect {
                file::Effect::NoSchedule => TaintEffect::NoSchedule,
                file::Effect::PreferNoSchedule => TaintEffect::PreferNoSchedule,
                file::Effect::NoExecute => TaintEffect::NoExecute,
            };
            if taint.key.is_empty() {
                self.error(&format!("{path}[{index}].key"), "a taint's key is empty".to_owned(), |error| error);
            }
            if taints.iter().any(|other| other.key == *taint.key && other.effect == effect) {
                self.error(&format!("{path}[{index}]"), "this key and effect are given twice".to_owned(), |error| error);
            }
            taints.push(Taint { key: Name::new(&taint.key), value: Name::new(&taint.value), effect, time_added: None });
        }
        taints
    }
    fn network(&mut self, written: &file::Network) -> plan::Network {
        let preset = plan::Network::default();
        let path = |field: &str| format!("cluster.network.{field}");
        plan::Network {
            same_machine: self.distribution_or(&written.same_machine, &path("sameMachine"), preset.same_machine),
            same_rack: self.distribution_or(&written.same_rack, &path("sameRack"), preset.same_rack),
            same_zone: self.distribution_or(&written.same_zone, &path("sameZone"), preset.same_zone),
            between_zones: self.distribution_or(&written.between_zones, &path("betweenZones"), preset.between_zones),
            between_regions: self.distribution_or(&written.between_regions, &path("betweenRegions"), preset.between_regions),
            loss: written.loss.map_or(preset.loss, |loss| loss.0),
        }
    }
    fn images(&mut self, written: &file::Images) -> plan::Images {
        let preset = plan::Images::default();
        let mut images = plan::Images {
            registry_bandwidth: written.registry_bandwidth.map_or(preset.registry_bandwidth, |bandwidth| bandwidth.0),
            registry_latency: self.distribution_or(
                &written.registry_latency,
                "cluster.images.registryLatency",
                preset.registry_latency.clone(),
            ),
            unpack_rate: written.unpack_rate.map_or(preset.unpack_rate, |rate| rate.0),
            default_size: written.default_size.map_or(preset.default_size, |size| size.0),
            ..preset
        };
        for (name, image) in &written.list {
            let name_in_plan = Name::new(name);
            if image.missing && image.preloaded {
                let message = "an image that the registry lacks cannot be known to be on every node".to_owned();
                self.error(&at("cluster.images.list", name), message, |error| error.expecting("one of preloaded and missing"));
            }
            if let Some(size) = image.size {
                images.sizes.insert(name_in_plan.clone(), size.0);
            }
            if image.missing {
                images.missing.push(name_in_plan);
            } else if image.preloaded {
                images.preloaded.push(name_in_plan);
            }
        }
        images
    }
    fn runtime(&mut self, written: &file::Runtime) -> plan::Runtime {
        let preset = plan::Runtime::default();
        let path = |field: &str| format!("cluster.runtime.{field}");
        plan::Runtime {
            sandbox: self.distribution_or(&written.sandbox, &path("sandbox"), preset.sandbox),
            create: self.distribution_or(&written.create, &path("create"), preset.create),
            start: self.distribution_or(&written.start, &path("start"), preset.start),
            stop: self.distribution_or(&written.stop, &path("stop"), preset.stop),
            remove: self.distribution_or(&written.remove, &path("remove"), preset.remove),
            probe: self.distribution_or(&written.probe, &path("probe"), preset.probe),
            exit: preset.exit,
            sharing: None,
        }
    }
    /// The machine that load comes from unless a traffic source says otherwise: in the first zone, not a node.
    pub fn client_machine(&mut self) -> MachineId {
        if let Some(index) = self.topology.machines.iter().position(|machine| machine.name == "client") {
            return MachineId(index as u32);
        }
        let like = self.topology.nodes.first().map_or(0, |node| node.machine.0 as usize);
        let mut machine = self.topology.machines[like].clone();
        machine.name = Name::new("client");
        machine.rack = format!("{}-client", machine.zone).into();
        self.topology.machines.push(machine);
        MachineId(self.topology.machines.len() as u32 - 1)
    }
}

pub const DEFAULT_REGION: &str = "region-1";

fn zones_of(group: &NodeGroup) -> Vec<String> {
    if group.zones.is_empty() { vec!["zone-1".to_owned()] } else { group.zones.clone() }
}
