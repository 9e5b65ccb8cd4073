//! A write's way: admission -> cached read -> mutate -> etcd txn -> on a miss the live version, and again -> answer (upstream
//! `storage/etcd3/store.go`, GuaranteedUpdate).
//!
//! What was computed from a cached version is not final unless etcd agrees: a refusal or a no-op is looked at again with the live one.

use std::net::Ipv4Addr;
use std::sync::Arc;

use super::ApiServer;
use super::admission;
use super::eviction::{self, Permission, Stage};
use super::server::{Asker, Token, etcd_error};
use super::watch_cache;
use super::write::{self, Outcome};
use crate::base::{Cause, Name, Revision, Time};
use crate::objects::{Key, Kind, Object, Stored};
use crate::wire::api::{Body, Reason, Verb};
use crate::wire::etcd::{
    Answer, Compare, CompareResult, CompareTarget, EtcdError, KeyRange, LeaseId, Op, OpAnswer, Operation, Range, Response, Txn, Value,
};
use crate::wire::{ApiError, Outbox};

/// How often a patch is tried on ever newer versions (upstream `MaxRetryWhenPatchConflicts`).
const PATCH_TRIES: u32 = 5;
/// `generateName` is cut to this, so that the suffix fits into 63 (upstream `names/generate.go`).
pub(super) const GENERATED_BASE_MAX: usize = 58;
/// The services' addresses: 10.96.0.0/16, the beginning of kubeadm's default range 10.96.0.0/12.
pub(super) const SERVICE_NETWORK: u32 = 0x0a60_0000;
/// The API's own service and the DNS have the addresses 1 and 10 (kubeadm).
pub(super) const SERVICE_ADDRESSES_TAKEN: [u32; 2] = [1, 10];

/// A write under way.
pub(super) struct Write {
    /// `None`: the server itself.
    client: Option<Asker>,
    cause: Cause,
    verb: Verb,
    /// Set once the name is known.
    key: Key,
    deadline: Time,
    tries: u32,
    /// What the transaction shall leave, or the last state of what it deletes.
    object: Option<Arc<Object>>,
    deletes: bool,
    /// A create whose cluster IP the server has chosen may choose again.
    chooses_ip: bool,
    /// Of an eviction.
    stage: Stage,
}

impl ApiServer {
    pub(super) fn begin_write(&mut self, now: Time, client: Option<Asker>, verb: Verb, out: &mut Outbox) {
        let cause = client.map_or(out.cause(), |client| client.cause);
        let key = write::key_of(&verb).expect("a write is about an object");
        let deadline = now + self.config.request_timeout;
        let is_create = matches!(verb, Verb::Create { .. });
        let number = self.number();
        self.writes.insert(
            number,
            Write {
                client,
                cause,
                verb,
                key: key.clone(),
                deadline,
                tries: 0,
                object: None,
                deletes: false,
                chooses_ip: false,
                stage: Stage::Look,
            },
        );
        if !is_create {
            return match self.cached(&key).cloned() {
                Some(current) => {
                    // The key as cached: its text is the store's.
                    self.writes.get_mut(&number).expect("the write under way").key = current.key.clone();
                    self.mutate(now, number, current, false, out)
                }
                None => self.read_live(now, number, out),
            };
        }
        if !key.kind().namespaced() || key.namespace().is_empty() {
            return self.create(now, number, out);
        }
        match self.cached(&namespace_of(&key)) {
            // The cache may lag behind a namespace that was made a moment ago.
            None => self.send(
                now,
                number,
                Operation::Range(Range::one(namespace_of(&key).path().clone()).into()),
                Token::Namespace(number),
                out,
            ),
            Some(namespace) => match admission::namespace_allows(&key, Some(&namespace.object)) {
                Ok(()) => self.create(now, number, out),
                Err(error) => self.refuse(number, error, out),
            },
        }
    }

    pub(super) fn namespace_answered(&mut self, now: Time, number: u64, result: Result<Response, EtcdError>, out: &mut Outbox) {
        let Some(write) = self.writes.get(&number) else { return };
        let namespace = match live(result) {
            Ok(namespace) => namespace,
            Err(error) => return self.refuse(number, etcd_error(error), out),
        };
        match admission::namespace_allows(&write.key, namespace.as_ref().map(|stored| &*stored.object)) {
            Ok(()) => self.create(now, number, out),
            Err(error) => self.refuse(number, error, out),
        }
    }

