//! The loop: takes the earliest event, gives it to its actor, does what the actor asks for.
//!
//! It owns the lives of processes: an input for a life that is over is dropped, one for a frozen process waits until it is thawed. Wakes
//! are armed here: one queue entry an actor, checked against `deadline()` when it comes, so that a deadline that moved later costs
//! nothing but a second look.

use super::checks::history::History;
#[cfg(test)]
use super::checks::planted::{Bug, Planted};
use super::checks::streams::Streams;
use super::event::{Event, Life, Pending, Queue, Shape, push};
use super::host::Host;
use super::recorder::Recorder;
use crate::base::digest::Digester;
use crate::base::random::Seed;
use crate::base::{Cause, Digest, Duration, FactId, Incarnation, Name, Revision, Stream, Time};
use crate::engine::plan::{Fault, FaultPlan};
use crate::wire::etcd::Applied;
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Address, Effect, Message, NetOp, Outbox, Provision, codec};

/// The actors of a run, as the loop sees them.
pub trait Actors {
    /// Makes the actor anew, for the life that begins.
    fn spawn(&mut self, address: Address, incarnation: Incarnation);
    /// Drops it.
    fn retire(&mut self, address: Address);
    fn step(&mut self, now: Time, event: Event, out: &mut Outbox);
    fn deadline(&self, address: Address) -> Time;
    /// A store's member applied a revision: invariants across members, facts about objects.
    fn applied(&mut self, now: Time, from: Address, applied: Applied, recorder: &mut Recorder, out: &mut Outbox);
    /// Does anybody look at what revisions changed?
    fn wants_changes(&self) -> bool {
        true
    }
    /// The store's contents at the start, where there are any.
    fn preload(&mut self, _now: Time, _stored: &[crate::objects::Stored], _recorder: &mut Recorder, _out: &mut Outbox) {}
    /// A process will find another disk at its next start: nothing of what it had is left, and what it held before binds it no more.
    /// The revision that the store was put back to, if it was.
    fn provisioned(&mut self, _provision: &Provision, _recorder: &mut Recorder) -> Option<Revision> {
        None
    }
    /// A second of virtual time is over: samples, dear checks.
    fn second(&mut self, now: Time, up: &dyn Fn(Address) -> bool, recorder: &mut Recorder);
    /// A client of etcd did or saw something: the last event of the recorder's history.
    fn told(&mut self, _recorder: &mut Recorder) {}
    /// A process wrote a message.
    fn wrote(&mut self, _message: &Message, _recorder: &mut Recorder) {}
    /// A process has done a step in a run with the dear checks.
    fn stepped(&mut self, _address: Address, _recorder: &mut Recorder) {}
    /// A second of virtual time is over in a run with the dear checks.
    fn check_full(&mut self, _history: &History, _recorder: &mut Recorder) {}
    /// Whom a fault names by role (the leader of etcd, say) at this instant.
    fn resolve(&self, fault: &FaultPlan) -> FaultPlan;
    /// The processes of some machines, whose clocks they read.
    fn on_machines(&self, _machines: &[crate::wire::MachineId]) -> Vec<Address> {
        Vec::new()
    }
}

/// How a run is played. None of it may change the outcome but `shuffle_ties`, under which every check must still hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Every message goes through the codec, as between processes.
    pub codec: bool,
    /// Permutes events of the same time and different sources.
    pub shuffle_ties: Option<u64>,
    /// The dear checks too.
    pub check_full: bool,
}

/// A machine's clock: what it shows at a true time. Identity by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Nanoseconds that it is ahead.
    pub offset: i64,
    /// Parts per billion that it runs too fast.
    pub drift_ppb: i64,
}

