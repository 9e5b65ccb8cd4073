//! Probes: thresholds and ticks of one probe of one container (k/k `pkg/kubelet/prober/worker.go`).
//!
//! A worker ticks with its probe's period from an origin. While a result is promised to hold it sleeps to the tick at which the run of
//! equal results reaches its threshold, or to the first tick whose answer may be another, and counts the ticks in between as
//! if they had been made: the outcome is that of ticking eagerly (tested below).
//!
//! While the runtime is silent nothing is promised: a probe by `exec`, which the runtime runs, fails when the request is given up
//! (`pkg/probe/exec/exec.go`, DeadlineExceeded), and of a program that has ended the kubelet hears by the others alone.

use crate::base::{Duration, Time};
use crate::objects::Probe;
use crate::wire::container::ProbeKind;

/// One probe's worker, for one attempt of one container.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ProbeWorker {
    pub kind: ProbeKind,
    /// Ticks are at `origin + n * period`.
    origin: Time,
    period: Duration,
    /// How long an answer may take: a probe that is asked before a promise ends may be answered after it.
    timeout: Duration,
    /// The runtime runs it.
    exec: bool,
    /// It does not tick before; `NEVER`: not begun, or over.
    earliest: Time,
    /// When a probe fails that the silent runtime does not answer; `NEVER`: none is under way.
    pub times_out: Time,
    thresholds: Thresholds,
    /// The last result and how often it came in a row.
    run: (bool, u64),
    /// What the thresholds have made of the results; readiness begins as failure, startup and liveness undecided.
    pub verdict: Option<bool>,
    /// `NEVER`: waits for the startup probe, for an answer, or for nothing at all.
    pub next: Time,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Thresholds {
    success: u64,
    failure: u64,
}

