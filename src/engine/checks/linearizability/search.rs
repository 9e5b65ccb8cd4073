//! The search: a walk through one group's history with all configurations that are possible so far.
//!
//! An operation must have taken effect when it returns. Lowe's rule of just-in-time linearization: at a return each configuration in
//! which it has not yet tries sequences of pending operations that end with it; whatever else is pending waits for its own return. What
//! is tried is made less, each time without losing a verdict:
//!
//! - *An observer takes effect as soon as it can.* It changes nothing, so an earlier instant (after its call) at which what it saw was
//!   so serves as well as a later one.
//! - *What has nothing to do with the one that returns waits.* Pending operations that share no key with it, directly or through others,
//!   commute with it.
//! - *A value is not overwritten while somebody has yet to see it.* It is written once, so it never comes back.
//! - *A write that nobody saw takes effect just before one that overwrites it blindly.* As good as anywhere later, if nobody asks
//!   whether the key *differs* from something.
//! - *Operations that need not be are used for a purpose*: when such a one only writes one key, without a condition, the next to touch
//!   that key sees it. Else it is useless, and the configuration without it is looked at anyway. If they are all alike (a [`Class`]), the
//!   first ones are used first.
//! - *Of two configurations that differ only in how many such operations are left, the richer one is kept.*
//!
//! With many operations that need not be, over several keys and under conditions, even that leaves too much. So there are two walks. The
//! *quick* one uses such an operation only at the moment when somebody waits for what it writes, and keeps [`QUICK_MAX`] configurations at
//! most. What it finds is a linearization like any other; only if it finds none, the *whole* walk has the word.

use super::prepare::{ABSENT, Code, FIRST_SEEN, Group, Item, NEVER, Position, UNSEEN, Way};
use crate::base::{Map, Set};

/// Written by an operation that need not be, and not yet seen.
const ABSENT_UNUSED: Code = 2;
const UNSEEN_UNUSED: Code = 3;

/// Configurations that a quick walk keeps, those that used the fewest operations first. Tens are kept where clients meet; 64 is more.
const QUICK_MAX: usize = 64;

/// What came of a search.
pub enum Found {
    Possible,
    /// This item fits nowhere.
    Impossible(usize),
    GaveUp,
}

/// What may be the case at some instant.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Configuration {
    /// What each key holds.
    state: Vec<Code>,
    /// Pending items that have taken effect, sorted.
    done: Vec<u32>,
    /// Of each class that was used: how many. Sorted.
    used: Vec<(u32, u32)>,
}

/// Items that need not take effect, and are all alike.
struct Class {
    ways: Vec<Way<u32, Code>>,
    /// How many have been called.
    called: u32,
    /// Its only effect is one key's, under no condition.
    plain: bool,
    /// It can take effect only while a key holds this value, which it then overwrites: none is used twice anyway.
    disables_itself: bool,
}

struct Search<'a> {
    group: &'a Group,
    /// Called, and not returned: those that only see, those that also write.
    observers: Vec<u32>,
    writers: Vec<u32>,
    classes: Vec<Class>,
    class_of: Vec<Option<u32>>,
    /// Called classes by the value without which they cannot take effect, and those without such a one by a key that they write.
    by_value: Vec<Vec<u32>>,
    by_key: Vec<Vec<u32>>,
    /// Who must see a value, and has not returned.
    audience: Vec<Vec<u32>>,
    /// Nobody saw what they wrote, and nobody could: a blind write.
    invisible: Vec<bool>,
    configurations: Vec<Configuration>,
    quick: bool,
    explored: u64,
    budget: u64,
}

/// Walks through a group's history. Counts the configurations in `explored`.
pub fn search(group: &Group, budget: u64, explored: &mut u64) -> Found {
    let mut found = Found::GaveUp;
    for quick in [true, false] {
        let mut search = Search::new(group, quick, budget, *explored);
        found = search.walk();
        *explored = search.explored;
        if matches!(found, Found::Possible) || *explored >= budget {
            break;
        }
    }
    found
}

