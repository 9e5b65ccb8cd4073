//! The store behind the client protocol, in transcripts: what a client asks of members, and what it gets.

mod etcd_world;

use std::fmt::Write;

use clustersim::base::{Cause, Duration, Revision, Term};
use clustersim::etcd::EtcdMember;
use clustersim::wire::Member;
use clustersim::wire::etcd::*;
use clustersim::wire::raft::Configuration;
use etcd_world::{World, member, play_directory, world_command};

/// `a`, `a*`: all that begin so, `a..b`: from a to before b, `a..`: from a on.
fn keys(text: &str) -> KeyRange {
    match (text.strip_suffix('*'), text.split_once("..")) {
        (Some(prefix), _) => KeyRange::Prefix(prefix.into()),
        (_, Some((from, ""))) => KeyRange::From(from.into()),
        (_, Some((from, to))) => KeyRange::Between(from.into(), to.into()),
        _ => KeyRange::One(text.into()),
    }
}

/// A key's operation in etcdctl's words:
/// `put K V [lease=N] [prev] | put K ignore-value | put K V ignore-lease`, `delete K* [prev]`,
/// `get K* [rev=N] [limit=N] [sort=key|version|create|mod|value] [descending] [min-mod=N].. [count] [keys-only] [local]`,
/// `if mod|version|create|lease|value K [=|!=|<|>] N then [..] else [..]`.
fn op(text: &str) -> Op {
    let words: Vec<&str> = text.split_whitespace().collect();
    let field = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| field(name).map_or(0, |number| number.parse::<u64>().unwrap());
    let has = |word: &str| words.contains(&word);
    match words[0] {
        "put" => {
            let value = if has("ignore-value") { "" } else { words[2] };
            let options = PutOptions { previous: has("prev"), ignore_value: has("ignore-value"), ignore_lease: has("ignore-lease") };
            Op::Put { key: words[1].into(), value: Value::bytes(value.as_bytes()), lease: LeaseId(number("lease")), options }
        }
        "delete" => Op::Delete { keys: keys(words[1]), previous: has("prev") },
        "get" => {
            let by = match field("sort").unwrap_or("key") {
                "key" => SortTarget::Key,
                "version" => SortTarget::Version,
                "create" => SortTarget::CreateRevision,
                "mod" => SortTarget::ModRevision,
                "value" => SortTarget::Value,
                other => panic!("no order: {other}"),
            };
            Op::Range(Box::new(Range {
                revision: Revision(number("rev")),
                limit: number("limit") as u32,
                count_only: has("count"),
                keys_only: has("keys-only"),
                serializable: has("local"),
                sort: Sort { by, descending: has("descending") },
                min_mod_revision: Revision(number("min-mod")),
                max_mod_revision: Revision(number("max-mod")),
                min_create_revision: Revision(number("min-create")),
                max_create_revision: Revision(number("max-create")),
                ..Range::of(keys(words[1]))
            }))
        }
        "if" => Op::Txn(Box::new(txn(text))),
        other => panic!("no operation: {other}"),
    }
}

/// Branches stand in brackets and hold operations between `;`. A nested transaction's brackets count.
fn txn(text: &str) -> Txn {
    let words: Vec<&str> = text.split_whitespace().collect();
    // `=` may be left out.
    let (result, word) = match words[3] {
        "=" => (CompareResult::Equal, words[4]),
        "!=" => (CompareResult::NotEqual, words[4]),
        ">" => (CompareResult::Greater, words[4]),
        "<" => (CompareResult::Less, words[4]),
        word => (CompareResult::Equal, word),
    };
    let number = || word.parse::<u64>().unwrap();
    let target = match words[1] {
        "mod" => CompareTarget::ModRevision(Revision(number())),
        "create" => CompareTarget::CreateRevision(Revision(number())),
        "version" => CompareTarget::Version(number()),
        "lease" => CompareTarget::Lease(LeaseId(number())),
        "value" => CompareTarget::Value(Value::bytes(word.as_bytes())),
        other => panic!("no target: {other}"),
    };
    let compare = Compare { keys: keys(words[2]), target, result };
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
    Txn { compares: vec![compare], then: then.into(), otherwise }
}

