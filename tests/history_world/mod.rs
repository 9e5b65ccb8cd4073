//! Histories of clients for tests: read from text and written to it, made up at random, and judged by trying everything.

use std::collections::BTreeMap;
use std::fmt::Write;

use clustersim::base::{Revision, Stream, Time};
use clustersim::wire::Member;
use clustersim::wire::history::*;

pub type History = Vec<(Time, HistoryEvent)>;
type State = BTreeMap<Key, Written>;

/// A history of a file, with what is known of it.
pub struct Known {
    pub title: String,
    pub history: History,
    pub initial: State,
    pub linearizable: bool,
    /// When the operation was called that fits nowhere.
    pub at: Option<u64>,
}

/// Reads a file of histories: a title, an operation a line with the times of its call and its return, the verdict, an empty line.
pub fn parse(text: &str) -> Vec<Known> {
    let mut all = Vec::new();
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if !line.trim().is_empty() {
            lines.push(line.trim());
        } else if !lines.is_empty() {
            all.push(parse_one(&std::mem::take(&mut lines)));
        }
    }
    all
}

fn parse_one(lines: &[&str]) -> Known {
    let (title, rest) = lines.split_first().unwrap();
    let (verdict, operations) = rest.split_last().unwrap();
    let mut timed: Vec<(u64, u32, HistoryEvent)> = Vec::new();
    let mut initial = State::new();
    for (number, line) in operations.iter().enumerate() {
        if let Some(held) = line.strip_prefix("at first ") {
            initial.extend(
                held.split(", ").map(|held| held.split_once('=').unwrap()).map(|(key, held)| (self::key(key), value(held).unwrap())),
            );
            continue;
        }
        let wrong = format!("{title}: {line}");
        let (times, what) = line.split_once(' ').expect(&wrong);
        let (called, returned) = times.split_once('-').expect(&wrong);
        let id = OperationId { client: 1, number: number as u32 };
        let (operation, outcome) = parse_operation(what);
        timed.push((called.parse().expect(&wrong), number as u32, HistoryEvent::Called(id, operation)));
        if !returned.is_empty() {
            // At equal times calls come first: the operations overlap.
            timed.push((returned.parse().expect(&wrong), u32::MAX, HistoryEvent::Returned(id, outcome)));
        }
    }
    timed.sort_by_key(|(at, order, _)| (*at, *order));
    let (linearizable, at) = match *verdict {
        "ok" => (true, None),
        "violation" => (false, None),
        other => (false, Some(other.strip_prefix("violation at ").unwrap_or_else(|| panic!("{title}: {other}")).parse().unwrap())),
    };
    let history = timed.into_iter().map(|(at, _, event)| (Time::from_secs(at), event)).collect();
    Known { title: (*title).to_owned(), history, initial, linearizable, at }
}

fn parse_operation(text: &str) -> (Operation, Outcome) {
    let (text, result) = text.split_once(" -> ").map_or((text, ""), |(text, result)| (text, result));
    let (condition, rest) = match text.strip_prefix("if ") {
        None => ("", text),
        Some(rest) => rest.split_once(" then ").unwrap(),
    };
    let (then, otherwise) = rest.split_once(" else ").unwrap_or((rest, ""));
    let compares = condition.split(" and ").filter_map(|compare| compare.split_once('=')).map(|(key, held)| (self::key(key), value(held)));
    let operation =
        Operation { compares: compares.collect(), then: steps(then).into(), otherwise: steps(otherwise).into(), serializable: false };
    let outcome = match result {
        "unknown" => Outcome::Unknown,
        "failed" => Outcome::Failed,
        _ => {
            let (succeeded, reads) = match result.strip_prefix("else") {
                Some(reads) => (false, reads),
                None => (true, result.strip_prefix("then").unwrap_or(result)),
            };
            Outcome::Done { succeeded, reads: reads.split_whitespace().map(value).collect(), revision: Revision(1), member: Member(1) }
        }
    };
    (operation, outcome)
}

fn steps(text: &str) -> Vec<Step> {
    let step = |text: &str| match text.split_whitespace().collect::<Vec<_>>()[..] {
        ["get", key] => Step::Read(self::key(key)),
        ["put", key, written] => Step::Write(self::key(key), value(written).unwrap()),
        ["delete", key] => Step::Delete(self::key(key)),
        _ => panic!("no step: {text}"),
    };
    text.split(", ").filter(|text| !text.is_empty() && *text != "nothing").map(step).collect()
}

const NAMES: &[u8] = b"xyzabcde";

fn key(name: &str) -> Key {
    Key(NAMES.iter().position(|letter| name.as_bytes() == [*letter]).unwrap_or_else(|| panic!("no key: {name}")) as u32)
}
fn value(text: &str) -> Option<Written> {
    (text != "-").then(|| Written(text.parse().unwrap_or_else(|_| panic!("no value: {text}"))))
}

