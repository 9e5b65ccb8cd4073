//! The checker of client histories (`engine/checks/linearizability`): against histories whose verdict is known, against trying everything,
//! and with as many operations as a long run has.

mod history_world;

use std::fmt::Write;
use std::path::Path;

use clustersim::base::random::Seed;
use clustersim::engine::checks::linearizability::{BUDGET, Initial, Verdict, check};
use clustersim::wire::history::HistoryEvent;
use history_world::*;

/// Trying everything is out of the question for more.
const SMALL: usize = 8;

fn operations(history: &History) -> usize {
    history.iter().filter(|(_, event)| matches!(event, HistoryEvent::Called(..))).count()
}

#[test]
fn two_hundred_histories_with_known_verdicts() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/linearizability");
    let mut paths: Vec<_> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let (mut possible, mut impossible, mut wrong) = (0, 0, String::new());
    for path in paths {
        for known in parse(&std::fs::read_to_string(&path).unwrap()) {
            *if known.linearizable { &mut possible } else { &mut impossible } += 1;
            let place = format!("{}: {}", path.file_name().unwrap().display(), known.title);
            let verdict = check(&known.history, &known.initial, BUDGET);
            if matches!(verdict, Verdict::Linearizable { .. }) != known.linearizable {
                writeln!(wrong, "{place}: {verdict:?}").unwrap();
            }
            if let (Verdict::Violation { operation, text }, Some(at)) = (&verdict, known.at) {
                let called = known.history.iter().find(|(_, event)| matches!(event, HistoryEvent::Called(id, _) if id == operation));
                if called.unwrap().0.nanos() != at * 1_000_000_000 {
                    writeln!(wrong, "{place}: another operation was found: {text}").unwrap();
                }
            }
            if operations(&known.history) <= SMALL && brute_force(&known.history, &known.initial) != known.linearizable {
                writeln!(wrong, "{place}: trying everything says otherwise").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(possible + impossible >= 200 && possible >= 80 && impossible >= 80, "{possible} possible, {impossible} impossible");
}

/// The histories of `generated.txt` come from seeds, their verdicts from trying everything.
#[test]
#[expect(clippy::disallowed_methods, reason = "a variable tells a test to rewrite what it expects")]
fn generated_histories_are_what_their_seeds_give() {
    let mut text =
        "# Made up at random, and changed where that made them impossible; tests/linearizability.rs writes this file.\n".to_owned();
    let (mut possible, mut impossible, mut seed) = (0, 0, 0);
    while possible + impossible < 150 {
        seed += 1;
        let mut stream = Seed(seed).stream("generated history");
        let shape = Shape { operations: 5 + stream.index(3), keys: 1 + stream.below(3), clients: 3, unknown: 25, transactions: 40 };
        let mut history = simulate(&mut stream, &shape);
        if impossible < possible {
            mutate(&mut stream, &mut history);
            if brute_force(&history, &Initial::new()) {
                continue;
            }
            impossible += 1;
            writeln!(text, "\nseed {seed}, changed\n{}violation", write(&history)).unwrap();
        } else {
            possible += 1;
            writeln!(text, "\nseed {seed}\n{}ok", write(&history)).unwrap();
        }
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/linearizability/generated.txt");
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(text == std::fs::read_to_string(&path).unwrap(), "if they should change, run again with UPDATE_GOLDENS=1");
}

#[test]
fn it_agrees_with_trying_everything() {
    let (mut possible, mut impossible) = (0, 0);
    for seed in 0..cases() {
        let mut stream = Seed(seed).stream("small history");
        let shape = Shape {
            operations: 1 + stream.index(7),
            keys: 1 + stream.below(3),
            clients: 1 + stream.index(5),
            unknown: 10 * stream.below(7),
            transactions: 10 * stream.below(9),
        };
        let mut history = simulate(&mut stream, &shape);
        for _ in 0..stream.below(5) {
            mutate(&mut stream, &mut history);
        }
        let expected = brute_force(&history, &Initial::new());
        *if expected { &mut possible } else { &mut impossible } += 1;
        let verdict = check(&history, &Initial::new(), BUDGET);
        assert_eq!(matches!(verdict, Verdict::Linearizable { .. }), expected, "seed {seed}: {verdict:?}\n{}", write(&history));
    }
    assert!(possible > cases() / 4 && impossible > cases() / 4, "{possible} possible, {impossible} impossible");
}

fn cases() -> u64 {
    20_000
}

#[test]
fn a_history_survives_its_text() {
    for seed in 0..200 {
        let history =
            simulate(&mut Seed(seed).stream("text"), &Shape { operations: 9, keys: 3, clients: 4, unknown: 30, transactions: 50 });
        let text = format!("title\n{}ok\n", write(&history));
        assert_eq!(write(&parse(&text)[0].history), write(&history));
    }
}

/// Counts, not times: the configurations that are looked at must not grow faster than the history.
#[test]
fn ten_thousand_operations_with_unknown_outcomes() {
    for (clients, keys, unknown, transactions) in
        [(1, 1, 0, 50), (5, 5, 0, 50), (5, 5, 20, 0), (10, 3, 30, 0), (8, 8, 70, 0), (5, 5, 5, 10)]
    {
        let mut stream = Seed(clients as u64).stream("long history");
        let history = simulate(&mut stream, &Shape { operations: 10_000, keys, clients, unknown, transactions });
        match check(&history, &Initial::new(), BUDGET) {
            Verdict::Linearizable { operations, explored } => {
                assert!(operations > 9_000 && explored < BUDGET, "{clients} clients, {keys} keys, {unknown} %: {explored}");
            }
            other => panic!("{clients} clients, {keys} keys, {unknown} % unknown: {other:?}"),
        }
    }
}

#[test]
fn whoever_gives_up_says_so() {
    let history = simulate(&mut Seed(7).stream("budget"), &Shape { operations: 200, keys: 2, clients: 5, unknown: 20, transactions: 40 });
    let verdict = check(&history, &Initial::new(), 50);
    assert!(matches!(verdict, Verdict::Unknown { explored } if explored >= 50), "{verdict:?}");
    assert!(verdict.violation().unwrap().contains("given up after 5"));
}
