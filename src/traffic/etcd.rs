//! A client of etcd that reads and writes the keys of the load, keeps a lease alive, and watches. It tells what it did and saw
//! (`wire::history`), so that checks can hold it against what a store may do; and it counts outcomes by the second.
//!
//! Its transactions compare with what it last read or wrote of a key (by mod revision or by value), write two keys at once or read two at
//! once, so that atomicity is exercised as well as each key's order. No value is written twice: it is the client's number and a count.
//!
//! Leased keys are apart from the others (`/load/9000000` and on): they go when their lease does, which no client's operation tells.
//!
//! Left out: ranges with limits, old revisions, nested transactions (the store's own tests have them).

use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use crate::base::planted::Planted;
use crate::base::{Agenda, Cause, Duration, Incarnation, Map, Revision, Stream, Time};
use crate::client::etcd::{EtcdClient, EtcdOutput};
use crate::wire::etcd::{
    Answer, Compare, CompareResult, CompareTarget, EtcdError, KeyRange, LeaseId, Op, OpAnswer, Operation, Range, RangeAnswer, Response,
    StoreKey, Txn,
};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::history::{self, HistoryEvent, Key, OperationId, Outcome, Step, Written};
use crate::wire::{Actor, Address, Input, Member, Outbox, ServerMessage};

/// What a client does.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    pub endpoints: Vec<Member>,
    pub pace: Pace,
    pub mix: Mix,
    /// Their texts, shared by the clients of a group.
    pub keys: Arc<[StoreKey]>,
    pub value_size: u32,
    /// After this an operation is given up.
    pub timeout: Duration,
    pub begin: Time,
    pub until: Time,
    /// It holds a lease of this length, and puts a key under it at each keep-alive.
    pub lease: Option<Duration>,
    /// It watches all keys of the load.
    pub watch: bool,
    /// Its history is kept.
    pub records: bool,
    pub planted: Planted,
}

/// When the next operation begins.
#[derive(Clone, Debug, PartialEq)]
pub enum Pace {
    /// At random, thousandths of an operation per second, whatever became of the earlier ones.
    Random { rate_milli: u64 },
    /// At fixed times, whatever became of the earlier ones.
    Every(Duration),
    /// So many are under way at a time: each answer is followed by the next operation, after an exponentially distributed pause.
    Pipeline { operations: u32, think: Duration },
}

/// How often each operation comes, as weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    pub get: u32,
    /// Up to four neighbouring keys at once.
    pub range: u32,
    /// A get that is answered from what a member has, maybe stale.
    pub serializable_get: u32,
    pub put: u32,
    pub delete: u32,
    pub txn: u32,
}

impl Default for Mix {
    /// Half of it writes (ours): writes show more than reads, and each needs reads that see it.
    fn default() -> Mix {
        Mix { get: 30, range: 10, serializable_get: 10, put: 25, delete: 5, txn: 20 }
    }
}

impl Mix {
    pub fn total(&self) -> u64 {
        [self.get, self.range, self.serializable_get, self.put, self.delete, self.txn].into_iter().map(u64::from).sum()
    }
}

/// How long a bucket of counts is.
const BUCKET: Duration = Duration::from_secs(1);
/// How many neighbouring keys a range has at most.
const SPAN_MAX: usize = 4;
/// How often a watch asks how far it has come (ours).
const PROGRESS: Duration = Duration::from_secs(5);
/// Pause after a lease that could not be had (ours).
const LEASE_PAUSE: Duration = Duration::from_secs(1);
/// Numbers of a life: 2^24 operations, and the process can be started 255 times.
const NUMBERS: u32 = 24;

/// What an answer is to.
enum Token {
    Operation(InFlight),
    Grant {
        lease: LeaseId,
        asked: Time,
    },
    KeepAlive {
        lease: LeaseId,
        asked: Time,
    },
    /// A put under the lease.
    Leased {
        asked: Time,
    },
    /// Which revision the store is at, so that a watch whose history is gone can begin anew.
    Relist,
}

struct InFlight {
    id: OperationId,
    began: Time,
    writes: bool,
    /// What it means, if somebody will ask.
    meaning: Option<Box<history::Operation>>,
}

