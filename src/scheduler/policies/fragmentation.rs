//! How much of a node's free GPUs is of no use to the pods that are to be expected: the study's measure of fragmentation.

use super::{Demand, Machine, Models};

/// The kinds of pods that make up most of a workload, each with its frequency.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Typical {
    kinds: Vec<Kind>,
    /// Every amount of a GPU that some kind asks for.
    amounts: Vec<i64>,
}

#[derive(Clone, PartialEq, Debug)]
struct Kind {
    cpu: i64,
    gpus: usize,
    models: Models,
    frequency: f64,
    /// Into [`Typical::amounts`].
    amount: usize,
}

/// Kinds are taken until they are so many per cent of all pods.
const POPULAR: usize = 95;

/// What is of no use to a kind of pod, by reason.
#[derive(Default)]
struct Useless {
    /// Neither CPU nor GPUs are enough.
    both: f64,
    /// The GPUs are not enough, or what is left on those that are too small.
    gpu: f64,
    /// The CPU is not enough.
    cpu: f64,
    /// It asks for no GPU; and there is CPU for it, or not.
    no_gpu: f64,
    no_gpu_no_cpu: f64,
    /// The model is not one of those that it accepts.
    model: f64,
}

impl Typical {
    /// Of a workload; memory counts for nothing.
    pub fn of(pods: &[Demand]) -> Typical {
        let mut counts = std::collections::BTreeMap::new();
        for pod in pods {
            *counts.entry((pod.cpu, pod.gpu_milli, pod.gpus, pod.models)).or_insert(0usize) += 1;
        }
        let mut kinds: Vec<_> = counts.into_iter().map(|(kind, count)| (count, kind)).collect();
        // The most frequent first; of equal ones the larger.
        kinds.sort_unstable_by(|a, b| b.cmp(a));
        let mut taken = 0;
        let enough = kinds.iter().position(|(count, _)| {
            taken += count;
            taken * 100 >= POPULAR * pods.len()
        });
        kinds.truncate(enough.map_or(0, |last| last + 1));
        let mut typical = Typical::default();
        for (count, (cpu, gpu_milli, gpus, models)) in kinds {
            let known = typical.amounts.iter().position(|amount| *amount == gpu_milli);
            let amount = known.unwrap_or_else(|| {
                typical.amounts.push(gpu_milli);
                typical.amounts.len() - 1
            });
            typical.kinds.push(Kind { cpu, gpus, models, frequency: count as f64 / taken as f64, amount });
        }
        typical
    }
    /// How many kinds there are.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }
    pub fn is_empty(&self) -> bool {
        self.kinds.is_empty()
    }
    /// Thousandths of GPUs that are free on the node, and of no use. The seven sums are made in the order of the kinds and added at the
    /// end, as the study does it: scores are cut to whole numbers, so that the last bits decide ties.
    pub fn fragment(&self, node: &Machine) -> f64 {
        let free = node.free_gpu() as f64;
        // Of each amount: GPUs that have as much, and what is left on the others.
        let mut room = [(0usize, 0i64); MOST_AMOUNTS];
        let shared = self.amounts.len() <= MOST_AMOUNTS;
        if shared {
            for (amount, room) in self.amounts.iter().zip(&mut room) {
                *room = room_for(node, *amount);
            }
        }
        let mut useless = Useless::default();
        for kind in &self.kinds {
            let has_cpu = node.cpu >= kind.cpu;
            if kind.gpus == 0 {
                *(if has_cpu { &mut useless.no_gpu } else { &mut useless.no_gpu_no_cpu }) += kind.frequency * free;
                continue;
            }
            if !kind.models.accepts(node.model) {
                useless.model += kind.frequency * free;
                continue;
            }
            let (fitting, too_small) = if shared { room[kind.amount] } else { room_for(node, self.amounts[kind.amount]) };
            match (fitting >= kind.gpus, has_cpu) {
                (true, true) => useless.gpu += kind.frequency * too_small as f64,
                (true, false) => useless.cpu += kind.frequency * free,
                (false, true) => useless.gpu += kind.frequency * free,
                (false, false) => useless.both += kind.frequency * free,
            }
        }
        useless.both + useless.gpu + useless.cpu + useless.no_gpu + useless.no_gpu_no_cpu + useless.model
    }
}

/// Amounts for which the room is found once a node.
const MOST_AMOUNTS: usize = 64;

fn room_for(node: &Machine, amount: i64) -> (usize, i64) {
    node.free().iter().fold((0, 0), |(fitting, too_small), free| {
        if i64::from(*free) >= amount { (fitting + 1, too_small) } else { (fitting, too_small + i64::from(*free)) }
    })
}