/// The other way round: a history as operations, a line each.
pub fn write(history: &History) -> String {
    let value = |value: &Option<Written>| value.map_or_else(|| "-".to_owned(), |value| value.0.to_string());
    let key = |key: &Key| char::from(NAMES[key.0 as usize]);
    let steps = |steps: &[Step]| {
        let step = |step: &Step| match step {
            Step::Read(read) => format!("get {}", key(read)),
            Step::Write(written, value) => format!("put {} {}", key(written), value.0),
            Step::Delete(deleted) => format!("delete {}", key(deleted)),
        };
        let steps: Vec<String> = steps.iter().map(step).collect();
        if steps.is_empty() { "nothing".to_owned() } else { steps.join(", ") }
    };
    let mut text = String::new();
    for (called, event) in history {
        let HistoryEvent::Called(id, operation) = event else { continue };
        let ending = history.iter().find_map(|(at, event)| match event {
            HistoryEvent::Returned(other, outcome) if other == id => Some((at, outcome)),
            _ => None,
        });
        let seconds = |at: &Time| at.since(Time::ZERO).as_secs();
        write!(text, "{}-{} ", seconds(called), ending.map_or_else(String::new, |(at, _)| seconds(at).to_string())).unwrap();
        let compares: Vec<String> =
            operation.compares.iter().map(|(compared, wanted)| format!("{}={}", key(compared), value(wanted))).collect();
        if !compares.is_empty() {
            write!(text, "if {} then ", compares.join(" and ")).unwrap();
        }
        text += &steps(&operation.then);
        if !operation.otherwise.is_empty() {
            write!(text, " else {}", steps(&operation.otherwise)).unwrap();
        }
        match ending {
            None => {}
            Some((_, Outcome::Unknown)) => text += " -> unknown",
            Some((_, Outcome::Failed)) => text += " -> failed",
            Some((_, Outcome::Done { succeeded, reads, .. })) => {
                let mut words: Vec<String> = reads.iter().map(&value).collect();
                if !compares.is_empty() {
                    words.insert(0, if *succeeded { "then" } else { "else" }.to_owned());
                }
                if !words.is_empty() {
                    write!(text, " -> {}", words.join(" ")).unwrap();
                }
            }
        }
        text.push('\n');
    }
    text
}

/// What an operation makes of a state, and what it sees.
pub fn execute(operation: &Operation, state: &mut State) -> (bool, Vec<Option<Written>>) {
    let succeeded = operation.compares.iter().all(|(key, wanted)| state.get(key).copied() == *wanted);
    let mut reads = Vec::new();
    for step in operation.branch(succeeded) {
        match step {
            Step::Read(key) => reads.push(state.get(key).copied()),
            Step::Write(key, value) => drop(state.insert(*key, *value)),
            Step::Delete(key) => drop(state.remove(key)),
        }
    }
    (succeeded, reads)
}

struct Whole<'a> {
    called: usize,
    returned: usize,
    operation: &'a Operation,
    /// Done: what it saw.
    done: Option<(bool, &'a [Option<Written>])>,
}

/// Is the history linearizable? Tries every order that agrees with real time, with and without each operation of unknown outcome.
pub fn brute_force(history: &History, initial: &State) -> bool {
    let mut all = Vec::new();
    for (called, (_, event)) in history.iter().enumerate() {
        let HistoryEvent::Called(id, operation) = event else { continue };
        let ending = history.iter().enumerate().find_map(|(at, (_, event))| match event {
            HistoryEvent::Returned(other, outcome) if other == id => Some((at, outcome)),
            _ => None,
        });
        let (returned, done) = match ending {
            Some((_, Outcome::Failed)) => continue,
            Some((at, Outcome::Done { succeeded, reads, .. })) => (at, Some((*succeeded, &reads[..]))),
            Some((_, Outcome::Unknown)) | None => (usize::MAX, None),
        };
        all.push(Whole { called, returned, operation, done });
    }
    try_all(&mut all, initial)
}

fn try_all(left: &mut Vec<Whole<'_>>, state: &State) -> bool {
    if left.iter().all(|one| one.done.is_none()) {
        return true;
    }
    let first_return = left.iter().map(|one| one.returned).min().unwrap();
    for at in 0..left.len() {
        if left[at].called > first_return {
            continue;
        }
        let mut next = state.clone();
        let (succeeded, reads) = execute(left[at].operation, &mut next);
        if left[at].done.is_some_and(|done| done != (succeeded, &reads[..])) {
            continue;
        }
        let one = left.remove(at);
        let possible = try_all(left, &next);
        left.insert(at, one);
        if possible {
            return true;
        }
    }
    false
}

/// How a random history is made.
pub struct Shape {
    pub operations: usize,
    pub keys: u64,
    /// Operations at once, at most.
    pub clients: usize,
    /// In per cent: outcomes that stay unknown, of which half take effect.
    pub unknown: u64,
    /// In per cent: transactions with several steps. The others are reads, writes, deletions and compare-and-set of one key.
    pub transactions: u64,
}

