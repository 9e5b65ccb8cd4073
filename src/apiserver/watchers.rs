//! Who watches what: watchers by kind, indexed by the node and by the name that they ask for, so that an event touches only those whom it
//! may concern (upstream `storage/cacher/cacher.go`, indexed triggers).

use crate::base::{Map, Name, Revision};
use crate::objects::{Kind, Stored};
use crate::wire::Conn;
use crate::wire::api::{Scope, WatchEvent};

use super::watch_cache::CacheEvent;

/// A client's watch.
#[derive(Debug)]
pub struct Watcher {
    pub conn: Conn,
    /// The request that began it: its events carry this id.
    pub id: u64,
    pub kind: Kind,
    pub scope: Scope,
    /// Only what comes after this is its business.
    pub from: Revision,
    /// The newest revision that its client knows of.
    pub sent: Revision,
}

/// A watcher's place and its number, so that a timer of one that is gone is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WatcherId {
    slot: usize,
    number: u64,
}

/// The watchers of one kind, by what they ask for. Each is in exactly one list; lists are in order of arrival.
#[derive(Default)]
struct Interest {
    by_node: Map<Name, Vec<WatcherId>>,
    by_name: Map<Name, Vec<WatcherId>>,
    others: Vec<WatcherId>,
}

/// All watchers of a server.
#[derive(Default)]
pub struct Watchers {
    slots: Vec<Option<(u64, Watcher)>>,
    free: Vec<usize>,
    next_number: u64,
    interests: Map<Kind, Interest>,
    by_request: Map<(Conn, u64), WatcherId>,
    by_conn: Map<Conn, Vec<WatcherId>>,
}

impl Interest {
    fn list(&mut self, scope: &Scope) -> &mut Vec<WatcherId> {
        match (&scope.node, &scope.name) {
            (Some(node), _) => self.by_node.entry(node.clone()).or_default(),
            (None, Some(name)) => self.by_name.entry(name.clone()).or_default(),
            (None, None) => &mut self.others,
        }
    }
}

impl Watchers {
    pub fn add(&mut self, watcher: Watcher) -> WatcherId {
        self.next_number += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        let id = WatcherId { slot, number: self.next_number };
        self.interests.entry(watcher.kind).or_default().list(&watcher.scope).push(id);
        self.by_request.insert((watcher.conn, watcher.id), id);
        self.by_conn.entry(watcher.conn).or_default().push(id);
        self.slots[slot] = Some((id.number, watcher));
        id
    }
    pub fn get(&self, id: WatcherId) -> Option<&Watcher> {
        self.slots[id.slot].as_ref().filter(|(number, _)| *number == id.number).map(|(_, watcher)| watcher)
    }
    pub fn get_mut(&mut self, id: WatcherId) -> Option<&mut Watcher> {
        self.slots[id.slot].as_mut().filter(|(number, _)| *number == id.number).map(|(_, watcher)| watcher)
    }
    pub fn find(&self, conn: Conn, request: u64) -> Option<WatcherId> {
        self.by_request.get(&(conn, request)).copied()
    }
    pub fn remove(&mut self, id: WatcherId) -> Option<Watcher> {
        self.get(id)?;
        let (_, watcher) = self.slots[id.slot].take().expect("a watcher that was found");
        self.free.push(id.slot);
        self.by_request.remove(&(watcher.conn, watcher.id));
        if let Some(ids) = self.by_conn.get_mut(&watcher.conn) {
            ids.retain(|other| *other != id);
        }
        if let Some(interest) = self.interests.get_mut(&watcher.kind) {
            interest.list(&watcher.scope).retain(|other| *other != id);
        }
        Some(watcher)
    }
    /// Drops all watchers of a connection that is closed.
    pub fn remove_conn(&mut self, conn: Conn) {
        for id in self.by_conn.remove(&conn).unwrap_or_default() {
            self.remove(id);
        }
    }
    /// All watchers of a kind, in order of arrival.
    pub fn of_kind(&self, kind: Kind) -> Vec<WatcherId> {
        let of_kind = |slot: &Option<(u64, Watcher)>| slot.as_ref().is_some_and(|(_, watcher)| watcher.kind == kind);
        let mut ids: Vec<WatcherId> = (0..self.slots.len())
            .filter(|slot| of_kind(&self.slots[*slot]))
            .map(|slot| WatcherId { slot, number: self.slots[slot].as_ref().expect("a watcher of the kind").0 })
            .collect();
        ids.sort_by_key(|id| id.number);
        ids
    }
    /// Those whom an event may concern: watchers of its node (before and after), of its name, and of neither.
    pub fn concerned(&self, event: &CacheEvent, ids: &mut Vec<WatcherId>) {
        ids.clear();
        let Some(interest) = self.interests.get(&event.key.kind()) else { return };
        ids.extend_from_slice(&interest.others);
        if !interest.by_name.is_empty() {
            ids.extend(interest.by_name.get(event.key.name()).into_iter().flatten());
        }
        if !interest.by_node.is_empty() {
            let node = |stored: &Option<Stored>| stored.as_ref().and_then(|stored| stored.object.as_pod()?.node.clone());
            let (old, new) = (node(&event.old), node(&event.new));
            ids.extend(new.iter().filter_map(|node| interest.by_node.get(node)).flatten());
            if old != new {
                ids.extend(old.iter().filter_map(|node| interest.by_node.get(node)).flatten());
            }
        }
    }
}