impl Clock {
    /// The clock that shows the same at `truth` and from then on runs faster by `ppb` more.
    pub fn drifting(self, truth: Time, ppb: i64) -> Clock {
        let drift_ppb = self.drift_ppb + ppb;
        let shown = i128::from(self.show(truth).nanos());
        let nanos = i128::from(truth.nanos());
        let offset = shown - nanos - nanos * i128::from(drift_ppb) / 1_000_000_000;
        Clock { offset: offset as i64, drift_ppb }
    }
    pub fn show(self, truth: Time) -> Time {
        if self == Clock::default() {
            return truth;
        }
        let nanos = i128::from(truth.nanos());
        let shown = nanos + nanos * i128::from(self.drift_ppb) / 1_000_000_000 + i128::from(self.offset);
        Time::from_nanos(shown.clamp(0, i128::from(u64::MAX - 1)) as u64)
    }
    /// The first true time at which it shows `shown` or later.
    pub fn truth(self, shown: Time) -> Time {
        if self == Clock::default() || shown == Time::NEVER {
            return shown;
        }
        let nanos = i128::from(shown.nanos()) - i128::from(self.offset);
        let billion = 1_000_000_000i128;
        let rate = billion + i128::from(self.drift_ppb);
        let truth = (nanos * billion).div_euclid(rate);
        let mut truth = Time::from_nanos(truth.clamp(0, i128::from(u64::MAX - 1)) as u64);
        while self.show(truth) < shown {
            truth += Duration::from_nanos(1);
        }
        truth
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Down,
    Up,
    Frozen,
}

struct Process {
    address: Address,
    incarnation: Incarnation,
    state: State,
    clock: Clock,
    /// When a wake is in the queue for; `NEVER` if none is.
    armed: Time,
    /// What came while it was frozen.
    waiting: Vec<Pending>,
}

/// Finds a process by its address without hashing.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    /// Where each role begins, in the order of `role`.
    bases: [usize; 10],
}

impl Directory {
    /// Its role, and its number among those of it; `None`: it is no process.
    fn role(address: Address) -> Option<(usize, usize)> {
        Some(match address {
            Address::Operator => (0, 0),
            Address::Proxy => (1, 0),
            Address::Etcd(member) => (2, usize::from(member.0) - 1),
            Address::Api(server) => (3, usize::from(server.0) - 1),
            Address::Manager(replica) => (4, usize::from(replica.0) - 1),
            Address::Scheduler(replica) => (5, usize::from(replica.0) - 1),
            Address::Traffic(client) => (6, client as usize),
            Address::EtcdClient(client) => (7, client as usize),
            Address::Etcdctl => (8, 0),
            Address::Kubelet(node) => (9, node.0 as usize),
            Address::ApiBalancer | Address::Service(_) | Address::Pod(_) => return None,
        })
    }
    /// `addresses` in the order of roles above, each role without gaps.
    pub fn new(addresses: &[Address]) -> Directory {
        let mut bases = [usize::MAX; 10];
        for (index, address) in addresses.iter().enumerate() {
            let (role, number) = Directory::role(*address).unwrap_or_else(|| panic!("{address} is no process"));
            if bases[role] == usize::MAX {
                // In a process of its own an actor may be the only one of its role, and not the first.
                bases[role] = index.wrapping_sub(number);
            }
        }
        let directory = Directory { bases };
        for (index, address) in addresses.iter().enumerate() {
            assert_eq!(directory.index(*address), index, "processes must stand in the order of their roles");
        }
        directory
    }
    pub fn index(&self, address: Address) -> usize {
        self.find(address).unwrap_or_else(|| panic!("{address} is no process"))
    }
    /// Where a process stands if it is of the run: whether it is, only the list knows. `None`: it is no process.
    pub fn find(&self, address: Address) -> Option<usize> {
        let (role, number) = Directory::role(address)?;
        Some(self.bases[role].wrapping_add(number))
    }
}

