//! What a kubelet finds out about its container runtime by asking it over and over (k/k `pkg/kubelet`, `kubelet.go`, `runtime.go`,
//! `pleg/generic.go`), computed from when the runtime fell silent and when it answers again.
//!
//! Three loops ask it. Each waits for an answer, but no longer than [`Config::runtime_request_timeout`], and asks again after its period:
//! - The status check: the runtime is down when the last good one is 30 s ago.
//! - The relist: it is unhealthy when the last good one began 3 min ago.
//! - The sync loop's housekeeping, which lists what runs each 2 s; the loop waits with it. What comes from the API and from probes waits with
//!   the loop, which does not go on before the runtime is up, looked at ever more rarely.
//!
//! What is asked for a pod times out as well; by then the loop stands that would ask again, so that it comes to the same to wait.
//! A pass of the node's status asks for the runtime's version, and so waits, too: a runtime that hangs makes its node NotReady some
//! 2 min later, where one that refuses connections does after 30 s (`nodestatus/setters.go`, VersionInfo).
//!
//! A kubelet that starts asks its runtime first, and does nothing else before that has answered (upstream's ends and is started again).
//!
//! Left out: that a loop's phase moves when it has waited; that requests are repeated whose time-out is set so short that the loop goes on
//! in between.

use super::Config;
use crate::base::{Cause, Duration, Time};

/// How often the runtime's status is checked, and after how long without a good answer it is down (`kubelet.go`, updateRuntimeUp,
/// maxWaitForContainerRuntime).
const CHECK_PERIOD: Duration = Duration::from_secs(5);
const DOWN_AFTER: Duration = Duration::from_secs(30);
/// `pleg/generic.go`, relistThreshold.
const RELIST_THRESHOLD: Duration = Duration::from_secs(180);
/// How often the housekeeping lists what runs, which takes nothing from the cache (`kubelet.go`, housekeepingPeriod; `kubelet_pods.go`,
/// HandlePodCleanups, ForceUpdateIfOlder).
const LISTING_PERIOD: Duration = Duration::from_secs(2);
/// How the sync loop waits before it looks again whether the runtime is up (`kubelet.go`, syncLoop).
const LOOK_FIRST: Duration = Duration::from_millis(100);
const LOOK_MAX: Duration = Duration::from_secs(5);
/// What a kubelet says of its node for longer than this after the end has another reason (ours).
const TALKED_OF: Duration = Duration::from_secs(120);

/// See the module. It is as it should be until [`Runtime::fell_silent`].
pub(super) struct Runtime {
    /// Relists are at this instant and every period after it; the other loops keep the same phase.
    origin: Time,
    silence: Option<Silence>,
    /// The sync loop stands from here on, until there.
    stands: (Time, Time),
}

struct Silence {
    cause: Cause,
    since: Time,
    /// When the last status check began that was answered; `None`: there was none in this kubelet's life.
    checked: Option<Time>,
    relisted: Time,
    /// When it answered again, and when a status check found that. `NEVER` while it is silent.
    until: Time,
    up: Time,
}

