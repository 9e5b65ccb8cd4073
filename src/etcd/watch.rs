//! The watches that clients hold on one member. A watcher that has seen everything is *synced*: it gets the changes of each applied
//! entry at once. One that starts in the past, or whose connection was blocked, is *lagging*: it is served from history at the next
//! pass (etcd `server/storage/mvcc/watchable_store.go`), or cancelled if that history is compacted.
//!
//! A watcher gets every change of its keys with a revision from its start on, in order, once, and revisions whole.

use std::collections::{BTreeMap, BTreeSet};

use super::store::Store;
use crate::base::planted::{Bug, Planted};
use crate::base::{Cause, Map, Revision};
use crate::wire::Conn;
use crate::wire::etcd::{Answer, KeyRange, KeyValue, StoreKey, Watch, WatchEvent};

/// How many lagging watchers a pass serves (maxWatchersPerSync).
const WATCHERS_A_PASS: usize = 512;
/// Revisions that a lagging watcher gets in one pass (`watcher_group.go`, watchBatchMaxRevs).
const REVISIONS_A_PASS: usize = 1000;
/// What an event takes beside keys and values.
const EVENT_OVERHEAD: usize = 64;

/// A watch's name: the connection that it came on, and its request's id there.
pub type WatcherId = (Conn, u64);

/// See the module.
#[derive(Default)]
pub struct Watchers {
    /// A response that is larger is sent in parts to those who asked for that.
    max_bytes: usize,
    planted: Planted,
    watchers: BTreeMap<WatcherId, Watcher>,
    /// Watchers of one key, by that key.
    by_key: Map<StoreKey, BTreeSet<WatcherId>>,
    /// Watchers of more than one key: few, so that asking each is cheaper than an interval tree.
    ranges: BTreeMap<WatcherId, KeyRange>,
    lagging: BTreeSet<WatcherId>,
    blocked: BTreeSet<Conn>,
    /// Synced watchers with events that wait for `flush`.
    dirty: Vec<WatcherId>,
}

struct Watcher {
    watch: Watch,
    /// The lowest revision that it has not been told of.
    next: Revision,
    pending: Vec<WatchEvent>,
    /// Was it told something since the last periodic progress notification?
    told: bool,
}

impl Watcher {
    fn wants(&self, event: &WatchEvent) -> bool {
        event.kv.mod_revision >= self.next && !(if event.deleted { self.watch.no_delete } else { self.watch.no_put })
    }
    fn take(&mut self, event: &WatchEvent) {
        let previous = if self.watch.previous_value { event.previous.clone() } else { None };
        self.pending.push(WatchEvent { kv: event.kv.clone(), deleted: event.deleted, previous });
    }
    /// Puts what is pending into notices. In parts (etcd `server/etcdserver/api/v3rpc/watch.go`, sendFragments) if it must be.
    fn push(&mut self, to: WatcherId, max_bytes: usize, notices: &mut Vec<Notice>) {
        self.told = true;
        let mut events = std::mem::take(&mut self.pending);
        let Some(last) = events.last() else { return };
        let cause = last.kv.cause;
        loop {
            let mut bytes = 0;
            let fit = events.iter().take_while(|event| {
                bytes += event_bytes(event);
                bytes <= max_bytes
            });
            // An event is never divided.
            let fit = if self.watch.fragment { fit.count().max(1) } else { events.len() };
            if fit >= events.len() {
                break;
            }
            let rest = events.split_off(fit);
            notices.push(Notice { to, answer: Answer::WatchFragment(std::mem::replace(&mut events, rest)), cause });
        }
        notices.push(Notice { to, answer: Answer::WatchEvents(events), cause });
    }
}

/// What a watcher is to be told.
pub struct Notice {
    pub to: WatcherId,
    pub answer: Answer,
    pub cause: Cause,
}

impl Watchers {
    pub fn new(max_bytes: usize, planted: Planted) -> Watchers {
        Watchers { max_bytes, planted, ..Watchers::default() }
    }
    /// Adds a watch; the caller confirms it. If it starts in the past, the next pass serves it.
    pub fn add(&mut self, id: WatcherId, mut watch: Watch, now_at: Revision) {
        self.remove(id);
        if watch.start == Revision::ZERO {
            watch.start = now_at.next();
        }
        match &watch.keys {
            KeyRange::One(key) => {
                self.by_key.entry(key.clone()).or_default().insert(id);
            }
            keys => {
                self.ranges.insert(id, keys.clone());
            }
        }
        if watch.start <= now_at {
            self.lagging.insert(id);
        }
        self.watchers.insert(id, Watcher { next: watch.start, watch, pending: Vec::new(), told: false });
    }
    /// Ends a watch; `false` if there is none.
    pub fn remove(&mut self, id: WatcherId) -> bool {
        let Some(watcher) = self.watchers.remove(&id) else { return false };
        self.lagging.remove(&id);
        if let KeyRange::One(key) = &watcher.watch.keys {
            let ids = self.by_key.get_mut(key).expect("a watcher of a key is found by it");
            ids.remove(&id);
            if ids.is_empty() {
                self.by_key.remove(key);
            }
        } else {
            self.ranges.remove(&id);
        }
        true
    }
    /// Ends all watches of a connection.
    pub fn remove_connection(&mut self, conn: Conn) {
        self.blocked.remove(&conn);
        let gone: Vec<WatcherId> = self.watchers.range((conn, 0)..=(conn, u64::MAX)).map(|(&id, _)| id).collect();
        for id in gone {
            self.remove(id);
        }
    }
    /// Ends all watches, and tells whose they were.
    pub fn remove_all(&mut self) -> Vec<WatcherId> {
        let gone: Vec<WatcherId> = self.watchers.keys().copied().collect();
        for &id in &gone {
            self.remove(id);
        }
        gone
    }
    pub fn is_empty(&self) -> bool {
        self.watchers.is_empty()
    }
    /// A blocked connection's watchers fall behind, and catch up from history when it is writable again.
    pub fn set_blocked(&mut self, conn: Conn, blocked: bool) {
        if blocked {
            self.blocked.insert(conn);
        } else {
            self.blocked.remove(&conn);
        }
    }
    /// The store has jumped ahead: nobody was told of what came after `told`.
    pub fn fall_behind(&mut self, told: Revision) {
        for (&id, watcher) in &mut self.watchers {
            if self.lagging.insert(id) {
                watcher.next = watcher.next.max(told.next());
            }
        }
    }
    /// Has this watcher been told of everything?
    pub fn is_synced(&self, id: WatcherId) -> bool {
        self.watchers.contains_key(&id) && !self.lagging.contains(&id)
    }
    /// Is there a watcher that a pass over the lagging ones would serve?
    pub fn has_lagging(&self) -> bool {
        self.lagging.iter().any(|(conn, _)| !self.blocked.contains(conn))
    }

