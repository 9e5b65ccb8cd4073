//! What this machine takes for what the simulator models: a [`Profile`].
//!
//! Containers are measured through the very runtime that a real run uses, in rounds: so many pods at once go through all verbs, each verb
//! beginning for all of them at the same moment, since the model is a daemon that works on everything at once. Beside it: an fdatasync
//! after an append, a frame's way over loopback, a component's start, how late a sleeping thread is woken, and the unpacking of the payload's
//! image.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration as Span;

use super::addresses::Addresses;
use super::clock::{Clock, monotonic, unix_seconds};
use super::control::{FromChild, Setup};
use super::docker::engine::{Engine, Labels};
use super::docker::image;
use super::folder::Folder;
use super::payload::PAYLOAD;
use super::runtime::{Kind, Notice, Runtime};
use super::{frame, interrupt, supervisor, threads};
use crate::base::{Cause, Duration, Incarnation, Name};
use crate::engine::plan::{Behaviour, Plan};
use crate::engine::profile::{FORMAT, Level, Levels, Profile, Provenance, Samples};
use crate::models::distribution::Distribution;
use crate::objects::Uid;
use crate::wire::container::{ContainerEvent, ContainerId, ContainerOp, PodIdentity, ProbeKind};
use crate::wire::{Address, MachineId, Member, NodeId};

/// How many at once, in how many rounds: some 20 samples of one alone put the median between its 7th and 14th (95 %); the more there are at
/// once the longer a round takes, and the more samples it gives.
const ROUNDS: [(u64, usize); 5] = [(1, 20), (2, 10), (4, 6), (8, 4), (16, 3)];
/// Rounds in which containers are killed.
const KILLS: [(u64, usize); 5] = [(1, 8), (2, 4), (4, 2), (8, 2), (16, 1)];
/// To see that it works, not for figures to trust.
const QUICK: [(u64, usize); 3] = [(1, 2), (2, 1), (4, 1)];
/// Samples of what is cheap: 40 put the median within its 37th and 63rd percentile (95 %).
const SAMPLES: usize = 40;
/// Frames are cheaper still, and their tail matters to every message.
const HOPS: usize = 2000;
const FSYNCS: usize = 200;
const WAKES: usize = 200;
const UNPACKS: usize = 3;
/// No verb takes longer on a machine that can be used.
const PATIENCE: Span = Span::from_secs(60);

/// The workload whose containers end when they are asked, and that whose containers don't.
const WILLING: &str = "web";
const STUBBORN: &str = "stubborn";

/// How far it is: steps done, of how many, at what.
pub type Progress<'a> = &'a mut dyn FnMut(usize, usize, &str);

/// Measures this machine. `program`: the `sim` that is the payload. `scenario`, `plan`: any with a workload `web` of payloads, as resolved.
/// `quick`: few samples, of few at once.
pub fn measure(program: &Path, kind: &Kind, scenario: &str, plan: &Plan, quick: bool, progress: Progress) -> io::Result<Profile> {
    let (rounds, kills): (&[_], &[_]) = if quick { (&QUICK, &QUICK) } else { (&ROUNDS, &KILLS) };
    let folder = Folder::claim()?;
    let load_before_milli = load_milli();
    let mut profile = Profile { format: FORMAT, runtime: kind.name().to_owned(), ..Profile::default() };
    let steps = rounds.iter().chain(kills).map(|(_, rounds)| rounds).sum::<usize>() + 5;
    let mut done = 0;
    let mut step = |what: &str| {
        progress(done, steps, what);
        done += 1;
        if interrupt::asked() { Err(io::Error::other(supervisor::INTERRUPTED)) } else { Ok(()) }
    };
    step("synchronised writes")?;
    profile.fsync = sorted(fsyncs(folder.path())?);
    step("loopback")?;
    profile.hop = sorted(hops()?);
    step("late wakes")?;
    profile.jitter = sorted(wakes());
    step("process starts")?;
    profile.process_start = sorted(starts(program, scenario, &folder)?);
    step("image")?;
    let mut engine_version = None;
    if let Kind::Docker(socket) = kind {
        let engine = Engine::connect(socket)?;
        profile.unpack = sorted(unpacks(&engine, program, &folder)?);
        engine_version = Some(engine.version);
    }
    let mut bench = Bench::new(program, kind, plan, &folder)?;
    for (rounds, workload) in [(rounds, WILLING), (kills, STUBBORN)] {
        for &(at_once, rounds) in rounds {
            for round in 1..=rounds {
                let what = if workload == STUBBORN { "kills" } else { "containers" };
                step(&format!("{what}, {at_once} at once, round {round} of {rounds}"))?;
                bench.round(at_once, workload, &mut profile)?;
            }
        }
    }
    bench.runtime.end();
    for levels in levels(&mut profile) {
        for level in levels {
            level.nanos.sort_unstable();
        }
    }
    let memory = first_number(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default(), "MemTotal:") * 1024;
    profile.provenance = Provenance {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        taken: unix_seconds(),
        kernel: std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64),
        memory_bytes: memory,
        engine: engine_version,
        load_before_milli,
        load_after_milli: load_milli(),
    };
    Ok(profile)
}

