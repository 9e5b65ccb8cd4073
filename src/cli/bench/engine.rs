//! The loop and the simulated host with actors that do next to nothing: what an event costs before anybody acts on it.

use std::sync::Arc;

use serde::Serialize;

use super::measure;
use crate::base::random::Seed;
use crate::base::{Duration, Incarnation, Stream, Time};
use crate::engine::plan::{FaultPlan, Plan};
use crate::engine::recorder::Recorder;
use crate::engine::{Actors, Engine, Event, Options};
use crate::host::sim::SimHost;
use crate::models::distribution::Distribution;
use crate::models::network::Network;
use crate::scenario;
use crate::wire::api::{Body, Verb};
use crate::wire::{Address, ApiRequest, ApiResponse, Input, KeepAlive, MachineId, Message, NodeId, Outbox, Server, ServerMessage};

/// Million events a CPU second, delivered to actors.
#[derive(Serialize)]
pub struct Rate {
    pub name: &'static str,
    pub events: f64,
}

/// A plan without anything in it but two machines.
fn bare() -> Plan {
    let source = scenario::find("bench-cluster").expect("it is shipped");
    let small = ["cluster.nodes[0].count=3".to_owned(), "workload[0].copies=1".to_owned()];
    let mut plan = scenario::load(&source, &small).expect("a shipped scenario is valid").plan;
    plan.nodes.clear();
    plan.workload.clear();
    plan.faults.clear();
    plan.expectations.clear();
    plan.start = Time::ZERO;
    plan
}

/// A client at the operator's address that sends the next request as soon as the last is answered.
struct PingPong;

impl Actors for PingPong {
    fn spawn(&mut self, _: Address, _: Incarnation) {}
    fn retire(&mut self, _: Address) {}
    fn step(&mut self, _: Time, event: Event, out: &mut Outbox) {
        let request = || Message::ApiRequest(Box::new(ApiRequest { id: 1, verb: Verb::CancelWatch { watch: 1 } }));
        match event {
            // The server starts at the same instant, but after the client.
            Event::Operator(Input::Boot(_) | Input::Refused(_)) => {
                out.dial(Address::Api(Server(1)), KeepAlive::HTTP2);
            }
            Event::Operator(Input::Opened(conn) | Input::Data(conn, _)) => out.write(conn, request()),
            Event::Api(_, Input::Data(conn, ServerMessage::Client(request))) => {
                out.write(conn, Message::ApiResponse(Box::new(ApiResponse { id: request.id, body: Body::Done })));
            }
            _ => {}
        }
    }
    fn deadline(&self, _: Address) -> Time {
        Time::NEVER
    }
    fn applied(&mut self, _: Time, _: Address, _: crate::wire::etcd::Applied, _: &mut Recorder, _: &mut Outbox) {}
    fn second(&mut self, _: Time, _: &dyn Fn(Address) -> bool, _: &mut Recorder) {}
    fn resolve(&self, fault: &FaultPlan) -> FaultPlan {
        fault.clone()
    }
}

pub fn ping_pong(name: &'static str, latency: Distribution, quick: bool) -> Rate {
    let mut plan = bare();
    let all = || latency.clone();
    plan.network =
        Network { same_machine: all(), same_rack: all(), same_zone: all(), between_zones: all(), between_regions: all(), loss: 0.0 };
    let places = [(Address::Operator, MachineId(0)), (Address::Api(Server(1)), MachineId(1))];
    // A round trip is two events and two milliseconds.
    run(name, plan, &places, PingPong, Time::from_secs(if quick { 100 } else { 1_000 }))
}

/// Many actors of which each waits an exponential time, again and again.
struct Timers {
    due: Vec<Time>,
    mean: Duration,
    stream: Stream,
}

impl Actors for Timers {
    fn spawn(&mut self, _: Address, _: Incarnation) {}
    fn retire(&mut self, _: Address) {}
    fn step(&mut self, now: Time, event: Event, _: &mut Outbox) {
        if let Event::Kubelet(NodeId(number), _) = event {
            self.due[number as usize] = now + self.stream.duration_between(Duration::ZERO, self.mean * 2);
        }
    }
    fn deadline(&self, address: Address) -> Time {
        let Address::Kubelet(NodeId(number)) = address else { return Time::NEVER };
        self.due[number as usize]
    }
    fn applied(&mut self, _: Time, _: Address, _: crate::wire::etcd::Applied, _: &mut Recorder, _: &mut Outbox) {}
    fn second(&mut self, _: Time, _: &dyn Fn(Address) -> bool, _: &mut Recorder) {}
    fn resolve(&self, fault: &FaultPlan) -> FaultPlan {
        fault.clone()
    }
}

pub fn timers(name: &'static str, count: u32, quick: bool) -> Rate {
    let places: Vec<_> = (0..count).map(|number| (Address::Kubelet(NodeId(number)), MachineId(0))).collect();
    // 1,000 wakes a virtual second, whatever the number of timers.
    let mean = Duration::from_millis(u64::from(count));
    let actors = Timers { due: vec![Time::NEVER; count as usize], mean, stream: Seed(1).stream("timers") };
    run(name, bare(), &places, actors, Time::from_secs(if quick { 200 } else { 2_000 }))
}

fn run<A: Actors>(name: &'static str, plan: Plan, places: &[(Address, MachineId)], actors: A, length: Time) -> Rate {
    let starts: Vec<(Address, Time)> = places.iter().map(|(address, _)| (*address, Time::ZERO)).collect();
    let plan = Arc::new(plan);
    let host = SimHost::new(plan.clone(), places);
    let mut engine = Engine::new(actors, host, &starts, Time::ZERO, plan.seed, Vec::new(), Options::default());
    // The first boots and the first growth of everything are not what is measured.
    engine.run_until(Time::from_millis(1));
    let mut best = 0f64;
    for part in 1..=5 {
        let before = engine.events();
        let seconds = measure::time(|| engine.run_until(Time::from_nanos(length.nanos() / 5 * part)));
        best = best.max((engine.events() - before) as f64 / seconds / 1e6);
    }
    Rate { name, events: best }
}
