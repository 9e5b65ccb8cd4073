//! A session beside a server whose every word is written here.

use std::sync::Arc;

use super::*;
use crate::base::random::Seed;
use crate::base::{FactId, Name};
use crate::objects::{Key, Meta, Node, Pod};
use crate::wire::{Effect, NetOp};

struct Bench {
    session: Session<&'static str>,
    out: Outbox,
    outputs: Vec<SessionOutput<&'static str>>,
    now: Time,
    conn: Conn,
}

impl Bench {
    fn new(config: SessionConfig) -> Bench {
        let session = Session::new(config, Seed(7).stream("session"));
        Bench { session, out: Outbox::new(), outputs: Vec::new(), now: Time::from_secs(100), conn: Conn(0) }
    }
    fn config() -> SessionConfig {
        let limits = vec![(0, 0), (20_000, 2)];
        SessionConfig { server: Address::ApiBalancer, limits, timeout: Duration::from_secs(10), reflect: Vec::new() }
    }
    fn reflecting(kind: Kind) -> Bench {
        Bench::new(SessionConfig { reflect: vec![(kind, Scope::all())], ..Bench::config() })
    }
    fn start(&mut self) {
        self.session.start(self.now, &mut self.out);
    }
    fn send(&mut self, limiter: usize, token: &'static str) {
        self.session.send(self.now, limiter, get(), token, &mut self.out);
    }
    fn input(&mut self, input: Input<ClientMessage>) {
        assert!(self.session.handle(self.now, input, &mut self.out, &mut self.outputs).is_none());
    }
    /// Says something on the open connection.
    fn say(&mut self, id: u64, body: Body) {
        self.input(Input::Data(self.conn, Box::new(ApiResponse { id, body })));
    }
    fn event(&mut self, id: u64, event: WatchEvent) {
        self.say(id, Body::Watch(event));
    }
    fn close(&mut self, reason: CloseReason) {
        self.input(Input::Closed(self.conn, reason));
    }
    fn wake(&mut self) {
        self.session.wake(self.now, &mut self.out, &mut self.outputs);
    }
    /// Goes to the next deadline, and wakes the session there.
    fn sleep(&mut self) -> Duration {
        let before = self.now;
        self.now = self.session.deadline();
        assert_ne!(self.now, Time::NEVER);
        self.wake();
        self.now.since(before)
    }
    /// Sleeps until the session does something.
    fn rest(&mut self) -> Duration {
        let before = self.now;
        while self.out.is_empty() {
            self.sleep();
        }
        self.now.since(before)
    }
    fn net(&mut self) -> Vec<(Cause, NetOp)> {
        let net = |(cause, effect)| match effect {
            Effect::Net(op) => (cause, op),
            other => panic!("{other:?}"),
        };
        self.out.drain().map(net).collect()
    }
    /// The session dials, and nothing else; the connection opens.
    fn open(&mut self) {
        let net = self.net();
        let [(_, NetOp::Dial(conn, Address::ApiBalancer, KeepAlive::HTTP2))] = net[..] else { panic!("{net:?}") };
        self.conn = conn;
        self.input(Input::Opened(conn));
    }
    /// The session dials, and nothing else; nobody listens.
    fn refuse(&mut self) {
        let net = self.net();
        let [(_, NetOp::Dial(conn, ..))] = net[..] else { panic!("{net:?}") };
        self.input(Input::Refused(conn));
    }
    /// The requests that the session has written since the last look.
    fn requests(&mut self) -> Vec<(u64, Verb)> {
        let conn = self.conn;
        let request = |(_, op)| match op {
            NetOp::Write(on, Message::ApiRequest(request)) if on == conn => (request.id, request.verb),
            other => panic!("{other:?}"),
        };
        self.net().into_iter().map(request).collect()
    }
    fn request(&mut self) -> (u64, Verb) {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
    /// Lets the session list and begin its watch; returns the watch's id.
    fn sync(&mut self, revision: u64, items: Vec<Stored>) -> u64 {
        let (id, verb) = self.request();
        assert!(matches!(verb, Verb::List { .. }), "{verb:?}");
        self.say(id, Body::List { revision: Revision(revision), items });
        let (id, verb) = self.request();
        assert!(matches!(verb, Verb::Watch { from, .. } if from == Revision(revision)), "{verb:?}");
        id
    }
    /// What has come out: `token answer` or `+name`, `~name`, `-name`, `synced`.
    fn told(&mut self) -> Vec<String> {
        let told = |output| match output {
            SessionOutput::Answer { token, result, .. } => match result {
                Ok(Reply::Object(stored)) => format!("{token} r{}", stored.revision),
                Ok(_) => format!("{token} ok"),
                Err(error) => format!("{token} {:?}", error.reason),
            },
            SessionOutput::Change(Change { key, old, new, .. }) => {
                let sign = match (old, new) {
                    (None, _) => '+',
                    (_, None) => '-',
                    _ => '~',
                };
                format!("{sign}{}", key.name())
            }
            SessionOutput::Synced => "synced".to_owned(),
        };
        self.outputs.drain(..).map(told).collect()
    }
}

fn get() -> Verb {
    Verb::Get { key: Key::node("n1"), fresh: true }
}
fn create() -> Verb {
    Verb::Create { object: node(0, "n1").object }
}
fn node(revision: u64, name: &str) -> Stored {
    let object = Node { meta: Meta::named("", name), ..Node::default() }.into();
    Stored::new(Revision(revision), Cause::NONE, Arc::new(object))
}
fn fact(number: u64) -> Cause {
    Cause::fact(FactId(number))
}
fn error(reason: Reason, retry_after: Option<Duration>) -> ApiError {
    ApiError { retry_after, ..ApiError::new(reason, "") }
}

#[test]
fn a_request_dials_on_demand_and_bears_its_cause() {
    let mut bench = Bench::new(Bench::config());
    bench.out.begin(fact(1));
    bench.session.send(bench.now, 0, create(), "create", &mut bench.out);
    bench.out.because(fact(2));
    bench.session.send(bench.now, 0, get(), "get", &mut bench.out);
    bench.open();
    let net = bench.net();
    assert_eq!(net.iter().map(|(cause, _)| *cause).collect::<Vec<_>>(), [fact(1), fact(2)]);
    assert_eq!(bench.out.cause(), fact(2), "the actor's own cause is put back");
    for (id, revision) in [(1, 5), (2, 6)] {
        bench.say(id, Body::Object(node(revision, "n1")));
    }
    let causes: Vec<Cause> = bench
        .outputs
        .iter()
        .map(|output| match output {
            SessionOutput::Answer { cause, .. } => *cause,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(causes, [Cause::revision(Revision(5)), fact(2)], "a write's answer is the cause of what follows; a read's is not");
    assert_eq!(bench.session.deadline(), Time::NEVER);
}

#[test]
fn beyond_the_burst_requests_go_out_in_order_at_the_limiters_rate() {
    let mut bench = Bench::new(Bench::config());
    bench.send(0, "opens");
    bench.open();
    bench.requests();
    for token in ["a", "b", "c", "d"] {
        bench.send(1, token);
    }
    assert_eq!(bench.requests().iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3], "the burst");
    bench.send(0, "unlimited");
    assert_eq!(bench.request().0, 6, "another limiter does not wait");
    assert_eq!((bench.sleep(), bench.request().0), (Duration::from_millis(50), 4));
    assert_eq!((bench.sleep(), bench.request().0), (Duration::from_millis(50), 5));
    // The time of a request begins when it has its token.
    for _ in 0..2 {
        bench.sleep();
    }
    assert_eq!(bench.now.since(Time::from_secs(100)), Duration::from_millis(10_050));
    assert_eq!(bench.told(), ["opens Timeout", "a Timeout", "b Timeout", "unlimited Timeout", "c Timeout"]);
}

#[test]
fn a_write_without_an_answer_in_time_has_an_unknown_outcome() {
    let mut bench = Bench::new(Bench::config());
    bench.session.send(bench.now, 0, create(), "create", &mut bench.out);
    bench.open();
    let (id, _) = bench.request();
    assert_eq!(bench.sleep(), Duration::from_secs(10));
    let [SessionOutput::Answer { result: Err(error), .. }] = &bench.outputs[..] else { panic!("{:?}", bench.outputs) };
    assert!(error.reason == Reason::Timeout && error.reason.outcome_unknown());
    bench.outputs.clear();
    bench.say(id, Body::Object(node(5, "n1")));
    assert_eq!(bench.told(), [""; 0], "a late answer is nobody's");
}

#[test]
fn requests_with_the_server_are_answered_when_the_connection_breaks_and_others_wait() {
    let mut bench = Bench::new(Bench::config());
    bench.send(1, "a");
    bench.send(1, "b");
    bench.send(1, "limited");
    bench.open();
    assert_eq!(bench.requests().len(), 2);
    bench.close(CloseReason::Reset);
    assert_eq!(bench.told(), ["a ConnectionLost", "b ConnectionLost"]);
    assert!(bench.net().is_empty(), "nobody needs a connection");
    bench.sleep();
    bench.open();
    assert_eq!(bench.request().0, 3);
}

#[test]
fn a_request_waits_for_a_connection_until_its_deadline() {
    let mut bench = Bench::new(Bench::config());
    bench.send(0, "a");
    while bench.outputs.is_empty() {
        if bench.session.pending() == 1 && !bench.out.is_empty() {
            bench.refuse();
        }
        bench.sleep();
    }
    assert_eq!(bench.now.since(Time::from_secs(100)), Duration::from_secs(10));
    assert_eq!(bench.told(), ["a Timeout"]);
}

#[test]
fn a_refused_request_is_sent_again_when_the_server_says_when() {
    let mut bench = Bench::new(Bench::config());
    bench.send(0, "a");
    bench.open();
    let (id, _) = bench.request();
    let busy = || Body::Error(error(Reason::TooManyRequests, Some(Duration::from_secs(1))));
    bench.say(id, busy());
    assert_eq!(bench.told(), [""; 0]);
    assert_eq!((bench.sleep(), bench.request().0), (Duration::from_secs(1), id));
    bench.say(id, Body::Error(error(Reason::TooManyRequests, None)));
    assert_eq!(bench.told(), ["a TooManyRequests"]);
    bench.send(0, "b");
    let (id, _) = bench.request();
    for _ in 0..9 {
        bench.say(id, busy());
        bench.sleep();
        if bench.session.pending() > 0 && !bench.out.is_empty() {
            bench.request();
        }
    }
    bench.say(id, busy());
    assert_eq!(bench.told(), ["b TooManyRequests"], "not beyond its deadline");
}

#[test]
fn a_reflector_lists_and_watches_from_the_lists_revision() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    let (id, verb) = bench.request();
    assert!(matches!(verb, Verb::List { kind: Kind::Node, fresh: false, .. }), "{verb:?}");
    bench.say(id, Body::List { revision: Revision(9), items: vec![node(3, "a"), node(8, "b")] });
    assert_eq!(bench.told(), ["+a", "+b", "synced"]);
    assert!(bench.session.is_synced());
    let (id, verb) = bench.request();
    let Verb::Watch { from, timeout, .. } = verb else { panic!("{verb:?}") };
    assert_eq!(from, Revision(9));
    assert!((300..600).contains(&timeout.as_secs()), "{timeout}");
    bench.event(id, WatchEvent::Added(node(10, "c")));
    bench.event(id, WatchEvent::Modified(node(11, "a")));
    bench.event(id, WatchEvent::Deleted(node(12, "b")));
    assert_eq!(bench.told(), ["+c", "~a", "-b"]);
    bench.event(id, WatchEvent::Bookmark(Revision(40)));
    bench.event(id, WatchEvent::End(None));
    assert!(matches!(bench.request().1, Verb::Watch { from: Revision(40), .. }), "a bookmark moves the watch on");
    assert_eq!(bench.told(), [""; 0]);
    assert_eq!(bench.session.cache().list(Kind::Node).count(), 2);
}

#[test]
fn after_a_reset_the_watch_goes_on_from_the_last_revision_seen() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    let id = bench.sync(9, vec![node(3, "a")]);
    bench.event(id, WatchEvent::Modified(node(12, "a")));
    bench.out.because(fact(77));
    bench.close(CloseReason::Reset);
    bench.open();
    let net = bench.net();
    let [(cause, NetOp::Write(_, Message::ApiRequest(request)))] = &net[..] else { panic!("{net:?}") };
    assert!(matches!(request.verb, Verb::Watch { from: Revision(12), .. }), "{request:?}");
    assert_eq!(*cause, fact(77), "the fault behind the closed connection");
    bench.event(request.id, WatchEvent::Added(node(13, "b")));
    assert_eq!(bench.told(), ["+a", "synced", "~a", "+b"]);
}

