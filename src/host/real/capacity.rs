//! Whether this machine can hold a run. One that it can't is refused before anything starts, with both figures.

use std::io;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::calibrate::first_number;
use super::role;
use super::runtime::Kind;
use crate::engine::plan::{Action, Plan};
use crate::objects::Object;

/// Memory of a component's process: three times what one of a small cluster was seen to take.
const COMPONENT_BYTES: u64 = 48 << 20;
/// Of a payload.
const PAYLOAD_BYTES: u64 = 8 << 20;
/// Of a pod of Docker's: the engine's helper processes of two containers, and the proxies of two ports.
const DOCKER_POD_BYTES: u64 = 64 << 20;
/// A Linux bridge has no more ports (`net/bridge/br_private.h`, BR_MAX_PORTS), and the run's pods are on one.
const BRIDGE_PORTS: u64 = 1000;
/// A roll-out has old and new pods at the same time.
const PODS_AT_ONCE: u64 = 2;

/// Files that a component holds open in the supervisor: two pipes, and its machine's network namespace.
const COMPONENT_FILES: u64 = 3;
/// A container of the `process` runtime: two pipes.
const POD_FILES: u64 = 2;
/// What the supervisor itself has open, and passes through while something starts.
const OTHER_FILES: u64 = 64;

/// As many open files as this user may have; so many those are.
pub fn raise_open_files() -> io::Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft < hard {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    }
    Ok(hard)
}

/// What a plan asks of the machine.
struct Needs {
    components: u64,
    pods: u64,
}

fn needs(plan: &Plan) -> Needs {
    let scaled = plan.steps.iter().map(|step| if let Action::Scale { replicas, .. } = &step.action { *replicas } else { 0 });
    let manifests: u64 = plan.manifests().map(Object::pods).fold(0, u64::saturating_add);
    Needs { components: role::places(plan).len() as u64, pods: scaled.fold(manifests, u64::saturating_add).saturating_mul(PODS_AT_ONCE) }
}

/// Why the machine can't hold a run of this plan, if so. `meminfo`: the text of `/proc/meminfo`; `open_files`: how many this user may have.
pub fn lacks(plan: &Plan, kind: &Kind, meminfo: &str, open_files: u64) -> Option<String> {
    let Needs { components, pods } = needs(plan);
    let a_pod = match kind {
        Kind::Process => PAYLOAD_BYTES,
        Kind::Docker(_) => PAYLOAD_BYTES + DOCKER_POD_BYTES,
    };
    let bytes = components * COMPONENT_BYTES + pods.saturating_mul(a_pod);
    let available = first_number(meminfo, "MemAvailable:") * 1024;
    if bytes > available {
        return Some(format!(
            "this machine is too small: {components} processes and up to {pods} pods take some {} MiB of memory, and {} MiB are free",
            bytes >> 20,
            available >> 20
        ));
    }
    let files = components.saturating_mul(COMPONENT_FILES).saturating_add(pods.saturating_mul(POD_FILES)).saturating_add(OTHER_FILES);
    if files > open_files {
        return Some(format!(
            "{components} processes and up to {pods} pods need some {files} open files, and this user may have {open_files} (ulimit -Hn)"
        ));
    }
    let on_bridge = matches!(kind, Kind::Docker(_)) && pods > BRIDGE_PORTS;
    on_bridge.then(|| format!("up to {pods} pods at once: a bridge has {BRIDGE_PORTS} ports"))
}
