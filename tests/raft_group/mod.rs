//! Raft without members around it: logs by hand, messages by hand, every write durable at once.

use std::sync::Arc;

use clustersim::base::planted::Planted;
use clustersim::base::random::Seed;
use clustersim::base::{Cause, Duration, Index, Revision, Term, Time};
use clustersim::etcd::raft::{Config, Raft, Ready};
use clustersim::wire::Member;
use clustersim::wire::actor::DiskRecord;
use clustersim::wire::etcd::{Command, Mutation};
use clustersim::wire::raft::{Body, Entry, HardState, Message};

pub const MEMBERS: u16 = 5;

pub fn entry(index: u64, term: u64) -> Entry {
    Entry { term: Term(term), index: Index(index), command: None, change: None }
}
/// A log whose entries have these terms.
pub fn entries(terms: &[u64]) -> Vec<Entry> {
    terms.iter().enumerate().map(|(at, &term)| entry(at as u64 + 1, term)).collect()
}
pub fn config(me: u16) -> Config {
    Config {
        me: Member(me),
        members: (1..=MEMBERS).map(Member).collect(),
        tick: Duration::from_millis(100),
        election_ticks: 10,
        max_in_flight: 512,
        max_message_bytes: 1 << 20,
        lease_reads: false,
        planted: Planted::default(),
    }
}
/// A member of five in `term`, whose log has entries of these terms; the first is committed, if there is one.
pub fn raft(me: u16, terms: &[u64], term: u64, now: Time) -> Raft {
    started(me, terms, HardState { term: Term(term), vote: None, commit: Index(terms.len().min(1) as u64) }, now)
}
pub fn started(me: u16, terms: &[u64], state: HardState, now: Time) -> Raft {
    let disk = [DiskRecord::HardState(state), DiskRecord::Entries(entries(terms).into())];
    Raft::new(config(me), &disk, None, now, Seed(u64::from(me)).stream("paper"))
}

/// Takes what is ready, as if every write were durable at once; gives the messages.
pub fn take(raft: &mut Raft, now: Time) -> Vec<Message> {
    let (mut ready, mut messages) = (Ready::default(), Vec::new());
    while raft.ready(&mut ready) {
        messages.extend(ready.messages.drain(..).map(|(_, message)| message));
        if ready.persist.is_some() {
            raft.synced(now, Cause::NONE);
        }
    }
    messages
}
/// One message from another member, and what comes of it.
pub fn tell(raft: &mut Raft, now: Time, from: u16, term: u64, body: Body) -> Vec<Message> {
    raft.step(now, Cause::NONE, Message { from: Member(from), to: raft.me(), term: Term(term), body });
    take(raft, now)
}
/// Waits for the election timeout; what is sent then.
pub fn time_out(raft: &mut Raft) -> (Time, Vec<Message>) {
    let now = raft.deadline();
    raft.tick(now);
    (now, take(raft, now))
}
/// Elects: the member times out, and those of `voters` grant it both its pre-vote and its vote. What it sends as leader.
pub fn elect(raft: &mut Raft, voters: &[u16]) -> (Time, Vec<Message>) {
    let (now, _) = time_out(raft);
    let next = raft.term().0 + 1;
    for &voter in voters {
        tell(raft, now, voter, next, Body::PreVoteResponse { granted: true });
    }
    let mut sent = Vec::new();
    for &voter in voters {
        sent.extend(tell(raft, now, voter, next, Body::VoteResponse { granted: true }));
    }
    (now, sent)
}
pub fn propose(raft: &mut Raft, now: Time, number: u64) -> Vec<Message> {
    let mutation = Mutation::Compact { revision: Revision(number) };
    let command = Arc::new(Command { origin: raft.me(), number, cause: Cause::NONE, mutation });
    let _ = raft.propose(now, Cause::NONE, command);
    take(raft, now)
}

/// Delivers messages among these members until there are no more.
pub fn settle(group: &mut [Raft], mut messages: Vec<Message>, now: Time) {
    while !messages.is_empty() {
        let mut next = Vec::new();
        for message in messages {
            if let Some(to) = group.iter_mut().find(|raft| raft.me() == message.to) {
                to.step(now, Cause::NONE, message);
                next.extend(take(to, now));
            }
        }
        messages = next;
    }
}
/// The terms of a log's entries.
pub fn log(raft: &Raft) -> Vec<u64> {
    (1..=raft.last_index().0).map(|index| raft.entry_term(Index(index)).map_or(0, |term| term.0)).collect()
}
