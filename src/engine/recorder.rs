//! Takes facts in, resolves their causes, keeps both digests and their checkpoints.
//!
//! A cause that is a revision becomes the fact that the observer made of that revision, or what caused that write where it made none. A
//! [`What::Silent`] fact gets the fault behind the silence as its cause: nobody inside the cluster can know it, but the host does.

use super::clients::Clients;
use super::host::Host;
use super::plan::{Fault, FaultPlan, Targets};
use super::record::{Checkpoint, Entry, FaultInfo, Record, Sample};
use crate::base::digest::Digester;
use crate::base::{Cause, Digest, Duration, FactId, Map, Name, Revision, Term, Time};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::history::HistoryEvent;
use crate::wire::raft::Configuration;
use crate::wire::{Address, MachineId};

/// Beyond this many checkpoints every other one is dropped.
const CHECKPOINTS_MAX: usize = 65_536;

/// See the module.
#[derive(Default)]
pub struct Recorder {
    facts: Vec<Entry>,
    /// The fact that stands for a revision, where one does.
    of_revision: Map<Revision, FactId>,
    /// Whom a silent party's name means.
    parties: Map<Name, Address>,
    /// Who gave up the lead, and has not had it since: the fact that says so.
    stood_down: Map<Address, Cause>,
    /// By `MachineId`.
    machines: Vec<Name>,
    fault_facts: Vec<Cause>,
    history: Vec<(Time, HistoryEvent)>,
    faults: Vec<FaultInfo>,
    pub samples: Vec<Sample>,
    checkpoints: Vec<Checkpoint>,
    checkpoint_every: Duration,
    next_checkpoint: Time,
    /// Elections won in etcd.
    pub etcd_elections: u64,
    /// Who won which term: at most one.
    etcd_leaders: Map<Term, Address>,
    /// (sent, failed) of each traffic client.
    pub traffic: Map<u32, (u64, u64)>,
    pub clients: Clients,
    /// Who leads etcd, as it was last looked at.
    pub etcd_leader: Option<Address>,
    /// The membership of etcd, as its leader then had it.
    pub etcd_members: Configuration,
    /// Broken invariants: the run stops at the first.
    pub violations: Vec<String>,
    outcome: Digester,
    keeps_unresolved: bool,
    buffer: Vec<u8>,
    start: Time,
}

impl Recorder {
    pub fn new(start: Time) -> Recorder {
        Recorder { start, checkpoint_every: Duration::from_secs(1), next_checkpoint: start, ..Recorder::default() }
    }
    pub fn start(&self) -> Time {
        self.start
    }
    /// `name` (a node's, an identity of leader election) is this process.
    pub fn know(&mut self, name: Name, address: Address) {
        self.parties.insert(name, address);
    }

    /// The names of all machines, by id.
    pub fn know_machines(&mut self, names: Vec<Name>) {
        self.machines = names;
    }

    /// Adds a fact. Facts must come in the order of their ids.
    pub fn record(&mut self, at: Time, id: FactId, cause: Cause, fact: Fact) {
        debug_assert!(self.facts.last().is_none_or(|last| last.id < id && last.at <= at), "fact {id} is out of order");
        self.count(&fact);
        match (&fact.what, &fact.subject) {
            (What::StoppedLeading, Subject::Actor(address)) => {
                self.stood_down.insert(*address, Cause::fact(id));
            }
            (What::Leading, Subject::Actor(address)) => {
                self.stood_down.remove(address);
            }
            _ => {}
        }
        let unresolved = cause.to_unresolved().filter(|_| self.keeps_unresolved);
        let cause = self.resolve(cause).or(unresolved);
        let entry = Entry { id, at, cause, fact };
        self.buffer.clear();
        self.buffer = postcard::to_extend(&entry, std::mem::take(&mut self.buffer)).expect("a fact can be written");
        self.outcome.bytes(&self.buffer);
        self.facts.push(entry);
    }
    /// What a client of etcd did or saw, in order.
    pub fn history(&mut self, at: Time, event: HistoryEvent) {
        self.clients.told(at, &event);
        self.history.push((at, event));
    }
    /// Terms begin again: etcd is another cluster now.
    pub fn etcd_restored(&mut self) {
        self.etcd_leaders.clear();
    }
    /// All of it so far.
    pub fn histories(&self) -> &[(Time, HistoryEvent)] {
        &self.history
    }
    fn count(&mut self, fact: &Fact) {
        match (&fact.what, &fact.subject) {
            (What::BecameLeader { term }, Subject::Actor(address)) => {
                self.etcd_elections += 1;
                let first = *self.etcd_leaders.entry(*term).or_insert(*address);
                if first != *address {
                    self.violations.push(format!("two leaders in term {term}: {first} and {address}"));
                }
            }
            (What::Traffic { sent, ok, .. }, Subject::Actor(Address::Traffic(client))) => {
                let total = self.traffic.entry(*client).or_default();
                total.0 += u64::from(*sent);
                total.1 += u64::from(sent - ok);
            }
            (what @ What::EtcdOperations { .. }, _) => self.clients.counted(what),
            _ => {}
        }
    }
    /// The fact that a cause comes down to.
    pub fn resolve(&self, cause: Cause) -> Option<FactId> {
        cause.as_fact().or_else(|| self.of_revision.get(&cause.as_revision()?).copied())
    }
    /// Causes that are revisions unknown here stay, each in the place of a fact's id ([`Cause::to_unresolved`]): some other process of this
    /// run knows them.
    pub fn keep_unresolved(&mut self) {
        self.keeps_unresolved = true;
    }
    /// From now on `revision` as a cause means `fact`.
    pub fn stands_for(&mut self, revision: Revision, fact: FactId) {
        self.of_revision.insert(revision, fact);
    }
    /// What is behind a party's silence: that it stood down, if that is why it does not lead any more; else a fault.
    pub fn silence(&self, of: &Subject, now: Time, host: &impl Host) -> Cause {
        let address = match of {
            Subject::Actor(address) => Some(*address),
            Subject::Object(key) => self.parties.get(key.name()).copied(),
            Subject::Place(name) => self.parties.get(name).copied(),
            Subject::Run => None,
        };
        address.map_or(Cause::NONE, |address| {
            let stood_down = self.stood_down.get(&address).copied().unwrap_or_default();
            stood_down.or(host.silenced_by(now, address))
        })
    }

