//! Raft as members run it: transcripts of whole groups, and safety under random faults.

mod etcd_world;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use clustersim::base::random::Seed;
use clustersim::base::{Duration, Term};
use clustersim::engine::checks::members::Members;
use clustersim::wire::Member;
use clustersim::wire::etcd::{Answer, LeaseId, Op, Operation, Txn, Value};
use clustersim::wire::raft::{Body, Configuration, Message};
use etcd_world::{World, member, play_directory, world_command};

fn put(key: &str, value: &str) -> Operation {
    let put = Op::put(key.into(), Value::bytes(value.as_bytes()), LeaseId::default());
    Operation::Txn(Txn::unconditional(put).into())
}

fn run(slot: &mut Option<World>, command: &str, output: &mut String) {
    if world_command(slot, command, output) {
        return;
    }
    let world = slot.as_mut().unwrap();
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        // A write that is given so long.
        ["put", to, key, value, "within", limit] => {
            let to = member(world, to);
            let id = world.request(to, put(key, value));
            world_command(slot, &format!("run {limit}"), output);
            let world = slot.as_mut().unwrap();
            match world.answer(id).map(|response| &response.result) {
                None => writeln!(output, "{to} put {key}: no answer"),
                Some(Ok(_)) => writeln!(output, "{to} put {key}: ok at revision {}", world.answer(id).unwrap().revision),
                Some(Err(error)) => writeln!(output, "{to} put {key}: {error:?}"),
            }
            .unwrap();
        }
        // etcdctl, at a member: the answer comes within 100 ms, or is not waited for.
        ["at", at, ..] => {
            let at = member(world, at);
            let operation = match words[2..] {
                ["member", "add", new] => Operation::MemberAdd { member: member(world, new), learner: false },
                ["member", "add", new, "--learner"] => Operation::MemberAdd { member: member(world, new), learner: true },
                ["member", "promote", learner] => Operation::MemberPromote { member: member(world, learner) },
                ["member", "remove", old] => Operation::MemberRemove { member: member(world, old) },
                ["member", "replace", old, new] => Operation::MemberReplace { leaves: member(world, old), joins: member(world, new) },
                ["member", "list"] => Operation::MemberList,
                ["move-leader", to] => Operation::MoveLeader { to: member(world, to) },
                _ => panic!("unknown command: {command}"),
            };
            let id = world.request(at, operation);
            world_command(slot, "run 100ms", output);
            let answer = match slot.as_ref().unwrap().answer(id).map(|response| &response.result) {
                None => "no answer".to_owned(),
                Some(Ok(Answer::Members(configuration))) => shown(configuration),
                Some(Ok(other)) => format!("{other:?}"),
                Some(Err(error)) => format!("{error:?}"),
            };
            writeln!(output, "{}: {answer}", words[2..].join(" ")).unwrap();
        }
        _ => panic!("unknown command: {command}"),
    }
}

/// `voters 1 2 3, leaving 1 2, learners 4`.
fn shown(configuration: &Configuration) -> String {
    let Configuration { voters, outgoing, learners, removed, .. } = configuration;
    let parts = [("voters", voters), ("leaving", outgoing), ("learners", learners), ("removed", removed)];
    let part = |(name, members): (&str, &Vec<Member>)| {
        let numbers: Vec<String> = members.iter().map(|member| member.0.to_string()).collect();
        format!("{name} {}", numbers.join(" "))
    };
    parts.into_iter().filter(|(_, members)| !members.is_empty()).map(part).collect::<Vec<String>>().join(", ")
}

#[test]
fn transcripts() {
    play_directory("raft", run);
}