impl Runtime {
    pub fn new(origin: Time) -> Runtime {
        Runtime { origin, silence: None, stands: (Time::NEVER, Time::NEVER) }
    }
    pub fn is_silent(&self) -> bool {
        self.silence.as_ref().is_some_and(|silence| silence.until == Time::NEVER)
    }
    /// It answers nothing from now on. False if that was known.
    pub fn fell_silent(&mut self, now: Time, cause: Cause, config: &Config) -> bool {
        if self.is_silent() {
            return false;
        }
        let first = now.next_tick(self.origin, CHECK_PERIOD);
        let checked = match &self.silence {
            // It was not found up before it fell silent again.
            Some(before) if before.up > now => before.checked,
            _ => (first > self.origin).then(|| first - CHECK_PERIOD),
        };
        let relisted = now.next_tick(self.origin, config.pleg_relist_period) - config.pleg_relist_period;
        self.silence = Some(Silence { cause, since: now, checked, relisted, until: Time::NEVER, up: Time::NEVER });
        self.stands = if self.loop_stands(now) { (now, Time::NEVER) } else { (now.next_tick(self.origin, LISTING_PERIOD), Time::NEVER) };
        true
    }
    /// It answers what it was asked, and will from now on. False if it was not silent.
    pub fn answers_again(&mut self, now: Time, cause: Cause, config: &Config) -> bool {
        let Some(silence) = self.silence.as_mut().filter(|silence| silence.until == Time::NEVER) else { return false };
        let timeout = config.runtime_request_timeout;
        // A check that waits is answered; between two of them the next one is.
        let first = silence.since.next_tick(self.origin, CHECK_PERIOD);
        let round = timeout + CHECK_PERIOD;
        let into_round = Duration::from_nanos(now.since(first).nanos() % round.nanos().max(1));
        (silence.until, silence.up) = (now, if into_round > timeout { now - into_round + round } else { now });
        silence.cause = cause;
        let (from, _) = self.stands;
        self.stands = if now < from {
            (Time::NEVER, Time::NEVER)
        } else {
            let up = silence.up;
            let (mut at, mut wait) = (now.min(from + timeout), LOOK_FIRST);
            while at < up {
                at += wait;
                wait = (wait * 2).min(LOOK_MAX);
            }
            (from, at)
        };
        true
    }
    /// Why its node is not ready, in the words of the node's condition.
    pub fn trouble(&self, now: Time) -> Option<String> {
        let silence = self.silence.as_ref().filter(|silence| now < silence.up)?;
        let mut errors = Vec::new();
        match silence.checked {
            None => errors.push("container runtime status check may not have completed yet".to_owned()),
            Some(checked) if now >= checked + DOWN_AFTER => errors.push("container runtime is down".to_owned()),
            Some(_) => {}
        }
        let unseen = now.since(silence.relisted);
        if silence.until == Time::NEVER && unseen > RELIST_THRESHOLD {
            let ago = written(unseen);
            errors.push(format!("PLEG is not healthy: pleg was last seen active {ago} ago; threshold is 3m0s"));
        }
        match &errors[..] {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(format!("[{}]", several.join(", "))),
        }
    }
    /// Whether the node's status may be another at its next pass, because of the runtime.
    pub fn is_in_doubt(&self, now: Time) -> bool {
        self.silence.as_ref().is_some_and(|silence| now < silence.up)
    }
    pub fn loop_stands(&self, now: Time) -> bool {
        self.stands.0 <= now && now < self.stands.1
    }
    /// When the sync loop that stands goes on; `NEVER`: it does not stand, or nobody knows.
    pub fn loop_goes_on(&self) -> Time {
        self.stands.1
    }
    /// Why the node's status changes, if it does because of the runtime.
    pub fn cause(&self, now: Time) -> Cause {
        let silence = self.silence.as_ref().filter(|silence| silence.until == Time::NEVER || now < silence.up + TALKED_OF);
        silence.map_or(Cause::NONE, |silence| silence.cause)
    }
}