    fn create(&mut self, now: Time, number: u64, out: &mut Outbox) {
        match self.created(now, number) {
            Err(error) => self.refuse(number, error, out),
            Ok((object, chooses_ip)) => {
                let write = self.writes.get_mut(&number).expect("the write under way");
                write.key = object.key();
                write.chooses_ip = chooses_ip;
                write.object = Some(Arc::new(object));
                self.send_create(now, number, out);
            }
        }
    }
    /// The object as it shall be stored, and whether the server has chosen its cluster IP.
    fn created(&mut self, now: Time, number: u64) -> Result<(Object, bool), ApiError> {
        let Verb::Create { object } = &self.writes[&number].verb else { unreachable!("only creates come here") };
        let mut object = object.clone();
        let meta = object.meta();
        let name = if meta.name.is_empty() && !meta.generate_name.is_empty() {
            let base: String = meta.generate_name.chars().take(GENERATED_BASE_MAX).collect();
            Name::from(base + &self.stream.name_suffix(5))
        } else {
            meta.name.clone()
        };
        let priority = match &*object {
            Object::Pod(pod) => {
                let key = Key::pod(&meta.namespace, &name);
                let of_name = |class: &Name| self.cached(&Key::new(Kind::PriorityClass, "", class))?.object.as_priority_class();
                let global_default = || {
                    let classes = self.cache(Kind::PriorityClass).objects().filter_map(|stored| stored.object.as_priority_class());
                    classes.filter(|class| class.global_default).max_by_key(|class| class.value)
                };
                Some(admission::priority(&key, &pod.spec, of_name, global_default)?)
            }
            _ => None,
        };
        if object.kind() == Kind::PersistentVolumeClaim
            && let Object::PersistentVolumeClaim(claim) = Arc::make_mut(&mut object)
        {
            let classes = self.cache(Kind::StorageClass).objects().filter_map(|stored| stored.object.as_storage_class());
            admission::give_class(claim, classes);
        }
        let uid = self.new_uid();
        let mut created = write::create(&self.config, &mut self.specs, now, &object, name, uid, priority.as_ref())?;
        let mut chooses_ip = false;
        if let Object::Service(service) = &mut created
            && service.spec.cluster_ip.is_empty()
            && service.spec.kind != "ExternalName"
        {
            service.spec.cluster_ip = self.choose_ip();
            chooses_ip = true;
        }
        Ok((created, chooses_ip))
    }
    /// An address that no service in the cache has. The transaction makes sure that none in etcd has it either.
    fn choose_ip(&mut self) -> Name {
        let first = self.stream.below(0xfffe) as u32;
        for step in 0..0xfffe {
            let host = 1 + (first + step) % 0xfffe;
            let ip = Ipv4Addr::from(SERVICE_NETWORK | host).to_string();
            let taken = self.cache(Kind::Service).objects().any(|it| it.object.as_service().is_some_and(|it| it.spec.cluster_ip == *ip));
            if !SERVICE_ADDRESSES_TAKEN.contains(&host) && !taken {
                return Name::from(ip);
            }
        }
        Name::default()
    }
    fn send_create(&mut self, now: Time, number: u64, out: &mut Outbox) {
        let write = &self.writes[&number];
        let object = write.object.clone().expect("the object to create");
        let mut txn = Txn::create(write.key.path().clone(), Value::object(object.clone()), LeaseId::default());
        if let Some(address) = address_key(&object) {
            let absent = CompareTarget::ModRevision(Revision::ZERO);
            txn.compares.push(Compare::one(address.as_str().into(), absent, CompareResult::Equal));
            let value = Value::bytes(write.key.path().as_bytes());
            txn.then.push(Op::put(address.as_str().into(), value, LeaseId::default()));
        }
        self.send(now, number, Operation::Txn(txn.into()), Token::Txn(number), out);
    }

