//! Floor 4: the controller manager and its controllers.
//!
//! A controller is one file here and one line in [`registry`]. It is level-triggered: it reads the cache and requests changes. The
//! manager ([`manager`]) owns the session with its reflectors, a work queue a controller, back-off, worker counts, client limits and
//! leader election. The decision inside a reconcile is a pure function of (cache, item, now); what must wait for the API's answers
//! (slow start, live re-reads, two-step writes) returns [`Outcome::Await`] and goes on in [`Controller::resume`], while its item stays
//! "processing", as a blocked worker would keep it.
//!
//! What is not here: the scheduler (its own process), the kubelet, and what kubectl does (`operator`).

pub mod adapter;
pub mod deployment;
pub mod disruption;
pub mod endpoint_slice;
pub mod expectations;
pub mod garbage_collector;
pub mod manager;
pub mod node_lifecycle;
pub mod ownership;
pub mod pod_gc;
pub mod replicaset;
pub mod taint_eviction;
pub mod volumes;

#[cfg(test)]
mod testing;

pub use manager::Manager;

use std::fmt::Debug;
use std::hash::Hash;

use crate::base::{Cause, Duration, Name, Time};
use crate::client::{Cache, Change, LeaderTimings, Reply};
use crate::objects::{Kind, Stored};
use crate::wire::api::{Reason, Verb};
use crate::wire::fact::{Fact, What};
use crate::wire::{ApiError, Work};

use adapter::{Adapter, ErasedController};

/// The controller manager's settings; defaults are kube-controller-manager's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Thousandths of a request per second, of each controller's client (k/k `pkg/controller/apis/config/v1alpha1/defaults.go`: 20).
    pub client_qps_milli: u64,
    /// 30
    pub client_burst: u64,
    pub leader: LeaderTimings,
    /// 5 s
    pub node_monitor_period: Duration,
    /// 50 s since v1.32 (k/k PR 126287)
    pub node_monitor_grace_period: Duration,
    /// 60 s
    pub node_startup_grace_period: Duration,
    /// Thousandths of a node per second: 0.1/s
    pub node_eviction_rate_milli: u64,
    /// 0.01/s
    pub secondary_node_eviction_rate_milli: u64,
    /// Nodes in a zone above which the secondary rate is used instead of none: 50
    pub large_cluster_size_threshold: usize,
    /// Per mille of not-ready nodes above which a zone is in partial disruption: 0.55
    pub unhealthy_zone_threshold_per_mille: u64,
    /// 20 s
    pub pod_gc_period: Duration,
    /// Terminated pods above which the oldest are deleted: 12,500
    pub terminated_pod_gc_threshold: usize,
    /// Workers of the deployment, replicaset and endpointslice controllers: 5
    pub workers: usize,
    /// 20
    pub gc_workers: usize,
    /// Run the controllers of volumes, and watch their kinds: see [`Kind::served`]. No setting of kube-controller-manager.
    pub volumes: bool,
    /// How long a driver takes to make a volume, and to delete one. Ours, with the next two: what clouds take, in round figures.
    pub volume_provision_time: Duration,
    pub volume_delete_time: Duration,
    /// How long a driver takes to attach a volume to a node, and to detach it.
    pub volume_attach_time: Duration,
    pub volume_detach_time: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            client_qps_milli: 20_000,
            client_burst: 30,
            leader: LeaderTimings::default(),
            node_monitor_period: Duration::from_secs(5),
            node_monitor_grace_period: Duration::from_secs(50),
            node_startup_grace_period: Duration::from_secs(60),
            node_eviction_rate_milli: 100,
            secondary_node_eviction_rate_milli: 10,
            large_cluster_size_threshold: 50,
            unhealthy_zone_threshold_per_mille: 550,
            pod_gc_period: Duration::from_secs(20),
            terminated_pod_gc_threshold: 12_500,
            workers: 5,
            gc_workers: 20,
            volumes: false,
            volume_provision_time: Duration::from_secs(3),
            volume_delete_time: Duration::from_secs(1),
            volume_attach_time: Duration::from_secs(3),
            volume_detach_time: Duration::from_secs(3),
        }
    }
}