impl ProbeWorker {
    /// A worker whose first tick is at `origin`; it does not tick before [`ProbeWorker::begin`].
    pub fn new(kind: ProbeKind, probe: &Probe, origin: Time) -> ProbeWorker {
        // Defaults: period 10 s, success 1, failure 3 (k/k `pkg/apis/core/v1/defaults.go`).
        let thresholds =
            Thresholds { success: probe.success_threshold.unwrap_or(1).max(1), failure: probe.failure_threshold.unwrap_or(3).max(1) };
        let period = Duration::from_secs(probe.period_seconds.unwrap_or(10).max(1));
        let verdict = (kind == ProbeKind::Readiness).then_some(false);
        ProbeWorker {
            kind,
            origin,
            period,
            timeout: timeout(probe),
            exec: probe.exec.is_some(),
            earliest: Time::NEVER,
            times_out: Time::NEVER,
            thresholds,
            run: (false, 0),
            verdict,
            next: Time::NEVER,
        }
    }
    /// Ticks from now on, but not before `earliest` (the container's start and the probe's initial delay).
    pub fn begin(&mut self, now: Time, earliest: Time) {
        self.earliest = earliest;
        self.next = now.max(earliest).next_tick(self.origin, self.period);
    }
    /// A tick at once, and the period counted from it: what a status update does to a container that is not ready yet
    /// (`prober_manager.go`, UpdatePodStatus).
    pub fn trigger(&mut self, now: Time, earliest: Time) {
        self.origin = now;
        self.begin(now, earliest);
    }
    /// The probe is under way. False: nobody is asked, since the runtime is silent that would run it. `silent`: it is, and a request of it is
    /// given up when this is over beside the probe's own time (`cri-client/pkg/remote_runtime.go`, ExecSync).
    pub fn asked(&mut self, now: Time, silent: Option<Duration>) -> bool {
        self.next = Time::NEVER;
        let waits = silent.filter(|_| self.exec);
        if let Some(request_timeout) = waits {
            self.times_out = now + request_timeout + self.timeout;
        }
        waits.is_none()
    }
    /// Nothing that was promised holds any more: ticks go on as if they had never stopped.
    pub fn promise_is_off(&mut self, now: Time) {
        let tick = now.max(self.earliest).next_tick(self.origin, self.period);
        if self.earliest == Time::NEVER || self.next <= tick {
            return;
        }
        let threshold = if self.run.0 { self.thresholds.success } else { self.thresholds.failure };
        // What was counted in advance.
        if self.run.1 < threshold && self.next != Time::NEVER {
            self.run.1 = self.run.1.saturating_sub(self.next.since(tick).nanos() / self.period.nanos());
        }
        self.next = tick;
    }
    /// The runtime answers again. True if one is to be asked now that waited for that.
    pub fn may_be_asked(&mut self) -> bool {
        std::mem::replace(&mut self.times_out, Time::NEVER) != Time::NEVER
    }
    /// The earliest instant at which it wants something.
    pub fn deadline(&self) -> Time {
        self.next.min(self.times_out)
    }
    /// Takes an answer. True if the verdict has changed.
    pub fn answered(&mut self, now: Time, success: bool, holds_until: Time) -> bool {
        let timed_out = std::mem::replace(&mut self.times_out, Time::NEVER) <= now;
        self.run = (success, if self.run.0 == success { self.run.1 + 1 } else { 1 });
        let threshold = if success { self.thresholds.success } else { self.thresholds.failure };
        let decided = self.run.1 >= threshold;
        let changed = decided && self.verdict != Some(success);
        if decided {
            self.verdict = Some(success);
        }
        let after = (now + Duration::from_nanos(1)).next_tick(self.origin, self.period);
        let may_change = if holds_until == Time::NEVER {
            Time::NEVER
        } else {
            after.max(holds_until - self.timeout).next_tick(self.origin, self.period)
        };
        self.next = if decided { may_change } else { may_change.min(after + self.period * (threshold - self.run.1 - 1)) };
        if !decided {
            self.run.1 += self.next.since(after).nanos() / self.period.nanos();
        }
        // A liveness or startup probe that has failed waits for a new container; a startup probe that has succeeded is done.
        let over = match self.kind {
            ProbeKind::Readiness => false,
            ProbeKind::Liveness => decided && !success,
            ProbeKind::Startup => decided,
        };
        if over {
            (self.next, self.earliest) = (Time::NEVER, Time::NEVER);
        } else if timed_out {
            // A tick was missed meanwhile, which the ticker has kept.
            self.next = now;
        }
        changed
    }
}

