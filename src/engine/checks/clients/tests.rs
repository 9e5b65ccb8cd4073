//! Each check is shown a sound story, and the same with one mistake, which it must find.

use super::*;
use crate::base::{Cause, Duration, Index, Term};
use crate::etcd::store::Store;
use crate::wire::Member;
use crate::wire::etcd::{KeyRange, LeaseId, Op, Txn, WatchEvent};

/// A store, its clients' history and the checks of both.
#[derive(Default)]
struct Play {
    store: Store,
    clients: Clients,
    history: Vec<(Time, HistoryEvent)>,
    violations: Vec<String>,
    now: Time,
    calls: u32,
    events: Vec<WatchEvent>,
}

const X: Key = Key(1);
const Y: Key = Key(2);

fn write(key: Key, value: u64) -> Step {
    Step::Write(key, Written(value))
}
fn of(steps: &[Step]) -> Operation {
    Operation { then: steps.into(), ..Operation::default() }
}

impl Play {
    fn tell(&mut self, event: HistoryEvent) {
        self.history.push((self.now, event));
        self.clients.told(&self.history, &mut self.violations);
    }
    fn call(&mut self, operation: Operation) -> OperationId {
        self.calls += 1;
        let id = OperationId { client: 1, number: self.calls };
        self.tell(HistoryEvent::Called(id, operation));
        id
    }
    fn done(&mut self, id: OperationId, reads: &[Option<u64>], revision: u64) {
        let reads = reads.iter().map(|read| read.map(Written)).collect();
        let revision = Revision(revision);
        self.tell(HistoryEvent::Returned(id, Outcome::Done { succeeded: true, reads, revision, member: Member(1) }));
    }
    /// The store makes a revision of this, and a member applies it as `spoilt` says.
    fn apply_as(&mut self, steps: &[Step], lease: u64, spoilt: impl Fn(&mut Applied)) -> u64 {
        let op = |step: &Step| match *step {
            Step::Write(key, value) => Op::put(key.store_key(), value.value(100), LeaseId(lease)),
            Step::Delete(key) => Op::delete(KeyRange::One(key.store_key())),
            Step::Read(_) => unreachable!("changes only"),
        };
        let txn = Txn { compares: Vec::new(), then: steps.iter().map(op).collect(), otherwise: Vec::new() };
        self.store.txn(&txn, Cause::NONE, true).unwrap();
        self.applied(spoilt)
    }
    fn applied(&mut self, spoilt: impl Fn(&mut Applied)) -> u64 {
        let revision = self.store.revision();
        let (hash, events) = (self.store.hash(), self.store.newest_events().collect());
        let mut applied = Applied { index: Index(revision.0), revision, term: Term(1), cause: Cause::NONE, hash, capped: false, events };
        spoilt(&mut applied);
        self.events.extend(applied.events.iter().cloned());
        self.clients.applied(self.now, &applied, &mut self.violations);
        revision.0
    }
    fn apply(&mut self, steps: &[Step]) -> u64 {
        self.apply_as(steps, 0, |_| {})
    }
    /// A write from call to answer.
    fn write(&mut self, steps: &[Step]) -> u64 {
        let id = self.call(of(steps));
        let revision = self.apply(steps);
        self.done(id, &[], revision);
        revision
    }
    fn read(&mut self, key: Key, saw: Option<u64>, revision: u64) {
        let id = self.call(of(&[Step::Read(key)]));
        self.done(id, &[saw], revision);
    }
    /// What was found, once.
    fn found(&self) -> &str {
        assert!(self.violations.len() <= 1, "{:?}", self.violations);
        self.violations.first().map_or("", String::as_str)
    }
}

fn play() -> Play {
    let mut play = Play::default();
    assert_eq!(play.write(&[write(X, 1)]), 2);
    assert_eq!(play.write(&[write(X, 2), write(Y, 3)]), 3);
    assert_eq!(play.found(), "");
    play
}