#[test]
fn a_silent_connection_leads_to_a_relist_that_finds_what_was_missed() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    bench.sync(9, vec![node(3, "gone"), node(4, "same"), node(5, "changed")]);
    bench.told();
    bench.out.because(fact(77));
    bench.close(CloseReason::TimedOut);
    bench.open();
    assert!(bench.requests().is_empty(), "first the back-off");
    let waited = bench.sleep().as_millis();
    assert!((800..1_600).contains(&waited), "{waited} ms");
    let (id, verb) = bench.request();
    assert!(matches!(verb, Verb::List { fresh: true, .. }), "a relist does not go back in time: {verb:?}");
    bench.say(id, Body::List { revision: Revision(30), items: vec![node(20, "changed"), node(21, "new"), node(4, "same")] });
    let causes: Vec<Cause> = bench
        .outputs
        .iter()
        .filter_map(|output| match output {
            SessionOutput::Change(change) => Some(change.cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [Cause::revision(Revision(20)), Cause::revision(Revision(21)), fact(77)]);
    assert_eq!(bench.told(), ["~changed", "+new", "-gone"]);
    assert!(matches!(bench.request().1, Verb::Watch { from: Revision(30), .. }));
}

#[test]
fn an_expired_watch_lists_again_after_a_back_off() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    let id = bench.sync(9, vec![node(3, "a")]);
    bench.event(id, WatchEvent::End(Some(error(Reason::Expired, None))));
    assert!(bench.requests().is_empty());
    for (least, most) in [(800, 1_600), (1_600, 3_200), (3_200, 6_400)] {
        let waited = bench.rest().as_millis();
        assert!((least..most).contains(&waited), "{waited} ms");
        let (id, verb) = bench.request();
        assert!(matches!(verb, Verb::List { fresh: true, .. }));
        bench.say(id, Body::Error(error(Reason::ServiceUnavailable, None)));
    }
}

