//! Chains of causes lead from an effect back to the injected fault, without a gap (issue: mechanics, "Causes").

mod runs;

use clustersim::base::{FactId, Time};
use clustersim::engine::Options;
use clustersim::engine::record::{Entry, Record};
use clustersim::objects::Kind;
use clustersim::wire::fact::What;
use runs::{chain_text, facts_after, fault, for_seeds, is_about, object_name, play};

/// How many seeds each promise is held for.
const SEEDS: u64 = 10;

/// The chain of `effect` ends in the first fault and has the `stations` in this order, effect first, whatever stands between them.
fn assert_explained(record: &Record, effect: FactId, stations: &[&str]) {
    let chain = record.chain(effect);
    let last = chain.last().expect("a chain begins with its effect");
    let seed = record.scenario.seed;
    let text = chain_text(record, effect);
    assert!(matches!(last.fact.what, What::FaultInjected { .. }), "seed {seed}: the chain ends before the fault:\n{text}");
    let mut kinds = chain.iter().map(|entry| entry.fact.what.kind());
    for station in stations {
        assert!(kinds.any(|kind| kind == *station), "seed {seed}: no {station} at its place in\n{text}");
    }
    let ids: Vec<_> = chain.iter().map(|entry| (entry.at, entry.id)).collect();
    assert!(ids.is_sorted_by(|effect, cause| effect > cause), "seed {seed}: a cause comes after its effect in\n{text}");
}

/// Pods created after an instant.
fn replacements(record: &Record, after: Time) -> Vec<&Entry> {
    facts_after(record, after, |entry| is_about(entry, Kind::Pod) && matches!(entry.fact.what, What::Created { .. })).collect()
}

#[test]
fn a_replacement_is_ready_because_a_node_lost_power() {
    let found = for_seeds(SEEDS, |seed| {
        let record = play("node-failure", seed, &["traffic=[]", "expectations=[]"], Options::default());
        let begun = fault(&record, 0).at;
        let created = replacements(&record, begun);
        for pod in &created {
            let is_ready =
                |entry: &Entry| object_name(entry) == object_name(pod) && matches!(entry.fact.what, What::PodReady { ready: true, .. });
            let ready =
                facts_after(&record, begun, is_ready).next().unwrap_or_else(|| panic!("seed {seed}: {} is never ready", object_name(pod)));
            assert_explained(
                &record,
                ready.id,
                &["PodReady", "PodBound", "Created", "DeletionMarked", "Tainted", "NodeReady", "Silent", "FaultInjected"],
            );
        }
        created.len()
    });
    assert!(found.iter().all(|count| *count > 0), "every run replaces pods: {found:?}");
}

/// How many pods were evicted after the first fault, each for these reasons.
fn explained_evictions(record: &Record, chain: &[&str]) -> usize {
    let evicted = |entry: &Entry| is_about(entry, Kind::Pod) && matches!(entry.fact.what, What::DeletionMarked { .. });
    let evictions: Vec<_> = facts_after(record, fault(record, 0).at, evicted).collect();
    for eviction in &evictions {
        assert_explained(record, eviction.id, chain);
    }
    evictions.len()
}

#[test]
fn each_eviction_of_an_outage_is_explained_by_it() {
    let found = for_seeds(SEEDS, |seed| {
        let record = play("zone-outage", seed, &["traffic=[]", "expectations=[]"], Options::default());
        explained_evictions(&record, &["DeletionMarked", "Tainted", "NodeReady", "Silent", "FaultInjected"])
    });
    assert!(found.iter().all(|count| *count >= 3), "three nodes are emptied: {found:?}");
}

#[test]
fn an_eviction_is_explained_by_the_runtime_that_hung_and_what_waited_by_its_end() {
    let found = for_seeds(SEEDS, |seed| {
        let record = play("runtime-hang", seed, &["traffic=[]", "expectations=[]"], Options::default());
        let evictions = explained_evictions(&record, &["DeletionMarked", "Tainted", "NodeReady", "FaultInjected"]);
        let begun = fault(&record, 0).at;
        let again = |entry: &Entry| matches!(&entry.fact.what, What::NodeReady { reason, .. } if **reason == *"KubeletReady");
        let again = facts_after(&record, begun, again).next().unwrap_or_else(|| panic!("seed {seed}: the node is never ready again"));
        assert_explained(&record, again.id, &["NodeReady", "FaultEnded", "FaultInjected"]);
        evictions
    });
    assert!(found.iter().all(|count| *count == 1), "api has one pod on the node: {found:?}");
}

#[test]
fn a_new_leader_of_etcd_is_explained_by_the_death_of_the_old_one() {
    for_seeds(SEEDS, |seed| {
        let record = play("etcd-leader-loss", seed, &["duration=3m", "traffic=[]", "expectations=[]"], Options::default());
        let begun = fault(&record, 0).at;
        let elected: Vec<_> = facts_after(&record, begun, |entry| matches!(entry.fact.what, What::BecameLeader { .. })).collect();
        assert!(!elected.is_empty(), "seed {seed}: nobody was elected");
        for leader in elected {
            assert_explained(&record, leader.id, &["BecameLeader", "BecameCandidate", "Silent", "FaultInjected"]);
        }
    });
}

#[test]
fn the_standby_manager_leads_because_the_leader_was_killed() {
    for_seeds(SEEDS, |seed| {
        let record = play("control-plane-loss", seed, &["duration=3m", "traffic=[]", "expectations=[]"], Options::default());
        let begun = fault(&record, 0).at;
        let leads = facts_after(&record, begun, |entry| matches!(entry.fact.what, What::Leading)).next();
        let leads = leads.unwrap_or_else(|| panic!("seed {seed}: nobody took over"));
        assert_explained(&record, leads.id, &["Leading", "Silent", "FaultInjected"]);
    });
}

/// With a third of its requests sent to a member that lost power, an API server can fail a leader twice in a row: some seeds lose a lead.
#[test]
fn who_leads_during_an_outage_does_so_because_of_it() {
    let found = for_seeds(SEEDS, |seed| {
        let sets = ["duration=4m", "traffic=[]", "expectations=[]"];
        let record = play("zone-outage", seed, &sets, Options::default());
        let begun = fault(&record, 0).at;
        let leads: Vec<_> = facts_after(&record, begun, |entry| matches!(entry.fact.what, What::Leading)).collect();
        for leader in &leads {
            assert_explained(&record, leader.id, &["Leading", "Silent", "StoppedLeading", "Silent", "FaultInjected"]);
        }
        leads.len()
    });
    assert!(found.iter().any(|count| *count > 0), "a lead was lost in some run: {found:?}");
}
