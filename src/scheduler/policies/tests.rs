use super::*;
use crate::base::random::Seed;

fn demand(cpu: i64, gpus: usize, gpu_milli: i64) -> Demand {
    Demand { cpu, memory: 0, gpus, gpu_milli, models: Models::ANY }
}

/// A node of 64 cores whose GPUs have so much left.
fn node(free: &[i64]) -> Machine {
    let mut machine = Machine::new(64_000, 1 << 40, 100, free.len(), 0);
    for (device, free) in free.iter().enumerate() {
        machine.free[device] = *free as i16;
    }
    machine
}

fn prospect() -> Prospect {
    Prospect { pods: vec![demand(4_000, 1, 500), demand(8_000, 1, 1000)], largest: Largest::STUDY }
}
fn make(name: &str) -> Box<dyn Policy> {
    named(name).unwrap().make(&prospect())
}
fn score(name: &str, pod: &Demand, node: &Machine) -> i64 {
    make(name).score(pod, node)
}

#[test]
fn dot_product_prefers_what_is_least_aligned() {
    let pod = demand(12_800, 1, 1000);
    // 1 - (0.5 * 0.1 + 0.25 * 0.125) / 2
    assert_eq!(score("dot-product", &pod, &node(&[1000, 1000])), 95);
    assert_eq!(score("dot-product", &pod, &node(&[1000, 0])), 96);
}

#[test]
fn clustering_goes_where_pods_of_the_same_kind_are_alone() {
    let (share, whole) = (demand(0, 1, 500), demand(0, 1, 1000));
    let mut machine = node(&[1000; 8]);
    assert_eq!(score("gpu-clustering", &share, &machine), 25);
    machine.place(&share, Devices(1));
    // 25 * 500 / 8000 of what is used.
    assert_eq!(score("gpu-clustering", &share, &machine), 76);
    assert_eq!(score("gpu-clustering", &whole, &machine), 1);
    machine.place(&whole, Devices(2));
    assert_eq!(score("gpu-clustering", &share, &machine), 54);
    assert_eq!(score("gpu-clustering", &demand(1_000, 0, 0), &machine), 0);
}

#[test]
fn packing_takes_gpus_in_use_before_free_ones_and_those_before_unused_nodes() {
    let share = demand(0, 1, 200);
    assert_eq!(score("gpu-packing", &share, &node(&[1000, 300, 600])), 97);
    assert_eq!(score("gpu-packing", &share, &node(&[1000, 100])), 49);
    assert_eq!(score("gpu-packing", &share, &node(&[1000, 1000])), 31);
    assert_eq!(score("gpu-packing", &demand(0, 2, 1000), &node(&[1000, 1000, 0])), 48);
    assert_eq!(score("gpu-packing", &demand(1_000, 0, 0), &node(&[1000, 0])), 0);
}

#[test]
fn best_and_worst_fit_are_opposites_over_what_is_left() {
    let pod = demand(0, 1, 1000);
    let (full, empty) = (node(&[1000]), node(&[1000; 8]));
    // A quarter of the largest node's CPU in halves, and seven eighths of its GPUs.
    assert_eq!((score("best-fit", &pod, &full), score("best-fit", &pod, &empty)), (75, 31));
    assert_eq!((score("worst-fit", &pod, &full), score("worst-fit", &pod, &empty)), (25, 68));
    let best = make("best-fit");
    let mut scores = [75, 31, 75, 60];
    best.normalize(&mut scores);
    assert_eq!(scores, [100, 0, 100, 65]);
    let mut equal = [7, 7];
    best.normalize(&mut equal);
    assert_eq!(equal, [0, 0]);
}

#[test]
fn bin_packing_is_the_mean_share_that_is_used_afterwards() {
    let mut machine = node(&[1000, 0]);
    machine.cpu = 32_000;
    assert_eq!(score("bin-packing", &demand(16_000, 0, 0), &machine), 37);
    assert_eq!(score("bin-packing", &demand(16_000, 1, 500), &machine), (75 + 75) / 3);
}

