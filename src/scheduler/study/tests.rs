use super::super::policies::{Models, POLICIES};
use super::*;
use crate::base::Stream;

/// Nodes and pods of many kinds, small enough to be looked at one by one.
fn world(chance: &mut Stream) -> (Vec<Node>, Vec<Pod>) {
    let node = |number: usize, chance: &mut Stream| {
        let gpus = [1, 2, 4, 8][chance.index(4)];
        let cpu = 8_000 * (1 + chance.below(8) as i64);
        Node { name: format!("node-{number:02}").into(), empty: Machine::new(cpu, 64 << 30, 1001, gpus, chance.below(3) as u8) }
    };
    let pod = |number: usize, chance: &mut Stream| {
        let (gpus, gpu_milli) = [(0, 0), (1, 250), (1, 500), (1, 700), (1, 1000), (2, 1000), (4, 1000)][chance.index(7)];
        let models = if chance.chance(0.2) { Models { rank: 1, accepted: 0b101 } } else { Models::ANY };
        let demand = Demand { cpu: 500 * (1 + chance.below(6) as i64), memory: 1 << 30, gpus, gpu_milli, models };
        Pod { name: format!("pod-{number:03}").into(), demand }
    };
    let nodes = (0..24).map(|number| node(number, chance)).collect();
    let pods = (0..120).map(|number| pod(number, chance)).collect();
    (nodes, pods)
}

fn study(nodes: &[Node], pods: &[Pod], policy: usize) -> Study {
    Study {
        workload: "small".into(),
        policy: Choice(vec![(&POLICIES[policy], 1)]),
        nodes: nodes.into(),
        pods: pods.into(),
        order: None,
        load_per_mille: 1300,
        content: Digest::default(),
    }
}

#[test]
fn remembered_scores_are_those_that_would_be_found_anew() {
    let mut chance = Seed(7).stream("study test");
    let (nodes, pods) = world(&mut chance);
    for (number, registered) in POLICIES.iter().enumerate() {
        let study = study(&nodes, &pods, number);
        let order = draw(&pods, nodes.len(), study.capacity(), 1300, 3);
        let demands: Vec<Demand> = pods.iter().map(|pod| pod.demand).collect();
        let policy = study.policy.make(&Prospect { pods: demands.clone(), largest: study.largest() });
        let mut world = World::new(&study, &order, &demands);
        let mut placed = 0;
        for arrival in &order.pods {
            let pod = arrival.pod as usize;
            let chosen = world.choose(pod, &*policy, &mut chance);
            let anew = |machine: &Machine| match machine.fits(&demands[pod]) {
                true => policy.score(&demands[pod], machine) as i32,
                false => UNFIT,
            };
            let scores: Vec<i32> = world.machines.iter().map(anew).collect();
            assert_eq!(world.remembered[world.kinds[pod]].scores, scores, "{}", registered.name);
            assert_eq!(chosen.is_some(), scores.iter().any(|score| *score >= 0), "{}", registered.name);
            if let Some(rank) = chosen {
                let devices = world.place(rank, &demands[pod], &*policy, &mut chance);
                assert_eq!(devices.iter().count(), demands[pod].gpus);
                placed += 1;
            }
            assert!(world.machines.iter().all(|machine| machine.free().iter().all(|free| (0..=1000).contains(free))));
        }
        assert!(placed > 50 && placed < order.pods.len(), "{}: {placed} of {}", registered.name, order.pods.len());
    }
}

#[test]
fn a_pod_gets_only_models_that_it_accepts() {
    let mut chance = Seed(8).stream("study test");
    let (nodes, pods) = world(&mut chance);
    let restricted = pods.iter().filter(|pod| pod.demand.gpus > 0 && pod.demand.models != Models::ANY).count();
    assert!(restricted > 5);
    for policy in 0..POLICIES.len() {
        let (results, _) = study(&nodes, &pods, policy).run(1);
        for placement in &results.placements {
            let name = placement.pod.split("-tuned-").next().unwrap();
            let pod = pods.iter().find(|pod| pod.name == *name).unwrap();
            let Some(node) = nodes.iter().find(|node| Some(&node.name) == placement.node.as_ref()) else { continue };
            assert!(pod.demand.gpus == 0 || pod.demand.models.accepts(node.empty.model), "{placement:?}");
        }
    }
}

#[test]
fn nodes_larger_than_the_studys_are_used_as_well() {
    let mut chance = Seed(11).stream("study test");
    let (_, pods) = world(&mut chance);
    let empty = Machine::new(1_024_000, 4096 << 30, 1001, 16, 0);
    let nodes: Vec<Node> = (0..3).map(|number| Node { name: format!("node-{number}").into(), empty }).collect();
    for (policy, registered) in POLICIES.iter().enumerate() {
        // Half of the GPUs are asked for, and there is CPU in abundance.
        let (results, _) = Study { load_per_mille: 500, ..study(&nodes, &pods, policy) }.run(1);
        assert!(results.placements.iter().all(|placement| placement.node.is_some()), "{}", registered.name);
        assert!(results.placements.len() > 10);
    }
}

#[test]
fn the_same_seed_gives_the_same_placements_and_another_seed_others() {
    let mut chance = Seed(9).stream("study test");
    let (nodes, pods) = world(&mut chance);
    for policy in 0..POLICIES.len() {
        let study = study(&nodes, &pods, policy);
        assert_eq!(study.run(5), study.run(5));
        assert_ne!(study.run(5).1, study.run(6).1);
    }
}

#[test]
fn a_load_below_what_the_pods_ask_for_leaves_pods_out() {
    let mut chance = Seed(10).stream("study test");
    let (nodes, pods) = world(&mut chance);
    let asked: i64 = pods.iter().map(|pod| pod.demand.gpu()).sum();
    let order = draw(&pods, nodes.len(), asked, 500, 1);
    let left: i64 = order.pods.iter().map(|arrival| pods[arrival.pod as usize].demand.gpu()).sum();
    assert!(left * 2 <= asked && left * 2 > asked - 8_000, "{left} of {asked}");
    let mut ranks = order.nodes.clone();
    ranks.sort_unstable();
    assert!(ranks.iter().enumerate().all(|(at, rank)| at == *rank as usize));
}
