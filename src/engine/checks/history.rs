//! What the store held at each revision, as its first member applied it: what the dear checks hold streams and caches against.
//!
//! Kept only in runs with `--check full`. The newest [`REMEMBERED`] revisions can be asked for; older ones give `None`, never a guess.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::base::{Map, Name, Revision};
use crate::objects::{Key, Kind, Object, Stored};
use crate::wire::api::Scope;
use crate::wire::etcd::{Applied, StoreKey};

/// About an hour of a cluster of 1,000 nodes, some 200 bytes each beside the objects, which others hold too.
const REMEMBERED: usize = 200_000;

/// One object's change at a revision.
#[derive(Clone, Debug)]
pub struct Change {
    pub key: Key,
    pub revision: Revision,
    pub old: Option<Stored>,
    pub new: Option<Stored>,
}

impl Change {
    /// What a watch with this scope is to be told of it: its type and the object; `None`: nothing.
    pub fn seen_by(&self, scope: &Scope) -> Option<(&'static str, &Object)> {
        let within = |stored: &Option<Stored>| stored.as_ref().is_some_and(|stored| scope.matches(&stored.object));
        match (&self.old, &self.new) {
            (_, Some(new)) if within(&self.new) => Some((if within(&self.old) { "MODIFIED" } else { "ADDED" }, &new.object)),
            (Some(old), _) if within(&self.old) => Some(("DELETED", &old.object)),
            _ => None,
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct History {
    /// The revision before the first that is remembered.
    base: Revision,
    /// What each revision after `base` changed: (key, deleted).
    revisions: VecDeque<Vec<(StoreKey, bool)>>,
    changes: BTreeMap<Kind, VecDeque<Change>>,
    newest: BTreeMap<Kind, BTreeMap<Key, Stored>>,
    /// Each kubelet watches its own.
    pods_of_node: Map<Name, BTreeSet<Key>>,
}

impl History {
    /// What the store holds at the start.
    pub fn preload(&mut self, objects: &[Stored]) {
        for stored in objects {
            self.base = self.base.max(stored.revision);
            self.put(&stored.object.key(), Some(stored.clone()));
        }
    }
    /// A member applied a revision; only the first to do so tells something new.
    pub fn applied(&mut self, applied: &Applied) {
        if applied.revision <= self.revision() {
            return;
        }
        if applied.revision.0 != self.revision().0 + 1 {
            // Nothing is known of what lies between: forget all changes before it.
            self.revisions.clear();
            self.changes.clear();
            self.base = Revision(applied.revision.0 - 1);
        }
        self.revisions.push_back(applied.events.iter().map(|event| (event.kv.key.clone(), event.deleted)).collect());
        for event in &applied.events {
            let Some(key) = Key::from_path(&event.kv.key) else { continue };
            let object = event.kv.value.as_object().filter(|_| !event.deleted);
            let new =
                object.map(|object| Stored { key: key.clone(), revision: applied.revision, cause: event.kv.cause, object: object.clone() });
            let old = self.put(&key, new.clone());
            self.changes.entry(key.kind()).or_default().push_back(Change { key, revision: applied.revision, old, new });
        }
        if self.revisions.len() > REMEMBERED {
            self.revisions.pop_front();
            self.base = Revision(self.base.0 + 1);
            for changes in self.changes.values_mut() {
                while changes.front().is_some_and(|change| change.revision <= self.base) {
                    changes.pop_front();
                }
            }
        }
    }
    /// The newest revision.
    pub fn revision(&self) -> Revision {
        Revision(self.base.0 + self.revisions.len() as u64)
    }
    /// The revisions after `after` and up to `to` with what they changed; `None` if some are not remembered.
    pub fn revisions(&self, after: Revision, to: Revision) -> Option<impl Iterator<Item = (Revision, &[(StoreKey, bool)])>> {
        let from = after.0.checked_sub(self.base.0)? as usize;
        let count = to.0.saturating_sub(after.0) as usize;
        let numbered = self.revisions.iter().enumerate().skip(from).take(count);
        Some(numbered.map(|(index, changed)| (Revision(self.base.0 + index as u64 + 1), changed.as_slice())))
    }
    /// Changes of a kind after `after` and up to `to`, in order; `None` if some are not remembered.
    pub fn changes(&self, kind: Kind, after: Revision, to: Revision) -> Option<impl Iterator<Item = &Change>> {
        if after < self.base {
            return None;
        }
        let changes = self.changes.get(&kind);
        let first = changes.map_or(0, |changes| changes.partition_point(|change| change.revision <= after));
        Some(changes.into_iter().flat_map(move |changes| changes.range(first..)).take_while(move |change| change.revision <= to))
    }
    /// The objects of a kind in a scope as they were at a revision; `None` if that is not remembered.
    pub fn state(&self, kind: Kind, scope: &Scope, at: Revision) -> Option<BTreeMap<&Key, &Stored>> {
        let mut before: BTreeMap<&Key, Option<&Stored>> = BTreeMap::new();
        for change in self.changes(kind, at, self.revision())? {
            before.entry(&change.key).or_insert(change.old.as_ref());
        }
        let mut state = BTreeMap::new();
        let unchanged = |key: &Key, stored: &Stored| scope.matches(&stored.object) && !before.contains_key(key);
        let newest = self.newest.get(&kind);
        if let (Some(node), Kind::Pod) = (&scope.node, kind) {
            for key in self.pods_of_node.get(node).into_iter().flatten() {
                let stored = &newest.expect("an indexed pod is there")[key];
                if unchanged(key, stored) {
                    state.insert(key, stored);
                }
            }
        } else {
            state.extend(newest.into_iter().flatten().filter(|(key, stored)| unchanged(key, stored)));
        }
        state.extend(before.into_iter().filter_map(|(key, old)| Some((key, old.filter(|old| scope.matches(&old.object))?))));
        Some(state)
    }

    /// The one place where the newest versions and their index change. Returns the version before.
    fn put(&mut self, key: &Key, new: Option<Stored>) -> Option<Stored> {
        let node = |stored: &Option<Stored>| stored.as_ref().and_then(|stored| stored.object.as_pod()?.node.clone());
        let new_node = node(&new);
        let newest = self.newest.entry(key.kind()).or_default();
        let old = match new {
            Some(stored) => newest.insert(key.clone(), stored),
            None => newest.remove(key),
        };
        let old_node = node(&old);
        if old_node != new_node {
            if let Some(pods) = old_node.and_then(|node| self.pods_of_node.get_mut(&node)) {
                pods.remove(key);
            }
            if let Some(node) = new_node {
                self.pods_of_node.entry(node).or_default().insert(key.clone());
            }
        }
        old
    }
}

#[cfg(test)]
pub(super) mod testing {
    use std::sync::Arc;

    use super::*;
    use crate::base::{Cause, Index, Term};
    use crate::objects::{Meta, Pod};
    use crate::wire::etcd::{KeyValue, LeaseId, Value, WatchEvent};

    pub fn pod(name: &str, node: Option<&str>, revision: u64) -> Stored {
        let pod = Pod { meta: Meta::named("default", name), node: node.map(Name::new), ..Pod::default() };
        Stored::new(Revision(revision), Cause::NONE, Arc::new(Object::Pod(pod)))
    }
    pub fn event(stored: &Stored, deleted: bool) -> WatchEvent {
        let kv = KeyValue {
            key: stored.object.key().path().clone(),
            value: Value::object(stored.object.clone()),
            create_revision: stored.revision,
            mod_revision: stored.revision,
            version: 1,
            lease: LeaseId(0),
            cause: Cause::NONE,
        };
        WatchEvent { kv, deleted, previous: None }
    }
    /// Revisions 1, 2, ... of (name, node, deleted).
    pub fn history(writes: &[(&str, Option<&str>, bool)]) -> History {
        let mut history = History::default();
        for (index, (name, node, deleted)) in writes.iter().enumerate() {
            let revision = index as u64 + 1;
            let events = vec![event(&pod(name, *node, revision), *deleted)];
            let (index, revision) = (Index(revision), Revision(revision));
            history.applied(&Applied { index, revision, term: Term(1), cause: Cause::NONE, hash: 0, capped: false, events });
        }
        history
    }
}

#[cfg(test)]
mod tests {
    use super::testing::history;
    use super::*;

    #[test]
    fn the_state_at_each_revision_can_be_asked_for() {
        let history = history(&[("a", None, false), ("b", Some("n1"), false), ("a", Some("n1"), false), ("b", None, true)]);
        let names = |scope: &Scope, at: u64| -> Vec<String> {
            let state = history.state(Kind::Pod, scope, Revision(at)).unwrap();
            state.iter().map(|(key, stored)| format!("{}@{}", key.name(), stored.revision)).collect()
        };
        let all: Vec<Vec<String>> = (0..=4).map(|at| names(&Scope::all(), at)).collect();
        assert_eq!(all, [vec![], vec!["a@1"], vec!["a@1", "b@2"], vec!["a@3", "b@2"], vec!["a@3"]]);
        let here: Vec<Vec<String>> = (0..=4).map(|at| names(&Scope::on_node(&Name::new("n1")), at)).collect();
        assert_eq!(here, [vec![], vec![], vec!["b@2"], vec!["a@3", "b@2"], vec!["a@3"]]);
    }

    #[test]
    fn what_is_not_remembered_is_not_guessed() {
        let mut history = History::default();
        history.preload(&[testing::pod("a", None, 7)]);
        assert!(history.state(Kind::Pod, &Scope::all(), Revision(6)).is_none());
        assert_eq!(history.state(Kind::Pod, &Scope::all(), Revision(7)).unwrap().len(), 1);
        assert!(history.changes(Kind::Pod, Revision(6), Revision(7)).is_none());
    }
}
