//! Configurations: who decides, and how one becomes another (thesis, chapter 4; etcd-io/raft `quorum` and `confchange`).
//!
//! A configuration decides by a majority of its voters; a joint one by a majority of both its halves, so that no decision of the old
//! configuration and none of the new one can be made without the other while it lasts. A single step needs no joint configuration, since
//! any majority before it and any after it have a member in common.

use crate::base::Index;
use crate::base::planted::{Bug, Planted};
use crate::wire::Member;
use crate::wire::raft::{Configuration, ConfigurationChange, MemberChange};

/// How a vote stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tally {
    Won,
    Lost,
    Pending,
}

/// Why a change cannot be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChangeError {
    /// A joint configuration must be left first.
    Joint,
    /// There is no joint configuration that could be left.
    NotJoint,
    /// Nobody would be left to vote.
    NoVoters,
    /// A single change that is made without a joint configuration concerns one voter.
    TooManySteps,
}

/// The halves of a configuration that decide: its voters, and those of the configuration that is being left.
fn halves(configuration: &Configuration) -> impl Iterator<Item = &[Member]> {
    [&configuration.voters, &configuration.outgoing].into_iter().map(Vec::as_slice).filter(|half| !half.is_empty())
}
fn majority(voters: usize, planted: Planted) -> usize {
    if planted.has(Bug::QuorumTooSmall) { (voters / 2).max(1) } else { voters / 2 + 1 }
}

/// Do those for whom `holds` is true make a quorum?
pub fn is_quorum(configuration: &Configuration, planted: Planted, holds: impl Fn(Member) -> bool) -> bool {
    tally(configuration, planted, |member| holds(member).then_some(true)) == Tally::Won
}
/// Counts votes; `None`: not cast yet.
pub fn tally(configuration: &Configuration, planted: Planted, vote: impl Fn(Member) -> Option<bool>) -> Tally {
    let mut result = Tally::Won;
    for half in halves(configuration) {
        let needed = majority(half.len(), planted);
        let granted = half.iter().filter(|member| vote(**member) == Some(true)).count();
        let open = half.iter().filter(|member| vote(**member).is_none()).count();
        if granted + open < needed {
            return Tally::Lost;
        }
        if granted < needed {
            result = Tally::Pending;
        }
    }
    if configuration.voters.is_empty() { Tally::Lost } else { result }
}
/// The highest index that a quorum has.
pub fn committed(configuration: &Configuration, planted: Planted, matched: impl Fn(Member) -> Index) -> Index {
    let mut committed = None;
    // 9 members in each half at the most (scenario limit); a larger group only costs an allocation.
    let mut indexes = [Index::ZERO; 16];
    for half in halves(configuration) {
        let mut many = Vec::new();
        let all = match indexes.get_mut(..half.len()) {
            Some(some) => some,
            None => {
                many.resize(half.len(), Index::ZERO);
                &mut many[..]
            }
        };
        for (slot, member) in all.iter_mut().zip(half) {
            *slot = matched(*member);
        }
        all.sort_unstable();
        let index = all[half.len() - majority(half.len(), planted)];
        committed = Some(committed.map_or(index, |other: Index| other.min(index)));
    }
    committed.unwrap_or(Index::ZERO)
}

/// What a configuration becomes by a change.
pub fn changed(configuration: &Configuration, change: &ConfigurationChange, planted: Planted) -> Result<Configuration, ChangeError> {
    let mut next = configuration.clone();
    if change.steps.is_empty() {
        if !configuration.is_joint() {
            return Err(ChangeError::NotJoint);
        }
        next.outgoing.clear();
        for member in std::mem::take(&mut next.learners_next) {
            insert(&mut next.learners, member);
        }
        note_removed(configuration, &mut next);
        return Ok(next);
    }
    if configuration.is_joint() {
        return Err(ChangeError::Joint);
    }
    let joint = change.steps.len() > 1 && !planted.has(Bug::JointSkipped);
    if joint {
        next.outgoing.clone_from(&configuration.voters);
    }
    for step in &change.steps {
        match *step {
            MemberChange::AddVoter(member) => {
                remove(&mut next.learners, member);
                remove(&mut next.learners_next, member);
                insert(&mut next.voters, member);
            }
            MemberChange::AddLearner(member) => {
                remove(&mut next.voters, member);
                // Who still votes in the other half cannot be a learner yet.
                let waits = next.outgoing.binary_search(&member).is_ok();
                insert(if waits { &mut next.learners_next } else { &mut next.learners }, member);
            }
            MemberChange::Remove(member) => {
                remove(&mut next.voters, member);
                remove(&mut next.learners, member);
                remove(&mut next.learners_next, member);
            }
        }
    }
    if next.voters.is_empty() {
        return Err(ChangeError::NoVoters);
    }
    if !joint && !planted.has(Bug::JointSkipped) {
        let differ = |a: &[Member], b: &[Member]| a.iter().filter(|member| b.binary_search(member).is_err()).count();
        if differ(&next.voters, &configuration.voters) + differ(&configuration.voters, &next.voters) > 1 {
            return Err(ChangeError::TooManySteps);
        }
    }
    note_removed(configuration, &mut next);
    Ok(next)
}

