//! The EndpointSlice controller (k/k `pkg/controller/endpointslice`, kubernetes/endpointslice): for each
//! service with a selector, slices of at most 100 endpoints that tell which pods are ready, serving, terminating.
//!
//! Left out: dual stack, topology hints, ports named by pods (a slice copies the service's target ports).
//!
//! Invariant: `members` is what a scan of the pods by selector would give; it changes with the changes of pods and services only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Answers, Controller, Items, Outcome, Requests};
use crate::base::{Duration, Map, Name, Revision, Time};
use crate::client::{Cache, Change, Reply};
use crate::objects::service::{EndpointConditions, SERVICE_NAME_LABEL, TargetRef};
use crate::objects::{Endpoint, EndpointSlice, Key, Kind, Labels, Meta, Node, Object, OwnerReference, Pod, Rest, Service, Shared, Stored};
use crate::wire::api::{DeleteOptions, Part, Reason, Verb};

/// `--max-endpoints-per-slice`
const MAX_ENDPOINTS: usize = 100;
/// `defaultSyncBackOff`: doubles up to 1000 s, 15 times.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(1000);
const MAX_RETRIES: u32 = 15;

/// See the module.
pub struct EndpointSliceController {
    workers: usize,
    services: BTreeMap<Key, Membership>,
    /// Services by one pair of their selector, so that a pod finds its own without a look at all: (namespace, label, value).
    by_pair: Map<(Name, Name, Name), BTreeSet<Key>>,
    /// What this controller wrote last: slice -> its revision, or `None` once deleted. A cache that is older must not be acted on.
    written: Map<Key, BTreeMap<Key, Option<Revision>>>,
    failures: Map<Key, u32>,
}

#[derive(Debug)]
struct Membership {
    selector: Labels,
    pods: BTreeSet<Key>,
}

impl EndpointSliceController {
    pub fn new(workers: usize) -> EndpointSliceController {
        EndpointSliceController {
            workers,
            services: BTreeMap::new(),
            by_pair: Map::default(),
            written: Map::default(),
            failures: Map::default(),
        }
    }

    fn service_changed(&mut self, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        let pair_of = |key: &Key, selector: &Labels| {
            selector.first_key_value().map(|(label, value)| (Name::new(key.namespace()), label.clone(), value.clone()))
        };
        let selector = change.new.as_ref().and_then(|stored| stored.object.as_service()).map(|service| &service.spec.selector);
        if selector != self.services.get(&change.key).map(|membership| &membership.selector) {
            if let Some(before) = self.services.remove(&change.key)
                && let Some(pair) = pair_of(&change.key, &before.selector)
                && let Some(services) = self.by_pair.get_mut(&pair)
            {
                services.remove(&change.key);
            }
            if let Some(selector) = selector {
                let matching = |stored: &Stored| selects(selector, &stored.object.meta().labels);
                let pods = match selector.is_empty() {
                    true => BTreeSet::new(),
                    false => cache
                        .list_in(Kind::Pod, change.key.namespace())
                        .filter(|(_, stored)| matching(stored))
                        .map(|(key, _)| key.clone())
                        .collect(),
                };
                if let Some(pair) = pair_of(&change.key, selector) {
                    self.by_pair.entry(pair).or_default().insert(change.key.clone());
                }
                self.services.insert(change.key.clone(), Membership { selector: selector.clone(), pods });
            }
        }
        items.add(change.key.clone());
    }

    fn pod_changed(&mut self, change: &Change, items: &mut Items<Key>) {
        let pod = |stored: &Option<Stored>| stored.as_ref().map(|stored| stored.object.clone());
        let (old, new) = (pod(&change.old), pod(&change.new));
        let (old, new) = (old.as_ref().and_then(|old| old.as_pod()), new.as_ref().and_then(|new| new.as_pod()));
        let relabelled = match (old, new) {
            (Some(old), Some(new)) => old.meta.labels != new.meta.labels,
            _ => true,
        };
        let seen_by_endpoints = |pod: &Pod| (pod.status.pod_ip, pod.is_ready(), pod.meta.is_deleting(), pod.status.phase.is_terminal());
        if !relabelled && old.map(seen_by_endpoints) == new.map(seen_by_endpoints) && old.map(|old| &old.node) == new.map(|new| &new.node) {
            return;
        }
        for version in [old.filter(|_| relabelled), new].into_iter().flatten() {
            for (label, value) in version.meta.labels.iter() {
                let Some(services) = self.by_pair.get(&(version.meta.namespace.clone(), label.clone(), value.clone())) else { continue };
                for service in services {
                    let Some(membership) = self.services.get_mut(service) else { continue };
                    let belongs = new.is_some_and(|new| selects(&membership.selector, &new.meta.labels));
                    let belonged = match belongs {
                        true => !membership.pods.insert(change.key.clone()),
                        false => membership.pods.remove(&change.key),
                    };
                    if belongs || belonged {
                        items.add(service.clone());
                    }
                }
            }
        }
    }

