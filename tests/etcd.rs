//! The store behind the client protocol, in transcripts: what a client asks of members, and what it gets.

mod etcd_world;

use std::fmt::Write;

use clustersim::base::{Cause, Duration, Revision, Term};
use clustersim::etcd::EtcdMember;
use clustersim::wire::Member;
use clustersim::wire::etcd::*;
use clustersim::wire::raft::Configuration;
use etcd_world::{World, member, play_directory, world_command};

fn keys(text: &str) -> KeyRange {
    match text.strip_suffix('*') {
        Some(prefix) => KeyRange::Prefix(prefix.into()),
        None => KeyRange::One(text.into()),
    }
}

/// `put k v [lease=N]`, `delete k*`, `get k* [rev=N] [limit=N] [count] [local]`, `if mod|version|create k N then [..] else [..]`.
fn op(text: &str) -> Op {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |name: &str| {
        words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('=')).map_or(0, |number| number.parse::<u64>().unwrap())
    };
    match words[0] {
        "put" => Op::Put { key: words[1].into(), value: Value::bytes(words[2].as_bytes()), lease: LeaseId(number("lease")) },
        "delete" => Op::Delete { keys: keys(words[1]) },
        "get" => Op::Range(Range {
            revision: Revision(number("rev")),
            limit: number("limit") as u32,
            count_only: words.contains(&"count"),
            serializable: words.contains(&"local"),
            ..Range::of(keys(words[1]))
        }),
        "if" => Op::Txn(Box::new(txn(text))),
        other => panic!("no operation: {other}"),
    }
}

