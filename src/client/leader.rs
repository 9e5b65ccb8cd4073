//! Leader election on a Lease of the API (client-go `tools/leaderelection/leaderelection.go`).
//!
//! A candidate reads the lease every 2 s x [1, 2.2). It takes the lease when nobody holds it, or when it has not seen the record change
//! for as long as the record says, by its own clock: the times written in a record are never compared. The leader renews 2 s after the
//! last renewal; if no attempt succeeds within 10 s from the start of the first one it has lost, and its process must exit. Invariant:
//! at most one request is outstanding, and its answer comes by [`LeaderElector::answer`].
//!
//! Left out: coordinated leader election (`strategy`, LeaseCandidates). Not promised here, as not upstream: fencing.

use std::sync::Arc;

use crate::base::{Duration, Name, Revision, Stream, Time};
use crate::objects::{Key, Lease, LeaseSpec, Meta, Object, Stored};
use crate::wire::ApiError;
use crate::wire::api::{Part, Reason, Verb};

/// Attempts to acquire are spaced by the retry period times [1, 2.2): `JitterFactor` is 1.2.
const JITTER_PER_MILLE: u64 = 1200;

/// Leader election's timings, the same for manager and scheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaderTimings {
    /// 15 s
    pub lease_duration: Duration,
    /// 10 s
    pub renew_deadline: Duration,
    /// 2 s
    pub retry_period: Duration,
}

