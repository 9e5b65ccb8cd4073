//! An etcd member as an actor: Raft over connections and a write-ahead log, committed entries applied to the store, clients answered.
//!
//! It follows etcd's server (`server/etcdserver`): a proposal is answered by the member that it came to, when that member has applied it,
//! or not at all: then it is a `Timeout` after 7 s, with an unknown outcome. Without a leader proposals wait; with a dead one that is not
//! yet given up they are lost. Linearizable reads wait for a read index, all that come meanwhile for the next one. Left out:
//! authentication; the time that a defragmentation takes; and the limit on entries that are committed and not yet applied
//! (ErrTooManyRequests beyond 5,000), since here a committed entry is applied at once.
//!
//! What was applied outlives the process in the [`Database`], where the host can keep one; else it is made again from the log, which then
//! is only shortened at compactions of the store, by a snapshot of all of it.

mod apply;
mod database;
mod forward;
mod leases;
mod membership;
mod peers;
mod requests;
mod wal;

use std::collections::VecDeque;
use std::sync::Arc;

use super::Config;
use super::raft::{self, Persist, Raft, Ready, Role, RoleChange};
use super::store::Store;
use super::watch::{Notice, Watchers};
use crate::base::{Cause, Duration, Index, Revision, Set, Stream, Term, Time};
use crate::wire::actor::{Boot, DiskRecord};
use crate::wire::etcd::StoreSnapshot;
use crate::wire::raft::{self as raft_wire, Configuration, HardState, Snapshot};
use crate::wire::{Actor, Address, Conn, EtcdMessage, Fact, Input, Member, Outbox, What, fact::Subject};
pub use database::Database;
use forward::Forwards;
use leases::Leases;
use membership::Moving;
use peers::Link;
use requests::{Proposals, Reads};

/// How often lagging watchers are served (etcd `server/storage/mvcc/watchable_store.go`, watchResyncPeriod).
const WATCH_PASS: Duration = Duration::from_millis(100);
/// Periodic progress notifications (etcd `server/etcdserver/api/v3rpc/watch.go`, progressReportInterval).
const WATCH_PROGRESS: Duration = Duration::from_secs(600);
/// Watches are given up when no leader was known at so many checks, one an election timeout (etcd `v3rpc/interceptor.go`).
const LEADERLESS_CHECKS: u64 = 3;
/// Commit latencies that are kept until somebody asks.
const LATENCIES_MAX: usize = 1 << 16;

/// See the module.
pub struct EtcdMember {
    config: Config,
    me: Member,
    members: Vec<Member>,
    /// Until `Boot`, for the election timer.
    stream: Option<Stream>,
    /// Of an earlier life, until `Boot`.
    database: Option<Box<Database>>,
    keeps_database: bool,
    life: Option<Life>,
}

/// What a crash takes away.
struct Life {
    config: Config,
    me: Member,
    keeps_database: bool,
    now: Time,
    booted: Time,
    raft: Raft,
    ready: Ready,
    store: Store,
    watchers: Watchers,
    notices: Vec<Notice>,
    /// The last entry that was applied, and its index for each revision since the last compaction.
    applied: Index,
    /// The log was released up to here.
    released: Index,
    made_by: VecDeque<Index>,
    leases: Leases,
    forwards: Forwards,
    /// When an alarm of this member was asked for that is not raised yet.
    alarm_asked: Option<Time>,
    links: Vec<Link>,
    /// Clients that wait for the lead to change hands.
    moving: Vec<Moving>,
    /// Configurations that took effect while this member led, untold.
    membership_changed: Vec<Configuration>,
    /// The membership at the last snapshot and after each change since, by index; only where all is made again from the log.
    configurations: Vec<(Index, Configuration)>,
    /// It was removed, and is about to end.
    left: bool,
    clients: Set<Conn>,
    proposals: Proposals,
    reads: Reads,
    /// Whom this member knew as leader when it last looked.
    leader: Option<Member>,
    /// When it last heard from the leader, and what caused that message.
    heard: (Time, Cause),
    leaderless_since: Option<Time>,
    /// While there is no leader: the last candidacy that this member recorded or was asked to vote for. An election that follows one
    /// without a winner is caused by it.
    candidacy: Cause,
    /// Clients are served from the first leader on: until then etcd does not listen.
    serving: bool,
    next_progress: Time,
    /// When lagging watchers are served next; never if there are none.
    watch_pass: Time,
    /// The candidacy that was last recorded.
    candidate_for: Term,
    /// Of entries that this member appended as leader, by the first and the last of those that came at one time: when.
    appended: VecDeque<(Index, Index, Time)>,
    appended_to: Index,
    latencies: Vec<Duration>,
}