/// Kills, power losses, partitions, stalled disks and writes, at random; at every step no two leaders of a term, no committed entry lost or
/// replaced, and in the end everybody agrees and every acknowledged write is there. With spares members come and go, too, and logs are
/// short, so that snapshots are sent.
fn survive(seed: u64, members: u16, spares: u16) {
    println!("seed {seed}, {members} members, {spares} spares");
    let mut stream = Seed(seed).stream("faults");
    let mut world = World::new(members, seed);
    world.keeps_databases = seed.is_multiple_of(2);
    if spares > 0 {
        (world.config.snapshot_count, world.config.snapshot_catchup_entries) = (15, 5);
        (1..=spares).for_each(|spare| world.add_machine(Member(members + spare)));
    }
    let members = members + spares;
    world.start_all();
    let (mut leaders, mut committed) = (BTreeMap::new(), BTreeMap::new());
    let (mut written, mut changes): (Vec<(u64, String)>, Vec<u64>) = Default::default();
    for round in 0..120 {
        let victim = Member(1 + stream.below(u64::from(members)) as u16);
        match stream.below(10) {
            0 if world.is_up(victim) => world.stop(victim, stream.chance(0.7)),
            1 => {
                let group: BTreeSet<Member> = world.members().into_iter().filter(|_| stream.chance(0.5)).collect();
                let rest = world.members().into_iter().filter(|member| !group.contains(member)).collect();
                world.partition(vec![group, rest]);
            }
            2 => world.partition(Vec::new()),
            3 => world.set_sync(victim, Duration::from_millis(1 + stream.below(50))),
            4 if stream.chance(0.2) => world.set_sync(victim, Duration::from_millis(1500)),
            5 | 6 => {
                for member in world.members() {
                    if !world.is_up(member) {
                        world.start(member);
                    }
                }
            }
            7 | 8 if spares > 0 => {
                let [one, other, at] = [(); 3].map(|()| Member(1 + stream.below(u64::from(members)) as u16));
                let operation = match stream.below(6) {
                    0 => Operation::MemberAdd { member: one, learner: true },
                    1 => Operation::MemberAdd { member: one, learner: false },
                    2 => Operation::MemberPromote { member: one },
                    3 => Operation::MemberRemove { member: one },
                    4 => Operation::MemberReplace { leaves: one, joins: other },
                    _ => Operation::MoveLeader { to: one },
                };
                let at = world.leader().unwrap_or(at);
                if world.is_up(at) {
                    changes.push(world.request(at, operation));
                }
            }
            _ => {}
        }
        for n in 0..stream.below(4) {
            let to = Member(1 + stream.below(u64::from(members)) as u16);
            if world.is_up(to) {
                let key = format!("{round}-{n}");
                written.push((world.request(to, put(&key, "x")), key));
            }
        }
        let most = if stream.chance(0.3) { 2500 } else { 30 };
        world.run_for(Duration::from_millis(1 + stream.below(most)));
        world.check(&mut leaders, &mut committed);
    }
    world.partition(Vec::new());
    for member in world.members() {
        world.set_sync(member, Duration::from_millis(1));
        if !world.is_up(member) {
            world.start(member);
        }
    }
    world.run_for(Duration::from_secs(20));
    world.check(&mut leaders, &mut committed);
    let leader = world.leader().expect("somebody leads in the end");
    let first = world.status(leader).unwrap();
    let configuration = world.actor(leader).unwrap().configuration().unwrap().clone();
    let mut acknowledged = 0;
    for member in configuration.members() {
        let status = world.status(member).unwrap();
        assert_eq!((status.applied, status.revision, status.leader), (first.applied, first.revision, Some(leader)), "{member}");
        assert_eq!(world.actor(member).unwrap().configuration(), Some(&configuration), "{member}");
        for (id, key) in &written {
            if world.answer(*id).is_some_and(|response| response.result.is_ok()) {
                acknowledged += 1;
                assert!(world.actor(member).unwrap().store().unwrap().get(key).is_some(), "{member} lost {key}");
            }
        }
    }
    let changed = changes.iter().filter(|id| world.answer(**id).is_some_and(|response| response.result.is_ok())).count();
    assert!(spares == 0 || changed > 0, "no change was made");
    assert!(acknowledged > 0, "nothing was written");
}

#[test]
fn three_members_survive_random_faults() {
    (0..12).for_each(|seed| survive(seed, 3, 0));
}

#[test]
fn five_members_survive_random_faults() {
    (100..106).for_each(|seed| survive(seed, 5, 0));
}

#[test]
fn members_that_come_and_go_survive_random_faults() {
    (200..230).for_each(|seed| survive(seed, 3, 4));
}

/// Members of two clusters that took different ways, under one name: each check of members that this can break is seen to find it.
#[test]
fn members_that_are_not_what_they_were_are_found() {
    let mut found: BTreeSet<&str> = BTreeSet::new();
    for seed in 0..40 {
        let grown = |seed: u64, writes: u32| {
            let mut world = World::new(3, seed);
            world.start_all();
            world.run_for(Duration::from_secs(4));
            for number in 0..writes {
                let leader = world.leader().expect("three members elect a leader");
                world.request(leader, put("key", &format!("{seed} {number}")));
                world.run_for(Duration::from_millis(100));
            }
            world
        };
        let (one, other) = (grown(seed, 6), grown(seed + 100, 3));
        let mut checks = Members::default();
        let mut violations = Vec::new();
        for member in one.members() {
            checks.stepped(member, one.actor(member).unwrap(), &mut violations);
        }
        assert!(violations.is_empty() || violations.iter().all(|text| text.contains("on no quorum")), "{violations:?}");
        violations.clear();
        for member in other.members() {
            checks.stepped(member, other.actor(member).unwrap(), &mut violations);
        }
        let parts = [
            "went back",
            "has another entry",
            "two leaders in term",
            "replaced entries after",
            "which elsewhere is of term",
            "without index",
        ];
        found.extend(parts.into_iter().filter(|part| violations.iter().any(|text| text.contains(part))));
        let mut violations = Vec::new();
        for to in [Member(2), Member(3), Member(2)] {
            let message = Message { from: Member(1), to, term: Term(9), body: Body::VoteResponse { granted: true } };
            checks.wrote(&message, &mut violations);
        }
        assert_eq!(violations, ["etcd-1 voted in term 9 for etcd-2, and then for etcd-3"]);
        // It has spoken in term 9, and comes back in an older one.
        checks.began(Member(1));
        violations.clear();
        checks.stepped(Member(1), one.actor(Member(1)).unwrap(), &mut violations);
        assert!(violations.iter().any(|text| text.contains("though it has spoken in term 9")), "{violations:?}");
    }
    assert!(found.len() >= 4, "{found:?}");
}
