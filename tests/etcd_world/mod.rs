//! A small world for etcd members: a network with one constant delay, disks, crashes, partitions, one client. Driven by transcripts: a
//! block of commands, a line `----`, what was seen. `UPDATE_GOLDENS=1` writes anew what was seen.

#![expect(dead_code, reason = "two test programs share it, and each uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use clustersim::base::random::Seed;
use clustersim::base::{Cause, Duration, Incarnation, Index, Revision, Term, Time};
use clustersim::engine::checks::members::Members;
use clustersim::etcd::{Config, Database, EtcdMember, MemberStatus};
use clustersim::wire::actor::{Boot, DiskRecord};
use clustersim::wire::etcd::{Applied, Operation, Request, Response};
use clustersim::wire::fact::Fact;
use clustersim::wire::*;

/// One way.
const DELAY: Duration = Duration::from_millis(1);
const CLIENT: Address = Address::Operator;

pub struct World {
    pub now: Time,
    seed: u64,
    /// The voters that the cluster begins with.
    initial: Vec<Member>,
    /// What was applied outlives its member's process, as in the simulator; else it is made again from the log, as on a real host.
    pub keeps_databases: bool,
    machines: BTreeMap<Member, Machine>,
    out: Outbox,
    /// Ends of each connection: who dialled, who listens.
    conns: BTreeMap<Conn, (Address, Address)>,
    queue: BTreeMap<(Time, u64), Event>,
    sequence: u64,
    /// Nothing passes between members of different groups.
    groups: Vec<BTreeSet<Member>>,
    pub facts: Vec<(Time, Member, Fact)>,
    pub applied: Vec<(Member, Applied)>,
    pub responses: Vec<Response>,
    client_conns: BTreeMap<Member, Conn>,
    next_request: u64,
    /// Of every member that is started from now on.
    pub config: Config,
    /// How late members are woken: on a real host always a little.
    pub late: Duration,
    /// Every member is looked at after each of its steps.
    checks: Members,
    violations: Vec<String>,
}

struct Machine {
    actor: Option<EtcdMember>,
    database: Option<Box<Database>>,
    incarnation: Incarnation,
    durable: Vec<DiskRecord>,
    unsynced: Vec<DiskRecord>,
    /// How long an fsync takes.
    sync: Duration,
}

enum Event {
    Input(Member, Incarnation, Input<EtcdMessage>),
    Synced(Member, Incarnation, SyncId, usize),
    Dialled(Conn),
    Response(Response),
}

