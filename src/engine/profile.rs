//! A host's latencies, as `sim calibrate` measured them: with them a plan predicts what that host will do. All machines of the cluster are one
//! there: a network that is loopback, and one container daemon behind all nodes ([`Sharing`]).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::plan::{Plan, Starts};
use crate::base::Duration;
use crate::models::crowd::{Sharing, Verb};
use crate::models::distribution::Distribution;

/// The format that is written and read.
pub const FORMAT: u32 = 2;
/// What stands for a run's own payload, which need not be pulled.
const SMALLEST_IMAGE: u64 = 1;

/// An hour, in nanoseconds: what takes longer was not measured, and sums of many such would not fit.
const LONGEST: u64 = 3_600_000_000_000;

/// Sorted samples, in nanoseconds.
pub type Samples = Vec<u64>;

/// A verb with so many at once: of each how long it took.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    pub at_once: u64,
    pub nanos: Samples,
}

/// Levels of a verb, from one at once on.
pub type Levels = Vec<Level>;

/// Where figures come from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// Of the program that measured.
    pub version: String,
    /// Seconds since 1970.
    pub taken: u64,
    pub kernel: String,
    pub cores: u64,
    pub memory_bytes: u64,
    /// The container engine and its API, if one ran the containers.
    pub engine: Option<String>,
    /// The load average of the minute before, in thousandths, and of the minute up to the end: other work makes every latency longer.
    pub load_before_milli: u64,
    pub load_after_milli: u64,
}

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub format: u32,
    /// Which runtime the samples are of.
    pub runtime: String,
    pub provenance: Provenance,
    pub sandbox: Levels,
    pub create: Levels,
    pub start: Levels,
    /// From SIGTERM to a payload that ends at once until its end is known.
    pub stop: Levels,
    /// The same of SIGKILL.
    pub kill: Levels,
    pub remove: Levels,
    /// Of a sandbox.
    pub stop_sandbox: Levels,
    pub probe: Levels,
    /// The payload's image, unpacked on the engine.
    pub unpack: Samples,
    pub fsync: Samples,
    /// One way of a small frame over loopback, between two threads.
    pub hop: Samples,
    /// A component's process, until it is about to begin.
    pub process_start: Samples,
    /// How late a thread is woken that asked to be.
    pub jitter: Samples,
}

/// Of sorted samples, the one in the middle.
fn middle(samples: &[u64]) -> u64 {
    samples.get(samples.len() / 2).copied().unwrap_or_default()
}

