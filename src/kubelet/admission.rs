//! Whether a pod may run here (k/k `pkg/kubelet/lifecycle/predicate.go`): resources, node selector and affinity, against what is already
//! admitted.
//!
//! Left out: eviction thresholds, critical pods that push others out, topology.

use std::collections::BTreeMap;

use super::NodeShape;
use crate::base::Name;
use crate::objects::{Labels, Pod, Quantity};

/// What admitted pods request: `cpu` in milli-CPU, the rest in units.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Admitted {
    requested: BTreeMap<Name, i64>,
    pods: i64,
}

/// Why a pod was rejected: `status.reason` and `status.message`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rejection {
    pub reason: String,
    pub message: String,
}

fn amount(resource: &str, quantity: &Quantity) -> i64 {
    if resource == "cpu" { quantity.milli_value() } else { quantity.value() }
}

impl Admitted {
    /// Admits the pod, or says why not. Resources that the node does not have at all are the scheduler's business.
    pub fn admit(&mut self, pod: &Pod, shape: &NodeShape, labels: &Labels) -> Result<(), Rejection> {
        let requests = pod.spec.requests();
        let room = |resource: &str| shape.allocatable.get(resource).map(|quantity| amount(resource, quantity));
        if let Some(most) = room("pods").filter(|most| self.pods + 1 > *most) {
            return Err(out_of("pods", 1, self.pods, most));
        }
        for (resource, quantity) in &requests {
            let wanted = amount(resource, quantity);
            let used = self.requested.get(resource).copied().unwrap_or(0);
            if let Some(most) = room(resource).filter(|most| wanted > 0 && used + wanted > *most) {
                return Err(out_of(resource, wanted, used, most));
            }
        }
        if !selects(pod, shape, labels) {
            let message = "Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector";
            return Err(Rejection { reason: "NodeAffinity".to_owned(), message: message.to_owned() });
        }
        self.pods += 1;
        for (resource, quantity) in requests {
            let wanted = amount(&resource, &quantity);
            *self.requested.entry(resource).or_default() += wanted;
        }
        Ok(())
    }
    /// A pod that was admitted has ended.
    pub fn release(&mut self, pod: &Pod) {
        self.pods -= 1;
        for (resource, quantity) in pod.spec.requests() {
            let wanted = amount(&resource, &quantity);
            *self.requested.entry(resource).or_default() -= wanted;
        }
        assert!(self.pods >= 0 && self.requested.values().all(|used| *used >= 0), "more was released than admitted: {self:?}");
    }
}

fn out_of(resource: &str, wanted: i64, used: i64, most: i64) -> Rejection {
    Rejection {
        reason: format!("OutOf{resource}"),
        message: format!("Node didn't have enough resource: {resource}, requested: {wanted}, used: {used}, capacity: {most}"),
    }
}

fn selects(pod: &Pod, shape: &NodeShape, labels: &Labels) -> bool {
    let required = pod.spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref()?.required.as_ref());
    pod.spec.node_selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        && required.is_none_or(|required| required.matches(&shape.name, labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects::{Container, PodSpec, Resources, Shared};

    fn pod(cpu: &str) -> Pod {
        let requests = BTreeMap::from([(Name::new("cpu"), Quantity::parse(cpu).unwrap())]);
        let container = Container { resources: Resources { requests, ..Resources::default() }, ..Container::default() };
        Pod { spec: Shared::new(PodSpec { containers: vec![container], ..PodSpec::default() }), ..Pod::default() }
    }

    #[test]
    fn a_pod_that_does_not_fit_what_is_admitted_is_out_of_cpu() {
        let allocatable = BTreeMap::from([(Name::new("cpu"), Quantity::from_units(1)), (Name::new("pods"), Quantity::from_units(3))]);
        let shape = NodeShape { allocatable, ..NodeShape::default() };
        let (mut admitted, labels) = (Admitted::default(), Labels::new());
        assert_eq!(admitted.admit(&pod("600m"), &shape, &labels), Ok(()));
        assert_eq!(admitted.admit(&pod("500m"), &shape, &labels).unwrap_err().reason, "OutOfcpu");
        assert_eq!(admitted.admit(&pod("400m"), &shape, &labels), Ok(()));
        admitted.release(&pod("600m"));
        assert_eq!(admitted.admit(&pod("500m"), &shape, &labels), Ok(()));
        assert_eq!(admitted.admit(&pod("0"), &shape, &labels), Ok(()));
        assert_eq!(admitted.admit(&pod("0"), &shape, &labels).unwrap_err().reason, "OutOfpods");
    }
}