impl World {
    pub fn new(members: u16, seed: u64) -> World {
        let mut world = World {
            now: Time::ZERO,
            seed,
            initial: (1..=members).map(Member).collect(),
            keeps_databases: false,
            machines: BTreeMap::new(),
            out: Outbox::new(),
            conns: BTreeMap::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            groups: Vec::new(),
            facts: Vec::new(),
            applied: Vec::new(),
            responses: Vec::new(),
            client_conns: BTreeMap::new(),
            next_request: 0,
            config: Config::default(),
            late: Duration::ZERO,
            checks: Members::default(),
            violations: Vec::new(),
        };
        world.initial.clone().into_iter().for_each(|member| world.add_machine(member));
        world
    }
    /// A process with an empty data directory, which is not a member yet.
    pub fn add_machine(&mut self, member: Member) {
        let sync = Duration::from_millis(1);
        let machine = Machine { actor: None, database: None, incarnation: Incarnation(0), durable: Vec::new(), unsynced: Vec::new(), sync };
        self.machines.insert(member, machine);
    }
    pub fn members(&self) -> Vec<Member> {
        self.machines.keys().copied().collect()
    }
    pub fn start_all(&mut self) {
        self.members().into_iter().for_each(|member| self.start(member));
    }
    pub fn is_up(&self, member: Member) -> bool {
        self.machines[&member].actor.is_some()
    }
    pub fn status(&self, member: Member) -> Option<MemberStatus> {
        self.machines[&member].actor.as_ref()?.status()
    }
    pub fn actor(&self, member: Member) -> Option<&EtcdMember> {
        self.machines[&member].actor.as_ref()
    }
    /// What a member finds on its disk at its next start.
    pub fn set_disk(&mut self, member: Member, records: Vec<DiskRecord>) {
        self.machines.get_mut(&member).unwrap().durable = records;
    }
    pub fn set_sync(&mut self, member: Member, sync: Duration) {
        self.machines.get_mut(&member).unwrap().sync = sync;
    }
    /// The leader of the highest term.
    pub fn leader(&self) -> Option<Member> {
        let leading = |&member: &Member| self.status(member).filter(|status| status.role == clustersim::etcd::raft::Role::Leader);
        self.members().into_iter().filter(|member| leading(member).is_some()).max_by_key(|member| leading(member).map(|s| s.term))
    }
    pub fn start(&mut self, member: Member) {
        let members = self.initial.clone();
        let machine = self.machines.get_mut(&member).unwrap();
        assert!(machine.actor.is_none(), "{member} runs already");
        machine.incarnation = machine.incarnation.next();
        self.checks.began(member);
        let name = format!("{member} incarnation {}", machine.incarnation);
        let mut actor = EtcdMember::new(self.config.clone(), member, members, Seed(self.seed).stream(&name));
        if self.keeps_databases {
            actor = actor.with_database(machine.database.take());
        }
        machine.actor = Some(actor);
        machine.durable.append(&mut machine.unsynced);
        let boot =
            Boot { incarnation: machine.incarnation, machine_boot: Incarnation(1), disk: machine.durable.clone(), damaged: Vec::new() };
        self.step(member, Input::Boot(Box::new(boot)));
    }
    /// The process dies; with `power` the machine too, and what was not synced is lost.
    pub fn stop(&mut self, member: Member, power: bool) {
        let machine = self.machines.get_mut(&member).unwrap();
        machine.database = machine.actor.take().and_then(EtcdMember::into_database);
        if power {
            machine.unsynced.clear();
        }
        self.client_conns.remove(&member);
        let gone: Vec<(Conn, Address)> = (self.conns.iter())
            .filter(|(_, (from, to))| *from == Address::Etcd(member) || *to == Address::Etcd(member))
            .map(|(&conn, &(from, to))| (conn, if from == Address::Etcd(member) { to } else { from }))
            .collect();
        for (conn, other) in gone {
            self.conns.remove(&conn);
            self.later(DELAY, other, Input::Closed(conn, CloseReason::Reset));
        }
    }
    pub fn partition(&mut self, groups: Vec<BTreeSet<Member>>) {
        self.groups = groups;
    }
    fn connected(&self, from: Address, to: Address) -> bool {
        match (from, to) {
            (Address::Etcd(from), Address::Etcd(to)) => {
                self.groups.is_empty() || self.groups.iter().any(|group| group.contains(&from) && group.contains(&to))
            }
            _ => true,
        }
    }
    /// Sends a client's request to a member; the answers will be in `responses`.
    pub fn request(&mut self, member: Member, operation: Operation) -> u64 {
        self.next_request += 1;
        let id = self.next_request;
        let conn = match self.client_conns.get(&member) {
            Some(&conn) => conn,
            None => {
                let conn = Conn(1_000_000 + id);
                self.client_conns.insert(member, conn);
                self.conns.insert(conn, (CLIENT, Address::Etcd(member)));
                self.later(DELAY, Address::Etcd(member), Input::Accepted(conn, CLIENT));
                conn
            }
        };
        let request = Request { id, operation };
        self.later(DELAY, Address::Etcd(member), Input::Data(conn, EtcdMessage::Client(Box::new(request))));
        id
    }
    pub fn answer(&self, id: u64) -> Option<&Response> {
        self.responses.iter().find(|response| response.id == id)
    }