/// A run in progress.
pub struct Engine<A, H> {
    pub actors: A,
    pub host: H,
    pub recorder: Recorder,
    queue: Queue,
    out: Outbox,
    /// Empty between steps: kept for its allocation.
    applied: Vec<Applied>,
    processes: Vec<Process>,
    directory: Directory,
    faults: Vec<FaultPlan>,
    /// Resolved when they began, so that what ends is what began.
    played: Vec<Option<FaultPlan>>,
    options: Options,
    shuffle: Option<Stream>,
    trace: Digester,
    streams: Streams,
    /// With the dear checks only.
    history: Option<History>,
    /// Bugs that a test plants: of messages, what is written and what is sent instead.
    #[cfg(test)]
    pub planted: Planted,
    now: Time,
    seed: u64,
    events: u64,
    messages: u64,
}

impl<A: Actors, H: Host> Engine<A, H> {
    /// A run that begins at `start`. `processes`: when each is started, in the order that [`Directory`] wants.
    pub fn new(
        actors: A,
        host: H,
        processes: &[(Address, Time)],
        start: Time,
        seed: u64,
        faults: Vec<FaultPlan>,
        options: Options,
    ) -> Engine<A, H> {
        let addresses: Vec<Address> = processes.iter().map(|(address, _)| *address).collect();
        let process = |address: &Address| Process {
            address: *address,
            incarnation: Incarnation(0),
            state: State::Down,
            clock: Clock::default(),
            armed: Time::NEVER,
            waiting: Vec::new(),
        };
        let mut engine = Engine {
            actors,
            host,
            recorder: Recorder::new(start),
            queue: Queue::new(),
            out: Outbox::new(),
            applied: Vec::new(),
            processes: addresses.iter().map(process).collect(),
            directory: Directory::new(&addresses),
            played: vec![None; faults.len()],
            faults,
            options,
            shuffle: options.shuffle_ties.map(|ties| Seed(ties).stream("shuffle ties")),
            trace: Digester::default(),
            streams: Streams::new(options.check_full),
            history: options.check_full.then(History::default),
            #[cfg(test)]
            planted: Planted::default(),
            now: start,
            seed,
            events: 0,
            messages: 0,
        };
        if !options.check_full && !engine.actors.wants_changes() {
            engine.out.leave_changes_out();
        }
        for (address, at) in processes {
            engine.queue.push(*at, Pending::any(Event::Life(*address, Life::Start), Cause::NONE));
        }
        for (number, fault) in engine.faults.iter().enumerate() {
            let event = |begins| Pending::any(Event::Fault { fault: number as u32, begins }, Cause::NONE);
            engine.queue.push(fault.at.max(start), event(true));
            if let Some(until) = fault.until {
                engine.queue.push(until.max(start), event(false));
            }
        }
        engine.queue.push(start + Duration::from_secs(1), Pending::any(Event::Second, Cause::NONE));
        engine
    }

    /// This engine has a process of its own, which has lived so often before; its facts are numbered from `first_fact`.
    pub fn in_its_own_process(&mut self, lived: Incarnation, first_fact: FactId) {
        assert_eq!(self.events, 0, "before the first event");
        self.out.number_facts_from(first_fact);
        for process in &mut self.processes {
            process.incarnation = lived;
        }
    }
    pub fn now(&self) -> Time {
        self.now
    }
    /// Events delivered to actors so far.
    pub fn events(&self) -> u64 {
        self.events
    }
    /// Messages written to connections so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }
    pub fn trace_digest(&self) -> Digest {
        self.trace.digest()
    }
    pub fn is_up(&self, address: Address) -> bool {
        self.processes[self.directory.index(address)].state != State::Down
    }

    /// What the store holds at the start of a run that begins with a running cluster.
    pub fn preload(&mut self, stored: &[crate::objects::Stored]) {
        if let Some(history) = &mut self.history {
            history.preload(stored);
        }
        self.actors.preload(self.now, stored, &mut self.recorder, &mut self.out);
    }

