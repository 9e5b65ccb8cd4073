//! Machines and components as names find them.

use std::collections::BTreeMap;

use super::workload::WORKLOADS;
use super::{Lowering, at, short};
use crate::base::Name;
use crate::engine::plan::{Choice, Found, Machine, NodePlan, Whose};
use crate::scenario::file::Places;
use crate::wire::address::{Address, MachineId, Member, NodeId, Replica, Server};

/// The cluster's machines, with what they are called.
#[derive(Default)]
pub struct Topology {
    pub machines: Vec<Machine>,
    pub etcd: Vec<MachineId>,
    /// The first so many are members at the start.
    pub etcd_initial: usize,
    pub api_servers: Vec<MachineId>,
    pub managers: Vec<MachineId>,
    pub schedulers: Vec<MachineId>,
    pub nodes: Vec<NodePlan>,
    pub node_by_name: BTreeMap<Name, NodeId>,
}

/// One process, or who leads at the instant of the fault.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Component {
    One(Address),
    EtcdLeader,
    ManagerLeader,
    SchedulerLeader,
}

const LEADERS: [(&str, Component); 3] = [
    ("etcd-leader", Component::EtcdLeader),
    ("controller-manager-leader", Component::ManagerLeader),
    ("scheduler-leader", Component::SchedulerLeader),
];

impl Topology {
    /// There is no Kubernetes around etcd.
    pub fn is_etcd_only(&self) -> bool {
        self.api_servers.is_empty() && self.managers.is_empty() && self.schedulers.is_empty()
    }
    pub fn component(&self, name: &str) -> Option<Component> {
        if let Some((_, leader)) = LEADERS.iter().find(|(leader, _)| *leader == name) {
            return Some(leader.clone());
        }
        if let Some(node) = name.strip_prefix("kubelet-") {
            return self.node_by_name.get(node).map(|id| Component::One(Address::Kubelet(*id)));
        }
        let (kind, number) = name.rsplit_once('-')?;
        let number: u16 = number.parse().ok().filter(|number| *number > 0)?;
        let (count, address) = match kind {
            "etcd" => (self.etcd.len(), Address::Etcd(Member(number))),
            "apiserver" => (self.api_servers.len(), Address::Api(Server(number))),
            "controller-manager" => (self.managers.len(), Address::Manager(Replica(number))),
            "scheduler" => (self.schedulers.len(), Address::Scheduler(Replica(number))),
            _ => return None,
        };
        (usize::from(number) <= count).then_some(Component::One(address))
    }
    /// Every name that [`Topology::component`] knows, kubelets left out.
    pub fn component_names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (kind, machines) in [
            ("etcd", &self.etcd),
            ("apiserver", &self.api_servers),
            ("controller-manager", &self.managers),
            ("scheduler", &self.schedulers),
        ] {
            names.extend((1..=machines.len()).map(|number| format!("{kind}-{number}")));
        }
        names.extend(LEADERS.iter().map(|(name, _)| (*name).to_owned()));
        names
    }
    fn machine_of(&self, address: Address) -> Option<MachineId> {
        match address {
            Address::Etcd(Member(n)) => self.etcd.get(usize::from(n) - 1).copied(),
            Address::Api(Server(n)) => self.api_servers.get(usize::from(n) - 1).copied(),
            Address::Manager(Replica(n)) => self.managers.get(usize::from(n) - 1).copied(),
            Address::Scheduler(Replica(n)) => self.schedulers.get(usize::from(n) - 1).copied(),
            Address::Kubelet(NodeId(n)) => self.nodes.get(n as usize).map(|node| node.machine),
            _ => None,
        }
    }
    fn machines_where(&self, holds: impl Fn(&Machine) -> bool) -> Vec<MachineId> {
        let ids = (0..self.machines.len() as u32).map(MachineId);
        ids.filter(|id| holds(&self.machines[id.0 as usize])).collect()
    }
}

