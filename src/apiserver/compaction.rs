//! Compaction of etcd's history: every interval to the revision of one interval ago, by whichever server is first (upstream
//! `storage/etcd3/compact.go`). The servers agree through the version of one key: who raises it compacts, the others take it over.

use super::ApiServer;
use super::server::{Timer, Token};
use crate::base::{Cause, Revision, Time};
use crate::wire::Outbox;
use crate::wire::etcd::{
    Answer, Compare, CompareResult, CompareTarget, EtcdError, LeaseId, Op, OpAnswer, Operation, Range, Response, Txn, Value,
};

const KEY: &str = "compact_rev_key";

/// What a server knows of the turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Compaction {
    /// The key's version as last seen.
    turn: u64,
    /// Etcd's revision then: what the next turn compacts to.
    revision: Revision,
}

impl Compaction {
    /// Claims the turn.
    fn claim(self) -> Txn {
        let compare = Compare::one(KEY.into(), CompareTarget::Version(self.turn), CompareResult::Equal);
        let value = Value::bytes(self.revision.to_string().as_bytes());
        let put = Op::put(KEY.into(), value, LeaseId::default());
        Txn { compares: vec![compare], then: smallvec::smallvec![put], otherwise: vec![Op::Range(Range::one(KEY.into()).into())] }
    }
    /// The claim's answer at `revision`; returns what to compact to, if it is this server's turn and anything is old enough.
    fn claimed(&mut self, revision: Revision, succeeded: bool, answers: &[OpAnswer]) -> Option<Revision> {
        let old = std::mem::replace(&mut self.revision, revision);
        if succeeded {
            self.turn += 1;
            return (old > Revision::ZERO).then_some(old);
        }
        if let Some(OpAnswer::Range(range)) = answers.first() {
            self.turn = range.kvs.first().map_or(0, |kv| kv.version);
        }
        None
    }
}

impl ApiServer {
    pub(super) fn compaction_turn(&mut self, now: Time, out: &mut Outbox) {
        let interval = self.config.compaction_interval;
        self.etcd.send(now, Operation::Txn(self.compaction.claim().into()), now + interval, Token::CompactionTurn, out);
        self.arm(now + interval, Timer::Compaction);
    }
    pub(super) fn compaction_answered(&mut self, now: Time, result: Result<Response, EtcdError>, out: &mut Outbox) {
        // Whatever failed: the next turn comes.
        let Ok(Response { revision, result: Ok(Answer::Txn { succeeded, answers }), .. }) = result else { return };
        if let Some(revision) = self.compaction.claimed(revision, succeeded, &answers) {
            out.because(Cause::NONE);
            self.etcd.send(now, Operation::Compact { revision }, now + self.config.request_timeout, Token::Compact, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::etcd::{KeyValue, RangeAnswer};

    #[test]
    fn of_two_servers_one_compacts_to_the_revision_of_the_turn_before() {
        let (mut first, mut second) = (Compaction::default(), Compaction::default());
        let kv = |version| KeyValue {
            key: KEY.into(),
            value: Value::bytes(b""),
            create_revision: Revision(1),
            mod_revision: Revision(1),
            version,
            lease: LeaseId(0),
            cause: Cause::NONE,
        };
        let taken = |version| vec![OpAnswer::Range(RangeAnswer { kvs: vec![kv(version)], count: 1, more: false })];
        assert_eq!(first.claimed(Revision(100), true, &[]), None, "nothing is known to be old yet");
        assert_eq!(second.claimed(Revision(101), false, &taken(1)), None);
        assert_eq!(first, Compaction { turn: 1, revision: Revision(100) });
        assert_eq!(first.claimed(Revision(900), true, &[]), Some(Revision(100)));
        assert_eq!(second.claimed(Revision(901), false, &taken(2)), None);
        assert_eq!(second.claim().compares[0].target, CompareTarget::Version(2));
        assert_eq!(second.claimed(Revision(1500), true, &[]), Some(Revision(901)), "the first is gone: the second goes on");
    }
}
