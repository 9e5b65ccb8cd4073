//! The GPUs of a node and who has which: the state of a device plugin that shares cards, as the scheduler keeps it.
//!
//! A pod asks for thousandths of GPUs as an extended resource ([`GPU_RESOURCE`]): less than 1000 is a share of one card, else whole cards.
//! The API counts the sum alone; on which card a pod is follows from the order in which pods came to the node: a share goes to the card with
//! the least left that has room, whole cards are the first free ones. A scheduler that starts anew learns of the pods in the order of their
//! names, and may see other cards in use; which card it is decides nothing but what fits beside it.
//!
//! Invariant: what is taken is released with the same cards (`NodeInfo::remove_pod`).

use super::pods::Amounts;
use super::policies::{Demand, Devices, GPU_RESOURCE, MOST_GPUS, Machine, Models, WHOLE_GPU};
use crate::objects::Key;

/// See the module.
#[derive(Clone, Debug)]
pub struct Gpus {
    cards: Machine,
    taken: Vec<(Key, Demand, Devices)>,
}

impl Default for Gpus {
    fn default() -> Gpus {
        Gpus { cards: Machine::new(0, 0, 0, 0, 0), taken: Vec::new() }
    }
}

impl Gpus {
    /// The node has this allocatable now; pods that are there keep their places in the order of their coming.
    pub fn set_node(&mut self, allocatable: &Amounts) {
        let count = (allocatable.scalar(GPU_RESOURCE) / WHOLE_GPU).clamp(0, MOST_GPUS as i64) as usize;
        if count == self.cards.free().len() {
            return;
        }
        self.cards = Machine::new(0, 0, 0, count, 0);
        for (_, demand, devices) in &mut self.taken {
            *devices = take(&mut self.cards, demand);
        }
    }
    pub fn add(&mut self, pod: &Key, requests: &Amounts) {
        let demand = demand_of(requests);
        if demand.gpus > 0 {
            let devices = take(&mut self.cards, &demand);
            self.taken.push((pod.clone(), demand, devices));
        }
    }
    pub fn remove(&mut self, pod: &Key) {
        if let Some(at) = self.taken.iter().position(|(key, ..)| key == pod) {
            let (_, demand, devices) = self.taken.remove(at);
            self.cards.release(&only_gpus(&demand), devices);
        }
    }
    /// The node with so much left of the rest.
    pub fn with(&self, cpu: (i64, i64), memory: (i64, i64), pods: i64, model: u8) -> Machine {
        self.cards.with_rest(cpu, memory, pods, model)
    }
    pub fn fit(&self, demand: &Demand) -> bool {
        self.cards.gpus_fit(&Demand { models: Models::ANY, ..*demand })
    }
}

/// The cards that the pod has from now on; none where it does not fit (it was bound without being asked whether it does).
fn take(cards: &mut Machine, demand: &Demand) -> Devices {
    let demand = only_gpus(demand);
    let devices = if cards.gpus_fit(&demand) { cards.devices(&demand, || cards.tightest(&demand)) } else { Devices::default() };
    cards.place(&demand, devices);
    devices
}

fn only_gpus(demand: &Demand) -> Demand {
    Demand { cpu: 0, memory: 0, models: Models::ANY, ..*demand }
}

/// What a pod with these requests asks for; its models are a node affinity, and not here.
pub fn demand_of(requests: &Amounts) -> Demand {
    let milli = requests.scalar(GPU_RESOURCE);
    let gpus = if milli > 0 { (milli - 1) / WHOLE_GPU + 1 } else { 0 };
    let gpu_milli = if gpus > 1 { WHOLE_GPU } else { milli.max(0) };
    Demand { cpu: requests.cpu, memory: requests.memory, gpus: gpus.min(i64::from(u16::MAX)) as usize, gpu_milli, models: Models::ANY }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Name;

    fn asks(milli: i64) -> Amounts {
        Amounts { scalars: vec![(Name::new(GPU_RESOURCE), milli)], ..Amounts::default() }
    }
    fn free(gpus: &Gpus) -> Vec<i16> {
        gpus.cards.free().to_vec()
    }

    #[test]
    fn shares_fill_a_card_and_what_goes_frees_its_own() {
        let mut gpus = Gpus::default();
        gpus.set_node(&asks(3_000));
        let pod = |name: &str| Key::pod("default", name);
        for (name, milli) in [("a", 400), ("b", 500), ("c", 1000), ("d", 300)] {
            gpus.add(&pod(name), &asks(milli));
        }
        assert_eq!(free(&gpus), [100, 0, 700]);
        assert!(gpus.fit(&demand_of(&asks(700))) && !gpus.fit(&demand_of(&asks(800))), "800 are free, and on no one card");
        gpus.remove(&pod("a"));
        assert_eq!(free(&gpus), [500, 0, 700]);
        gpus.remove(&pod("c"));
        gpus.remove(&pod("nobody"));
        assert_eq!(free(&gpus), [500, 1000, 700]);
    }

    #[test]
    fn a_pod_that_was_bound_to_a_node_with_fewer_gpus_than_it_asks_for_takes_none() {
        let mut gpus = Gpus::default();
        gpus.set_node(&asks(16_000));
        for (name, milli) in [("a", 17_000), ("b", i64::MAX)] {
            let pod = Key::pod("default", name);
            assert!(!gpus.fit(&demand_of(&asks(milli))));
            gpus.add(&pod, &asks(milli));
            assert_eq!(free(&gpus), [1000; 16]);
            gpus.remove(&pod);
            assert_eq!(free(&gpus), [1000; 16]);
        }
    }

    #[test]
    fn pods_that_are_known_before_their_node_get_their_cards_when_it_comes() {
        let mut gpus = Gpus::default();
        gpus.add(&Key::pod("default", "a"), &asks(600));
        gpus.add(&Key::pod("default", "b"), &asks(2_000));
        gpus.set_node(&asks(4_000));
        assert_eq!(free(&gpus), [400, 0, 0, 1000]);
        gpus.remove(&Key::pod("default", "b"));
        assert_eq!(free(&gpus), [400, 1000, 1000, 1000]);
    }
}