    /// Hands the changes of one revision to the synced watchers; `flush` sends them.
    pub fn notify(&mut self, events: &[WatchEvent]) {
        let Watchers { watchers, by_key, ranges, lagging, blocked, dirty, planted, .. } = self;
        if watchers.is_empty() {
            return;
        }
        for event in events {
            if event.deleted && planted.has(Bug::DeletionNotWatched) {
                continue;
            }
            let one = by_key.get(&event.kv.key).into_iter().flatten();
            let more = ranges.iter().filter(|(_, keys)| keys.contains(&event.kv.key)).map(|(id, _)| id);
            for id in one.chain(more) {
                let watcher = watchers.get_mut(id).expect("the indexes name watchers");
                if lagging.contains(id) || !watcher.wants(event) {
                    continue;
                }
                if blocked.contains(&id.0) {
                    // It was told of everything before this revision.
                    watcher.next = event.kv.mod_revision;
                    watcher.pending.clear();
                    lagging.insert(*id);
                    continue;
                }
                if watcher.pending.is_empty() {
                    dirty.push(*id);
                }
                watcher.take(event);
            }
        }
    }
    /// What `notify` has gathered: one notice a watcher.
    pub fn flush(&mut self, notices: &mut Vec<Notice>) {
        self.dirty.sort_unstable();
        for id in self.dirty.drain(..) {
            let Some(watcher) = self.watchers.get_mut(&id) else { continue };
            watcher.push(id, self.max_bytes, notices);
        }
    }
    /// Serves the lagging watchers from history, so many of them, and each so many revisions, at a time.
    pub fn catch_up(&mut self, store: &Store, notices: &mut Vec<Notice>) {
        let served = self.lagging.iter().filter(|(conn, _)| !self.blocked.contains(conn));
        let served: Vec<WatcherId> = served.take(WATCHERS_A_PASS).copied().collect();
        for id in served {
            let watcher = self.watchers.get_mut(&id).expect("a lagging watcher exists");
            if self.planted.has(Bug::WatchSkipsCompaction) {
                watcher.next = watcher.next.max(store.compacted().next());
            }
            if watcher.next <= store.compacted() {
                self.remove(id);
                let answer = Answer::WatchCanceled { compact_revision: store.compacted() };
                notices.push(Notice { to: id, answer, cause: Cause::NONE });
                continue;
            }
            let (mut last, mut revisions) = (Revision::ZERO, 0);
            let mut rest = None;
            let keys = watcher.watch.keys.clone();
            for event in store.events_since(watcher.next, &keys) {
                if !watcher.wants(&event) || (event.deleted && self.planted.has(Bug::DeletionNotWatched)) {
                    continue;
                }
                if event.kv.mod_revision > last {
                    (last, revisions) = (event.kv.mod_revision, revisions + 1);
                    if revisions > REVISIONS_A_PASS {
                        rest = Some(last);
                        break;
                    }
                }
                watcher.take(&event);
            }
            watcher.next = rest.unwrap_or(store.revision().next());
            watcher.push(id, self.max_bytes, notices);
            if rest.is_none() {
                self.lagging.remove(&id);
            }
        }
    }
    /// Periodic progress notifications: to those who asked for them and were told nothing since the last ones.
    pub fn progress(&mut self, notices: &mut Vec<Notice>) {
        for (&id, watcher) in &mut self.watchers {
            let told = std::mem::replace(&mut watcher.told, false);
            if watcher.watch.progress_notify && !told && !self.lagging.contains(&id) {
                notices.push(Notice { to: id, answer: Answer::WatchProgress, cause: Cause::NONE });
            }
        }
    }
}

fn event_bytes(event: &WatchEvent) -> usize {
    let pair = |kv: &KeyValue| kv.key.len() + kv.value.size() as usize + EVENT_OVERHEAD;
    pair(&event.kv) + event.previous.as_ref().map_or(0, pair)
}