/// What can be seen of a member from outside: for samples and invariants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemberStatus {
    pub role: Role,
    pub term: Term,
    pub leader: Option<Member>,
    pub commit: Index,
    pub applied: Index,
    pub last_index: Index,
    pub revision: Revision,
    pub compacted: Revision,
    pub db_bytes: u64,
    /// Up to here its log is durable.
    pub stable: Index,
    pub vote: Option<Member>,
}

impl Actor for EtcdMember {
    type Message = EtcdMessage;

    fn step(&mut self, now: Time, input: Input<EtcdMessage>, out: &mut Outbox) {
        if let Input::Boot(mut boot) = input {
            if !wal::checked(&mut boot, self.config.planted, self.me, out) {
                return;
            }
            let stream = self.stream.take().expect("a member is booted once; each life is a new one");
            let mut life = Life::new(self, now, *boot, stream);
            life.start(out);
            self.life = Some(life);
        } else if let Some(life) = &mut self.life {
            life.step(now, input, out);
        }
    }
    fn deadline(&self) -> Time {
        self.life.as_ref().map_or(Time::NEVER, Life::deadline)
    }
}

impl EtcdMember {
    /// `members`: the voters that the cluster began with; a member that joins later is not among them. `stream`: for its election
    /// timeouts, of this incarnation.
    pub fn new(config: Config, me: Member, members: Vec<Member>, stream: Stream) -> EtcdMember {
        EtcdMember { config, me, members, stream: Some(stream), database: None, keeps_database: false, life: None }
    }
    /// The host keeps what is in the database between this member's lives; here comes that of the last one, if there was any.
    pub fn with_database(mut self, database: Option<Box<Database>>) -> EtcdMember {
        (self.database, self.keeps_database) = (database, true);
        self
    }
    /// What outlives the process.
    pub fn into_database(self) -> Option<Box<Database>> {
        self.life.filter(|life| life.keeps_database).map(|life| Box::new(Database::of(life)))
    }
    /// What the disk of each member holds in a cluster that has been running: a store, made by an entry of `term`.
    pub fn boot_records(state: StoreSnapshot, term: Term, configuration: Configuration) -> Vec<DiskRecord> {
        // At least one entry made each revision.
        let index = Index(state.revision.0.max(1));
        vec![
            DiskRecord::Snapshot(Arc::new(Snapshot { index, term, configuration, state: Arc::new(state) })),
            DiskRecord::HardState(HardState { term, vote: None, commit: index }),
        ]
    }
    /// `None` before its boot.
    pub fn status(&self) -> Option<MemberStatus> {
        let life = self.life.as_ref()?;
        Some(MemberStatus {
            role: life.raft.role(),
            term: life.raft.term(),
            leader: life.raft.leader(),
            commit: life.raft.commit(),
            applied: life.applied,
            last_index: life.raft.last_index(),
            revision: life.store.revision(),
            compacted: life.store.compacted(),
            db_bytes: life.store.db_bytes(),
            stable: life.raft.stable(),
            vote: life.raft.vote(),
        })
    }
    /// The term of a log entry; `None` if the log does not reach so far, or no longer.
    pub fn entry_term(&self, index: Index) -> Option<Term> {
        self.life.as_ref()?.raft.entry_term(index)
    }
    /// Its Raft, to look into.
    pub fn raft(&self) -> Option<&Raft> {
        self.life.as_ref().map(|life| &life.raft)
    }
    /// The membership as applied so far.
    pub fn configuration(&self) -> Option<&Configuration> {
        self.life.as_ref().map(|life| life.raft.configuration())
    }
    /// The store as applied so far.
    pub fn store(&self) -> Option<&Store> {
        self.life.as_ref().map(|life| &life.store)
    }
    /// From append to commit, of entries that this member committed as leader since this was last asked.
    pub fn take_commit_latencies(&mut self) -> Vec<Duration> {
        self.life.as_mut().map_or_else(Vec::new, |life| std::mem::take(&mut life.latencies))
    }
}