    /// Someone else changed a slice, or one of ours is gone.
    fn slice_changed(&mut self, change: &Change, items: &mut Items<Key>) {
        let meta = change.object().meta();
        let Some(service) = meta.label(SERVICE_NAME_LABEL) else { return };
        let service = Key::new(Kind::Service, &meta.namespace, service);
        let known = self.written.get(&service).and_then(|slices| slices.get(&change.key));
        let expected = match (&change.new, known) {
            (Some(new), Some(Some(revision))) => new.revision <= *revision,
            (None, Some(None)) => true,
            _ => false,
        };
        if !expected {
            items.add_after(service, BACK_OFF);
        }
    }

    /// Whether the cache shows all that was written; entries that it does are dropped.
    fn is_up_to_date(&mut self, service: &Key, cache: &Cache) -> bool {
        let Some(slices) = self.written.get_mut(service) else { return true };
        // A revision stays known, so that the write's own event is told from another's.
        slices.iter().all(|(slice, revision)| match (cache.get(slice), revision) {
            (Some(stored), Some(revision)) => stored.revision >= *revision,
            (None, None) => true,
            _ => false,
        })
    }

    fn back_off(&mut self, service: &Key, out: &mut Requests<Key>) -> Outcome<Vec<Write>> {
        let failures = self.failures.entry(service.clone()).or_default();
        *failures += 1;
        if *failures <= MAX_RETRIES {
            out.enqueue_after(service.clone(), Duration::from_nanos(BACK_OFF.nanos() << (*failures - 1)).min(BACK_OFF_MAX));
        } else {
            self.failures.remove(service);
            self.written.remove(service);
        }
        Outcome::Done
    }
}

fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}

/// What a round of writes consists of, in order: the slice's key, `None` for one that is created.
type Write = Option<(Key, bool)>;

impl Controller for EndpointSliceController {
    type Item = Key;
    type Progress = Vec<Write>;

    fn name(&self) -> &'static str {
        "endpointslice-controller"
    }
    fn workers(&self) -> usize {
        self.workers
    }
    fn watches(&self) -> &'static [Kind] {
        &[Kind::Service, Kind::Pod, Kind::EndpointSlice]
    }
    fn items_for(&mut self, _now: Time, change: &Change, cache: &Cache, items: &mut Items<Key>) {
        match change.kind() {
            Kind::Service => self.service_changed(change, cache, items),
            Kind::Pod => self.pod_changed(change, items),
            _ => self.slice_changed(change, items),
        }
    }

    fn reconcile(&mut self, _now: Time, key: &Key, cache: &Cache, out: &mut Requests<Key>) -> Outcome<Vec<Write>> {
        let Some(service) = cache.service(key) else {
            self.failures.remove(key);
            self.written.remove(key);
            return Outcome::Done;
        };
        let Some(membership) = self.services.get(key).filter(|membership| !membership.selector.is_empty()) else { return Outcome::Done };
        let mut wanted = BTreeMap::new();
        for pod_key in &membership.pods {
            if let Some(pod) = cache.pod(pod_key)
                && let Some(endpoint) = endpoint(service, pod, |node| cache.node(node))
            {
                wanted.insert(pod.meta.uid.clone(), endpoint);
            }
        }
        if !self.is_up_to_date(key, cache) {
            return self.back_off(key, out);
        }
        let slices: Vec<&Stored> = cache.slices_of(key).map(|(_, stored)| stored).collect();
        let writes = plan(service, &slices, wanted);
        if writes.is_empty() {
            self.failures.remove(key);
            return Outcome::Done;
        }
        let writes = writes.into_iter().map(|verb| {
            let write = match &verb {
                Verb::Update { object, .. } => Some((object.key(), true)),
                Verb::Delete { key, .. } => Some((key.clone(), false)),
                _ => None,
            };
            out.send(verb);
            write
        });
        Outcome::Await(writes.collect())
    }

    fn resume(
        &mut self,
        _now: Time,
        key: &Key,
        writes: Vec<Write>,
        answers: &Answers,
        _cache: &Cache,
        out: &mut Requests<Key>,
    ) -> Outcome<Vec<Write>> {
        let written = self.written.entry(key.clone()).or_default();
        let mut failed = false;
        for (number, write) in writes.into_iter().enumerate() {
            match (answers.get(number), write) {
                (Ok(Reply::Object(stored)), Some((_, true)) | None) => drop(written.insert(stored.key.clone(), Some(stored.revision))),
                (Ok(_), Some((slice, _))) => drop(written.insert(slice, None)),
                (Err(error), Some((slice, false))) if error.reason == Reason::NotFound => drop(written.insert(slice, None)),
                // The namespace takes the slices with it.
                (Err(error), _) if error.reason == Reason::NamespaceTerminating => {}
                (Err(_), _) => failed = true,
                (Ok(_), None) => {}
            }
        }
        if failed {
            return self.back_off(key, out);
        }
        self.failures.remove(key);
        Outcome::Done
    }
}

