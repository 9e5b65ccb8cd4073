//! A machine's cores: how long [`Work`] takes, queueing included.
//!
//! Work is served first in first out by as many servers as there are cores, each piece by one core. As with the disk, the end of a
//! request is known when it comes, so that [`Cores::request`] returns it. What containers and the container engine do is
//! stretched by the same speed ([`Cores::stretch`]), and does not queue here.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::base::{Duration, Time};
use crate::wire::Work;

/// How long each kind of work takes: affine in what it is over.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkTimes {
    pub cycle_base: Duration,
    pub cycle_node: Duration,
    pub list_base: Duration,
    pub list_object: Duration,
    pub apply_base: Duration,
    /// Nanoseconds per 1,000 bytes.
    pub apply_nanos_per_kilobyte: u64,
    pub monitor_base: Duration,
    pub monitor_node: Duration,
}

impl Default for WorkTimes {
    fn default() -> WorkTimes {
        WorkTimes {
            // 1.35 ms at 5,000 nodes, the middle of the 1.2 to 1.5 ms that 680 to 810 pods/s mean (k/k
            // `test/integration/scheduler_perf/misc/performance-config.yaml`).
            cycle_base: Duration::from_micros(100),
            cycle_node: Duration::from_nanos(250),
            // Encoding and copying an object of 1 to 3 kB (our choice): a list of 150,000 pods takes 1.5 s.
            list_base: Duration::from_micros(200),
            list_object: Duration::from_micros(10),
            // One bbolt transaction with its pages (our choice): 60 us for a pod of 2 kB.
            apply_base: Duration::from_micros(50),
            apply_nanos_per_kilobyte: 5_000,
            // A look at a Node and its Lease in the informer cache (our choice): 25 ms at 5,000 nodes.
            monitor_base: Duration::from_micros(50),
            monitor_node: Duration::from_micros(5),
        }
    }
}

impl WorkTimes {
    pub fn of(&self, work: Work) -> Duration {
        match work {
            Work::SchedulingCycle { nodes } => self.cycle_base + self.cycle_node * u64::from(nodes),
            Work::List { objects } => self.list_base + self.list_object * u64::from(objects),
            Work::Apply { bytes } => self.apply_base + Duration::from_nanos(u64::from(bytes) * self.apply_nanos_per_kilobyte / 1000),
            Work::MonitorPass { nodes } => self.monitor_base + self.monitor_node * u64::from(nodes),
        }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Cores {
    times: WorkTimes,
    /// When each core will be free.
    free_at: BinaryHeap<Reverse<Time>>,
    /// Thousandths of the speed: 300 is a machine that has become slow (our choice; Gunawi et al., FAST 2018, report such hardware).
    speed_milli: u64,
}

impl Cores {
    pub fn new(cores: u32, times: WorkTimes) -> Cores {
        Cores { times, free_at: (0..cores.max(1)).map(|_| Reverse(Time::ZERO)).collect(), speed_milli: 1000 }
    }
    /// When work that is asked for now will be done.
    pub fn request(&mut self, now: Time, work: Work) -> Time {
        let Reverse(free) = self.free_at.pop().expect("a machine has a core");
        let ends = free.max(now) + self.stretch(self.times.of(work));
        self.free_at.push(Reverse(ends));
        ends
    }
    /// How long takes what would take so long at full speed.
    pub fn stretch(&self, takes: Duration) -> Duration {
        takes.scale(1000, self.speed_milli.max(1))
    }
    /// Changes the speed of work that is asked for from now on; 1000: as it should be.
    pub fn set_speed_milli(&mut self, speed_milli: u64) {
        self.speed_milli = speed_milli;
    }
    /// The machine was restarted: nothing runs.
    pub fn reset(&mut self) {
        let cores = self.free_at.len();
        self.free_at = (0..cores).map(|_| Reverse(Time::ZERO)).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_waits_for_a_free_core() {
        let pass = Work::MonitorPass { nodes: 1990 };
        let mut cores = Cores::new(2, WorkTimes::default());
        let ends: Vec<u64> = [0, 0, 0, 0, 100].map(|at| cores.request(Time::from_millis(at), pass).nanos() / 1_000_000).into();
        assert_eq!(ends, [10, 10, 20, 20, 110]);
        cores.set_speed_milli(500);
        assert_eq!(cores.request(Time::from_secs(1), pass), Time::from_millis(1_020));
    }

    #[test]
    fn a_scheduling_cycle_over_5000_nodes_takes_what_the_published_throughput_means() {
        let takes = WorkTimes::default().of(Work::SchedulingCycle { nodes: 5_000 });
        assert!((Duration::from_micros(1_200)..=Duration::from_micros(1_500)).contains(&takes), "{takes}");
        for work in [Work::List { objects: 0 }, Work::Apply { bytes: 0 }, Work::MonitorPass { nodes: 0 }] {
            assert!(WorkTimes::default().of(work) > Duration::ZERO);
        }
    }
}
