//! What runs containers for real: the verbs of CRI, a node at a time.
//!
//! The supervisor owns the runtime, so that containers outlive a kubelet that dies, as they outlive one beneath containerd. A runtime is
//! one file beside [`super::process`] and a line in the supervisor that makes it: a container engine with a socket of its own (Docker's API,
//! CRI) would stand there.

use std::sync::Arc;

use super::clock::Clock;
use crate::base::{Cause, Incarnation, Name};
use crate::wire::NodeId;
use crate::wire::container::{ContainerEvent, ContainerId, ContainerOp};

/// What a runtime says, to the kubelet of which node, and which life of it asked (`None`: an exit, for whichever lives).
#[derive(Debug)]
pub struct Answer {
    pub node: NodeId,
    pub asked: Option<Incarnation>,
    pub cause: Cause,
    pub event: ContainerEvent,
}

/// Something that the runtime's own threads found out: it goes through the supervisor's loop, so that the runtime has one thread of state.
#[derive(Debug)]
pub enum Notice {
    /// A container's process has begun to run.
    Running(ContainerId),
    /// A container's process has ended and can be reaped.
    Ended(ContainerId),
    /// An answer that needs no more of the runtime's state.
    Answer(Answer),
    /// The grace of a stop is over.
    GraceOver(ContainerId),
}

/// Where a runtime's threads leave their notices.
pub type Notices = Arc<dyn Fn(Notice) + Send + Sync>;

pub trait Runtime {
    /// What the report calls it.
    fn name(&self) -> &'static str;
    /// When the run's time began is known.
    fn set_clock(&mut self, clock: Clock);
    /// Does what a kubelet asks for. Answers at once or by a notice.
    fn request(&mut self, node: NodeId, asked: Incarnation, cause: Cause, op: ContainerOp, answers: &mut Vec<Answer>);
    fn notice(&mut self, notice: Notice, answers: &mut Vec<Answer>);
    /// The node's power is lost: containers and sandboxes are gone without a word.
    fn lose(&mut self, node: NodeId);
    /// SIGSTOP to all containers of a node, or SIGCONT.
    fn freeze(&mut self, node: NodeId, frozen: bool);
    /// Running containers of a workload exit with this code: all, or so many (lowest pod names first).
    fn crash(&mut self, namespace: &Name, workload: &Name, count: Option<u64>, code: i32, cause: Cause);
    /// Ends everything.
    fn end(&mut self);
}
