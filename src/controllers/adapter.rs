//! What stands between the manager and a controller: its work queue, its workers, and the erasure of its types. `dyn` stands here only.
//!
//! An item stays "processing" from the moment a worker takes it until its sync ends, over all its rounds of requests, so that two
//! workers never hold the same item (client-go `util/workqueue/queue.go`).

use super::{Answers, Ask, Controller, Items, Outcome, Requests};
use crate::base::{Cause, Time};
use crate::client::{Cache, Change, Reply, WorkQueue};
use crate::objects::Kind;
use crate::wire::api::Verb;
use crate::wire::fact::Fact;
use crate::wire::{ApiError, Work};

/// What a worker wants done, in order, each with its cause. The manager answers each `Send` with [`ErasedController::answer`] and the
/// `Compute` with [`ErasedController::computed`].
#[derive(Debug)]
pub(super) enum Order {
    /// The worker's request of this number.
    Send {
        worker: usize,
        number: usize,
        verb: Verb,
        cause: OrderCause,
    },
    Record {
        fact: Fact,
        cause: OrderCause,
    },
    Compute {
        worker: usize,
        work: Work,
        cause: Cause,
    },
}

/// The cause of an order: a known one, or the fact that this batch of orders recorded last.
#[derive(Clone, Copy, Debug)]
pub(super) enum OrderCause {
    Known(Cause),
    LastRecorded,
}

/// A controller without its types.
pub(super) trait ErasedController {
    fn client(&self) -> &'static str;
    fn watches(&self) -> &'static [Kind];
    /// The cache is complete: periodic loops begin.
    fn start(&mut self, now: Time, cache: &Cache);
    fn observe(&mut self, now: Time, change: &Change, cache: &Cache);
    /// Idle workers take items, and finished rounds go on.
    fn run(&mut self, now: Time, cache: &Cache, orders: &mut Vec<Order>);
    fn answer(&mut self, worker: usize, number: usize, result: Result<Reply, ApiError>);
    fn computed(&mut self, worker: usize);
    /// When an idle worker will find an item.
    fn deadline(&self) -> Time;
}

/// A worker that is busy with an item.
struct Task<C: Controller> {
    item: C::Item,
    cause: Cause,
    progress: C::Progress,
    answers: Vec<Option<Result<Reply, ApiError>>>,
    /// Answers (and work) still to come.
    outstanding: usize,
}

/// A controller with its queue and workers.
pub(super) struct Adapter<C: Controller> {
    controller: C,
    queue: WorkQueue<C::Item>,
    workers: Vec<Option<Task<C>>>,
    busy: usize,
    /// Workers whose round is complete.
    ready: Vec<usize>,
    items: Items<C::Item>,
}

impl<C: Controller + 'static> Adapter<C> {
    pub(super) fn boxed(controller: C) -> Box<dyn ErasedController> {
        let workers = (0..controller.workers().max(1)).map(|_| None).collect();
        Box::new(Adapter { controller, queue: WorkQueue::new(), workers, busy: 0, ready: Vec::new(), items: Items::default() })
    }

    fn enqueue(&mut self, now: Time, cause: Cause) {
        for (item, delay, own) in self.items.due.drain(..) {
            let cause = own.unwrap_or(cause);
            if delay.nanos() == 0 {
                self.queue.add(item, cause);
            } else {
                self.queue.add_after(now, item, delay, cause);
            }
        }
    }

    /// What follows a sync or its continuation.
    fn settle(
        &mut self,
        now: Time,
        worker: usize,
        (item, cause): (C::Item, Cause),
        outcome: Outcome<C::Progress>,
        mut requests: Requests<C::Item>,
        orders: &mut Vec<Order>,
    ) {
        let awaiting = matches!(outcome, Outcome::Await(_));
        assert!(
            awaiting || (requests.sent == 0 && requests.work.is_none()),
            "{} ended the sync of {item:?} with {} requests unanswered",
            self.controller.name(),
            requests.sent
        );
        let mut default = OrderCause::Known(cause);
        let mut number = 0;
        for ask in requests.asks.drain(..) {
            match ask {
                Ask::Request(verb, own) => {
                    orders.push(Order::Send { worker, number, verb, cause: own.map_or(default, OrderCause::Known) });
                    number += 1;
                }
                Ask::Record(fact, own) => {
                    orders.push(Order::Record { fact, cause: own.map_or(default, OrderCause::Known) });
                    default = OrderCause::LastRecorded;
                }
            }
        }
        let mut outstanding = number;
        if let Some(work) = requests.work.take() {
            orders.push(Order::Compute { worker, work, cause });
            outstanding += 1;
        }
        std::mem::swap(&mut self.items, &mut requests.items);
        self.enqueue(now, cause);
        match outcome {
            Outcome::Await(progress) => {
                let answers = (0..number).map(|_| None).collect();
                self.workers[worker] = Some(Task { item, cause, progress, answers, outstanding });
                if outstanding == 0 {
                    self.ready.push(worker);
                }
                return;
            }
            Outcome::Done => self.queue.forget(&item),
            Outcome::Retry => self.queue.add_rate_limited(now, item.clone(), cause),
        }
        self.queue.done(&item);
        self.busy -= 1;
    }

    fn task(&mut self, worker: usize) -> &mut Task<C> {
        self.workers[worker].as_mut().expect("only a busy worker has requests in flight")
    }
    fn arrived(&mut self, worker: usize) {
        let task = self.task(worker);
        task.outstanding -= 1;
        if task.outstanding == 0 {
            self.ready.push(worker);
        }
    }
}

impl<C: Controller + 'static> ErasedController for Adapter<C> {
    fn client(&self) -> &'static str {
        self.controller.client()
    }
    fn watches(&self) -> &'static [Kind] {
        self.controller.watches()
    }
    fn start(&mut self, now: Time, cache: &Cache) {
        self.controller.start(now, cache, &mut self.items);
        self.enqueue(now, Cause::NONE);
    }
    fn observe(&mut self, now: Time, change: &Change, cache: &Cache) {
        self.controller.items_for(now, change, cache, &mut self.items);
        self.enqueue(now, change.cause);
    }
    fn run(&mut self, now: Time, cache: &Cache, orders: &mut Vec<Order>) {
        loop {
            let mut requests = Requests::default();
            if !self.ready.is_empty() {
                let worker = self.ready.remove(0);
                let task = self.workers[worker].take().expect("a ready worker has a task");
                let results = task.answers.into_iter().map(|answer| answer.expect("all answers are here")).collect();
                let answers = Answers { results };
                let outcome = self.controller.resume(now, &task.item, task.progress, &answers, cache, &mut requests);
                self.settle(now, worker, (task.item, task.cause), outcome, requests, orders);
            } else if self.busy < self.workers.len()
                && let Some((item, cause)) = self.queue.pop(now)
            {
                let worker = self.workers.iter().position(Option::is_none).expect("fewer tasks than workers");
                self.busy += 1;
                let outcome = self.controller.reconcile(now, &item, cache, &mut requests);
                self.settle(now, worker, (item, cause), outcome, requests, orders);
            } else {
                return;
            }
        }
    }
    fn answer(&mut self, worker: usize, number: usize, result: Result<Reply, ApiError>) {
        self.task(worker).answers[number] = Some(result);
        self.arrived(worker);
    }
    fn computed(&mut self, worker: usize) {
        self.arrived(worker);
    }
    fn deadline(&self) -> Time {
        // With all workers busy a waiting item is no reason to wake: an answer is.
        if self.busy < self.workers.len() { self.queue.deadline() } else { Time::NEVER }
    }
}
