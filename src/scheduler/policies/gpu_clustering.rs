//! Pods of one way of asking for GPUs (a share, one, two, ...) go to the same nodes (Xiao et al., "Gandiva", 2018, in the study's form).

use super::{Demand, Largest, Machine, Policy};

pub struct GpuClustering(pub Largest);

impl Policy for GpuClustering {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        if pod.gpus == 0 {
            return 0;
        }
        // The fuller node among equals.
        let largest = self.0.gpu.max(1);
        let used = 25 * (largest - node.free_gpu()) / largest;
        let own = node.classes[pod.class()] > 0;
        let others = node.classes.iter().enumerate().any(|(class, pods)| class != pod.class() && *pods > 0);
        used + match (own, others) {
            (true, false) => 75,
            (true, true) => 50,
            (false, false) => 25,
            (false, true) => 0,
        }
    }
}