/// Counts of the operations that began in one second.
#[derive(Default)]
struct Bucket {
    sent: u32,
    ok: u32,
    failed: u32,
    unknown: u32,
    latencies: Vec<Duration>,
    cause: Cause,
}

/// The lease of a client.
#[derive(Clone, Copy)]
enum Lease {
    /// To be granted then.
    Wanted {
        at: Time,
    },
    Asked,
    Held {
        lease: LeaseId,
        ttl: Duration,
        next: Time,
    },
}

/// See the module.
pub struct Client {
    id: u32,
    config: Arc<Config>,
    stream: Stream,
    client: EtcdClient<Token>,
    /// When the next operations begin; several with a pipeline. The number tells those of one instant apart.
    due: Agenda,
    /// Of operations, values, leases and watches: never used again, in later lives neither.
    number: u32,
    /// By the second in which their operations began: this one, and those before it of which some are still under way.
    buckets: SmallVec<[(Time, Bucket); 1]>,
    /// What it last knew of each key, and the revision at which that was written (zero: absent).
    known: Map<u32, (Option<Written>, Revision)>,
    lease: Option<Lease>,
    /// The client's name for its watch and ours, and when to ask for its progress.
    watch: Option<(u64, u32)>,
    next_progress: Time,
}

impl Client {
    /// `network` is for the connections, `stream` for what it does.
    pub fn new(id: u32, config: Arc<Config>, incarnation: Incarnation, network: Stream, stream: Stream) -> Client {
        let mut client = EtcdClient::new(config.endpoints.clone(), network);
        client.plant(config.planted);
        Client {
            id,
            client,
            stream,
            due: Agenda::default(),
            number: incarnation.0.saturating_sub(1) << NUMBERS,
            buckets: SmallVec::new(),
            known: Map::default(),
            lease: config.lease.map(|_| Lease::Wanted { at: config.begin }),
            watch: None,
            next_progress: Time::NEVER,
            config,
        }
    }

    fn boot(&mut self, now: Time, out: &mut Outbox) {
        self.client.start(now, out);
        let begin = self.config.begin.max(now);
        match self.config.pace {
            Pace::Random { .. } => {
                let gap = self.gap();
                self.due.insert(begin + gap, 0);
            }
            Pace::Every(interval) => {
                // Clients of a group don't beat as one.
                let phase = self.stream.duration_between(Duration::ZERO, interval);
                self.due.insert(begin + phase, 0);
            }
            Pace::Pipeline { operations, .. } => (0..operations).for_each(|nth| self.due.insert(begin, u64::from(nth))),
        }
        if self.config.watch {
            self.watch_from(now, Revision::ZERO, out);
        }
        if let Some(Lease::Wanted { at }) = &mut self.lease {
            *at = (*at).max(now);
        }
    }
    /// Watches what comes after a revision.
    fn watch_from(&mut self, now: Time, after: Revision, out: &mut Outbox) {
        let ours = self.number();
        self.tell(HistoryEvent::Watching { client: self.id, watch: ours, from: after.next() }, out);
        self.watch = Some((self.client.watch(now, Key::all(), after, out), ours));
        self.next_progress = now + PROGRESS;
    }
    fn number(&mut self) -> u32 {
        self.number += 1;
        self.number
    }
    fn tell(&self, event: HistoryEvent, out: &mut Outbox) {
        if self.config.records {
            out.history(event);
        }
    }

    // Operations.

