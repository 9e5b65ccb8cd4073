//! The controller manager: an actor that stands for election and, while it leads, runs all controllers of the
//! [`registry`](super::registry).
//!
//! It follows kube-controller-manager: informers and controllers start only after the lead is gained; losing the lead ends the process,
//! which comes back as a candidate with nothing remembered (client-go `tools/leaderelection`, k/k `cmd/kube-controller-manager`). Each
//! controller's client has a rate limiter of its own, as has leader election (k/k `cmd/kube-controller-manager/app/controllermanager.go`,
//! `ClientBuilder.ClientOrDie`). Each life of the process stands for election under an identity of its own (host name and a new UUID,
//! upstream): who lost the lead waits like any other until its old lease has expired.
//!
//! Invariant: no controller acts unless this manager leads and its cache has been complete once since it gained the lead.

use super::adapter::{ErasedController, Order, OrderCause};
use super::{Config, registry};
use crate::base::random::Seed;
use crate::base::{Cause, Duration, Incarnation, Map, Name, Stream, Time};
use crate::client::{Informers, LeaderConfig, LeaderElector, Leadership, Reply, Session, SessionConfig, SessionOutput};
use crate::objects::{Key, Kind, Stored};
use crate::wire::api::Scope;
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Actor, Address, ApiError, ClientMessage, Input, Outbox, Replica, WorkId};

/// See the module.
pub struct Manager {
    config: Config,
    replica: Replica,
    server: Address,
    incarnation: Incarnation,
    /// How often the lead was lost in this life of the actor.
    losses: u32,
    identity: Name,
    stream: Stream,
    /// `None` before the first `Boot`.
    life: Option<Life>,
}

/// The state of a process: gone with it.
struct Life {
    elector: LeaderElector,
    /// The client of leader election; controllers have another.
    election: Session<()>,
    /// The lease as last seen in another's hands.
    predecessor: Option<Predecessor>,
    /// While leading.
    term: Option<Term>,
}

struct Predecessor {
    identity: Name,
    renewed: Time,
    because: Cause,
}

/// The controllers, while this manager leads.
struct Term {
    session: Session<Token>,
    controllers: Vec<Running>,
    /// Which controllers hear of a kind, by `Kind as usize`.
    watchers: [Vec<usize>; Kind::ALL.len()],
    work: Map<WorkId, (usize, usize)>,
    synced: bool,
    orders: Vec<Order>,
}

struct Running {
    controller: Box<dyn ErasedController>,
    /// The index of its client's limiter in the session.
    limiter: usize,
}

/// Whose request an answer is for.
#[derive(Clone, Copy, Debug)]
struct Token {
    controller: usize,
    worker: usize,
    number: usize,
}

