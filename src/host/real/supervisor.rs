//! The supervisor of a run: starts a process for each actor of the plan, owns the container runtime, plays the faults, and gathers the
//! record. When it ends, however it ends, all that it started ends.

mod faults;
mod runtimes;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration as Span;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::addresses::{ACTORS_MAX, Addresses, NODES_MAX};
use super::clock::{Clock, monotonic};
use super::control::{Cut, FromChild, Lag, Setup, SlowLink, ToChild};
use super::docker::DockerRuntime;
use super::docker::engine::{Engine, Labels};
use super::folder::Folder;
use super::gather::gather;
use super::network::{self, Means, Network};
use super::process::ProcessRuntime;
use super::runtime::{Answer, ContainerStats, Kind, Notice, Notices, Runtime, Specs};
use super::{capacity, frame, interrupt, role, threads};
use crate::base::{Cause, FactId, Incarnation, Time};
use crate::engine::plan::{Fault, FaultPlan, Initial, Plan, Starts, Whose};
use crate::engine::record::{Entry, FaultInfo, Record, ScenarioInfo};
use crate::host::sim::run::node_info;
use crate::models::distribution::Distribution;
use crate::wire::container::ContainerOp;
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Address, MachineId, NodeId};

/// How a run is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `sim` that the children are: `/proc/self/exe` unless somebody else plays.
    pub program: PathBuf,
    /// Where the journals and logs of all processes are put at the end; nowhere if `None`.
    pub journals: Option<PathBuf>,
    /// What runs the containers.
    pub runtime: Kind,
    /// What cuts and delays the links between machines.
    pub links: network::Wanted,
}

impl Default for Options {
    fn default() -> Options {
        // The file that runs, even if another has taken its name meanwhile.
        Options { program: "/proc/self/exe".into(), journals: None, runtime: Kind::Process, links: network::Wanted::Auto }
    }
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub record: Record,
    /// How late each process was woken.
    pub lags: BTreeMap<Address, Lag>,
    /// What cut and delayed the links between machines.
    pub links: Means,
    /// What the containers had used that ran at the end.
    pub stats: Vec<ContainerStats>,
    /// What went wrong with the run itself: a process that ended unasked, say. Such a run proves nothing.
    pub troubles: Vec<String>,
}

/// How long children may take to be ready (ours: a thousand times what an idle machine needs).
const START_TIMEOUT: Span = Span::from_secs(20);
/// From the word to go until the plan's start: all children are to have heard it.
const HEAD_START_NANOS: u64 = 200_000_000;
/// How long children may take to hear of a cut (ours: a hundred times what an idle machine needs, a fifth of the least tolerance).
const CUT_HEARD: Span = Span::from_millis(10);
/// How often the supervisor looks whether it is to end, where nothing else wakes it.
const LOOK: Span = Span::from_secs(1);
/// How long children may take to end when told to.
const END_TIMEOUT: Span = Span::from_secs(5);

/// The trouble of a run that somebody ended.
pub const INTERRUPTED: &str = "interrupted";

/// What of a plan this host can't do. Empty: it can be run.
pub fn unsupported(plan: &Plan) -> Vec<String> {
    let mut why = Vec::new();
    if plan.initial == Initial::Running {
        why.push("\"initial\": \"running\": a real cluster has to come up".to_owned());
    }
    if plan.study.is_some() {
        why.push("a trace that the scheduler places alone has no cluster".to_owned());
    } else if plan.is_etcd_only() {
        why.push("a cluster of etcd alone can only be simulated so far".to_owned());
    } else if !plan.etcd_load.is_empty() || !plan.etcd_steps.is_empty() || plan.etcd.len() > plan.etcd_initial {
        why.push("clients of etcd and steps on it can only be simulated so far".to_owned());
    }
    if plan.nodes.len() > NODES_MAX {
        why.push(format!("{} nodes: a run's block of addresses has room for {NODES_MAX}", plan.nodes.len()));
    }
    let actors = role::places(plan).len();
    if actors > ACTORS_MAX {
        why.push(format!("{actors} processes: a run's block of addresses has room for {ACTORS_MAX}"));
    }
    let specs = Specs::of(plan);
    for fault in &plan.faults {
        let of_pods = |whose: &Whose| matches!(whose, Whose::Pods(_));
        let found = fault.found.as_ref().is_some_and(|found| found.choose.is_some() || found.whose.iter().any(of_pods));
        if found || faults::simulated_only(&fault.fault) {
            why.push(format!("\"{}\" can only be simulated so far", fault.description));
        }
        if let Fault::ContainerCrash { namespace, workload, oom_killed: true, .. } = &fault.fault
            && !specs.all_limit_memory(namespace, workload)
        {
            why.push(format!("\"{}\": its containers need limits of memory to run into", fault.description));
        }
    }
    why
}