    fn push(&mut self, delay: Duration, event: Event) {
        self.sequence += 1;
        self.queue.insert((self.now + delay, self.sequence), event);
    }
    fn later(&mut self, delay: Duration, to: Address, input: Input<EtcdMessage>) {
        if let Address::Etcd(member) = to {
            let incarnation = self.machines[&member].incarnation;
            self.push(delay, Event::Input(member, incarnation, input));
        }
    }
    /// What the checks of members found.
    pub fn violations(&self) -> &[String] {
        &self.violations
    }
    /// Goes on until `until`.
    pub fn run_until(&mut self, until: Time) {
        loop {
            let event_at = self.queue.first_key_value().map_or(Time::NEVER, |((at, _), _)| *at);
            let wake = self.machines.iter().filter_map(|(&member, machine)| Some((machine.actor.as_ref()?.deadline(), member))).min();
            let (wake_at, sleeper) =
                wake.filter(|(at, _)| *at < Time::NEVER).map_or((Time::NEVER, Member(0)), |(at, sleeper)| (at + self.late, sleeper));
            if event_at.min(wake_at) > until {
                self.now = until;
                return;
            }
            self.now = self.now.max(event_at.min(wake_at));
            if wake_at < event_at {
                self.step(sleeper, Input::Wake);
            } else {
                let (_, event) = self.queue.pop_first().unwrap();
                self.play(event);
            }
        }
    }
    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }
    fn alive(&self, member: Member, incarnation: Incarnation) -> bool {
        self.machines[&member].incarnation == incarnation && self.is_up(member)
    }
    fn play(&mut self, event: Event) {
        match event {
            Event::Input(member, incarnation, input) if self.alive(member, incarnation) => self.step(member, input),
            Event::Synced(member, incarnation, id, covered) if self.alive(member, incarnation) => {
                let machine = self.machines.get_mut(&member).unwrap();
                machine.durable.extend(machine.unsynced.drain(..covered));
                self.step(member, Input::Synced(id));
            }
            Event::Input(..) | Event::Synced(..) => {}
            Event::Dialled(conn) => {
                let Some(&(from, to)) = self.conns.get(&conn) else { return };
                let Address::Etcd(listener) = to else { return };
                if !self.is_up(listener) || !self.connected(from, to) {
                    self.conns.remove(&conn);
                    self.later(DELAY, from, Input::Refused(conn));
                } else {
                    self.later(Duration::ZERO, to, Input::Accepted(conn, from));
                    self.later(DELAY, from, Input::Opened(conn));
                }
            }
            Event::Response(response) => self.responses.push(response),
        }
    }
    fn step(&mut self, member: Member, input: Input<EtcdMessage>) {
        let machine = self.machines.get_mut(&member).unwrap();
        self.out.begin(Cause::NONE);
        machine.actor.as_mut().unwrap().step(self.now, input, &mut self.out);
        let (incarnation, sync) = (machine.incarnation, machine.sync);
        let effects: Vec<Effect> = self.out.drain().map(|(_, effect)| effect).collect();
        let mut applied = Vec::new();
        self.out.take_applied(&mut applied);
        self.applied.extend(applied.into_iter().map(|applied| (member, applied)));
        for effect in effects {
            match effect {
                Effect::Net(NetOp::Dial(conn, to, _)) => {
                    self.conns.insert(conn, (Address::Etcd(member), to));
                    self.push(DELAY, Event::Dialled(conn));
                }
                Effect::Net(NetOp::Write(conn, message)) => self.write(member, conn, message),
                Effect::Disk(DiskOp::Write(record)) => self.machines.get_mut(&member).unwrap().unsynced.push(record),
                Effect::Disk(DiskOp::Sync(id)) => {
                    let covered = self.machines[&member].unsynced.len();
                    self.push(sync, Event::Synced(member, incarnation, id, covered));
                }
                Effect::Record(_, fact) => self.facts.push((self.now, member, *fact)),
                Effect::Exit => self.stop(member, false),
                other => panic!("a member has no business with {other:?}"),
            }
        }
        if let Some(actor) = &self.machines[&member].actor {
            self.checks.stepped(member, actor, &mut self.violations);
        }
    }
    fn write(&mut self, from: Member, conn: Conn, message: Message) {
        if let Message::Raft(message) = &message {
            self.checks.wrote(message, &mut self.violations);
        }
        let Some(&(dialler, listener)) = self.conns.get(&conn) else { return };
        let to = if dialler == Address::Etcd(from) { listener } else { dialler };
        match message {
            Message::EtcdResponse(response) => self.push(DELAY, Event::Response(*response)),
            Message::EtcdPeer(message) if self.connected(Address::Etcd(from), to) => {
                self.later(DELAY, to, Input::Data(conn, EtcdMessage::Peer(message)));
            }
            Message::Raft(message) if self.connected(Address::Etcd(from), to) => {
                // The real messages cross process boundaries as bytes.
                let frame = codec::encode(&Message::Raft(message));
                let Ok(Message::Raft(message)) = codec::decode(&frame) else { panic!("a frame that cannot be read back") };
                self.later(DELAY, to, Input::Data(conn, EtcdMessage::Raft(message)));
            }
            _ => {}
        }
    }

    /// Raft's safety, as far as it can be seen now: one leader a term, equal logs up to equal entries, equal state where it was applied.
    pub fn check(&self, leaders: &mut BTreeMap<Term, Member>, committed: &mut BTreeMap<Index, Term>) {
        assert!(self.violations.is_empty(), "{:?}", self.violations);
        for (_, member, fact) in &self.facts {
            if let What::BecameLeader { term } = fact.what {
                let first = *leaders.entry(term).or_insert(*member);
                assert_eq!(first, *member, "two leaders in term {term}");
            }
        }
        for member in self.members() {
            let Some(status) = self.status(member) else { continue };
            assert!(status.applied <= status.commit && status.commit <= status.last_index, "{member}: {status:?}");
            for index in (1..=status.commit.0).map(Index) {
                let Some(term) = self.actor(member).unwrap().entry_term(index).filter(|_| index > Index::ZERO) else { continue };
                let first = *committed.entry(index).or_insert(term);
                assert_eq!(first, term, "{member}: entry {index} was committed with another term");
            }
        }
        let mut revisions: BTreeMap<Revision, &Applied> = BTreeMap::new();
        for (member, applied) in &self.applied {
            let first = revisions.entry(applied.revision).or_insert(applied);
            let what = |applied: &Applied| (applied.index, applied.term, applied.hash);
            assert_eq!(what(first), what(applied), "{member} applied another revision {}", applied.revision);
        }
    }
}

