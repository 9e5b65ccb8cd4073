//! The opposite of best fit: the node with the most left afterwards.

use super::best_fit::{left, stretch};
use super::{BEST, Demand, Largest, Machine, Policy};

pub struct WorstFit(pub Largest);

impl Policy for WorstFit {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        (BEST as f64 * left(&self.0, pod, node)) as i64
    }
    fn normalize(&self, scores: &mut [i64]) {
        stretch(scores);
    }
}
