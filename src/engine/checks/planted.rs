//! Runs with planted bugs, each of which the dear checks must find: a watch event that is never sent, sent twice, or lost on the way; a
//! list that leaves an object out or keeps one that is gone.

use crate::engine::Options;
use crate::host::sim::Run;
use crate::scenario;
use crate::wire::Message;
use crate::wire::api::{Body, WatchEvent};
use crate::wire::etcd::Answer;

/// What happens to a message. It may have been changed too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bug {
    None,
    /// Never written.
    Lost,
    Twice,
    /// Written, and never delivered.
    LostOnTheWay,
}

/// Chooses the messages that a bug befalls.
type Plant = Box<dyn FnMut(&mut Message) -> Bug>;

/// The bugs of a run; none by default.
#[derive(Default)]
pub struct Planted(Option<Plant>);

impl Planted {
    pub fn bug(&mut self, message: &mut Message) -> Bug {
        self.0.as_mut().map_or(Bug::None, |plant| plant(message))
    }
}

/// The first violation in the first minutes of a scenario with this bug.
fn found(name: &str, sets: &[&str], plant: impl FnMut(&mut Message) -> Bug + 'static) -> String {
    let sets: Vec<String> = sets.iter().map(ToString::to_string).collect();
    let plan = scenario::load(&scenario::find(name).unwrap(), &sets).unwrap().plan;
    let mut run = Run::new(plan, Options { check_full: true, ..Options::default() });
    run.engine.planted = Planted(Some(Box::new(plant)));
    let end = run.end();
    run.engine.run_until(end);
    run.engine.recorder.violations.first().cloned().unwrap_or_default()
}
/// The `nth` of the messages that fit.
fn nth(nth: u32, mut fits: impl FnMut(&Message) -> bool, bug: Bug) -> impl FnMut(&mut Message) -> Bug {
    let mut count = 0;
    move |message| {
        count += u32::from(fits(message));
        if count == nth && fits(message) { bug } else { Bug::None }
    }
}
fn watch_event(message: &Message) -> Option<&WatchEvent> {
    match message {
        Message::ApiResponse(response) => match &response.body {
            Body::Watch(event) => Some(event),
            _ => None,
        },
        _ => None,
    }
}
fn changes_a_pod(message: &Message) -> bool {
    matches!(watch_event(message), Some(WatchEvent::Modified(stored)) if stored.object.as_pod().is_some())
}
fn makes_a_pod_ready(message: &Message) -> bool {
    let Some(WatchEvent::Modified(stored)) = watch_event(message) else { return false };
    stored.object.as_pod().is_some_and(|pod| pod.is_ready())
}
fn adds_a_pod(message: &Message) -> bool {
    matches!(watch_event(message), Some(WatchEvent::Added(stored)) if stored.object.as_pod().is_some())
}
fn removes_a_pod(message: &Message) -> bool {
    matches!(watch_event(message), Some(WatchEvent::Deleted(stored)) if stored.object.as_pod().is_some())
}
fn tells_a_server_of_pods(message: &Message) -> bool {
    let Message::EtcdResponse(response) = message else { return false };
    matches!(&response.result, Ok(Answer::WatchEvents(events)) if events.iter().any(|event| event.kv.key.starts_with("/registry/pods/")))
}

#[test]
fn a_sound_run_has_no_violation() {
    for name in ["node-failure", "rolling-update"] {
        assert_eq!(found(name, &[], |_| Bug::None), "");
    }
}

#[test]
fn an_event_that_a_server_or_a_member_skips_is_found() {
    for count in [1, 7, 40] {
        let violation = found("node-failure", &[], nth(count, changes_a_pod, Bug::Lost));
        assert!(violation.contains(": apiserver-") && violation.contains("skips revision"), "{count}: {violation}");
        let violation = found("node-failure", &[], nth(count, tells_a_server_of_pods, Bug::Lost));
        assert!(violation.contains(": etcd-") && violation.contains("skips revision"), "{count}: {violation}");
    }
}

#[test]
fn an_event_that_comes_twice_is_found() {
    for fits in [changes_a_pod, adds_a_pod, tells_a_server_of_pods] {
        let violation = found("node-failure", &[], nth(9, fits, Bug::Twice));
        assert!(violation.contains(" after revision "), "{violation}");
    }
}

#[test]
fn a_cache_that_missed_an_event_is_found() {
    // Pods that a cache lacks are told of again when they change. The one that the scheduler missed is never bound, so that it does not.
    let lacking = (1..=4).map(|count| found("node-failure", &[], nth(count, adds_a_pod, Bug::LostOnTheWay)));
    let lacking: Vec<String> = lacking.filter(|violation| !violation.is_empty()).collect();
    assert!(lacking.iter().any(|violation| violation.contains("scheduler-1 lacks ")), "{lacking:?}");
    assert!(lacking.iter().all(|violation| violation.contains(" lacks ")), "{lacking:?}");
    let violation = found("rolling-update", &[], nth(3, removes_a_pod, Bug::LostOnTheWay));
    assert!(violation.contains(" still has "), "{violation}");
    let violation = found("node-failure", &[], nth(1, makes_a_pod_ready, Bug::LostOnTheWay));
    assert!(violation.contains(" when the store had that of "), "{violation}");
}

#[test]
fn a_list_that_leaves_something_out_is_found() {
    let mut done = false;
    let violation = found("node-failure", &["initial=running", "workloadAt=null"], move |message| {
        if let Message::ApiResponse(response) = message
            && let Body::List { items, .. } = &mut response.body
            && items.len() > 3
            && !done
        {
            done = true;
            items.remove(2);
        }
        Bug::None
    });
    assert!(violation.contains(" lacks 1 of "), "{violation}");
}