fn levels(profile: &mut Profile) -> [&mut Levels; 8] {
    let Profile { sandbox, create, start, stop, kill, remove, stop_sandbox, probe, .. } = profile;
    [sandbox, create, start, stop, kill, remove, stop_sandbox, probe]
}

fn add(levels: &mut Levels, at_once: u64, samples: Samples) {
    match levels.iter_mut().find(|level| level.at_once == at_once) {
        Some(level) => level.nanos.extend(samples),
        None => levels.push(Level { at_once, nanos: samples }),
    }
}

fn sorted(mut samples: Samples) -> Samples {
    samples.sort_unstable();
    samples
}

/// The number behind a word.
pub(super) fn first_number(text: &str, word: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// The load average of the last minute, in thousandths.
pub fn load_milli() -> u64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let digits: String = text.split_whitespace().next().unwrap_or("0").replace('.', "");
    digits.parse::<u64>().unwrap_or_default() * 10
}

/// A runtime, and what it says.
struct Bench {
    runtime: Box<dyn Runtime>,
    notices: Receiver<Notice>,
    pods: u64,
}

impl Bench {
    fn new(program: &Path, kind: &Kind, plan: &Plan, folder: &Folder) -> io::Result<Bench> {
        let mut plan = plan.clone();
        let behaviour = |stops_after: Duration| Behaviour { stops_after: Distribution::Constant(stops_after), ..Behaviour::default() };
        plan.behaviours.insert(WILLING.into(), behaviour(Duration::ZERO));
        plan.behaviours.insert(STUBBORN.into(), behaviour(Duration::from_secs(3600)));
        let (sender, notices) = channel();
        let noticing = Arc::new(move |notice| {
            // Nobody listens any more only when all is measured.
            let _ = sender.send(notice);
        });
        let clock = Clock { anchor: monotonic(), start: plan.start };
        let addresses = Addresses::new(folder.block(), vec![(Address::Kubelet(NodeId(0)), MachineId(0))]);
        let plan = Arc::new(plan);
        let runtime = supervisor::made(kind, program, &plan, clock, &addresses, folder, u128::from(monotonic()), noticing)?;
        Ok(Bench { runtime, notices, pods: 0 })
    }
    /// Asks for all at once; how long each took until its answer, which `is` knows.
    fn ask(&mut self, ops: Vec<ContainerOp>, is: impl Fn(&ContainerEvent) -> Option<bool>) -> io::Result<Samples> {
        let (began, asked) = (monotonic(), ops.len());
        let (mut samples, mut answers) = (Vec::new(), Vec::new());
        for op in ops {
            self.runtime.request(NodeId(0), Incarnation(1), Cause::NONE, op, &mut answers);
        }
        loop {
            for answer in answers.drain(..) {
                match is(&answer.event) {
                    Some(true) => samples.push(monotonic() - began),
                    Some(false) => return Err(io::Error::other(format!("the container runtime failed: {:?}", answer.event))),
                    None => {}
                }
            }
            if samples.len() >= asked {
                return Ok(samples);
            }
            let notice = self.notices.recv_timeout(PATIENCE).map_err(|_| io::Error::other("the container runtime does not answer"))?;
            self.runtime.notice(notice, &mut answers);
        }
    }
    /// So many pods go through all verbs.
    fn round(&mut self, at_once: u64, workload: &str, profile: &mut Profile) -> io::Result<()> {
        let first = self.pods;
        self.pods += at_once;
        let pods: Vec<Uid> = (first..first + at_once).map(|nth| Name::new(&format!("calibrate-{nth}"))).collect();
        let containers: Vec<ContainerId> = pods.iter().map(|pod| ContainerId { pod: pod.clone(), index: 0, attempt: 0 }).collect();
        let identity = |pod: &Uid| PodIdentity { namespace: "default".into(), pod: pod.clone(), workload: workload.into() };
        let each = |op: &dyn Fn(ContainerId) -> ContainerOp| containers.iter().cloned().map(op).collect::<Vec<_>>();

        let sandboxes = pods.iter().map(|pod| ContainerOp::RunSandbox { pod: pod.clone(), identity: identity(pod) }).collect();
        let ran = self.ask(sandboxes, |event| matches!(event, ContainerEvent::SandboxRunning { .. }).then(|| ok(event)))?;
        add(&mut profile.sandbox, at_once, ran);
        let image = Name::new(PAYLOAD);
        let create = each(&|container| ContainerOp::Create { container, image: image.clone(), init: false });
        let created = self.ask(create, |event| matches!(event, ContainerEvent::Created { .. }).then(|| ok(event)))?;
        add(&mut profile.create, at_once, created);
        let start = each(&|container| ContainerOp::Start { container });
        let started = self.ask(start, |event| matches!(event, ContainerEvent::Started { .. }).then(|| ok(event)))?;
        add(&mut profile.start, at_once, started);

        let willing = workload == WILLING;
        if willing {
            let probe = each(&|container| ContainerOp::Probe { container, probe: ProbeKind::Readiness, timeout: Duration::from_secs(10) });
            let mut left = 1000;
            while self.ask(probe.clone(), |event| matches!(event, ContainerEvent::Probed { .. }).then(|| ok(event))).is_err() {
                // It begins to listen a little after its start.
                left -= 1;
                if left == 0 {
                    return Err(io::Error::other("a payload did not come up"));
                }
                threads::pause(Span::from_millis(5));
                self.forget();
            }
            let probed = self.ask(probe, |event| matches!(event, ContainerEvent::Probed { .. }).then(|| ok(event)))?;
            add(&mut profile.probe, at_once, probed);
        }
        let grace = if willing { Duration::from_secs(30) } else { Duration::ZERO };
        let stop = each(&|container| ContainerOp::Stop { container, grace });
        let stopped = self.ask(stop, |event| matches!(event, ContainerEvent::Exited { .. }).then_some(true))?;
        add(if willing { &mut profile.stop } else { &mut profile.kill }, at_once, stopped);
        let remove = each(&|container| ContainerOp::Remove { container });
        let removed = self.ask(remove, |event| matches!(event, ContainerEvent::Removed { .. }).then_some(true))?;
        add(&mut profile.remove, at_once, removed);
        let end = pods.iter().map(|pod| ContainerOp::StopSandbox { pod: pod.clone() }).collect();
        let ended = self.ask(end, |event| matches!(event, ContainerEvent::SandboxStopped { .. }).then_some(true))?;
        add(&mut profile.stop_sandbox, at_once, ended);
        Ok(())
    }
    /// Answers of probes that were given up.
    fn forget(&mut self) {
        while self.notices.recv_timeout(Span::from_millis(50)).is_ok() {}
    }
}