impl Lowering<'_> {
    /// The machines that are meant, sorted, each once. Naming none is an error, as is naming what is not there, or what only the run knows.
    pub fn places(&mut self, places: &Places, path: &str) -> Vec<MachineId> {
        let (machines, found) = self.hit(places, path);
        if found.is_some() {
            let named = places.nodes_of.iter().map(|_| "nodesOf").chain(std::iter::once("components")).next().expect("one at least");
            let message = "which machines these are is known only when the run is on its way".to_owned();
            self.error(&format!("{path}.{named}"), message, |error| error.expecting("machines by name or place"));
        }
        machines
    }
    /// The machines that a fault hits: those that are known, and how to find the others when it begins.
    pub fn hit(&mut self, places: &Places, path: &str) -> (Vec<MachineId>, Option<Found>) {
        let (mut found, mut whose) = (Vec::new(), Vec::new());
        for (index, name) in places.nodes.iter().enumerate() {
            if let Some(id) = self.node(name, &format!("{path}.nodes[{index}]")) {
                found.push(self.topology.nodes[id.0 as usize].machine);
            }
        }
        for (index, name) in places.groups.iter().enumerate() {
            let nodes = self.topology.nodes.iter().filter(|node| node.group == **name).map(|node| node.machine).collect::<Vec<_>>();
            if nodes.is_empty() {
                let known = distinct(self.topology.nodes.iter().map(|node| &node.group));
                self.unknown("node group", name, &format!("{path}.groups[{index}]"), &known);
            }
            found.extend(nodes);
        }
        type Field = fn(&Machine) -> &Name;
        let fields: [(&str, &str, &Vec<String>, Field); 4] = [
            ("racks", "rack", &places.racks, |machine| &machine.rack),
            ("zones", "zone", &places.zones, |machine| &machine.zone),
            ("regions", "region", &places.regions, |machine| &machine.region),
            ("machines", "machine", &places.machines, |machine| &machine.name),
        ];
        for (field, what, names, of) in fields {
            for (index, name) in names.iter().enumerate() {
                let machines = self.topology.machines_where(|machine| *of(machine) == **name);
                if machines.is_empty() {
                    let known = distinct(self.topology.machines.iter().map(of));
                    self.unknown(what, name, &format!("{path}.{field}[{index}]"), &known);
                }
                found.extend(machines);
            }
        }
        for (index, name) in places.components.iter().enumerate() {
            let path = format!("{path}.components[{index}]");
            match self.component(name, &path) {
                None => {}
                Some(Component::One(address)) => found.extend(self.topology.machine_of(address)),
                Some(Component::EtcdLeader) => whose.push(Whose::EtcdLeader),
                Some(Component::ManagerLeader) => whose.push(Whose::ManagerLeader),
                Some(Component::SchedulerLeader) => whose.push(Whose::SchedulerLeader),
            }
        }
        for (index, name) in places.nodes_of.iter().enumerate() {
            let (namespace, workload) = name.split_once('/').map_or((None, &**name), |(namespace, name)| (Some(namespace), name));
            let path = format!("{path}.nodesOf[{index}]");
            whose.extend(self.workload_key(workload, &namespace.map(str::to_owned), &path, &WORKLOADS).map(Whose::Pods));
        }
        let choice = self.choice(places, path);
        let named = [
            &places.nodes,
            &places.groups,
            &places.racks,
            &places.zones,
            &places.regions,
            &places.machines,
            &places.components,
            &places.nodes_of,
        ];
        let nobody = named.iter().all(|names| names.is_empty());
        if nobody && (choice.is_some() || places.random_nodes.is_some()) {
            found.extend(self.topology.nodes.iter().map(|node| node.machine));
        } else if nobody {
            self.error(path, "no machines are named".to_owned(), |error| {
                error.expecting("nodes, groups, racks, zones, regions, machines, components, nodesOf, randomNodes or randomShare")
            });
        }
        found.sort_unstable();
        found.dedup();
        if !whose.is_empty() {
            return (found, Some(Found { whose, choose: choice }));
        }
        if let Some(choice) = choice {
            found = self.choose_nodes(&found, choice, path);
        }
        (found, None)
    }
    fn choice(&mut self, places: &Places, path: &str) -> Option<Choice> {
        match (places.random_nodes, places.random_share) {
            (None, None) => None,
            (Some(_), Some(_)) => {
                let message = "both randomNodes and randomShare are given".to_owned();
                self.error(path, message, |error| error.expecting("one of them"));
                None
            }
            (Some(count), None) => {
                if count == 0 {
                    self.error(&at(path, "randomNodes"), "no node would be hit".to_owned(), |error| error.expecting("1 or more"));
                }
                Some(Choice::Count(count))
            }
            (None, Some(share)) => {
                if share.0 <= 0.0 {
                    self.error(&at(path, "randomShare"), "no node would be hit".to_owned(), |error| error.expecting("more than 0%"));
                }
                Some(Choice::Share(share.0))
            }
        }
    }
    /// The other side of a partition: what is named, or everything else.
    pub fn other_side(&mut self, from: &[MachineId], to: &Option<Places>, path: &str) -> Vec<MachineId> {
        let path = at(path, "to");
        match to {
            None => {
                let machines = (0..self.topology.machines.len() as u32).map(MachineId);
                let rest: Vec<MachineId> = machines.filter(|id| from.binary_search(id).is_err()).collect();
                if rest.is_empty() && !from.is_empty() {
                    let message = "\"from\" names all machines: there is nobody on the other side".to_owned();
                    self.error(path.trim_end_matches(".to"), message, |error| error);
                }
                rest
            }
            Some(places) => {
                let to = self.places(places, &path);
                if let Some(both) = to.iter().find(|id| from.binary_search(id).is_ok()) {
                    let name = self.topology.machines[both.0 as usize].name.clone();
                    self.error(&path, format!("{name} is on both sides"), |error| error);
                }
                to
            }
        }
    }
    pub fn node(&mut self, name: &str, path: &str) -> Option<NodeId> {
        let found = self.topology.node_by_name.get(name).copied();
        if found.is_none() {
            let known: Vec<String> = self.topology.node_by_name.keys().map(|name| name.to_string()).collect();
            self.unknown("node", name, path, &known);
        }
        found
    }
    pub fn component(&mut self, name: &str, path: &str) -> Option<Component> {
        let found = self.topology.component(name);
        if found.is_none() {
            let mut known = self.topology.component_names();
            if name.starts_with("kubelet") {
                known = self.topology.node_by_name.keys().map(|name| format!("kubelet-{name}")).collect();
            }
            self.unknown("component", name, path, &known);
        }
        found
    }
    /// A name that is not there: suggests the nearest, or lists them if they are few.
    pub fn unknown(&mut self, what: &str, name: &str, path: &str, known: &[String]) {
        let message = format!("there is no {what} \"{}\"", short(name));
        self.error(path, message, |error| {
            // Searching for the nearest costs a comparison each: beyond some thousands the first ones do.
            let error = error.suggesting(name, known.iter().take(5_000).map(String::as_str));
            match known.len() {
                0 => error.expecting(format!("nothing: there is no {what} at all")),
                1..=16 => error.expecting(known.join(", ")),
                count => error.expecting(format!("one of {count}: {}, ..., {}", known[0], known[count - 1])),
            }
        });
    }
}

fn distinct<'n>(names: impl Iterator<Item = &'n Name>) -> Vec<String> {
    let names: std::collections::BTreeSet<&str> = names.map(Name::as_str).collect();
    names.into_iter().map(str::to_owned).collect()
}
