//! The story of one object, with causes, in words that a person can follow (`sim explain`). A pure function of the [`Record`].
//!
//! A story is the facts about its hero and about what befell it from outside (the faults of a pod's node, the endpoints of a Service), in
//! order of time. Below each fact stands its chain of causes, as far as it has not been told before. Facts of one kind that follow each
//! other closely, as ten pods created in a row, are one line. The state at an instant is what lasts of the facts until then.
//!
//! [`words`] has the sentences, [`object`] finds whom a person means, [`facts`] chooses what belongs to a story. Left out: writes that the
//! observer tells nothing of (heartbeats, statuses that stay as they are) and single requests.

mod considered;
mod facts;
mod object;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{FactId, Time};
use crate::engine::record::{Entry, Record};
use crate::report::timeline;
use crate::wire::fact::{Subject, What};
use facts::Line;
use object::Hero;
pub use object::kind_named;
use words::{Aspect, Ends};

/// What a reader knows of a story by now.
struct Told {
    facts: BTreeSet<FactId>,
    /// Facts that have a line of their own, told or yet to come.
    own_lines: BTreeSet<FactId>,
}

impl Told {
    fn new(story: &Story, of_state: bool) -> Told {
        let own_lines = if of_state {
            story.state.iter().map(|entry| entry.id).collect()
        } else {
            story.lines.iter().filter_map(|line| Some(line.entry?.id)).collect()
        };
        Told { facts: BTreeSet::new(), own_lines }
    }
}

/// The stories of all objects that a name stands for.
pub struct Explanation<'r> {
    record: &'r Record,
    stories: Vec<Story<'r>>,
    at: Option<Time>,
}

struct Story<'r> {
    title: String,
    lines: Vec<Line<'r>>,
    /// What lasted at the instant that was asked for.
    state: Vec<&'r Entry>,
    /// Whom it is about; lines name only others.
    hero: Hero,
}

/// Explains what `name` stands for in the run (`object::find`); with `at`, the state at that instant and why it is so. The error says
/// which names occurred instead.
pub fn explain<'r>(record: &'r Record, name: &str, namespace: &str, at: Option<Time>) -> Result<Explanation<'r>, String> {
    let stories = object::find(record, name, namespace)?
        .into_iter()
        .map(|hero| {
            let told = facts::of(record, &hero);
            let state = at.map_or_else(Vec::new, |at| state(record, &hero, &told, at));
            Story { title: object::title(&hero), lines: facts::lines(record, &hero, &told), state, hero }
        })
        .collect();
    Ok(Explanation { record, stories, at })
}

/// A fact in words, with its subject: "worker-3 became Ready=Unknown".
pub fn sentence(record: &Record, entry: &Entry) -> String {
    let happened = words::words(record, &entry.fact.subject, &entry.fact.what).happened;
    if words::impersonal(&entry.fact.what) { happened } else { format!("{} {happened}", words::who(record, &entry.fact.subject)) }
}

/// A fact as a reason, to follow "because": "of a fault: power loss of worker-3, at 120.0 s".
pub fn reason(record: &Record, entry: &Entry) -> String {
    words::reason(record, entry)
}

/// What lasts at `at` of the facts of a story, in order of time.
fn state<'r>(record: &Record, hero: &Hero, told: &[&'r Entry], at: Time) -> Vec<&'r Entry> {
    let mut state: BTreeMap<(&Subject, Aspect), &Entry> = BTreeMap::new();
    for entry in told.iter().copied().filter(|entry| entry.at <= at) {
        let subject = &entry.fact.subject;
        let words = words::words(record, subject, &entry.fact.what);
        match words.ends {
            Ends::Nothing => {}
            Ends::One(aspect) => {
                state.remove(&(subject, aspect));
            }
            Ends::All => state.retain(|(other, _), _| *other != subject),
        }
        if let Some((aspect, _)) = words.lasts {
            state.insert((subject, aspect), entry);
        }
    }
    let mut state: Vec<&Entry> = state.into_values().collect();
    state.sort_by_key(|entry| entry.id);
    let subjects = |subject: &Subject| state.iter().filter(|entry| entry.fact.subject == *subject).count();
    let worth_telling = |entry: &&&Entry| match &entry.fact.what {
        // Everything else that is said of it says that it exists.
        What::Created { .. } => subjects(&entry.fact.subject) == 1,
        // Of others, those that are gone are no part of the state.
        What::Removed { .. } => matches!((hero, &entry.fact.subject), (Hero::Object(hero), Subject::Object(key)) if hero == key),
        _ => true,
    };
    state.iter().filter(worth_telling).copied().collect()
}

