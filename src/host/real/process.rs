//! The `process` runtime: no daemon, no root. A container is a process group that runs the [payload](super::payload); a sandbox is an
//! address of 127.0.0.0/8. An image is always there. Limits of CPU and memory are those of the manifest where this user may make control
//! groups ([`cgroup`]). Left out: namespaces, files of the image.
//!
//! A process that ends is noticed by a thread that waits for it without reaping; the supervisor's own thread reaps, so that no signal ever
//! goes to a number that the kernel has given to somebody else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration as Span;

use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use super::addresses::{Addresses, HEALTH_PORT};
use super::calibrate::first_number;
use super::cgroup::{self, Group, Groups, Limits};
use super::clock::Clock;
use super::payload::{EXHAUST, RUNNING};
use super::runtime::{self, Answer, ContainerStats, Notice, Notices, Runtime, Specs};
use super::{http, threads};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Name, Stream, Time};
use crate::engine::plan::Plan;
use crate::models::container_engine::KILLED;
use crate::models::workload::Workloads;
use crate::objects::Uid;
use crate::objects::pod::PodIp;
use crate::wire::NodeId;
use crate::wire::container::{ContainerEvent, ContainerId, ContainerInfo, ContainerOp, Exit, PodIdentity, RuntimeError, SandboxInfo};

struct Container {
    node: NodeId,
    init: bool,
    cause: Cause,
    /// Who waits to hear that it runs.
    starting: Option<Incarnation>,
    process: Option<Process>,
    exit: Option<Exit>,
}

struct Process {
    child: Child,
    orders: Option<ChildStdin>,
    started_at: Time,
    /// Its limits, if it has any.
    group: Option<Group>,
}

impl Process {
    fn group(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }
    fn signal(&self, signal: Signal) {
        // It has not been reaped, so the number is its own; a group that is gone is no matter.
        let _ = killpg(self.group(), signal);
    }
}

/// See the module.
pub struct ProcessRuntime {
    program: PathBuf,
    plan: Arc<Plan>,
    clock: Clock,
    addresses: Addresses,
    workloads: Workloads,
    served: Stream,
    notices: Notices,
    sandboxes: BTreeMap<Uid, (NodeId, SandboxInfo)>,
    containers: BTreeMap<ContainerId, Container>,
    /// How many addresses each node has given out.
    given: BTreeMap<NodeId, u32>,
    /// How many processes there have been.
    started: u64,
    specs: Specs,
    groups: Option<Groups>,
    /// Whether somebody was told that limits can't be set.
    warned: bool,
}