/// Runs a plan for real. `scenario`: the resolved text that `plan` was lowered from. Calls `progress` about each second.
pub fn run(scenario: &str, mut plan: Plan, options: &Options, progress: &mut dyn FnMut(crate::base::Duration)) -> io::Result<Outcome> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    if let Some(lack) = capacity::lacks(&plan, &options.runtime, &meminfo, capacity::raise_open_files()?) {
        return Err(io::Error::other(lack));
    }
    plan.starts.within = Starts::APART;
    let folder = Folder::claim()?;
    let mut run = Run::start(scenario, Arc::new(plan), options, &folder)?;
    run.play(progress);
    run.end();
    if let Some(journals) = &options.journals {
        keep(folder.path(), journals)?;
    }
    Ok(run.outcome())
}

/// Copies what the processes wrote.
fn keep(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let target = to.join(entry.file_name());
            fs::create_dir_all(&target)?;
            for file in fs::read_dir(entry.path())? {
                let file = file?;
                fs::copy(file.path(), target.join(file.file_name()))?;
            }
        }
    }
    Ok(())
}

/// What the supervisor waits for.
enum Word {
    Child {
        process: usize,
        life: Incarnation,
        said: FromChild,
    },
    /// The child's output ended.
    Gone {
        process: usize,
        life: Incarnation,
    },
    Runtime(Notice),
}

/// An actor's process, over all its lives.
struct Process {
    address: Address,
    machine: MachineId,
    life: Incarnation,
    /// With what it is to hear: a thread writes it, since one that stands still reads nothing.
    child: Option<(Child, Sender<Vec<u8>>)>,
    ready: bool,
    /// Why its last life began.
    started_by: Cause,
    /// The faults that keep it down, and those that keep it still.
    down: Vec<usize>,
    still: Vec<usize>,
}

impl Process {
    fn say(&self, word: &ToChild) {
        if let Some((_, words)) = &self.child {
            // A child that is gone is noticed by its output.
            let _ = words.send(frame::of(word));
        }
    }
    fn signal(&self, signal: Signal) {
        if let Some((child, _)) = &self.child {
            // It has not been reaped, so the number is its own.
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }
    fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.wait();
        }
        self.ready = false;
    }
}

struct Run {
    plan: Arc<Plan>,
    scenario: String,
    program: PathBuf,
    folder: PathBuf,
    block: u8,
    token: u128,
    addresses: Addresses,
    clock: Clock,
    words: Receiver<Word>,
    sender: Sender<Word>,
    processes: Vec<Process>,
    runtime: Box<dyn Runtime>,
    /// The faults as they were played: resolved when they began.
    played: Vec<Option<FaultPlan>>,
    fault_facts: Vec<Cause>,
    fault_infos: Vec<FaultInfo>,
    network: Option<Network>,
    means: Means,
    /// Each with its fault.
    cuts: Vec<(usize, Cut)>,
    slow: Vec<(usize, SlowLink)>,
    /// (fault, machine, how much longer; `None`: it stands still)
    disks: Vec<(usize, MachineId, Option<Distribution>)>,
    /// (fault, machine): its kubelet gets no answer of the runtime.
    runtime_pauses: Vec<(usize, MachineId)>,
    /// What the runtime said meanwhile.
    untold: Vec<Answer>,
    /// What kubelets asked whose disk or runtime stands still, and their lives.
    waiting: Vec<(NodeId, Incarnation, Cause, ContainerOp)>,
    machine_boots: BTreeMap<MachineId, Incarnation>,
    facts: Vec<Entry>,
    next_fact: u64,
    etcd_leader: Option<(crate::base::Term, Address)>,
    leading: Vec<Address>,
    lags: BTreeMap<Address, Lag>,
    stats: Vec<ContainerStats>,
    ended: usize,
    troubles: Vec<String>,
}