impl Explanation<'_> {
    /// For a terminal.
    pub fn text(&self) -> String {
        let scenario = &self.record.scenario;
        let mut text = String::new();
        for (number, story) in self.stories.iter().enumerate() {
            if number > 0 {
                text.push('\n');
            }
            let when = self.at.map_or_else(String::new, |at| format!(", at {} s", words::tenths(at.since(scenario.start))));
            text.push_str(&format!("{}  ({}, seed {}{when})\n", story.title, scenario.name, scenario.seed));
            if number == 0 {
                text.push_str(&timeline::text(self.record, self.at));
            }
            text.push('\n');
            let mut told = Told::new(story, self.at.is_some());
            if self.at.is_some() {
                if story.state.is_empty() {
                    text.push_str("  nothing is known of it yet\n");
                }
                for entry in &story.state {
                    let words = words::words(self.record, &entry.fact.subject, &entry.fact.what);
                    let state = words.lasts.map_or(words.happened, |(_, state)| state);
                    let line = facts::sentence(self.record, &story.hero, entry, &state);
                    let since = words::tenths(entry.at.since(scenario.start));
                    text.push_str(&format!("  {line}, since {since} s\n"));
                    self.write_causes(entry, "    ", &mut told, &mut text);
                }
            } else {
                for line in &story.lines {
                    let at = words::thousandths(line.at.since(scenario.start));
                    text.push_str(&format!("{at:>11} s  {}\n", line.text));
                    for row in line.entry.map_or_else(Vec::new, |entry| considered::table(&entry.fact.what)) {
                        text.push_str(&format!("               {row}\n"));
                    }
                    if let Some(entry) = line.entry {
                        self.write_causes(entry, "               ", &mut told, &mut text);
                    }
                    told.facts.extend(line.stands_for.iter().copied());
                }
            }
        }
        text
    }

    /// The causes of a fact, a line each, until one that was told before: that one is named, and what led to it stands above.
    fn write_causes(&self, entry: &Entry, indent: &str, told: &mut Told, text: &mut String) {
        told.facts.insert(entry.id);
        for cause in self.record.chain(entry.id).into_iter().skip(1) {
            let known = !told.facts.insert(cause.id);
            // What has a line of its own is found by its time, and a cause that has no cause is whole as it stands.
            let above = if known && cause.cause.is_some() && !told.own_lines.contains(&cause.id) { " (see above)" } else { "" };
            text.push_str(&format!("{indent}because {}{above}\n", words::reason(self.record, cause)));
            if known {
                break;
            }
        }
    }

    /// For programs: every fact with its whole chain of causes.
    pub fn json(&self) -> String {
        let seconds = |at: Time| at.since(self.record.scenario.start).as_secs_f64();
        let fact = |entry: &Entry, text: String| {
            serde_json::json!({
                "time": seconds(entry.at),
                "kind": entry.fact.what.kind(),
                "object": entry.fact.subject.to_string(),
                "text": text,
            })
        };
        let whole = |story: &Story, entry: &Entry, words: &str| {
            let mut json = fact(entry, facts::sentence(self.record, &story.hero, entry, words));
            let causes = self.record.chain(entry.id).into_iter().skip(1);
            json["because"] = causes.map(|cause| fact(cause, words::reason(self.record, cause))).collect();
            json
        };
        let stories = self.stories.iter().map(|story| {
            let mut json = serde_json::json!({ "object": story.title });
            if self.at.is_some() {
                let state = story.state.iter().map(|entry| {
                    let words = words::words(self.record, &entry.fact.subject, &entry.fact.what);
                    whole(story, entry, &words.lasts.map_or(words.happened, |(_, state)| state))
                });
                json["state"] = state.collect();
            } else {
                let told = story.lines.iter().map(|line| match line.entry {
                    Some(entry) => {
                        let mut json = whole(story, entry, "");
                        json["text"] = line.text.clone().into();
                        json["time"] = seconds(line.at).into();
                        json
                    }
                    None => serde_json::json!({ "time": seconds(line.at), "kind": "Traffic", "text": line.text, "because": [] }),
                });
                json["facts"] = told.collect();
            }
            json
        });
        let mut json = serde_json::json!({
            "format": 1,
            "scenario": self.record.scenario.name,
            "seed": self.record.scenario.seed,
            "stories": stories.collect::<Vec<_>>(),
        });
        if let Some(at) = self.at {
            json["at"] = seconds(at).into();
        }
        let mut text = serde_json::to_string_pretty(&json).expect("plain JSON can be written");
        text.push('\n');
        text
    }
}