#[test]
fn reads_are_of_their_revision() {
    let mut sound = play();
    sound.read(X, Some(2), 3);
    sound.write(&[Step::Delete(X)]);
    sound.read(X, None, 4);
    sound.write(&[Step::Delete(X), write(Y, 5)]);
    assert_eq!(sound.found(), "");
    let mut stale = play();
    stale.read(X, Some(1), 3);
    assert!(stale.found().ends_with("it saw 1, but the store had 2"), "{}", stale.found());
    let mut old = play();
    old.read(X, Some(1), 2);
    assert!(old.found().ends_with("revision 3 had been applied when it was asked"), "{}", old.found());
    let mut future = play();
    future.read(X, Some(2), 9);
    assert!(future.found().contains("no member has applied more than 3"), "{}", future.found());
}

#[test]
fn stale_reads_may_be_old_but_not_wrong() {
    let serializable = |play: &mut Play, saw, revision| {
        let id = play.call(Operation { serializable: true, ..of(&[Step::Read(X)]) });
        play.done(id, &[Some(saw)], revision);
    };
    let mut sound = play();
    serializable(&mut sound, 1, 2);
    assert_eq!(sound.found(), "");
    let mut wrong = play();
    serializable(&mut wrong, 2, 2);
    assert!(wrong.found().ends_with("it saw 2, but the store had 1"), "{}", wrong.found());
}

#[test]
fn acknowledged_writes_are_there_whole_and_once() {
    let mut lost = play();
    let id = lost.call(of(&[write(X, 4)]));
    lost.done(id, &[], 3);
    assert!(lost.found().contains("the write is not there"), "{}", lost.found());
    let mut half = play();
    let id = half.call(of(&[write(X, 4), write(Y, 5)]));
    let revision = half.apply(&[write(X, 4)]);
    half.done(id, &[], revision);
    assert!(half.found().contains("that revision changed key 1 to 4, the write is not there"), "{}", half.found());
    let mut twice = play();
    let id = twice.call(of(&[write(X, 4)]));
    twice.tell(HistoryEvent::Returned(id, Outcome::Unknown));
    twice.apply(&[write(X, 4)]);
    assert_eq!(twice.found(), "");
    twice.apply(&[write(X, 4)]);
    assert!(twice.found().contains("was done twice: value 4 is of revision 4 and of 5"), "{}", twice.found());
    let mut made_up = play();
    made_up.apply(&[write(X, 77)]);
    assert!(made_up.found().contains("value 77 of revision 4 was written by nobody"), "{}", made_up.found());
}

#[test]
fn what_failed_is_nowhere() {
    for before in [true, false] {
        let mut play = play();
        let id = play.call(of(&[write(X, 4)]));
        if before {
            play.apply(&[write(X, 4)]);
        }
        play.tell(HistoryEvent::Returned(id, Outcome::Failed));
        if !before {
            play.apply(&[write(X, 4)]);
        }
        assert!(play.found().contains("failed for certain, yet value 4 is of revision 4"), "{}", play.found());
    }
}

#[test]
fn comparisons_are_made_where_the_write_is_done() {
    let swap = Operation { compares: vec![(X, Some(Written(2)))], ..of(&[write(X, 4)]) };
    let mut sound = play();
    let id = sound.call(swap.clone());
    let revision = sound.apply(&[write(X, 4)]);
    sound.done(id, &[], revision);
    assert_eq!(sound.found(), "");
    let mut late = play();
    let id = late.call(swap);
    late.write(&[write(X, 9)]);
    let revision = late.apply(&[write(X, 4)]);
    late.done(id, &[], revision);
    assert!(late.found().contains("its comparisons held and") || late.found().contains("the write is not there"), "{}", late.found());
}

#[test]
fn versions_rise_by_one() {
    let spoilt = |spoil: fn(&mut WatchEvent)| {
        let mut play = play();
        play.call(of(&[write(X, 4)]));
        play.apply_as(&[write(X, 4)], 0, |applied| spoil(&mut applied.events[0]));
        play.found().to_owned()
    };
    assert_eq!(spoilt(|_| {}), "");
    assert!(spoilt(|event| event.kv.version = 5).contains("it has version 5, created at 2, but should have version 3"));
    assert!(spoilt(|event| event.kv.create_revision = Revision(4)).contains("created at 4"));
    assert!(spoilt(|event| event.kv.mod_revision = Revision(3)).contains("its mod revision is 3"));
    assert!(spoilt(|event| event.previous = None).contains("another previous version"));
}