    /// Plays everything up to and including `until`, or up to the event that breaks an invariant.
    pub fn run_until(&mut self, until: Time) {
        let mut ties = Vec::new();
        while self.recorder.violations.is_empty()
            && let Some(next) = self.queue.next_time().filter(|next| *next <= until)
        {
            let reached = self.host.advance(next, &mut self.queue);
            if reached < next {
                continue;
            }
            let (at, pending) = self.queue.pop().expect("a queue with a next time has an item");
            self.now = at;
            if self.shuffle.is_none() {
                self.deliver(pending);
                continue;
            }
            ties.push(pending);
            while self.queue.next_time() == Some(at) {
                ties.push(self.queue.pop().expect("it has a next time").1);
            }
            self.shuffle_ties(&mut ties);
            for pending in ties.drain(..) {
                self.deliver(pending);
            }
        }
        if self.recorder.violations.is_empty() {
            self.now = self.now.max(until);
        }
    }

    /// One turn on a host that waits: until the next event is due or something arrives, then all that is due by then. Unlike in
    /// [`Engine::run_until`] the actors see when they were really woken, which may be late.
    pub fn turn(&mut self) {
        let next = self.queue.next_time().unwrap_or(Time::NEVER);
        let reached = self.host.advance(next, &mut self.queue);
        self.now = self.now.max(reached);
        while self.recorder.violations.is_empty() && self.queue.next_time().is_some_and(|next| next <= self.now) {
            let (_, pending) = self.queue.pop().expect("a queue with a next time has an item");
            self.deliver(pending);
        }
    }

    /// Permutes, keeping the order of events of one source.
    fn shuffle_ties(&mut self, ties: &mut [Pending]) {
        if let (Some(stream), true) = (&mut self.shuffle, ties.len() > 1) {
            let sources: Vec<_> = ties.iter().map(|pending| pending.event.source()).collect();
            let mut order: Vec<usize> = (0..ties.len()).collect();
            stream.shuffle(&mut order);
            // Within each source, the places that it was dealt are filled in its own order.
            let mut places: std::collections::BTreeMap<_, Vec<usize>> = std::collections::BTreeMap::new();
            for (place, event) in order.iter().enumerate() {
                places.entry(sources[*event]).or_default().push(place);
            }
            let mut target = vec![0; ties.len()];
            let mut taken: std::collections::BTreeMap<_, usize> = std::collections::BTreeMap::new();
            for (event, source) in sources.iter().enumerate() {
                let nth = taken.entry(*source).or_insert(0);
                target[event] = places[source][*nth];
                *nth += 1;
            }
            for start in 0..target.len() {
                while target[start] != start {
                    let to = target[start];
                    ties.swap(start, to);
                    target.swap(start, to);
                }
            }
        }
    }

    fn deliver(&mut self, pending: Pending) {
        let Pending { event, incarnation, cause } = pending;
        let Some(address) = event.target() else {
            match event {
                Event::Life(address, life) => self.life(address, life, cause),
                Event::Host(host_event) => self.host.wake(self.now, host_event, cause, &mut self.queue),
                Event::Fault { fault, begins } => self.fault(fault as usize, begins),
                _ => self.second(),
            }
            return;
        };
        let index = self.directory.index(address);
        let process = &mut self.processes[index];
        if incarnation.0 != 0 && incarnation != process.incarnation {
            return;
        }
        match process.state {
            State::Down => return,
            State::Frozen => {
                process.waiting.push(Pending { event, incarnation: process.incarnation, cause });
                return;
            }
            State::Up => {}
        }
        let now = process.clock.show(self.now);
        let shape = event.shape();
        if shape.is_wake() {
            // An earlier wake took the place of this one: were it to arm again, it would live for ever beside the others.
            if process.armed > self.now {
                return;
            }
            process.armed = Time::NEVER;
            if self.actors.deadline(address) > now {
                self.arm(index);
                return;
            }
        }
        if let Some(conn) = shape.conn()
            && (shape.is_data() || shape.closes() || shape.opens())
            && !self.host.delivers(address, conn, shape.closes())
        {
            return;
        }
        if let Some(conn) = shape.conn().filter(|_| shape.closes()) {
            self.streams.closed(conn);
        }
        self.step(index, now, event, shape, cause);
    }

