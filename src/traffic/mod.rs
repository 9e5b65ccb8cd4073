//! Floor 4: open-loop clients of services: requests arrive as a Poisson stream whatever becomes of the earlier ones, each on a connection
//! of its own (the rule of choice of an endpoint is `proxy`'s).
//!
//! Outcomes: `ok` (answered in time), `refused` (nobody listens, or no endpoints), `reset` (the connection broke), `timeout` (neither an
//! answer nor an error in time). They are recorded in buckets of a second, each bucket when all its requests have ended, so that a
//! request counts in the second in which it was *sent*.
//!
//! [`etcd`] has the clients of the store itself.

pub mod etcd;

use std::collections::{BTreeMap, VecDeque};

use crate::base::{Cause, Duration, Stream, Time};
use crate::objects::pod::PodIp;
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Actor, Address, CloseReason, Conn, HttpResponse, Input, KeepAlive, Message, Outbox};

/// What a client sends, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The service's cluster IP.
    pub service: PodIp,
    /// Thousandths of a request per second.
    pub rate_milli: u64,
    pub timeout: Duration,
    /// When the first request may be sent.
    pub begin: Time,
}

/// How long a bucket is.
const BUCKET: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Bucket {
    sent: u32,
    ok: u32,
    refused: u32,
    reset: u32,
    timeout: u32,
    latencies: Vec<Duration>,
    cause: Cause,
}

impl Bucket {
    fn ended(&self) -> u32 {
        self.ok + self.refused + self.reset + self.timeout
    }
}

/// A client.
pub struct Client {
    id: u32,
    config: Config,
    stream: Stream,
    next_request: Time,
    in_flight: BTreeMap<Conn, Time>,
    /// (deadline, connection), oldest first: all requests have the same time-out.
    deadlines: VecDeque<(Time, Conn)>,
    /// By the second in which they were sent.
    buckets: BTreeMap<Time, Bucket>,
}

impl Client {
    pub fn new(id: u32, config: Config, stream: Stream) -> Client {
        let next_request = config.begin;
        Client { id, config, stream, next_request, in_flight: BTreeMap::new(), deadlines: VecDeque::new(), buckets: BTreeMap::new() }
    }

    fn gap(&mut self) -> Duration {
        let mean = Duration::from_nanos(1_000_000_000_000 / self.config.rate_milli.max(1));
        Duration::from_secs_f64(mean.as_secs_f64() * self.stream.exponential())
    }

    fn send_due(&mut self, now: Time, out: &mut Outbox) {
        while self.next_request <= now {
            let conn = out.dial(Address::Service(self.config.service), KeepAlive::HTTP2);
            self.in_flight.insert(conn, now);
            self.deadlines.push_back((now + self.config.timeout, conn));
            self.bucket(now).sent += 1;
            let gap = self.gap();
            self.next_request = self.next_request.max(now) + gap;
        }
    }

    fn bucket(&mut self, sent: Time) -> &mut Bucket {
        let start = Time::from_nanos(sent.nanos() - sent.nanos() % BUCKET.nanos());
        self.buckets.entry(start).or_default()
    }

    /// A request ended: `count` says how.
    fn end(&mut self, now: Time, conn: Conn, cause: Cause, count: impl FnOnce(&mut Bucket, Duration)) {
        if let Some(sent) = self.in_flight.remove(&conn) {
            let bucket = self.bucket(sent);
            let failed_before = bucket.ended() - bucket.ok;
            count(bucket, now.since(sent));
            if bucket.ended() - bucket.ok > failed_before && bucket.cause.is_none() {
                bucket.cause = cause;
            }
        }
    }

    fn expire(&mut self, now: Time, out: &mut Outbox) {
        while let Some((_, conn)) = self.deadlines.front().copied().filter(|(deadline, _)| *deadline <= now) {
            self.deadlines.pop_front();
            if self.in_flight.contains_key(&conn) {
                out.close(conn);
                self.end(now, conn, out.cause(), |bucket, _| bucket.timeout += 1);
            }
        }
    }

    /// Records the buckets whose requests have all ended and that no request can join any more.
    fn flush(&mut self, now: Time, out: &mut Outbox) {
        while let Some(entry) = self.buckets.first_entry() {
            if *entry.key() + BUCKET > now || entry.get().ended() < entry.get().sent {
                break;
            }
            let until = *entry.key() + BUCKET;
            let mut bucket = entry.remove();
            bucket.latencies.sort_unstable();
            let quantile = |per_mille: usize| {
                let last = bucket.latencies.len().saturating_sub(1);
                bucket.latencies.get(last * per_mille / 1000).copied().unwrap_or_default()
            };
            let what = What::Traffic {
                until,
                sent: bucket.sent,
                ok: bucket.ok,
                refused: bucket.refused,
                reset: bucket.reset,
                timeout: bucket.timeout,
                p50: quantile(500),
                p99: quantile(990),
            };
            out.because(bucket.cause);
            out.record(Fact { subject: Subject::Actor(Address::Traffic(self.id)), what });
        }
    }
}

impl Actor for Client {
    type Message = HttpResponse;

    fn step(&mut self, now: Time, input: Input<HttpResponse>, out: &mut Outbox) {
        let cause = out.cause();
        match input {
            Input::Boot(_) => {
                self.next_request = self.config.begin.max(now);
                let gap = self.gap();
                self.next_request += gap;
            }
            Input::Opened(conn) => {
                if self.in_flight.contains_key(&conn) {
                    out.write(conn, Message::HttpRequest);
                }
            }
            Input::Data(conn, HttpResponse) => {
                out.close(conn);
                self.end(now, conn, cause, |bucket, latency| {
                    bucket.ok += 1;
                    bucket.latencies.push(latency);
                });
            }
            Input::Refused(conn) => self.end(now, conn, cause, |bucket, _| bucket.refused += 1),
            Input::Closed(conn, CloseReason::TimedOut) => self.end(now, conn, cause, |bucket, _| bucket.timeout += 1),
            Input::Closed(conn, CloseReason::Reset | CloseReason::Fin) => self.end(now, conn, cause, |bucket, _| bucket.reset += 1),
            Input::Wake => {}
            Input::Accepted(..) | Input::Blocked(_) | Input::Writable(_) | Input::Synced(_) | Input::Container(_) | Input::Done(_) => {}
        }
        self.expire(now, out);
        self.send_due(now, out);
        self.flush(now, out);
    }

    fn deadline(&self) -> Time {
        self.deadlines.front().map_or(Time::NEVER, |(deadline, _)| *deadline).min(self.next_request)
    }
}
