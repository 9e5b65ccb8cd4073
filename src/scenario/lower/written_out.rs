//! The scenario with every fault that was drawn at random written out: at its time, for as long, on its machines. It plays the same run, with
//! this seed and any other, so that single faults can be taken away (`sim minimize`).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Lowering;
use crate::engine::plan::{Fault, FaultPlan, Targets};
use crate::manifest::Node;
use crate::scenario::file;
use crate::scenario::units::format_duration;

impl Lowering<'_> {
    /// `None`: nothing is drawn. `first`: for each written fault the number of its first.
    pub(super) fn written_out(&self, written: &[file::Fault], faults: &[FaultPlan], first: &[usize]) -> Option<Node> {
        let drawn = |fault: &file::Fault| fault.every.is_some() || fault.spread_over.is_some();
        if !written.iter().any(drawn) {
            return None;
        }
        let mut root = self.resolved.to_json();
        let Some(Value::Array(texts)) = root.get_mut("faults").map(Value::take) else { return None };
        let mut out = Vec::new();
        let mut places = BTreeMap::new();
        for (index, text) in texts.iter().enumerate() {
            places.insert(index as u64, out.len());
            if !drawn(&written[index]) {
                out.push(text.clone());
                continue;
            }
            let last = first.get(index + 1).copied().unwrap_or(faults.len());
            out.extend(faults[first[index]..last].iter().map(|fault| self.one(text, fault)));
        }
        root["faults"] = Value::Array(out);
        for expectation in root.get_mut("expectations").and_then(Value::as_array_mut).into_iter().flatten() {
            if let Some(within) = expectation.get_mut("within") {
                let number = within.get("fault").and_then(Value::as_u64).unwrap_or(0);
                within["fault"] = json!(places.get(&number));
            }
        }
        Some(Node::from_json(&root))
    }

    /// One occurrence, made of the text of what was written.
    fn one(&self, text: &Value, fault: &FaultPlan) -> Value {
        let mut one = text.clone();
        let fields = one.as_object_mut().expect("a fault is an object");
        for field in ["every", "spreadOver", "until", "for"] {
            fields.remove(field);
        }
        fields.insert("at".to_owned(), json!(format_duration(fault.at.since(self.start))));
        if let Some(ends) = fault.ends() {
            fields.insert("for".to_owned(), json!(format_duration(ends.since(fault.at))));
        }
        fields.insert("description".to_owned(), json!(fault.description.as_str()));
        match &fault.fault {
            Fault::Kill(targets) | Fault::Pause(targets) if !matches!(targets, Targets::KubeletsOn(_)) => {
                let names = match targets {
                    Targets::Addresses(addresses) => addresses.iter().map(|address| self.process_name(*address)).collect(),
                    Targets::EtcdLeader => vec!["etcd-leader".to_owned()],
                    Targets::ManagerLeader => vec!["controller-manager-leader".to_owned()],
                    Targets::SchedulerLeader => vec!["scheduler-leader".to_owned()],
                    Targets::KubeletsOn(_) => unreachable!("those have a field of their own"),
                };
                for field in ["kill", "pause"] {
                    if let Some(value) = fields.get_mut(field) {
                        *value = json!(names);
                    }
                }
            }
            // Links stay as they are, and so does what is found only when it begins.
            links if links.is_of_links() => {}
            other if fault.found.is_none() => {
                let Some(machines) = other.machines() else { return one };
                let names: Vec<&str> = machines.iter().map(|id| self.topology.machines[id.0 as usize].name.as_str()).collect();
                let places = json!({ "machines": names });
                for field in ["powerLoss", "freeze", "reboot", "diskStall", "diskFull", "kubeletDown", "runtimePause"] {
                    if let Some(value) = fields.get_mut(field) {
                        *value = places.clone();
                    }
                }
                for field in ["slowDisk", "diskCorrupt", "slowMachine", "clockDrift"] {
                    if let Some(value) = fields.get_mut(field) {
                        value["on"] = places.clone();
                    }
                }
            }
            _ => {}
        }
        one
    }
}
