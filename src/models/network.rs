//! How long a message takes between two machines, and whether it arrives at all.
//!
//! Latencies go by how far apart the machines are; draws come from one stream a directed link. Loss shows as delay on a stream (TCP sends
//! the segment again after 200 ms, doubling), never as a lost message. Connections themselves are the host's.

use super::distribution::Distribution;
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Map, Name, Stream};
use crate::wire::MachineId;

/// One-way latencies by how far apart two machines are (ours; etcd.io docs, `tuning.md`, give several hundred us within a data
/// centre).
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub same_machine: Distribution,
    pub same_rack: Distribution,
    pub same_zone: Distribution,
    pub between_zones: Distribution,
    pub between_regions: Distribution,
    /// Probability that a segment is lost: 1e-5. A stream shows it as delay (retransmission after 200 ms, doubling).
    pub loss: f64,
}

impl Default for Network {
    /// The preset `datacenter`: medians of 20 us, 50 us, 150 us, 500 us and 30 ms, sigma 0.2 in log; between machines one message in 10,000
    /// takes 5 ms more (ours).
    fn default() -> Network {
        let around = |median| Distribution::LogNormal { median, sigma: 0.2 };
        let spiky = |micros| {
            let median = Duration::from_micros(micros);
            let second = around(median + Duration::from_millis(5));
            Distribution::Mixture { weight: 0.9999, first: Box::new(around(median)), second: Box::new(second) }
        };
        Network {
            same_machine: around(Duration::from_micros(20)),
            same_rack: spiky(50),
            same_zone: spiky(150),
            between_zones: spiky(500),
            between_regions: spiky(30_000),
            loss: 1e-5,
        }
    }
}

/// Where a machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub region: Name,
    pub zone: Name,
    pub rack: Name,
}

/// TCP's first retransmission time-out, and how often it may double before this model gives the segment its arrival.
const RETRANSMISSION: Duration = Duration::from_millis(200);
const DOUBLINGS_MAX: u32 = 6;

/// Names a disturbance of links, to end it by: the fault's number in the plan.
pub type Disturbance = u32;

struct Cut {
    id: Disturbance,
    from: Vec<bool>,
    to: Vec<bool>,
    one_way: bool,
    cause: Cause,
}

struct Slow {
    id: Disturbance,
    from: Vec<bool>,
    to: Vec<bool>,
    latency: Distribution,
    loss: f64,
}

/// The links between all machines.
pub struct Links {
    network: Network,
    /// Interned (region, zone, rack) of each machine.
    places: Vec<[u32; 3]>,
    streams: Map<(MachineId, MachineId), Stream>,
    seed: Seed,
    cuts: Vec<Cut>,
    slows: Vec<Slow>,
}

impl Links {
    pub fn new(network: Network, places: &[Place], seed: Seed) -> Links {
        let mut names: Map<(u8, Name), u32> = Map::default();
        let mut number = |level: u8, name: &Name| {
            let next = names.len() as u32;
            *names.entry((level, name.clone())).or_insert(next)
        };
        let places = places.iter().map(|place| [number(0, &place.region), number(1, &place.zone), number(2, &place.rack)]).collect();
        Links { network, places, streams: Map::default(), seed, cuts: Vec::new(), slows: Vec::new() }
    }

    /// How long a message takes from one machine to another now.
    pub fn delay(&mut self, from: MachineId, to: MachineId) -> Duration {
        let (a, b) = (self.places[from.0 as usize], self.places[to.0 as usize]);
        let stream = self.streams.entry((from, to)).or_insert_with(|| self.seed.stream(&format!("network {} -> {}", from.0, to.0)));
        let by_place = if from == to {
            &self.network.same_machine
        } else if a[0] != b[0] {
            &self.network.between_regions
        } else if a[1] != b[1] {
            &self.network.between_zones
        } else if a[2] != b[2] {
            &self.network.same_zone
        } else {
            &self.network.same_rack
        };
        let mut delay = by_place.sample(stream);
        let mut loss = if from == to { 0.0 } else { self.network.loss };
        for slow in &self.slows {
            if crosses(&slow.from, &slow.to, false, from, to) {
                delay += slow.latency.sample(stream);
                loss = 1.0 - (1.0 - loss) * (1.0 - slow.loss);
            }
        }
        let mut again = 0;
        while again < DOUBLINGS_MAX && stream.chance(loss) {
            delay += RETRANSMISSION * (1 << again);
            again += 1;
        }
        delay
    }
    /// The fault that keeps messages from passing, if one does.
    pub fn cut(&self, from: MachineId, to: MachineId) -> Option<Cause> {
        self.cuts.iter().find(|cut| crosses(&cut.from, &cut.to, cut.one_way, from, to)).map(|cut| cut.cause)
    }
    pub fn is_cut_free(&self) -> bool {
        self.cuts.is_empty()
    }
    /// The fault that cuts this machine off from some other.
    pub fn cut_around(&self, machine: MachineId) -> Option<Cause> {
        let here = machine.0 as usize;
        self.cuts.iter().find(|cut| cut.from[here] || cut.to[here]).map(|cut| cut.cause)
    }
    pub fn add_cut(&mut self, id: Disturbance, from: &[MachineId], to: &[MachineId], one_way: bool, cause: Cause) {
        let (from, to) = (self.set(from), self.set(to));
        self.cuts.push(Cut { id, from, to, one_way, cause });
    }
    /// Latencies and losses of several disturbances of one link add up.
    pub fn add_slow(&mut self, id: Disturbance, from: &[MachineId], to: &[MachineId], latency: Distribution, loss: f64) {
        let (from, to) = (self.set(from), self.set(to));
        self.slows.push(Slow { id, from, to, latency, loss });
    }
    pub fn end(&mut self, id: Disturbance) {
        self.cuts.retain(|cut| cut.id != id);
        self.slows.retain(|slow| slow.id != id);
    }
    fn set(&self, machines: &[MachineId]) -> Vec<bool> {
        let mut set = vec![false; self.places.len()];
        for machine in machines {
            set[machine.0 as usize] = true;
        }
        set
    }
}

/// Does a message from one machine to another cross from one set to the other (or back, unless one way)?
fn crosses(from_set: &[bool], to_set: &[bool], one_way: bool, from: MachineId, to: MachineId) -> bool {
    let (from, to) = (from.0 as usize, to.0 as usize);
    from != to && ((from_set[from] && to_set[to]) || (!one_way && from_set[to] && to_set[from]))
}
