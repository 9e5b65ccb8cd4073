//! Kubelet to container engine: CRI's verbs, and what comes back (kubernetes/cri-api `pkg/apis/runtime/v1/api.proto`).

use serde::{Deserialize, Serialize};

use crate::base::{Duration, Name, Time};
use crate::objects::Uid;
use crate::objects::pod::PodIp;

/// A container of a pod, over all its restarts: `index` counts init containers first, then app containers; `attempt` the restarts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ContainerId {
    pub pod: Uid,
    pub index: u16,
    pub attempt: u32,
}

/// What a kubelet asks of its engine. Every verb but `List` is answered by exactly one [`ContainerEvent`] of the same name, unless the
/// engine or the machine dies first, or the kubelet's life ends while the engine stands still; exits come unasked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerOp {
    /// Everything that runs here, sandboxes included: what a kubelet asks first.
    List,
    /// Makes `image` present.
    Pull {
        image: Name,
    },
    /// Sandbox and network: gives the pod its address. `behaviour` names how the pod's containers behave (models/workload).
    RunSandbox {
        pod: Uid,
        identity: PodIdentity,
    },
    /// `init`: an init container that is to run to completion; a model needs to know, a real engine does not.
    Create {
        container: ContainerId,
        image: Name,
        init: bool,
    },
    Start {
        container: ContainerId,
    },
    /// SIGTERM, then SIGKILL after `grace`. Answered when the container has exited.
    Stop {
        container: ContainerId,
        grace: Duration,
    },
    Remove {
        container: ContainerId,
    },
    StopSandbox {
        pod: Uid,
    },
    /// Runs a probe against a running container.
    Probe {
        container: ContainerId,
        probe: ProbeKind,
        timeout: Duration,
    },
}

/// Whose behaviour draws a pod uses: the n-th pod of its workload, so that two policies meet the same pods.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PodIdentity {
    pub namespace: Name,
    pub pod: Name,
    /// The workload that the scenario's behaviour is given for: the deployment's name, or the pod's own.
    pub workload: Name,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum ProbeKind {
    Liveness,
    Readiness,
    Startup,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerEvent {
    Listed {
        sandboxes: Vec<SandboxInfo>,
        containers: Vec<ContainerInfo>,
        images: Vec<(Name, u64)>,
    },
    /// `Ok`: the image's size in bytes.
    Pulled {
        image: Name,
        result: Result<u64, RuntimeError>,
    },
    SandboxRunning {
        pod: Uid,
        result: Result<PodIp, RuntimeError>,
    },
    Created {
        container: ContainerId,
        result: Result<(), RuntimeError>,
    },
    Started {
        container: ContainerId,
        result: Result<(), RuntimeError>,
    },
    /// The process ended, asked (`Stop`) or not. Comes once for each start.
    Exited {
        container: ContainerId,
        exit: Exit,
    },
    Removed {
        container: ContainerId,
    },
    SandboxStopped {
        pod: Uid,
    },
    /// `holds_until`: the result can't change before (a promise of the simulated host, `ZERO` from the real one).
    Probed {
        container: ContainerId,
        probe: ProbeKind,
        success: bool,
        holds_until: Time,
    },
    /// Nothing that is asked of the engine is answered any more, probes aside that the kubelet makes itself. A kubelet finds it out by polling;
    /// it is told instead, and works out what its polls would have found. Told again to a life that begins meanwhile, when it asks for its list.
    FellSilent,
    /// The engine does what waited and tells what it has not told.
    AnswersAgain,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Exit {
    pub code: i32,
    pub oom_killed: bool,
    pub at: Time,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum RuntimeError {
    /// The registry does not know the image.
    ImageNotFound,
    /// The registry did not answer, or the transfer broke off.
    RegistryUnavailable,
    /// The engine failed or did not answer in time.
    Engine,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxInfo {
    pub pod: Uid,
    pub identity: PodIdentity,
    pub ip: PodIp,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerInfo {
    pub container: ContainerId,
    pub started_at: Option<Time>,
    pub exit: Option<Exit>,
}
