//! Probes: what the manifest says, over HTTP, TCP or exec, at the pod's address; the payload's at its health port.

use std::sync::Arc;
use std::time::Duration as Span;

use bollard::exec::{CreateExecOptions, StartExecOptions};
use futures_util::StreamExt;

use super::{DockerRuntime, Shared};
use crate::base::{Cause, Incarnation, Time};
use crate::host::real::addresses::HEALTH_PORT;
use crate::host::real::runtime::{Answer, Notice};
use crate::host::real::{http, threads};
use crate::objects::pod::Container as Spec;
use crate::wire::NodeId;
use crate::wire::container::{ContainerEvent, ContainerId, ProbeKind};

impl DockerRuntime {
    pub(super) fn probe(
        &self,
        node: NodeId,
        asked: Incarnation,
        cause: Cause,
        id: ContainerId,
        kind: ProbeKind,
        timeout: crate::base::Duration,
    ) {
        let (ip, made, container) = {
            let state = self.shared.lock();
            let sandbox = state.sandboxes.get(&id.pod);
            let container = sandbox.and_then(|sandbox| self.shared.specs.container(&sandbox.info.identity, id.index));
            let made = state.containers.get(&id).map(|one| (one.name.clone(), one.payload));
            (sandbox.map(|sandbox| sandbox.info.ip), made, container)
        };
        let (limit, port) = (Span::from_nanos(timeout.nanos()), HEALTH_PORT + id.index);
        let event = move |success| ContainerEvent::Probed { container: id, probe: kind, success, holds_until: Time::ZERO };
        let own = made.as_ref().is_none_or(|(_, payload)| *payload);
        if let (false, Some(command), Some((name, _))) = (own, container.as_ref().and_then(|one| command(one, kind)), made) {
            return self.task(|shared| async move {
                let success = tokio::time::timeout(limit, shared.exec(&name, command)).await.unwrap_or(false);
                shared.answer(node, asked, cause, event(success));
            });
        }
        let asks = match container.as_ref().filter(|_| !own).and_then(probed) {
            Some((_, asks)) => asks,
            None => Asks::Path("/healthz".to_owned()),
        };
        let notices = Arc::clone(&self.shared.notices);
        threads::spawn(move || {
            let success = ip.is_some_and(|ip| match &asks {
                Asks::Path(path) => http::healthy(ip, port, path, limit),
                Asks::Connection => http::accepts(ip, port, limit),
            });
            notices(Notice::Answer(Answer { node, asked: Some(asked), cause, event: event(success) }));
        });
    }
}

impl Shared {
    /// Runs an exec probe.
    async fn exec(&self, name: &str, command: Vec<String>) -> bool {
        let options = CreateExecOptions { cmd: Some(command), ..CreateExecOptions::default() };
        let Ok(made) = self.docker.create_exec(name, options).await else { return false };
        let attached = self.docker.start_exec(&made.id, None::<StartExecOptions>).await;
        if let Ok(bollard::exec::StartExecResults::Attached { mut output, .. }) = attached {
            // It has ended when its output has.
            while output.next().await.is_some() {}
        }
        let mut ended = None;
        while let Ok(state) = self.docker.inspect_exec(&made.id).await {
            if state.running != Some(true) {
                ended = state.exit_code;
                break;
            }
            tokio::time::sleep(Span::from_millis(5)).await;
        }
        ended == Some(0)
    }
}

/// What a probe asks for.
pub(super) enum Asks {
    Path(String),
    Connection,
}

/// The port that a container's probes ask, and for what; the readiness probe's where they differ.
pub(super) fn probed(container: &Spec) -> Option<(u16, Asks)> {
    let probes = [&container.readiness_probe, &container.liveness_probe, &container.startup_probe];
    probes.into_iter().flatten().find_map(|probe| {
        let (action, asks) = match (&probe.http_get, &probe.tcp_socket) {
            (Some(get), _) => (get, Asks::Path(get.get("path").and_then(|path| path.as_str()).unwrap_or("/").to_owned())),
            (None, Some(tcp)) => (tcp, Asks::Connection),
            (None, None) => return None,
        };
        let named = |name: &str| container.ports.iter().find(|port| *port.name == *name).map(|port| port.container_port);
        let port = action.get("port")?;
        let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).or_else(|| named(port.as_str()?))?;
        Some((port, asks))
    })
}

/// The command of a container's probe of this kind.
fn command(container: &Spec, kind: ProbeKind) -> Option<Vec<String>> {
    let probe = match kind {
        ProbeKind::Liveness => &container.liveness_probe,
        ProbeKind::Readiness => &container.readiness_probe,
        ProbeKind::Startup => &container.startup_probe,
    };
    let words = probe.as_ref()?.exec.as_ref()?.get("command")?.as_array()?;
    Some(words.iter().filter_map(|word| word.as_str().map(str::to_owned)).collect())
}
