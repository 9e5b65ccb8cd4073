//! What the running containers have used, by the engine's word (`GET /containers/{id}/stats`).

use std::time::Duration as Span;

use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::StatsOptionsBuilder;
use futures_util::StreamExt;
use futures_util::future::join_all;
use tokio::time::timeout;

use super::{DockerRuntime, Shared};
use crate::base::Duration;
use crate::host::real::runtime::ContainerStats;
use crate::wire::container::ContainerId;

/// How long an engine may take: a run is over by then (ours).
const PATIENCE: Span = Span::from_secs(5);

impl DockerRuntime {
    /// All are asked at once, and each answers at once: the engine would else wait a second for another sample to compare with. Nothing of
    /// an engine that takes too long.
    pub(super) fn ask_stats(&self) -> Vec<ContainerStats> {
        let running: Vec<(ContainerId, String)> = {
            let state = self.shared.lock();
            state.containers.iter().filter(|(_, one)| one.runs()).map(|(id, one)| (id.clone(), one.name.clone())).collect()
        };
        let asked = running.into_iter().map(|(id, name)| async move { Some(of(id, &self.shared.stats(&name).await?)) });
        let told = self.engine.wait(async { timeout(PATIENCE, join_all(asked)).await });
        told.unwrap_or_default().into_iter().flatten().collect()
    }
}

impl Shared {
    /// `None` of one that has ended meanwhile.
    async fn stats(&self, name: &str) -> Option<ContainerStatsResponse> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        std::pin::pin!(self.docker.stats(name, Some(options))).next().await?.ok()
    }
}

/// Memory without what the kernel would give back first, as `docker stats` and the kubelet's working set have it (cgroup version 1 names it
/// `total_inactive_file`, version 2 `inactive_file`).
fn of(container: ContainerId, stats: &ContainerStatsResponse) -> ContainerStats {
    let memory = stats.memory_stats.as_ref();
    let usage = memory.and_then(|memory| memory.usage).unwrap_or(0);
    let inactive = memory.and_then(|memory| memory.stats.as_ref()).and_then(|stats| {
        let of_all = stats.get("total_inactive_file");
        of_all.or_else(|| stats.get("inactive_file")).copied()
    });
    let nanos = stats.cpu_stats.as_ref().and_then(|cpu| cpu.cpu_usage.as_ref()?.total_usage).unwrap_or(0);
    ContainerStats { container, cpu: Duration::from_nanos(nanos), memory_bytes: usage.saturating_sub(inactive.unwrap_or(0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Name;

    #[test]
    fn memory_is_the_working_set_in_either_version_of_control_groups() {
        let container = ContainerId { pod: Name::new("web"), index: 0, attempt: 0 };
        let told = |name: &str| {
            let text = serde_json::json!({
                "cpu_stats": { "cpu_usage": { "total_usage": 31_000_000u64 } },
                "memory_stats": { "usage": 5_000_000u64, "stats": { name: 1_000_000u64, "inactive_file": 1_000_000u64 } },
            });
            of(container.clone(), &serde_json::from_value(text).expect("an answer of the engine"))
        };
        let expected = ContainerStats { container: container.clone(), cpu: Duration::from_millis(31), memory_bytes: 4_000_000 };
        assert_eq!([told("total_inactive_file"), told("inactive_anon")], [expected.clone(), expected]);
        let nothing = of(container.clone(), &ContainerStatsResponse::default());
        assert_eq!(nothing, ContainerStats { container, cpu: Duration::ZERO, memory_bytes: 0 });
    }
}