/// A random operation. Values come from `next`; what is compared is what was written lately.
pub fn operation(stream: &mut Stream, shape: &Shape, next: &mut u64) -> Operation {
    let mut operation = Operation::default();
    let key = Key(stream.below(shape.keys) as u32);
    let lately = |stream: &mut Stream, next: &u64| {
        let back = stream.below(5);
        (back > 0 && *next >= back).then(|| Written(*next + 1 - back))
    };
    if stream.below(100) >= shape.transactions {
        match stream.below(10) {
            0..=3 => operation.then.push(Step::Read(key)),
            4..=6 => operation.then.push(Step::Write(key, new(next))),
            7 => operation.then.push(Step::Delete(key)),
            other => {
                operation.compares.push((key, lately(stream, next)));
                operation.then.push(if other == 8 { Step::Delete(key) } else { Step::Write(key, new(next)) });
                operation.otherwise.push(Step::Read(key));
            }
        }
        return operation;
    }
    if stream.below(2) == 0 {
        operation.compares.push((key, lately(stream, next)));
    }
    for branch in [&mut operation.then, &mut operation.otherwise] {
        let (mut left, count) = ((0..shape.keys as u32).map(Key).collect::<Vec<_>>(), 1 + stream.below(2));
        for _ in 0..count.min(shape.keys) {
            let key = left.remove(stream.index(left.len()));
            branch.push(match stream.below(3) {
                0 => Step::Read(key),
                1 => Step::Write(key, new(next)),
                _ => Step::Delete(key),
            });
        }
    }
    if operation.compares.is_empty() {
        operation.otherwise.clear();
    }
    operation
}

fn new(next: &mut u64) -> Written {
    *next += 1;
    Written(*next)
}

/// A history as it can happen: clients call operations, each takes effect at once at some instant before its return, or its outcome stays
/// unknown, and then it may take effect later.
pub fn simulate(stream: &mut Stream, shape: &Shape) -> History {
    struct Pending {
        id: OperationId,
        operation: Operation,
        saw: Option<(bool, Vec<Option<Written>>)>,
    }
    let (mut history, mut state) = (History::new(), State::new());
    let (mut pending, mut lost): (Vec<Pending>, Vec<Operation>) = (Vec::new(), Vec::new());
    let (mut called, mut next) = (0, 0);
    while called < shape.operations || !pending.is_empty() {
        let now = Time::from_secs(history.len() as u64 + 1);
        match stream.below(3) {
            0 if called < shape.operations && pending.len() < shape.clients => {
                let operation = operation(stream, shape, &mut next);
                let id = OperationId { client: 1, number: called as u32 };
                called += 1;
                history.push((now, HistoryEvent::Called(id, operation.clone())));
                pending.push(Pending { id, operation, saw: None });
            }
            1 if !pending.is_empty() => {
                let at = stream.index(pending.len());
                let one = &mut pending[at];
                if one.saw.is_none() {
                    one.saw = Some(execute(&one.operation, &mut state));
                }
            }
            2 if !pending.is_empty() => {
                let at = stream.index(pending.len());
                let one = pending.remove(at);
                if stream.below(100) < shape.unknown {
                    if one.saw.is_none() && stream.below(2) == 0 {
                        lost.push(one.operation);
                    }
                    history.push((now, HistoryEvent::Returned(one.id, Outcome::Unknown)));
                } else if one.saw.is_none() && stream.below(10) == 0 {
                    history.push((now, HistoryEvent::Returned(one.id, Outcome::Failed)));
                } else {
                    let (succeeded, reads) = one.saw.unwrap_or_else(|| execute(&one.operation, &mut state));
                    let outcome = Outcome::Done { succeeded, reads, revision: Revision(1), member: Member(1) };
                    history.push((now, HistoryEvent::Returned(one.id, outcome)));
                }
            }
            _ => {
                if !lost.is_empty() && stream.below(4) == 0 {
                    execute(&lost.remove(0), &mut state);
                }
            }
        }
    }
    history
}

/// Changes what one operation was told. What comes of it may still be possible.
pub fn mutate(stream: &mut Stream, history: &mut History) {
    let values: Vec<u64> = history
        .iter()
        .filter_map(|(_, event)| if let HistoryEvent::Called(_, operation) = event { Some(operation) } else { None })
        .flat_map(|operation| operation.steps())
        .filter_map(|step| if let Step::Write(_, value) = step { Some(value.0) } else { None })
        .collect();
    let done: Vec<usize> = (0..history.len())
        .filter(|&at| matches!(&history[at].1, HistoryEvent::Returned(_, Outcome::Done { reads, .. }) if !reads.is_empty()))
        .collect();
    if done.is_empty() {
        return;
    }
    let at = done[stream.index(done.len())];
    let HistoryEvent::Returned(_, Outcome::Done { reads, .. }) = &mut history[at].1 else { unreachable!() };
    let read = stream.index(reads.len());
    let choice = stream.index(values.len() + 1);
    reads[read] = values.get(choice).copied().map(Written);
}
