//! What a history says, in the terms of the search: which operations must take effect, what each must see for that, and what it writes.
//!
//! Every value is written by one step of one operation, and the whole history is known. That settles most of what is unknown:
//!
//! - An operation of unknown outcome whose value somebody saw *did* take effect, through the branch that writes that value, and before
//!   its first observer returned: it is treated as one that returned then.
//! - Of the others, one whose effects nobody needs is left out. That is sound: take an order of operations with it, and leave it out of the
//!   order. Whoever would now see something else saw its effect: a value of its own (then somebody saw it, against the assumption), an
//!   absence that it made (then it is needed), or merely that a key did *not* have some value (so then, too). Needed are thus deletions of
//!   keys that somebody, returning later, saw absent, and any write to a key of which somebody saw that it differs from something. Such an
//!   operation may itself have seen something that others of its kind are needed for.
//! - Values that nobody asks for, by seeing or by comparing, are as good as one another: all become [`UNSEEN`].

use std::collections::BTreeMap;

use super::Initial;
use crate::base::{Map, Time};
use crate::wire::history::{HistoryEvent, Key, Operation, OperationId, Outcome, Step, Written};

/// What a key holds: nothing, some value that nobody asks for, or (from [`FIRST_SEEN`] on) one that somebody does. What lies between is
/// the search's own.
pub type Code = u32;
pub const ABSENT: Code = 0;
pub const UNSEEN: Code = 1;
pub const FIRST_SEEN: Code = 4;

/// The place of an event in the history.
pub type Position = u32;
/// Returns after all others, or never.
pub const NEVER: Position = u32::MAX;

/// One way in which an operation can take effect: which of its branches ran, and what that needs and makes. Keys are those of its group.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Way<K, V> {
    /// What it saw.
    pub sees: Vec<(K, V)>,
    /// Not all of these were so; empty: there is no such demand.
    pub differs: Vec<(K, V)>,
    pub writes: Vec<(K, V)>,
}

/// An operation that takes part in the search.
#[derive(Clone, Debug)]
pub struct Item {
    pub id: OperationId,
    pub called: Position,
    /// It has taken effect by then; `NEVER`: it need not.
    pub returned: Position,
    /// Its client knows how it ended. Else `returned` is when its first observer did.
    pub answered: bool,
    /// None: it cannot be.
    pub ways: Vec<Way<u32, Code>>,
}

/// Operations over keys that some operations connect.
#[derive(Default, Debug)]
pub struct Group {
    pub keys: Vec<Key>,
    pub initial: Vec<Code>,
    /// In the order of their calls.
    pub items: Vec<Item>,
    /// How many codes there are.
    pub codes: usize,
}

/// See the module.
pub struct Story {
    pub groups: Vec<Group>,
    /// All but reads that may be stale.
    pub operations: usize,
    /// Who was to write a value, whatever came of it.
    pub writers: Map<Written, OperationId>,
}

/// A history that cannot have been told by sound clients.
pub struct Malformed {
    pub operation: OperationId,
    pub text: String,
}

/// An operation, before it is known whether it matters.
struct Told<'a> {
    id: OperationId,
    called: Position,
    returned: Position,
    operation: &'a Operation,
    outcome: &'a Outcome,
    /// It took effect.
    certain: bool,
    ways: Vec<Way<Key, Option<Written>>>,
}

pub fn prepare(history: &[(Time, HistoryEvent)], initial: &Initial) -> Result<Story, Malformed> {
    let (mut told, writers) = read(history)?;
    for one in &mut told {
        one.ways = ways(one.operation, one.outcome);
    }
    find_certain(&mut told, &writers);
    let operations = told.len();
    drop_unneeded(&mut told);
    let writers = writers.into_iter().map(|(value, (id, _))| (value, id)).collect();
    Ok(Story { groups: group(&told, initial), operations, writers })
}

type Writers = Map<Written, (OperationId, Option<usize>)>;

/// The operations that may have taken effect, in the order of their calls, and who writes what: for those that did not fail with
/// their place.
fn read(history: &[(Time, HistoryEvent)]) -> Result<(Vec<Told<'_>>, Writers), Malformed> {
    let mut told: Vec<Told<'_>> = Vec::new();
    let mut places: Map<OperationId, usize> = Map::default();
    let mut writers = Writers::default();
    for (position, (_, event)) in history.iter().enumerate() {
        match event {
            HistoryEvent::Called(id, operation) if !operation.serializable => {
                places.insert(*id, told.len());
                for step in operation.steps() {
                    let Step::Write(_, value) = step else { continue };
                    let first = writers.entry(*value).or_insert((*id, Some(told.len())));
                    if first.0 != *id {
                        let text = format!("value {} was to be written twice, first by operation {}", value.0, name(first.0));
                        return Err(Malformed { operation: *id, text });
                    }
                }
                let (called, outcome) = (position as Position, &Outcome::Unknown);
                told.push(Told { id: *id, called, returned: NEVER, operation, outcome, certain: false, ways: Vec::new() });
            }
            HistoryEvent::Returned(id, outcome) => {
                let Some(&place) = places.get(id) else { continue };
                told[place].outcome = outcome;
                if matches!(outcome, Outcome::Done { .. }) {
                    told[place].returned = position as Position;
                    told[place].certain = true;
                }
            }
            _ => {}
        }
    }
    let mut kept = vec![None; told.len()];
    let mut count = 0;
    for (place, one) in told.iter().enumerate() {
        if !matches!(one.outcome, Outcome::Failed) {
            kept[place] = Some(count);
            count += 1;
        }
    }
    for (_, place) in writers.values_mut() {
        *place = place.and_then(|place| kept[place]);
    }
    told.retain(|one| !matches!(one.outcome, Outcome::Failed));
    Ok((told, writers))
}

