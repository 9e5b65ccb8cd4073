//! The scheduling queue: pods to be tried now, pods that back off, pods that no node will take (upstream `pkg/scheduler/backend/queue`).
//!
//! A pod that was found unschedulable remembers who rejected it and waits in the pool until an event arrives that one of them thinks may
//! help (its queueing hint), or for five minutes. It then goes to the active queue, or to the back-off queue while its back-off lasts.
//! Ticks are computed, not ticked: [`SchedulingQueue::deadline`] is the next instant of upstream's periodic flushes at which there is
//! something to flush.
//!
//! Invariant: each pod is in exactly the set that its `place` names; a gated one in none.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::plugins::{Cycle, PluginSet};
use super::pods::PodInfo;
use super::profile::Profiles;
use super::snapshot::Snapshot;
use crate::base::{Cause, Duration, Map, Set, Time};
use crate::objects::{Key, Node, Object};

/// What may make a pod schedulable.
#[derive(Clone, Copy)]
pub enum ClusterEvent<'a> {
    NodeAdded(&'a Node),
    NodeChanged {
        old: &'a Node,
        new: &'a Node,
    },
    NodeRemoved(&'a Node),
    /// A pod is bound.
    PodAdded(&'a PodInfo),
    /// Labels of a bound pod.
    PodChanged {
        old: &'a PodInfo,
        new: &'a PodInfo,
    },
    /// A bound pod is gone, or an assumed one is forgotten.
    PodRemoved(&'a PodInfo),
    /// An object of a kind of volumes came.
    StorageAdded(&'a Object),
    StorageChanged {
        old: &'a Object,
        new: &'a Object,
    },
    StorageRemoved(&'a Object),
}

/// How long pods wait.
#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// 1 s and 10 s.
    pub initial_backoff: Duration,
    pub max_backoff: Duration,
    /// Take pods from the back-off queue when the active one is empty (`SchedulerPopFromBackoffQ`, on by default since v1.33).
    pub pop_from_backoff: bool,
}

/// How often the back-off queue is looked at (`flushBackoffQCompleted`), and the window its times are compared by.
const BACKOFF_TICK: Duration = Duration::from_secs(1);
/// How often the pool is looked at (`flushUnschedulablePodsLeftover`).
const POOL_TICK: Duration = Duration::from_secs(30);
/// How long a pod stays in the pool at most (`DefaultPodMaxInUnschedulablePodsDuration`).
const POOL_STAY: Duration = Duration::from_secs(5 * 60);

/// A pod that waits for a node.
#[derive(Clone, Debug)]
pub struct QueuedPod {
    pub info: PodInfo,
    /// When it came, or was last put back.
    pub timestamp: Time,
    /// How often it was found unschedulable.
    pub unschedulable: u32,
    /// How often in a row its cycle ended in an error.
    pub errors: u32,
    /// Nobody in particular (there were no nodes at all): any event may help.
    pub rejected_by: PluginSet,
    /// Why it is tried: its creation, or the event that moved it.
    pub cause: Cause,
    /// First in, first out among equals.
    number: u64,
    place: Place,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Active,
    Backoff,
    Pool,
    /// Waits for its scheduling gates to go: no event moves it.
    Gated,
}

/// Where a pod stands in the active queue: priority, then time.
type Rank = (Reverse<i64>, Time, u64, Key);

/// See the module.
pub struct SchedulingQueue {
    delays: Delays,
    /// When the periodic flushes began.
    phase: Time,
    pods: Map<Key, QueuedPod>,
    active: BTreeSet<Rank>,
    /// By the end of the back-off in whole seconds; pods whose cycle ended in an error are apart: nobody takes those early.
    backoff: BTreeSet<(Time, Rank)>,
    error_backoff: BTreeSet<(Time, Rank)>,
    /// By time of arrival in the pool.
    pool: BTreeSet<(Time, u64, Key)>,
    /// Pods whose victims are being evicted: nothing takes them out of the pool (upstream DefaultPreemption, PreEnqueue).
    held: Set<Key>,
    next_number: u64,
}

impl SchedulingQueue {
    pub fn new(delays: Delays, phase: Time) -> SchedulingQueue {
        SchedulingQueue {
            delays,
            phase,
            pods: Map::default(),
            active: BTreeSet::new(),
            backoff: BTreeSet::new(),
            error_backoff: BTreeSet::new(),
            pool: BTreeSet::new(),
            held: Set::default(),
            next_number: 0,
        }
    }
    pub fn contains(&self, key: &Key) -> bool {
        self.pods.contains_key(key)
    }
    pub fn len(&self) -> usize {
        self.pods.len()
    }
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// A pod that is new here.
    pub fn add(&mut self, now: Time, info: PodInfo, cause: Cause) {
        let place = if info.spec().scheduling_gates.is_empty() { Place::Active } else { Place::Gated };
        self.next_number += 1;
        let number = self.next_number;
        let (unschedulable, errors, rejected_by) = (0, 0, PluginSet::default());
        self.insert(QueuedPod { info, timestamp: now, unschedulable, errors, rejected_by, cause, number, place });
    }

    /// A waiting pod changed: the new version replaces the old. Gates that are gone let it in; a change of labels or spec moves it out of
    /// the pool, one of status does not.
    pub fn update(&mut self, now: Time, info: PodInfo, cause: Cause) {
        let Some(mut queued) = self.remove(&info.key) else { return };
        let (old, new) = (queued.info.pod(), info.pod());
        let relevant = old.spec != new.spec || old.meta.labels != new.meta.labels;
        let gated = !new.spec.scheduling_gates.is_empty();
        queued.info = info;
        match queued.place {
            Place::Gated if !gated => {
                queued.timestamp = now;
                queued.cause = cause;
                queued.place = Place::Active;
            }
            Place::Pool if relevant => {
                queued.cause = cause;
                queued.place = self.place_after_move(now, &queued);
            }
            _ => {}
        }
        self.insert(queued);
    }

    /// Takes a pod out, wherever it is.
    pub fn remove(&mut self, key: &Key) -> Option<QueuedPod> {
        let queued = self.pods.remove(key)?;
        match queued.place {
            Place::Active => self.active.remove(&queued.rank()),
            Place::Backoff if queued.errors > 0 => self.error_backoff.remove(&(self.backoff_end(&queued), queued.rank())),
            Place::Backoff => self.backoff.remove(&(self.backoff_end(&queued), queued.rank())),
            Place::Pool => self.pool.remove(&(queued.timestamp, queued.number, key.clone())),
            Place::Gated => true,
        };
        Some(queued)
    }

    /// The next pod to try, which then is the caller's.
    pub fn pop(&mut self) -> Option<QueuedPod> {
        let early = || self.backoff.first().filter(|_| self.delays.pop_from_backoff).map(|(_, rank)| rank);
        let key = self.active.first().or_else(early)?.3.clone();
        self.remove(&key)
    }

    /// A popped pod was found unschedulable.
    pub fn unschedulable(&mut self, now: Time, mut queued: QueuedPod, rejected_by: PluginSet) {
        queued.timestamp = now;
        queued.unschedulable += 1;
        queued.errors = 0;
        queued.rejected_by = rejected_by;
        queued.place = Place::Pool;
        self.insert(queued);
    }

    /// The cycle of a popped pod, or its binding, ended in an error.
    pub fn failed(&mut self, now: Time, mut queued: QueuedPod) {
        queued.timestamp = now;
        queued.errors += 1;
        queued.place = Place::Backoff;
        self.insert(queued);
    }

    /// From now on the pod stays in the pool, once it is there, until [`SchedulingQueue::release`].
    pub fn hold(&mut self, key: &Key) {
        self.held.insert(key.clone());
    }
    pub fn release(&mut self, key: &Key) {
        self.held.remove(key);
    }
    /// Takes a pod out of the pool or its back-off, to be tried next.
    pub fn activate(&mut self, now: Time, key: &Key, cause: Cause) {
        if self.pods.get(key).is_some_and(|queued| matches!(queued.place, Place::Pool | Place::Backoff)) {
            let mut queued = self.remove(key).expect("just seen");
            (queued.timestamp, queued.cause, queued.place) = (now, cause, Place::Active);
            self.insert(queued);
        }
    }

    /// Moves the pods out of the pool that the event may help.
    pub fn on_event(&mut self, now: Time, event: ClusterEvent<'_>, snapshot: &Snapshot, profiles: &Profiles, cause: Cause) {
        if self.pool.is_empty() {
            return;
        }
        let may_help = |queued: &QueuedPod| {
            if self.held.contains(&queued.info.key) {
                return false;
            }
            let cycle = Cycle { pod: &queued.info, snapshot };
            let filters = || profiles.of(queued.info.spec()).map_or(&[] as &[_], |profile| profile.filters());
            queued.rejected_by.is_empty()
                || filters().iter().any(|plugin| queued.rejected_by.contains(plugin.id()) && plugin.hint(&event, cycle))
        };
        let helped: Vec<Key> = self.pool.iter().filter(|(.., key)| may_help(&self.pods[key])).map(|(.., key)| key.clone()).collect();
        for key in helped {
            self.leave_pool(now, &key, Some(cause));
        }
    }

    /// The periodic flushes, if it is time for them.
    pub fn wake(&mut self, now: Time) {
        for errors in [false, true] {
            loop {
                let heap = if errors { &self.error_backoff } else { &self.backoff };
                let Some((end, rank)) = heap.first().filter(|(end, _)| self.backoff_tick(*end) <= now) else { break };
                debug_assert!(*end <= now);
                let key = rank.3.clone();
                let mut queued = self.remove(&key).expect("queued");
                queued.place = Place::Active;
                self.insert(queued);
            }
        }
        if self.pool_tick().is_some_and(|tick| tick <= now) {
            let stale: Vec<Key> =
                self.pool.iter().take_while(|(since, ..)| *since + POOL_STAY < now).map(|(.., key)| key.clone()).collect();
            // A pod is held for the time of a few requests, and never this long.
            for key in stale {
                self.leave_pool(now, &key, None);
            }
        }
    }

    /// The next flush that will find something.
    pub fn deadline(&self) -> Time {
        let ends = [self.backoff.first(), self.error_backoff.first()];
        let backoff = ends.into_iter().flatten().map(|(end, _)| self.backoff_tick(*end));
        backoff.chain(self.pool_tick()).min().unwrap_or(Time::NEVER)
    }

    fn backoff_tick(&self, end: Time) -> Time {
        end.next_tick(self.phase, BACKOFF_TICK)
    }

    fn pool_tick(&self) -> Option<Time> {
        // "More than" five minutes: a tick at exactly five is too early.
        self.pool.first().map(|(oldest, ..)| (*oldest + POOL_STAY + Duration::from_nanos(1)).next_tick(self.phase, POOL_TICK))
    }

    fn leave_pool(&mut self, now: Time, key: &Key, cause: Option<Cause>) {
        let mut queued = self.remove(key).expect("a pod of the pool is queued");
        queued.cause = cause.unwrap_or(queued.cause);
        queued.place = self.place_after_move(now, &queued);
        self.insert(queued);
    }

    fn place_after_move(&self, now: Time, queued: &QueuedPod) -> Place {
        if self.backoff_end(queued) > now.truncate_to_second() { Place::Backoff } else { Place::Active }
    }

    /// Initial back-off doubled with each failure, at most the maximum, counted from the failed attempt; in whole seconds.
    fn backoff_end(&self, queued: &QueuedPod) -> Time {
        let count = if queued.errors > 0 { queued.errors } else { queued.unschedulable };
        let doubled = match count {
            0 => Duration::ZERO,
            count => self.delays.initial_backoff * (1u64 << (count - 1).min(32)),
        };
        (queued.timestamp + doubled.min(self.delays.max_backoff)).truncate_to_second()
    }

    fn insert(&mut self, queued: QueuedPod) {
        let key = queued.info.key.clone();
        match queued.place {
            Place::Active => self.active.insert(queued.rank()),
            Place::Backoff if queued.errors > 0 => self.error_backoff.insert((self.backoff_end(&queued), queued.rank())),
            Place::Backoff => self.backoff.insert((self.backoff_end(&queued), queued.rank())),
            Place::Pool => self.pool.insert((queued.timestamp, queued.number, key.clone())),
            Place::Gated => true,
        };
        let old = self.pods.insert(key, queued);
        assert!(old.is_none(), "{} was queued twice", old.expect("just checked").info.key);
    }
}

impl QueuedPod {
    fn rank(&self) -> Rank {
        (Reverse(self.info.shape.priority), self.timestamp, self.number, self.info.key.clone())
    }
}
