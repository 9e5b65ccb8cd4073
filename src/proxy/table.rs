//! The log of endpoint changes and each node's reading of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Config;
use crate::base::{Cause, Duration, Map, Name, Stream, Time};
use crate::objects::pod::PodIp;
use crate::objects::service::SERVICE_NAME_LABEL;
use crate::objects::{EndpointSlice, Key};
use crate::wire::EndpointChange;

/// One change, when the API told of it and why.
struct Logged {
    at: Time,
    cause: Cause,
    change: EndpointChange,
}

/// All endpoint changes so far, in order. Every node reads the same log, later.
#[derive(Default)]
pub struct EndpointLog {
    log: Vec<Logged>,
}

impl EndpointLog {
    pub fn append(&mut self, at: Time, cause: Cause, change: EndpointChange) {
        debug_assert!(self.log.last().is_none_or(|last| last.at <= at));
        self.log.push(Logged { at, cause, change });
    }
    pub fn len(&self) -> usize {
        self.log.len()
    }
    pub fn is_empty(&self) -> bool {
        self.log.is_empty()
    }
}

/// What the rules of a node's kube-proxy say.
#[derive(Default)]
pub struct NodeTable {
    read: usize,
    by_ip: BTreeMap<PodIp, Key>,
    ips: Map<Key, PodIp>,
    slices: Map<Key, BTreeMap<Key, Arc<EndpointSlice>>>,
    /// Why each service's rules last changed.
    causes: Map<Key, Cause>,
}

/// Where a connection goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Choice {
    Pod(PodIp),
    /// No rule, or no usable endpoint: REJECT.
    Refused,
}

impl NodeTable {
    /// When a node programs a change that the API told of at `at`. Changes wait for the next sync, at most `min_sync_period` after the
    /// last one: the node's syncs have a phase.
    pub fn programmed(config: &Config, phase: Duration, at: Time) -> Time {
        at.next_tick(Time::ZERO + phase, config.min_sync_period)
    }

    /// Brings the table up to `now`, and not beyond `until` where the node has not heard from the API since.
    pub fn catch_up(&mut self, log: &EndpointLog, config: &Config, phase: Duration, now: Time, until: Time) {
        while let Some(logged) = log.log.get(self.read) {
            if logged.at > until || NodeTable::programmed(config, phase, logged.at) > now {
                break;
            }
            self.apply(logged);
            self.read += 1;
        }
    }

    fn apply(&mut self, logged: &Logged) {
        match &logged.change {
            EndpointChange::Service { key, cluster_ip } => {
                if let Some(old) = self.ips.insert(key.clone(), *cluster_ip) {
                    self.by_ip.remove(&old);
                }
                self.by_ip.insert(*cluster_ip, key.clone());
                self.causes.insert(key.clone(), logged.cause);
            }
            EndpointChange::ServiceGone { key } => {
                if let Some(ip) = self.ips.remove(key) {
                    self.by_ip.remove(&ip);
                }
            }
            EndpointChange::Slice(slice) => {
                if let Some(service) = service_of(slice) {
                    let key = Key::new(crate::objects::Kind::EndpointSlice, &slice.meta.namespace, &slice.meta.name);
                    self.causes.insert(service.clone(), logged.cause);
                    self.slices.entry(service).or_default().insert(key, slice.clone());
                }
            }
            EndpointChange::SliceGone { key } => {
                for slices in self.slices.values_mut() {
                    slices.remove(key);
                }
            }
        }
    }

    /// kube-proxy's choice for a new connection: uniform over the ready endpoints; if none is ready, over those that serve though
    /// terminating (k/k `pkg/proxy/topology.go`). With the cause of the rules that chose.
    pub fn choose(&self, cluster_ip: PodIp, stream: &mut Stream) -> (Choice, Cause) {
        let Some(service) = self.by_ip.get(&cluster_ip) else { return (Choice::Refused, Cause::NONE) };
        let cause = self.causes.get(service).copied().unwrap_or_default();
        let endpoints = || self.slices.get(service).into_iter().flat_map(|slices| slices.values()).flat_map(|slice| &slice.endpoints);
        let usable = |wanted: fn(&crate::objects::Endpoint) -> bool| -> Vec<PodIp> {
            endpoints().filter(|endpoint| wanted(endpoint)).filter_map(|endpoint| endpoint.addresses.first().copied()).collect()
        };
        let mut pods = usable(|endpoint| endpoint.conditions.ready);
        if pods.is_empty() {
            pods = usable(|endpoint| endpoint.conditions.serving && endpoint.conditions.terminating);
        }
        if pods.is_empty() {
            return (Choice::Refused, cause);
        }
        (Choice::Pod(pods[stream.index(pods.len())]), cause)
    }
}

/// The service that a slice belongs to.
pub fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name: &Name = slice.meta.label(SERVICE_NAME_LABEL)?;
    Some(Key::new(crate::objects::Kind::Service, &slice.meta.namespace, name))
}
