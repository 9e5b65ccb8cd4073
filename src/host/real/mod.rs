//! The host that waits: every actor of a plan is an operating-system process of its own, on the wall clock of this machine.
//!
//! [`supervisor`] starts one process an actor (`sim` again, with a hidden verb), plays the faults and gathers the facts; [`role`] is the
//! life of such a process: the same engine as a simulated run, with one actor in it, over [`live::LiveHost`]. What lies beneath is
//! [`transport`] (TCP on loopback, frames of [`wire::codec`](crate::wire::codec) behind a token, a connection's life told in the same
//! inputs as the simulator's), [`disk`] (a write-ahead log with real syncs) and, for containers, a [`runtime::Runtime`]: [`process`] makes
//! each container a process group that runs [`payload`], [`docker`] a container of Docker's.
//!
//! | simulated | here |
//! | --- | --- |
//! | process killed | SIGKILL; the kernel resets its connections |
//! | power loss of a machine | its links are cut, then SIGKILL to its processes and containers |
//! | machine or process frozen | SIGSTOP; for a machine its links are cut too, in the transport, as its kernel would not answer |
//! | partition | by the kernel ([`network`]), or in the transport: what is written waits, dials hang, what comes in waits |
//! | slow link | netem, or held back in the transport; there a lost message for as long as TCP would take to send it again |
//! | slow disk | each sync takes longer; one that stands still ends none, and the container runtime is not asked meanwhile |
//! | containers crash | the payload is told to exit with the code, or to exhaust its memory |
//!
//! Each process keeps a [`journal`]: whatever came from outside, with when and in which order, before the actor saw it, and a digest of
//! each effect after. [`replay`] feeds it back and requires the same effects.
//!
//! No process of ours survives the supervisor: each child exits when its standard input ends, and asks the kernel for SIGKILL when its
//! parent is gone, which ends what stands still, too; a payload's container has its standard input closed by its engine then. Docker's
//! container of another image hears nothing and runs until it is removed, by the next run or `sim validate --clean`. All listens on
//! addresses of 127.0.0.0/8, in a block of its own a run ([`addresses`]), or in namespaces that nothing leads to ([`network`]).
//!
//! Left out: `"initial": "running"`, unreliable links, full and corrupted disks, slow machines, clocks that drift and registry faults
//! (refused by [`supervisor::unsupported`]), network policies. The balancer before the API servers asks each server at the dial instead of
//! checking now and then, and skips one that is cut off. Expectations are judged by the simulator alone.
//! Invariant: an actor cannot tell the hosts apart but by its clock.

pub mod addresses;
pub mod arrival;
pub mod calibrate;
pub mod capacity;
pub mod cgroup;
pub mod clock;
pub mod control;
pub mod disk;
pub mod docker;
pub mod folder;
pub mod frame;
pub mod gather;
mod http;
pub mod interrupt;
pub mod journal;
pub mod live;
pub mod network;
pub mod payload;
pub mod process;
pub mod replay;
pub mod role;
pub mod runtime;
pub mod supervisor;
mod threads;
pub mod transport;
