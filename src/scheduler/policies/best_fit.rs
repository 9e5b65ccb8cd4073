//! The node with the least left afterwards: free CPU and GPU as shares of the largest node, with equal weight.

use super::{BEST, Demand, Largest, Machine, Policy};

pub struct BestFit(pub Largest);

impl Policy for BestFit {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        (BEST as f64 * (1.0 - left(&self.0, pod, node))) as i64
    }
    fn normalize(&self, scores: &mut [i64]) {
        stretch(scores);
    }
}

/// What the node has left after the pod, as a share of the largest node.
pub fn left(largest: &Largest, pod: &Demand, node: &Machine) -> f64 {
    let (left, asked) = (largest.left(node), largest.asked(pod));
    let half = |at: usize| 0.5 * (left[at].0 - asked[at].0) as f64 / left[at].1;
    half(0) + half(1)
}

/// From the least to the largest score over 0 to [`BEST`]; 0 for all if they are equal. No score but the largest becomes [`BEST`].
pub fn stretch(scores: &mut [i64]) {
    let (Some(least), Some(most)) = (scores.iter().copied().min(), scores.iter().copied().max()) else { return };
    for score in scores {
        *score = if most == least { 0 } else { (*score - least) * BEST / (most - least) };
    }
}
