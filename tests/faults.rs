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

/// Beginning, end and target of each power loss.
fn losses(record: &Record) -> Vec<(Time, Time, String)> {
    let faults = record.scenario.faults.iter();
    faults
        .map(|fault| (fault.at, fault.until.expect("it is repaired"), fault.targets.iter().map(|name| name.to_string()).collect()))
        .collect()
}

#[test]
fn random_faults_come_when_the_seed_says_for_each_machine_by_itself() {
    let of = |places: &str| {
        format!(
            r#"faults=[{{ "at": "1m", "every": {{ "mtbf": "2m", "repair": {{ "uniform": {{ "low": "10s", "high": "20s" }} }} }}, "powerLoss": {places} }}]"#
        )
    };
    let all = play(&of(r#"{ "groups": ["worker"] }"#), &[]);
    let losses_of_all = losses(&all);
    // Six machines for nine minutes, one loss in 2 min 15 s each: 24 are expected, and 11 to 40 would come in all but one of 1,000 runs.
    assert!((11..=40).contains(&losses_of_all.len()), "{}", losses_of_all.len());
    let mut last: std::collections::BTreeMap<&str, Time> = Default::default();
    for (from, until, whom) in &losses_of_all {
        let lasted = until.since(*from);
        assert!(*from > seconds(&all, 60), "{from}");
        assert!((Duration::from_secs(10)..=Duration::from_secs(20)).contains(&lasted), "{lasted}");
        assert!(last.insert(whom, *until).is_none_or(|before| before < *from), "{whom} lost power twice at {from}");
    }
    assert_eq!(last.len(), 6, "every machine has its turn: {last:?}");
    assert!(last.keys().all(|whom| whom.starts_with("worker-")), "one machine each: {last:?}");

    let of_one: Vec<_> = losses_of_all.iter().filter(|(.., whom)| whom == "worker-3").cloned().collect();
    let alone = play(&of(r#"{ "nodes": ["worker-3"] }"#), &[]);
    assert_eq!(losses(&alone), of_one, "the others change nothing for worker-3");
    let other = runs::play("node-failure", 2, &[&of(r#"{ "nodes": ["worker-3"] }"#), "expectations=[]"], Options::default());
    assert_ne!(losses(&other), of_one, "another seed, other times");
}

#[test]
fn a_common_cause_hits_a_share_of_the_machines_at_once() {
    let shocks = r#"faults=[{ "at": "1m", "every": { "mtbf": "1m", "repair": { "constant": "5s" }, "each": "all", "share": "50%" }, "freeze": { "groups": ["worker"] } }]"#;
    let record = play(shocks, &[]);
    let hit: Vec<usize> = record.scenario.faults.iter().map(|fault| fault.targets.len()).collect();
    assert!(hit.len() >= 3 && hit.iter().all(|hit| *hit == 3), "{hit:?}");
    let first = &record.scenario.faults[0].targets;
    assert!(record.scenario.faults.iter().any(|fault| fault.targets != *first), "chosen anew each time");
}

#[test]
fn a_random_node_of_a_zone_is_chosen_by_the_seed() {
    let fault = r#"faults=[{ "at": "2m", "powerLoss": { "zones": ["b"], "randomNodes": 1 } }]"#;
    let mut chosen: Vec<String> = (0..8)
        .flat_map(|seed| {
            let record = runs::play("node-failure", seed, &[fault, "expectations=[]", "duration=130s"], Options::default());
            let targets = record.scenario.faults[0].targets.clone();
            assert_eq!(targets.len(), 1, "{targets:?}");
            targets.iter().map(|name| name.to_string()).collect::<Vec<_>>()
        })
        .collect();
    chosen.sort();
    chosen.dedup();
    assert_eq!(chosen, ["worker-2", "worker-5"]);
}

/// What the faults of a run hit.
fn hit(record: &Record) -> Vec<Vec<&str>> {
    record.scenario.faults.iter().map(|fault| fault.targets.iter().map(|name| name.as_str()).collect()).collect()
}

#[test]
fn a_fault_finds_the_node_of_a_pod_and_the_machine_of_the_leader_when_it_begins() {
    let faults = r#"faults=[
        { "at": "2m", "for": "5s", "freeze": { "nodesOf": ["web"] } },
        { "at": "3m", "for": "5s", "freeze": { "nodesOf": ["default/web"], "randomNodes": 1 } },
        { "at": "4m", "for": "30s", "powerLoss": { "components": ["etcd-leader"] } },
        { "at": "5m", "for": "30s", "partition": { "from": { "components": ["etcd-leader"] } } }
    ]"#;
    let record = play(faults, &["duration=6m"]);
    let hit = hit(&record);
    let of_web: std::collections::BTreeSet<&str> = record
        .facts
        .iter()
        .filter_map(|entry| match &entry.fact.what {
            What::PodBound { node, .. } if entry.at < seconds(&record, 120) => Some(node.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(hit[0], of_web.iter().copied().collect::<Vec<_>>(), "the nodes to which web's pods were bound");
    assert_eq!(hit[1].len(), 1);
    assert!(of_web.contains(hit[1][0]));
    assert!(hit[2].len() == 1 && hit[2][0].starts_with("control-plane-"), "{:?}", hit[2]);
    assert_ne!(hit[2], hit[3], "who lost power lost the lead");
    let shown = record.scenario.faults[2].description.as_str();
    assert_eq!(shown, format!("power loss of the machine of etcd-leader ({})", hit[2][0]));
    // Each loss of the lead is followed by an election.
    let elections = |from: u64, until: u64| {
        let between = |at: Time| at > seconds(&record, from) && at < seconds(&record, until);
        record.facts.iter().filter(|entry| matches!(entry.fact.what, What::BecameLeader { .. }) && between(entry.at)).count()
    };
    assert!(elections(240, 270) >= 1 && elections(300, 330) >= 1);
}

#[test]
fn containers_go_on_while_their_kubelet_is_dead() {
    let record = play(r#"faults=[{ "at": "3m", "for": "4m", "kubeletDown": { "nodesOf": ["web"], "randomNodes": 1 } }]"#, &[]);
    let fault = &record.scenario.faults[0];
    assert_eq!((fault.kind.as_str(), fault.targets.len()), ("kill", 1));
    assert!(record.facts.iter().any(|entry| matches!(&entry.fact.what, What::NodeReady { .. }) && entry.at > fault.at));
    let (mut ok, mut failed) = (0, 0);
    for entry in &record.facts {
        if let What::Traffic { ok: answered, refused, reset, timeout, .. } = entry.fact.what
            && entry.at > fault.at
        {
            ok += answered;
            failed += refused + reset + timeout;
        }
    }
    assert!(ok > 1_000 && failed == 0, "{ok} answered, {failed} failed");
}

#[test]
fn a_slow_machine_answers_and_pulls_slowly() {
    let slowest = |faults: &str| {
        let record = play(faults, &["traffic[0].timeout=30s", "duration=4m"]);
        let mut slowest = Duration::ZERO;
        for entry in &record.facts {
            if let What::Traffic { p99, .. } = entry.fact.what {
                slowest = slowest.max(p99);
            }
        }
        let pulled = record.facts.iter().filter(|entry| matches!(entry.fact.what, What::Pulled { .. })).map(|entry| entry.at).max();
        (slowest, pulled.expect("pods pull their image"))
    };
    let (usual, pulled) = slowest("faults=[]");
    let (slow, _) = slowest(r#"faults=[{ "at": "2m", "slowMachine": { "on": { "groups": ["worker"] }, "cpu": "1%" } }]"#);
    assert!(slow > usual * 20, "{slow} against {usual}");
    let (_, late) = slowest(r#"faults=[{ "at": "1s", "slowMachine": { "on": { "groups": ["worker"] }, "network": "0.1%" } }]"#);
    // 70 MB at a thousandth of 10 Gbit/s take 56 s.
    assert!(late.since(pulled) > Duration::from_secs(40), "{late} against {pulled}");
}

#[test]
fn nothing_is_committed_while_the_disks_of_all_members_stand_still() {
    let record = play(
        r#"faults=[{ "at": "2m", "for": "20s", "diskStall": { "machines": ["control-plane-1", "control-plane-2", "control-plane-3"] } }]"#,
        &["duration=4m"],
    );
    let revisions = |from: u64, until: u64| {
        let in_it = |at: Time| at >= seconds(&record, from) && at <= seconds(&record, until);
        let seen = record.samples.iter().filter(|sample| in_it(sample.at)).map(|sample| sample.etcd.iter().map(|one| one.revision).max());
        let seen: std::collections::BTreeSet<u64> = seen.flatten().collect();
        seen.len()
    };
    assert_eq!(revisions(122, 139), 1, "no new revision");
    assert!(revisions(150, 180) > 3, "and then they come again");
}

#[test]
fn a_member_whose_disk_is_full_is_down_until_there_is_space() {
    let record = play(r#"faults=[{ "at": "2m", "for": "1m", "diskFull": { "components": ["etcd-1"] } }]"#, &["duration=4m"]);
    let of_etcd_1 = |entry: &&clustersim::engine::record::Entry| entry.fact.subject.to_string() == "etcd-1";
    let lives: Vec<(&str, Time)> = record
        .facts
        .iter()
        .filter(of_etcd_1)
        .filter(|entry| matches!(entry.fact.what, What::Stopped | What::Started))
        .map(|entry| (entry.fact.what.kind(), entry.at))
        .collect();
    assert_eq!(lives.iter().map(|(what, _)| *what).collect::<Vec<_>>(), ["Stopped", "Started"], "{lives:?}");
    assert!(lives[0].1 >= seconds(&record, 120) && lives[0].1 < seconds(&record, 125), "it ends when it writes: {}", lives[0].1);
    assert_eq!(lives[1].1, seconds(&record, 180));
    let pull = r#"faults=[{ "at": "1s", "for": "2m", "diskFull": { "groups": ["worker"] } }]"#;
    let record = play(pull, &["duration=6m"]);
    let ready = record.facts.iter().find(|entry| matches!(entry.fact.what, What::PodReady { .. })).expect("in the end");
    assert!(ready.at > seconds(&record, 121), "no container is made without space: {}", ready.at);
}

#[test]
fn a_clock_that_runs_fast_sends_more_requests_and_one_that_drifts_breaks_nothing() {
    let sent = |faults: &str| {
        let record = play(faults, &["duration=6m"]);
        let of = |entry: &clustersim::engine::record::Entry| match entry.fact.what {
            What::Traffic { sent, .. } if entry.at > seconds(&record, 180) => u64::from(sent),
            _ => 0,
        };
        record.facts.iter().map(of).sum::<u64>()
    };
    let usual = sent("faults=[]");
    let fast = sent(r#"faults=[{ "at": "3m", "clockDrift": { "on": { "machines": ["client"] }, "ppm": 500000 } }]"#);
    let slow = sent(r#"faults=[{ "at": "3m", "clockDrift": { "on": { "machines": ["client"] }, "ppm": -500000 } }]"#);
    assert!(fast * 10 > usual * 13 && fast * 10 < usual * 17, "{fast} against {usual}");
    assert!(slow * 10 > usual * 3 && slow * 10 < usual * 7, "{slow} against {usual}");

    let drift = r#"faults=[
        { "at": "10s", "for": "5m", "clockDrift": { "on": { "zones": ["a"] }, "ppm": 50000 } },
        { "at": "20s", "clockDrift": { "on": { "components": ["etcd-leader"] }, "ppm": -30000 } },
        { "at": "2m", "powerLoss": { "nodes": ["worker-3"] } }
    ]"#;
    let options = Options { check_full: true, ..Options::default() };
    let sets = [drift, "expectations=[{\"atEnd\": true, \"pods\": { \"workload\": \"web\", \"atLeast\": 10 } }]"];
    let record = runs::play("node-failure", 3, &sets, options);
    assert!(record.expectations.iter().all(|verdict| verdict.held), "{:?}", record.expectations);
}

#[test]
fn a_roll_out_reaches_a_share_of_the_nodes_one_after_another() {
    let record = play(r#"faults=[{ "at": "2m", "spreadOver": "1m", "for": "90s", "freeze": { "randomShare": "50%" } }]"#, &["duration=6m"]);
    let faults = &record.scenario.faults;
    assert_eq!(faults.len(), 3, "half of six");
    assert!(faults.iter().all(|fault| fault.at >= seconds(&record, 120) && fault.at <= seconds(&record, 180)));
    assert!(faults.iter().all(|fault| fault.until == Some(fault.at + Duration::from_secs(90))));
    let mut times: Vec<Time> = faults.iter().map(|fault| fault.at).collect();
    times.dedup();
    assert_eq!(times.len(), 3, "each at its own time");
    assert!(faults.iter().all(|fault| fault.drawn.as_deref() == Some("freeze of 50 % of the nodes")), "{faults:?}");
}

#[test]
fn a_rack_fails_as_one() {
    let faults = r#"faults=[{ "at": "1s", "every": { "mtbf": "3m", "repair": { "constant": "10s" }, "each": "zone" }, "freeze": { "groups": ["worker"] } }]"#;
    let record = play(faults, &[]);
    assert!(record.scenario.faults.len() >= 3, "{}", record.scenario.faults.len());
    for fault in &record.scenario.faults {
        assert_eq!(fault.targets.len(), 2, "six nodes in three zones: {fault:?}");
        assert!(fault.description.starts_with("freeze of zone "), "{}", fault.description);
    }
}

#[test]
fn the_same_scenario_with_its_random_faults_written_out_plays_the_same_run() {
    use clustersim::{host::sim, scenario};
    let faults = r#"faults=[
        { "at": "1m", "every": { "mtbf": "3m", "repair": { "exponential": "20s" } }, "powerLoss": { "groups": ["worker"] } },
        { "at": "2m", "for": "20s", "kill": ["etcd-leader"] },
        { "at": "1m", "every": { "mtbf": "3m", "repair": { "constant": "9s" } }, "kill": ["kubelet-worker-1", "apiserver-1"] },
        { "at": "1m", "every": { "mtbf": "4m", "repair": { "constant": "9s" } }, "slowDisk": { "on": { "zones": ["a"] }, "latency": { "constant": "1ms" } } },
        { "at": "1m", "every": { "mtbf": "4m" }, "containerCrash": { "workload": "web", "count": 1 } },
        { "at": "1m", "every": { "mtbf": "4m", "repair": { "constant": "40s" } }, "reboot": { "randomNodes": 2 } },
        { "at": "1m", "every": { "mtbf": "4m", "repair": { "constant": "9s" } }, "partition": { "from": { "zones": ["b"] } } },
        { "at": "3m", "spreadOver": "1m", "for": "5s", "kubeletDown": { "randomShare": "40%" } }
    ]"#;
    let source = scenario::find("node-failure").unwrap();
    let expectations = r#"expectations=[{ "within": { "fault": 1, "limit": "2m" }, "pods": { "workload": "web", "atLeast": 1 } }]"#;
    let loaded = scenario::load(&source, &[faults, expectations, "seed=5"].map(str::to_owned)).unwrap();
    let written = loaded.written_out.expect("there are random faults");
    assert!(!written.contains("\"every\"") && !written.contains("\"spreadOver\""));
    let source = scenario::Source { file: "written.json".into(), text: written.into_bytes(), folder: None };
    let again = scenario::load(&source, &[]).unwrap();
    assert!(again.written_out.is_none());
    assert!(again.plan.faults.len() > 15, "{}", again.plan.faults.len());
    let digest = |plan| sim::run(plan, Options::default(), &mut |_| {}).digest;
    assert_eq!(digest(again.plan), digest(loaded.plan));
}

/// A kubelet that came back had listed its containers, and forgot the exits that came before it had heard of its pods.
#[test]
fn a_container_that_exits_while_its_kubelet_comes_back_is_restarted() {
    for millis in (500..15_000).step_by(500) {
        let faults = format!(
            r#"faults=[
                {{ "at": "2m", "for": "1s", "kubeletDown": {{ "groups": ["worker"] }} }},
                {{ "at": "{}ms", "containerCrash": {{ "workload": "web" }} }}
            ]"#,
            121_000 + millis
        );
        let end = r#"expectations=[{ "atEnd": true, "pods": { "workload": "web", "atLeast": 10 } }]"#;
        let record = runs::play("node-failure", 1, &[&faults, end, "duration=4m"], Options::default());
        assert!(record.expectations[0].held, "{millis} ms after: {}", record.expectations[0].seen);
    }
}

/// What happened, by kind and time, to this node and its pods.
fn times_of(record: &Record, what: impl Fn(&What) -> bool) -> Vec<u64> {
    let at = |at: Time| at.since(record.scenario.start).as_secs();
    record.facts.iter().filter(|entry| what(&entry.fact.what)).map(|entry| at(entry.at)).collect()
}

#[test]
fn pods_of_a_node_whose_runtime_hangs_serve_are_evicted_when_their_toleration_is_over_and_end_with_the_hang() {
    let pause = r#"faults=[{ "at": "2m", "for": "9m", "runtimePause": { "nodes": ["worker-3"] } }]"#;
    let record = play(pause, &["duration=14m"]);
    let of_node = |entry: &&clustersim::engine::record::Entry| entry.fact.subject.to_string().contains("worker-3");
    let ready: Vec<(u64, String)> = record
        .facts
        .iter()
        .filter(of_node)
        .filter(|entry| matches!(entry.fact.what, What::NodeReady { .. }) && entry.at > seconds(&record, 120))
        .map(|entry| (entry.at.since(record.scenario.start).as_secs(), entry.fact.what.to_string()))
        .collect();
    let [(not_ready, _), (again, _)] = &ready[..] else { panic!("{ready:?}") };
    assert!((240..=250).contains(not_ready) && (660..=661).contains(again), "{ready:?}");
    let lost = |what: &What| matches!(what, What::Traffic { refused, reset, timeout, .. } if refused + reset + timeout > 0);
    assert!(times_of(&record, lost).iter().all(|at| *at >= 540), "nobody is refused before pods are evicted");
    // Tolerated for 300 s; the API hears of their end when the runtime has stopped them.
    let evicted = times_of(&record, |what| matches!(what, What::DeletionMarked { .. }));
    assert!(!evicted.is_empty() && evicted.iter().all(|at| (not_ready + 300..not_ready + 310).contains(at)), "{evicted:?}");
    let gone = times_of(&record, |what| matches!(what, What::Removed { .. }));
    assert_eq!(gone.len(), evicted.len(), "{gone:?}");
    assert!(gone.iter().all(|at| (660..680).contains(at)), "{gone:?}");
    let again = play(pause, &["duration=14m"]);
    assert_eq!((again.digest, again.trace_digest), (record.digest, record.trace_digest), "the same seed is the same run");
}

#[test]
fn a_pull_stands_still_with_the_runtime() {
    let pulled = |faults: &str| {
        let record = play(faults, &["duration=5m", r#"cluster.images.list={ "nginx:1.29": { "size": "2G" } }"#]);
        let of_node = |entry: &&clustersim::engine::record::Entry| matches!(entry.fact.what, What::Pulled { .. });
        record.facts.iter().filter(of_node).map(|entry| entry.at).max().expect("pods pull their image")
    };
    let usual = pulled("faults=[]");
    let late = pulled(r#"faults=[{ "at": "32s", "for": "20s", "runtimePause": { "groups": ["worker"] } }]"#);
    assert!(late >= usual + Duration::from_secs(19), "{late} against {usual}");
}

#[test]
fn what_a_machine_that_reboots_or_stands_still_was_to_do_does_not_stay_paused() {
    let options = Options { check_full: true, ..Options::default() };
    for other in ["\"powerLoss\"", "\"reboot\"", "\"freeze\"", "\"diskStall\"", "\"runtimePause\""] {
        let faults = format!(
            r#"faults=[
                {{ "at": "2m", "for": "2m", "runtimePause": {{ "nodes": ["worker-3"] }} }},
                {{ "at": "3m", "for": "2m", {other}: {{ "nodes": ["worker-3"] }} }},
                {{ "at": "210s", "containerCrash": {{ "workload": "web" }} }}
            ]"#
        );
        let ready = r#"expectations=[{ "atEnd": true, "pods": { "workload": "web", "atLeast": 10 } }, { "atEnd": true, "nodeReady": { "node": "worker-3", "ready": true } }]"#;
        let record = runs::play("node-failure", 3, &[&faults, ready, "duration=9m"], options);
        assert!(record.violations.is_empty(), "{other}: {:?}", record.violations);
        assert!(record.expectations.iter().all(|verdict| verdict.held), "{other}: {:?}", record.expectations);
    }
}
