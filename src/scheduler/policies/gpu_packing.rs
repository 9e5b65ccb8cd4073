//! GPUs in use first, then free GPUs of nodes in use, then unused nodes (Weng et al., "MLaaS in the wild", 2022, in the study's form).

use super::{Demand, Machine, Policy, WHOLE_GPU};

pub struct GpuPacking;

impl Policy for GpuPacking {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        if pod.gpus == 0 {
            return 0;
        }
        let whole = node.whole_free();
        if whole == node.free().len() {
            // Of unused nodes, the one with the fewest GPUs.
            return (33 - whole as i64).max(whole as i64);
        }
        let mut taken: Vec<i64> = node.fitting(pod).map(|device| i64::from(node.free[device])).collect();
        taken.sort_unstable();
        taken.truncate(pod.gpus);
        match taken.iter().filter(|free| **free == WHOLE_GPU).count() as i64 {
            0 => (100 - taken.iter().map(|free| free * 100 / WHOLE_GPU).sum::<i64>() / 10).max(50),
            unused => (50 - unused).max(33),
        }
    }
}