impl ProcessRuntime {
    /// `program`: the `sim` that is to be the payload.
    pub fn new(program: PathBuf, plan: Arc<Plan>, clock: Clock, addresses: Addresses, notices: Notices) -> ProcessRuntime {
        let seed = Seed(plan.seed);
        ProcessRuntime {
            program,
            workloads: Workloads::new(seed, plan.behaviours.clone()),
            served: seed.stream("requests served"),
            specs: Specs::of(&plan),
            groups: Groups::make(cgroup::root(), addresses.block()),
            plan,
            clock,
            addresses,
            notices,
            sandboxes: BTreeMap::new(),
            containers: BTreeMap::new(),
            given: BTreeMap::new(),
            started: 0,
            warned: false,
        }
    }
    fn list(&self, node: NodeId) -> ContainerEvent {
        let info = |(id, container): (&ContainerId, &Container)| ContainerInfo {
            container: id.clone(),
            started_at: container.process.as_ref().map(|process| process.started_at),
            exit: container.exit,
        };
        let images = self.plan.images.preloaded.iter().map(|image| (image.clone(), self.plan.images.size(image)));
        ContainerEvent::Listed {
            sandboxes: self.sandboxes.values().filter(|(on, _)| *on == node).map(|(_, sandbox)| sandbox.clone()).collect(),
            containers: self.containers.iter().filter(|(_, container)| container.node == node).map(info).collect(),
            images: images.collect(),
        }
    }
    fn run_sandbox(&mut self, node: NodeId, pod: &Uid, identity: PodIdentity) -> Result<PodIp, RuntimeError> {
        if let Some((_, present)) = self.sandboxes.get(pod) {
            return Ok(present.ip);
        }
        let used = |ip: PodIp| self.sandboxes.values().any(|(_, sandbox)| sandbox.ip == ip);
        let ip = self.addresses.free(node, self.given.entry(node).or_default(), used).ok_or(RuntimeError::Engine)?;
        self.sandboxes.insert(pod.clone(), (node, SandboxInfo { pod: pod.clone(), identity, ip }));
        Ok(ip)
    }
    fn create(&mut self, node: NodeId, cause: Cause, id: ContainerId, init: bool) -> Result<(), RuntimeError> {
        if !self.sandboxes.contains_key(&id.pod) {
            return Err(RuntimeError::Engine);
        }
        // As the kubelet's garbage collection would: one exited attempt is enough.
        let older = ContainerId { attempt: 0, ..id.clone() }..id.clone();
        let dead: Vec<_> = self.containers.range(older).filter(|(_, one)| one.exit.is_some()).map(|(id, _)| id.clone()).collect();
        for id in dead {
            self.containers.remove(&id);
        }
        self.containers.insert(id, Container { node, init, cause, starting: None, process: None, exit: None });
        Ok(())
    }
    fn start(&mut self, asked: Incarnation, cause: Cause, id: &ContainerId) -> Result<(), RuntimeError> {
        let (_, sandbox) = self.sandboxes.get(&id.pod).ok_or(RuntimeError::Engine)?;
        let container = self.containers.get_mut(id).filter(|container| container.process.is_none()).ok_or(RuntimeError::Engine)?;
        let life = runtime::life(&mut self.workloads, &mut self.served, &sandbox.identity, sandbox.ip, id, container.init);
        self.started += 1;
        let limits = self.specs.limits(&sandbox.identity, id.index);
        let limited = self.groups.as_ref().filter(|_| limits != Limits::default());
        let group = limited.and_then(|groups| {
            let made = groups.group(&self.started.to_string(), limits);
            if let Err(error) = &made
                && !std::mem::replace(&mut self.warned, true)
            {
                eprintln!("warning: a container runs without its limits: {error}");
            }
            made.ok()
        });
        let mut child = Command::new(&self.program)
            .arg("payload")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|_| RuntimeError::Engine)?;
        if let Some(group) = &group {
            // Before it knows what to do.
            if group.add(child.id().cast_signed()).is_err() {
                // It may have ended by itself.
                let _ = child.kill();
                let _ = child.wait();
                return Err(RuntimeError::Engine);
            }
        }
        let mut orders = child.stdin.take().expect("it is piped");
        let mut line = serde_json::to_vec(&life).expect("a life can be written");
        line.push(b'\n');
        // A payload that is gone already is noticed by its end.
        let _ = orders.write_all(&line);
        let said = child.stdout.take().expect("it is piped");
        let pid = Pid::from_raw(child.id().cast_signed());
        (container.starting, container.cause) = (Some(asked), cause);
        container.process = Some(Process { child, orders: Some(orders), started_at: self.clock.now(), group });
        let (notices, id) = (self.notices.clone(), id.clone());
        threads::spawn(move || {
            let mut line = String::new();
            if BufReader::new(said).read_line(&mut line).is_ok() && line == RUNNING {
                notices(Notice::Running(id.clone()));
            }
            // An error: it was killed and reaped by the supervisor's own thread meanwhile.
            let _ = waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT);
            notices(Notice::Ended(id));
        });
        Ok(())
    }
    fn stop(&mut self, cause: Cause, id: &ContainerId, grace: crate::base::Duration) -> Option<ContainerEvent> {
        let now = self.clock.now();
        let container = self.containers.get_mut(id);
        let Some(container) = container.filter(|container| container.process.is_some() && container.exit.is_none()) else {
            let known = self.containers.get(id).and_then(|container| container.exit);
            let exit = known.unwrap_or(Exit { code: KILLED, oom_killed: false, at: now });
            return Some(ContainerEvent::Exited { container: id.clone(), exit });
        };
        container.cause = cause;
        if let Some(process) = &container.process {
            process.signal(Signal::SIGTERM);
        }
        let (notices, id) = (self.notices.clone(), id.clone());
        threads::spawn(move || {
            threads::pause(Span::from_nanos(grace.nanos()));
            notices(Notice::GraceOver(id));
        });
        None
    }
    /// Reaps what has ended.
    fn reap(&mut self, id: &ContainerId) -> Option<Answer> {
        let now = self.clock.now();
        let container = self.containers.get_mut(id)?;
        let process = container.process.as_mut().filter(|_| container.exit.is_none())?;
        process.orders = None;
        let status = process.child.wait().ok()?;
        let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default());
        let oom_killed = code == KILLED && process.group.take().is_some_and(|group| group.out_of_memory());
        let exit = Exit { code, oom_killed, at: now };
        container.exit = Some(exit);
        let event = ContainerEvent::Exited { container: id.clone(), exit };
        Some(Answer { node: container.node, asked: None, cause: container.cause, event })
    }
    fn signal(&self, id: &ContainerId, signal: Signal) {
        let running = self.containers.get(id).filter(|container| container.exit.is_none());
        if let Some(process) = running.and_then(|container| container.process.as_ref()) {
            process.signal(signal);
        }
    }
    /// Ends containers at once and reaps them, without a word to anybody.
    fn kill(&mut self, which: impl Fn(&ContainerId, &Container) -> bool) {
        let gone: Vec<_> = self.containers.iter().filter(|(id, container)| which(id, container)).map(|(id, _)| id.clone()).collect();
        for id in gone {
            self.signal(&id, Signal::SIGKILL);
            self.reap(&id);
            self.containers.remove(&id);
        }
    }
}

