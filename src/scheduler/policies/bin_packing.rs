//! The fullest node first: upstream's MostAllocated with equal weights, over CPU, memory and - for pods that ask for them - GPUs.

use super::{BEST, Demand, Machine, Policy, WHOLE_GPU};

pub struct BinPacking;

impl Policy for BinPacking {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        let used = |left: i64, asked: i64, capacity: i64| match capacity {
            0 => 0,
            _ => (capacity - left + asked) * BEST / capacity,
        };
        let cpu = used(node.cpu, pod.cpu, node.capacity.0);
        let memory = used(node.memory, pod.memory, node.capacity.1);
        if pod.gpus == 0 {
            return (cpu + memory) / 2;
        }
        (cpu + memory + used(node.free_gpu(), pod.gpu(), node.free().len() as i64 * WHOLE_GPU)) / 3
    }
}