fn ok(event: &ContainerEvent) -> bool {
    match event {
        ContainerEvent::SandboxRunning { result, .. } => result.is_ok(),
        ContainerEvent::Created { result, .. } | ContainerEvent::Started { result, .. } => result.is_ok(),
        ContainerEvent::Probed { success, .. } => *success,
        _ => true,
    }
}

/// Starts of a component's process, until it waits for the word to go.
fn starts(program: &Path, scenario: &str, folder: &Folder) -> io::Result<Samples> {
    let setup = Setup {
        scenario: scenario.to_owned(),
        actor: Address::Etcd(Member(1)),
        incarnation: Incarnation(1),
        machine_boot: Incarnation(1),
        block: folder.block(),
        token: u128::from(monotonic()),
        folder: folder.path().to_string_lossy().into_owned(),
        supervisor: std::process::id(),
        namespace: None,
    };
    let mut samples = Vec::new();
    for _ in 0..SAMPLES {
        let began = monotonic();
        let mut child = Command::new(program).arg("role").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut input = child.stdin.take().expect("it is piped");
        let said = frame::write(&mut input, &setup)
            .and_then(|()| input.flush())
            .and_then(|()| frame::next::<FromChild>(&mut child.stdout.take().expect("it is piped")));
        samples.push(monotonic() - began);
        child.kill()?;
        child.wait()?;
        if !matches!(said?, Some(FromChild::Ready)) {
            return Err(io::Error::other("a component's process did not come up"));
        }
    }
    Ok(samples)
}

fn unpacks(engine: &Engine, program: &Path, folder: &Folder) -> io::Result<Samples> {
    let labels = Labels::new(folder, u128::from(monotonic()));
    let rootfs = image::rootfs(program, &std::fs::read_to_string("/proc/self/maps")?)?;
    let mut samples = Vec::new();
    for nth in 0..UNPACKS {
        let began = monotonic();
        engine.load("clustersim-unpack", &format!("{}-{nth}", labels.run), rootfs.clone(), &labels)?;
        samples.push(monotonic() - began);
        let found = engine.ours(Some(&labels.run))?;
        engine.remove(&found, |_| true)?;
    }
    Ok(samples)
}

fn fsyncs(folder: &Path) -> io::Result<Samples> {
    let mut file = File::create(folder.join("fsync"))?;
    let mut samples = Vec::new();
    for _ in 0..FSYNCS {
        let began = monotonic();
        // About a record of a small write.
        file.write_all(&[7; 1024])?;
        file.sync_data()?;
        samples.push(monotonic() - began);
    }
    Ok(samples)
}

/// How late a thread is woken that waits as an actor's does.
fn wakes() -> Samples {
    let (sender, silent) = channel::<()>();
    let span = Span::from_millis(5);
    let late = (0..WAKES).map(|_| {
        let began = monotonic();
        let _ = silent.recv_timeout(span);
        (monotonic() - began).saturating_sub(span.as_nanos() as u64)
    });
    let samples = late.collect();
    drop(sender);
    samples
}

fn hops() -> io::Result<Samples> {
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
