//! Expectations: what a controller has asked for and its cache does not show yet (k/k
//! `pkg/controller/controller_utils.go`).
//!
//! While they are unmet a controller must not decide anew, or it would create or delete twice. Events of the cache lower them, as do
//! failed requests; after five minutes they no longer count.

use std::collections::BTreeSet;

use crate::base::{Duration, Map, Time};
use crate::objects::Key;

/// k/k `pkg/controller/controller_utils.go`, `ExpectationsTimeout`.
const EXPECTATIONS_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// Expectations by owner.
#[derive(Default)]
pub struct Expectations {
    owners: Map<Key, Expected>,
}

struct Expected {
    creations: usize,
    deletions: BTreeSet<Key>,
    since: Time,
}

impl Expectations {
    pub fn expect_creations(&mut self, owner: &Key, count: usize, now: Time) {
        self.owners.insert(owner.clone(), Expected { creations: count, deletions: BTreeSet::new(), since: now });
    }
    pub fn expect_deletions(&mut self, owner: &Key, pods: impl IntoIterator<Item = Key>, now: Time) {
        self.owners.insert(owner.clone(), Expected { creations: 0, deletions: pods.into_iter().collect(), since: now });
    }
    /// A creation was seen, or `count` of them will not come.
    pub fn lower_creations(&mut self, owner: &Key, count: usize) {
        if let Some(expected) = self.owners.get_mut(owner) {
            expected.creations = expected.creations.saturating_sub(count);
        }
    }
    /// A pod was marked for deletion or is gone, or its deletion failed.
    pub fn lower_deletions(&mut self, owner: &Key, pod: &Key) {
        if let Some(expected) = self.owners.get_mut(owner) {
            expected.deletions.remove(pod);
        }
    }
    pub fn forget(&mut self, owner: &Key) {
        self.owners.remove(owner);
    }
    /// Whether the owner may decide: nothing is expected, or for too long.
    pub fn satisfied(&self, owner: &Key, now: Time) -> bool {
        self.owners.get(owner).is_none_or(|expected| {
            (expected.creations == 0 && expected.deletions.is_empty()) || now.since(expected.since) > EXPECTATIONS_TIMEOUT
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_waits_until_all_is_seen_or_five_minutes_have_passed() {
        let owner = Key::new(crate::objects::Kind::ReplicaSet, "default", "web");
        let pod = |name| Key::pod("default", name);
        let start = Time::from_secs(10);
        let mut expectations = Expectations::default();
        assert!(expectations.satisfied(&owner, start));
        expectations.expect_creations(&owner, 2, start);
        expectations.lower_creations(&owner, 1);
        assert!(!expectations.satisfied(&owner, start));
        expectations.lower_creations(&owner, 1);
        assert!(expectations.satisfied(&owner, start));
        expectations.expect_deletions(&owner, [pod("a"), pod("b")], start);
        expectations.lower_deletions(&owner, &pod("a"));
        // A deletion that was seen twice counts once.
        expectations.lower_deletions(&owner, &pod("a"));
        assert!(!expectations.satisfied(&owner, start + Duration::from_secs(300)));
        assert!(expectations.satisfied(&owner, start + Duration::from_millis(300_001)));
    }
}