/// Plays every transcript of a directory.
#[expect(clippy::disallowed_methods, reason = "a variable tells a test to rewrite what it expects")]
pub fn play_directory(directory: &str, run: impl Fn(&mut Option<World>, &str, &mut String)) {
    let update = std::env::var_os("UPDATE_GOLDENS").is_some();
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(directory);
    let mut paths: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        let (mut world, mut seen) = (None, String::new());
        // Commands up to a line of dashes, output up to an empty line.
        let (mut in_output, mut commands) = (false, String::new());
        for line in text.lines() {
            if in_output {
                in_output = !line.is_empty();
                continue;
            }
            writeln!(seen, "{line}").unwrap();
            if line == "----" {
                let mut output = String::new();
                for command in commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
                    run(&mut world, command, &mut output);
                }
                writeln!(seen, "{output}").unwrap();
                commands.clear();
                in_output = true;
            } else {
                writeln!(commands, "{line}").unwrap();
            }
        }
        if let Some(world) = &world {
            assert!(world.violations().is_empty(), "{}: {:?}", path.display(), world.violations());
        }
        let seen = format!("{}\n", seen.trim_end());
        if update {
            std::fs::write(&path, &seen).unwrap();
        } else {
            assert_eq!(seen, text, "{}: if the new lines are right, run again with UPDATE_GOLDENS=1", path.display());
        }
    }
}