/// All controllers of the manager: one line each. The order is that in which they start and hear of a change.
fn registry(config: &Config) -> Vec<Box<dyn ErasedController>> {
    let shared = std::sync::Arc::new(config.clone());
    let mut all = vec![
        Adapter::boxed(deployment::DeploymentController::new(config.workers)),
        Adapter::boxed(replicaset::ReplicaSetController::new(config.workers)),
        Adapter::boxed(endpoint_slice::EndpointSliceController::new(config.workers)),
        Adapter::boxed(node_lifecycle::NodeLifecycleController::new(shared)),
        Adapter::boxed(node_lifecycle::NodeTaintController::default()),
        Adapter::boxed(taint_eviction::TaintEvictionController::default()),
        Adapter::boxed(pod_gc::PodGarbageCollector::new(config.pod_gc_period, config.terminated_pod_gc_threshold)),
        Adapter::boxed(disruption::DisruptionController::default()),
        Adapter::boxed(garbage_collector::GarbageCollector::new(config.gc_workers, config.volumes)),
    ];
    if config.volumes {
        all.extend(volumes::registry(config));
    }
    all
}

/// A controller. `Item` is what its work queue holds: the key of an object for most, more for those with loops of their own.
pub trait Controller {
    type Item: Clone + Ord + Hash + Debug;
    /// What a sync that waits for answers must remember.
    type Progress;

    /// As in upstream's client names and in docs: `replicaset-controller`.
    fn name(&self) -> &'static str;
    /// Whose rate limiter its requests go through: controllers that share an upstream client name the same one.
    fn client(&self) -> &'static str {
        self.name()
    }
    /// How many items are processed at once.
    fn workers(&self) -> usize;
    /// The kinds whose changes it hears of.
    fn watches(&self) -> &'static [Kind];
    /// Called once when the cache is complete after gaining the lead: periodic loops begin here.
    fn start(&mut self, _now: Time, _cache: &Cache, _items: &mut Items<Self::Item>) {}
    /// Which items a change (already in the cache) makes due. During the first list every object comes as a change without `old`.
    fn items_for(&mut self, now: Time, change: &Change, cache: &Cache, items: &mut Items<Self::Item>);
    /// Processes an item.
    fn reconcile(&mut self, now: Time, item: &Self::Item, cache: &Cache, out: &mut Requests<Self::Item>) -> Outcome<Self::Progress>;
    /// Goes on when all requests made since the last `Await` are answered.
    fn resume(
        &mut self,
        now: Time,
        item: &Self::Item,
        progress: Self::Progress,
        answers: &Answers,
        cache: &Cache,
        out: &mut Requests<Self::Item>,
    ) -> Outcome<Self::Progress>;
}

/// How a sync ended.
#[derive(Debug, PartialEq)]
pub enum Outcome<P> {
    /// Forget the item's failures.
    Done,
    /// Queue the item again with back-off.
    Retry,
    /// Wait for the answers to the requests (and for work) just made, then `resume`.
    Await(P),
}

/// Items that became due, with when and why.
pub struct Items<I> {
    pub due: Vec<(I, Duration, Option<Cause>)>,
}

impl<I> Default for Items<I> {
    fn default() -> Items<I> {
        Items { due: Vec::new() }
    }
}

impl<I> Items<I> {
    /// Due at once, because of the change at hand.
    pub fn add(&mut self, item: I) {
        self.due.push((item, Duration::ZERO, None));
    }
    pub fn add_after(&mut self, item: I, delay: Duration) {
        self.due.push((item, delay, None));
    }
    /// Due after `delay`, because of something other than the change at hand.
    pub fn add_because(&mut self, item: I, delay: Duration, cause: Cause) {
        self.due.push((item, delay, Some(cause)));
    }
}