/// Who is no member any more is remembered: it is not listened to, and its number is not used again.
fn note_removed(before: &Configuration, next: &mut Configuration) {
    for member in before.members() {
        if !next.contains(member) && !next.learners_next.contains(&member) {
            insert(&mut next.removed, member);
        }
    }
    for member in next.members() {
        remove(&mut next.removed, member);
    }
}
fn insert(members: &mut Vec<Member>, member: Member) {
    if let Err(at) = members.binary_search(&member) {
        members.insert(at, member);
    }
}
fn remove(members: &mut Vec<Member>, member: Member) {
    if let Ok(at) = members.binary_search(&member) {
        members.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemberChange::{AddLearner, AddVoter, Remove};

    fn group(voters: &[u16]) -> Configuration {
        Configuration::of(voters.iter().map(|&n| Member(n)))
    }
    fn change(steps: &[MemberChange]) -> ConfigurationChange {
        ConfigurationChange { steps: steps.to_vec() }
    }
    fn after(configuration: &Configuration, steps: &[MemberChange]) -> Result<Configuration, ChangeError> {
        changed(configuration, &change(steps), Planted::default())
    }
    #[test]
    fn a_majority_decides() {
        for (voters, needed) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)] {
            let all: Vec<u16> = (1..=voters).collect();
            for granted in 0..=voters {
                let won = is_quorum(&group(&all), Planted::default(), |member| member.0 <= granted);
                assert_eq!(won, granted >= needed, "{granted} of {voters}");
            }
        }
        assert_eq!(tally(&group(&[1, 2, 3]), Planted::default(), |member| (member.0 < 3).then_some(member.0 == 1)), Tally::Pending);
        assert_eq!(tally(&group(&[1, 2, 3]), Planted::default(), |member| (member.0 < 3).then_some(false)), Tally::Lost);
        assert_eq!(tally(&Configuration::default(), Planted::default(), |_| Some(true)), Tally::Lost, "nobody decides nothing");
    }

    #[test]
    fn a_joint_configuration_needs_both_halves() {
        let joint = after(&group(&[1, 2, 3]), &[AddVoter(Member(4)), AddVoter(Member(5)), Remove(Member(1)), Remove(Member(2))]).unwrap();
        assert_eq!(
            (&joint.voters[..], &joint.outgoing[..]),
            (&[Member(3), Member(4), Member(5)][..], &[Member(1), Member(2), Member(3)][..])
        );
        assert!(!is_quorum(&joint, Planted::default(), |member| member.0 >= 3), "the new half alone");
        assert!(!is_quorum(&joint, Planted::default(), |member| member.0 < 3), "the old half alone");
        assert!(is_quorum(&joint, Planted::default(), |member| [2, 3, 4].contains(&member.0)));
        assert_eq!(committed(&joint, Planted::default(), |member| Index(u64::from(member.0) * 10)), Index(20), "the lower of 40 and 20");
        assert_eq!(after(&joint, &[AddVoter(Member(6))]), Err(ChangeError::Joint));
        let left = after(&joint, &[]).unwrap();
        assert_eq!((left.is_joint(), &left.removed[..]), (false, &[Member(1), Member(2)][..]));
        assert_eq!(after(&left, &[]), Err(ChangeError::NotJoint));
    }

    #[test]
    fn learners_have_no_vote_until_they_are_promoted() {
        let one = after(&group(&[1, 2, 3]), &[AddLearner(Member(4))]).unwrap();
        assert!(one.learns(Member(4)) && !one.votes(Member(4)) && one.voters.len() == 3);
        let two = after(&one, &[AddVoter(Member(4))]).unwrap();
        assert!(two.votes(Member(4)) && two.learners.is_empty());
        // A voter that is demoted in a joint change votes in the old half until that is left.
        let joint = after(&two, &[AddLearner(Member(1)), AddVoter(Member(5))]).unwrap();
        assert!(joint.votes(Member(1)) && joint.learners_next == [Member(1)] && joint.learners.is_empty());
        assert_eq!(after(&joint, &[]).unwrap().learners, [Member(1)]);
        assert_eq!(after(&group(&[1]), &[Remove(Member(1))]), Err(ChangeError::NoVoters));
    }

    /// Any two quorums of configurations that may follow one another share a member, at each step.
    #[test]
    fn quorums_of_neighbours_intersect() {
        let mut stream = crate::base::random::Seed(7).stream("changes");
        for _ in 0..3_000 {
            let size = 1 + stream.below(5) as u16;
            let mut at = group(&(1..=size).collect::<Vec<u16>>());
            let steps: Vec<MemberChange> = (0..1 + stream.below(4))
                .map(|_| {
                    let member = Member(1 + stream.below(8) as u16);
                    [AddVoter(member), AddLearner(member), Remove(member)][stream.index(3)]
                })
                .collect();
            for steps in [&steps[..], &[]] {
                let Ok(next) = after(&at, steps) else { break };
                for quorum in 0u32..1 << 9 {
                    let has = |member: Member| quorum >> member.0 & 1 == 1;
                    assert!(
                        !(is_quorum(&at, Planted::default(), has) && is_quorum(&next, Planted::default(), |member| !has(member))),
                        "{at:?} and {next:?} can decide apart"
                    );
                }
                at = next;
            }
        }
    }
}