/// The slices that this controller makes for a service that has none. `node`: the Node of a name.
pub fn first_slices<'a>(
    service: &Service,
    pods: impl Iterator<Item = &'a Pod>,
    node: impl Fn(&Name) -> Option<&'a Node>,
) -> Vec<Arc<Object>> {
    let selected = pods.filter(|pod| selects(&service.spec.selector, &pod.meta.labels));
    let wanted = selected.filter_map(|pod| Some((pod.meta.uid.clone(), endpoint(service, pod, &node)?))).collect();
    let writes = plan(service, &[], wanted).into_iter();
    let created = writes.map(|write| match write {
        Verb::Create { object } => object,
        other => unreachable!("a service without slices needs no {other:?}"),
    });
    created.collect()
}

/// What a pod is in its service's slices; `None` without an address or when it is terminal.
fn endpoint<'a>(service: &Service, pod: &Pod, node: impl Fn(&Name) -> Option<&'a Node>) -> Option<Endpoint> {
    let address = pod.status.pod_ip.filter(|_| !pod.status.phase.is_terminal())?;
    let (serving, terminating) = (pod.is_ready(), pod.meta.is_deleting());
    let ready = service.spec.publish_not_ready_addresses || (serving && !terminating);
    let node = pod.node.as_ref().and_then(node);
    Some(Endpoint {
        addresses: vec![address],
        conditions: EndpointConditions { ready, serving, terminating },
        node_name: pod.node.clone(),
        zone: node.and_then(|node| node.meta.label(crate::objects::node::labels::ZONE)).cloned(),
        target_ref: Some(TargetRef {
            kind: Kind::Pod.name().into(),
            namespace: pod.meta.namespace.clone(),
            name: pod.meta.name.clone(),
            uid: pod.meta.uid.clone(),
        }),
    })
}

/// The fewest writes that make the slices say what is wanted, by pod uid: slices that lose or change endpoints are written anyway and
/// take new ones; what is left fills the fullest slice that has room for all of it, or goes into new slices (`reconcileByPortMapping`).
fn plan(service: &Service, slices: &[&Stored], mut wanted: BTreeMap<Name, Endpoint>) -> Vec<Verb> {
    struct Draft<'a> {
        stored: &'a Stored,
        slice: &'a EndpointSlice,
        endpoints: Vec<Endpoint>,
        changed: bool,
    }
    let ports = ports(service);
    let mut drafts: Vec<Draft> = Vec::new();
    for stored in slices {
        let Some(slice) = stored.object.as_endpoint_slice().filter(|slice| !slice.meta.is_deleting()) else { continue };
        let mut endpoints = Vec::with_capacity(slice.endpoints.len());
        for endpoint in &slice.endpoints {
            let uid = endpoint.target_ref.as_ref().map(|target| &target.uid);
            endpoints.extend(uid.and_then(|uid| wanted.remove(uid)));
        }
        let changed = endpoints != slice.endpoints || slice.rest.get("ports") != Some(&ports);
        drafts.push(Draft { stored, slice, endpoints, changed });
    }
    let mut rest: Vec<Endpoint> = wanted.into_values().collect();
    for draft in drafts.iter_mut().filter(|draft| draft.changed) {
        let room = MAX_ENDPOINTS.saturating_sub(draft.endpoints.len()).min(rest.len());
        draft.endpoints.extend(rest.drain(..room));
    }
    if !rest.is_empty() && rest.len() < MAX_ENDPOINTS {
        let fitting = drafts.iter_mut().filter(|draft| draft.endpoints.len() + rest.len() <= MAX_ENDPOINTS);
        if let Some(draft) = fitting.max_by_key(|draft| draft.endpoints.len()) {
            draft.endpoints.append(&mut rest);
            draft.changed = true;
        }
    }
    let mut writes = Vec::new();
    let keep_one = drafts.iter().all(|draft| draft.endpoints.is_empty()) && rest.is_empty();
    for (at, draft) in drafts.iter().enumerate() {
        // A service without endpoints keeps one empty slice.
        if draft.endpoints.is_empty() && !(keep_one && at == 0) {
            writes.push(Verb::Delete { key: draft.stored.key.clone(), options: DeleteOptions::default() });
        } else if draft.changed {
            let mut slice = EndpointSlice { endpoints: draft.endpoints.clone(), ..draft.slice.clone() };
            slice.rest.insert("ports", ports.clone());
            let object = Arc::new(Object::EndpointSlice(slice));
            writes.push(Verb::Update { object, part: Part::Main, revision: Some(draft.stored.revision) });
        }
    }
    let mut create = |endpoints: Vec<Endpoint>| {
        let object = Arc::new(Object::EndpointSlice(new_slice(service, endpoints, &ports)));
        writes.push(Verb::Create { object });
    };
    if drafts.is_empty() && rest.is_empty() {
        create(Vec::new());
    }
    while !rest.is_empty() {
        let more = rest.split_off(rest.len().min(MAX_ENDPOINTS));
        create(std::mem::replace(&mut rest, more));
    }
    writes
}