fn show_value(value: &Value) -> String {
    let text = String::from_utf8_lossy(value.as_bytes().expect("transcripts put bytes")).into_owned();
    if text.len() > 40 { format!("{} bytes", text.len()) } else { text }
}

fn show_pair(kv: &KeyValue) -> String {
    let KeyValue { key, value, create_revision, mod_revision, version, lease, .. } = kv;
    let lease = if *lease == LeaseId(0) { String::new() } else { format!(", lease {}", lease.0) };
    format!("{key}={} (create {create_revision}, mod {mod_revision}, version {version}{lease})", show_value(value))
}

fn show_range(answer: &RangeAnswer) -> String {
    let more = if answer.more { ", and more" } else { "" };
    format!("{} found: {}{more}", answer.count, answer.kvs.iter().map(show_pair).collect::<Vec<_>>().join(", "))
}

fn show_answers(succeeded: bool, answers: &[OpAnswer]) -> String {
    let answers = answers.iter().map(|answer| match answer {
        OpAnswer::Range(range) => show_range(range),
        OpAnswer::Put { previous: None } => "put".into(),
        OpAnswer::Put { previous: Some(kv) } => format!("put, was {}", show_pair(kv)),
        OpAnswer::Delete { deleted, previous } if previous.is_empty() => format!("{deleted} deleted"),
        OpAnswer::Delete { deleted, previous } => {
            format!("{deleted} deleted, were {}", previous.iter().map(show_pair).collect::<Vec<_>>().join(", "))
        }
        OpAnswer::Txn { succeeded, answers } => format!("[{}]", show_answers(*succeeded, answers)),
    });
    format!("{}: {}", if succeeded { "then" } else { "else" }, answers.collect::<Vec<_>>().join("; "))
}

fn show_events(events: &[WatchEvent]) -> String {
    let event = |event: &WatchEvent| {
        let before = event.previous.as_ref().map_or(String::new(), |kv| format!(", was {}", show_value(&kv.value)));
        let what = if event.deleted { "deleted".into() } else { format!("={}", show_value(&event.kv.value)) };
        format!("{} {what} at {}{before}", event.kv.key, event.kv.mod_revision)
    };
    events.iter().map(event).collect::<Vec<_>>().join("; ")
}

fn show(response: &Response) -> String {
    let result = match &response.result {
        Err(error) => format!("{error:?}"),
        Ok(Answer::Range(range)) => show_range(range),
        Ok(Answer::Txn { succeeded, answers }) => show_answers(*succeeded, answers),
        Ok(Answer::WatchEvents(events)) => format!("events: {}", show_events(events)),
        Ok(Answer::WatchFragment(events)) => format!("events, more to come: {}", show_events(events)),
        Ok(Answer::Leases(leases)) if leases.len() > 8 => format!("{} leases", leases.len()),
        Ok(Answer::Leases(leases)) => format!("leases {:?}", leases.iter().map(|lease| lease.0).collect::<Vec<_>>()),
        Ok(Answer::LeaseTimeToLive { remaining: None, .. }) => "no such lease".into(),
        Ok(Answer::LeaseTimeToLive { granted, remaining: Some(remaining), keys }) => {
            let keys = if keys.is_empty() { String::new() } else { format!(", keys {}", keys.join(", ")) };
            format!("granted for {granted}, {remaining} left{keys}")
        }
        Ok(Answer::Status(status)) => {
            let alarms = if status.alarms.is_empty() { String::new() } else { format!(", alarms {:?}", status.alarms) };
            format!("{} bytes, {} in use{alarms}", status.db_bytes, status.db_bytes_in_use)
        }
        Ok(other) => format!("{other:?}"),
    };
    format!("#{} revision {}: {result}", response.id, response.revision)
}