    pub fn fault_began(&mut self, number: usize, plan: &FaultPlan, cause: Cause) {
        if self.fault_facts.len() <= number {
            self.fault_facts.resize(number + 1, Cause::NONE);
        }
        self.fault_facts[number] = cause;
        let (kind, targets) = describe(&plan.fault, &self.machines);
        let FaultPlan { description, at, drawn, .. } = plan;
        let (description, drawn) = (description.clone(), drawn.clone());
        self.faults.push(FaultInfo { description, kind: kind.into(), targets, at: *at, until: plan.ends(), drawn });
    }
    pub fn fault_cause(&self, number: usize) -> Cause {
        self.fault_facts.get(number).copied().unwrap_or_default()
    }

    /// The state of both digests at the end of a second.
    pub fn checkpoint(&mut self, at: Time, trace: Digest) {
        if at < self.next_checkpoint {
            return;
        }
        self.next_checkpoint = at + self.checkpoint_every;
        self.checkpoints.push(Checkpoint { at, outcome: self.outcome.digest(), trace });
        if self.checkpoints.len() > CHECKPOINTS_MAX {
            let mut keep = false;
            self.checkpoints.retain(|_| {
                keep = !keep;
                keep
            });
            self.checkpoint_every = self.checkpoint_every * 2;
        }
    }
    pub fn outcome_digest(&self) -> Digest {
        self.outcome.digest()
    }
    pub fn facts(&self) -> &[Entry] {
        &self.facts
    }
    /// Fills in what the recorder knows; the rest is the engine's.
    pub fn finish(self, record: &mut Record) {
        record.digest = self.outcome.digest();
        record.facts = self.facts;
        record.history = self.history;
        record.samples = self.samples;
        record.checkpoints = self.checkpoints;
        record.scenario.faults = self.faults;
    }
}

/// The kind of a fault and whom it hits, in the record's words.
pub fn describe(fault: &Fault, names: &[Name]) -> (&'static str, Vec<Name>) {
    let machines = |ids: &[MachineId]| ids.iter().filter_map(|id| names.get(id.0 as usize).cloned()).collect();
    let addresses = |targets: &Targets| match targets {
        Targets::Addresses(addresses) => addresses.iter().map(|address| address.to_string().into()).collect(),
        Targets::EtcdLeader => vec!["etcd leader".into()],
        Targets::ManagerLeader => vec!["controller manager leader".into()],
        Targets::SchedulerLeader => vec!["scheduler leader".into()],
        Targets::KubeletsOn(ids) => machines(ids),
    };
    match fault {
        Fault::Kill(targets) => ("kill", addresses(targets)),
        Fault::Pause(targets) => ("pause", addresses(targets)),
        Fault::PowerLoss(ids) => ("power loss", machines(ids)),
        Fault::Freeze(ids) => ("freeze", machines(ids)),
        Fault::Reboot { machines: ids, .. } => ("reboot", machines(ids)),
        Fault::Partition { from, .. } => ("partition", machines(from)),
        Fault::SlowLink { from, .. } => ("slow link", machines(from)),
        Fault::UnreliableLink { from, .. } => ("unreliable link", machines(from)),
        Fault::RegistryDown => ("registry down", Vec::new()),
        Fault::RegistrySlow { .. } => ("registry slow", Vec::new()),
        Fault::SlowDisk { machines: ids, .. } => ("slow disk", machines(ids)),
        Fault::DiskStall(ids) => ("disk stall", machines(ids)),
        Fault::DiskFull(ids) => ("full disk", machines(ids)),
        Fault::RuntimePause(ids) => ("runtime pause", machines(ids)),
        Fault::DiskCorrupt { machines: ids, .. } => ("corrupted disk", machines(ids)),
        Fault::SlowMachine { machines: ids, .. } => ("slow machine", machines(ids)),
        Fault::ClockDrift { machines: ids, .. } => ("clock drift", machines(ids)),
        Fault::ContainerCrash { workload, .. } => ("container crash", vec![workload.clone()]),
    }
}