/// Branches stand in brackets and hold operations between `;`. A nested transaction's brackets count.
fn txn(text: &str) -> Txn {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number: u64 = words[3].parse().unwrap();
    let target = match words[1] {
        "mod" => CompareTarget::ModRevision(Revision(number)),
        "create" => CompareTarget::CreateRevision(Revision(number)),
        "version" => CompareTarget::Version(number),
        other => panic!("no target: {other}"),
    };
    let compare = Compare { key: words[2].into(), target, result: CompareResult::Equal };
    let mut branches: [Vec<Op>; 2] = Default::default();
    let (mut depth, mut which, mut current) = (0, 0, String::new());
    for letter in text.chars() {
        match letter {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        match letter {
            '[' if depth == 1 => current.clear(),
            ']' if depth == 0 => {
                branches[which].extend(current.split(';').filter(|op| !op.trim().is_empty() && !op.contains("if ")).map(op));
                if current.contains("if ") {
                    branches[which].push(op(current.trim()));
                }
                which += 1;
            }
            _ => current.push(letter),
        }
    }
    let [then, otherwise] = branches;
    Txn { compares: vec![compare], then, otherwise }
}

fn show_value(value: &Value) -> String {
    match &value.body {
        ValueBody::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        ValueBody::Object(object) => format!("{object:?}"),
    }
}

fn show_range(answer: &RangeAnswer) -> String {
    let kv = |kv: &KeyValue| {
        let KeyValue { key, value, create_revision, mod_revision, version, .. } = kv;
        format!("{key}={} (create {create_revision}, mod {mod_revision}, version {version})", show_value(value))
    };
    let more = if answer.more { ", and more" } else { "" };
    format!("{} found: {}{more}", answer.count, answer.kvs.iter().map(kv).collect::<Vec<_>>().join(", "))
}

fn show_answers(succeeded: bool, answers: &[OpAnswer]) -> String {
    let answers = answers.iter().map(|answer| match answer {
        OpAnswer::Range(range) => show_range(range),
        OpAnswer::Put => "put".into(),
        OpAnswer::Delete { deleted } => format!("{deleted} deleted"),
        OpAnswer::Txn { succeeded, answers } => format!("[{}]", show_answers(*succeeded, answers)),
    });
    format!("{}: {}", if succeeded { "then" } else { "else" }, answers.collect::<Vec<_>>().join("; "))
}

fn show(response: &Response) -> String {
    let result = match &response.result {
        Err(error) => format!("{error:?}"),
        Ok(Answer::Range(range)) => show_range(range),
        Ok(Answer::Txn { succeeded, answers }) => show_answers(*succeeded, answers),
        Ok(Answer::WatchEvents(events)) => {
            let event = |event: &WatchEvent| {
                let before = event.previous.as_ref().map_or(String::new(), |kv| format!(", was {}", show_value(&kv.value)));
                let what = if event.deleted { "deleted".into() } else { format!("={}", show_value(&event.kv.value)) };
                format!("{} {what} at {}{before}", event.kv.key, event.kv.mod_revision)
            };
            format!("events: {}", events.iter().map(event).collect::<Vec<_>>().join("; "))
        }
        Ok(other) => format!("{other:?}"),
    };
    format!("#{} revision {}: {result}", response.id, response.revision)
}

fn run(slot: &mut Option<World>, command: &str, output: &mut String) {
    let before = slot.as_ref().map_or(0, |world| world.responses.len());
    let known = world_command(slot, command, output);
    let world = slot.as_mut().unwrap();
    if command.starts_with("cluster") {
        // The first election.
        world.run_for(Duration::from_secs(3));
    } else if !known {
        // `@follower` at the end: to whom. Else to the leader.
        let (command, to) = command.split_once(" @").unwrap_or((command, "leader"));
        let to: Member = member(world, to);
        let words: Vec<&str> = command.split_whitespace().collect();
        let number = |at: usize| words[at].parse::<u64>().unwrap();
        let operation = match words[0] {
            "grant" => Operation::LeaseGrant { id: LeaseId(number(1)), ttl: Duration::from_secs(number(2)) },
            "keep-alive" => Operation::LeaseKeepAlive { id: LeaseId(number(1)) },
            "revoke" => Operation::LeaseRevoke { id: LeaseId(number(1)) },
            "compact" => Operation::Compact { revision: Revision(number(1)) },
            "watch" => Operation::Watch(Watch {
                keys: keys(words[1]),
                start: Revision(number(2)),
                previous_value: true,
                progress_notify: false,
                no_put: words.contains(&"no-put"),
                no_delete: words.contains(&"no-delete"),
            }),
            "progress" => Operation::WatchProgress { watch: number(1) },
            "cancel" => Operation::WatchCancel { watch: number(1) },
            _ => match op(command) {
                Op::Range(range) => Operation::Range(range),
                Op::Txn(txn) => Operation::Txn(*txn),
                // Twice in one transaction: `put a 1 & put a 2`.
                _ if command.contains('&') => {
                    let then = command.split('&').map(op).collect();
                    Operation::Txn(Txn { compares: Vec::new(), then, otherwise: Vec::new() })
                }
                op => Operation::Txn(Txn::unconditional(op)),
            },
        };
        world.request(to, operation);
        world.run_for(Duration::from_millis(150));
    }
    let world = slot.as_ref().unwrap();
    for response in &world.responses[before..] {
        writeln!(output, "{}", show(response)).unwrap();
    }
}

#[test]
fn transcripts() {
    play_directory("etcd", run);
}

/// A cluster that begins with a store has it before its first election, and counts on from its revision.
#[test]
fn a_running_cluster_boots_from_a_store() {
    let kv = KeyValue {
        key: "a".into(),
        value: Value::bytes(b"1"),
        create_revision: Revision(40),
        mod_revision: Revision(70),
        version: 3,
        lease: LeaseId::default(),
        cause: Cause::NONE,
    };
    let state = StoreSnapshot { revision: Revision(100), kvs: vec![kv.clone()], ..StoreSnapshot::default() };
    let records = EtcdMember::boot_records(state, Term(4), Configuration::of((1..=3).map(Member)));
    let mut world = World::new(3, 1);
    world.members().into_iter().for_each(|member| world.set_disk(member, records.clone()));
    world.start_all();
    assert_eq!(world.actor(Member(2)).unwrap().store().unwrap().get("a"), Some(&kv));
    world.run_for(Duration::from_secs(3));
    let leader = world.leader().unwrap();
    let id = world.request(leader, Operation::Txn(Txn::if_unchanged("a".into(), Revision(70), op("put a 2"))));
    world.run_for(Duration::from_millis(100));
    let response = world.answer(id).expect("it is answered");
    assert_eq!((response.revision, response.term), (Revision(101), Term(5)));
    assert_eq!(world.status(leader).unwrap().applied.0, 102);
    assert!(world.applied.iter().filter(|(_, applied)| applied.revision == Revision(101)).count() == 3);
}
