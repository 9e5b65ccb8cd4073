//! A client beside three members whose every word is written here.

use super::*;
use crate::base::Term;
use crate::base::random::Seed;
use crate::wire::etcd::{KeyValue, LeaseId, Op, Range, RangeAnswer, Txn, Value};
use crate::wire::{CloseReason, Effect, NetOp};

struct Bench {
    client: EtcdClient<&'static str>,
    out: Outbox,
    outputs: Vec<EtcdOutput<&'static str>>,
    now: Time,
    conns: Map<Member, Conn>,
}

impl Bench {
    /// All members are connected.
    fn new() -> Bench {
        let client = EtcdClient::new(vec![Member(1), Member(2), Member(3)], Seed(7).stream("etcd client"));
        let mut bench = Bench { client, out: Outbox::new(), outputs: Vec::new(), now: Time::from_secs(100), conns: Map::default() };
        bench.client.start(bench.now, &mut bench.out);
        assert!(bench.written().is_empty());
        for member in [1, 2, 3] {
            bench.open(member);
        }
        bench
    }
    fn open(&mut self, member: u16) {
        self.input(Input::Opened(self.conns[&Member(member)]));
    }
    fn refuse(&mut self, member: u16) {
        self.input(Input::Refused(self.conns[&Member(member)]));
    }
    fn close(&mut self, member: u16) {
        self.input(Input::Closed(self.conns[&Member(member)], CloseReason::Reset));
    }
    fn input(&mut self, input: Input<ServerMessage>) {
        assert!(self.client.handle(self.now, input, &mut self.out, &mut self.outputs).is_none());
    }
    fn send(&mut self, operation: Operation, token: &'static str) {
        self.client.send(self.now, operation, self.now + Duration::from_secs(5), token, &mut self.out);
    }
    /// Requests since the last look: member, id, operation. Notes what was dialled.
    fn written(&mut self) -> Vec<(u16, u64, Operation)> {
        let mut written = Vec::new();
        for (_, effect) in self.out.drain() {
            match effect {
                Effect::Net(NetOp::Dial(conn, Address::Etcd(member), KeepAlive::ETCD_CLIENT)) => {
                    self.conns.insert(member, conn);
                }
                Effect::Net(NetOp::Write(conn, Message::EtcdRequest(request))) => {
                    let (member, _) = self.conns.iter().find(|(_, mine)| **mine == conn).expect("a known connection");
                    written.push((member.0, request.id, request.operation));
                }
                other => panic!("{other:?}"),
            }
        }
        written
    }
    fn one(&mut self) -> (u16, u64, Operation) {
        let mut written = self.written();
        assert_eq!(written.len(), 1, "{written:?}");
        written.remove(0)
    }
    fn say(&mut self, member: u16, id: u64, revision: u64, result: Result<Answer, EtcdError>) {
        let response = Response { id, member: Member(member), revision: Revision(revision), term: Term(1), result };
        self.input(Input::Data(self.conns[&Member(member)], ServerMessage::Etcd(Box::new(response))));
    }
    fn sleep(&mut self) -> Duration {
        let before = self.now;
        self.now = self.client.deadline();
        self.client.wake(self.now, &mut self.out, &mut self.outputs);
        self.now.since(before)
    }
    fn told(&mut self) -> Vec<String> {
        let told = |output| match output {
            EtcdOutput::Answer { token, result: Ok(response), .. } => format!("{token} r{}", response.revision),
            EtcdOutput::Answer { token, result: Err(error), .. } => format!("{token} {error:?}"),
            EtcdOutput::Events { events, revision, .. } => {
                let revisions: Vec<u64> = events.iter().map(|event| event.kv.mod_revision.0).collect();
                format!("{revisions:?} to r{revision}")
            }
            EtcdOutput::Progress { revision, .. } => format!("progress r{revision}"),
            EtcdOutput::Compacted { compact_revision, .. } => format!("compacted r{compact_revision}"),
        };
        self.outputs.drain(..).map(told).collect()
    }
}

fn range() -> Operation {
    Operation::Range(Range::of(KeyRange::Prefix("/registry/".into())).into())
}
fn put() -> Operation {
    let (key, value) = ("/a".into(), Value::bytes(b"a"));
    Operation::Txn(Txn::unconditional(Op::put(key, value, LeaseId(0))).into())
}
fn found() -> Result<Answer, EtcdError> {
    Ok(Answer::Range(RangeAnswer { kvs: Vec::new(), count: 0, more: false }))
}
fn events(revisions: &[u64]) -> Result<Answer, EtcdError> {
    let event = |revision: &u64| {
        let kv = KeyValue {
            key: "/a".into(),
            value: Value::bytes(b"a"),
            create_revision: Revision(1),
            mod_revision: Revision(*revision),
            version: 1,
            lease: LeaseId(0),
            cause: Cause::NONE,
        };
        WatchEvent { kv, deleted: false, previous: None }
    };
    Ok(Answer::WatchEvents(revisions.iter().map(event).collect()))
}