/// `etcd-2`, or `leader`.
pub fn member(world: &World, text: &str) -> Member {
    match text {
        "leader" => world.leader().unwrap_or_else(|| panic!("{}: nobody leads", world.now)),
        "dead" => world.members().into_iter().find(|&member| !world.is_up(member)).expect("somebody is down"),
        "follower" => world.members().into_iter().find(|&member| world.is_up(member) && Some(member) != world.leader()).unwrap(),
        _ => Member(text.strip_prefix("etcd-").and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no member: {text}"))),
    }
}

pub fn duration(text: &str) -> Duration {
    match text.strip_suffix("ms") {
        Some(millis) => Duration::from_millis(millis.parse().unwrap()),
        None => Duration::from_secs(text.strip_suffix('s').unwrap().parse().unwrap()),
    }
}

/// The commands about the world itself; `false`: not one of these.
pub fn world_command(world: &mut Option<World>, command: &str, output: &mut String) -> bool {
    let words: Vec<&str> = command.split_whitespace().collect();
    let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    if words[0] == "cluster" {
        let number = |name: &str| field(name).map(|number| number.parse::<u64>().unwrap());
        let members = number("members").unwrap() as u16;
        let mut new = World::new(members, number("seed").unwrap());
        (1..=number("spares").unwrap_or(0) as u16).for_each(|spare| new.add_machine(Member(members + spare)));
        new.keeps_databases = words.contains(&"databases");
        let defaults = Config::default();
        new.config.snapshot_count = number("snapshot-count").unwrap_or(defaults.snapshot_count);
        new.config.snapshot_catchup_entries = number("snapshot-catchup-entries").unwrap_or(defaults.snapshot_catchup_entries);
        new.config.quota_backend_bytes = number("quota").unwrap_or(new.config.quota_backend_bytes);
        new.config.max_request_bytes = number("request").map_or(new.config.max_request_bytes, |bytes| bytes as usize);
        new.config.lease_checkpoint = words.contains(&"lease-checkpoint");
        new.start_all();
        *world = Some(new);
        return true;
    }
    let world = world.as_mut().expect("a transcript begins with a cluster");
    match words[0] {
        "run" => {
            let first = world.facts.len();
            world.run_for(duration(words[1]));
            for (at, member, fact) in &world.facts[first..] {
                writeln!(output, "{at} {member} {}", fact.what).unwrap();
            }
        }
        "kill" => world.stop(member(world, words[1]), false),
        "power-loss" => world.stop(member(world, words[1]), true),
        "start" => world.start(member(world, words[1])),
        "sync" => world.set_sync(member(world, words[1]), duration(words[2])),
        "heal" => world.partition(Vec::new()),
        "partition" => {
            let names = command.strip_prefix("partition").unwrap();
            let resolve = |name: &str| member(world, name);
            let mut groups: Vec<BTreeSet<Member>> = names.split('|').map(|group| group.split_whitespace().map(resolve).collect()).collect();
            let named: BTreeSet<Member> = groups.iter().flatten().copied().collect();
            // The others stay together.
            groups.push(world.members().into_iter().filter(|member| !named.contains(member)).collect());
            world.partition(groups);
        }
        "status" => {
            for member in world.members() {
                match world.status(member) {
                    None => writeln!(output, "{member} down").unwrap(),
                    Some(status) => {
                        let MemberStatus { role, term, commit, applied, last_index, revision, .. } = status;
                        let log: Vec<String> = (1..=last_index.0)
                            .filter_map(|index| world.actor(member).unwrap().entry_term(Index(index)))
                            .map(|term| term.to_string())
                            .collect();
                        writeln!(
                            output,
                            "{member} {role:?} term={term} commit={commit} applied={applied} revision={revision} log={}",
                            log.join(",")
                        )
                        .unwrap();
                    }
                }
            }
        }
        _ => return false,
    }
    true
}