#[test]
fn descent_avoids_gpus_that_whole_pods_could_use() {
    let share = demand(1_000, 1, 500);
    let policy = make("fgd");
    let mut chance = Seed(1).stream("test");
    assert_eq!(policy.device(&share, &node(&[1000, 500, 1000]), &mut chance), 1);
    // On an open GPU nothing more is lost: half of it is no more of no use to those who want a whole one.
    assert!(policy.score(&share, &node(&[500])) > policy.score(&share, &node(&[1000])));
}

#[test]
fn what_is_of_no_use_is_counted_by_who_could_use_it() {
    let typical = Typical::of(&[demand(4_000, 1, 500), demand(4_000, 1, 1000)]);
    assert_eq!(typical.len(), 2);
    // The half GPU is lost to those who want a whole one: half of the pods.
    assert_eq!(typical.fragment(&node(&[500, 1000])), 250.0);
    let mut no_cpu = node(&[500, 1000]);
    no_cpu.cpu = 1_000;
    assert_eq!(typical.fragment(&no_cpu), 1500.0);
    // Kinds are taken until they are 95 % of all.
    let mut pods = vec![demand(1_000, 1, 500); 96];
    pods.extend([demand(2_000, 1, 500), demand(3_000, 1, 500), demand(4_000, 1, 500), demand(5_000, 1, 500)]);
    assert_eq!(Typical::of(&pods).len(), 1);
}

#[test]
fn weights_add_scores_up_and_the_heaviest_chooses_the_gpu() {
    let choice = Choice(vec![(named("gpu-packing").unwrap(), 2), (named("best-fit").unwrap(), 1)]);
    assert_eq!((choice.name(), choice.label()), ("2*gpu-packing+best-fit".to_owned(), "2*gpu-packing+best-fit".to_owned()));
    let pod = demand(0, 1, 200);
    let machine = node(&[1000, 300, 600]);
    let sum = 2 * score("gpu-packing", &pod, &machine) + score("best-fit", &pod, &machine);
    assert_eq!(choice.make(&prospect()).score(&pod, &machine), sum);
    assert_eq!(choice.make(&prospect()).device(&pod, &machine, &mut Seed(1).stream("test")), 1);
}

#[test]
fn without_gpus_memory_stands_in_their_place() {
    let largest = Largest { cpu: 4_000, gpu: 0, memory: 16 << 30 };
    let pod = Demand { cpu: 1_000, memory: 4 << 30, gpus: 0, gpu_milli: 0, models: Models::ANY };
    let (empty, mut fuller) = (Machine::new(4_000, 16 << 30, 110, 0, 0), Machine::new(4_000, 16 << 30, 110, 0, 0));
    fuller.memory = 6 << 30;
    let best = named("best-fit").unwrap().make(&Prospect { pods: vec![pod], largest });
    assert_eq!((best.score(&pod, &empty), best.score(&pod, &fuller)), (25, 56));
}

#[test]
fn what_is_placed_and_released_leaves_nothing_behind() {
    let empty = node(&[1000; 4]);
    let mut machine = empty;
    let pods = [demand(1_000, 1, 300), demand(2_000, 2, 1000), demand(500, 0, 0)];
    let mut taken = Vec::new();
    for pod in &pods {
        let devices = machine.devices(pod, || machine.tightest(pod));
        machine.place(pod, devices);
        taken.push(devices);
    }
    assert_eq!(taken, [Devices(0b1), Devices(0b110), Devices(0)]);
    assert_eq!((machine.cpu, machine.free_gpu(), machine.pods), (60_500, 1_700, 97));
    for (pod, devices) in pods.iter().zip(taken) {
        machine.release(pod, devices);
    }
    assert_eq!(machine, empty);
}