impl Profile {
    /// By name, in the order in which they are told.
    pub fn verbs(&self) -> [(&'static str, &Levels); 8] {
        [
            ("sandbox", &self.sandbox),
            ("create", &self.create),
            ("start", &self.start),
            ("stop", &self.stop),
            ("kill", &self.kill),
            ("remove", &self.remove),
            ("stop sandbox", &self.stop_sandbox),
            ("probe", &self.probe),
        ]
    }
    /// What else was measured.
    pub fn alone(&self) -> [(&'static str, &Samples); 5] {
        [
            ("image unpack", &self.unpack),
            ("fdatasync", &self.fsync),
            ("loopback, 1 way", &self.hop),
            ("process start", &self.process_start),
            ("late wakes", &self.jitter),
        ]
    }
    /// The profile that a file has, or why it can't be used.
    pub fn parse(text: &str) -> Result<Profile, String> {
        let profile: Profile = serde_json::from_str(text).map_err(|error| error.to_string())?;
        profile.flaw().map_or(Ok(profile), Err)
    }
    fn flaw(&self) -> Option<String> {
        if self.format != FORMAT {
            return Some(format!("a profile of format {}, not {FORMAT}: sim calibrate writes one", self.format));
        }
        for (name, levels) in self.verbs() {
            let counts: Vec<u64> = levels.iter().map(|level| level.at_once).collect();
            let rising = counts.first() == Some(&1) && counts.windows(2).all(|two| two[0] < two[1]);
            if !rising || levels.iter().any(|level| level.nanos.is_empty() || !level.nanos.is_sorted()) {
                return Some(format!("\"{name}\": levels from 1 at once on, each with sorted samples, were expected"));
            }
        }
        let flawed = self.alone().into_iter().skip(1).find(|(_, samples)| samples.is_empty() || !samples.is_sorted());
        if let Some((name, _)) = flawed {
            return Some(format!("\"{name}\": sorted samples were expected"));
        }
        let of_verbs = self.verbs().into_iter().flat_map(|(name, levels)| levels.iter().map(move |level| (name, &level.nanos)));
        let long = of_verbs.chain(self.alone()).find(|(_, samples)| samples.last().is_some_and(|longest| *longest > LONGEST));
        long.map(|(name, _)| format!("\"{name}\": samples of an hour or less were expected"))
    }

    /// A plan whose models are this host's.
    pub fn apply(&self, plan: &mut Plan) {
        let of = |samples: &[u64]| Distribution::Empirical(samples.iter().copied().map(Duration::from_nanos).collect());
        let alone = |levels: &Levels| of(levels.first().map_or(&[], |level| &level.nanos));
        let hop = of(&self.hop);
        let network = &mut plan.network;
        for class in [
            &mut network.same_machine,
            &mut network.same_rack,
            &mut network.same_zone,
            &mut network.between_zones,
            &mut network.between_regions,
        ] {
            *class = hop.clone();
        }
        network.loss = 0.0;
        for machine in &mut plan.machines {
            (machine.fsync, machine.stalls) = (of(&self.fsync), None);
        }
        plan.images.registry_latency = hop.clone();
        plan.images.sizes.clear();
        plan.images.default_size = SMALLEST_IMAGE;
        let runtime = &mut plan.runtime;
        runtime.sandbox = alone(&self.sandbox);
        runtime.create = alone(&self.create);
        runtime.start = alone(&self.start);
        runtime.stop = alone(&self.stop_sandbox);
        runtime.remove = alone(&self.remove);
        runtime.probe = alone(&self.probe);
        runtime.exit = alone(&self.stop);
        let mut sharing = Sharing::default();
        for verb in Verb::ALL {
            let levels = match verb {
                Verb::Sandbox => &self.sandbox,
                Verb::Create => &self.create,
                Verb::Start => &self.start,
                Verb::Stop => &self.stop_sandbox,
                Verb::Remove => &self.remove,
            };
            let first = levels.first().map_or(1, |level| middle(&level.nanos)).max(1);
            sharing.0[verb as usize] = levels.iter().map(|level| (level.at_once, middle(&level.nanos) * 1000 / first)).collect();
        }
        runtime.sharing = Some(Arc::new(sharing));
        plan.starts = Starts { within: Starts::APART, again: of(&self.process_start) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::wire::{Address, Member};

    fn profile() -> Profile {
        let levels = || vec![Level { at_once: 1, nanos: vec![10, 20] }, Level { at_once: 2, nanos: vec![15, 40] }];
        let samples = || vec![1, 2];
        Profile {
            format: FORMAT,
            sandbox: levels(),
            create: levels(),
            start: levels(),
            stop: levels(),
            kill: levels(),
            remove: levels(),
            stop_sandbox: levels(),
            probe: levels(),
            fsync: samples(),
            hop: samples(),
            process_start: samples(),
            jitter: samples(),
            ..Profile::default()
        }
    }

    #[test]
    fn with_a_profile_processes_begin_apart_each_seed_in_its_own_way() {
        let plan = |seed| Plan::nothing("plan".into(), "".into(), seed, Time::from_secs(5));
        let members = || (1..=5).map(|member| Address::Etcd(Member(member)));
        let begins = |plan: &Plan| members().map(|member| plan.begins(member).since(plan.start)).collect::<Vec<_>>();
        assert_eq!(begins(&plan(1)), [Duration::ZERO; 5]);
        let apart = |seed| {
            let mut plan = plan(seed);
            profile().apply(&mut plan);
            assert_eq!(plan.begins(Address::Operator), plan.start, "whoever uses the cluster waits for it");
            begins(&plan)
        };
        let first = apart(1);
        assert_eq!(first, apart(1));
        assert!(first.windows(2).all(|two| two[0] != two[1]) && first.iter().all(|after| *after < Starts::APART), "{first:?}");
        assert_ne!(first, apart(2));
    }

    #[test]
    fn a_profile_with_a_flaw_is_refused_with_its_place() {
        assert_eq!(profile().flaw(), None);
        let old = Profile { format: 1, ..profile() };
        assert!(old.flaw().is_some_and(|flaw| flaw.contains("format 1")));
        let unsorted = Profile { hop: vec![2, 1], ..profile() };
        assert!(unsorted.flaw().is_some_and(|flaw| flaw.contains("loopback")));
        let mut endless = profile();
        endless.create[1].nanos[1] = u64::MAX;
        assert!(endless.flaw().is_some_and(|flaw| flaw.contains("create")));
        let mut late = profile();
        late.start.remove(0);
        assert!(late.flaw().is_some_and(|flaw| flaw.contains("start")), "nothing says what one alone takes");
    }
}