fn watching(from: u64) -> Play {
    let mut play = play();
    play.tell(HistoryEvent::Watching { client: 1, watch: 1, from: Revision(from) });
    play.write(&[Step::Delete(X)]);
    play.write(&[write(Y, 5)]);
    play
}
fn watched(play: &mut Play, events: &[WatchEvent]) {
    play.tell(HistoryEvent::Watched { client: 1, watch: 1, events: events.to_vec() });
}
fn bookmark(play: &mut Play, revision: u64) {
    play.tell(HistoryEvent::Bookmark { client: 1, watch: 1, revision: Revision(revision) });
}

/// What is found of a watch from revision 2 that is told these events: those of revisions 2, 3 (two), 4 and 5, spoilt.
fn found_of(spoil: impl Fn(&mut Vec<WatchEvent>)) -> String {
    let mut play = watching(2);
    let mut events = play.events.clone();
    spoil(&mut events);
    watched(&mut play, &events);
    play.found().to_owned()
}

#[test]
fn watches_are_complete_in_order_and_true() {
    assert_eq!(found_of(|_| {}), "");
    let found = found_of(|events| drop(events.remove(0)));
    assert!(found.contains("skips revision 2: 3 came"), "{found}");
    let found = found_of(|events| drop(events.remove(1)));
    assert!(found.contains("revision 3 changed 2 keys, 1 came"), "{found}");
    let found = found_of(|events| events.swap(3, 4));
    assert!(found.contains("skips revision 4: 5 came"), "{found}");
    let found = found_of(|events| events.push(events[4].clone()));
    assert!(found.contains("revision 5 changed 1 keys, 2 came"), "{found}");
    let found = found_of(|events| events.extend(events[0..1].to_vec()));
    assert!(found.contains("revision 2 after revision 5"), "{found}");
    let found = found_of(|events| events[4].previous = None);
    assert!(found.contains("another previous version"), "{found}");
    let found = found_of(|events| events[4].kv.version = 1);
    assert!(found.contains("another change than it is"), "{found}");
    let found = found_of(|events| events[3].deleted = false);
    assert!(found.contains("another change than it is"), "{found}");
}

#[test]
fn a_watch_begins_and_goes_on_where_it_should() {
    let mut late = watching(4);
    let events = late.events.clone();
    watched(&mut late, &events[4..]);
    assert!(late.found().contains("skips revision 4: 5 came"), "{}", late.found());
    let mut early = watching(4);
    watched(&mut early, &events[1..3]);
    assert!(early.found().contains("revision 3 after revision 3"), "{}", early.found());
}

#[test]
fn a_bookmark_says_that_nothing_is_missing() {
    let mut sound = watching(4);
    let events = sound.events.clone();
    watched(&mut sound, &events[3..4]);
    bookmark(&mut sound, 4);
    watched(&mut sound, &events[4..]);
    bookmark(&mut sound, 5);
    assert_eq!(sound.found(), "");
    let mut missing = watching(4);
    watched(&mut missing, &events[3..4]);
    bookmark(&mut missing, 5);
    assert!(missing.found().contains("complete up to revision 5, but 5 never came"), "{}", missing.found());
    let mut beyond = watching(6);
    bookmark(&mut beyond, 9);
    assert!(beyond.found().contains("no member has applied more than 5"), "{}", beyond.found());
}

#[test]
fn a_compaction_ends_watches_that_need_what_it_took() {
    let compacted = |from, at| {
        let mut play = watching(from);
        play.tell(HistoryEvent::WatchCompacted { client: 1, watch: 1, compact_revision: Revision(at) });
        play.found().to_owned()
    };
    assert_eq!(compacted(2, 4), "");
    assert!(compacted(5, 4).contains("given up by a compaction at 4, but it wanted 5 next"));
    assert!(compacted(2, 40).contains("of 5"));
}

