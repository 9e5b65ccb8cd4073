//! Scripted clients that talk to one server over real connections: the loop and the simulated host, and nothing else.

use std::cell::Cell;
use std::sync::Arc;

use clustersim::base::{Digest, Duration, Incarnation, Name, Term, Time};
use clustersim::engine::plan::{Fault, FaultPlan, Initial, Machine, Plan, Starts, Timings};
use clustersim::engine::recorder::Recorder;
use clustersim::engine::{Actors, Engine, Event, Options};
use clustersim::host::sim::SimHost;
use clustersim::models::distribution::Distribution;
use clustersim::models::images::ImageCatalog;
use clustersim::models::network::Network;
use clustersim::wire::api::{Body, Verb};
use clustersim::wire::fact::{Fact, Subject, What};
use clustersim::wire::raft::HardState;
use clustersim::wire::{
    Address, ApiRequest, ApiResponse, Conn, DiskRecord, Input, KeepAlive, MachineId, Message, Outbox, Replica, Server, ServerMessage,
};

pub const CLIENT: Address = Address::Operator;
pub const SECOND_CLIENT: Address = Address::Manager(Replica(1));
pub const SERVER: Address = Address::Api(Server(1));
pub const CLIENT_MACHINE: MachineId = MachineId(0);
pub const SERVER_MACHINE: MachineId = MachineId(1);

pub fn ms(millis: u64) -> Time {
    Time::from_millis(millis)
}

/// What a client does at an instant of its script.
#[derive(Clone, Copy)]
pub enum Do {
    Dial,
    /// With etcd's keep-alive.
    DialAsEtcd,
    Say(u64),
    Close,
}

/// When the server wants to be woken.
#[derive(Clone, Copy, PartialEq)]
pub enum Timer {
    Never,
    /// Once.
    At(Time),
    /// This long after the last request.
    Idle(Duration),
    /// At 100 s, a second sooner with each request; from the first time on each second.
    Sooner,
}

/// Follows its script; counts on the last connection that it dialled.
pub struct Client {
    pub script: Vec<(Time, Do)>,
    pub done: usize,
    pub conn: Option<Conn>,
}

impl Client {
    pub fn step(&mut self, now: Time, input: Input<Box<ApiResponse>>, out: &mut Outbox) -> Option<String> {
        Some(match input {
            Input::Wake => {
                while let Some((_, what)) = self.script.get(self.done).filter(|(at, _)| *at <= now) {
                    self.done += 1;
                    match (*what, self.conn) {
                        (Do::Dial, _) => self.conn = Some(out.dial(SERVER, KeepAlive::HTTP2)),
                        (Do::DialAsEtcd, _) => self.conn = Some(out.dial(SERVER, KeepAlive::ETCD_CLIENT)),
                        (Do::Say(id), Some(conn)) => {
                            let verb = Verb::CancelWatch { watch: id };
                            out.write(conn, Message::ApiRequest(Box::new(ApiRequest { id, verb })));
                        }
                        (Do::Close, Some(conn)) => out.close(conn),
                        (Do::Say(_) | Do::Close, None) => {}
                    }
                }
                return None;
            }
            Input::Boot(boot) => {
                // A new life goes on with the script, not back to its beginning.
                self.done = self.script.iter().filter(|(at, _)| *at < now).count();
                format!("boot {}", boot.incarnation)
            }
            Input::Opened(_) => "opened".to_owned(),
            Input::Refused(_) => "refused".to_owned(),
            Input::Closed(_, reason) => format!("closed {reason:?}"),
            Input::Data(_, response) => {
                out.record(Fact {
                    subject: Subject::Run,
                    what: What::StepDone { step: response.id as u32, description: Name::new("answer") },
                });
                format!("answer {}", response.id)
            }
            other => panic!("a client got {other:?}"),
        })
    }
    pub fn deadline(&self) -> Time {
        self.script.get(self.done).map_or(Time::NEVER, |(at, _)| *at)
    }
}

/// Answers each request; writes its number to disk, and syncs what is even.
pub struct Responder {
    pub timer: Timer,
    pub due: Time,
}

