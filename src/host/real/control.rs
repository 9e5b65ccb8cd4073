//! What a supervisor and its children say to one another, over the children's standard input and output.

use serde::{Deserialize, Serialize};

use crate::base::{Cause, Incarnation, Time};
use crate::engine::record::Entry;
use crate::models::distribution::Distribution;
use crate::wire::container::{ContainerEvent, ContainerOp};
use crate::wire::{Address, EndpointChange, MachineId};

/// What a process must know to be its actor. The first frame that it reads, and the first of its journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Setup {
    /// The scenario as resolved, so that every process lowers the same plan from it.
    pub scenario: String,
    pub actor: Address,
    /// Its lives so far, this one included.
    pub incarnation: Incarnation,
    pub machine_boot: Incarnation,
    /// The run's block of addresses.
    pub block: u8,
    /// Who does not know it is not spoken with.
    pub token: u128,
    /// Where its log and journal are.
    pub folder: String,
    pub supervisor: u32,
    /// Of the network that it is to be on; none: loopback.
    pub namespace: Option<String>,
}

/// What is wrong with the links between machines.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    pub cuts: Vec<Cut>,
    pub slow: Vec<SlowLink>,
}

/// Nothing passes from one machine to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cut {
    pub from: MachineId,
    pub to: MachineId,
    pub by: By,
}

/// Who makes a cut between actors, and what becomes of what is sent meanwhile. Clients of pods, who are beside the run's network, know no
/// kernel's: for them it is [`By::Loss`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum By {
    Kernel,
    /// The transport: it is lost, and sent again when TCP would.
    Loss,
    /// The transport: it is kept, since a machine stands still.
    Standstill,
}

/// What passes from one of these to one of those is late by so much more, and is lost and sent again with this probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SlowLink {
    pub from: Vec<MachineId>,
    pub to: Vec<MachineId>,
    pub latency: Distribution,
    pub loss: f64,
    /// Between actors the kernel sees to it.
    pub by_kernel: bool,
}

/// What is wrong with a machine's disk.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DiskTrouble {
    /// Each sync takes so much longer.
    pub extra: Vec<Distribution>,
    /// None ends.
    pub stalled: bool,
}

/// From the supervisor.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ToChild {
    /// The plan's start is at this instant of CLOCK_MONOTONIC; the actor begins then, or at once if that is over.
    Go { anchor: u64, begins: Time },
    /// What is cut now, and what is slow.
    Links(Links),
    /// How its machine's disk is doing.
    Disk(DiskTrouble),
    /// The container engine's answer.
    Container(Cause, Box<ContainerEvent>),
    /// Services' endpoints changed: for whoever dials services.
    Endpoints(Cause, EndpointChange),
    /// The run is over: tell what is left and exit.
    End,
}

/// From a child.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum FromChild {
    /// It knows the plan, and waits for the word to go.
    Ready,
    Facts(Vec<Entry>),
    Container(Cause, ContainerOp),
    Endpoints(Cause, EndpointChange),
    /// It is done.
    Ended(Lag),
}

/// How late a process was woken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Lag {
    pub wakes: u64,
    /// More than 20 ms late.
    pub late: u64,
    pub worst_nanos: u64,
    pub ended: Time,
}

impl Lag {
    /// A wake that is later than this is late: some two fifths of etcd's heartbeat interval would otherwise pass unseen.
    pub const LATE_NANOS: u64 = 20_000_000;

    /// What two lives, or two runs, come to.
    pub fn add(&mut self, other: &Lag) {
        self.wakes += other.wakes;
        self.late += other.late;
        self.worst_nanos = self.worst_nanos.max(other.worst_nanos);
    }
    pub fn note(&mut self, nanos: u64) {
        self.wakes += 1;
        self.late += u64::from(nanos > Lag::LATE_NANOS);
        self.worst_nanos = self.worst_nanos.max(nanos);
    }
}