/// One thing that a sync asks for; `None` for the cause: see [`Requests`].
#[derive(Debug)]
pub enum Ask {
    Request(Verb, Option<Cause>),
    Record(Fact, Option<Cause>),
}

/// What a sync asks for. Requests go out in order through the controller's client; those of one round are in flight together.
///
/// The cause of a request or fact that names none is the fact recorded last in this round, or else the item's.
pub struct Requests<I> {
    pub asks: Vec<Ask>,
    sent: usize,
    pub work: Option<Work>,
    /// Those without a cause of their own get the item's.
    pub items: Items<I>,
}

impl<I> Default for Requests<I> {
    fn default() -> Requests<I> {
        Requests { asks: Vec::new(), sent: 0, work: None, items: Items::default() }
    }
}

impl<I> Requests<I> {
    /// Returns the number of the request in this round: its answer's index in [`Answers`].
    pub fn send(&mut self, verb: Verb) -> usize {
        self.push(verb, None)
    }
    /// The same with a cause other than the item's.
    pub fn send_because(&mut self, verb: Verb, cause: Cause) -> usize {
        self.push(verb, Some(cause))
    }
    fn push(&mut self, verb: Verb, cause: Option<Cause>) -> usize {
        self.asks.push(Ask::Request(verb, cause));
        self.sent += 1;
        self.sent - 1
    }
    /// How many requests this round has.
    pub fn sent(&self) -> usize {
        self.sent
    }
    /// Records a fact, which becomes the cause of what follows in this round without a cause of its own.
    pub fn record(&mut self, fact: Fact) {
        self.asks.push(Ask::Record(fact, None));
    }
    pub fn record_because(&mut self, fact: Fact, cause: Cause) {
        self.asks.push(Ask::Record(fact, Some(cause)));
    }
    /// Takes time on the manager's machine before the round counts as answered. At most one a round.
    pub fn work(&mut self, work: Work) {
        self.work = Some(work);
    }
    /// Puts an item (this one or another) into the queue, now or later.
    pub fn enqueue_after(&mut self, item: I, delay: Duration) {
        self.items.add_after(item, delay);
    }
}

/// The answers of a round, by the number that `send` returned.
pub struct Answers {
    pub results: Vec<Result<Reply, ApiError>>,
}

impl Answers {
    pub fn get(&self, number: usize) -> &Result<Reply, ApiError> {
        &self.results[number]
    }
    /// The object that the request left behind, if it succeeded with one.
    pub fn object(&self, number: usize) -> Option<&Stored> {
        match self.get(number) {
            Ok(Reply::Object(stored)) => Some(stored),
            _ => None,
        }
    }
    /// Whether the request failed for this reason.
    pub fn failed_with(&self, number: usize, reason: Reason) -> bool {
        self.get(number).as_ref().is_err_and(|error| error.reason == reason)
    }
    pub fn all_ok(&self) -> bool {
        self.results.iter().all(Result::is_ok)
    }
    /// Whether every request succeeded, or failed for one of these reasons.
    pub fn all_ok_or(&self, fine: &[Reason]) -> bool {
        self.results.iter().all(|result| result.as_ref().err().is_none_or(|error| fine.contains(&error.reason)))
    }
    /// Whether every request succeeded or was about something that is gone already.
    pub fn all_ok_or_gone(&self) -> bool {
        self.all_ok_or(&[Reason::NotFound])
    }
    /// How a sync ends whose last requests these were.
    pub fn last<P>(&self) -> Outcome<P> {
        if self.all_ok_or_gone() { Outcome::Done } else { Outcome::Retry }
    }
}

/// Shorthand for a decision in the record.
pub fn decided(subject: crate::wire::fact::Subject, text: impl Into<Name>) -> Fact {
    Fact { subject, what: What::Decided { text: text.into() } }
}
