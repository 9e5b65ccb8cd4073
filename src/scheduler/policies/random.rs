//! Chance alone: what everything else is to be better than.

use super::{Demand, Machine, Policy};
use crate::base::Stream;

pub struct Random;

impl Policy for Random {
    fn score(&self, _pod: &Demand, _node: &Machine) -> i64 {
        0
    }
    fn draws(&self) -> bool {
        true
    }
    fn device(&self, pod: &Demand, node: &Machine, chance: &mut Stream) -> usize {
        let fitting = node.fitting(pod).count();
        node.fitting(pod).nth(chance.index(fitting)).expect("an index among those that fit")
    }
}