#[test]
fn a_throttled_watch_watches_again_and_a_very_short_one_lists() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    let id = bench.sync(9, vec![]);
    bench.say(id, Body::Error(error(Reason::TooManyRequests, None)));
    bench.sleep();
    let (id, verb) = bench.request();
    assert!(matches!(verb, Verb::Watch { from: Revision(9), .. }));
    bench.now += Duration::from_millis(900);
    bench.event(id, WatchEvent::End(None));
    bench.sleep();
    assert!(matches!(bench.request().1, Verb::List { .. }));
}

#[test]
fn a_list_without_an_answer_is_asked_for_again() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    let (first, _) = bench.request();
    assert_eq!(bench.sleep(), Duration::from_secs(10));
    bench.sleep();
    let (second, verb) = bench.request();
    assert!(matches!(verb, Verb::List { .. }));
    bench.say(first, Body::List { revision: Revision(9), items: vec![node(3, "late")] });
    assert_eq!(bench.told(), [""; 0]);
    bench.say(second, Body::List { revision: Revision(9), items: vec![] });
    assert_eq!(bench.told(), ["synced"]);
}

#[test]
fn a_refused_dial_is_repeated_with_a_growing_back_off() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    for (least, most) in [(800, 1_600), (1_600, 3_200), (3_200, 6_400)] {
        bench.refuse();
        let waited = bench.sleep().as_millis();
        assert!((least..most).contains(&waited), "{waited} ms");
    }
    bench.open();
    // A server that accepts and says nothing is no better.
    bench.requests();
    bench.close(CloseReason::Reset);
    assert!(bench.net().is_empty());
    bench.rest();
    bench.open();
}

