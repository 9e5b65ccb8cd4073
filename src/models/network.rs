//! How long a message takes between two machines, and whether it arrives at all.
//!
//! Latencies go by how far apart the machines are; draws come from one stream a directed link. Loss shows as delay on a stream (TCP sends
//! the segment again after 200 ms, doubling), never as a lost message. Connections themselves are the host's.
//!
//! Messages that don't rely on one stream ([`Links::passage`]) may also be lost, come twice, or be overtaken.

use super::distribution::Distribution;
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Map, Name, Stream, Time};
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

/// TCP's first retransmission time-out, and the longest (Linux TCP_RTO_MIN and TCP_RTO_MAX).
pub const RETRANSMISSION: Duration = Duration::from_millis(200);
const RETRANSMISSION_MAX: Duration = Duration::from_secs(120);
/// That of a SYN (RFC 6298; Linux TCP_TIMEOUT_INIT).
pub const SYN_RETRANSMISSION: Duration = Duration::from_secs(1);
/// How often a time-out may double before this model gives the segment its arrival.
const DOUBLINGS_MAX: u32 = 6;

/// When TCP sends again, at or after `now`, what it first sent at `since`: after `first`, then each time after twice as long.
pub fn next_retransmission(since: Time, now: Time, first: Duration) -> Time {
    let (mut at, mut wait) = (since, first);
    while at < now {
        at += wait;
        wait = (wait * 2).min(RETRANSMISSION_MAX);
    }
    at
}

/// What a link does to messages that are not promised to arrive, nor to arrive in order: between members of etcd. Each is asked of each
/// message; probabilities from 0 to 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreliable {
    pub drop: f64,
    pub duplicate: f64,
    pub reorder: f64,
    /// How much later a second copy comes, or what is overtaken.
    pub late: Distribution,
}

/// What becomes of a message beside its usual delay: its own arrival and a second one, each so much later; `None`: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    pub first: Option<Duration>,
    pub second: Option<Duration>,
}

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

struct Bad {
    id: Disturbance,
    from: Vec<bool>,
    to: Vec<bool>,
    how: Unreliable,
}

/// The links between all machines.
pub struct Links {
    network: Network,
    /// Interned (region, zone, rack) of each machine.
    places: Vec<[u32; 3]>,
    streams: Map<(MachineId, MachineId), Stream>,
    /// Of their own, so that an unreliable link leaves delays alone.
    fates: Map<(MachineId, MachineId), Stream>,
    seed: Seed,
    cuts: Vec<Cut>,
    slows: Vec<Slow>,
    bad: Vec<Bad>,
}

impl Links {
    pub fn new(network: Network, places: &[Place], seed: Seed) -> Links {
        let mut names: Map<(u8, Name), u32> = Map::default();
        let mut number = |level: u8, name: &Name| {
            let next = names.len() as u32;
            *names.entry((level, name.clone())).or_insert(next)
        };
        let places = places.iter().map(|place| [number(0, &place.region), number(1, &place.zone), number(2, &place.rack)]).collect();
        let (streams, fates) = (Map::default(), Map::default());
        Links { network, places, streams, fates, seed, cuts: Vec::new(), slows: Vec::new(), bad: Vec::new() }
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
    /// What an unreliable link does to the next message that relies on no stream; `None`: nothing.
    pub fn passage(&mut self, from: MachineId, to: MachineId) -> Option<Passage> {
        if self.bad.iter().all(|bad| !crosses(&bad.from, &bad.to, false, from, to)) {
            return None;
        }
        let stream = self.fates.entry((from, to)).or_insert_with(|| self.seed.stream(&format!("fates {} -> {}", from.0, to.0)));
        let (mut first, mut second, mut late) = (true, None, Duration::ZERO);
        for Bad { how, .. } in self.bad.iter().filter(|bad| crosses(&bad.from, &bad.to, false, from, to)) {
            first &= !stream.chance(how.drop);
            if stream.chance(how.duplicate) {
                second = Some(how.late.sample(stream));
            }
            if stream.chance(how.reorder) {
                late += how.late.sample(stream);
            }
        }
        // Of a message that comes twice the first may be lost, and the second with it: one draw stands for both.
        Some(Passage { first: first.then_some(late), second: second.filter(|_| first) })
    }
    pub fn is_reliable(&self) -> bool {
        self.bad.is_empty()
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
    /// Of several on one link each has its say.
    pub fn add_unreliable(&mut self, id: Disturbance, from: &[MachineId], to: &[MachineId], how: Unreliable) {
        let (from, to) = (self.set(from), self.set(to));
        self.bad.push(Bad { id, from, to, how });
    }
    pub fn end(&mut self, id: Disturbance) {
        self.cuts.retain(|cut| cut.id != id);
        self.slows.retain(|slow| slow.id != id);
        self.bad.retain(|bad| bad.id != id);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_is_sent_again_after_a_wait_that_doubles() {
        let at = |millis| Time::ZERO + Duration::from_millis(millis);
        let again = |now, first| next_retransmission(at(1000), at(now), first);
        assert_eq!([1000, 1001, 1200, 1201, 10_000].map(|now| again(now, RETRANSMISSION)), [1000, 1200, 1200, 1600, 13_600].map(at));
        assert_eq!(again(10_000, SYN_RETRANSMISSION), at(16_000));
        let (first, second) = (again(1_000_000, RETRANSMISSION), again(1_100_000, RETRANSMISSION));
        assert_eq!(second.since(first), RETRANSMISSION_MAX);
    }

    fn place() -> Place {
        Place { region: Name::new("r"), zone: Name::new("a"), rack: Name::new("a-1") }
    }
    fn links() -> Links {
        Links::new(Network::default(), &[place(), place(), place()], Seed(7))
    }
    const HERE: MachineId = MachineId(0);
    const THERE: MachineId = MachineId(1);

    #[test]
    fn an_unreliable_link_loses_doubles_and_delays_as_often_as_it_says() {
        let mut links = links();
        let late = Distribution::Constant(Duration::from_millis(30));
        links.add_unreliable(4, &[HERE], &[THERE], Unreliable { drop: 0.1, duplicate: 0.2, reorder: 0.3, late });
        let passages: Vec<Passage> = (0..10_000).map(|_| links.passage(THERE, HERE).expect("both ways")).collect();
        let count = |which: &dyn Fn(&Passage) -> bool| passages.iter().filter(|passage| which(passage)).count();
        assert!((850..1150).contains(&count(&|passage| passage.first.is_none())));
        assert!((1650..1950).contains(&count(&|passage| passage.second == Some(Duration::from_millis(30)))), "a fifth of nine tenths");
        assert!((2550..2850).contains(&count(&|passage| passage.first == Some(Duration::from_millis(30)))), "three tenths of nine");
        assert_eq!(links.passage(HERE, MachineId(2)), None, "another link");
        links.end(4);
        assert_eq!(links.passage(HERE, THERE), None);
        assert!(links.is_reliable());
    }

    #[test]
    fn what_becomes_of_messages_leaves_delays_alone() {
        let (mut plain, mut bad) = (links(), links());
        let late = Distribution::Exponential { mean: Duration::from_millis(5) };
        bad.add_unreliable(0, &[HERE], &[THERE], Unreliable { drop: 0.5, duplicate: 0.5, reorder: 0.5, late });
        for _ in 0..100 {
            bad.passage(HERE, THERE);
            assert_eq!(plain.delay(HERE, THERE), bad.delay(HERE, THERE));
        }
    }
}