    fn read_live(&mut self, now: Time, number: u64, out: &mut Outbox) {
        let range = Range::one(self.writes[&number].key.path().clone());
        self.send(now, number, Operation::Range(range.into()), Token::Live(number), out);
    }
    pub(super) fn live_answered(&mut self, now: Time, number: u64, result: Result<Response, EtcdError>, out: &mut Outbox) {
        let Some(write) = self.writes.get(&number) else { return };
        match live(result) {
            Err(error) => self.refuse(number, etcd_error(error), out),
            Ok(None) => {
                let error = ApiError::not_found(&write.key);
                self.refuse(number, error, out);
            }
            Ok(Some(current)) => self.mutate(now, number, current, true, out),
        }
    }

    /// Computes what the write makes of `current`, and sends it.
    fn mutate(&mut self, now: Time, number: u64, current: Stored, is_live: bool, out: &mut Outbox) {
        let write = self.writes.get_mut(&number).expect("the write under way");
        let outcome = match (&write.verb, write.stage) {
            (Verb::Evict { .. }, Stage::Look) => return self.look(now, number, current, is_live, out),
            (Verb::Evict { pod, .. }, Stage::Budget) => eviction::counted(now, pod, &current),
            (Verb::Evict { pod, .. }, Stage::Mark) => match eviction::marked(now, pod, &current) {
                Ok(Outcome::Unchanged) if is_live => return self.go_on(now, number, current, out),
                outcome => outcome,
            },
            (Verb::Evict { pod, options }, Stage::Delete) => eviction::deleted(now, pod, options, &current),
            (verb, _) => write::mutate(&mut self.specs, now, verb, &current),
        };
        let write = self.writes.get_mut(&number).expect("the write under way");
        let (new, deletes) = match outcome {
            Err(_) | Ok(Outcome::Unchanged) if !is_live => return self.read_live(now, number, out),
            Err(error) => return self.refuse(number, error, out),
            Ok(Outcome::Unchanged) => {
                let cause = current.because();
                return self.finish(number, cause, Body::Object(current), out);
            }
            Ok(Outcome::Put(new)) => (new, false),
            Ok(Outcome::Delete(last)) => (last, true),
        };
        let key = write.key.path().clone();
        let op = if deletes {
            Op::delete(KeyRange::One(key.clone()))
        } else {
            Op::put(key.clone(), Value::object(new.clone()), LeaseId::default())
        };
        let mut txn = Txn::if_unchanged(key, current.revision, op);
        if let (true, Some(address)) = (deletes, address_key(&new)) {
            txn.then.push(Op::delete(KeyRange::One(address.as_str().into())));
        }
        write.object = Some(new);
        write.deletes = deletes;
        self.send(now, number, Operation::Txn(txn.into()), Token::Txn(number), out);
    }

    /// An eviction begins: by a budget's leave, or at once.
    fn look(&mut self, now: Time, number: u64, current: Stored, is_live: bool, out: &mut Outbox) {
        let pod = current.object.as_pod().expect("only pods are evicted");
        let budgets = self.cache(Kind::PodDisruptionBudget).objects().filter_map(|stored| stored.object.as_pod_disruption_budget());
        let permission = eviction::permission(pod, budgets);
        let write = self.writes.get_mut(&number).expect("the write under way");
        match permission {
            Err(error) if is_live => self.refuse(number, error, out),
            Err(_) => self.read_live(now, number, out),
            Ok(Permission::Free) => {
                write.stage = Stage::Mark;
                self.mutate(now, number, current, is_live, out);
            }
            Ok(Permission::Ask(budget)) => {
                write.stage = Stage::Budget;
                write.key = budget.clone();
                match self.cached(&budget).cloned() {
                    Some(budget) => self.mutate(now, number, budget, false, out),
                    None => self.read_live(now, number, out),
                }
            }
        }
    }
    /// The next write of an eviction; `written`: what the last one left.
    fn go_on(&mut self, now: Time, number: u64, written: Stored, out: &mut Outbox) {
        let write = self.writes.get_mut(&number).expect("the write under way");
        if write.stage == Stage::Mark {
            write.stage = Stage::Delete;
            return self.mutate(now, number, written, true, out);
        }
        let Verb::Evict { pod, .. } = &write.verb else { unreachable!("only an eviction has stages") };
        let pod = pod.clone();
        (write.stage, write.key, write.tries) = (Stage::Mark, pod.clone(), 0);
        match self.cached(&pod).cloned() {
            Some(pod) => self.mutate(now, number, pod, false, out),
            None => self.read_live(now, number, out),
        }
    }

