//! Invariant 15, as clients see it: a watch of all keys of the load tells each revision that changed one, whole, once and in order, from
//! its first on, whatever member it hangs on; with the previous version, which says too whether a key is new. A bookmark says that nothing
//! is missing. So at the end of a run nothing is missing up to the last of what each watch was told.

use super::log::Log;
use crate::base::{Map, Revision};
use crate::wire::etcd::WatchEvent;
use crate::wire::history::{Key, Written};

/// Client and watch.
type Name = (u32, u32);

/// See the module.
#[derive(Default)]
pub struct Watches {
    watches: Map<Name, Watch>,
}

struct Watch {
    /// All before it has come.
    next: Revision,
    /// The place in the log of the first change that has not.
    place: usize,
}

impl Watches {
    pub fn begins(&mut self, name: Name, from: Revision, log: &Log) {
        // From after now: from the newest revision that anybody could mean. What it really is, its first event says.
        let from = if from == Revision::ZERO { log.newest().next() } else { from };
        self.watches.insert(name, Watch { next: from, place: log.place(from) });
    }
    pub fn saw(&mut self, name: Name, events: &[WatchEvent], log: &Log, violations: &mut Vec<String>) {
        let Some(watch) = self.watches.get_mut(&name) else { return };
        for events in events.chunk_by(|one, other| one.kv.mod_revision == other.kv.mod_revision) {
            if let Err(wrong) = watch.revision(events, log) {
                violations.push(format!("watch {} of client {}: {wrong}", name.1, name.0));
                return;
            }
        }
    }
    pub fn complete(&mut self, name: Name, revision: Revision, log: &Log, violations: &mut Vec<String>) {
        let Some(watch) = self.watches.get_mut(&name) else { return };
        let mut wrong = |what: String| violations.push(format!("watch {} of client {}: {what}", name.1, name.0));
        if revision > log.newest() {
            wrong(format!("complete up to revision {revision}, but no member has applied more than {}", log.newest()));
        }
        match watch.expected(log) {
            Some(missing) if missing <= revision => wrong(format!("complete up to revision {revision}, but {missing} never came")),
            _ => watch.next = watch.next.max(revision.next()),
        }
    }
    pub fn compacted(&mut self, name: Name, compact_revision: Revision, log: &Log, violations: &mut Vec<String>) {
        let Some(watch) = self.watches.remove(&name) else { return };
        if watch.next > compact_revision || compact_revision > log.newest() {
            let (next, newest) = (watch.next, log.newest());
            violations.push(format!(
                "watch {} of client {}: given up by a compaction at {compact_revision}, but it wanted {next} next, of {newest}",
                name.1, name.0
            ));
        }
    }
}

impl Watch {
    /// The next revision that it must be told of, if there is one already. (It may have begun before there was any.)
    fn expected(&mut self, log: &Log) -> Option<Revision> {
        while log.revision(self.place).is_some_and(|revision| revision < self.next) {
            self.place += 1;
        }
        log.revision(self.place)
    }
    fn revision(&mut self, events: &[WatchEvent], log: &Log) -> Result<(), String> {
        let revision = events[0].kv.mod_revision;
        if revision > log.newest() {
            return Err(format!("revision {revision}, but no member has applied more than {}", log.newest()));
        }
        if revision < self.next {
            return Err(format!("revision {revision} after revision {}", self.next.0.saturating_sub(1)));
        }
        match self.expected(log) {
            Some(expected) if expected == revision => {}
            Some(expected) if expected < revision => return Err(format!("skips revision {expected}: {revision} came")),
            _ => return Err(format!("revision {revision}, which changed nothing")),
        }
        let changed = log.keys_of(self.place);
        if changed.len() != events.len() {
            return Err(format!("revision {revision} changed {} keys, {} came", changed.len(), events.len()));
        }
        for (nth, event) in events.iter().enumerate() {
            let kv = &event.kv;
            let known = Key::of(&kv.key).filter(|key| changed.contains(key) && !events[..nth].iter().any(|other| other.kv.key == kv.key));
            let Some(key) = known else { return Err(format!("revision {revision} did not change {}, or only once", kv.key)) };
            let new = log.at(key, revision).expect("a changed key has a version");
            let value = if event.deleted { None } else { Written::of(&kv.value) };
            if event.deleted != new.value.is_none() || (value, kv.version, kv.create_revision) != (new.value, new.version, new.create) {
                return Err(format!("revision {revision} of {} came as another change than it is", kv.key));
            }
            let old = log.at(key, Revision(revision.0 - 1)).filter(|old| old.value.is_some());
            let told = event.previous.as_ref().map(|previous| (previous.mod_revision, Written::of(&previous.value)));
            if told != old.map(|old| (old.revision, old.value)) {
                return Err(format!("revision {revision} of {} came with another previous version than it had", kv.key));
            }
        }
        (self.next, self.place) = (revision.next(), self.place + 1);
        Ok(())
    }
}
