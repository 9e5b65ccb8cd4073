//! Dear checks of what clients and kubelets believe, once a second (`--check full`): an informer cache is the store at the revision that
//! its reflector has seen, in its scope, object for object: nothing is missing, left over, of another version or another content; and
//! its indexes are those of its objects. What a kubelet has admitted fits its node.
//!
//! A cache may be behind: it is compared with what the store was. Left out: kinds that no reflector has listed yet, and revisions that
//! the [`History`] does not remember any more.

use std::collections::BTreeMap;

use super::history::History;
use crate::base::{Name, Revision};
use crate::client::Informers;
use crate::objects::{Key, Pod, Quantity, Stored};
use crate::wire::Address;

/// Holds the caches of one process against the store.
pub fn informers(whose: Address, informers: &Informers<'_>, history: &History, violations: &mut Vec<String>) {
    informers.cache.check();
    for (kind, scope, revision) in &informers.reflected {
        if *revision > history.revision() {
            violations.push(format!("{whose} has seen revision {revision} of {kind}, but the store is at {}", history.revision()));
            continue;
        }
        let Some(state) = history.state(*kind, scope, *revision) else { continue };
        let believed = informers.cache.list(*kind).filter(|(_, stored)| scope.matches(&stored.object));
        compare(whose, believed, &state, *revision, violations);
    }
}

fn compare<'a>(
    whose: Address,
    believed: impl Iterator<Item = (&'a Key, &'a Stored)>,
    state: &BTreeMap<&Key, &Stored>,
    at: Revision,
    violations: &mut Vec<String>,
) {
    let mut seen = 0;
    for (key, believed) in believed {
        let Some(stored) = state.get(key) else {
            violations.push(format!("{whose} still has {key} at revision {at}, when the store had none"));
            continue;
        };
        seen += 1;
        if believed.revision != stored.revision {
            let (of, wanted) = (believed.revision, stored.revision);
            violations.push(format!("{whose} has {key} of revision {of} at revision {at}, when the store had that of {wanted}"));
        } else if believed.object != stored.object {
            violations.push(format!("{whose} has {key} of revision {} with another content than the store", stored.revision));
        }
    }
    if seen < state.len() {
        violations.push(format!("{whose} lacks {} of {} objects that the store had at revision {at}", state.len() - seen, state.len()));
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
    use crate::client::Cache;
    use crate::engine::checks::history::testing::{history, pod};
    use crate::objects::{Container, Kind, Meta, Object, PodSpec, Resources, Shared};
    use crate::wire::NodeId;
    use crate::wire::api::Scope;

    /// What is found of a cache with these objects, of a reflector that has seen the revision.
    fn found(believed: &[Stored], revision: u64) -> Vec<String> {
        let mut cache = Cache::default();
        for stored in believed {
            cache.put(stored.clone());
        }
        let writes = [("a", Some("n1"), false), ("b", None, false), ("b", Some("n1"), false), ("a", Some("n1"), true)];
        let scope = Scope::on_node(&Name::new("n1"));
        let seen = Informers { cache: &cache, reflected: vec![(Kind::Pod, &scope, Revision(revision))] };
        let mut violations = Vec::new();
        informers(Address::Kubelet(NodeId(0)), &seen, &history(&writes), &mut violations);
        violations
    }
    fn on_n1(name: &str, revision: u64) -> Stored {
        pod(name, Some("n1"), revision)
    }

    #[test]
    fn a_cache_is_the_store_at_its_revision() {
        assert_eq!(found(&[], 0), [""; 0]);
        assert_eq!(found(&[on_n1("a", 1)], 1), [""; 0]);
        assert_eq!(found(&[on_n1("a", 1)], 2), [""; 0], "what is on no node is out of scope");
        assert_eq!(found(&[on_n1("a", 1), on_n1("b", 3)], 3), [""; 0]);
        assert_eq!(found(&[on_n1("b", 3)], 4), [""; 0]);
    }

    #[test]
    fn what_is_missing_left_over_stale_or_made_up_is_found() {
        assert_eq!(found(&[on_n1("a", 1)], 3), ["kubelet-0 lacks 1 of 2 objects that the store had at revision 3"]);
        assert_eq!(found(&[on_n1("a", 1), on_n1("b", 3)], 4), ["kubelet-0 still has Pod default/a at revision 4, when the store had none"]);
        assert_eq!(
            found(&[on_n1("a", 1), on_n1("b", 2)], 3),
            ["kubelet-0 has Pod default/b of revision 2 at revision 3, when the store had that of 3"]
        );
        let meta = Meta { uid: Name::new("another"), ..Meta::named("default", "b") };
        let lie = Pod { meta, node: Some(Name::new("n1")), ..Pod::default() };
        let lie = Stored::new(Revision(3), Cause::NONE, Arc::new(Object::Pod(lie)));
        assert_eq!(found(&[lie], 4), ["kubelet-0 has Pod default/b of revision 3 with another content than the store"]);
        assert_eq!(found(&[], 9), ["kubelet-0 has seen revision 9 of Pod, but the store is at 4"]);
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