/// Seconds that a probe may take: 1 unless the manifest says otherwise.
pub(super) fn timeout(probe: &Probe) -> Duration {
    Duration::from_secs(probe.timeout_seconds.unwrap_or(1).max(1))
}
pub(super) fn initial_delay(probe: &Probe) -> Duration {
    Duration::from_secs(probe.initial_delay_seconds.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Verdicts with their times when a program succeeds from `ready` to `ends`; `lazy`: with promises.
    fn verdicts(probe: &Probe, kind: ProbeKind, ready: Time, ends: Time, lazy: bool) -> (Vec<(Time, bool)>, usize) {
        let mut worker = ProbeWorker::new(kind, probe, Time::from_millis(300));
        worker.begin(Time::ZERO, Time::ZERO);
        let (mut seen, mut asked) = (Vec::new(), 0);
        while worker.next < Time::from_secs(300) {
            let now = worker.next + Duration::from_millis(10);
            worker.asked(now, None);
            asked += 1;
            let success = now >= ready && now < ends;
            let promise = if now < ready {
                ready
            } else if now < ends {
                ends
            } else {
                Time::NEVER
            };
            if worker.answered(now, success, if lazy { promise } else { Time::ZERO }) {
                seen.push((now, success));
            }
        }
        (seen, asked)
    }

    #[test]
    fn sleeping_on_a_promise_gives_the_verdicts_of_eager_ticking() {
        for kind in [ProbeKind::Readiness, ProbeKind::Liveness, ProbeKind::Startup] {
            for (success, failure) in [(1, 3), (2, 1), (3, 5)] {
                for (ready, ends) in [(0, 40_000), (12_345, 100_000), (25_310, 90_300), (50_000, 1_000_000)] {
                    let probe = Probe {
                        period_seconds: Some(5),
                        success_threshold: Some(success),
                        failure_threshold: Some(failure),
                        ..Probe::default()
                    };
                    let (ready, ends) = (Time::from_millis(ready), Time::from_millis(ends));
                    let (lazy, few) = verdicts(&probe, kind, ready, ends, true);
                    let (eager, many) = verdicts(&probe, kind, ready, ends, false);
                    assert_eq!(lazy, eager, "{kind:?} {success} {failure} {ready} {ends}");
                    assert!(few <= 8 && few <= many, "{few} probes instead of {many}");
                }
            }
        }
    }

    #[test]
    fn a_promise_that_is_off_leaves_the_verdicts_of_eager_ticking() {
        let probe = Probe { period_seconds: Some(5), failure_threshold: Some(6), ..Probe::default() };
        let mut lazy = ProbeWorker::new(ProbeKind::Startup, &probe, Time::ZERO);
        lazy.begin(Time::ZERO, Time::ZERO);
        lazy.asked(Time::ZERO, None);
        // It can't succeed before 60 s: the tick of 25 s would decide.
        assert!(!lazy.answered(Time::ZERO, false, Time::from_secs(60)));
        assert_eq!(lazy.next, Time::from_secs(25));
        lazy.promise_is_off(Time::from_secs(7));
        let mut failed = Vec::new();
        while lazy.next != Time::NEVER {
            let now = lazy.next;
            lazy.asked(now, Some(Duration::from_secs(120)));
            failed.push((now, lazy.answered(now, false, Time::ZERO)));
        }
        // Those of 0 s and 5 s were made.
        assert_eq!(failed, [(10, false), (15, false), (20, false), (25, true)].map(|(at, verdict)| (Time::from_secs(at), verdict)));
    }

    #[test]
    fn a_probe_by_exec_fails_when_the_request_of_a_silent_runtime_is_given_up() {
        let exec = Probe { exec: Some(crate::objects::Rest::default()), timeout_seconds: Some(3), ..Probe::default() };
        for (probe, asked, times_out) in [(exec, false, Time::from_secs(133)), (Probe::default(), true, Time::NEVER)] {
            let mut worker = ProbeWorker::new(ProbeKind::Readiness, &probe, Time::ZERO);
            worker.begin(Time::ZERO, Time::ZERO);
            assert_eq!(worker.asked(Time::from_secs(10), Some(Duration::from_secs(120))), asked);
            assert_eq!((worker.times_out, worker.deadline()), (times_out, times_out));
            assert_eq!(worker.may_be_asked(), !asked, "when it answers again");
            assert_eq!(worker.times_out, Time::NEVER);
            worker.asked(Time::from_secs(10), Some(Duration::from_secs(120)));
            worker.answered(Time::from_secs(133), false, Time::ZERO);
            let next = if asked { Time::from_secs(140) } else { Time::from_secs(133) };
            assert_eq!(worker.next, next, "the ticker has kept a tick");
        }
    }

    #[test]
    fn a_failing_liveness_probe_is_decided_at_its_third_tick_and_then_waits() {
        let mut worker = ProbeWorker::new(ProbeKind::Liveness, &Probe::default(), Time::ZERO);
        worker.begin(Time::ZERO, Time::from_secs(5));
        let mut decided = Vec::new();
        while worker.next != Time::NEVER {
            let now = worker.next;
            decided.push((now, worker.answered(now, false, Time::ZERO)));
        }
        assert_eq!(decided, [(10, false), (20, false), (30, true)].map(|(at, verdict)| (Time::from_secs(at), verdict)));
    }
}