fn leased() -> Play {
    let mut play = play();
    play.store.grant(LeaseId(7), Duration::from_secs(10)).unwrap();
    play.now = Time::from_secs(100);
    play.tell(HistoryEvent::LeaseAlive { client: 1, lease: LeaseId(7), ttl: Duration::from_secs(10), asked: Duration::from_secs(1) });
    for (key, value) in [(X, 4), (Y, 5)] {
        let id = play.call(of(&[write(key, value)]));
        let revision = play.apply_as(&[write(key, value)], 7, |_| {});
        play.done(id, &[], revision);
    }
    play
}
fn end_lease(play: &mut Play, at: u64) {
    play.now = Time::from_secs(at);
    play.store.revoke(LeaseId(7), Cause::NONE).unwrap();
    play.applied(|_| {});
}

#[test]
fn a_lease_lives_as_long_as_was_promised() {
    let mut sound = leased();
    end_lease(&mut sound, 109);
    assert_eq!(sound.found(), "");
    let mut early = leased();
    end_lease(&mut early, 108);
    assert!(early.violations[0].contains("with lease 7, which was to live until 109"), "{:?}", early.violations);
    let mut revoked = leased();
    revoked.tell(HistoryEvent::LeaseRevoking { client: 1, lease: LeaseId(7) });
    end_lease(&mut revoked, 101);
    assert_eq!(revoked.found(), "");
    let mut fast = leased();
    fast.clients.tolerate(100_000);
    fast.tell(HistoryEvent::LeaseAlive { client: 1, lease: LeaseId(8), ttl: Duration::from_secs(10), asked: Duration::ZERO });
    assert_eq!(fast.found(), "");
}

#[test]
fn keys_go_with_their_lease_and_not_before() {
    let mut deleted = leased();
    deleted.write(&[Step::Delete(X)]);
    end_lease(&mut deleted, 120);
    assert_eq!(deleted.found(), "");
    let mut left = leased();
    left.now = Time::from_secs(120);
    left.apply(&[Step::Delete(X)]);
    assert!(left.found().contains("lease 7 ended with revision 6, and key 2 did not"), "{}", left.found());
    let mut dead = leased();
    end_lease(&mut dead, 120);
    dead.tell(HistoryEvent::LeaseAlive { client: 1, lease: LeaseId(7), ttl: Duration::from_secs(10), asked: Duration::ZERO });
    assert_eq!(dead.found(), "");
    dead.now = Time::from_secs(121);
    dead.tell(HistoryEvent::LeaseAlive { client: 1, lease: LeaseId(7), ttl: Duration::from_secs(10), asked: Duration::ZERO });
    assert!(dead.found().contains("lease 7 was kept alive at 121"), "{}", dead.found());
}

#[test]
fn a_restored_cluster_begins_an_era() {
    let mut play = play();
    let snapshot =
        StoreSnapshot { kvs: play.store.range(&crate::wire::etcd::Range::of(Key::all())).unwrap().kvs, ..StoreSnapshot::default() };
    let snapshot = StoreSnapshot { revision: Revision(3), compacted: Revision(3), ..snapshot };
    let lost = play.write(&[write(X, 4)]);
    let across = play.call(of(&[write(X, 6)]));
    play.store = Store::from_snapshot(&snapshot);
    play.clients.restored(&snapshot, &play.history);
    play.read(X, Some(2), 3);
    assert_eq!(play.write(&[write(X, 5)]), lost);
    play.done(across, &[], 4);
    play.read(X, Some(5), 4);
    play.clients.linearizability(&play.history, &mut play.violations);
    assert_eq!(play.found(), "");
    // What was lost does not come back.
    play.read(X, Some(4), 4);
    play.clients.linearizability(&play.history, &mut play.violations);
    assert_eq!(play.violations.len(), 2, "{:?}", play.violations);
    assert!(play.violations[1].starts_with("not linearizable: c1#"), "{:?}", play.violations);
}