    fn step(&mut self, index: usize, now: Time, event: Event, shape: Shape, cause: Cause) {
        let address = self.processes[index].address;
        self.events += 1;
        self.trace.bytes(bytes_of(&[self.now.nanos(), index as u64 | u64::from(shape.tag) << 32, shape.number]).as_slice());
        self.out.begin(cause);
        self.actors.step(now, event, &mut self.out);
        self.perform(address);
        self.arm(index);
    }

    /// Does what the actor asked for, in order. What members applied is looked at last, so that facts are numbered in order.
    fn perform(&mut self, address: Address) {
        let mut applied = std::mem::take(&mut self.applied);
        self.out.take_applied(&mut applied);
        if let Some(history) = &mut self.history {
            applied.iter().for_each(|applied| history.applied(applied));
        }
        let mut rewound = None;
        for (cause, effect) in self.out.drain() {
            match effect {
                Effect::Record(id, fact) => {
                    let cause = match &fact.what {
                        What::Silent { of, .. } => self.recorder.silence(of, self.now, &self.host).or(cause),
                        _ => cause,
                    };
                    self.recorder.record(self.now, id, cause, *fact);
                }
                Effect::History(event) => {
                    self.recorder.history(self.now, *event);
                    self.actors.told(&mut self.recorder);
                }
                Effect::Net(NetOp::Write(conn, message)) => {
                    self.messages += 1;
                    let (history, violations) = (self.history.as_ref(), &mut self.recorder.violations);
                    #[cfg(test)]
                    let (message, bug) = {
                        let mut message = message;
                        let bug = self.planted.bug(&mut message);
                        (message, bug)
                    };
                    #[cfg(test)]
                    match bug {
                        Bug::Lost => continue,
                        Bug::Twice => self.streams.written(address, conn, &message, self.events, history, violations),
                        Bug::LostOnTheWay | Bug::None => {}
                    }
                    self.streams.written(address, conn, &message, self.events, history, violations);
                    self.actors.wrote(&message, &mut self.recorder);
                    #[cfg(test)]
                    if bug == Bug::LostOnTheWay {
                        continue;
                    }
                    let message = if self.options.codec { through_codec(&message) } else { message };
                    self.host.perform(self.now, address, cause, Effect::Net(NetOp::Write(conn, message)), &mut self.queue);
                }
                effect => {
                    match &effect {
                        Effect::Net(NetOp::Close(conn)) => self.streams.closed(*conn),
                        Effect::Provision(provision) => rewound = self.actors.provisioned(provision, &mut self.recorder).or(rewound),
                        _ => {}
                    }
                    self.host.perform(self.now, address, cause, effect, &mut self.queue);
                }
            }
        }
        if let Some(revision) = rewound {
            self.out.rewind_applied(revision);
        }
        for what in applied.drain(..) {
            self.actors.applied(self.now, address, what, &mut self.recorder, &mut self.out);
        }
        self.applied = applied;
        if self.options.check_full {
            self.actors.stepped(address, &mut self.recorder);
        }
        debug_assert!(self.out.is_empty());
    }

    fn arm(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let deadline = self.actors.deadline(process.address);
        if deadline == Time::NEVER {
            return;
        }
        let at = process.clock.truth(deadline).max(self.now);
        if at < process.armed {
            process.armed = at;
            let wake = Event::input(process.address, crate::wire::Input::Wake);
            push(&mut self.queue, at, wake, process.incarnation, Cause::NONE);
        }
    }