#[test]
fn several_reflectors_are_synced_when_the_last_one_has_listed() {
    let reflect = vec![(Kind::Node, Scope::all()), (Kind::Pod, Scope::on_node(&Name::new("n1")))];
    let mut bench = Bench::new(SessionConfig { reflect, ..Bench::config() });
    bench.start();
    bench.open();
    let requests = bench.requests();
    bench.say(requests[0].0, Body::List { revision: Revision(9), items: vec![node(3, "n1")] });
    assert_eq!(bench.told(), ["+n1"]);
    let pod = Pod { meta: Meta::named("default", "p"), node: Some(Name::new("n1")), ..Pod::default() };
    let pod = |revision| Stored::new(Revision(revision), Cause::NONE, Arc::new(pod.clone().into()));
    bench.say(requests[1].0, Body::List { revision: Revision(9), items: vec![pod(4)] });
    assert_eq!(bench.told(), ["+p", "synced"]);
    let watch = bench.requests().last().unwrap().0;
    // The server tells of a pod that leaves the scope as deleted.
    bench.event(watch, WatchEvent::Deleted(pod(12)));
    assert_eq!(bench.told(), ["-p"]);
    bench.session.cache().check();
}

#[test]
fn a_stopped_session_forgets_everything_and_can_start_again() {
    let mut bench = Bench::reflecting(Kind::Node);
    bench.start();
    bench.open();
    let watch = bench.sync(9, vec![node(3, "a")]);
    bench.send(1, "a");
    bench.told();
    bench.requests();
    bench.session.stop(&mut bench.out);
    assert!(matches!(bench.net()[..], [(_, NetOp::Close(conn))] if conn == bench.conn));
    assert_eq!((bench.session.deadline(), bench.session.is_synced(), bench.session.cache().len()), (Time::NEVER, false, 0));
    bench.event(watch, WatchEvent::Added(node(10, "late")));
    bench.close(CloseReason::Fin);
    assert_eq!(bench.told(), [""; 0], "what was under way is for nobody");
    bench.start();
    bench.open();
    let (id, verb) = bench.request();
    assert!(matches!(verb, Verb::List { fresh: false, .. }));
    bench.say(id, Body::List { revision: Revision(20), items: vec![node(3, "a")] });
    assert_eq!(bench.told(), ["+a", "synced"]);
}

#[test]
fn inputs_of_others_come_back() {
    let mut bench = Bench::new(Bench::config());
    for input in [Input::Wake, Input::Opened(Conn(9)), Input::Closed(Conn(9), CloseReason::Fin)] {
        assert!(bench.session.handle(bench.now, input, &mut bench.out, &mut bench.outputs).is_some());
    }
}
