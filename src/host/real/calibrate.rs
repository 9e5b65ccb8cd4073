//! What this machine takes for what the simulator models: a latency profile, from samples of each verb alone.
//!
//! Measured: a container's start (a process until it says that it runs), a probe, an fdatasync after an append, a frame's way over loopback.
//! The `process` runtime answers every other verb without doing anything, so those take a frame's way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration as Span;

use serde::{Deserialize, Serialize};

use super::addresses::{Addresses, HEALTH_PORT};
use super::clock::monotonic;
use super::folder::Folder;
use super::payload::{Life, RUNNING};
use super::{http, threads};
use crate::base::Duration;
use crate::engine::plan::Plan;
use crate::models::distribution::Distribution;
use crate::wire::NodeId;

/// A host's latencies, sorted, in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    pub format: u32,
    /// Which runtime the samples are of.
    pub runtime: String,
    pub container_start: Vec<u64>,
    pub probe: Vec<u64>,
    pub fsync: Vec<u64>,
    /// One way of a small frame over loopback, between two threads.
    pub hop: Vec<u64>,
}

/// Samples of each: 40 put the median within its 37th and 63rd percentile (95 %).
const SAMPLES: usize = 40;
/// Frames are cheap, and their tail matters to every message.
const HOPS: usize = 2000;

impl Profile {
    /// Measures this machine, in a few seconds. `program`: the `sim` that is the payload.
    pub fn measure(program: &Path) -> io::Result<Profile> {
        let folder = Folder::claim()?;
        let (mut container_start, mut probe) = containers(program, folder.block())?;
        let (mut fsync, mut hop) = (fsyncs(folder.path())?, hops()?);
        for samples in [&mut container_start, &mut probe, &mut fsync, &mut hop] {
            samples.sort_unstable();
        }
        Ok(Profile { format: 1, runtime: "process".to_owned(), container_start, probe, fsync, hop })
    }

    /// A plan whose models are this host's: all machines are one, and an image is always there.
    pub fn apply(&self, plan: &mut Plan) {
        let of = |samples: &[u64]| Distribution::Empirical(samples.iter().copied().map(Duration::from_nanos).collect());
        let hop = of(&self.hop);
        let network = &mut plan.network;
        for class in [
            &mut network.same_machine,
            &mut network.same_rack,
            &mut network.same_zone,
            &mut network.between_zones,
            &mut network.between_regions,
        ] {
            *class = hop.clone();
        }
        network.loss = 0.0;
        for machine in &mut plan.machines {
            (machine.fsync, machine.stalls) = (of(&self.fsync), None);
        }
        plan.images.registry_latency = hop.clone();
        plan.images.sizes.clear();
        plan.images.default_size = 1;
        let runtime = &mut plan.runtime;
        for verb in [&mut runtime.sandbox, &mut runtime.create, &mut runtime.stop, &mut runtime.remove] {
            *verb = hop.clone();
        }
        (runtime.start, runtime.probe) = (of(&self.container_start), of(&self.probe));
    }
}

/// Starts of a payload, and probes of it.
fn containers(program: &Path, block: u8) -> io::Result<(Vec<u64>, Vec<u64>)> {
    let ip = Addresses::new(block, Vec::new()).pod(NodeId(0), 0);
    let life =
        Life { ip: ip.0, index: 0, ready_after: Duration::ZERO, exits_after: None, stops_after: Duration::ZERO, service_times: Vec::new() };
    let (mut starts, mut probes) = (Vec::new(), Vec::new());
    for _ in 0..SAMPLES {
        let began = monotonic();
        let mut child = Command::new(program).arg("payload").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut input = child.stdin.take().expect("it is piped");
        writeln!(input, "{}", serde_json::to_string(&life)?)?;
        let mut said = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut said)?;
        starts.push(monotonic() - began);
        // The first may come before it listens.
        while said == RUNNING && !http::healthy(ip, HEALTH_PORT, "/healthz", Span::from_secs(1)) && monotonic() - began < 5_000_000_000 {
            threads::pause(Span::from_millis(1));
        }
        let began = monotonic();
        let healthy = http::healthy(ip, HEALTH_PORT, "/healthz", Span::from_secs(1));
        probes.push(monotonic() - began);
        child.kill()?;
        child.wait()?;
        if !healthy {
            return Err(io::Error::other("a payload did not come up"));
        }
    }
    Ok((starts, probes))
}

fn fsyncs(folder: &Path) -> io::Result<Vec<u64>> {
    let mut file = File::create(folder.join("fsync"))?;
    let mut samples = Vec::new();
    for _ in 0..SAMPLES * 5 {
        let began = monotonic();
        // About a record of a small write.
        file.write_all(&[7; 1024])?;
        file.sync_data()?;
        samples.push(monotonic() - began);
    }
    Ok(samples)
}

fn hops() -> io::Result<Vec<u64>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut near = TcpStream::connect(listener.local_addr()?)?;
    let (mut far, _) = listener.accept()?;
    near.set_nodelay(true)?;
    far.set_nodelay(true)?;
    threads::spawn(move || {
        let mut bytes = [0; 256];
        while far.read_exact(&mut bytes).and_then(|()| far.write_all(&bytes)).is_ok() {}
    });
    let mut samples = Vec::new();
    let mut bytes = [7; 256];
    for _ in 0..HOPS {
        let began = monotonic();
        near.write_all(&bytes)?;
        near.read_exact(&mut bytes)?;
        samples.push((monotonic() - began) / 2);
    }
    Ok(samples)
}