    fn life(&mut self, address: Address, life: Life, cause: Cause) {
        let index = self.directory.index(address);
        let process = &mut self.processes[index];
        match life {
            Life::Start if process.state == State::Down && self.host.may_start(address) => {
                process.state = State::Up;
                process.incarnation = process.incarnation.next();
                process.armed = Time::NEVER;
                let incarnation = process.incarnation;
                self.actors.spawn(address, incarnation);
                let boot = self.host.boot(self.now, address, incarnation);
                if incarnation.0 > 1 {
                    self.tell(cause, Subject::Actor(address), What::Started);
                }
                let event = Event::input(address, crate::wire::Input::Boot(Box::new(boot)));
                let now = self.processes[index].clock.show(self.now);
                let shape = event.shape();
                self.step(index, now, event, shape, cause);
            }
            Life::Stop if process.state != State::Down => {
                process.state = State::Down;
                process.waiting.clear();
                self.actors.retire(address);
                self.host.stopped(self.now, address, cause, &mut self.queue);
                self.tell(cause, Subject::Actor(address), What::Stopped);
            }
            Life::Freeze if process.state == State::Up => process.state = State::Frozen,
            Life::Thaw if process.state == State::Frozen => {
                process.state = State::Up;
                // What waited comes now, in its order and before all else; timers late, as after SIGCONT.
                for pending in std::mem::take(&mut process.waiting) {
                    self.deliver(pending);
                }
                self.arm(index);
            }
            Life::Start | Life::Stop | Life::Freeze | Life::Thaw => {}
        }
    }

    /// Records a fact of the engine's own.
    fn tell(&mut self, cause: Cause, subject: Subject, what: What) -> Cause {
        let id = self.out.next_fact_id();
        self.recorder.record(self.now, id, cause, Fact { subject, what });
        Cause::fact(id)
    }

    fn fault(&mut self, number: usize, begins: bool) {
        if begins {
            let plan = self.actors.resolve(&self.faults[number]);
            let what = What::FaultInjected { fault: number as u32, description: plan.description.clone() };
            let cause = self.tell(Cause::NONE, Subject::Place(plan.description.clone()), what);
            self.recorder.fault_began(number, &plan, cause);
            self.drift(&plan.fault, 1);
            self.host.inject(self.now, number as u32, &plan.fault, cause, &mut self.queue);
            self.played[number] = Some(plan);
        } else if let Some(plan) = self.played[number].take() {
            let what = What::FaultEnded { fault: number as u32, description: plan.description.clone() };
            let began = self.recorder.fault_cause(number);
            self.drift(&plan.fault, -1);
            let cause = self.tell(began, Subject::Place(plan.description.clone()), what);
            self.host.heal(self.now, number as u32, &plan.fault, cause, &mut self.queue);
        }
    }

    /// A fault of clocks begins, or ends (`sign` -1): they run at another rate from now on.
    fn drift(&mut self, fault: &Fault, sign: i64) {
        let Fault::ClockDrift { machines, ppm } = fault else { return };
        for address in self.actors.on_machines(machines) {
            let index = self.directory.index(address);
            let process = &mut self.processes[index];
            process.clock = process.clock.drifting(self.now, sign * ppm * 1000);
            // What it waits for may come earlier now.
            if process.state == State::Up {
                self.arm(index);
            }
        }
    }

    fn second(&mut self) {
        let Engine { actors, recorder, processes, directory, history, .. } = self;
        let up = |address: Address| processes[directory.index(address)].state != State::Down;
        actors.second(self.now, &up, recorder);
        if let Some(history) = history {
            actors.check_full(history, recorder);
        }
        self.recorder.checkpoint(self.now, self.trace.digest());
        self.queue.push(self.now + Duration::from_secs(1), Pending::any(Event::Second, Cause::NONE));
    }

    /// For messages of broken invariants: where the run is.
    pub fn whereabouts(&self) -> Name {
        format!("seed {}, {} after {} events", self.seed, self.now, self.events).into()
    }
}

fn bytes_of(words: &[u64; 3]) -> [u8; 24] {
    let mut bytes = [0; 24];
    for (chunk, word) in bytes.chunks_exact_mut(8).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn through_codec(message: &Message) -> Message {
    let frame = codec::encode(message);
    codec::decode(&frame).unwrap_or_else(|error| panic!("{message:?} does not survive the codec: {error}"))
}