/// An item's part in the walk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    Call,
    /// Before those whose return is only inferred from it.
    Return,
    Inferred,
}

impl<'a> Search<'a> {
    fn new(group: &'a Group, quick: bool, budget: u64, explored: u64) -> Search<'a> {
        let keys = group.keys.len();
        let mut differs = vec![false; keys];
        let mut audience = vec![Vec::new(); group.codes];
        for (number, item) in group.items.iter().enumerate() {
            for (key, _) in item.ways.iter().flat_map(|way| &way.differs) {
                differs[*key as usize] = true;
            }
            if let [way] = &item.ways[..]
                && item.returned != NEVER
            {
                for (_, value) in way.sees.iter().filter(|(_, value)| *value >= FIRST_SEEN) {
                    audience[*value as usize].push(number as u32);
                }
            }
        }
        let invisible = |item: &Item| {
            let [way] = &item.ways[..] else { return false };
            let blind = way.sees.is_empty() && way.differs.is_empty();
            item.returned != NEVER && blind && way.writes.iter().all(|&(key, value)| value == UNSEEN && !differs[key as usize])
        };
        let invisible = group.items.iter().map(invisible).collect();
        let (classes, class_of) = classes(group);
        Search {
            observers: Vec::new(),
            writers: Vec::new(),
            classes,
            class_of,
            by_value: vec![Vec::new(); group.codes],
            by_key: vec![Vec::new(); keys],
            audience,
            invisible,
            configurations: vec![Configuration { state: group.initial.clone(), done: Vec::new(), used: Vec::new() }],
            quick,
            explored,
            budget,
            group,
        }
    }

    fn walk(&mut self) -> Found {
        let mut turns: Vec<(Position, Turn, u32)> = Vec::with_capacity(2 * self.group.items.len());
        for (number, item) in self.group.items.iter().enumerate() {
            turns.push((item.called, Turn::Call, number as u32));
            if item.returned != NEVER {
                turns.push((item.returned, if item.answered { Turn::Return } else { Turn::Inferred }, number as u32));
            }
        }
        turns.sort_unstable();
        for (_, turn, item) in turns {
            if turn == Turn::Call {
                self.call(item);
                continue;
            }
            if !self.returns(item) {
                return Found::GaveUp;
            }
            if self.configurations.is_empty() {
                return Found::Impossible(item as usize);
            }
        }
        Found::Possible
    }

    fn call(&mut self, number: u32) {
        let item = &self.group.items[number as usize];
        if let Some(class) = self.class_of[number as usize] {
            let first = self.classes[class as usize].called == 0;
            self.classes[class as usize].called += 1;
            if first {
                self.index(class);
            }
        } else if item.ways.iter().all(|way| way.writes.is_empty()) {
            self.observers.push(number);
            for configuration in &mut self.configurations {
                if item.ways.iter().any(|way| applies(way, &configuration.state)) {
                    insert(&mut configuration.done, number);
                }
            }
        } else {
            self.writers.push(number);
        }
    }
    /// From now on a class may be used.
    fn index(&mut self, number: u32) {
        let class = &self.classes[number as usize];
        if let [way] = &class.ways[..]
            && let Some((_, value)) = way.sees.iter().find(|(_, value)| *value >= FIRST_SEEN)
        {
            self.by_value[*value as usize].push(number);
        } else {
            let mut keys: Vec<u32> = class.ways.iter().flat_map(|way| way.writes.iter().map(|(key, _)| *key)).collect();
            keys.sort_unstable();
            keys.dedup();
            keys.into_iter().for_each(|key| self.by_key[key as usize].push(number));
        }
    }

    /// An item must have taken effect. `false`: the budget is used up.
    fn returns(&mut self, number: u32) -> bool {
        let mut kept = Kept::default();
        let (done, mut next): (Vec<_>, Vec<_>) = std::mem::take(&mut self.configurations)
            .into_iter()
            .partition(|configuration| configuration.done.binary_search(&number).is_ok());
        for configuration in done {
            kept.add(configuration, number);
        }
        self.explored += kept.configurations.len() as u64;
        if !next.is_empty() {
            let related = self.related(number);
            let mut seen: Set<Configuration> = next.iter().cloned().collect();
            let mut successors = Vec::new();
            while let Some(configuration) = next.pop() {
                self.explored += 1;
                if self.explored >= self.budget {
                    return false;
                }
                self.expand(&configuration, number, &related, &mut successors);
                self.explored += successors.len() as u64;
                for successor in successors.drain(..) {
                    if successor.done.binary_search(&number).is_ok() {
                        // What is still unused by now could as well wait.
                        if !successor.state.iter().any(|&value| is_unused(value)) {
                            kept.add(successor, number);
                        }
                    } else if seen.insert(successor.clone()) {
                        next.push(successor);
                    }
                }
            }
        }
        self.configurations = kept.configurations;
        if self.quick && self.configurations.len() > QUICK_MAX {
            self.configurations.sort_by_key(|configuration| configuration.used.iter().map(|(_, count)| count).sum::<u32>());
            self.configurations.truncate(QUICK_MAX);
        }
        self.observers.retain(|&pending| pending != number);
        self.writers.retain(|&pending| pending != number);
        for way in &self.group.items[number as usize].ways {
            for (_, value) in way.sees.iter().filter(|(_, value)| *value >= FIRST_SEEN) {
                self.audience[*value as usize].retain(|&pending| pending != number);
            }
        }
        true
    }

    /// The keys that the item touches, and those that pending items connect with them.
    fn related(&self, number: u32) -> Vec<bool> {
        let mut related = vec![false; self.group.keys.len()];
        let touch = |related: &mut Vec<bool>, number: u32| {
            let ways = &self.group.items[number as usize].ways;
            ways.iter().flat_map(touched).for_each(|key| related[key as usize] = true);
        };
        touch(&mut related, number);
        let connected = |ways: &[Way<u32, Code>], related: &[bool]| {
            let mut keys = ways.iter().flat_map(touched);
            let all = keys.clone().all(|key| related[key as usize]);
            !all && keys.any(|key| related[key as usize])
        };
        loop {
            let before = related.iter().filter(|related| **related).count();
            for &pending in self.observers.iter().chain(&self.writers) {
                if connected(&self.group.items[pending as usize].ways, &related) {
                    touch(&mut related, pending);
                }
            }
            for class in self.classes.iter().filter(|class| class.called > 0) {
                if connected(&class.ways, &related) {
                    class.ways.iter().flat_map(touched).for_each(|key| related[key as usize] = true);
                }
            }
            if related.iter().filter(|related| **related).count() == before {
                return related;
            }
        }
    }

    /// All that one more operation can make of a configuration, so that `awaited` may come to take effect.
    fn expand(&self, from: &Configuration, awaited: u32, related: &[bool], successors: &mut Vec<Configuration>) {
        for &number in &self.writers {
            if from.done.binary_search(&number).is_ok() {
                continue;
            }
            for way in &self.group.items[number as usize].ways {
                if touched(way).all(|key| related[key as usize])
                    && let Some(mut successor) = self.apply(from, way, Some(number), |_| false)
                {
                    insert(&mut successor.done, number);
                    self.settle(&mut successor);
                    successors.push(successor);
                }
            }
        }
        let wanted = if self.quick { self.wanted(from, awaited, related) } else { Vec::new() };
        if self.quick && wanted.is_empty() {
            return;
        }
        for (key, related) in related.iter().enumerate() {
            if *related {
                let held = &self.by_value[seen(from.state[key]) as usize];
                for &class in held.iter().chain(&self.by_key[key]) {
                    self.use_one(from, class, &wanted, successors);
                }
            }
        }
    }
    /// What somebody who is pending would see, and does not; without a value: anything else.
    fn wanted(&self, from: &Configuration, awaited: u32, related: &[bool]) -> Vec<(u32, Option<Code>)> {
        let mut wanted = Vec::new();
        let pending =
            self.observers.iter().chain(&self.writers).filter(|&&number| number == awaited || touches(self.group, number, related));
        for &number in pending.filter(|number| from.done.binary_search(number).is_err()) {
            for way in &self.group.items[number as usize].ways {
                let held = |&(key, value): &(u32, Code)| seen(from.state[key as usize]) == value;
                wanted.extend(way.sees.iter().filter(|sight| !held(sight)).map(|&(key, value)| (key, Some(value))));
                if way.differs.iter().all(held) {
                    wanted.extend(way.differs.iter().map(|&(key, _)| (key, None)));
                }
            }
        }
        wanted
    }
    /// Uses one more item of a class, if there is one.
    fn use_one(&self, from: &Configuration, number: u32, wanted: &[(u32, Option<Code>)], successors: &mut Vec<Configuration>) {
        let class = &self.classes[number as usize];
        let place = from.used.binary_search_by_key(&number, |used| used.0);
        if place.is_ok_and(|place| from.used[place].1 >= class.called) {
            return;
        }
        for way in &class.ways {
            let is_wanted =
                |(key, value): (u32, Code)| wanted.iter().any(|&(wanted, what)| wanted == key && what.is_none_or(|what| what == value));
            if self.quick && !way.writes.iter().any(|write| is_wanted(*write)) {
                continue;
            }
            let must_be_used = |write| if self.quick { is_wanted(write) } else { class.plain };
            let Some(mut successor) = self.apply(from, way, None, must_be_used) else { continue };
            if successor.state.iter().zip(&from.state).all(|(one, other)| seen(*one) == seen(*other)) {
                continue;
            }
            if !class.disables_itself {
                match successor.used.binary_search_by_key(&number, |used| used.0) {
                    Ok(place) => successor.used[place].1 += 1,
                    Err(place) => successor.used.insert(place, (number, 1)),
                }
            }
            self.settle(&mut successor);
            successors.push(successor);
        }
    }

    /// Something takes effect in this way; `None`: it cannot now.
    fn apply(
        &self,
        from: &Configuration,
        way: &Way<u32, Code>,
        who: Option<u32>,
        must_be_used: impl Fn((u32, Code)) -> bool,
    ) -> Option<Configuration> {
        if !applies(way, &from.state) {
            return None;
        }
        let mut next = from.clone();
        use_seen(way, &mut next.state);
        for &(key, value) in &way.writes {
            let old = next.state[key as usize];
            // Nobody saw it, and nobody will.
            if is_unused(old) {
                return None;
            }
            if old >= FIRST_SEEN {
                let waits = |&observer: &u32| {
                    Some(observer) != who
                        && next.done.binary_search(&observer).is_err()
                        && self.group.items[observer as usize].ways[0].sees.contains(&(key, old))
                };
                if self.audience[old as usize].iter().any(waits) {
                    return None;
                }
                // Whoever needs it will never be able to take effect: there is no need to know of it.
                next.used.retain(|(class, _)| {
                    let [way] = &self.classes[*class as usize].ways[..] else { return true };
                    !way.sees.contains(&(key, old))
                });
            }
            next.state[key as usize] = match value {
                ABSENT if must_be_used((key, value)) => ABSENT_UNUSED,
                UNSEEN if must_be_used((key, value)) => UNSEEN_UNUSED,
                value => value,
            };
        }
        let blindly = |key: u32| {
            way.writes.iter().any(|(written, _)| *written == key)
                && !way.sees.iter().any(|(seen, _)| *seen == key)
                && !way.differs.iter().any(|(seen, _)| *seen == key)
        };
        for &pending in self.writers.iter().filter(|&&pending| self.invisible[pending as usize]) {
            if Some(pending) != who && self.group.items[pending as usize].ways[0].writes.iter().all(|(key, _)| blindly(*key)) {
                insert(&mut next.done, pending);
            }
        }
        Some(next)
    }
    /// All observers that can do so take effect.
    fn settle(&self, configuration: &mut Configuration) {
        for &number in &self.observers {
            if configuration.done.binary_search(&number).is_err()
                && let Some(way) = self.group.items[number as usize].ways.iter().find(|way| applies(way, &configuration.state))
            {
                insert(&mut configuration.done, number);
                use_seen(way, &mut configuration.state);
            }
        }
    }
}

/// The configurations that go on, without those that others are better than.
#[derive(Default)]
struct Kept {
    configurations: Vec<Configuration>,
    /// By state and what is done.
    alike: Map<(Vec<Code>, Vec<u32>), Vec<usize>>,
}

impl Kept {
    /// `returned` is pending no longer.
    fn add(&mut self, mut configuration: Configuration, returned: u32) {
        configuration.done.retain(|&done| done != returned);
        let alike = self.alike.entry((configuration.state.clone(), configuration.done.clone())).or_default();
        let better = |one: &Configuration, other: &Configuration| {
            one.used.iter().all(|(class, count)| other.used.iter().any(|(same, more)| same == class && more >= count))
        };
        if alike.iter().any(|&other| better(&self.configurations[other], &configuration)) {
            return;
        }
        match alike.iter().find(|&&other| better(&configuration, &self.configurations[other])) {
            Some(&worse) => self.configurations[worse] = configuration,
            None => {
                alike.push(self.configurations.len());
                self.configurations.push(configuration);
            }
        }
    }
}

/// The classes of items that need not take effect, and each such item's.
fn classes(group: &Group) -> (Vec<Class>, Vec<Option<u32>>) {
    let mut numbers: Map<&[Way<u32, Code>], u32> = Map::default();
    let mut classes = Vec::new();
    let mut of_items = Vec::with_capacity(group.items.len());
    for item in &group.items {
        if item.returned != NEVER {
            of_items.push(None);
            continue;
        }
        let number = *numbers.entry(&item.ways[..]).or_insert_with(|| {
            let only = if let [way] = &item.ways[..] { Some(way) } else { None };
            let plain = only.is_some_and(|way| way.sees.is_empty() && way.differs.is_empty() && way.writes.len() == 1);
            let disables_itself = only.is_some_and(|way| {
                let overwritten = |key: u32, value: Code| way.writes.iter().any(|write| write.0 == key && write.1 != value);
                way.sees.iter().any(|&(key, value)| value >= FIRST_SEEN && overwritten(key, value))
            });
            classes.push(Class { ways: item.ways.clone(), called: 0, plain, disables_itself });
            classes.len() as u32 - 1
        });
        of_items.push(Some(number));
    }
    (classes, of_items)
}

fn touched(way: &Way<u32, Code>) -> impl Iterator<Item = u32> + Clone + '_ {
    way.sees.iter().chain(&way.differs).chain(&way.writes).map(|(key, _)| *key)
}

fn touches(group: &Group, number: u32, related: &[bool]) -> bool {
    group.items[number as usize].ways.iter().flat_map(touched).any(|key| related[key as usize])
}

fn is_unused(value: Code) -> bool {
    value == ABSENT_UNUSED || value == UNSEEN_UNUSED
}

/// The value itself, used or not.
fn seen(value: Code) -> Code {
    match value {
        ABSENT_UNUSED => ABSENT,
        UNSEEN_UNUSED => UNSEEN,
        value => value,
    }
}

/// Would it see what it saw?
fn applies(way: &Way<u32, Code>, state: &[Code]) -> bool {
    let holds = |&(key, value): &(u32, Code)| seen(state[key as usize]) == value;
    way.sees.iter().all(holds) && (way.differs.is_empty() || !way.differs.iter().all(holds))
}

/// What it looks at is of use.
fn use_seen(way: &Way<u32, Code>, state: &mut [Code]) {
    for (key, _) in way.sees.iter().chain(&way.differs) {
        state[*key as usize] = seen(state[*key as usize]);
    }
}

fn insert(sorted: &mut Vec<u32>, number: u32) {
    if let Err(place) = sorted.binary_search(&number) {
        sorted.insert(place, number);
    }
}