impl Run {
    fn start(scenario: &str, plan: Arc<Plan>, options: &Options, folder: &Folder) -> io::Result<Run> {
        let places = role::places(&plan);
        let (network, means, addresses) = network::lent(options.links, Addresses::new(folder.block(), places.clone()))?;
        let process = |(address, machine): (Address, MachineId)| Process {
            address,
            machine,
            life: Incarnation(0),
            child: None,
            ready: false,
            started_by: Cause::NONE,
            down: Vec::new(),
            still: Vec::new(),
        };
        let (sender, words) = channel();
        let noticing = sender.clone();
        let notices = Arc::new(move |notice| {
            // Nobody listens any more only when the run is over.
            let _ = noticing.send(Word::Runtime(notice));
        });
        let anchor = monotonic() + START_TIMEOUT.as_nanos() as u64;
        let clock = Clock { anchor, start: plan.start };
        let token = token()?;
        let runtime = made(&options.runtime, &options.program, &plan, clock, &addresses, folder, token, notices)?;
        let mut run = Run {
            scenario: scenario.to_owned(),
            program: options.program.clone(),
            folder: folder.path().to_owned(),
            block: folder.block(),
            token,
            addresses,
            clock,
            words,
            sender,
            processes: places.into_iter().map(process).collect(),
            runtime,
            played: vec![None; plan.faults.len()],
            fault_facts: vec![Cause::NONE; plan.faults.len()],
            fault_infos: Vec::new(),
            network,
            means,
            cuts: Vec::new(),
            slow: Vec::new(),
            disks: Vec::new(),
            runtime_pauses: Vec::new(),
            untold: Vec::new(),
            waiting: Vec::new(),
            machine_boots: BTreeMap::new(),
            facts: Vec::new(),
            next_fact: 1,
            etcd_leader: None,
            leading: Vec::new(),
            lags: BTreeMap::new(),
            stats: Vec::new(),
            ended: 0,
            troubles: Vec::new(),
            plan,
        };
        for number in 0..run.processes.len() {
            run.spawn(number)?;
        }
        let deadline = monotonic() + START_TIMEOUT.as_nanos() as u64;
        while run.processes.iter().any(|process| !process.ready) {
            if interrupt::asked() {
                return Err(io::Error::other(INTERRUPTED));
            }
            let left = Span::from_nanos(deadline.saturating_sub(monotonic()));
            // In parts: nothing wakes this loop when somebody asks for the end.
            let Ok(word) = run.words.recv_timeout(left.min(LOOK)) else {
                if !left.is_zero() {
                    continue;
                }
                let silent: Vec<_> = run.processes.iter().filter(|one| !one.ready).map(|one| one.address.to_string()).collect();
                return Err(io::Error::other(format!("after {START_TIMEOUT:?} these are not ready: {}", silent.join(", "))));
            };
            run.hear(word);
            if let Some(trouble) = run.troubles.first() {
                return Err(io::Error::other(trouble.clone()));
            }
        }
        run.clock.anchor = monotonic() + HEAD_START_NANOS;
        run.runtime.set_clock(run.clock);
        for process in &run.processes {
            process.say(&ToChild::Go { anchor: run.clock.anchor, begins: run.plan.begins(process.address) });
        }
        Ok(run)
    }