fn run(slot: &mut Option<World>, command: &str, output: &mut String) {
    let before = slot.as_ref().filter(|_| !command.starts_with("cluster")).map_or(0, |world| world.responses.len());
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
            "time-to-live" => Operation::LeaseTimeToLive { id: LeaseId(number(1)), keys: words.contains(&"keys") },
            "leases" => Operation::LeaseList,
            "alarms" => Operation::AlarmList,
            "disarm" => Operation::AlarmDisarm,
            "defrag" => Operation::Defragment,
            "hashkv" => Operation::HashKv { revision: Revision(if words.len() > 1 { number(1) } else { 0 }) },
            "endpoint-status" => Operation::Status,
            "compact" => Operation::Compact { revision: Revision(number(1)) },
            "watch" => Operation::Watch(Watch {
                previous_value: !words.contains(&"no-prev"),
                progress_notify: words.contains(&"progress-notify"),
                no_put: words.contains(&"no-put"),
                no_delete: words.contains(&"no-delete"),
                fragment: words.contains(&"fragment"),
                ..Watch::of(keys(words[1]), Revision(number(2)))
            }),
            "progress" => Operation::WatchProgress { watch: number(1) },
            "cancel" => Operation::WatchCancel { watch: number(1) },
            // `fill PREFIX COUNT SIZE`: so many puts of so large values.
            "fill" => {
                let value = Value::bytes(&vec![b'x'; number(3) as usize]);
                for at in 1..number(2) {
                    let put = Op::put(format!("{}{at}", words[1]).into(), value.clone(), LeaseId(0));
                    world.request(to, Operation::Txn(Txn::unconditional(put).into()));
                }
                let last = format!("{}{}", words[1], number(2));
                Operation::Txn(Txn::unconditional(Op::put(last.into(), value, LeaseId(0))).into())
            }
            // `grant-many FROM COUNT TTL`
            "grant-many" => {
                let ttl = Duration::from_secs(number(3));
                for at in 1..number(2) {
                    world.request(to, Operation::LeaseGrant { id: LeaseId(number(1) + at), ttl });
                }
                Operation::LeaseGrant { id: LeaseId(number(1)), ttl }
            }
            _ => match op(command) {
                Op::Range(range) => Operation::Range(range),
                Op::Txn(txn) => Operation::Txn((*txn).into()),
                // Twice in one transaction: `put a 1 & put a 2`.
                _ if command.contains('&') => {
                    let then = command.split('&').map(op).collect();
                    Operation::Txn(Txn { compares: Vec::new(), then, otherwise: Vec::new() }.into())
                }
                op => Operation::Txn(Txn::unconditional(op).into()),
            },
        };
        world.request(to, operation);
        world.run_for(Duration::from_millis(150));
    }
    let world = slot.as_ref().unwrap();
    let told = &world.responses[before..];
    // Of many answers at once the last ones will do.
    let shown = if told.len() > 12 { 2 } else { told.len() };
    if shown < told.len() {
        writeln!(output, "{} answers", told.len() - shown).unwrap();
    }
    for response in &told[told.len() - shown..] {
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
    assert_eq!(world.actor(Member(2)).unwrap().store().unwrap().get("a"), Some(kv));
    world.run_for(Duration::from_secs(3));
    let leader = world.leader().unwrap();
    let id = world.request(leader, Operation::Txn(Txn::if_unchanged("a".into(), Revision(70), op("put a 2")).into()));
    world.run_for(Duration::from_millis(100));
    let response = world.answer(id).expect("it is answered");
    assert_eq!((response.revision, response.term), (Revision(101), Term(5)));
    assert_eq!(world.status(leader).unwrap().applied.0, 102);
    assert!(world.applied.iter().filter(|(_, applied)| applied.revision == Revision(101)).count() == 3);
}