    fn gap(&mut self) -> Duration {
        let mean = match self.config.pace {
            Pace::Random { rate_milli } => Duration::from_nanos(1_000_000_000_000 / rate_milli.max(1)),
            Pace::Every(interval) => return interval,
            Pace::Pipeline { think, .. } => think,
        };
        if mean == Duration::ZERO { mean } else { Duration::from_secs_f64(mean.as_secs_f64() * self.stream.exponential()) }
    }
    fn send_due(&mut self, now: Time, out: &mut Outbox) {
        while let Some((at, nth)) = self.due.pop_due(now) {
            if at >= self.config.until {
                continue;
            }
            self.begin_operation(now, out);
            if !matches!(self.config.pace, Pace::Pipeline { .. }) {
                // A client that stood still does not make up for what it missed.
                let next = (at + self.gap()).max(now);
                self.due.insert(next, nth);
            }
        }
    }
    fn begin_operation(&mut self, now: Time, out: &mut Outbox) {
        let (request, operation) = self.draw();
        let id = OperationId { client: self.id, number: self.number() };
        if self.config.records {
            out.history(HistoryEvent::Called(id, operation.clone()));
        }
        self.bucket(now).sent += 1;
        let writes = operation.writes();
        let meaning = (self.config.records || self.config.mix.txn > 0).then(|| Box::new(operation));
        let token = Token::Operation(InFlight { id, began: now, writes, meaning });
        self.client.send(now, request, now + self.config.timeout, token, out);
    }
    /// The next operation: what is sent, and what it means.
    fn draw(&mut self) -> (Operation, history::Operation) {
        let mix = self.config.mix;
        let mut at = self.stream.below(mix.total().max(1));
        let mut is = |weight: u32| {
            let hit = at < u64::from(weight);
            at = at.wrapping_sub(u64::from(weight));
            hit
        };
        let (get, range, serializable, put, delete) = (is(mix.get), is(mix.range), is(mix.serializable_get), is(mix.put), is(mix.delete));
        let key = self.key();
        if get || (serializable && !range) {
            let range = Range { serializable: !get, ..Range::one(self.text(key)) };
            let operation = history::Operation { then: smallvec![Step::Read(key)], serializable: !get, ..history::Operation::default() };
            (Operation::Range(range.into()), operation)
        } else if range {
            self.range(key)
        } else if put {
            let (op, step) = self.put(key);
            (Operation::Txn(Txn::unconditional(op).into()), history::Operation { then: smallvec![step], ..history::Operation::default() })
        } else if delete {
            let op = Op::delete(KeyRange::One(self.text(key)));
            let operation = history::Operation { then: smallvec![Step::Delete(key)], ..history::Operation::default() };
            (Operation::Txn(Txn::unconditional(op).into()), operation)
        } else {
            self.txn(key)
        }
    }
    fn key(&mut self) -> Key {
        Key(self.stream.index(self.config.keys.len()) as u32)
    }
    fn text(&self, key: Key) -> StoreKey {
        self.config.keys[key.0 as usize].clone()
    }
    fn put(&mut self, key: Key) -> (Op, Step) {
        let written = self.value();
        let value = written.value(self.config.value_size);
        (Op::put(self.text(key), value, LeaseId::default()), Step::Write(key, written))
    }
    fn value(&mut self) -> Written {
        let number = self.number();
        Written(u64::from(self.id) << 32 | u64::from(number))
    }
    fn range(&mut self, first: Key) -> (Operation, history::Operation) {
        let last = (first.0 as usize + SPAN_MAX).min(self.config.keys.len());
        let keys = match self.config.keys.get(last) {
            Some(end) => KeyRange::Between(self.text(first), end.clone()),
            // The last key's text and a zero byte: the first key after it.
            None => KeyRange::Between(self.text(first), format!("{}\0", self.text(Key(last as u32 - 1))).into()),
        };
        let then = (first.0..last as u32).map(|key| Step::Read(Key(key))).collect();
        (Operation::Range(Range::of(keys).into()), history::Operation { then, ..history::Operation::default() })
    }
    /// One of: change a key if it is as it was last seen, else read it; write two keys; read two keys; change two keys if the first is as
    /// it was last seen, else read both.
    fn txn(&mut self, key: Key) -> (Operation, history::Operation) {
        let kind = self.stream.below(4);
        let other = self.key();
        let pair = other != key;
        let mut meaning = history::Operation::default();
        let (mut compares, mut then, mut otherwise) = (Vec::new(), Vec::new(), Vec::new());
        let read = |me: &Client, key: Key| (Op::Range(Range::one(me.text(key)).into()), Step::Read(key));
        let keys = if kind > 0 && pair { vec![key, other] } else { vec![key] };
        if kind == 0 || kind == 3 {
            let (value, revision) = self.known.get(&key.0).copied().unwrap_or_default();
            let target = match value {
                Some(written) if self.stream.chance(0.5) => CompareTarget::Value(written.value(self.config.value_size)),
                _ => CompareTarget::ModRevision(revision),
            };
            compares.push(Compare { keys: KeyRange::One(self.text(key)), target, result: CompareResult::Equal });
            meaning.compares.push((key, value));
            for &key in &keys {
                let (op, step) = read(self, key);
                otherwise.push(op);
                meaning.otherwise.push(step);
            }
        }
        for &key in &keys {
            let (op, step) = if kind == 2 { read(self, key) } else { self.put(key) };
            then.push(op);
            meaning.then.push(step);
        }
        (Operation::Txn(Txn { compares, then: then.into(), otherwise }.into()), meaning)
    }