impl Manager {
    /// `stream` feeds election jitter and reflector back-off; the engine names it by the incarnation.
    pub fn new(config: Config, replica: Replica, server: Address, stream: Stream) -> Manager {
        let incarnation = Incarnation::default();
        Manager { config, replica, server, incarnation, losses: 0, identity: Name::default(), stream, life: None }
    }
    pub fn is_leading(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.term.is_some())
    }
    /// What it believes of the API while it leads, for checks.
    pub fn informers(&self) -> Option<Informers<'_>> {
        self.life.as_ref()?.term.as_ref().map(|term| term.session.informers())
    }
    fn subject(&self) -> Subject {
        Subject::Actor(Address::Manager(self.replica))
    }

    /// Starts as a candidate: at boot, and after a lost lead.
    fn become_candidate(&mut self, now: Time, out: &mut Outbox) {
        let seed = Seed(self.stream.next_u64());
        let timings = self.config.leader;
        self.identity = identity(self.replica, self.incarnation, self.losses);
        let elector = LeaderElector::new(
            LeaderConfig {
                lease: Key::new(Kind::Lease, "kube-system", "kube-controller-manager"),
                identity: self.identity.clone(),
                timings,
            },
            seed.stream("leader election"),
        );
        let mut election = Session::new(
            SessionConfig {
                server: self.server,
                limits: vec![(self.config.client_qps_milli, self.config.client_burst)],
                // client-go `tools/leaderelection/resourcelock/interface.go`: half of the renew deadline.
                timeout: timings.renew_deadline.scale(1, 2),
                reflect: Vec::new(),
            },
            seed.stream("election session"),
        );
        election.start(now, out);
        self.life = Some(Life { elector, election, predecessor: None, term: None });
    }

    fn gain(&mut self, now: Time, out: &mut Outbox) {
        let subject = self.subject();
        let seed = Seed(self.stream.next_u64());
        let term = Term::new(&self.config, self.server, seed.stream("session"));
        let life = self.life.as_mut().expect("a candidate is alive");
        if let Some(predecessor) = life.predecessor.take() {
            out.because(predecessor.because);
            out.record(Fact { subject: subject.clone(), what: predecessor.silence(now) });
        }
        out.record(Fact { subject, what: What::Leading });
        life.term = Some(term);
        life.term.as_mut().expect("just set").session.start(now, out);
    }

    fn lose(&mut self, now: Time, out: &mut Outbox) {
        let mut life = self.life.take();
        let since = life.as_ref().map_or(Duration::ZERO, |life| life.elector.since_renewal(now));
        let silent = What::Silent { of: Subject::Actor(self.server), since };
        out.record(Fact { subject: self.subject(), what: silent });
        out.record(Fact { subject: self.subject(), what: What::StoppedLeading });
        self.losses += 1;
        if let Some(life) = &mut life {
            life.election.stop(out);
            if let Some(term) = &mut life.term {
                term.session.stop(out);
            }
        }
        self.become_candidate(now, out);
    }

    /// Feeds the elector what came, and sends what it wants next.
    fn elect(&mut self, now: Time, answers: Vec<SessionOutput<()>>, out: &mut Outbox) {
        let Some(life) = &mut self.life else { return };
        let mut change = None;
        for output in answers {
            if let SessionOutput::Answer { cause, result, .. } = output {
                out.because(cause);
                let seen = match &result {
                    Ok(Reply::Object(stored)) => Ok(Some(stored)),
                    Ok(_) => Ok(None),
                    Err(error) => Err(error),
                };
                if let Ok(Some(stored)) = seen {
                    life.remember(stored, &self.identity);
                }
                change = life.elector.answer(now, seen).or(change);
            }
        }
        change = change.or_else(|| life.elector.wake(now));
        match change {
            Some(Leadership::Gained) => self.gain(now, out),
            Some(Leadership::Lost) => self.lose(now, out),
            None => {}
        }
        let life = self.life.as_mut().expect("alive since it was booted");
        if let Some(verb) = life.elector.poll(now) {
            life.election.send(now, 0, verb, (), out);
        }
    }
}

/// Another for each life, and for each time that the lead was lost in it: who holds the lease under this name has it.
fn identity(replica: Replica, incarnation: Incarnation, losses: u32) -> Name {
    Name::from(format!("{}_{incarnation}.{losses}", Address::Manager(replica)))
}

/// Whose identity this is.
fn holder_of(identity: &str) -> Option<Address> {
    let (number, _) = identity.strip_prefix("controller-manager-")?.split_once('_')?;
    number.parse().ok().map(|number| Address::Manager(Replica(number)))
}

impl Actor for Manager {
    type Message = ClientMessage;

    fn step(&mut self, now: Time, input: Input<ClientMessage>, out: &mut Outbox) {
        let (mut votes, mut outputs) = (Vec::new(), Vec::new());
        if let Input::Boot(boot) = input {
            self.incarnation = boot.incarnation;
            self.become_candidate(now, out);
        } else {
            let Some(life) = &mut self.life else { return };
            let rest = life.election.handle(now, input, out, &mut votes);
            if let (Some(term), Some(input)) = (&mut life.term, rest) {
                // What else is left over is a spurious wake, or concerns a connection that is gone.
                if let Some(Input::Done(id)) = term.session.handle(now, input, out, &mut outputs)
                    && let Some((controller, worker)) = term.work.remove(&id)
                {
                    term.controllers[controller].controller.computed(worker);
                }
            }
        }
        if let Some(life) = &mut self.life {
            life.election.wake(now, out, &mut votes);
            if let Some(term) = &mut life.term {
                term.session.wake(now, out, &mut outputs);
                term.step(now, outputs, out);
            }
        }
        self.elect(now, votes, out);
    }

