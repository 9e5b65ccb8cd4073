//! The image registry and the links to it: round trips, then a transfer at a fair share, then unpacking.
//!
//! The registry's egress is shared max-min fairly among all active transfers; a machine's network interface is shared equally among the
//! machine's own transfers, which caps each of them. Transfers with the same cap form a class, and all members of a class have the same
//! rate at any time, so a class needs one counter of bytes that each member has got since the class began and one ordered set of the
//! counts at which members end: a transfer that joins or leaves costs O(log n + classes), not O(n). There are as many classes as there
//! are different values of interface / transfers on it, a handful.
//!
//! A registry that goes down breaks every transfer off and refuses new pulls after the round trips. Unpacking needs no registry.
//! Left out: layers (an image is one blob), retries inside a pull, rate limits by account.
//! Invariant: the rates of all transfers never add up to more than the egress (asserted when shares are made).

use std::collections::{BTreeMap, BTreeSet};

use super::images::ImageCatalog;
use crate::base::{Duration, Map, Name, Stream, Time};
use crate::wire::MachineId;
use crate::wire::container::RuntimeError;

/// The end of a pull.
#[derive(Clone, Debug, PartialEq)]
pub struct PullResult {
    pub machine: MachineId,
    pub image: Name,
    /// The compressed size in bytes.
    pub result: Result<u64, RuntimeError>,
}

/// See the module.
pub struct Registry {
    catalog: ImageCatalog,
    /// Bytes per second of each machine's network interface, by machine number.
    interfaces: Vec<u64>,
    /// Thousandths that slow interfaces give; the others are whole.
    shares: BTreeMap<MachineId, u64>,
    bandwidth: u64,
    down: bool,
    stream: Stream,
    pulls: Map<u64, Pull>,
    next_pull: u64,
    /// The transfers of each machine that has any, in order of their beginning.
    by_machine: BTreeMap<MachineId, Vec<u64>>,
    /// Ends of round trips and of unpacking.
    timers: BTreeSet<(Time, u64)>,
    /// By cap in bytes per second.
    classes: BTreeMap<u64, Class>,
    transfers: u64,
    /// Up to when all classes have been brought.
    settled: Time,
    deadline: Time,
}

struct Pull {
    machine: MachineId,
    image: Name,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq)]
enum Stage {
    RoundTrips { until: Time },
    Transfer { class: u64, ends_at: u128 },
    Unpack { until: Time },
}

/// Bytes are counted in billionths, so that a rate in bytes per second times nanoseconds is exact.
const BILLIONTHS: u128 = 1_000_000_000;

#[derive(Default)]
struct Class {
    rate: u64,
    /// Billionths of a byte that each member got since the class began.
    progress: u128,
    /// (value of `progress` at which the member is done, pull)
    members: BTreeSet<(u128, u64)>,
}