    fn returned(&mut self, now: Time, flight: InFlight, result: Result<Response, EtcdError>, cause: Cause, out: &mut Outbox) {
        let InFlight { id, began, writes, meaning } = flight;
        let outcome = match result {
            Ok(response) => self.understand(meaning.as_deref(), &response),
            Err(error) if is_certain(error) || !writes => Outcome::Failed,
            Err(_) => Outcome::Unknown,
        };
        let bucket = self.bucket(began);
        match &outcome {
            Outcome::Done { .. } => {
                bucket.ok += 1;
                bucket.latencies.push(now.since(began));
            }
            Outcome::Failed => bucket.failed += 1,
            Outcome::Unknown => bucket.unknown += 1,
        }
        if !matches!(outcome, Outcome::Done { .. }) && bucket.cause.is_none() {
            bucket.cause = cause;
        }
        if self.config.records {
            out.history(HistoryEvent::Returned(id, outcome));
        }
        if matches!(self.config.pace, Pace::Pipeline { .. }) {
            let next = now + self.gap();
            self.due.insert(next, u64::from(id.number));
        }
    }
    /// What an answer says, and what is then known of the keys.
    fn understand(&mut self, operation: Option<&history::Operation>, response: &Response) -> Outcome {
        let mut reads = Vec::new();
        let mut succeeded = true;
        match (operation, &response.result) {
            (Some(operation), Ok(Answer::Range(answer))) => {
                for step in &operation.then {
                    if let Step::Read(key) = step {
                        reads.push(self.saw(*key, answer));
                    }
                }
            }
            (Some(operation), Ok(Answer::Txn { succeeded: held, answers })) => {
                succeeded = *held;
                let branch = operation.branch(succeeded);
                for (step, answer) in branch.iter().zip(answers) {
                    match (step, answer) {
                        (Step::Read(key), OpAnswer::Range(answer)) => reads.push(self.saw(*key, answer)),
                        (Step::Write(key, written), _) => self.know(*key, Some(*written), response.revision),
                        (Step::Delete(key), _) => self.know(*key, None, Revision::ZERO),
                        (Step::Read(_), _) => {}
                    }
                }
            }
            _ => {}
        }
        Outcome::Done { succeeded, reads, revision: response.revision, member: response.member }
    }
    fn saw(&mut self, key: Key, answer: &RangeAnswer) -> Option<Written> {
        let text = &self.config.keys[key.0 as usize];
        let found = answer.kvs.iter().find(|kv| kv.key == *text);
        let seen = found.and_then(|kv| Some((Written::of(&kv.value)?, kv.mod_revision)));
        self.know(key, seen.map(|(written, _)| written), seen.map_or(Revision::ZERO, |(_, revision)| revision));
        seen.map(|(written, _)| written)
    }
    fn know(&mut self, key: Key, value: Option<Written>, revision: Revision) {
        if self.config.mix.txn > 0 {
            self.known.insert(key.0, (value, revision));
        }
    }

    // The lease.