impl Responder {
    pub fn step(&mut self, now: Time, input: Input<ServerMessage>, out: &mut Outbox) -> Option<String> {
        Some(match input {
            Input::Boot(boot) => {
                let terms: Vec<u64> = boot.disk.iter().map(term_of).collect();
                format!("boot {} with {terms:?}", boot.incarnation)
            }
            Input::Wake => {
                self.due = if self.timer == Timer::Sooner { now + Duration::from_secs(1) } else { Time::NEVER };
                "timer".to_owned()
            }
            Input::Accepted(_, from) => format!("accepted {from}"),
            Input::Closed(_, reason) => format!("closed {reason:?}"),
            Input::Synced(_) => "synced".to_owned(),
            Input::Data(conn, ServerMessage::Client(request)) => {
                let id = request.id;
                out.disk_write(DiskRecord::HardState(HardState { term: Term(id), ..HardState::default() }));
                if id % 2 == 0 {
                    out.disk_sync();
                }
                match self.timer {
                    Timer::Idle(span) => self.due = now + span,
                    Timer::Sooner => self.due = self.due - Duration::from_secs(1),
                    Timer::Never | Timer::At(_) => {}
                }
                out.write(conn, Message::ApiResponse(Box::new(ApiResponse { id, body: Body::Done })));
                format!("request {id}")
            }
            other => panic!("the server got {other:?}"),
        })
    }
}

pub fn term_of(record: &DiskRecord) -> u64 {
    match record {
        DiskRecord::HardState(state) => state.term.0,
        other => panic!("nobody wrote {other:?}"),
    }
}

pub struct World {
    pub script: Vec<(Time, Do)>,
    pub timer: Timer,
    pub clients: [Option<Client>; 2],
    pub server: Option<Responder>,
    pub log: Vec<String>,
    /// How often the engine asked the server for its deadline.
    pub looks: Cell<u64>,
}

impl Actors for World {
    fn spawn(&mut self, address: Address, _: Incarnation) {
        let client = || Client { script: self.script.clone(), done: 0, conn: None };
        match address {
            CLIENT => self.clients[0] = Some(client()),
            SECOND_CLIENT => self.clients[1] = Some(client()),
            _ => {
                let due = match self.timer {
                    Timer::At(at) => at,
                    Timer::Sooner => Time::from_secs(100),
                    Timer::Never | Timer::Idle(_) => Time::NEVER,
                };
                self.server = Some(Responder { timer: self.timer, due });
            }
        }
    }
    fn retire(&mut self, address: Address) {
        match address {
            CLIENT => self.clients[0] = None,
            SECOND_CLIENT => self.clients[1] = None,
            _ => self.server = None,
        }
    }
    fn step(&mut self, now: Time, event: Event, out: &mut Outbox) {
        let target = event.target().expect("an actor's input");
        let line = match event {
            Event::Operator(input) => self.clients[0].as_mut().expect("it lives").step(now, input, out),
            Event::Manager(_, input) => self.clients[1].as_mut().expect("it lives").step(now, input, out),
            Event::Api(_, input) => self.server.as_mut().expect("it lives").step(now, input, out),
            other => panic!("nobody here takes {other:?}"),
        };
        let who = match target {
            CLIENT => "client",
            SECOND_CLIENT => "second",
            _ => "server",
        };
        self.log.extend(line.map(|line| format!("{now} {who} {line}")));
    }
    fn deadline(&self, address: Address) -> Time {
        match address {
            CLIENT => self.clients[0].as_ref().map_or(Time::NEVER, Client::deadline),
            SECOND_CLIENT => self.clients[1].as_ref().map_or(Time::NEVER, Client::deadline),
            _ => {
                self.looks.set(self.looks.get() + 1);
                self.server.as_ref().map_or(Time::NEVER, |server| server.due)
            }
        }
    }
    fn applied(&mut self, _: Time, _: Address, _: clustersim::wire::etcd::Applied, _: &mut Recorder, _: &mut Outbox) {
        unreachable!("nobody here stores anything");
    }
    fn second(&mut self, _: Time, _: &dyn Fn(Address) -> bool, _: &mut Recorder) {}
    fn resolve(&self, fault: &FaultPlan) -> FaultPlan {
        fault.clone()
    }
}

