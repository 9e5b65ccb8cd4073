//! The life of a child: one actor of the plan in a process of its own.

use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd::getppid;

use super::addresses::Addresses;
use super::arrival::{Arrival, Caused, Inbox, Told};
use super::clock::Clock;
use super::control::{DiskTrouble, FromChild, Lag, Setup, ToChild};
use super::disk::Log;
use super::journal::{self, Journal, Line};
use super::live::{Backend, LiveHost};
use super::transport::Transport;
use super::{frame, network, threads};
use crate::base::random::Seed;
use crate::base::{Cause, FactId, Incarnation, Time};
use crate::engine::plan::Plan;
use crate::engine::{Cluster, Engine, Options};
use crate::host::prepare;
use crate::wire::{Address, Boot, Effect, NetOp};

/// The journal of a life, in the actor's folder.
pub fn journal_name(incarnation: Incarnation) -> String {
    format!("journal-{incarnation}")
}

/// Asks the kernel for SIGKILL when the thread that started this process ends: a frozen child dies, too.
pub fn die_with_parent() {
    // Without it a child still ends with its standard input.
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// The facts of a life are numbered from here: 16 bits of process, 12 of life, 32 of number.
pub fn first_fact(process: usize, incarnation: Incarnation) -> FactId {
    FactId((process as u64 + 1) << 44 | u64::from(incarnation.0 & 0xfff) << 32 | 1)
}

/// An engine with one actor in it.
pub fn engine<B: Backend>(mut plan: Plan, setup: &Setup, at: Time, boot: Boot, backend: B) -> Engine<Cluster, LiveHost<B>> {
    let (outside, service_ips) = prepare::prepare(&mut plan);
    // Both are the supervisor's.
    plan.faults.clear();
    plan.expectations.clear();
    let seed = plan.seed;
    let cluster = Cluster::new(Arc::new(plan), &service_ips);
    let process = cluster.places(outside).iter().position(|(address, _)| *address == setup.actor).expect("an actor of the plan");
    let host = LiveHost::new(setup.actor, boot, backend);
    let mut engine = Engine::new(cluster, host, &[(setup.actor, at)], at, seed, Vec::new(), Options::default());
    engine.actors.introduce(&mut engine.recorder);
    engine.recorder.keep_unresolved();
    engine.in_its_own_process(Incarnation(setup.incarnation.0 - 1), first_fact(process, setup.incarnation));
    engine
}

/// The places of a plan's actors, the same in every process.
pub fn places(plan: &Plan) -> Vec<(Address, crate::wire::MachineId)> {
    let mut plan = plan.clone();
    let (outside, service_ips) = prepare::prepare(&mut plan);
    Cluster::new(Arc::new(plan), &service_ips).places(outside)
}

/// Lives until the supervisor says that the run is over, or is gone.
pub fn run(setup: Setup, plan: Plan, mut input: impl Read + Send + 'static, mut output: impl Write) -> io::Result<()> {
    super::interrupt::allow();
    die_with_parent();
    if getppid().as_raw() != setup.supervisor.cast_signed() {
        return Err(io::Error::other("the supervisor is gone"));
    }
    let mut addresses = Addresses::new(setup.block, places(&plan));
    if let Some(namespace) = &setup.namespace {
        // Before any thread is: each inherits it from whoever starts it.
        network::enter(Path::new(namespace))?;
        addresses = addresses.on_network();
    }
    let (told, inbox) = Told::new();
    let life = format!("incarnation {}", setup.incarnation);
    let stream = |of: &str| Seed(plan.seed).stream(&format!("{} {of} {life}", setup.actor));
    let proxy = plan.timings.proxy.clone();
    let transport = Transport::new(setup.actor, setup.token, addresses, told.clone(), proxy, stream("proxy"), stream("slow links"));
    frame::write(&mut output, &FromChild::Ready)?;
    output.flush()?;
    let mut disk_now = DiskTrouble::default();
    let (clock, begins) = loop {
        match frame::next(&mut input)? {
            Some(ToChild::Go { anchor, begins }) => break (Clock { anchor, start: plan.start }, begins),
            Some(ToChild::Links(links)) => transport.set_links(links),
            Some(ToChild::Disk(now)) => disk_now = now,
            Some(_) => {}
            None => return Ok(()),
        }
    };
    let folder = Path::new(&setup.folder);
    let (log, disk) = Log::open(&folder.join("wal"), stream("slow disk"))?;
    let (control, links, trouble) = (told.0.clone(), transport.clone(), log.trouble());
    trouble.set(disk_now);
    threads::spawn(move || {
        while let Ok(Some(word)) = frame::next(&mut input) {
            // At once: what follows a cut must not be seen.
            match word {
                ToChild::Links(now) => {
                    links.set_links(now);
                    continue;
                }
                ToChild::Disk(now) => {
                    trouble.set(now);
                    continue;
                }
                _ => {}
            }
            if control.send(Inbox::Control(word)).is_err() {
                return;
            }
        }
        let _ = control.send(Inbox::Orphaned);
        // The loop may be busy: nothing is to outlive the supervisor for long.
        threads::pause(std::time::Duration::from_secs(1));
        std::process::exit(1);
    });
    let at = clock.now().max(begins);
    let begin = Line::Begin { setup: Box::new(setup.clone()), at, disk };
    let journal = Journal::create(&folder.join(journal_name(setup.incarnation)), &begin)?;
    let Line::Begin { disk, .. } = begin else { unreachable!("it was made above") };
    let boot = Boot { incarnation: setup.incarnation, machine_boot: setup.machine_boot, disk, damaged: Vec::new() };
    let listening = transport.clone();
    let world = World { clock, inbox, told, transport, log, journal, parent: output, over: false, lag: Lag::default(), error: None };
    let mut engine = engine(plan, &setup, at, boot, world);
    threads::pause(clock.until(at));
    listening.listen()?;
    let mut sent = 0;
    loop {
        engine.turn();
        let facts = engine.recorder.facts();
        let parent = &mut engine.host.backend.parent;
        if facts.len() > sent {
            frame::write(parent, &FromChild::Facts(facts[sent..].to_vec()))?;
            parent.flush()?;
            sent = facts.len();
        }
        if let Some(violation) = engine.recorder.violations.first() {
            return Err(io::Error::other(format!("a broken invariant: {violation}")));
        }
        if let Some(error) = engine.host.backend.error.take() {
            return Err(error);
        }
        if engine.host.backend.over {
            break;
        }
    }
    let outcome = engine.recorder.outcome_digest();
    let world = &mut engine.host.backend;
    world.journal.end(outcome)?;
    let lag = Lag { ended: clock.now(), ..world.lag };
    frame::write(&mut world.parent, &FromChild::Ended(lag))?;
    world.parent.flush()
}

/// The world beneath the actor.
struct World<W> {
    clock: Clock,
    inbox: Receiver<Inbox>,
    told: Told,
    transport: Transport,
    log: Log,
    journal: Journal,
    parent: W,
    over: bool,
    lag: Lag,
    error: Option<io::Error>,
}

/// Arrivals that one turn takes in: more wait, so that the actor's own deadlines are looked at in between.
const TURN_MAX: usize = 256;

impl<W: Write> World<W> {
    fn take(&mut self, word: Inbox, arrivals: &mut Vec<Caused>) {
        match word {
            Inbox::Arrival(arrival) => arrivals.push(arrival),
            Inbox::Control(ToChild::Container(cause, event)) => arrivals.push((cause, Arrival::Container(event))),
            Inbox::Control(ToChild::Endpoints(cause, change)) => self.transport.endpoints(self.clock.now(), cause, change),
            Inbox::Control(ToChild::End) | Inbox::Orphaned => self.over = true,
            Inbox::Control(ToChild::Go { .. } | ToChild::Links(_) | ToChild::Disk(_)) => {}
        }
    }
    fn tell(&mut self, word: &FromChild) {
        let told = frame::write(&mut self.parent, word).and_then(|()| self.parent.flush());
        self.note(told);
    }
    fn note<T>(&mut self, result: io::Result<T>) -> Option<T> {
        result.map_err(|error| self.error.get_or_insert(error).kind()).ok()
    }
}

impl<W: Write> Backend for World<W> {
    fn wait(&mut self, deadline: Time) -> (Time, Vec<Caused>) {
        let mut arrivals = Vec::new();
        loop {
            while arrivals.len() < TURN_MAX
                && let Ok(word) = self.inbox.try_recv()
            {
                self.take(word, &mut arrivals);
            }
            let now = self.clock.now();
            if !arrivals.is_empty() || now >= deadline || self.over {
                if now >= deadline {
                    self.lag.note(now.since(deadline).nanos());
                }
                let written = self.journal.turn(now, arrivals);
                return (now, self.note(written).unwrap_or_default());
            }
            match self.inbox.recv_timeout(self.clock.until(deadline)) {
                Ok(word) => self.take(word, &mut arrivals),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("this end keeps a sender: {:?}", self.over),
            }
        }
    }

    fn perform(&mut self, now: Time, cause: Cause, effect: Effect) {
        self.journal.effect(journal::digest_of(&journal::bytes_of(cause, &effect)));
        match effect {
            Effect::Net(NetOp::Dial(conn, to, keep_alive)) => self.transport.dial(now, cause, conn, to, keep_alive),
            Effect::Net(NetOp::Write(conn, message)) => self.transport.write(cause, conn, &message),
            Effect::Net(NetOp::Close(conn)) => self.transport.close(conn),
            Effect::Net(NetOp::Health(ready)) => self.transport.set_ready(ready),
            Effect::Disk(op) => self.log.perform(cause, op, &self.told),
            Effect::Container(op) => self.tell(&FromChild::Container(cause, *op)),
            Effect::Endpoints(change) => self.tell(&FromChild::Endpoints(cause, *change)),
            Effect::Compute(..) => {}
            Effect::Exit => self.over = true,
            Effect::History(_) | Effect::Provision(_) => unreachable!("clients of etcd are simulated only"),
            Effect::Record(..) => unreachable!("the engine keeps these to itself"),
        }
    }
}
