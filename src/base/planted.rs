//! Mistakes of the field, planted one at a time to see that a check finds them. Without the feature `planted-bugs` none can be planted:
//! every question is answered `false` when the program is built.

/// A mistake that can be planted in etcd, its Raft or its client. Each is asked for where the sound code stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// A vote and the term that it is for are not written, until an entry of that term is.
    VoteNotPersisted,
    /// An append is acknowledged before it is durable.
    AcknowledgedBeforeFsync,
    /// A leader commits an entry of an older term by counting its owners.
    OlderTermCommitted,
    /// A conflicting suffix is not removed from a follower's log.
    ConflictNotTruncated,
    /// One member fewer than a majority is a quorum.
    QuorumTooSmall,
    /// Votes go to candidates whose log is behind.
    StaleCandidateElected,
    /// A follower takes the leader's commit index for its own, whether or not its log matches.
    CommitBeyondMatch,
    /// A pre-vote raises the term of who is asked.
    PreVoteRaisesTerm,
    /// A read index is given without asking a quorum.
    ReadIndexWithoutQuorum,
    /// A member that stopped leading still answers the reads that it had begun to confirm.
    DeposedLeaderReads,
    /// Learners count as voters.
    LearnerCounted,
    /// A change of several members takes effect at once.
    JointSkipped,
    /// A snapshot carries no membership.
    SnapshotWithoutMembership,
    /// The database's applied index lags behind its contents at a crash, and entries are applied again.
    AppliedTwice,
    /// After a restart the store counts revisions from the newest one that a living key bears.
    RevisionReused,
    /// Reads are answered from what is applied here, without waiting for the read index.
    ReadBehindIndex,
    /// Comparisons are made when a transaction is proposed, not when it is applied.
    ComparedAtProposal,
    /// A write is sent again though it may have been done.
    WriteRetried,
    /// A watch that starts before the compaction silently goes on after it.
    WatchSkipsCompaction,
    /// A watch that moves to another member begins one revision late.
    WatchResumesLate,
    /// A watch that moves to another member sees its last revision again.
    WatchResumesEarly,
    /// A deletion tells no watcher.
    DeletionNotWatched,
    /// Leases expire by a follower's clock, too.
    FollowerExpiresLeases,
    /// A new leader takes the time that was left of a lease when it was granted.
    LeaseNotExtended,
    /// A keep-alive is answered, and forgotten.
    KeepAliveForgotten,
    /// Writes are accepted under a NOSPACE alarm.
    NoSpaceIgnored,
    /// A damaged record is read as if it were sound.
    ChecksumIgnored,
    /// A compaction removes the newest version of a key as well if it was written at that revision.
    CompactionTooFar,
}

/// The mistake of a run, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Planted {
    #[cfg(feature = "planted-bugs")]
    pub bug: Option<Bug>,
}

impl Planted {
    #[cfg(feature = "planted-bugs")]
    pub fn has(self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }
    #[cfg(not(feature = "planted-bugs"))]
    #[inline(always)]
    pub const fn has(self, _: Bug) -> bool {
        false
    }
}
