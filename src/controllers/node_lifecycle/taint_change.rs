//! Adding taints to a node and taking others off: read, write with the revision that was read, and again on a conflict (k/k
//! `pkg/controller/controller_utils.go`, `AddOrUpdateTaintOnNode`, `RemoveTaintOffNode`; there a patch, here an update).

use std::sync::Arc;

use crate::base::Name;
use crate::client::Reply;
use crate::objects::{Key, Node, Object, Stored, Taint, TaintEffect};
use crate::wire::ApiError;
use crate::wire::api::{Part, Reason, Verb};

/// `UpdateTaintBackoff.Steps`
const ATTEMPTS: u32 = 5;

/// A change of taints on its way.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct TaintChange {
    node: Key,
    add: Vec<Taint>,
    remove: Vec<(Name, TaintEffect)>,
    attempt: u32,
    /// Read, and to be written.
    write: Option<Stored>,
}

/// What follows an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaintStep {
    /// [`TaintChange::request`] is to be sent.
    Send,
    /// The node is as it should be, or gone.
    Done,
    Failed,
}

impl TaintChange {
    pub fn new(node: &str, add: Vec<Taint>, remove: Vec<(Name, TaintEffect)>) -> TaintChange {
        TaintChange { node: Key::node(node), add, remove, attempt: 0, write: None }
    }
    /// The request to send now.
    pub fn request(&self) -> Verb {
        match &self.write {
            // A cached read will do the first time.
            None => Verb::Get { key: self.node.clone(), fresh: self.attempt > 0 },
            Some(stored) => Verb::Update { object: stored.object.clone(), part: Part::Main, revision: Some(stored.revision) },
        }
    }
    pub fn answered(&mut self, result: &Result<Reply, ApiError>) -> TaintStep {
        match (self.write.take(), result) {
            (Some(_), Ok(_)) => TaintStep::Done,
            (None, Ok(Reply::Object(read))) => match read.object.as_node().and_then(|node| self.apply(node)) {
                None => TaintStep::Done,
                Some(node) => {
                    self.write = Some(Stored { object: Arc::new(Object::Node(node)), ..read.clone() });
                    TaintStep::Send
                }
            },
            (_, Err(error)) if error.reason == Reason::NotFound => TaintStep::Done,
            (Some(_), Err(error)) if error.reason == Reason::Conflict && self.attempt + 1 < ATTEMPTS => {
                self.attempt += 1;
                TaintStep::Send
            }
            _ => TaintStep::Failed,
        }
    }
    /// The node with other taints; `None` if they are so already.
    fn apply(&self, node: &Node) -> Option<Node> {
        let mut taints = node.spec.taints.clone();
        taints.retain(|taint| !self.remove.iter().any(|(key, effect)| taint.key == *key && taint.effect == *effect));
        for taint in &self.add {
            if !taints.iter().any(|present| present.key == taint.key && present.effect == taint.effect) {
                taints.push(taint.clone());
            }
        }
        if taints == node.spec.taints {
            return None;
        }
        let mut changed = node.clone();
        changed.spec.taints = taints;
        Some(changed)
    }
}