    fn deadline(&self) -> Time {
        let Some(life) = &self.life else { return Time::NEVER };
        let candidate = life.elector.deadline().min(life.election.deadline());
        life.term.as_ref().map_or(candidate, |term| candidate.min(term.deadline()))
    }
}

impl Life {
    fn remember(&mut self, stored: &Stored, own: &Name) {
        let Some(lease) = stored.object.as_lease() else { return };
        let holder = &lease.spec.holder_identity;
        if holder != own {
            self.predecessor = (!holder.is_empty()).then(|| Predecessor {
                identity: holder.clone(),
                renewed: lease.spec.renew_time.unwrap_or(Time::ZERO),
                because: stored.because(),
            });
        }
    }
}

impl Predecessor {
    /// The engine replaces the cause of this fact by the fault behind the silence.
    fn silence(&self, now: Time) -> What {
        let of = holder_of(&self.identity).map_or_else(|| Subject::Place(self.identity.clone()), Subject::Actor);
        What::Silent { of, since: now.since(self.renewed) }
    }
}

impl Term {
    fn new(config: &Config, server: Address, stream: Stream) -> Term {
        let mut clients: Vec<&'static str> = Vec::new();
        let mut watchers: [Vec<usize>; Kind::ALL.len()] = Default::default();
        let mut controllers = Vec::new();
        for controller in registry(config) {
            let limiter = clients.iter().position(|client| *client == controller.client()).unwrap_or_else(|| {
                clients.push(controller.client());
                clients.len() - 1
            });
            for kind in controller.watches() {
                watchers[*kind as usize].push(controllers.len());
            }
            controllers.push(Running { controller, limiter });
        }
        let watched = Kind::ALL.into_iter().filter(|kind| !watchers[*kind as usize].is_empty());
        let session = Session::new(
            SessionConfig {
                server,
                limits: clients.iter().map(|_| (config.client_qps_milli, config.client_burst)).collect(),
                // Clients set none; the API server gives up after 60 s (apiserver `pkg/server/config.go`, RequestTimeout).
                timeout: Duration::from_secs(60),
                reflect: watched.map(|kind| (kind, Scope::all())).collect(),
            },
            stream,
        );
        Term { session, controllers, watchers, work: Map::default(), synced: false, orders: Vec::new() }
    }

    fn step(&mut self, now: Time, outputs: Vec<SessionOutput<Token>>, out: &mut Outbox) {
        for output in outputs {
            match output {
                SessionOutput::Change(change) => {
                    for at in &self.watchers[change.kind() as usize] {
                        self.controllers[*at].controller.observe(now, &change, self.session.cache());
                    }
                }
                SessionOutput::Answer { token, result, .. } => self.answer(token, result),
                SessionOutput::Synced => {
                    self.synced = true;
                    for running in &mut self.controllers {
                        running.controller.start(now, self.session.cache());
                    }
                }
            }
        }
        if self.synced {
            for at in 0..self.controllers.len() {
                self.run(now, at, out);
            }
        }
    }

    fn answer(&mut self, token: Token, result: Result<Reply, ApiError>) {
        self.controllers[token.controller].controller.answer(token.worker, token.number, result);
    }