    pub(super) fn txn_answered(&mut self, now: Time, number: u64, result: Result<Response, EtcdError>, out: &mut Outbox) {
        let Some(write) = self.writes.get_mut(&number) else { return };
        let (revision, succeeded, answers) = match result {
            Ok(Response { revision, result: Ok(Answer::Txn { succeeded, answers }), .. }) => (revision, succeeded, answers),
            Ok(other) => unreachable!("a transaction was answered with {other:?}"),
            Err(error) => return self.refuse(number, etcd_error(error), out),
        };
        if succeeded {
            let object = write.object.take().expect("what was written");
            if matches!(write.verb, Verb::Evict { .. }) && write.stage != Stage::Delete {
                let written = Stored { key: write.key.clone(), revision, cause: write.cause, object };
                return self.go_on(now, number, written, out);
            }
            let body = match write.verb {
                Verb::Delete { .. } | Verb::Evict { .. } if write.deletes => Body::Done,
                _ => Body::Object(Stored { key: write.key.clone(), revision, cause: write.cause, object }),
            };
            return self.finish(number, Cause::revision(revision), body, out);
        }
        let current = match answers.first() {
            Some(OpAnswer::Range(range)) => range.kvs.first().and_then(watch_cache::stored),
            other => unreachable!("a missed transaction reads the key, not {other:?}"),
        };
        write.tries += 1;
        let error = match (&write.verb, &current) {
            (Verb::Create { .. }, Some(_)) => Some(write::already_exists(&write.key)),
            // The key is free: it is the address that somebody else has.
            (Verb::Create { .. }, None) => {
                if write.chooses_ip {
                    return self.create(now, number, out);
                }
                Some(address_taken(write.object.as_deref().expect("the object to create")))
            }
            (_, None) => Some(ApiError::not_found(&write.key)),
            (Verb::Patch { .. }, Some(_)) if write.tries >= PATCH_TRIES => Some(write::modified(&write.key)),
            (Verb::Evict { .. }, Some(_)) if write.tries >= eviction::BUDGET_TRIES => Some(write::modified(&write.key)),
            (_, Some(_)) if now >= write.deadline => Some(etcd_error(EtcdError::Timeout)),
            (_, Some(_)) => None,
        };
        match (error, current) {
            (None, Some(current)) => self.mutate(now, number, current, true, out),
            (error, _) => self.refuse(number, error.expect("an absent object is an error"), out),
        }
    }

    fn send(&mut self, now: Time, number: u64, operation: Operation, token: Token, out: &mut Outbox) {
        let write = &self.writes[&number];
        out.because(write.cause);
        self.etcd.send(now, operation, write.deadline, token, out);
    }
    fn refuse(&mut self, number: u64, error: ApiError, out: &mut Outbox) {
        let cause = self.writes[&number].cause;
        self.finish(number, cause, Body::Error(error), out);
    }
    fn finish(&mut self, number: u64, cause: Cause, body: Body, out: &mut Outbox) {
        let write = self.writes.remove(&number).expect("the write under way");
        if let Some(client) = write.client {
            self.reply(client, cause, body, out);
        }
    }
}

fn namespace_of(key: &Key) -> Key {
    Key::new(Kind::Namespace, "", key.namespace())
}

/// The one object that a range over one key found.
fn live(result: Result<Response, EtcdError>) -> Result<Option<Stored>, EtcdError> {
    match result {
        Ok(Response { result: Ok(Answer::Range(range)), .. }) => Ok(range.kvs.first().and_then(watch_cache::stored)),
        Ok(other) => unreachable!("a range was answered with {other:?}"),
        Err(error) => Err(error),
    }
}

/// The key that holds a service's cluster IP for it, so that no two have one (upstream: IPAddress objects).
pub(super) fn address_key(object: &Object) -> Option<String> {
    let service = object.as_service()?;
    let ip: Ipv4Addr = service.spec.cluster_ip.parse().ok()?;
    Some(format!("/registry/ipaddresses/{ip}"))
}

fn address_taken(object: &Object) -> ApiError {
    let ip = object.as_service().map(|service| service.spec.cluster_ip.clone()).unwrap_or_default();
    let why = format!("spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: provided IP is already allocated");
    ApiError::new(Reason::Invalid, format!("Service \"{}\" is invalid: {why}", object.meta().name))
}