impl Registry {
    /// `interfaces`: bytes per second by machine number. `stream`: for the round trips.
    pub fn new(catalog: ImageCatalog, interfaces: Vec<u64>, stream: Stream) -> Registry {
        let bandwidth = catalog.registry_bandwidth;
        Registry {
            catalog,
            interfaces,
            shares: BTreeMap::new(),
            bandwidth,
            down: false,
            stream,
            pulls: Map::default(),
            next_pull: 1,
            by_machine: BTreeMap::new(),
            timers: BTreeSet::new(),
            classes: BTreeMap::new(),
            transfers: 0,
            settled: Time::ZERO,
            deadline: Time::NEVER,
        }
    }
    pub fn catalog(&self) -> &ImageCatalog {
        &self.catalog
    }
    /// The time that a look-up of an image's digest takes: what `Always` costs where the layers are present.
    pub fn round_trips(&mut self) -> Duration {
        self.catalog.registry_latency.sample(&mut self.stream)
    }
    pub fn is_down(&self) -> bool {
        self.down
    }
    /// Begins a pull, whose end [`Registry::wake`] tells. The caller asks once for an image that it has not.
    pub fn request(&mut self, now: Time, machine: MachineId, image: &Name) {
        let until = now + self.round_trips();
        let id = self.next_pull;
        self.next_pull += 1;
        self.pulls.insert(id, Pull { machine, image: image.clone(), stage: Stage::RoundTrips { until } });
        self.timers.insert((until, id));
        self.deadline = self.deadline.min(until);
    }
    pub fn deadline(&self) -> Time {
        self.deadline
    }
    /// Moves every pull on to `now`.
    pub fn wake(&mut self, now: Time, results: &mut Vec<PullResult>) {
        if now < self.deadline {
            return;
        }
        self.settle(now);
        let mut changed = self.finish_transfers(now);
        while let Some(&(at, id)) = self.timers.first().filter(|(at, _)| *at <= now) {
            self.timers.remove(&(at, id));
            let pull = &self.pulls[&id];
            match pull.stage {
                Stage::Unpack { .. } => self.end(id, None, results),
                Stage::RoundTrips { .. } if self.down => self.end(id, Some(RuntimeError::RegistryUnavailable), results),
                Stage::RoundTrips { .. } if self.catalog.is_missing(&pull.image) => {
                    self.end(id, Some(RuntimeError::ImageNotFound), results);
                }
                Stage::RoundTrips { .. } => {
                    self.begin_transfer(id);
                    changed = true;
                }
                Stage::Transfer { .. } => unreachable!("a transfer has no timer"),
            }
        }
        if changed {
            self.share();
        }
        self.find_deadline();
    }
    /// Takes the registry down, or up again.
    pub fn set_down(&mut self, now: Time, down: bool, results: &mut Vec<PullResult>) {
        self.wake(now, results);
        self.settle(now);
        self.down = down;
        if down {
            let mut active: Vec<u64> = self.by_machine.values().flatten().copied().collect();
            active.sort_unstable();
            for id in active {
                self.leave_class(id);
                self.leave_machine(id);
                self.end(id, Some(RuntimeError::RegistryUnavailable), results);
            }
        }
        self.share();
        self.find_deadline();
    }
    /// Changes the egress from now on; `None`: as planned.
    pub fn set_bandwidth(&mut self, now: Time, bandwidth: Option<u64>, results: &mut Vec<PullResult>) {
        self.wake(now, results);
        self.settle(now);
        self.bandwidth = bandwidth.unwrap_or(self.catalog.registry_bandwidth);
        self.share();
        self.find_deadline();
    }
    /// Changes what a machine's interface gives from now on, in thousandths of what was planned.
    pub fn set_interface(&mut self, now: Time, machine: MachineId, share_milli: u64, results: &mut Vec<PullResult>) {
        self.wake(now, results);
        self.settle(now);
        self.shares.insert(machine, share_milli.min(1000));
        if self.by_machine.contains_key(&machine) {
            self.recap(machine);
        }
        self.share();
        self.find_deadline();
    }
    /// Forgets the pulls of a machine that is gone; nobody is answered.
    pub fn abort(&mut self, now: Time, machine: MachineId) {
        self.settle(now);
        let mut ids: Vec<u64> = self.pulls.iter().filter(|(_, pull)| pull.machine == machine).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        for id in ids {
            match self.pulls[&id].stage {
                Stage::RoundTrips { until } | Stage::Unpack { until } => {
                    self.timers.remove(&(until, id));
                }
                Stage::Transfer { .. } => {
                    self.leave_class(id);
                    self.leave_machine(id);
                }
            }
            self.pulls.remove(&id);
        }
        self.share();
        self.find_deadline();
    }