#[test]
fn requests_go_to_the_members_in_turn() {
    let mut bench = Bench::new();
    for token in ["a", "b", "c", "d"] {
        bench.send(range(), token);
    }
    let written = bench.written();
    let members: Vec<u16> = written.iter().map(|(member, ..)| *member).collect();
    assert_eq!(members[0], members[3]);
    assert!(members[0] != members[1] && members[1] != members[2] && members[0] != members[2], "{members:?}");
    bench.say(written[1].0, written[1].1, 8, found());
    assert_eq!(bench.told(), ["b r8"]);
    assert_eq!(bench.sleep(), Duration::from_secs(5));
    assert_eq!(bench.told(), ["a Timeout", "c Timeout", "d Timeout"]);
}

#[test]
fn a_read_is_repeated_on_another_member_and_pauses_after_a_quorum_of_tries() {
    let mut bench = Bench::new();
    bench.send(range(), "read");
    let (first, id, _) = bench.one();
    bench.say(first, id, 0, Err(EtcdError::NoLeader));
    let (second, id, _) = bench.one();
    assert_ne!(first, second);
    bench.say(second, id, 0, Err(EtcdError::Unavailable));
    assert!(bench.written().is_empty());
    let paused = bench.sleep().nanos();
    assert!((22_500_000..27_500_000).contains(&paused), "{paused} ns");
    let (third, id, _) = bench.one();
    bench.close(third);
    let (fourth, again, _) = bench.one();
    assert!(third != fourth && id == again);
    bench.say(fourth, id, 8, found());
    assert_eq!(bench.told(), ["read r8"]);
}

#[test]
fn a_mutation_is_sent_once_and_its_outcome_is_unknown_when_the_connection_breaks() {
    let mut bench = Bench::new();
    bench.send(put(), "write");
    let (member, ..) = bench.one();
    bench.close(member);
    assert_eq!(bench.told(), ["write Timeout"]);
    bench.send(put(), "refused");
    let (member, id, _) = bench.one();
    bench.say(member, id, 0, Err(EtcdError::LeaderChanged));
    assert_eq!((bench.told(), bench.written().len()), (vec!["refused LeaderChanged".to_owned()], 0));
}

#[test]
fn a_mutation_waits_while_nobody_is_connected() {
    let mut bench = Bench::new();
    for member in [1, 2, 3] {
        bench.close(member);
    }
    bench.written();
    for member in [1, 2, 3] {
        bench.refuse(member);
    }
    assert!(!bench.client.is_connected());
    bench.send(put(), "write");
    assert!(bench.written().is_empty());
    let waited = bench.sleep().as_millis();
    assert!((800..1_200).contains(&waited), "{waited} ms");
    let dialled = bench.conns.clone();
    assert!(bench.written().is_empty());
    let again = (1..=3).find(|member| bench.conns[&Member(*member)] != dialled[&Member(*member)]).unwrap();
    bench.open(again);
    let (member, id, _) = bench.one();
    assert_eq!(member, again);
    bench.say(member, id, 8, found());
    assert_eq!(bench.told(), ["write r8"]);
}

#[test]
fn a_watch_moves_to_another_member_without_a_gap_or_a_duplicate() {
    let mut bench = Bench::new();
    bench.client.watch(bench.now, KeyRange::Prefix("/".into()), Revision(4), &mut bench.out);
    let (member, id, operation) = bench.one();
    assert!(matches!(operation, Operation::Watch(Watch { start: Revision(5), .. })), "{operation:?}");
    bench.say(member, id, 4, Ok(Answer::WatchCreated));
    bench.say(member, id, 9, events(&[5, 7]));
    bench.out.because(Cause::revision(Revision(99)));
    bench.close(member);
    let (other, id, operation) = bench.one();
    assert_ne!(member, other);
    assert!(matches!(operation, Operation::Watch(Watch { start: Revision(8), .. })), "{operation:?}");
    bench.say(other, id, 9, events(&[7, 8, 9]));
    bench.say(other, id, 20, Ok(Answer::WatchProgress));
    assert_eq!(bench.told(), ["[5, 7] to r7", "[8, 9] to r9", "progress r20"]);
    bench.close(other);
    assert!(matches!(bench.one().2, Operation::Watch(Watch { start: Revision(21), .. })));
}