impl Default for LeaderTimings {
    /// component-base `config/v1alpha1/defaults.go`.
    fn default() -> LeaderTimings {
        LeaderTimings {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

impl LeaderTimings {
    /// How long one request of the elector may take: half the renew deadline, at least 1 s (client-go
    /// `tools/leaderelection/resourcelock/interface.go`, NewFromKubeconfig). For `Session::send_within`.
    pub fn request_timeout(&self) -> Duration {
        self.renew_deadline.scale(1, 2).max(Duration::from_secs(1))
    }
}

/// Timings and identity.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    pub lease: Key,
    /// Must be another one for each life of a process: who holds the lease under this name has it.
    pub identity: Name,
    pub timings: LeaderTimings,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leadership {
    Gained,
    /// The process must exit: it is started again as a candidate.
    Lost,
}

/// A candidate: tells which request to send next and when; the actor sends it through its session and feeds the answer back.
pub struct LeaderElector {
    config: LeaderConfig,
    stream: Stream,
    /// The record as last seen.
    observed: Option<Observed>,
    nobody: Name,
    leading: bool,
    state: State,
    attempt_started: Time,
    /// When the leader gives up, while a renewal is under way.
    renew_by: Time,
    silent: Option<(Name, Duration)>,
}

struct Observed {
    revision: Revision,
    meta: Meta,
    spec: LeaseSpec,
    /// When this elector first saw it so.
    at: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// The next attempt begins then.
    Waiting(Time),
    /// The attempt goes on with this request.
    Next(Step),
    Asked(Step),
    /// The lease is lost or released.
    Stopped,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Get,
    Create,
    Update,
    /// The leader's update without a read before it; if that fails it reads.
    Renew,
    Release,
}

impl LeaderElector {
    /// The first attempt begins at the first `poll`.
    pub fn new(config: LeaderConfig, stream: Stream) -> LeaderElector {
        LeaderElector {
            config,
            stream,
            observed: None,
            nobody: Name::default(),
            leading: false,
            state: State::Waiting(Time::ZERO),
            attempt_started: Time::ZERO,
            renew_by: Time::NEVER,
            silent: None,
        }
    }
    pub fn is_leading(&self) -> bool {
        self.leading
    }
    /// The request to send now, if it is time and none is outstanding. Ask again after each answer.
    pub fn poll(&mut self, now: Time) -> Option<Verb> {
        let step = match self.state {
            State::Waiting(at) if at <= now => self.begin(now),
            State::Next(step) => step,
            _ => return None,
        };
        self.state = State::Asked(step);
        let key = &self.config.lease;
        Some(match step {
            Step::Get => Verb::Get { key: key.clone(), fresh: true },
            Step::Create => Verb::Create { object: Arc::new(self.claim(now)) },
            Step::Update | Step::Renew => self.update(self.claim(now)),
            Step::Release => self.update(self.release_record(now)),
        })
    }
    /// The answer to it.
    pub fn answer(&mut self, now: Time, result: Result<Option<&Stored>, &ApiError>) -> Option<Leadership> {
        let State::Asked(step) = self.state else { return None };
        let seen = match result {
            Ok(stored) => stored.is_some_and(|stored| self.observe(now, stored)),
            Err(_) => false,
        };
        match (step, result) {
            (Step::Release, _) => self.state = State::Stopped,
            (Step::Get, Ok(_)) if seen && self.may_take(now) => self.state = State::Next(Step::Update),
            (Step::Get, Err(error)) if error.reason == Reason::NotFound => self.state = State::Next(Step::Create),
            (Step::Create | Step::Update | Step::Renew, Ok(_)) if seen => return self.succeeded(now),
            (Step::Renew, _) => self.state = State::Next(Step::Get),
            _ => self.retry(now),
        }
        None
    }
    /// Checks the renew deadline.
    pub fn wake(&mut self, now: Time) -> Option<Leadership> {
        if !self.leading || now < self.renew_by {
            return None;
        }
        self.leading = false;
        self.renew_by = Time::NEVER;
        self.state = State::Stopped;
        Some(Leadership::Lost)
    }
    /// Gives the lease up in an orderly shutdown (`ReleaseOnCancel`): the leader's last request is then due in `poll`. A request that
    /// is outstanding is forgotten, so nothing else must be fed to `answer` before that one's.
    pub fn release(&mut self) -> bool {
        let holds = self.leading && self.holder() == &self.config.identity;
        self.leading = false;
        self.renew_by = Time::NEVER;
        self.state = if holds { State::Next(Step::Release) } else { State::Stopped };
        holds
    }
    /// Who leads, as far as this candidate has seen; empty if nobody.
    pub fn holder(&self) -> &Name {
        self.observed.as_ref().map_or(&self.nobody, |observed| &observed.spec.holder_identity)
    }
    /// If the lease was taken because its holder had not renewed it: who that was, and for how long nothing had been seen of it. Kept
    /// until the next attempt to acquire.
    pub fn silent_holder(&self) -> Option<(Name, Duration)> {
        self.silent.clone()
    }
    /// How long ago this elector last saw a record of its own: what a leader that lost its lease waited for.
    pub fn since_renewal(&self, now: Time) -> Duration {
        self.observed.as_ref().map_or(Duration::ZERO, |observed| now.since(observed.at))
    }
    /// When `poll` or `wake` has something to do.
    pub fn deadline(&self) -> Time {
        let next = match self.state {
            State::Waiting(at) => at,
            State::Next(_) => Time::ZERO,
            State::Asked(_) | State::Stopped => Time::NEVER,
        };
        next.min(self.renew_by)
    }

    /// Begins an attempt: the leader, while its lease is valid, updates at once; who wants to know more reads first.
    fn begin(&mut self, now: Time) -> Step {
        self.attempt_started = now;
        if !self.leading {
            self.silent = None;
            return Step::Get;
        }
        if self.renew_by == Time::NEVER {
            self.renew_by = now + self.config.timings.renew_deadline;
        }
        if self.is_held_by_us() && !self.is_expired(now) { Step::Renew } else { Step::Get }
    }
    /// Notes the record that an answer brought. False if it is not a lease.
    fn observe(&mut self, now: Time, stored: &Stored) -> bool {
        let Some(lease) = stored.object.as_lease() else { return false };
        match &mut self.observed {
            // Upstream compares records, not revisions: a change of labels does not prolong a lease.
            Some(observed) if observed.spec == lease.spec => {
                observed.revision = stored.revision;
                observed.meta = lease.meta.clone();
            }
            _ => {
                let (meta, spec) = (lease.meta.clone(), lease.spec.clone());
                self.observed = Some(Observed { revision: stored.revision, meta, spec, at: now });
            }
        }
        true
    }
    fn may_take(&mut self, now: Time) -> bool {
        let holder = self.holder();
        if holder.is_empty() || *holder == self.config.identity {
            return true;
        }
        if !self.is_expired(now) {
            return false;
        }
        let since = self.observed.as_ref().map_or(Duration::ZERO, |observed| now.since(observed.at));
        self.silent = Some((holder.clone(), since));
        true
    }
    fn is_held_by_us(&self) -> bool {
        *self.holder() == self.config.identity
    }
    /// Not seen to change for as long as the record itself says.
    fn is_expired(&self, now: Time) -> bool {
        self.observed.as_ref().is_none_or(|observed| observed.at + Duration::from_secs(observed.spec.lease_duration_seconds) <= now)
    }
    fn succeeded(&mut self, now: Time) -> Option<Leadership> {
        self.renew_by = Time::NEVER;
        self.state = State::Waiting(now + self.config.timings.retry_period);
        let gained = !self.leading;
        self.leading = true;
        gained.then_some(Leadership::Gained)
    }
    /// After a failed attempt.
    fn retry(&mut self, now: Time) {
        let period = self.config.timings.retry_period;
        // A renewal is polled: a tick that an attempt overran is due at once.
        let at = if self.leading { now.max(self.attempt_started + period) } else { now + self.stream.jitter(period, JITTER_PER_MILLE) };
        self.state = State::Waiting(at);
    }
    /// The record that makes this elector the leader, or keeps it so.
    fn claim(&self, now: Time) -> Object {
        let now = now.truncate_to_micro();
        let mut spec = LeaseSpec {
            holder_identity: self.config.identity.clone(),
            lease_duration_seconds: self.config.timings.lease_duration.as_secs(),
            acquire_time: Some(now),
            renew_time: Some(now),
            ..LeaseSpec::default()
        };
        let Some(observed) = &self.observed else {
            let meta = Meta::named(self.config.lease.namespace(), self.config.lease.name());
            return Lease { meta, spec }.into();
        };
        spec.rest = observed.spec.rest.clone();
        if self.is_held_by_us() {
            spec.acquire_time = observed.spec.acquire_time;
            spec.lease_transitions = observed.spec.lease_transitions;
        } else {
            spec.lease_transitions = observed.spec.lease_transitions + 1;
        }
        Lease { meta: observed.meta.clone(), spec }.into()
    }
    /// The record of an orderly end: held by nobody, for 1 s.
    fn release_record(&self, now: Time) -> Object {
        let now = now.truncate_to_micro();
        let observed = self.observed.as_ref().expect("a lease that is given up was held");
        let spec = LeaseSpec {
            holder_identity: Name::default(),
            lease_duration_seconds: 1,
            acquire_time: Some(now),
            renew_time: Some(now),
            ..observed.spec.clone()
        };
        Lease { meta: observed.meta.clone(), spec }.into()
    }
    fn update(&self, object: Object) -> Verb {
        let revision = self.observed.as_ref().map(|observed| observed.revision);
        Verb::Update { object: Arc::new(object), part: Part::Main, revision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Cause;
    use crate::base::random::Seed;
    use crate::objects::Kind;

    /// A store of one lease that answers at once.
    #[derive(Default)]
    struct Store {
        lease: Option<Stored>,
        revision: u64,
        down: bool,
    }

    impl Store {
        fn ask(&mut self, verb: Verb) -> Result<Option<Stored>, ApiError> {
            let key = lease();
            if self.down {
                return Err(ApiError::new(Reason::Timeout, "down"));
            }
            match verb {
                Verb::Get { fresh: true, .. } => self.lease.clone().map(Some).ok_or_else(|| ApiError::not_found(&key)),
                Verb::Create { .. } if self.lease.is_some() => Err(ApiError::new(Reason::AlreadyExists, "")),
                Verb::Update { revision, .. } if revision != self.lease.as_ref().map(|lease| lease.revision) => {
                    Err(ApiError::new(Reason::Conflict, ""))
                }
                Verb::Create { object } | Verb::Update { object, .. } => {
                    self.revision += 1;
                    assert_eq!(object.key(), key);
                    self.lease = Some(Stored::new(Revision(self.revision), Cause::NONE, object));
                    Ok(self.lease.clone())
                }
                other => panic!("{other:?}"),
            }
        }
        fn spec(&self) -> &LeaseSpec {
            &self.lease.as_ref().unwrap().object.as_lease().unwrap().spec
        }
    }

    fn lease() -> Key {
        Key::new(Kind::Lease, "kube-system", "kube-scheduler")
    }
    fn elector(identity: &str, seed: u64) -> LeaderElector {
        let config = LeaderConfig { lease: lease(), identity: Name::new(identity), timings: LeaderTimings::default() };
        LeaderElector::new(config, Seed(seed).stream(identity))
    }
    /// Lets an elector act until `until`; tells what became of it, and when.
    fn run(elector: &mut LeaderElector, store: &mut Store, from: Time, until: Time) -> Vec<(Time, Leadership)> {
        let mut seen = Vec::new();
        let mut now = from;
        while now <= until {
            seen.extend(elector.wake(now).map(|change| (now, change)));
            while let Some(verb) = elector.poll(now) {
                let answer = store.ask(verb);
                let change = elector.answer(now, answer.as_ref().map(Option::as_ref));
                seen.extend(change.map(|change| (now, change)));
            }
            now = elector.deadline().max(now + Duration::from_nanos(1));
        }
        seen
    }
    fn secs(secs: u64) -> Time {
        Time::from_secs(secs)
    }

    #[test]
    fn the_first_candidate_creates_the_lease_and_renews_it_every_two_seconds() {
        let (mut store, mut a) = (Store::default(), elector("a", 1));
        assert_eq!(run(&mut a, &mut store, secs(1), secs(10)), [(secs(1), Leadership::Gained)]);
        assert!(a.is_leading());
        assert_eq!(store.revision, 5, "created at 1 s, renewed at 3, 5, 7, 9 s");
        let spec = store.spec();
        assert_eq!((spec.acquire_time, spec.renew_time, spec.lease_transitions), (Some(secs(1)), Some(secs(9)), 0));
    }

    #[test]
    fn an_expired_lease_is_taken_over_15_seconds_and_at_most_two_attempts_after_its_last_renewal() {
        for seed in 0..200 {
            let (mut store, mut a, mut b) = (Store::default(), elector("a", seed), elector("b", seed));
            run(&mut a, &mut store, secs(1), secs(1));
            // The candidate has seen each record soon after it was written; the leader dies after its renewal at 21 s.
            let mut now = secs(1);
            while now < secs(21) {
                now += Duration::from_secs(2);
                run(&mut a, &mut store, now, now);
                assert_eq!(run(&mut b, &mut store, now, now + Duration::from_millis(1_999)), []);
            }
            let gained = run(&mut b, &mut store, secs(23), secs(60));
            let [(at, Leadership::Gained)] = gained[..] else { panic!("{gained:?}") };
            let after = at.since(secs(21)).as_millis();
            // The record was seen up to 4.4 s late, then expires, then up to 4.4 s pass until the next attempt.
            assert!((15_000..15_000 + 8_800).contains(&after), "{after} ms");
            let (silent, since) = b.silent_holder().unwrap();
            assert_eq!(silent, "a");
            assert!((15_000..15_000 + 4_400).contains(&since.as_millis()), "{since}");
            assert_eq!((store.spec().lease_transitions, store.spec().acquire_time), (1, Some(at.truncate_to_micro())));
        }
    }

    #[test]
    fn a_leader_that_cannot_renew_for_ten_seconds_has_lost() {
        let (mut store, mut a) = (Store::default(), elector("a", 1));
        run(&mut a, &mut store, secs(1), secs(6));
        store.down = true;
        // The renewal that fails first begins at 7 s.
        assert_eq!(run(&mut a, &mut store, secs(7), secs(60)), [(secs(17), Leadership::Lost)]);
        assert_eq!(a.since_renewal(secs(17)), Duration::from_secs(12), "renewed at 5 s");
        assert!(!a.is_leading());
        assert_eq!((a.poll(secs(61)).is_none(), a.deadline()), (true, Time::NEVER));
    }

    #[test]
    fn a_leader_whose_server_is_silent_has_lost_too() {
        let (mut store, mut a) = (Store::default(), elector("a", 1));
        run(&mut a, &mut store, secs(1), secs(2));
        assert!(a.poll(secs(3)).is_some());
        assert_eq!((a.deadline(), a.wake(secs(12))), (secs(13), None));
        assert_eq!(a.wake(secs(13)), Some(Leadership::Lost));
    }

    #[test]
    fn a_write_whose_answer_was_lost_is_found_to_be_ours() {
        let (mut store, mut a) = (Store::default(), elector("a", 1));
        let get = a.poll(secs(1)).unwrap();
        assert_eq!(a.answer(secs(1), store.ask(get).as_ref().map(Option::as_ref)), None);
        let create = a.poll(secs(1)).unwrap();
        store.ask(create).unwrap();
        assert_eq!(a.answer(secs(6), Err(&ApiError::new(Reason::Timeout, ""))), None);
        let gained = run(&mut a, &mut store, secs(6), secs(11));
        assert!(matches!(gained[..], [(_, Leadership::Gained)]), "{gained:?}");
        assert_eq!((store.spec().lease_transitions, a.silent_holder()), (0, None));
    }

    #[test]
    fn a_released_lease_is_taken_at_the_next_attempt() {
        let (mut store, mut a, mut b) = (Store::default(), elector("a", 1), elector("b", 1));
        run(&mut a, &mut store, secs(1), secs(2));
        run(&mut b, &mut store, secs(2), secs(2));
        assert!(a.release());
        let verb = a.poll(secs(2)).unwrap();
        assert_eq!(a.answer(secs(2), store.ask(verb).as_ref().map(Option::as_ref)), None);
        assert_eq!((a.is_leading(), a.deadline(), store.spec().holder_identity.as_str()), (false, Time::NEVER, ""));
        let gained = run(&mut b, &mut store, secs(2), secs(7));
        assert!(matches!(gained[..], [(_, Leadership::Gained)]), "{gained:?}");
        assert_eq!((b.holder().as_str(), b.silent_holder(), store.spec().lease_transitions), ("b", None, 1));
    }
}