impl Life {
    fn new(member: &mut EtcdMember, now: Time, boot: Boot, stream: Stream) -> Life {
        let Boot { incarnation, disk, .. } = boot;
        let (config, me) = (member.config.clone(), member.me);
        let raft_config = raft::Config {
            me,
            members: member.members.clone(),
            tick: config.heartbeat_interval,
            election_ticks: (config.election_timeout.nanos() / config.heartbeat_interval.nanos()).max(2),
            max_in_flight: config.max_inflight,
            max_message_bytes: config.max_message_bytes,
            lease_reads: config.lease_reads,
            planted: config.planted,
        };
        let database = member.database.take();
        let applied = database.as_ref().map(|database| database.applied());
        let mut life = Life {
            raft: Raft::new(raft_config, &disk, applied, now, stream),
            links: Vec::new(),
            moving: Vec::new(),
            membership_changed: Vec::new(),
            configurations: vec![(Index::ZERO, Configuration::of(member.members.iter().copied()))],
            left: false,
            // 5 s for queueing and the disk, and two elections (etcd `server/config/config.go`, ReqTimeout).
            proposals: Proposals::new(me, incarnation, Duration::from_secs(5) + config.election_timeout * 2),
            leases: Leases::new(config.clone()),
            forwards: Forwards::new(incarnation),
            alarm_asked: None,
            store: Store::new().with(config.planted),
            watchers: Watchers::new(config.max_request_bytes, config.planted),
            config,
            me,
            keeps_database: member.keeps_database,
            now,
            booted: now,
            ready: Ready::default(),
            notices: Vec::new(),
            applied: Index::ZERO,
            released: Index::ZERO,
            made_by: VecDeque::new(),
            clients: Set::default(),
            reads: Reads::new(incarnation),
            leader: None,
            heard: (now, Cause::NONE),
            leaderless_since: Some(now),
            candidacy: Cause::NONE,
            serving: false,
            next_progress: now + WATCH_PROGRESS,
            watch_pass: Time::NEVER,
            candidate_for: Term::default(),
            appended: VecDeque::new(),
            appended_to: Index::ZERO,
            latencies: Vec::new(),
        };
        if let Some(database) = database {
            database.open(&mut life);
        }
        life
    }
    /// Reads the log back, and dials the others.
    fn start(&mut self, out: &mut Outbox) {
        if self.raft.ready(&mut self.ready) {
            self.replay();
        }
        self.meet(&self.raft.configuration().clone());
        for link in &mut self.links {
            link.dial(out);
        }
        self.drive(out);
    }
    fn step(&mut self, now: Time, input: Input<EtcdMessage>, out: &mut Outbox) {
        self.now = now;
        if self.left {
            return;
        }
        match input {
            Input::Boot(_) => unreachable!("handled by the member"),
            Input::Wake => self.wake(out),
            Input::Data(conn, EtcdMessage::Raft(message)) if self.is_foreign(conn, &message, out) => return,
            Input::Accepted(conn, from) => {
                if !matches!(from, Address::Etcd(_)) {
                    self.clients.insert(conn);
                }
            }
            Input::Data(_, EtcdMessage::Raft(message)) => {
                if Some(message.from) == self.leader {
                    self.heard = (now, out.cause());
                }
                if self.leader.is_none() && matches!(message.body, raft_wire::Body::Vote { .. }) {
                    self.candidacy = out.cause();
                }
                self.raft.step(now, out.cause(), *message);
            }
            Input::Data(_, EtcdMessage::Peer(message)) => self.peer_lease(*message, out),
            Input::Data(conn, EtcdMessage::Client(request)) => self.request(conn, *request, out),
            Input::Opened(conn) => self.link_opened(conn, out),
            Input::Refused(conn) => self.link_lost(conn),
            Input::Closed(conn, _) => {
                self.link_lost(conn);
                self.clients.remove(&conn);
                self.watchers.remove_connection(conn);
            }
            Input::Blocked(conn) => self.set_blocked(conn, true),
            Input::Writable(conn) => self.set_blocked(conn, false),
            // Only one write is outstanding at a time.
            Input::Synced(_) => self.raft.synced(now, out.cause()),
            Input::Container(_) | Input::Done(_) => {}
        }
        self.drive(out);
    }
    /// O(1): every part keeps its own earliest instant.
    fn deadline(&self) -> Time {
        self.raft
            .deadline()
            .min(self.proposals.deadline())
            .min(self.reads.deadline())
            .min(self.lease_deadline())
            .min(self.forwards.deadline())
            .min(self.links.iter().map(Link::deadline).min().unwrap_or(Time::NEVER))
            .min(self.watch_pass)
            .min(if self.watchers.is_empty() { Time::NEVER } else { self.next_progress.min(self.leaderless_limit()) })
    }
    fn wake(&mut self, out: &mut Outbox) {
        let now = self.now;
        if self.raft.deadline() <= now {
            self.raft.tick(now);
        }
        self.redial(out);
        self.expire_leases();
        self.time_out_requests(out);
        self.forward_again(out);
        if self.watch_pass <= now {
            self.watch_pass = Time::NEVER;
            self.watchers.catch_up(&self.store, &mut self.notices);
        }
        if self.next_progress <= now {
            self.next_progress = now.next_tick(self.booted, WATCH_PROGRESS).max(self.next_progress + WATCH_PROGRESS);
            self.watchers.progress(&mut self.notices);
        }
        if self.leaderless_limit() <= now {
            self.give_up_watches(out);
        }
    }
    /// Does all that Raft has to be done, until there is nothing more before the next input.
    fn drive(&mut self, out: &mut Outbox) {
        let input_cause = out.cause();
        loop {
            // Both may give Raft something to do: proposals that waited for a leader, the next read index.
            self.note_appended();
            self.watch_leader(out);
            self.watch_transfer(out);
            if self.proposals.has_held() && self.leader.is_some() && !self.raft.is_transferring() {
                self.propose_held();
            }
            self.serve_reads(out);
            // Under load this is all that most inputs come to.
            if self.raft.is_persisting() {
                break;
            }
            let mut ready = std::mem::take(&mut self.ready);
            let has_more = self.raft.ready(&mut ready);
            if has_more {
                self.perform(&mut ready, input_cause, out);
            }
            self.ready = ready;
            if !has_more {
                break;
            }
        }
        self.flush_watches(out);
        self.plan_watch_pass();
        out.because(input_cause);
        self.tell_membership(out);
    }
    fn perform(&mut self, ready: &mut Ready, input_cause: Cause, out: &mut Outbox) {
        let fact = self.record_changes(&ready.changes, out);
        for (cause, message) in ready.messages.drain(..) {
            out.because(if matches!(message.body, raft_wire::Body::Propose { .. }) { cause } else { fact.or(cause) });
            self.send(message, out);
        }
        out.because(fact.or(input_cause));
        if let Some(persist) = ready.persist.take() {
            write(persist, out);
        }
        if let Some(snapshot) = ready.restore.take() {
            self.restore(&snapshot);
        }
        for run in ready.committed.drain(..) {
            self.apply(&run, out);
        }
        out.because(fact.or(input_cause));
        self.reads.confirmed(&ready.reads);
        self.send_snapshots(&ready.snapshots_wanted);
        self.release_log();
    }
    /// Notes when a leader's entries were appended.
    fn note_appended(&mut self) {
        let last = self.raft.last_index();
        if self.raft.role() != Role::Leader {
            self.appended.clear();
        } else if last > self.appended_to {
            self.appended.push_back((self.appended_to.next(), last, self.now));
        }
        self.appended_to = last;
    }
    /// Records changes of role; the cause that is then the last fact's, or none.
    fn record_changes(&mut self, changes: &[RoleChange], out: &mut Outbox) -> Cause {
        let mut fact = Cause::NONE;
        let me = Subject::Actor(Address::Etcd(self.me));
        for change in changes {
            out.because(fact.or(change.cause));
            let silent =
                |of: Member, since| Fact { subject: me.clone(), what: What::Silent { of: Subject::Actor(Address::Etcd(of)), since } };
            let what = match change.to {
                Role::Follower => {
                    for &of in &change.silent {
                        out.record(silent(of, self.config.election_timeout));
                    }
                    What::BecameFollower { term: change.term }
                }
                // An election is one story, however often it is tried and in how many steps.
                Role::PreCandidate | Role::Candidate if change.term == self.candidate_for => continue,
                Role::PreCandidate | Role::Candidate => {
                    self.candidate_for = change.term;
                    if let (Some(leader), Role::Follower) = (change.leader_before, change.from) {
                        let (at, cause) = self.heard;
                        out.because(cause);
                        out.record(silent(leader, self.now - at));
                    } else {
                        out.because(self.candidacy.or(out.cause()));
                    }
                    What::BecameCandidate { term: change.term }
                }
                Role::Leader => What::BecameLeader { term: change.term },
            };
            fact = out.record(Fact { subject: me.clone(), what });
            if matches!(change.to, Role::PreCandidate | Role::Candidate) {
                self.candidacy = fact;
            }
            match change.to {
                Role::Leader => self.leases.lead(&self.store, self.now),
                _ => self.leases.follow(),
            }
        }
        fact
    }
    /// A leader was found, or lost.
    fn watch_leader(&mut self, out: &mut Outbox) {
        let leader = self.raft.leader();
        if leader == self.leader {
            return;
        }
        self.leader = leader;
        if leader.is_some() {
            self.heard = (self.now, out.cause());
            self.leaderless_since = None;
            self.candidacy = Cause::NONE;
            self.serving = true;
            self.leader_changed(out);
        } else {
            self.leaderless_since = Some(self.now);
        }
    }
    /// When watches are given up for want of a leader.
    fn leaderless_limit(&self) -> Time {
        let interval = self.config.election_timeout;
        self.leaderless_since.map_or(Time::NEVER, |since| since.next_tick(self.booted, interval) + interval * (LEADERLESS_CHECKS - 1))
    }
    /// Lagging watchers are served at the first tick from when there are any: who looks a little after a tick, as everybody does whose time
    /// is real, must not find that the next one is due.
    fn plan_watch_pass(&mut self) {
        if !self.watchers.has_lagging() {
            self.watch_pass = Time::NEVER;
        } else if self.watch_pass == Time::NEVER {
            self.watch_pass = self.now.next_tick(self.booted, WATCH_PASS);
        }
    }
}

/// Writes what Raft wants to be durable. The hard state goes first: entries of a term never stand in a log that does not know the term.
fn write(persist: Persist, out: &mut Outbox) {
    if let Some(snapshot) = persist.snapshot {
        out.disk_write(DiskRecord::Snapshot(snapshot));
    }
    if let Some(release) = persist.release {
        out.disk_write(DiskRecord::Release(release));
    }
    if let Some(state) = persist.hard_state {
        out.disk_write(DiskRecord::HardState(state));
    }
    if !persist.entries.is_empty() {
        out.disk_write(DiskRecord::Entries(persist.entries));
    }
    out.disk_sync();
}