/// The ways in which an operation can have had this outcome.
fn ways(operation: &Operation, outcome: &Outcome) -> Vec<Way<Key, Option<Written>>> {
    match outcome {
        Outcome::Done { succeeded, reads, .. } => way(operation, *succeeded, Some(reads)).into_iter().collect(),
        Outcome::Failed => Vec::new(),
        Outcome::Unknown => {
            let both = [way(operation, true, None), way(operation, false, None)];
            both.into_iter().flatten().filter(|way| !way.writes.is_empty()).collect()
        }
    }
}

/// `reads`: what was seen, if that is known. `None`: it contradicts itself.
fn way(operation: &Operation, succeeded: bool, reads: Option<&[Option<Written>]>) -> Option<Way<Key, Option<Written>>> {
    let mut way = Way { sees: Vec::new(), differs: Vec::new(), writes: Vec::new() };
    match (succeeded, operation.compares.is_empty()) {
        (true, _) => way.sees.extend_from_slice(&operation.compares),
        (false, true) => return None,
        (false, false) => way.differs.extend_from_slice(&operation.compares),
    }
    let mut seen = reads.map(|reads| reads.iter());
    for step in operation.branch(succeeded) {
        match *step {
            Step::Read(key) => {
                let Some(seen) = &mut seen else { continue };
                let seen = *seen.next()?;
                // Within a transaction a read sees what was written before it.
                match way.writes.iter().find(|(written, _)| *written == key) {
                    Some((_, own)) if *own != seen => return None,
                    Some(_) => {}
                    None => way.sees.push((key, seen)),
                }
            }
            Step::Write(key, value) => set(&mut way.writes, key, Some(value)),
            Step::Delete(key) => set(&mut way.writes, key, None),
        }
    }
    if seen.is_some_and(|mut left| left.next().is_some()) {
        return None;
    }
    way.sees.sort_unstable();
    way.sees.dedup();
    way.writes.sort_unstable();
    way.differs.sort_unstable();
    way.differs.dedup();
    if way.sees.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    // What it saw says already that it differed.
    if way.differs.iter().any(|(key, value)| way.sees.iter().any(|(seen, other)| seen == key && other != value)) {
        way.differs.clear();
    }
    Some(way)
}

fn set(writes: &mut Vec<(Key, Option<Written>)>, key: Key, value: Option<Written>) {
    match writes.iter_mut().find(|(written, _)| *written == key) {
        Some(write) => write.1 = value,
        None => writes.push((key, value)),
    }
}

