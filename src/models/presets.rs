//! Presets: published figures for one fleet and one year, or our own choice, marked (ours), argued from them; not truths.

use super::distribution::Distribution;
use crate::base::Duration;

const fn median_millis(millis: u64, sigma: f64) -> Distribution {
    Distribution::LogNormal { median: Duration::from_millis(millis), sigma }
}

/// fsync of an NVMe disk: median 0.2 ms (ours); spread as for the SSD.
pub fn nvme_fsync() -> Distribution {
    Distribution::LogNormal { median: Duration::from_micros(200), sigma: 0.45 }
}
/// fsync of an SSD: 99 % around 0.8 ms, 1 % around 10 ms (ours, from the fio run in an IBM article on etcd: p50 0.78, p99 2.38, p99.9 15.8
/// ms).
pub fn ssd_fsync() -> Distribution {
    let usual = Distribution::LogNormal { median: Duration::from_micros(800), sigma: 0.45 };
    Distribution::Mixture { weight: 0.99, first: Box::new(usual), second: Box::new(median_millis(10, 0.4)) }
}
/// fdatasync of a hard disk: median 10 ms (etcd.io docs, `op-guide/hardware.md`).
pub fn hdd_fsync() -> Distribution {
    median_millis(10, 0.5)
}
/// How long a disk stalls when it does: 1 to 5 s (ours).
pub fn disk_stall() -> Distribution {
    Distribution::Uniform { low: Duration::from_secs(1), high: Duration::from_secs(5) }
}
/// How often a disk stalls: once a day, as a Poisson stream (ours).
pub const DISK_STALL_INTERVAL: Duration = Duration::from_secs(86_400);

/// Sandbox: namespaces and the network plug-in (ours).
pub fn sandbox() -> Distribution {
    median_millis(250, 0.5)
}
/// Create and start have a median of 300 ms together, half of it each (ours; arXiv 2602.15214 measured 568 ms for all of
/// `docker run` on an SSD).
pub fn create() -> Distribution {
    median_millis(150, 0.4)
}
/// See [`create`].
pub fn start() -> Distribution {
    median_millis(150, 0.4)
}
/// What the engine itself needs to take a process or a sandbox down, beyond what the process takes (ours).
pub fn engine_stop() -> Distribution {
    median_millis(50, 0.4)
}
/// Removing an exited container's files (ours).
pub fn engine_remove() -> Distribution {
    median_millis(50, 0.4)
}
/// A probe that is answered: a request on the same machine, or an exec (ours).
pub fn probe() -> Distribution {
    median_millis(5, 0.4)
}
/// From SIGTERM until a program that heeds it has ended (ours).
pub fn container_stop() -> Distribution {
    median_millis(50, 0.3)
}
/// An answer of a small service (ours).
pub fn service_time() -> Distribution {
    median_millis(5, 0.5)
}
/// How long an init container runs (ours).
pub fn init_container_run() -> Distribution {
    median_millis(500, 0.3)
}
/// Operations that one container daemon works on at a time (ours): containerd has no limit of its own, but mounts, cgroups and the network
/// plug-in serialise in the kernel and in the plug-in's lock.
pub const DAEMON_PARALLELISM: usize = 8;

/// Bytes per second of a 10 Gbit/s network interface: a common card of a cloud's middle-sized machine, and what a registry sends (ours).
pub const NIC_10G: u64 = 1_250_000_000;
/// Round trips before a pull's first byte: token, manifest, config (OCI distribution spec) over a network of a few milliseconds (ours).
pub fn registry_latency() -> Distribution {
    median_millis(300, 0.3)
}
/// Unpacking: 100 to 200 MB/s uncompressed (ours).
pub const UNPACK_RATE: u64 = 150_000_000;
/// 100 MB: about 0.4 of the median uncompressed size of 245 MB among much-pulled images (enterno.io, 2026).
pub const IMAGE_SIZE: u64 = 100_000_000;