/// A span as Go prints it, to the millisecond.
fn written(span: Duration) -> String {
    let millis = span.nanos() / 1_000_000;
    let (hours, minutes, seconds, millis) = (millis / 3_600_000, millis / 60_000 % 60, millis / 1_000 % 60, millis % 1_000);
    let fraction = if millis == 0 { String::new() } else { format!(".{millis:03}").trim_end_matches('0').to_owned() };
    let hours = if hours == 0 { String::new() } else { format!("{hours}h") };
    format!("{hours}{minutes}m{seconds}{fraction}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAUSE: Cause = Cause::NONE;

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }
    /// Checked at 0 s, 5 s and so on, relisted each second.
    fn silent(since: u64) -> Runtime {
        let mut runtime = Runtime::new(Time::ZERO);
        assert!(runtime.fell_silent(at(since), CAUSE, &Config::default()));
        runtime
    }
    fn again(runtime: &mut Runtime, until: u64) {
        assert!(runtime.answers_again(at(until), CAUSE, &Config::default()));
    }

    #[test]
    fn a_runtime_is_down_30_s_after_its_last_answer_and_the_relist_unhealthy_after_3_min() {
        let runtime = silent(102);
        assert_eq!(runtime.trouble(at(129)), None, "the last good check was at 100 s");
        assert_eq!(runtime.trouble(at(130)).as_deref(), Some("container runtime is down"));
        assert_eq!(runtime.trouble(at(281)).as_deref(), Some("container runtime is down"), "the last good relist was at 101 s");
        let both = "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m1s ago; threshold is 3m0s]";
        assert_eq!(runtime.trouble(at(282)).as_deref(), Some(both));
        assert_eq!(runtime.trouble(Time::from_millis(282_250)).as_deref(), Some(both.replace("3m1s", "3m1.25s").as_str()));
    }

    #[test]
    fn a_silence_of_a_few_seconds_is_not_noticed() {
        let mut runtime = silent(103);
        assert!(!runtime.loop_stands(at(103)) && runtime.loop_stands(at(104)));
        again(&mut runtime, 105);
        assert!((105..200).all(|second| runtime.trouble(at(second)).is_none() && !runtime.loop_stands(at(second))));
    }

    #[test]
    fn the_sync_loop_stands_with_its_housekeeping_and_goes_on_with_the_answer() {
        let mut runtime = silent(102);
        assert!(runtime.loop_stands(at(102)), "it lists at 102 s");
        again(&mut runtime, 200);
        assert_eq!(runtime.loop_goes_on(), at(200));
    }

    #[test]
    fn after_two_minutes_the_sync_loop_gives_up_and_looks_ever_more_rarely_whether_the_runtime_is_up() {
        // The listing of 102 s ends at 222 s, and the checks of 105 s and 230 s at 225 s and 350 s.
        let mut runtime = silent(102);
        again(&mut runtime, 300);
        assert_eq!(runtime.trouble(at(300)), None, "the check that waited is answered");
        let waited: u64 = (0..6).map(|doubled| 100 << doubled).sum::<u64>();
        let mut looks = (0..).map(|more| Time::from_millis(222_000 + waited + 5_000 * more));
        assert_eq!(Some(runtime.loop_goes_on()), looks.find(|look| *look >= at(300)));
    }

    #[test]
    fn between_two_checks_the_next_one_finds_the_runtime_up() {
        let mut runtime = silent(102);
        again(&mut runtime, 227);
        assert_eq!(runtime.trouble(at(227)).as_deref(), Some("container runtime is down"));
        assert!(runtime.is_in_doubt(at(229)) && !runtime.is_in_doubt(at(230)));
        assert_eq!(runtime.trouble(at(230)), None);
        assert!(runtime.loop_goes_on() >= at(230) && runtime.loop_goes_on() < at(235));
    }

    /// What the loops find that really ask: whether the runtime is down, and whether the sync loop stands, each 250 ms from `since` on.
    fn eager(since: Time, until: Time, config: &Config) -> Vec<(bool, bool)> {
        let (end, timeout) = (until + Duration::from_secs(60), config.runtime_request_timeout);
        // When something that is asked at `at` is answered, or given up; and whether it is answered.
        let asked = |at: Time| match at < since || at >= until {
            true => (at, true),
            false => (until.min(at + timeout), until <= at + timeout),
        };
        let (mut at, mut good) = (Time::ZERO, Vec::new());
        while at < end {
            let (answered, well) = asked(at);
            if well {
                good.push(answered);
            }
            at = answered + CHECK_PERIOD;
        }
        let down = |now: Time| good.iter().rfind(|at| **at <= now).is_none_or(|last| *last + DOWN_AFTER <= now);
        let (mut now, mut wait, mut standing) = (Time::ZERO, LOOK_FIRST, Vec::new());
        while now < end {
            if down(now) {
                standing.push((now, now + wait));
                now += wait;
                wait = (wait * 2).min(LOOK_MAX);
                continue;
            }
            wait = LOOK_FIRST;
            let tick = now.next_tick(Time::ZERO, LISTING_PERIOD);
            let (listed, _) = asked(tick);
            standing.push((tick, listed));
            now = if listed > tick { listed } else { tick + Duration::from_nanos(1) };
        }
        let stands = |now: Time| standing.iter().any(|(from, to)| *from <= now && now < *to);
        let samples = (0..).map(|sample| since + Duration::from_millis(250 * sample)).take_while(|at| *at < end);
        samples.map(|at| (down(at), stands(at))).collect()
    }

    #[test]
    fn what_is_computed_is_what_loops_find_that_really_ask() {
        let config = Config::default();
        for since in [100_000, 101_250, 104_900, 107_999, 108_000, 111_700] {
            for lasts in
                [500, 2_000, 9_000, 31_000, 60_000, 119_000, 121_000, 122_500, 124_000, 127_000, 130_000, 240_000, 250_000, 420_000]
            {
                let (since, until) = (Time::from_millis(since), Time::from_millis(since + lasts));
                let mut runtime = Runtime::new(Time::ZERO);
                let found = eager(since, until, &config);
                assert!(runtime.fell_silent(since, CAUSE, &config));
                let mut answers = false;
                for (sample, found) in (0..).zip(found) {
                    let now = since + Duration::from_millis(250 * sample);
                    if now >= until && !answers {
                        answers = runtime.answers_again(until, CAUSE, &config);
                    }
                    let down = runtime.trouble(now).is_some_and(|why| why.contains("runtime is down"));
                    assert_eq!((down, runtime.loop_stands(now)), found, "{since} {until} {now}");
                }
            }
        }
    }
}
