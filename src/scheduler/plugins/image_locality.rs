//! Score: nodes that have the pod's images already (upstream `plugins/imagelocality`).

use super::{Cycle, MAX_SCORE, Plugin, PluginId, Score};
use crate::base::Name;
use crate::scheduler::nodes::{NodeInfo, NodeTable, Slot};

pub struct ImageLocality;

const MB: i64 = 1024 * 1024;
/// Below this sum of image sizes nothing is won.
const LEAST: i64 = 23 * MB;
/// Above this, for each container, nothing more is.
const MOST_A_CONTAINER: i64 = 1000 * MB;

/// The pod's images that some node has, with what having them is worth.
struct State<'a> {
    images: Vec<(&'a Name, i64)>,
    /// What images that every node has are worth.
    everywhere: i64,
    most: i64,
}

impl Plugin for ImageLocality {
    fn id(&self) -> PluginId {
        PluginId::ImageLocality
    }
    fn is_of_node(&self) -> bool {
        true
    }
    fn pre_score<'a>(&self, cycle: Cycle<'a>, _feasible: &[Slot]) -> Option<Box<dyn Score + 'a>> {
        let (nodes, images) = (cycle.snapshot.nodes(), &cycle.pod.shape.images);
        let worth = |name: &'a Name| {
            let image = nodes.image(name)?;
            // An image that few nodes have counts for less, lest all pods run there ("node heating").
            let worth = (image.size as f64 * (f64::from(image.nodes) / nodes.len() as f64)) as i64;
            Some((name, worth, image.nodes as usize == nodes.len()))
        };
        let known: Vec<_> = images.iter().filter_map(worth).collect();
        let everywhere = known.iter().filter(|(.., everywhere)| *everywhere).map(|(_, worth, _)| worth).sum();
        let images_here = known.into_iter().filter(|(.., everywhere)| !everywhere).map(|(name, worth, _)| (name, worth)).collect();
        Some(Box::new(State { images: images_here, everywhere, most: MOST_A_CONTAINER * images.len() as i64 }))
    }
}

impl Score for State<'_> {
    fn score(&self, node: &NodeInfo) -> i64 {
        let sum: i64 =
            self.everywhere + self.images.iter().filter(|(name, _)| node.images.contains(name)).map(|(_, worth)| worth).sum::<i64>();
        if self.most <= LEAST { 0 } else { MAX_SCORE * (sum.clamp(LEAST, self.most) - LEAST) / (self.most - LEAST) }
    }
    fn score_all(&self, nodes: &[Slot], table: &NodeTable, scores: &mut [i64]) {
        if self.images.is_empty() {
            // Then no node differs from another.
            scores.fill(nodes.first().map_or(0, |slot| self.score(table.info(*slot))));
            return;
        }
        for (slot, score) in nodes.iter().zip(scores) {
            *score = self.score(table.info(*slot));
        }
    }
}
