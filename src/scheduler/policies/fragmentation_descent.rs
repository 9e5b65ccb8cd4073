//! Fragmentation gradient descent, the study's own: the node, and the GPU, whose fragmentation grows the least.

use super::{BEST, Demand, Devices, Machine, Policy, Typical, WHOLE_GPU};
use crate::base::{Stream, maths};

pub struct FragmentationDescent {
    typical: Typical,
}

impl FragmentationDescent {
    pub fn new(typical: Typical) -> FragmentationDescent {
        FragmentationDescent { typical }
    }
    /// The score of the node if the pod takes these GPUs.
    fn score_with(&self, before: f64, pod: &Demand, node: &Machine, devices: Devices) -> i64 {
        let less = before - self.typical.fragment(&node.with(pod, devices));
        (BEST as f64 * sigmoid(less / WHOLE_GPU as f64)) as i64
    }
    /// The best score for a pod that shares a GPU, and the first GPU that gives it.
    fn best(&self, pod: &Demand, node: &Machine) -> (i64, usize) {
        let before = self.typical.fragment(node);
        let mut best: Option<(i64, usize)> = None;
        for device in node.fitting(pod) {
            // GPUs with as much left are alike, and the first one counts.
            if node.free[..device].contains(&node.free[device]) {
                continue;
            }
            let score = self.score_with(before, pod, node, Devices(1 << device));
            if best.is_none_or(|(most, _)| score > most) {
                best = Some((score, device));
            }
        }
        best.expect("the pod fits")
    }
}

impl Policy for FragmentationDescent {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        if pod.shares() {
            return self.best(pod, node).0;
        }
        let before = self.typical.fragment(node);
        self.score_with(before, pod, node, node.devices(pod, || unreachable!("the pod shares no GPU")))
    }
    fn device(&self, pod: &Demand, node: &Machine, _chance: &mut Stream) -> usize {
        self.best(pod, node).1
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + maths::exp(-x))
}
