//! Several policies together: the sum of their scores as they are, each with its weight. What a policy's scores span counts as well: one
//! whose scores lie close together weighs less than one that uses the whole range. They are not brought into one range first.

use super::{Demand, Machine, Policy};
use crate::base::Stream;

pub struct Weighted(pub Vec<(Box<dyn Policy>, i64)>);

impl Policy for Weighted {
    fn score(&self, pod: &Demand, node: &Machine) -> i64 {
        self.0.iter().map(|(part, weight)| weight * part.score(pod, node)).sum()
    }
    fn draws(&self) -> bool {
        self.0.iter().any(|(part, _)| part.draws())
    }
    /// The heaviest one's; of several the first.
    fn device(&self, pod: &Demand, node: &Machine, chance: &mut Stream) -> usize {
        let heaviest = self.0.iter().map(|(_, weight)| *weight).max().expect("several policies");
        let (part, _) = self.0.iter().find(|(_, weight)| *weight == heaviest).expect("the largest is one of them");
        part.device(pod, node, chance)
    }
}
