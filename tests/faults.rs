//! What faults do to a whole cluster, where it takes one to see it. (Processes, machines and links by themselves: `engine.rs`.)

mod runs;

use clustersim::base::{Duration, Time};
use clustersim::engine::Options;
use clustersim::engine::record::Record;
use clustersim::wire::fact::What;

fn play(faults: &str, more: &[&str]) -> Record {
    let sets = [&[faults, "expectations=[]"], more].concat();
    runs::play("node-failure", 1, &sets, Options::default())
}

fn seconds(record: &Record, seconds: u64) -> Time {
    record.scenario.start + Duration::from_secs(seconds)
}

#[test]
fn the_registry_is_back_when_the_last_fault_on_it_ends() {
    let faults = r#"faults=[
        { "at": "20s", "for": "60s", "registryDown": true },
        { "at": "30s", "for": "10s", "registryDown": true },
        { "at": "35s", "for": "20s", "registrySlow": "1Gbit/s" },
        { "at": "70s", "for": "170s", "registrySlow": "8Mbit/s" }
    ]"#;
    let record = play(faults, &[]);
    let pulled: Vec<Time> =
        record.facts.iter().filter(|entry| matches!(entry.fact.what, What::Pulled { .. })).map(|entry| entry.at).collect();
    assert_eq!(pulled.len(), 10, "each pod hears of its pull");
    // Down until 80 s; 70 MB for six nodes at 1 MB/s would take 420 s, so that nobody is done before the registry is fast again at 240 s.
    let (first, last) = (pulled.iter().min().expect("ten"), pulled.iter().max().expect("ten"));
    assert!(*first > seconds(&record, 150), "{first}");
    assert!(*last > seconds(&record, 240), "{last}");
}

#[test]
fn an_answer_that_met_a_cut_comes_when_the_cut_is_over() {
    let cut = r#"faults=[{ "at": "3m", "for": "2s", "partition": { "from": { "groups": ["worker"] }, "to": { "machines": ["client"] }, "oneWay": true } }]"#;
    let ends = |patience: &str| {
        let record = play(cut, &[&format!("traffic[0].timeout={patience}")]);
        let (from, until) = (seconds(&record, 180), seconds(&record, 183));
        let mut ends = (0, 0, Duration::ZERO);
        for entry in &record.facts {
            if let What::Traffic { until: end, ok, refused, reset, timeout, p99, .. } = entry.fact.what
                && end > from
                && end <= until
            {
                ends = (ends.0 + ok, ends.1 + refused + reset + timeout, ends.2.max(p99));
            }
        }
        ends
    };
    // What is sent again after 0.2, 0.4, 0.8 ... s comes through at most 3.2 s after it was first sent (and a dial after 3 s).
    let (ok, failed, slowest) = ends("10s");
    assert_eq!(failed, 0);
    assert!(ok > 30, "{ok}");
    assert!(slowest > Duration::from_secs(1) && slowest < Duration::from_secs(5), "{slowest:?}");
    let (_, failed, _) = ends("1s");
    assert!(failed > 10, "who waits a second only gives up: {failed}");
}

#[test]
fn an_answer_that_was_due_while_the_pod_stood_still_comes_when_it_goes_on() {
    let frozen = r#"faults=[{ "at": "3m", "for": "3s", "freeze": { "groups": ["worker"] } }]"#;
    // Requests take half a second, so that some are under way.
    let slow = r#"behaviours.web.serviceTime={ "constant": "500ms" }"#;
    let record = play(frozen, &["traffic[0].timeout=20s", slow]);
    let failed: u32 = record
        .facts
        .iter()
        .filter_map(|entry| match entry.fact.what {
            What::Traffic { refused, reset, timeout, .. } if entry.at > seconds(&record, 170) => Some(refused + reset + timeout),
            _ => None,
        })
        .sum();
    assert_eq!(failed, 0);
}