/// What an event is to a watcher with this scope: an object that comes into scope is added, one that leaves it is deleted. `None`: nothing.
pub fn seen_by(event: &CacheEvent, scope: &Scope) -> Option<WatchEvent> {
    let matches = |stored: &Option<Stored>| stored.as_ref().is_some_and(|stored| scope.matches(&stored.object));
    match (matches(&event.old), matches(&event.new), &event.new, &event.old) {
        (false, true, Some(new), _) => Some(WatchEvent::Added(new.clone())),
        (true, true, Some(new), _) => Some(WatchEvent::Modified(new.clone())),
        (true, false, _, Some(old)) => Some(WatchEvent::Deleted(Stored { revision: event.revision, cause: event.cause, ..old.clone() })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::watch_cache::{KindCache, stored_pod};
    use super::*;
    use crate::base::Time;
    use crate::objects::{LabelSelector, Labels, Meta, Pod, Shared};
    use crate::wire::etcd::WatchEvent as StoreEvent;

    fn pod_event(cache: &mut KindCache, revision: u64, node: Option<&str>, app: &str, deleted: bool) -> CacheEvent {
        let labels = Labels::from([("app".into(), app.into())]);
        let meta = Meta { labels: Shared::new(labels), ..Meta::named("default", "web") };
        let kv = stored_pod(Pod { meta, node: node.map(Name::new), ..Pod::default() }, revision);
        cache.apply(Time::ZERO, &StoreEvent { kv, deleted, previous: None }).expect("a new event").clone()
    }
    fn watcher(conn: u64, id: u64, scope: Scope) -> Watcher {
        Watcher { conn: Conn(conn), id, kind: Kind::Pod, scope, from: Revision::ZERO, sent: Revision::ZERO }
    }

    #[test]
    fn an_event_of_a_pod_touches_its_nodes_watchers_and_the_unscoped() {
        let mut watchers = Watchers::default();
        let one = watchers.add(watcher(1, 1, Scope::on_node(&"n1".into())));
        let _two = watchers.add(watcher(2, 1, Scope::on_node(&"n2".into())));
        let all = watchers.add(watcher(3, 1, Scope::all()));
        let mut cache = KindCache::default();
        cache.fill(&[], Revision(1));
        let mut ids = Vec::new();
        watchers.concerned(&pod_event(&mut cache, 2, None, "web", false), &mut ids);
        assert_eq!(ids, [all]);
        watchers.concerned(&pod_event(&mut cache, 3, Some("n1"), "web", false), &mut ids);
        assert_eq!(ids, [all, one]);
        watchers.remove_conn(Conn(1));
        watchers.concerned(&pod_event(&mut cache, 4, Some("n1"), "web", true), &mut ids);
        assert_eq!(ids, [all]);
        assert!(watchers.get(one).is_none());
    }

    #[test]
    fn what_enters_a_selector_is_added_and_what_leaves_it_is_deleted() {
        let mut cache = KindCache::default();
        cache.fill(&[], Revision(1));
        let labels = Labels::from([("app".into(), "web".into())]);
        let scope = Scope { labels: Some(LabelSelector::of(labels)), ..Scope::all() };
        let mut seen = Vec::new();
        for (revision, app, deleted) in [(2, "db", false), (3, "web", false), (4, "web", false), (5, "db", false), (6, "db", true)] {
            seen.push(match seen_by(&pod_event(&mut cache, revision, None, app, deleted), &scope) {
                None => "-".to_owned(),
                Some(WatchEvent::Added(stored)) => format!("added {}", stored.revision),
                Some(WatchEvent::Modified(stored)) => format!("modified {}", stored.revision),
                Some(WatchEvent::Deleted(stored)) => format!("deleted {} {}", stored.revision, stored.object.meta().labels["app"]),
                Some(other) => format!("{other:?}"),
            });
        }
        assert_eq!(seen, ["-", "added 3", "modified 4", "deleted 5 web", "-"]);
    }
}
