//! Who listens where: a run has a block 127.R.0.0/16 of its own; actors and pods have an address each in it. Actors that have a
//! [network](super::network) to themselves have 10.R.0.0/16 there.

use std::net::{Ipv4Addr, SocketAddrV4};

use crate::base::Map;
use crate::objects::pod::PodIp;
use crate::wire::{Address, MachineId, NodeId};

/// The port of every actor (ours): above the ports that need privileges, below the ephemeral ones (Linux: from 32768).
const ACTOR_PORT: u16 = 20_000;
/// The port of a pod's service.
pub const SERVICE_PORT: u16 = 8080;
/// The port of a container's health endpoint is this and its index.
pub const HEALTH_PORT: u16 = 8100;
/// Pods have 127.R.node.x for nodes below this, actors what is beyond.
pub const NODES_MAX: usize = 200;
/// Addresses of a node that pods may have.
const PODS_MAX: u32 = 250;
/// Actors in a row of addresses.
const ROW: usize = 250;
/// Actors of a run: the rows from [`NODES_MAX`] to 255.
pub const ACTORS_MAX: usize = (256 - NODES_MAX) * ROW;
/// Runs at the same time: the blocks from 127.64.0.0/16 on, away from 127.0.0.0/16, where programs of this machine listen.
pub const BLOCKS: std::ops::RangeInclusive<u8> = 64..=254;

/// The places of a run: where each actor lives and listens.
#[derive(Clone, Debug)]
pub struct Addresses {
    block: u8,
    places: Vec<(Address, MachineId)>,
    numbers: Map<Address, usize>,
    node_machines: Vec<MachineId>,
    on_network: bool,
}

impl Addresses {
    /// `places`: all actors of the plan with their machines, in the plan's order, which every process knows alike.
    pub fn new(block: u8, places: Vec<(Address, MachineId)>) -> Addresses {
        let numbers = places.iter().enumerate().map(|(number, (address, _))| (*address, number)).collect();
        let kubelets = places.iter().filter(|(address, _)| matches!(address, Address::Kubelet(_)));
        let node_machines = kubelets.map(|(_, machine)| *machine).collect();
        Addresses { block, places, numbers, node_machines, on_network: false }
    }
    /// Actors, but clients of services, listen on the run's own network.
    #[must_use]
    pub fn on_network(self) -> Addresses {
        Addresses { on_network: true, ..self }
    }
    /// The run's block.
    pub fn block(&self) -> u8 {
        self.block
    }
    /// The number of an actor among all.
    pub fn number(&self, actor: Address) -> usize {
        self.numbers[&actor]
    }
    pub fn machine(&self, actor: Address) -> MachineId {
        self.places[self.number(actor)].1
    }
    pub fn places(&self) -> &[(Address, MachineId)] {
        &self.places
    }
    /// Where an actor listens.
    pub fn of(&self, actor: Address) -> SocketAddrV4 {
        let number = self.number(actor);
        let first = if self.on_network && !matches!(actor, Address::Traffic(_)) { 10 } else { 127 };
        let ip = Ipv4Addr::new(first, self.block, (NODES_MAX + number / ROW) as u8, (number % ROW + 1) as u8);
        SocketAddrV4::new(ip, ACTOR_PORT)
    }
    /// The n-th address of a node's pods, in turn.
    pub fn pod(&self, node: NodeId, nth: u32) -> PodIp {
        PodIp(Ipv4Addr::new(127, self.block, node.0 as u8, (nth % PODS_MAX + 1) as u8).into())
    }
    /// The next address of a node's pods that is not `used`; `given`: how many were looked at, so that none is given again soon.
    pub fn free(&self, node: NodeId, given: &mut u32, used: impl Fn(PodIp) -> bool) -> Option<PodIp> {
        let nth = (*given..*given + PODS_MAX).find(|nth| !used(self.pod(node, *nth)))?;
        *given = nth + 1;
        Some(self.pod(node, nth))
    }
    /// The machine that a pod's address is on; `None` for what is not of this run.
    pub fn machine_of_pod(&self, ip: PodIp) -> Option<MachineId> {
        let [first, block, node, _] = Ipv4Addr::from(ip.0).octets();
        if (first, block) != (127, self.block) {
            return None;
        }
        self.node_machines.get(usize::from(node)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Member;

    #[test]
    fn actors_and_pods_of_a_run_have_addresses_of_their_own_on_loopback() {
        let kubelet = |n| (Address::Kubelet(NodeId(n)), MachineId(n + 1));
        let addresses = Addresses::new(77, vec![(Address::Etcd(Member(1)), MachineId(0)), kubelet(0), kubelet(1)]);
        assert_eq!(addresses.of(Address::Etcd(Member(1))).to_string(), "127.77.200.1:20000");
        assert_eq!(addresses.of(Address::Kubelet(NodeId(1))).to_string(), "127.77.200.3:20000");
        let pod = addresses.pod(NodeId(1), 0);
        assert_eq!(pod.to_string(), "127.77.1.1");
        assert_eq!(addresses.machine_of_pod(pod), Some(MachineId(2)));
        assert_eq!(addresses.machine_of_pod(PodIp(Ipv4Addr::new(127, 78, 1, 1).into())), None, "another run's");
    }
}
