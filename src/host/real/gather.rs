//! One record of what many processes told: facts in the order of time, numbered anew.
//!
//! Every member of etcd tells of every revision that it applies: of those the first to have applied it is believed, as the simulator's
//! observer does. What a fact names as its cause keeps its place; causes that are revisions are resolved to the fact that stands for them.

use std::collections::BTreeMap;

use crate::base::{Cause, FactId, Map, Revision};
use crate::engine::record::Entry;
use crate::wire::fact::Subject;

/// Which telling of a revision a fact is: the same in every member.
fn telling(entry: &Entry) -> Option<(Revision, Subject, &'static str, String)> {
    let revision = entry.fact.what.revision()?;
    Some((revision, entry.fact.subject.clone(), entry.fact.what.kind(), entry.fact.what.to_string()))
}

/// All facts as of one record.
pub fn gather(mut told: Vec<Entry>) -> Vec<Entry> {
    told.sort_by_key(|entry| (entry.at, entry.id));
    let mut first: BTreeMap<_, FactId> = BTreeMap::new();
    let mut renamed: Map<FactId, FactId> = Map::default();
    let mut stands_for: Map<Revision, FactId> = Map::default();
    let mut kept: Vec<Entry> = Vec::new();
    for entry in told {
        let next = FactId(kept.len() as u64 + 1);
        if let Some(telling) = telling(&entry) {
            stands_for.entry(telling.0).or_insert(next);
            if let Some(known) = first.get(&telling) {
                renamed.insert(entry.id, *known);
                continue;
            }
            first.insert(telling, next);
        }
        renamed.insert(entry.id, next);
        kept.push(Entry { id: next, ..entry });
    }
    for entry in &mut kept {
        let resolved = entry.cause.and_then(|cause| match Cause::from_unresolved(cause).as_revision() {
            Some(revision) => stands_for.get(&revision).copied(),
            None => renamed.get(&cause).copied(),
        });
        // Clocks of processes agree, but an answer may be noted before the telling of what it answers: a record's causes come first.
        entry.cause = resolved.filter(|cause| *cause < entry.id);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::objects::{Key, Kind};
    use crate::wire::fact::{Fact, What};
    use crate::wire::{Address, NodeId};

    #[test]
    fn of_what_all_members_tell_the_first_telling_is_kept_and_causes_follow() {
        let pod = Subject::Object(Key::new(Kind::Pod, "default", "web-1"));
        let entry = |millis, id, cause, subject: &Subject, what| Entry {
            id: FactId(id),
            at: Time::from_millis(millis),
            cause,
            fact: Fact { subject: subject.clone(), what },
        };
        let bound = || What::PodBound { revision: Revision(7), node: "worker-1".into() };
        let kubelet = Subject::Actor(Address::Kubelet(NodeId(0)));
        let started = || What::ContainerStarted { container: "web".into(), attempt: 0 };
        let revision = Cause::revision(Revision(7)).to_unresolved();
        let facts = gather(vec![
            entry(12, 200, None, &pod, bound()),
            entry(10, 100, None, &pod, bound()),
            entry(30, 300, revision, &kubelet, started()),
            entry(40, 201, Some(FactId(200)), &kubelet, started()),
        ]);
        let seen: Vec<_> = facts.iter().map(|entry| (entry.id.0, entry.at, entry.cause.map(|id| id.0))).collect();
        let at = Time::from_millis;
        assert_eq!(seen, [(1, at(10), None), (2, at(30), Some(1)), (3, at(40), Some(1))]);
    }
}
