//! Reading the log back: every record's checksum is looked at (etcd `server/storage/wal/decoder.go`).
//!
//! A last record that is torn was never acknowledged, since a member acknowledges only what is synced: it is cut off (`wal/repair.go`). Any
//! other record that does not match its checksum may have been, and what it said is not known: etcd gives up at every start ("walpb: crc
//! mismatch", `storage/storage.go`), and so does this member, until it is removed from the group and a fresh one takes its place.

use crate::base::Name;
use crate::base::planted::{Bug, Planted};
use crate::wire::actor::Boot;
use crate::wire::fact::Subject;
use crate::wire::{Address, Fact, Member, Outbox, What};

/// Leaves of the log what can be trusted. False: that is too little to start with, and the process ends.
pub fn checked(boot: &mut Boot, planted: Planted, me: Member, out: &mut Outbox) -> bool {
    if planted.has(Bug::ChecksumIgnored) {
        return true;
    }
    for damaged in std::mem::take(&mut boot.damaged) {
        if damaged.torn && damaged.at + 1 == boot.disk.len() {
            boot.disk.pop();
            out.disk_repair();
        } else {
            let reason = format!("record {} of {} in its log does not match its checksum", damaged.at + 1, boot.disk.len());
            let subject = Subject::Actor(Address::Etcd(me));
            out.record(Fact { subject, what: What::RefusedToStart { reason: Name::from(reason) } });
            out.exit();
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Index, Term};
    use crate::wire::actor::{Damaged, DiskOp, DiskRecord, Effect};
    use crate::wire::raft::HardState;

    fn boot(damaged: &[Damaged]) -> Boot {
        let state = |term| DiskRecord::HardState(HardState { term: Term(term), vote: None, commit: Index(0) });
        Boot { disk: vec![state(1), state(2), state(3)], damaged: damaged.to_vec(), ..Boot::default() }
    }

    #[test]
    fn a_torn_tail_is_cut_off_and_nothing_else() {
        let mut out = Outbox::new();
        let mut boot = boot(&[Damaged { at: 2, torn: true }]);
        assert!(checked(&mut boot, Planted::default(), Member(1), &mut out));
        assert_eq!(boot.disk.len(), 2);
        assert!(matches!(out.effects().collect::<Vec<_>>()[..], [Effect::Disk(DiskOp::Repair)]));
    }

    #[test]
    fn any_other_damage_ends_the_process() {
        for damaged in [
            &[Damaged { at: 2, torn: false }][..],
            &[Damaged { at: 0, torn: false }],
            &[Damaged { at: 1, torn: true }],
            &[Damaged { at: 0, torn: false }, Damaged { at: 2, torn: true }],
        ] {
            let mut out = Outbox::new();
            assert!(!checked(&mut boot(damaged), Planted::default(), Member(1), &mut out));
            let effects: Vec<_> = out.effects().collect();
            let [Effect::Record(_, fact), Effect::Exit] = effects[..] else { panic!("{effects:?}") };
            let words = format!("refused to start: record {} of 3 in its log does not match its checksum", damaged[0].at + 1);
            assert_eq!(fact.what.to_string(), words);
        }
    }

    #[test]
    #[cfg(feature = "planted-bugs")]
    fn who_ignores_checksums_reads_what_is_there() {
        let mut out = Outbox::new();
        let mut boot = boot(&[Damaged { at: 0, torn: false }, Damaged { at: 2, torn: true }]);
        assert!(checked(&mut boot, Planted { bug: Some(Bug::ChecksumIgnored) }, Member(1), &mut out));
        assert_eq!((boot.disk.len(), out.is_empty()), (3, true));
    }
}
