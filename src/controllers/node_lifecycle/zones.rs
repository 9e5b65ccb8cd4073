//! Zones: how disrupted one is, how fast its nodes are tainted, and the queue in which they wait (k/k
//! `pkg/controller/nodelifecycle/{node_lifecycle_controller,scheduler/rate_limited_queue}.go`).

use std::collections::{BTreeMap, BTreeSet};

use super::super::Config;
use crate::base::{Cause, Map, Name, Time};
use crate::client::TokenBucket;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneState {
    /// No pass has judged it yet.
    Initial,
    Normal,
    Partial,
    Full,
}

/// The state of a zone with so many nodes ready and not ready (`ComputeZoneState`).
pub(super) fn judge(ready: usize, not_ready: usize, config: &Config) -> ZoneState {
    let many = (not_ready * 1000) as u64 >= config.unhealthy_zone_threshold_per_mille * (ready + not_ready) as u64;
    match () {
        () if ready == 0 && not_ready > 0 => ZoneState::Full,
        () if not_ready > 2 && many => ZoneState::Partial,
        () => ZoneState::Normal,
    }
}

/// Thousandths of a node per second (`setLimiterInZone`).
pub(super) fn rate_milli(state: ZoneState, nodes: usize, config: &Config) -> u64 {
    match state {
        ZoneState::Partial if nodes <= config.large_cluster_size_threshold => 0,
        ZoneState::Partial => config.secondary_node_eviction_rate_milli,
        ZoneState::Initial | ZoneState::Normal | ZoneState::Full => config.node_eviction_rate_milli,
    }
}

/// A zone's state and its queue of nodes that are to get a NoExecute taint.
#[derive(Debug)]
pub(super) struct Zone {
    pub state: ZoneState,
    limiter: TokenBucket,
    /// By when their turn comes, then first in first out.
    queue: BTreeMap<(Time, u64), (Name, Cause)>,
    places: Map<Name, (Time, u64)>,
    /// In the queue, or served and not forgotten: these are not added again.
    members: BTreeSet<Name>,
    sequence: u64,
}

impl Zone {
    pub fn new(config: &Config) -> Zone {
        Zone {
            state: ZoneState::Initial,
            limiter: TokenBucket::new(config.node_eviction_rate_milli, 1),
            queue: BTreeMap::new(),
            places: Map::default(),
            members: BTreeSet::new(),
            sequence: 0,
        }
    }
    /// False if the node is a member already.
    pub fn add(&mut self, node: &Name, now: Time, because: Cause) -> bool {
        let new = self.members.insert(node.clone());
        if new {
            self.enqueue(node.clone(), now, because);
        }
        new
    }
    pub fn remove(&mut self, node: &str) {
        self.members.remove(node);
        if let Some(place) = self.places.remove(node) {
            self.queue.remove(&place);
        }
    }
    /// After a failure.
    pub fn put_back(&mut self, node: Name, now: Time, because: Cause) {
        if self.members.contains(&node) && !self.places.contains_key(&node) {
            self.enqueue(node, now, because);
        }
    }
    fn enqueue(&mut self, node: Name, at: Time, because: Cause) {
        let place = (at, self.sequence);
        self.sequence += 1;
        self.places.insert(node.clone(), place);
        self.queue.insert(place, (node, because));
    }
    /// The next node whose turn it is, if there is a token for it, which is then spent.
    pub fn take_due(&mut self, now: Time) -> Option<(Name, Cause)> {
        let (place, _) = self.queue.first_key_value().filter(|((at, _), _)| *at <= now)?;
        let place = *place;
        if !self.limiter.try_take(now) {
            return None;
        }
        let (node, because) = self.queue.remove(&place).expect("just seen");
        self.places.remove(&node);
        Some((node, because))
    }
    /// When a node may leave the queue; `NEVER` if none waits or the zone's rate is 0.
    pub fn next_due(&self, now: Time) -> Time {
        self.queue.first_key_value().map_or(Time::NEVER, |((at, _), _)| self.limiter.next_token(now).max(*at))
    }
    /// Another rate. A limiter without a token hands that on (`SwapLimiter`).
    pub fn set_rate(&mut self, now: Time, rate_milli: u64) {
        let spent = !self.limiter.try_take(now);
        self.limiter = TokenBucket::new(rate_milli, u64::from(rate_milli > 0));
        // The bucket counts from now on, not from the beginning of time.
        self.limiter.set_rate(now, rate_milli);
        if spent {
            self.limiter.try_take(now);
        }
    }
}