/// Of operations with unknown outcome: which took effect, and by when.
fn find_certain(told: &mut [Told<'_>], writers: &Writers) {
    let mut next: Vec<usize> = (0..told.len()).filter(|&place| told[place].certain).collect();
    while let Some(observer) = next.pop() {
        let [way] = &told[observer].ways[..] else { continue };
        let returned = told[observer].returned;
        for (key, value) in way.sees.clone() {
            let Some(value) = value else { continue };
            let Some(&(_, Some(writer))) = writers.get(&value) else { continue };
            let writer_told = &mut told[writer];
            if matches!(writer_told.outcome, Outcome::Done { .. }) || writer == observer {
                continue;
            }
            let before = (writer_told.certain, writer_told.returned, writer_told.ways.len());
            writer_told.certain = true;
            writer_told.returned = writer_told.returned.min(returned);
            writer_told.ways.retain(|way| way.writes.contains(&(key, Some(value))));
            if before != (true, writer_told.returned, writer_told.ways.len()) {
                next.push(writer);
            }
        }
    }
}

/// Until when somebody sees this, or sees that a key is not something.
#[derive(Default)]
struct Needs {
    seen: Map<(Key, Option<Written>), Position>,
    differs: Map<Key, Position>,
}

impl Needs {
    /// True if something is needed that was not, or for longer.
    fn add(&mut self, one: &Told<'_>) -> bool {
        let mut grew = false;
        let mut until = |known: &mut Position| {
            grew |= *known < one.returned;
            *known = one.returned.max(*known);
        };
        for way in &one.ways {
            way.sees.iter().for_each(|sight| until(self.seen.entry(*sight).or_insert(0)));
            way.differs.iter().for_each(|(key, _)| until(self.differs.entry(*key).or_insert(0)));
        }
        grew
    }
    /// Could a write of this operation be of use to anybody?
    fn want(&self, one: &Told<'_>) -> bool {
        let after = |last: Option<&Position>| last.is_some_and(|&last| last > one.called);
        let useful = |write: &(Key, Option<Written>)| after(self.seen.get(write)) || after(self.differs.get(&write.0));
        one.ways.iter().any(|way| way.writes.iter().any(useful))
    }
}

/// Leaves out what is not certain and not needed.
fn drop_unneeded(told: &mut Vec<Told<'_>>) {
    let mut needs = Needs::default();
    for one in told.iter().filter(|one| one.certain) {
        needs.add(one);
    }
    let mut kept: Vec<bool> = told.iter().map(|one| one.certain).collect();
    let mut again = true;
    while std::mem::take(&mut again) {
        for (one, kept) in told.iter().zip(&mut kept).filter(|(_, kept)| !**kept) {
            if needs.want(one) {
                *kept = true;
                again |= needs.add(one);
            }
        }
    }
    let mut kept = kept.into_iter();
    // What can be placed anywhere and changes nothing is no part of the search either.
    told.retain(|one| {
        kept.next() == Some(true) && !one.ways.iter().any(|way| way.sees.is_empty() && way.differs.is_empty() && way.writes.is_empty())
    });
}

/// Splits the operations into groups that have no key in common, and numbers keys and values.
fn group(told: &[Told<'_>], initial: &Initial) -> Vec<Group> {
    let mut keys: BTreeMap<Key, usize> = BTreeMap::new();
    let mut parents: Vec<usize> = Vec::new();
    let mut of_told: Vec<usize> = Vec::with_capacity(told.len());
    for one in told {
        let mut first = None;
        for way in &one.ways {
            for (key, _) in way.sees.iter().chain(&way.differs).chain(&way.writes) {
                let own = *keys.entry(*key).or_insert_with(|| {
                    parents.push(parents.len());
                    parents.len() - 1
                });
                let own = root(&mut parents, own);
                let first = root(&mut parents, *first.get_or_insert(own));
                parents[own] = first;
            }
        }
        // What cannot be at all has a group of its own.
        of_told.push(first.unwrap_or_else(|| {
            parents.push(parents.len());
            parents.len() - 1
        }));
    }
    let mut numbers: Vec<Option<usize>> = vec![None; parents.len()];
    let mut groups: Vec<Group> = Vec::new();
    let mut members: Vec<Vec<&Told<'_>>> = Vec::new();
    for (one, at) in told.iter().zip(of_told) {
        let number = *numbers[root(&mut parents, at)].get_or_insert_with(|| {
            members.push(Vec::new());
            members.len() - 1
        });
        members[number].push(one);
    }
    for members in members {
        groups.push(number(&members, initial));
    }
    groups
}

fn root(parents: &mut [usize], mut at: usize) -> usize {
    while parents[at] != at {
        parents[at] = parents[parents[at]];
        at = parents[at];
    }
    at
}

fn number(members: &[&Told<'_>], initial: &Initial) -> Group {
    let mut keys: BTreeMap<Key, u32> = BTreeMap::new();
    let mut codes: Map<Written, Code> = Map::default();
    let ways = || members.iter().flat_map(|one| &one.ways);
    for way in ways() {
        for (key, value) in way.sees.iter().chain(&way.differs) {
            keys.insert(*key, 0);
            if let Some(value) = value {
                let next = FIRST_SEEN + codes.len() as Code;
                codes.entry(*value).or_insert(next);
            }
        }
        keys.extend(way.writes.iter().map(|(key, _)| (*key, 0)));
    }
    for (number, at) in keys.values_mut().enumerate() {
        *at = number as u32;
    }
    let code = |value: &Option<Written>| value.map_or(ABSENT, |value| codes.get(&value).copied().unwrap_or(UNSEEN));
    let all = |pairs: &[(Key, Option<Written>)]| pairs.iter().map(|(key, value)| (keys[key], code(value))).collect::<Vec<_>>();
    let numbered = |way: &Way<_, _>| Way { sees: all(&way.sees), differs: all(&way.differs), writes: all(&way.writes) };
    let item = |one: &&Told<'_>| {
        let Told { id, called, returned, .. } = **one;
        Item { id, called, returned, answered: matches!(one.outcome, Outcome::Done { .. }), ways: one.ways.iter().map(numbered).collect() }
    };
    Group {
        initial: keys.keys().map(|key| code(&initial.get(key).copied())).collect(),
        items: members.iter().map(item).collect(),
        codes: FIRST_SEEN as usize + codes.len(),
        keys: keys.into_keys().collect(),
    }
}

/// `c3#17`.
pub fn name(id: OperationId) -> String {
    format!("c{}#{}", id.client, id.number)
}