    /// Starts the next life of a process.
    fn spawn(&mut self, number: usize) -> io::Result<()> {
        let process = &mut self.processes[number];
        process.life = process.life.next();
        let folder = self.folder.join(process.address.to_string());
        fs::create_dir_all(&folder)?;
        let errors = File::options().create(true).append(true).open(folder.join("log"))?;
        let mut command = Command::new(&self.program);
        command.arg("role").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        // Ctrl-C is for the supervisor; it tells the children.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let setup = Setup {
            scenario: self.scenario.clone(),
            actor: process.address,
            incarnation: process.life,
            machine_boot: self.machine_boots.get(&process.machine).copied().unwrap_or(Incarnation(1)),
            block: self.block,
            token: self.token,
            folder: folder.to_string_lossy().into_owned(),
            supervisor: std::process::id(),
            namespace: self.network.as_ref().and_then(|network| network.namespace(process.address, process.machine)),
        };
        let mut input = child.stdin.take().expect("it is piped");
        let output = child.stdout.take().expect("it is piped");
        frame::write(&mut input, &setup)?;
        input.flush()?;
        let (words, said) = channel::<Vec<u8>>();
        threads::spawn(move || {
            while let Ok(word) = said.recv() {
                if input.write_all(&word).and_then(|()| input.flush()).is_err() {
                    return;
                }
            }
        });
        process.child = Some((child, words));
        let (sender, life) = (self.sender.clone(), process.life);
        threads::spawn(move || {
            let mut output = io::BufReader::new(output);
            while let Ok(Some(said)) = frame::next(&mut output) {
                if sender.send(Word::Child { process: number, life, said }).is_err() {
                    return;
                }
            }
            let _ = sender.send(Word::Gone { process: number, life });
        });
        Ok(())
    }

    fn play(&mut self, progress: &mut dyn FnMut(crate::base::Duration)) {
        let end = self.plan.start + self.plan.length();
        let mut due: Vec<(Time, usize, bool)> = Vec::new();
        for (number, fault) in self.plan.faults.iter().enumerate() {
            due.push((fault.at, number, true));
            due.extend(fault.ends().map(|until| (until, number, false)));
        }
        due.sort();
        let mut due = due.into_iter().peekable();
        let mut told = self.plan.start;
        while self.troubles.is_empty() {
            let now = self.clock.now();
            if now >= end {
                return;
            }
            if interrupt::asked() {
                return self.troubles.push(INTERRUPTED.to_owned());
            }
            if now >= told {
                progress(now.since(self.plan.start));
                told = now + crate::base::Duration::from_secs(1);
            }
            if let Some((_, number, begins)) = due.next_if(|(at, ..)| *at <= now) {
                if begins {
                    self.begin_fault(number)
                } else {
                    self.end_fault(number)
                }
                continue;
            }
            let next = due.peek().map_or(end, |(at, ..)| (*at).min(end)).min(told);
            if let Ok(word) = self.words.recv_timeout(self.clock.until(next)) {
                self.hear(word);
            }
        }
    }

    fn hear(&mut self, word: Word) {
        match word {
            Word::Child { process, life, said } => {
                // Facts of a life that is over happened all the same.
                if let FromChild::Facts(facts) = said {
                    return self.take_facts(self.processes[process].address, facts);
                }
                if life == self.processes[process].life {
                    self.listen(process, said);
                }
            }
            Word::Gone { process, life } => {
                let child = &mut self.processes[process];
                if life == child.life && child.child.is_some() && !self.lags.contains_key(&child.address) {
                    child.kill();
                    let log = fs::read_to_string(self.folder.join(child.address.to_string()).join("log")).unwrap_or_default();
                    let last = log.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("no word");
                    self.troubles.push(format!("{} ended unasked: {last}", child.address));
                }
            }
            Word::Runtime(notice) => {
                let mut answers = Vec::new();
                self.runtime.notice(notice, &mut answers);
                self.answer(answers);
            }
        }
    }
    fn listen(&mut self, number: usize, said: FromChild) {
        let process = &mut self.processes[number];
        match said {
            FromChild::Ready => {
                process.ready = true;
                let machine = process.machine;
                let (links, disk) = (self.links(), self.disk(machine));
                let process = &mut self.processes[number];
                process.say(&ToChild::Links(links));
                process.say(&ToChild::Disk(disk));
                // A later life begins at once; for the first all are waited for.
                if process.life.0 > 1 {
                    process.say(&ToChild::Go { anchor: self.clock.anchor, begins: self.plan.start });
                }
            }
            FromChild::Container(cause, op) => {
                let Address::Kubelet(node) = process.address else { return };
                let (life, machine) = (process.life, process.machine);
                if self.is_kept_waiting(machine, &op) {
                    if op == ContainerOp::List {
                        self.tell_of_silence(machine);
                    }
                    return self.waiting.push((node, life, cause, op));
                }
                self.request(node, life, cause, op);
            }
            FromChild::Endpoints(cause, change) => {
                let word = ToChild::Endpoints(cause, change);
                for process in self.processes.iter().filter(|process| matches!(process.address, Address::Traffic(_))) {
                    process.say(&word);
                }
            }
            FromChild::Ended(lag) => {
                self.lags.insert(process.address, lag);
                self.ended += 1;
            }
            FromChild::Facts(_) => unreachable!("taken before"),
        }
    }
    fn request(&mut self, node: NodeId, life: Incarnation, cause: Cause, op: ContainerOp) {
        let mut answers = Vec::new();
        self.runtime.request(node, life, cause, op, &mut answers);
        self.answer(answers);
    }
    fn take_facts(&mut self, from: Address, mut facts: Vec<Entry>) {
        for entry in &mut facts {
            match &entry.fact.what {
                What::BecameLeader { term } if self.etcd_leader.is_none_or(|(known, _)| known < *term) => {
                    self.etcd_leader = Some((*term, from));
                }
                // The process itself can't know.
                What::Started => entry.cause = self.processes[self.addresses.number(from)].started_by.as_fact(),
                What::Leading => self.leading.push(from),
                What::StoppedLeading => self.leading.retain(|leader| *leader != from),
                _ => {}
            }
        }
        self.facts.extend(facts);
    }
    fn answer(&mut self, answers: Vec<Answer>) {
        for answer in answers {
            if self.is_kept_quiet(&answer) {
                self.untold.push(answer);
                continue;
            }
            let Answer { node, asked, cause, event } = answer;
            let kubelet = &mut self.processes[self.addresses.number(Address::Kubelet(node))];
            if asked.is_none_or(|life| life == kubelet.life) {
                kubelet.say(&ToChild::Container(cause, Box::new(event)));
            }
        }
    }
    /// Records a fact of the supervisor's own.
    fn tell(&mut self, cause: Cause, subject: Subject, what: What) -> Cause {
        let id = FactId(self.next_fact);
        self.next_fact += 1;
        self.facts.push(Entry { id, at: self.clock.now(), cause: cause.as_fact(), fact: Fact { subject, what } });
        Cause::fact(id)
    }

    /// Ends all processes: those that live are asked, and killed when they take too long.
    fn end(&mut self) {
        let mut asked = 0;
        for process in &self.processes {
            if process.child.is_some() {
                process.signal(Signal::SIGCONT);
                process.say(&ToChild::End);
                asked += 1;
            }
        }
        let deadline = monotonic() + END_TIMEOUT.as_nanos() as u64;
        while self.ended < asked && self.troubles.is_empty() {
            let left = Span::from_nanos(deadline.saturating_sub(monotonic()));
            let Ok(word) = self.words.recv_timeout(left) else {
                self.troubles.push(format!("{} of {asked} processes did not end within {END_TIMEOUT:?}", asked - self.ended));
                break;
            };
            if !matches!(word, Word::Runtime(_)) {
                self.hear(word);
            }
        }
        // Of a run that proves something.
        if self.troubles.is_empty() {
            self.stats = self.runtime.stats();
        }
        self.processes.iter_mut().for_each(Process::kill);
        self.runtime.end();
    }

    fn outcome(&mut self) -> Outcome {
        let plan = &self.plan;
        let facts = gather(std::mem::take(&mut self.facts));
        let record = Record {
            scenario: ScenarioInfo {
                name: plan.name.clone(),
                description: plan.description.clone(),
                seed: plan.seed,
                start: plan.start,
                end: plan.start + plan.length(),
                nodes: plan.nodes.iter().map(node_info).collect(),
                etcd_members: plan.etcd.len() as u16,
                faults: std::mem::take(&mut self.fault_infos),
                traffic: plan.traffic.iter().flat_map(|source| source.from.iter().map(|_| source.service.clone())).collect(),
            },
            facts,
            ..Record::default()
        };
        let (lags, links, stats) = (std::mem::take(&mut self.lags), self.means.clone(), std::mem::take(&mut self.stats));
        Outcome { record, lags, links, stats, troubles: std::mem::take(&mut self.troubles) }
    }
}

/// The runtime of this kind. What a run that is gone has left in it goes first.
#[expect(clippy::too_many_arguments, reason = "all that a run has when its runtime is made")]
pub(super) fn made(
    kind: &Kind,
    program: &Path,
    plan: &Arc<Plan>,
    clock: Clock,
    addresses: &Addresses,
    folder: &Folder,
    token: u128,
    notices: Notices,
) -> io::Result<Box<dyn Runtime>> {
    let addresses = addresses.clone();
    Ok(match kind {
        Kind::Process => Box::new(ProcessRuntime::new(program.to_owned(), Arc::clone(plan), clock, addresses, notices)),
        Kind::Docker(socket) => {
            let engine = Engine::connect(socket)?;
            let labels = Labels::new(folder, token);
            engine.clean(|block| block == folder.block() || Folder::is_dead(block))?;
            Box::new(DockerRuntime::new(engine, program, labels, plan, clock, addresses, notices)?)
        }
    })
}

impl Drop for Run {
    fn drop(&mut self) {
        self.processes.iter_mut().for_each(Process::kill);
    }
}

/// 128 bits that nobody can guess.
fn token() -> io::Result<u128> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(u128::from_le_bytes(bytes))
}