/// What a test is about.
pub struct Setting {
    pub seed: u64,
    pub script: Vec<(Time, Do)>,
    pub timer: Timer,
    pub faults: Vec<(u64, Option<u64>, Fault)>,
    pub options: Options,
    pub second_client: bool,
    pub starts: Starts,
    pub latency: Distribution,
}

pub fn setting(script: &[(u64, Do)]) -> Setting {
    Setting {
        seed: 1,
        script: script.iter().map(|(at, what)| (ms(*at), *what)).collect(),
        timer: Timer::Never,
        faults: Vec::new(),
        options: Options::default(),
        second_client: false,
        starts: Starts::default(),
        latency: Distribution::Constant(Duration::from_millis(10)),
    }
}

impl Setting {
    /// From and until in milliseconds.
    pub fn fault(mut self, from: u64, until: impl Into<Option<u64>>, fault: Fault) -> Setting {
        self.faults.push((from, until.into(), fault));
        self
    }
    pub fn engine(&self) -> Engine<World, SimHost> {
        let machine = |name: &str| Machine {
            name: name.into(),
            region: "here".into(),
            zone: name.into(),
            rack: name.into(),
            cores: 1,
            fsync: Distribution::Constant(Duration::from_millis(50)),
            stalls: None,
            bandwidth: 1_000_000_000,
        };
        let latency = || self.latency.clone();
        let network = Network {
            same_machine: latency(),
            same_rack: latency(),
            same_zone: latency(),
            between_zones: latency(),
            between_regions: latency(),
            loss: 0.0,
        };
        let fault = |(at, until, fault): &(u64, Option<u64>, Fault)| FaultPlan {
            at: ms(*at),
            until: until.map(ms),
            description: "a fault".into(),
            fault: fault.clone(),
            found: None,
            drawn: None,
        };
        let faults: Vec<FaultPlan> = self.faults.iter().map(fault).collect();
        let plan = Plan {
            name: "engine".into(),
            description: Name::default(),
            seed: self.seed,
            start: Time::ZERO,
            duration: Duration::from_secs(600),
            stop_after: None,
            machines: vec![machine("client"), machine("server")],
            etcd: Vec::new(),
            etcd_initial: 0,
            etcd_load: Vec::new(),
            etcd_steps: Vec::new(),
            api_servers: vec![SERVER_MACHINE],
            managers: Vec::new(),
            schedulers: Vec::new(),
            nodes: Vec::new(),
            network,
            images: ImageCatalog {
                registry_bandwidth: 1_000_000,
                registry_latency: Distribution::Constant(Duration::ZERO),
                unpack_rate: 1_000_000,
                sizes: Default::default(),
                default_size: 0,
                missing: Vec::new(),
                preloaded: Vec::new(),
            },
            runtime: Default::default(),
            starts: self.starts.clone(),
            timings: Timings::default(),
            workload: Vec::new(),
            initial: Initial::Empty,
            behaviours: Default::default(),
            traffic: Vec::new(),
            steps: Vec::new(),
            faults: faults.clone(),
            expectations: Vec::new(),
            study: None,
        };
        let mut places = vec![(CLIENT, CLIENT_MACHINE), (SERVER, SERVER_MACHINE)];
        if self.second_client {
            places.push((SECOND_CLIENT, CLIENT_MACHINE));
        }
        let starts: Vec<(Address, Time)> = places.iter().map(|(address, _)| (*address, plan.begins(*address))).collect();
        let host = SimHost::new(Arc::new(plan), &places);
        let world = World {
            script: self.script.clone(),
            timer: self.timer,
            clients: [None, None],
            server: None,
            log: Vec::new(),
            looks: Cell::new(0),
        };
        Engine::new(world, host, &starts, Time::ZERO, self.seed, faults, self.options)
    }
    /// Plays ten minutes and returns what everybody saw, but for the first boots.
    pub fn play(&self) -> Vec<String> {
        let mut engine = self.engine();
        engine.run_until(Time::from_secs(600));
        assert_eq!(engine.actors.log[..2], ["0.000s client boot 1", "0.000s server boot 1 with []"]);
        engine.actors.log.split_off(2)
    }
    pub fn digests(&self) -> (Digest, Digest) {
        let mut engine = self.engine();
        engine.run_until(Time::from_secs(600));
        (engine.recorder.outcome_digest(), engine.trace_digest())
    }
}
