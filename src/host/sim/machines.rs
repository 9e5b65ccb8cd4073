//! Boxes: power, a disk, cores, and whether they stand still.

use super::holds::Holds;
use crate::base::random::Seed;
use crate::base::{Cause, Incarnation, Time};
use crate::engine::plan;
use crate::models::cores::{Cores, WorkTimes};
use crate::models::disk::Disk;
use crate::wire::{Address, NodeId};

pub struct Machine {
    pub powered: bool,
    /// It has no power because it was shut down in order: files were synced, and connections ended with a word.
    pub shut_down: bool,
    /// Since when it stands still.
    pub frozen: Option<Time>,
    /// How often it has been started.
    pub boot: Incarnation,
    pub disk: Disk,
    pub cores: Cores,
    /// Syncs that wait until the disk goes on, in their order: their numbers, and why they were asked for.
    pub waiting: Vec<(u64, Cause)>,
    /// What faults leave of it, by their numbers: thousandths of its cores' speed, and of its network interface's bandwidth.
    pub slowed: Vec<(u32, u64, u64)>,
    /// The faults because of which its container runtime's daemon stands still.
    pub runtime_pauses: Vec<(u32, Cause)>,
    /// The kubelet on it, if it is a node.
    pub kubelet: Option<Address>,
    /// The faults on it.
    pub holds: Holds,
    /// `None` while it hears of changes of the API; else up to when it did.
    pub hears_until: Option<Time>,
    /// When its container engine will be woken.
    pub engine_armed: Time,
}

impl Machine {
    fn new(machine: &plan::Machine, start: Time, seed: Seed) -> Machine {
        let mut disk = Disk::new(machine.fsync.clone(), seed.stream(&format!("disk {}", machine.name)));
        if let Some(pattern) = &machine.stalls {
            disk = disk.with_stalls(pattern.clone(), start, seed.stream(&format!("disk stalls {}", machine.name)));
        }
        Machine {
            powered: true,
            shut_down: false,
            frozen: None,
            boot: Incarnation(1),
            disk,
            cores: Cores::new(machine.cores, WorkTimes::default()),
            waiting: Vec::new(),
            slowed: Vec::new(),
            runtime_pauses: Vec::new(),
            kubelet: None,
            holds: Holds::default(),
            hears_until: None,
            engine_armed: Time::NEVER,
        }
    }
}

/// All machines of a plan.
pub fn all(plan: &plan::Plan, seed: Seed) -> Vec<Machine> {
    let mut machines: Vec<Machine> = plan.machines.iter().map(|machine| Machine::new(machine, plan.start, seed)).collect();
    for (number, node) in plan.nodes.iter().enumerate() {
        machines[node.machine.0 as usize].kubelet = Some(Address::Kubelet(NodeId(number as u32)));
    }
    machines
}