impl Runtime for ProcessRuntime {
    fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }
    fn request(&mut self, node: NodeId, asked: Incarnation, cause: Cause, op: ContainerOp, answers: &mut Vec<Answer>) {
        let answer = |event| Answer { node, asked: Some(asked), cause, event };
        match op {
            ContainerOp::List => answers.push(answer(self.list(node))),
            ContainerOp::Pull { image } => {
                let result = Ok(self.plan.images.size(&image));
                answers.push(answer(ContainerEvent::Pulled { image, result }));
            }
            ContainerOp::RunSandbox { pod, identity } => {
                let result = self.run_sandbox(node, &pod, identity);
                answers.push(answer(ContainerEvent::SandboxRunning { pod, result }));
            }
            ContainerOp::Create { container, init, .. } => {
                let result = self.create(node, cause, container.clone(), init);
                answers.push(answer(ContainerEvent::Created { container, result }));
            }
            ContainerOp::Start { container } => {
                if let Err(error) = self.start(asked, cause, &container) {
                    answers.push(answer(ContainerEvent::Started { container, result: Err(error) }));
                }
            }
            ContainerOp::Stop { container, grace } => answers.extend(self.stop(cause, &container, grace).map(answer)),
            ContainerOp::Remove { container } => {
                if self.containers.get(&container).is_none_or(|present| present.process.is_none() || present.exit.is_some()) {
                    self.containers.remove(&container);
                }
                answers.push(answer(ContainerEvent::Removed { container }));
            }
            ContainerOp::StopSandbox { pod } => {
                let running = self.containers.iter().filter(|(id, one)| id.pod == pod && one.process.is_some() && one.exit.is_none());
                let running: Vec<_> = running.map(|(id, _)| id.clone()).collect();
                for id in running {
                    self.signal(&id, Signal::SIGKILL);
                    answers.extend(self.reap(&id));
                }
                self.sandboxes.remove(&pod);
                answers.push(answer(ContainerEvent::SandboxStopped { pod }));
            }
            ContainerOp::Probe { container, probe, timeout } => {
                let ip = self.sandboxes.get(&container.pod).map(|(_, sandbox)| sandbox.ip);
                let notices = self.notices.clone();
                threads::spawn(move || {
                    let port = HEALTH_PORT + container.index;
                    let success = ip.is_some_and(|ip| http::healthy(ip, port, "/healthz", Span::from_nanos(timeout.nanos())));
                    // No promise: a real program may change its mind at any time.
                    let event = ContainerEvent::Probed { container, probe, success, holds_until: Time::ZERO };
                    notices(Notice::Answer(Answer { node, asked: Some(asked), cause, event }));
                });
            }
        }
    }

    fn notice(&mut self, notice: Notice, answers: &mut Vec<Answer>) {
        match notice {
            Notice::Answer(answer) => answers.push(answer),
            Notice::Running(id) => {
                let Some(container) = self.containers.get_mut(&id) else { return };
                let Some(asked) = container.starting.take() else { return };
                let event = ContainerEvent::Started { container: id, result: Ok(()) };
                answers.push(Answer { node: container.node, asked: Some(asked), cause: container.cause, event });
            }
            Notice::Ended(id) => {
                if let Some(container) = self.containers.get_mut(&id)
                    && let Some(asked) = container.starting.take()
                {
                    let event = ContainerEvent::Started { container: id.clone(), result: Err(RuntimeError::Engine) };
                    answers.push(Answer { node: container.node, asked: Some(asked), cause: container.cause, event });
                }
                answers.extend(self.reap(&id));
            }
            Notice::GraceOver(id) => self.signal(&id, Signal::SIGKILL),
        }
    }

    fn lose(&mut self, node: NodeId) {
        self.kill(|_, container| container.node == node);
        self.sandboxes.retain(|_, (on, _)| *on != node);
    }
    fn freeze(&mut self, node: NodeId, frozen: bool) {
        let signal = if frozen { Signal::SIGSTOP } else { Signal::SIGCONT };
        for id in self.containers.iter().filter(|(_, container)| container.node == node).map(|(id, _)| id) {
            self.signal(id, signal);
        }
    }
    fn crash(&mut self, namespace: &Name, workload: &Name, count: Option<u64>, order: &str, cause: Cause) {
        let runs = |container: &Container| container.process.is_some() && container.exit.is_none() && !container.init;
        let running = self.containers.iter().filter(|(_, one)| runs(one)).map(|(id, _)| id);
        let victims = runtime::victims(running, |pod| Some(&self.sandboxes.get(pod)?.1.identity), namespace, workload, count);
        for id in victims {
            let Some(container) = self.containers.get_mut(&id) else { continue };
            container.cause = cause;
            let Some(process) = &mut container.process else { continue };
            // Nothing would stop one without a limit: the kernel's verdict is given by hand.
            if order == EXHAUST && process.group.is_none() {
                process.signal(Signal::SIGKILL);
            } else if let Some(orders) = &mut process.orders {
                let _ = writeln!(orders, "{order}");
            }
        }
    }
    fn stats(&mut self) -> Vec<ContainerStats> {
        let used = |(id, container): (&ContainerId, &Container)| {
            let process = container.process.as_ref().filter(|_| container.exit.is_none())?;
            used(id, Path::new("/proc").join(process.child.id().to_string()).as_path())
        };
        self.containers.iter().filter_map(used).collect()
    }
    fn end(&mut self) {
        self.kill(|_, _| true);
        self.sandboxes.clear();
    }
}

