//! Alignment of the pod's request with what the node has left, each as a share of the largest node; the least aligned node is the best
//! (Grandl et al., "Multi-resource packing", 2014, in the study's form).

use super::{BEST, Demand, Largest, Machine, Policy};

pub struct DotProduct(pub Largest);

impl Policy for DotProduct {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        let (left, asked) = (self.0.left(node), self.0.asked(pod));
        let product = |at: usize| (left[at].0 as f64 / left[at].1) * (asked[at].0 as f64 / asked[at].1);
        (BEST as f64 * (1.0 - (product(0) + product(1)) / 2.0)) as i64
    }
}
