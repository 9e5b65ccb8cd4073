//! What both hosts do alike: what they add to a plan before they play it, and what of a log a snapshot leaves.

use std::sync::Arc;

use crate::engine::plan::{Action, Machine, Plan, Step};
use crate::objects::pod::PodIp;
use crate::objects::{Key, Object};
use crate::wire::raft::{Entries, Entry, HardState};
use crate::wire::{DiskRecord, MachineId};

/// Adds what both hosts need; the machine of what is outside of the cluster, and the cluster IPs of the traffic sources' services.
pub fn prepare(plan: &mut Plan) -> (MachineId, Vec<PodIp>) {
    (add_outside(plan), fix_cluster_ips(plan))
}

/// Who uses the cluster sits at a machine of its own that no fault names.
fn add_outside(plan: &mut Plan) -> MachineId {
    let first = plan.machines.first().cloned();
    let region = first.as_ref().map(|machine| machine.region.clone()).unwrap_or_default();
    plan.machines.push(Machine {
        name: "outside".into(),
        region,
        zone: "outside".into(),
        rack: "outside".into(),
        cores: 4,
        fsync: crate::models::presets::ssd_fsync(),
        stalls: None,
        bandwidth: crate::models::presets::NIC_10G,
    });
    MachineId(plan.machines.len() as u32 - 1)
}

/// Gives each service under traffic a cluster IP where its manifest leaves the choice to the API server, so that clients know it as they
/// would by DNS. Returns those of the traffic sources, in order.
fn fix_cluster_ips(plan: &mut Plan) -> Vec<PodIp> {
    // The end of 10.96.0.0/16: the API server allocates from its beginning.
    let mut next = u32::from(std::net::Ipv4Addr::new(10, 96, 255, 254));
    let mut ip_of = |service: &Key, object: &mut Arc<Object>| -> Option<PodIp> {
        if object.key() != *service {
            return None;
        }
        let Object::Service(found) = &**object else { return None };
        if let Ok(ip) = found.spec.cluster_ip.parse::<std::net::Ipv4Addr>() {
            return Some(PodIp(ip.into()));
        }
        let ip = PodIp(next);
        next -= 1;
        let mut fixed = found.clone();
        fixed.spec.cluster_ip = ip.to_string().into();
        *object = Arc::new(Object::Service(fixed));
        Some(ip)
    };
    let Plan { workload, steps, traffic, .. } = plan;
    let applied = |step: &mut Step| match &mut step.action {
        Action::Apply(objects) => std::mem::take(objects),
        _ => Vec::new(),
    };
    let mut later: Vec<Vec<Arc<Object>>> = steps.iter_mut().map(applied).collect();
    let ips = traffic
        .iter()
        .map(|source| {
            let mut objects = workload.iter_mut().chain(later.iter_mut().flatten());
            // A service that no manifest brings has no address that anybody could know: every dial is refused.
            objects.find_map(|object| ip_of(&source.service, object)).unwrap_or(PodIp(0))
        })
        .collect();
    for (step, objects) in steps.iter_mut().zip(later) {
        if let Action::Apply(applied) = &mut step.action {
            *applied = objects;
        }
    }
    ips
}

/// What is left of a log with a snapshot or a release in it: the last of them, which makes what stands before it superfluous but for the
/// newest hard state and entries beyond its index, and all that stands after it.
pub fn compacted(log: Vec<DiskRecord>) -> Vec<DiskRecord> {
    let last = log.iter().enumerate().rev().find_map(|(place, record)| match record {
        DiskRecord::Snapshot(snapshot) => Some((place, snapshot.index)),
        DiskRecord::Release(release) => Some((place, release.index)),
        _ => None,
    });
    let Some((place, index)) = last else { return log };
    let mut state: Option<HardState> = None;
    let mut kept = vec![log[place].clone()];
    for (at, record) in log.into_iter().enumerate() {
        match record {
            DiskRecord::HardState(newer) if at < place => state = Some(newer),
            DiskRecord::Entries(entries) if at < place => {
                let is_beyond = |entry: &Entry| entry.index > index;
                let beyond: Entries = match entries.first() {
                    Some(first) if is_beyond(first) => entries,
                    _ => entries.iter().filter(|entry| is_beyond(entry)).cloned().collect(),
                };
                if !beyond.is_empty() {
                    kept.push(DiskRecord::Entries(beyond));
                }
            }
            _ if at <= place => {}
            record => kept.push(record),
        }
    }
    if let Some(state) = state {
        kept.insert(1, DiskRecord::HardState(state));
    }
    kept
}