/// The kernel's clock ticks of a second, as `/proc` has them on every architecture (USER_HZ, `proc(5)`).
const TICKS: u64 = 100;

/// What a process has used, by its folder of `/proc`: CPU in user and in kernel mode, and memory that is backed by no file. `None`: it is
/// gone.
fn used(container: &ContainerId, folder: &Path) -> Option<ContainerStats> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    // Behind the name, which may have blanks and brackets of its own, fields count from the third.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let cpu = Duration::from_nanos((ticks(14)? + ticks(15)?) * (1_000_000_000 / TICKS));
    let memory_bytes = first_number(&std::fs::read_to_string(folder.join("status")).ok()?, "RssAnon:") * 1024;
    Some(ContainerStats { container: container.clone(), cpu, memory_bytes })
}

impl Drop for ProcessRuntime {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_has_used_is_read_behind_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let container = ContainerId { pod: "web".into(), index: 0, attempt: 0 };
        assert_eq!(used(&container, folder.path()), None, "it is gone");
        let stat = "4711 (a name) S 3) S 1 4711 4711 0 -1 4194304 900 0 0 0 12 3 7 9 20 0 4 0 8899\n";
        std::fs::write(folder.path().join("stat"), stat).expect("the kernel's word");
        std::fs::write(folder.path().join("status"), "VmRSS:\t9000 kB\nRssAnon:\t    2048 kB\n").expect("the kernel's word");
        let expected = ContainerStats { container: container.clone(), cpu: Duration::from_millis(150), memory_bytes: 2 << 20 };
        assert_eq!(used(&container, folder.path()), Some(expected));
    }
}