fn new_slice(service: &Service, endpoints: Vec<Endpoint>, ports: &serde_json::Value) -> EndpointSlice {
    let mut labels = (*service.meta.labels).clone();
    labels.insert(SERVICE_NAME_LABEL.into(), service.meta.name.clone());
    labels.insert("endpointslice.kubernetes.io/managed-by".into(), "endpointslice-controller.k8s.io".into());
    let meta = Meta {
        generate_name: format!("{}-", service.meta.name).into(),
        namespace: service.meta.namespace.clone(),
        labels: Shared::new(labels),
        owner_references: vec![OwnerReference::controller(Kind::Service, &service.meta)].into(),
        ..Meta::default()
    };
    let rest = Rest::from(serde_json::Map::from_iter([("ports".to_owned(), ports.clone())]));
    EndpointSlice { meta, address_type: "IPv4".into(), endpoints, rest }
}

/// The slice's `ports`, made from the service's.
fn ports(service: &Service) -> serde_json::Value {
    let port = |port: &crate::objects::service::ServicePort| {
        let target = port.target_port.as_ref().and_then(|target| match target {
            crate::objects::workload::IntOrString::Int(number) => u16::try_from(*number).ok(),
            crate::objects::workload::IntOrString::String(_) => None,
        });
        let protocol = if port.protocol.is_empty() { "TCP" } else { port.protocol.as_str() };
        serde_json::json!({ "name": port.name.as_str(), "port": target.unwrap_or(port.port), "protocol": protocol })
    };
    serde_json::Value::Array(service.spec.ports.iter().map(port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controllers::adapter::Adapter;
    use crate::controllers::testing::World;
    use crate::objects::pod::PodIp;

    #[test]
    fn slices_hold_100_endpoints_and_follow_readiness() {
        let labels: Labels = [(Name::new("app"), Name::new("web"))].into_iter().collect();
        let mut service = Service { meta: Meta::named("default", "web"), ..Service::default() };
        service.spec.selector = labels.clone();
        let mut world = World::new(vec![Adapter::boxed(EndpointSliceController::new(5))]);
        let service = world.create(Object::Service(service)).unwrap().object.key();
        world.settle();
        assert_eq!(world.cache.slices_of(&service).count(), 1, "an empty one");
        for number in 0..250 {
            let mut pod = Pod { meta: Meta::named("default", &format!("web-{number}")), ..Pod::default() };
            pod.meta.labels = Shared::new(labels.clone());
            pod.status.pod_ip = Some(PodIp(number));
            let key = world.create(Object::Pod(pod)).unwrap().object.key();
            world.set_ready(&key, true);
        }
        world.run_for(Duration::from_secs(5));
        let endpoints = |world: &World| {
            let slices = world.cache.slices_of(&service).filter_map(|(_, stored)| stored.object.as_endpoint_slice());
            slices.map(|slice| slice.endpoints.clone()).collect::<Vec<_>>()
        };
        let sizes: Vec<usize> = endpoints(&world).iter().map(Vec::len).collect();
        assert!(sizes.iter().all(|size| *size <= 100) && sizes.iter().sum::<usize>() == 250 && sizes.len() == 3, "{sizes:?}");
        let requests = world.requests.len();
        world.set_ready(&Key::pod("default", "web-7"), false);
        world.run_for(Duration::from_secs(5));
        let ready = endpoints(&world).iter().flatten().filter(|endpoint| endpoint.conditions.ready).count();
        assert_eq!((ready, world.requests.len() - requests), (249, 1), "one slice is written");
    }
}
