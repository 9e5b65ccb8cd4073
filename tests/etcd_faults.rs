//! What goes wrong beneath etcd: logs that are damaged, links that lose, double and reorder, partitions that come and go.

mod runs;

use clustersim::base::{Duration, Time};
use clustersim::engine::Options;
use clustersim::engine::record::Record;
use clustersim::host::sim;
use clustersim::scenario;
use clustersim::wire::fact::{Subject, What};
use clustersim::wire::{Address, Member};

fn play(seed: u64, faults: &str, more: &[&str]) -> Record {
    let faults = format!("faults=[{faults}]");
    let sets = [&[faults.as_str(), "expectations=[]"], more].concat();
    let record = runs::play("node-failure", seed, &sets, Options::default());
    assert!(record.violations.is_empty(), "{faults}: {:?}", record.violations);
    record
}
fn of(record: &Record, member: u16) -> Vec<(f64, String)> {
    let subject = Subject::Actor(Address::Etcd(Member(member)));
    let facts = record.facts.iter().filter(|entry| entry.fact.subject == subject);
    facts.map(|entry| (entry.at.since(record.scenario.start).as_secs_f64(), entry.fact.what.to_string())).collect()
}
fn leader_changes(record: &Record) -> usize {
    record.facts.iter().filter(|entry| matches!(entry.fact.what, What::BecameLeader { .. })).count() - 1
}
/// When somebody last had a revision that nobody had had before.
fn last_commit(record: &Record) -> Time {
    let (mut last, mut newest) = (record.scenario.start, 0);
    for sample in &record.samples {
        let revision = sample.etcd.iter().map(|member| member.revision).max().unwrap_or(0);
        if revision > newest {
            (last, newest) = (sample.at, revision);
        }
    }
    last
}

#[test]
fn a_member_whose_log_is_corrupted_goes_on_until_it_must_read_it_and_then_never_starts() {
    for record in ["oldest", "newest", "random"] {
        let faults = format!(
            r#"{{ "at": "60s", "diskCorrupt": {{ "on": {{ "components": ["etcd-2"] }}, "record": "{record}" }} }},
               {{ "at": "90s", "for": "5s", "kill": ["etcd-2"] }},
               {{ "at": "120s", "for": "5s", "powerLoss": {{ "components": ["etcd-2"] }} }}"#
        );
        let played = play(1, &faults, &[]);
        let told: Vec<(f64, String)> = of(&played, 2).into_iter().filter(|(at, _)| *at > 60.0).collect();
        let refused = |at: f64| told.iter().filter(|(when, what)| *when == at && what.starts_with("refused to start: record ")).count();
        assert_eq!((refused(95.0), refused(125.0)), (1, 1), "{told:?}");
        let ups: Vec<&str> = told.iter().map(|(_, what)| what.as_str()).filter(|what| matches!(*what, "started" | "stopped")).collect();
        assert_eq!(ups, ["stopped", "started", "stopped", "started", "stopped"], "each start ends at once");
        assert!(last_commit(&played) > played.scenario.start + Duration::from_secs(200), "the other two go on");
    }
}

#[test]
fn the_refusal_goes_back_to_what_made_the_member_start() {
    let faults =
        r#"{ "at": "60s", "diskCorrupt": { "on": { "components": ["etcd-2"] } } }, { "at": "90s", "for": "5s", "kill": ["etcd-2"] }"#;
    let record = play(1, faults, &[]);
    let refusal = record.facts.iter().find(|entry| matches!(entry.fact.what, What::RefusedToStart { .. })).expect("it is told");
    let stopped = record.facts.iter().rfind(|entry| entry.fact.what == What::Stopped).expect("it ended");
    assert_eq!(stopped.cause, Some(refusal.id), "it ends since it refused");
    assert!(refusal.cause.is_some(), "and it refused since it was started");
}