/// Who looks at the clock a little after a tick must not take the next one for the one that it waits for: such a watcher heard nothing, ever.
#[test]
fn a_watch_from_the_past_gets_its_history_from_a_member_that_is_woken_late() {
    let mut world = World::new(3, 7);
    world.late = Duration::from_micros(100);
    world.start_all();
    world.run_for(Duration::from_secs(3));
    let leader = world.leader().expect("a leader was elected");
    for value in ["x", "y"] {
        let put = Op::put("a".into(), Value::bytes(value.as_bytes()), LeaseId(0));
        world.request(leader, Operation::Txn(Txn::unconditional(put).into()));
        world.run_for(Duration::from_millis(30));
    }
    let id = world.request(leader, Operation::Watch(Watch::of(keys("a"), Revision(2))));
    world.run_for(Duration::from_secs(1));
    let told = world.responses.iter().filter(|response| response.id == id);
    let events: Vec<String> = told
        .filter_map(|response| match &response.result {
            Ok(Answer::WatchEvents(events)) => Some(show_events(events)),
            _ => None,
        })
        .collect();
    assert_eq!(events, ["a =x at 2; a =y at 3"]);
}

/// Three members with a million keys and five million revisions: `cargo test --release --test etcd -- --ignored --nocapture figures`.
#[test]
#[ignore = "takes 2 GiB and tells figures"]
fn figures_of_a_large_store() {
    use clustersim::etcd::store::Store;
    let resident = || {
        let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        pages * 4096
    };
    const KEYS: u64 = 1_000_000;
    let names: Vec<StoreKey> = (0..KEYS).map(|number| format!("/load/{number:08}").into()).collect();
    let mut chance = clustersim::base::random::Seed(1).stream("figures");
    // CPU seconds of these puts on all stores: keys in order up to `keys`, then by chance.
    let mut put = |numbers: std::ops::Range<u64>, keys: u64, stores: &mut Vec<Store>| {
        let mut op = |number: u64| {
            let key = if number < keys { number } else { chance.below(keys) };
            Op::put(names[key as usize].clone(), Value::bytes(format!("value {number}").as_bytes()), LeaseId(0))
        };
        let txns: Vec<Txn> = numbers.map(|number| Txn::unconditional(op(number))).collect();
        let started = cpu_seconds();
        for txn in &txns {
            for store in stores.iter_mut() {
                store.txn(txn, Cause::NONE, false).unwrap();
            }
        }
        cpu_seconds() - started
    };
    let three = || (0..3).map(|_| Store::new()).collect::<Vec<Store>>();
    let mut stores = three();
    let seconds: f64 = (0..10).map(|step| put(step * 100_000..(step + 1) * 100_000, 10_000, &mut stores)).sum();
    println!("a put: {:.0} ns a member, ten thousand keys", seconds * 1e9 / 3e6);
    drop(stores);
    let before = resident();
    let mut stores = three();
    let seconds: f64 = (0..10).map(|step| put(step * 100_000..(step + 1) * 100_000, KEYS, &mut stores)).sum();
    println!("a put of a new key: {:.0} ns a member", seconds * 1e9 / 3e6);
    println!("a key with one version: {} bytes over three members", (resident() - before) / KEYS);
    let seconds: f64 = (10..50).map(|step| put(step * 100_000..(step + 1) * 100_000, KEYS, &mut stores)).sum();
    println!("a put: {:.0} ns a member, a million keys", seconds * 1e9 / 12e6);
    let bytes = resident() - before;
    println!("{} MiB over three members, {} bytes a version and member", bytes >> 20, bytes / 15_000_000);
    assert!(stores.iter().all(|store| store.hash() == stores[0].hash()));
    assert!(bytes < 2 << 30, "{bytes} bytes");
}

/// Of this thread.
fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}