    fn lease_due(&self) -> Time {
        match self.lease {
            Some(Lease::Wanted { at } | Lease::Held { next: at, .. }) => at,
            Some(Lease::Asked) | None => Time::NEVER,
        }
    }
    fn keep_lease(&mut self, now: Time, out: &mut Outbox) {
        if self.lease_due() > now {
            return;
        }
        let wanted = self.config.lease.unwrap_or_default();
        match self.lease {
            Some(Lease::Wanted { .. }) => {
                let lease = LeaseId((u64::from(self.id) + 1) << 32 | u64::from(self.number()));
                self.lease = Some(Lease::Asked);
                let request = Operation::LeaseGrant { id: lease, ttl: wanted };
                self.client.send(now, request, now + wanted, Token::Grant { lease, asked: now }, out);
            }
            Some(Lease::Held { lease, ttl, .. }) => {
                // clientv3 sends one each third of the time to live (etcd `client/v3/lease.go`, nextKeepAlive).
                self.lease = Some(Lease::Held { lease, ttl, next: now + ttl.scale(1, 3) });
                let token = Token::KeepAlive { lease, asked: now };
                self.client.send(now, Operation::LeaseKeepAlive { id: lease }, now + ttl, token, out);
                let value = self.value().value(self.config.value_size);
                let put = Op::put(Key(Key::LEASED + self.id).store_key(), value, lease);
                self.bucket(now).sent += 1;
                let request = Operation::Txn(Txn::unconditional(put).into());
                self.client.send(now, request, now + self.config.timeout, Token::Leased { asked: now }, out);
            }
            Some(Lease::Asked) | None => {}
        }
    }
    fn lease_alive(&mut self, now: Time, lease: LeaseId, ttl: Duration, asked: Time, out: &mut Outbox) {
        self.tell(HistoryEvent::LeaseAlive { client: self.id, lease, ttl, asked: now.since(asked) }, out);
    }
    fn leased(&mut self, now: Time, asked: Time, result: Result<Response, EtcdError>) {
        let bucket = self.bucket(asked);
        match result {
            Ok(_) => {
                bucket.ok += 1;
                bucket.latencies.push(now.since(asked));
            }
            Err(error) if is_certain(error) => bucket.failed += 1,
            Err(_) => bucket.unknown += 1,
        }
    }

    // Answers and counts.

    fn handle(&mut self, now: Time, output: EtcdOutput<Token>, out: &mut Outbox) {
        match output {
            EtcdOutput::Answer { token: Token::Operation(flight), cause, result } => self.returned(now, flight, result, cause, out),
            EtcdOutput::Answer { token: Token::Leased { asked }, result, .. } => self.leased(now, asked, result),
            EtcdOutput::Answer { token: Token::Grant { lease, asked }, result, .. } => {
                self.lease = Some(match result.map(|response| response.result) {
                    Ok(Ok(Answer::LeaseGranted { ttl })) => {
                        self.lease_alive(now, lease, ttl, asked, out);
                        Lease::Held { lease, ttl, next: now }
                    }
                    _ => Lease::Wanted { at: now + LEASE_PAUSE },
                });
            }
            EtcdOutput::Answer { token: Token::KeepAlive { lease, asked }, result, .. } => {
                let is_mine = matches!(self.lease, Some(Lease::Held { lease: mine, .. }) if mine == lease);
                match result.map(|response| response.result) {
                    Ok(Ok(Answer::LeaseKeptAlive { ttl })) if ttl > Duration::ZERO => self.lease_alive(now, lease, ttl, asked, out),
                    // It is gone: a new one, under a new name.
                    Ok(Ok(Answer::LeaseKeptAlive { .. })) | Err(EtcdError::LeaseNotFound) if is_mine => {
                        self.lease = Some(Lease::Wanted { at: now });
                    }
                    _ => {}
                }
            }
            EtcdOutput::Answer { token: Token::Relist, result, .. } => match result {
                Ok(response) => self.watch_from(now, response.revision, out),
                Err(_) => self.relist(now, out),
            },
            EtcdOutput::Events { watch, events, .. } => {
                if let Some((_, watch)) = self.watch.filter(|(name, _)| *name == watch) {
                    self.tell(HistoryEvent::Watched { client: self.id, watch, events }, out);
                }
            }
            EtcdOutput::Progress { watch, revision } => {
                if let Some((_, watch)) = self.watch.filter(|(name, _)| *name == watch) {
                    self.tell(HistoryEvent::Bookmark { client: self.id, watch, revision }, out);
                }
            }
            EtcdOutput::Compacted { watch, compact_revision } => {
                if let Some((_, watch)) = self.watch.take_if(|(name, _)| *name == watch) {
                    self.tell(HistoryEvent::WatchCompacted { client: self.id, watch, compact_revision }, out);
                    self.relist(now, out);
                }
            }
        }
    }
    fn relist(&mut self, now: Time, out: &mut Outbox) {
        let range = Range { count_only: true, ..Range::of(Key::all()) };
        self.client.send(now, Operation::Range(range.into()), now + self.config.timeout, Token::Relist, out);
    }
    fn ask_progress(&mut self, now: Time, out: &mut Outbox) {
        if self.next_progress <= now {
            self.next_progress = now + PROGRESS;
            if let Some((watch, _)) = self.watch {
                self.client.request_progress(watch, out);
            }
        }
    }
    fn bucket(&mut self, began: Time) -> &mut Bucket {
        let start = Time::from_nanos(began.nanos() - began.nanos() % BUCKET.nanos());
        let after = self.buckets.iter().rposition(|(of, _)| *of <= start).map_or(0, |before| before + 1);
        if after == 0 || self.buckets[after - 1].0 < start {
            self.buckets.insert(after, (start, Bucket::default()));
            return &mut self.buckets[after].1;
        }
        &mut self.buckets[after - 1].1
    }
    /// Records the buckets whose operations have all ended and that no operation can join any more.
    fn flush(&mut self, now: Time, out: &mut Outbox) {
        while let Some((began, bucket)) = self.buckets.first() {
            let until = *began + BUCKET;
            if until > now || bucket.ok + bucket.failed + bucket.unknown < bucket.sent {
                break;
            }
            let (_, Bucket { sent, ok, failed, unknown, mut latencies, cause }) = self.buckets.remove(0);
            latencies.sort_unstable();
            let last = latencies.len().saturating_sub(1);
            let quantile = |per_mille: usize| latencies.get(last * per_mille / 1000).copied().unwrap_or_default();
            let what = What::EtcdOperations { until, sent, ok, failed, unknown, p50: quantile(500), p99: quantile(990) };
            out.because(cause);
            out.record(Fact { subject: Subject::Actor(Address::EtcdClient(self.id)), what });
        }
    }
}