#[test]
fn a_member_without_a_leader_loses_its_watches_to_another() {
    let mut bench = Bench::new();
    let first = bench.client.watch(bench.now, KeyRange::Prefix("/a".into()), Revision(4), &mut bench.out);
    bench.client.watch(bench.now, KeyRange::Prefix("/b".into()), Revision(6), &mut bench.out);
    let written = bench.written();
    assert_eq!(written[0].0, written[1].0, "one member carries all watches");
    bench.say(written[0].0, written[0].1, 0, Err(EtcdError::NoLeader));
    assert_eq!(bench.written().len(), 2, "both streams are cancelled");
    bench.say(written[1].0, written[1].1, 7, events(&[7]));
    assert_eq!(bench.told(), [""; 0], "an event of the stream that was left comes again on the next");
    let paused = bench.sleep().as_millis();
    assert!((90..110).contains(&paused), "{paused} ms");
    let again = bench.written();
    assert!(again.len() == 2 && again[0].0 != written[0].0, "{again:?}");
    bench.say(again[1].0, again[1].1, 7, events(&[7]));
    assert_eq!(bench.told(), ["[7] to r7"]);
    bench.client.cancel_watch(first, &mut bench.out);
    assert!(matches!(bench.one().2, Operation::WatchCancel { watch } if watch == again[0].1));
    bench.say(again[0].0, again[0].1, 8, events(&[8]));
    assert_eq!(bench.told(), [""; 0]);
}

#[test]
fn a_watch_from_a_compacted_revision_ends() {
    let mut bench = Bench::new();
    let watch = bench.client.watch(bench.now, KeyRange::Prefix("/".into()), Revision(4), &mut bench.out);
    let (member, id, _) = bench.one();
    bench.say(member, id, 90, Ok(Answer::WatchCanceled { compact_revision: Revision(50) }));
    assert_eq!(bench.told(), ["compacted r50"]);
    bench.client.cancel_watch(watch, &mut bench.out);
    bench.close(member);
    assert!(bench.written().is_empty());
}

#[test]
fn what_a_learner_refuses_goes_to_the_next_member_even_a_write() {
    let mut bench = Bench::new();
    bench.send(put(), "write");
    let (learner, id, _) = bench.one();
    bench.say(learner, id, 0, Err(EtcdError::Learner));
    let (voter, id, _) = bench.one();
    assert_ne!(learner, voter);
    bench.say(voter, id, 8, found());
    assert_eq!(bench.told(), ["write r8"]);
}

#[test]
fn a_response_in_parts_is_handed_over_whole_and_half_of_one_is_forgotten() {
    let mut bench = Bench::new();
    let watch = Watch { fragment: true, ..Watch::of(KeyRange::Prefix("/".into()), Revision(5)) };
    bench.client.watch_as(bench.now, watch, &mut bench.out);
    let (member, id, operation) = bench.one();
    assert!(matches!(operation, Operation::Watch(Watch { fragment: true, start: Revision(5), .. })), "{operation:?}");
    let part = |revisions: &[u64]| {
        events(revisions).map(|answer| match answer {
            Answer::WatchEvents(events) => Answer::WatchFragment(events),
            other => other,
        })
    };
    bench.say(member, id, 7, part(&[5, 6]));
    assert_eq!(bench.told(), [""; 0]);
    bench.say(member, id, 7, events(&[6, 7]));
    assert_eq!(bench.told(), ["[5, 6, 6, 7] to r7"]);
    bench.say(member, id, 9, part(&[8]));
    bench.close(member);
    let (other, id, operation) = bench.one();
    assert!(matches!(operation, Operation::Watch(Watch { start: Revision(8), .. })), "{operation:?}");
    bench.say(other, id, 9, events(&[8, 9]));
    assert_eq!(bench.told(), ["[8, 9] to r9"]);
}

#[test]
fn members_come_and_go() {
    let mut bench = Bench::new();
    bench.client.watch(bench.now, KeyRange::Prefix("/".into()), Revision(4), &mut bench.out);
    let (first, ..) = bench.one();
    for token in ["a", "b", "c"] {
        bench.send(if token == "b" { put() } else { range() }, token);
    }
    let sent = bench.written();
    // Everything that the one with the write has is lost to it; the watch and reads go on elsewhere.
    let gone = sent[1].0;
    let stay: Vec<Member> = (1..=4).filter(|&member| member != gone).map(Member).collect();
    let (now, out, outputs) = (bench.now, &mut bench.out, &mut bench.outputs);
    bench.client.set_endpoints(now, &stay, out, outputs);
    assert_eq!(bench.told(), ["b Timeout"]);
    let closed: Vec<Conn> =
        (bench.out.effects()).filter_map(|effect| if let Effect::Net(NetOp::Close(conn)) = effect { Some(*conn) } else { None }).collect();
    assert_eq!(closed, [bench.conns[&Member(gone)]]);
    let mut moved = 0;
    for (_, effect) in bench.out.drain() {
        match effect {
            Effect::Net(NetOp::Dial(conn, Address::Etcd(Member(4)), _)) => {
                bench.conns.insert(Member(4), conn);
            }
            Effect::Net(NetOp::Write(conn, Message::EtcdRequest(request))) => {
                assert!(matches!(request.operation, Operation::Watch(_)) && conn != bench.conns[&Member(gone)]);
                moved += 1;
            }
            _ => {}
        }
    }
    assert_eq!(moved, u32::from(first == gone));
    bench.open(4);
    let turns: BTreeSet<u16> = (0..3).map(|_| (bench.send(range(), "d"), bench.one().0).1).collect();
    assert_eq!(turns, stay.iter().map(|member| member.0).collect());
}
