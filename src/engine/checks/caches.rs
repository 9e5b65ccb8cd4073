//! Dear checks of what clients and kubelets believe, once a second (`--check full`): an informer cache holds nothing that the store never
//! held, at no revision that it has not reached, and its indexes are those of its objects; what a kubelet has admitted fits its node.
//!
//! A cache may be behind: what it lacks, or still holds, is no violation.

use std::collections::BTreeMap;

use crate::base::{Name, Revision};
use crate::client::Cache;
use crate::objects::{Key, Kind, Pod, Quantity, Stored};
use crate::wire::Address;

/// `truth`: the newest version of each object, at `revision`.
pub fn cache(whose: Address, cache: &Cache, truth: &BTreeMap<Key, Stored>, revision: Revision, violations: &mut Vec<String>) {
    cache.check();
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Lease) {
        for (key, believed) in cache.list(kind) {
            if believed.revision > revision {
                violations.push(format!("{whose} has {key} at revision {}, but the store is at {revision}", believed.revision));
            }
            let Some(stored) = truth.get(key) else { continue };
            if believed.revision > stored.revision {
                violations.push(format!("{whose} has {key} at revision {}, which no write made", believed.revision));
            } else if believed.revision == stored.revision && believed.object != stored.object {
                violations.push(format!("{whose} has {key} at revision {} with another content than the store", believed.revision));
            }
        }
    }
}

/// Requests of admitted pods never exceed what the node has to give.
pub fn admitted<'a>(
    whose: Address,
    pods: impl Iterator<Item = &'a Pod>,
    allocatable: &BTreeMap<Name, Quantity>,
    violations: &mut Vec<String>,
) {
    let amount = |resource: &str, quantity: &Quantity| if resource == "cpu" { quantity.milli_value() } else { quantity.value() };
    let mut requested: BTreeMap<Name, i64> = BTreeMap::new();
    for pod in pods {
        *requested.entry(Name::new("pods")).or_default() += 1;
        for (resource, quantity) in pod.spec.requests() {
            *requested.entry(resource.clone()).or_default() += amount(&resource, &quantity);
        }
    }
    for (resource, requested) in requested {
        let most = allocatable.get(&resource).map(|quantity| amount(&resource, quantity));
        if let Some(most) = most.filter(|most| requested > *most) {
            violations.push(format!("{whose} admitted pods that request {requested} of {most} {resource}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::base::Cause;
    use crate::objects::{Container, Meta, Object, PodSpec, Resources, Shared};
    use crate::wire::{NodeId, Replica};

    fn pod(revision: u64, node: &str) -> Stored {
        let pod = Pod { meta: Meta::named("default", "web"), node: Some(Name::new(node)), ..Pod::default() };
        Stored::new(Revision(revision), Cause::NONE, Arc::new(Object::Pod(pod)))
    }
    fn found(believed: Stored) -> usize {
        let mut seen = Cache::default();
        seen.put(believed);
        let truth = BTreeMap::from([(Key::pod("default", "web"), pod(5, "n1"))]);
        let mut violations = Vec::new();
        cache(Address::Manager(Replica(1)), &seen, &truth, Revision(7), &mut violations);
        violations.len()
    }

    #[test]
    fn a_cache_with_what_the_store_never_held_is_found() {
        assert_eq!(found(pod(5, "n1")), 0);
        assert_eq!(found(pod(4, "n0")), 0, "behind is no lie");
        assert_eq!(found(pod(5, "n2")), 1);
        assert_eq!(found(pod(6, "n1")), 1);
        assert_eq!(found(pod(8, "n1")), 2);
    }

    #[test]
    fn admitted_pods_that_do_not_fit_are_found() {
        let allocatable = BTreeMap::from([(Name::new("cpu"), Quantity::from_units(1))]);
        let requests = BTreeMap::from([(Name::new("cpu"), Quantity::parse("600m").unwrap())]);
        let container = Container { resources: Resources { requests, ..Resources::default() }, ..Container::default() };
        let pod = Pod { spec: Shared::new(PodSpec { containers: vec![container], ..PodSpec::default() }), ..Pod::default() };
        let mut violations = Vec::new();
        admitted(Address::Kubelet(NodeId(0)), [&pod].into_iter(), &allocatable, &mut violations);
        assert_eq!(violations.len(), 0);
        admitted(Address::Kubelet(NodeId(0)), [&pod, &pod].into_iter(), &allocatable, &mut violations);
        assert_eq!(violations, ["kubelet-0 admitted pods that request 1200 of 1000 cpu"]);
    }
}