    /// Gives every class what it got since the last time.
    fn settle(&mut self, now: Time) {
        let passed = u128::from(now.since(self.settled).nanos());
        self.settled = self.settled.max(now);
        for class in self.classes.values_mut() {
            class.progress += passed * u128::from(class.rate);
        }
    }
    /// Transfers that have all their bytes go on to unpacking. True if there were any.
    fn finish_transfers(&mut self, now: Time) -> bool {
        let mut done = Vec::new();
        for class in self.classes.values() {
            done.extend(class.members.iter().take_while(|(ends_at, _)| *ends_at <= class.progress).map(|(_, id)| *id));
        }
        for id in &done {
            self.leave_class(*id);
            self.leave_machine(*id);
            let pull = self.pulls.get_mut(id).expect("a transfer is a pull");
            let until = now + self.catalog.unpack_time(&pull.image);
            pull.stage = Stage::Unpack { until };
            self.timers.insert((until, *id));
        }
        !done.is_empty()
    }
    fn end(&mut self, id: u64, error: Option<RuntimeError>, results: &mut Vec<PullResult>) {
        let pull = self.pulls.remove(&id).expect("only a pull ends");
        let result = error.map_or_else(|| Ok(self.catalog.size(&pull.image)), Err);
        results.push(PullResult { machine: pull.machine, image: pull.image, result });
    }
    fn begin_transfer(&mut self, id: u64) {
        let pull = &self.pulls[&id];
        let (machine, bytes) = (pull.machine, u128::from(self.catalog.size(&pull.image)) * BILLIONTHS);
        let others = self.by_machine.entry(machine).or_default();
        others.push(id);
        self.transfers += 1;
        let count = others.len() as u64;
        self.join_class(id, self.cap(machine, count), bytes);
        self.recap(machine);
    }
    /// A transfer leaves its machine; those that stay may get more of the interface.
    fn leave_machine(&mut self, id: u64) {
        let machine = self.pulls[&id].machine;
        let others = self.by_machine.get_mut(&machine).expect("a transfer's machine has transfers");
        others.retain(|other| *other != id);
        self.transfers -= 1;
        if others.is_empty() {
            self.by_machine.remove(&machine);
        } else {
            self.recap(machine);
        }
    }
    /// What the interface gives each of a machine's transfers.
    fn cap(&self, machine: MachineId, transfers: u64) -> u64 {
        let interface = self.interfaces.get(machine.0 as usize).copied().unwrap_or(u64::MAX);
        let share = self.shares.get(&machine).copied().unwrap_or(1000);
        let interface = u64::try_from(u128::from(interface) * u128::from(share) / 1000).expect("a share is no more than the whole");
        (interface / transfers).max(1)
    }
    /// Moves a machine's transfers to the class that their number calls for.
    fn recap(&mut self, machine: MachineId) {
        let ids = self.by_machine[&machine].clone();
        let cap = self.cap(machine, ids.len() as u64);
        for id in ids {
            if !matches!(self.pulls[&id].stage, Stage::Transfer { class, .. } if class == cap) {
                let left = self.leave_class(id);
                self.join_class(id, cap, left);
            }
        }
    }
    fn join_class(&mut self, id: u64, cap: u64, left: u128) {
        let class = self.classes.entry(cap).or_default();
        let ends_at = class.progress + left;
        class.members.insert((ends_at, id));
        self.pulls.get_mut(&id).expect("a member is a pull").stage = Stage::Transfer { class: cap, ends_at };
    }
    /// Returns what was left to transfer, in billionths of a byte.
    fn leave_class(&mut self, id: u64) -> u128 {
        let Stage::Transfer { class: cap, ends_at } = self.pulls[&id].stage else { unreachable!("{id} is no transfer") };
        let class = self.classes.get_mut(&cap).expect("a member's class exists");
        class.members.remove(&(ends_at, id));
        let left = ends_at.saturating_sub(class.progress);
        if class.members.is_empty() {
            self.classes.remove(&cap);
        }
        left
    }
    /// Max-min fair rates: from the tightest cap on, each class gets its cap or an equal share of what is left, whichever is less.
    fn share(&mut self) {
        let (mut bandwidth, mut transfers) = (self.bandwidth, self.transfers);
        for (cap, class) in &mut self.classes {
            let members = class.members.len() as u64;
            class.rate = (*cap).min(bandwidth / transfers);
            bandwidth = bandwidth.checked_sub(class.rate * members).expect("shares never exceed the egress");
            transfers -= members;
        }
        debug_assert_eq!(transfers, 0);
    }
    fn find_deadline(&mut self) {
        let timer = self.timers.first().map_or(Time::NEVER, |(at, _)| *at);
        let transfer = self.classes.values().filter(|class| class.rate > 0).filter_map(|class| {
            let (ends_at, _) = class.members.first()?;
            let nanos = ends_at.saturating_sub(class.progress).div_ceil(u128::from(class.rate));
            Some(self.settled + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
        });
        self.deadline = transfer.min().unwrap_or(Time::NEVER).min(timer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Seed;
    use crate::models::distribution::Distribution;

    const MB: u64 = 1_000_000;

    fn registry(egress: u64, interfaces: &[u64]) -> Registry {
        let catalog = ImageCatalog {
            registry_bandwidth: egress,
            registry_latency: Distribution::Constant(Duration::from_secs(1)),
            // So fast that unpacking takes no time.
            unpack_rate: u64::MAX,
            sizes: BTreeMap::from([("big".into(), 100 * MB), ("small".into(), 50 * MB)]),
            default_size: 10 * MB,
            missing: vec!["gone".into()],
            preloaded: Vec::new(),
        };
        Registry::new(catalog, interfaces.to_vec(), Seed(1).stream("registry"))
    }
    fn run(registry: &mut Registry) -> Vec<(u64, u32, bool)> {
        let mut ends = Vec::new();
        while registry.deadline() != Time::NEVER {
            let (now, mut results) = (registry.deadline(), Vec::new());
            registry.wake(now, &mut results);
            ends.extend(results.into_iter().map(|end| (now.nanos() / 1_000_000, end.machine.0, end.result.is_ok())));
        }
        ends
    }

    #[test]
    fn two_pulls_share_the_egress_and_the_longer_one_gets_it_all_afterwards() {
        let mut registry = registry(10 * MB, &[1000 * MB; 2]);
        registry.request(Time::ZERO, MachineId(0), &"big".into());
        registry.request(Time::ZERO, MachineId(1), &"small".into());
        // 50 MB each at 5 MB/s: 10 s; then 50 MB at 10 MB/s: 5 s.
        assert_eq!(run(&mut registry), [(11_000, 1, true), (16_000, 0, true)]);
    }

    #[test]
    fn what_a_slow_interface_leaves_goes_to_the_others() {
        let mut registry = registry(10 * MB, &[2 * MB, 1000 * MB]);
        registry.request(Time::ZERO, MachineId(0), &"small".into());
        registry.request(Time::ZERO, MachineId(1), &"big".into());
        // 2 MB/s for the first, 8 MB/s for the second: 25 s and 12.5 s.
        assert_eq!(run(&mut registry), [(13_500, 1, true), (26_000, 0, true)]);
    }

    #[test]
    fn pulls_of_one_machine_share_its_interface() {
        let mut registry = registry(1000 * MB, &[10 * MB]);
        registry.request(Time::ZERO, MachineId(0), &"big".into());
        registry.request(Time::ZERO, MachineId(0), &"small".into());
        assert_eq!(run(&mut registry), [(11_000, 0, true), (16_000, 0, true)]);
    }

    #[test]
    fn a_slower_registry_delays_what_is_under_way() {
        let mut registry = registry(10 * MB, &[1000 * MB]);
        registry.request(Time::ZERO, MachineId(0), &"big".into());
        let mut results = Vec::new();
        registry.wake(Time::from_secs(1), &mut results);
        // 5 s at 10 MB/s leave 50 MB, which take 50 s at 1 MB/s.
        registry.set_bandwidth(Time::from_secs(6), Some(MB), &mut results);
        assert!(results.is_empty());
        assert_eq!(run(&mut registry), [(56_000, 0, true)]);
    }

    #[test]
    fn a_registry_that_goes_down_breaks_transfers_off_and_refuses_pulls() {
        let mut registry = registry(10 * MB, &[1000 * MB; 2]);
        registry.request(Time::ZERO, MachineId(0), &"big".into());
        let mut results = Vec::new();
        registry.wake(Time::from_secs(1), &mut results);
        registry.set_down(Time::from_secs(2), true, &mut results);
        assert_eq!(results[0].result, Err(RuntimeError::RegistryUnavailable));
        registry.request(Time::from_secs(3), MachineId(1), &"big".into());
        assert_eq!(run(&mut registry), [(4_000, 1, false)]);
        registry.set_down(Time::from_secs(5), false, &mut results);
        registry.request(Time::from_secs(5), MachineId(1), &"big".into());
        registry.request(Time::from_secs(5), MachineId(0), &"gone".into());
        assert_eq!(run(&mut registry), [(6_000, 0, false), (16_000, 1, true)]);
    }

    #[test]
    fn a_machine_that_is_gone_frees_its_share() {
        let mut registry = registry(10 * MB, &[1000 * MB; 2]);
        registry.request(Time::ZERO, MachineId(0), &"big".into());
        registry.request(Time::ZERO, MachineId(1), &"big".into());
        registry.wake(Time::from_secs(1), &mut Vec::new());
        // After 10 s at 5 MB/s half is there; the rest comes at 10 MB/s.
        registry.abort(Time::from_secs(11), MachineId(0));
        assert_eq!(run(&mut registry), [(16_000, 1, true)]);
    }
}