    /// Lets a controller's workers go on, and carries out what they want.
    fn run(&mut self, now: Time, at: usize, out: &mut Outbox) {
        let Running { controller, limiter } = &mut self.controllers[at];
        controller.run(now, self.session.cache(), &mut self.orders);
        let mut recorded = Cause::NONE;
        for order in self.orders.drain(..) {
            let known = |cause: OrderCause| match cause {
                OrderCause::Known(cause) => cause,
                OrderCause::LastRecorded => recorded,
            };
            match order {
                Order::Send { worker, number, verb, cause } => {
                    out.because(known(cause));
                    self.session.send(now, *limiter, verb, Token { controller: at, worker, number }, out);
                }
                Order::Record { fact, cause } => {
                    out.because(known(cause));
                    recorded = out.record(fact);
                }
                Order::Compute { worker, work, cause } => {
                    out.because(cause);
                    self.work.insert(out.compute(work), (at, worker));
                }
            }
        }
    }

    fn deadline(&self) -> Time {
        let queues = self.controllers.iter().map(|running| running.controller.deadline());
        if self.synced { queues.fold(self.session.deadline(), Time::min) } else { self.session.deadline() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Revision;
    use crate::objects::Object;
    use crate::wire::api::{Body, Verb};
    use crate::wire::{ApiResponse, Effect, Message, NetOp, Server};

    /// An API server that has nothing but the lease: answers what the manager writes, until it has nothing more to say.
    fn serve(manager: &mut Manager, now: Time, out: &mut Outbox, facts: &mut Vec<Fact>, lists: &mut Vec<Kind>) {
        loop {
            let effects: Vec<Effect> = out.drain().map(|(_, effect)| effect).collect();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                let input = match effect {
                    Effect::Net(NetOp::Dial(conn, ..)) => Input::Opened(conn),
                    Effect::Net(NetOp::Write(conn, Message::ApiRequest(request))) => {
                        let body = match request.verb {
                            Verb::Get { key, .. } => Body::Error(ApiError::not_found(&key)),
                            Verb::Create { object } | Verb::Update { object, .. } => {
                                assert!(matches!(*object, Object::Lease(_)));
                                Body::Object(Stored::new(Revision(1), Cause::NONE, object))
                            }
                            Verb::List { kind, .. } => {
                                lists.push(kind);
                                Body::List { revision: Revision(1), items: Vec::new() }
                            }
                            _ => continue,
                        };
                        Input::Data(conn, Box::new(ApiResponse { id: request.id, body }))
                    }
                    Effect::Compute(id, _) => Input::Done(id),
                    Effect::Record(_, fact) => {
                        facts.push(*fact);
                        continue;
                    }
                    _ => continue,
                };
                manager.step(now, input, out);
            }
        }
    }

    #[test]
    fn it_lists_only_once_it_leads_and_gives_up_the_lead_when_the_server_is_silent() {
        let stream = Seed(7).stream("manager 1");
        let mut manager = Manager::new(Config::default(), Replica(1), Address::Api(Server(1)), stream);
        let (mut out, mut facts, mut lists) = (Outbox::new(), Vec::new(), Vec::new());
        let mut now = Time::from_secs(100);
        manager.step(now, Input::Boot(Box::default()), &mut out);
        assert!(!manager.is_leading());
        while !manager.is_leading() {
            serve(&mut manager, now, &mut out, &mut facts, &mut lists);
            assert!(lists.is_empty() || manager.is_leading());
            if !manager.is_leading() {
                now = manager.deadline().max(now + Duration::from_millis(1));
                assert!(now < Time::from_secs(120), "it leads within its first attempts");
                manager.step(now, Input::Wake, &mut out);
            }
        }
        serve(&mut manager, now, &mut out, &mut facts, &mut lists);
        lists.sort_unstable();
        assert_eq!(lists, Kind::served(false));
        assert!(matches!(facts[..], [Fact { what: What::Leading, .. }]));
        // From now on nobody answers: the lead is lost after the renew deadline of 10 s, and not before.
        let silent = now;
        while manager.is_leading() {
            now = manager.deadline().max(now + Duration::from_millis(1));
            manager.step(now, Input::Wake, &mut out);
        }
        let held = now - silent;
        assert!(held >= Duration::from_secs(10) && held < Duration::from_secs(13), "{held}");
        assert!(out.drain().any(|(_, effect)| matches!(effect, Effect::Record(_, fact) if fact.what == What::StoppedLeading)));
    }
}
