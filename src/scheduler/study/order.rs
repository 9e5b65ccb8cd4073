//! In which order pods arrive, and which node is preferred among equals: given by a file, or drawn by the study's protocol.

use super::go_random::GoRandom;
use super::{MOST_ARRIVALS, Pod};
use crate::base::Name;

/// An order of pods, some of which come more than once, and of nodes by rank.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Order {
    pub pods: Vec<Arrival>,
    /// Indexes into the study's nodes, the preferred one first.
    pub nodes: Vec<u32>,
}

/// A pod that arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// Into the study's pods.
    pub pod: u32,
    /// It is a copy, of this number.
    pub copy: Option<u32>,
}

impl Arrival {
    /// The pod of this name, or the copy; `find` knows the pods by name.
    pub fn find(name: &str, find: impl Fn(&str) -> Option<usize>) -> Option<Arrival> {
        if let Some(pod) = find(name) {
            return Some(Arrival { pod: pod as u32, copy: None });
        }
        let (original, number) = name.rsplit_once(COPY)?;
        Some(Arrival { pod: find(original)? as u32, copy: Some(number.parse().ok()?) })
    }
    pub fn name(&self, pod: &Name) -> Name {
        match self.copy {
            None => pod.clone(),
            Some(number) => Name::from(format!("{pod}{COPY}{number}")),
        }
    }
}

/// Stands between a pod's name and the number of its copy.
const COPY: &str = "-tuned-";

/// Pods shuffled, then taken away or copied at random until they ask for `load_per_mille` of the capacity, then a permutation of the nodes:
/// with Go's generator and every draw of the study's program, so that a seed gives the order that it gave there. `pods` and the nodes are
/// sorted by name.
pub fn draw(pods: &[Pod], nodes: usize, capacity: i64, load_per_mille: u64, seed: u64) -> Order {
    let mut random = GoRandom::new(seed);
    // The program draws once before it begins.
    random.int63();
    let mut order: Vec<Arrival> = (0..pods.len() as u32).map(|pod| Arrival { pod, copy: None }).collect();
    random.shuffle(&mut order);
    let target = (i128::from(capacity) * i128::from(load_per_mille) / 1000) as i64;
    let mut sum: i64 = pods.iter().map(|pod| pod.demand.gpu()).sum();
    if sum > target {
        while sum > target {
            sum -= pods[order.remove(random.index(order.len())).pod as usize].demand.gpu();
        }
    } else if sum < target {
        for copy in 0.. {
            let pod = random.index(pods.len());
            let demand = &pods[pod].demand;
            // What one of its GPUs would take, not all: a peculiarity of the program.
            if sum + demand.gpu_milli > target || order.len() >= MOST_ARRIVALS {
                break;
            }
            sum += demand.gpu();
            order.push(Arrival { pod: pod as u32, copy: Some(copy) });
        }
    }
    // Ten client-go reflectors draw their time-outs before the nodes are numbered.
    (0..10).for_each(|_| {
        random.int63();
    });
    let ranks = random.permutation(nodes);
    let mut by_rank = vec![0; nodes];
    for (node, rank) in ranks.into_iter().enumerate() {
        by_rank[rank] = node as u32;
    }
    Order { pods: order, nodes: by_rank }
}