impl Actor for Client {
    type Message = ServerMessage;

    fn step(&mut self, now: Time, input: Input<ServerMessage>, out: &mut Outbox) {
        let mut outputs = Vec::new();
        match input {
            Input::Boot(_) => self.boot(now, out),
            Input::Wake => self.client.wake(now, out, &mut outputs),
            input => {
                self.client.handle(now, input, out, &mut outputs);
            }
        }
        for output in outputs {
            self.handle(now, output, out);
        }
        // What begins now has no cause but the clock.
        out.because(Cause::NONE);
        self.send_due(now, out);
        self.keep_lease(now, out);
        self.ask_progress(now, out);
        self.flush(now, out);
    }

    fn deadline(&self) -> Time {
        let progress = if self.watch.is_some() { self.next_progress } else { Time::NEVER };
        self.due.next().min(self.client.deadline()).min(self.lease_due()).min(progress)
    }
}

/// Errors after which a write was certainly not done. Not among them: a lost answer, a time-out, and `NoSpace`, which a put that was
/// applied gets if it is the one that fills the quota (etcd `server/etcdserver/apply/apply.go`, quotaApplier).
fn is_certain(error: EtcdError) -> bool {
    match error {
        EtcdError::TooManyRequests
        | EtcdError::Compacted
        | EtcdError::FutureRevision
        | EtcdError::LeaseNotFound
        | EtcdError::LeaseExists
        | EtcdError::LeaseTooLong
        | EtcdError::KeyNotFound
        | EtcdError::ValueProvided
        | EtcdError::LeaseProvided
        | EtcdError::DuplicateKey
        | EtcdError::TooManyOperations
        | EtcdError::TooLarge
        | EtcdError::Unavailable
        | EtcdError::Learner => true,
        EtcdError::NoLeader
        | EtcdError::LeaderChanged
        | EtcdError::Timeout
        | EtcdError::NoSpace
        | EtcdError::MemberNotFound
        | EtcdError::MemberExists
        | EtcdError::MemberNotLearner
        | EtcdError::LearnerNotReady
        | EtcdError::TooManyLearners
        | EtcdError::UnhealthyCluster
        | EtcdError::NotLeader
        | EtcdError::Corrupt => false,
    }
}