#[test]
fn torn_logs_cost_nothing_that_was_acknowledged() {
    // All members lose power at once, again and again, with writes under way throughout.
    let all = r#"{ "at": "20s", "every": { "mtbf": "6s", "repair": { "constant": "2s" }, "each": "all" },
                   "powerLoss": { "components": ["etcd-1", "etcd-2", "etcd-3"] } }"#;
    for seed in 1..=3 {
        let record = play(seed, all, &["duration=4m"]);
        assert!(record.scenario.faults.len() > 12);
        assert!(!record.facts.iter().any(|entry| matches!(entry.fact.what, What::RefusedToStart { .. })), "torn is not corrupted");
    }
}

#[test]
fn raft_copes_with_a_link_that_loses_doubles_and_reorders() {
    let unreliable = |from: &str, shares: &str| {
        format!(
            r#"{{ "at": "10s", "unreliableLink": {{ "from": {{ "components": [{from}] }}, {shares}, "delay": {{ "exponential": "50ms" }} }} }}"#
        )
    };
    let elsewhere = play(1, &unreliable(r#""etcd-1", "etcd-2", "etcd-3""#, r#""drop": "50%""#), &[]);
    assert_eq!(leader_changes(&elsewhere), 0, "only what members send each other is lost, and they are on one side");
    for seed in 1..=3 {
        let bad = unreliable(r#""etcd-leader""#, r#""drop": "5%", "duplicate": "5%", "reorder": "10%""#);
        let mild = play(seed, &bad, &[]);
        assert!(last_commit(&mild) > mild.scenario.start + Duration::from_secs(200), "writes go on");
        assert_eq!(mild.digest, play(seed, &bad, &[]).digest, "drawn from the seed");
        let hard = play(seed, &unreliable(r#""etcd-1""#, r#""drop": "60%", "duplicate": "50%", "reorder": "50%""#), &[]);
        assert_ne!(mild.digest, hard.digest);
        let lost = play(seed, &unreliable(r#""etcd-leader""#, r#""drop": "100%""#), &[]);
        assert_eq!(leader_changes(&lost), 1, "as in a partition");
    }
}

#[test]
fn a_flapping_partition_comes_and_goes() {
    let partition =
        |flap: &str| format!(r#"{{ "at": "60s", "for": "60s", "partition": {{ "from": {{ "components": ["etcd-leader"] }}{flap} }} }}"#);
    let steady = play(1, &partition(""), &[]);
    let flaps = r#", "flap": { "down": { "constant": "4s" }, "up": { "uniform": { "low": "3s", "high": "6s" } } }"#;
    let flapping = play(1, &partition(flaps), &[]);
    let elections = |record: &Record| record.facts.iter().filter(|entry| matches!(entry.fact.what, What::BecameFollower { .. })).count();
    assert_eq!(leader_changes(&steady), 1);
    // The machine that is cut off is no leader's from the second time on, and with pre-vote it disturbs nobody.
    assert_eq!(leader_changes(&flapping), 1);
    assert!(elections(&flapping) >= elections(&steady));
    assert_eq!(play(1, &partition(flaps), &[]).digest, flapping.digest);
    // A peer that is cut off is found silent each time that it goes.
    let short = r#", "flap": { "down": { "constant": "200ms" }, "up": { "constant": "1s" } }"#;
    assert_eq!(leader_changes(&play(1, &partition(short), &[])), 0, "too short for an election");
}

#[test]
fn faults_of_all_kinds_at_random_on_the_control_plane() {
    let every = r#""every": { "mtbf": "20s", "repair": { "exponential": "4s" } }"#;
    let whole = r#""every": { "mtbf": "20s", "repair": { "exponential": "4s" }, "each": "all" }"#;
    let machines = r#"{ "machines": ["control-plane-1", "control-plane-2", "control-plane-3"] }"#;
    let faults = [
        format!(r#"{{ "at": "5s", {every}, "kill": ["etcd-1", "etcd-2", "etcd-3"] }}"#),
        format!(r#"{{ "at": "5s", {every}, "kill": ["etcd-leader"] }}"#),
        format!(r#"{{ "at": "5s", {every}, "pause": ["etcd-1", "etcd-2", "etcd-3", "etcd-leader"] }}"#),
        format!(r#"{{ "at": "5s", {every}, "powerLoss": {machines} }}"#),
        format!(r#"{{ "at": "5s", {every}, "freeze": {machines} }}"#),
        format!(r#"{{ "at": "5s", {every}, "reboot": {machines} }}"#),
        format!(r#"{{ "at": "5s", {every}, "diskStall": {machines} }}"#),
        format!(r#"{{ "at": "5s", {every}, "diskFull": {machines} }}"#),
        format!(r#"{{ "at": "5s", {every}, "slowDisk": {{ "on": {machines}, "latency": {{ "constant": "80ms" }} }} }}"#),
        format!(r#"{{ "at": "5s", {every}, "slowMachine": {{ "on": {machines}, "cpu": "10%", "network": "10%" }} }}"#),
        format!(r#"{{ "at": "5s", {every}, "clockDrift": {{ "on": {machines}, "ppm": 20000 }} }}"#),
        format!(r#"{{ "at": "5s", {whole}, "partition": {{ "from": {{ "components": ["etcd-leader"] }}, "oneWay": true }} }}"#),
        format!(
            r#"{{ "at": "5s", {whole}, "partition": {{ "from": {{ "machines": ["control-plane-2"] }},
                 "flap": {{ "down": {{ "exponential": "1s" }}, "up": {{ "exponential": "1s" }} }} }} }}"#
        ),
        format!(r#"{{ "at": "5s", {whole}, "slowLink": {{ "from": {{ "machines": ["control-plane-1"] }}, "loss": "10%" }} }}"#),
        format!(
            r#"{{ "at": "5s", {whole}, "unreliableLink": {{ "from": {{ "machines": ["control-plane-3"] }}, "drop": "10%", "duplicate": "10%", "reorder": "20%" }} }}"#
        ),
    ];
    for seed in 1..=4 {
        // Each by itself, then all over each other; then all is well, and the cluster must be, too.
        let all =
            faults.iter().map(|fault| fault.replacen(r#""at": "5s""#, r#""at": "5s", "until": "2m""#, 1)).collect::<Vec<_>>().join(",");
        let record = play(seed, &all, &["duration=5m"]);
        assert!(record.scenario.faults.len() > 100, "{}", record.scenario.faults.len());
        assert!(last_commit(&record) > record.scenario.start + Duration::from_secs(240), "seed {seed}: it recovers");
    }
    for fault in &faults {
        play(5, fault, &["duration=2m"]);
    }
}

#[test]
fn lease_reads_trust_the_leaders_clock_and_the_read_index_trusts_none() {
    // The leader is cut off from its peers and not from its clients: it goes on to lead by its clock, which may run at half speed.
    let cut = r#"{ "at": "12s", "for": "8s", "partition": { "from": { "components": ["etcd-leader"] },
                   "to": { "components": ["etcd-1", "etcd-2", "etcd-3"] } } }"#;
    let slow = r#"{ "at": "10s", "for": "30s", "clockDrift": { "on": { "components": ["etcd-leader"] }, "ppm": -500000 } }"#;
    let violations = |seed: u64, faults: String, lease_reads: bool| {
        let sets = [
            format!("seed={seed}"),
            format!("faults=[{faults}]"),
            "expectations=[]".to_owned(),
            format!("cluster.timings.etcd.leaseReads={lease_reads}"),
        ];
        let plan = scenario::load(&scenario::find("etcd-clock-drift").unwrap(), &sets).unwrap().plan;
        let record = sim::run(plan, Options { check_full: true, ..Options::default() }, &mut |_| {});
        record.violations.iter().map(ToString::to_string).collect::<Vec<String>>()
    };
    let mut stale = 0;
    for seed in 1..=8 {
        assert_eq!(violations(seed, cut.to_owned(), true), [""; 0], "clocks keep time: seed {seed}");
        assert_eq!(violations(seed, format!("{slow}, {cut}"), false), [""; 0], "a quorum is asked: seed {seed}");
        let found = violations(seed, format!("{slow}, {cut}"), true);
        stale += usize::from(found.iter().any(|violation| violation.contains("had been applied when it was asked")));
    }
    assert!(stale > 0, "a lease by a slow clock outlives the next leader's election");
}
