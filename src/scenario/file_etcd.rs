//! The part of the file that is about etcd itself: its clients, and what etcdctl does.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file_play::Places;
use super::units::{Bytes, Percent, Rate, Span};

/// A group of equal clients of etcd. They begin operations at a `rate`, at an `interval`, or as a `pipeline`.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdClients {
    /// How many clients. Default 1.
    #[serde(default = "one")]
    pub count: u64,
    /// Operations a second of each client, at random, whatever becomes of the earlier ones.
    #[serde(default)]
    pub rate: Option<Rate>,
    /// The span between two operations of a client, whatever becomes of the earlier ones.
    #[serde(default)]
    pub interval: Option<Span>,
    /// Operations that each client has under way at a time; each answer is followed by the next.
    #[serde(default)]
    pub pipeline: Option<u64>,
    /// With pipeline: the mean pause between an answer and the next operation, exponentially distributed. Default 0s.
    #[serde(default)]
    pub think_time: Option<Span>,
    /// How many keys there are: `/load/0000000` and on. Default 10.
    #[serde(default = "ten")]
    pub keys: u64,
    /// How often each operation comes, as weights. Default get 30, range 10, serializableGet 10, put 25, delete 5, txn 20.
    #[serde(default)]
    pub mix: Option<EtcdMix>,
    /// After this an operation is given up. Default 2s.
    #[serde(default)]
    pub timeout: Option<Span>,
    /// Bytes of each value. Default 32.
    #[serde(default)]
    pub value_size: Option<Bytes>,
    /// When they begin. Default 0s.
    #[serde(default)]
    pub start: Option<Span>,
    /// When they begin no more operations. Default the end of the run.
    #[serde(default)]
    pub until: Option<Span>,
    /// Each client holds a lease of this length, keeps it alive each third of it, and puts a key under it. Default: none does.
    #[serde(default)]
    pub leases: Option<Span>,
    /// Each client watches all keys. Default false.
    #[serde(default)]
    pub watch: bool,
    /// Whether the record keeps what each client did and saw; without it operations are counted only. Default true.
    #[serde(default = "yes")]
    pub record: bool,
    /// Which members a client knows: all that are there at the start, in turn, or one of them. Default all.
    #[serde(default)]
    pub endpoints: EtcdEndpoints,
    /// The machines on which they run, in turn. Default: a machine of its own, `client`.
    #[serde(default)]
    pub from: Option<Places>,
}

fn one() -> u64 {
    1
}
fn ten() -> u64 {
    10
}
fn yes() -> bool {
    true
}

/// Weights of operations; what is not named does not come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EtcdMix {
    /// Reads of a key.
    pub get: u32,
    /// Reads of up to four neighbouring keys at once.
    pub range: u32,
    /// Reads of a key from what a member has, which may be stale.
    pub serializable_get: u32,
    /// Writes of a key.
    pub put: u32,
    /// Deletions of a key.
    pub delete: u32,
    /// Transactions: compare and set, and reads and writes of two keys at once.
    pub txn: u32,
}

/// Which members a client knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EtcdEndpoints {
    /// All, in turn.
    #[default]
    All,
    /// The first client the first member, the second one the second, and so on.
    One,
}

/// A member that joins.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdMemberAdd {
    /// The member: one of `controlPlane.etcdSpares`, or one that was removed.
    pub member: String,
    /// It learns first, and has no vote until it is promoted. Default false.
    #[serde(default)]
    pub learner: bool,
}

/// A member in another's place, in one change (joint consensus).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdMemberReplace {
    /// The member that leaves.
    pub leaves: String,
    /// The member that takes its place.
    pub joins: String,
}

/// A compaction of the store's history.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct EtcdCompact {
    /// How many of the newest revisions stay. Default 0: the current state only.
    pub keep: u64,
    /// Again and again at this interval to the end of the run. Default: once.
    pub every: Option<Span>,
}

/// A cluster that begins anew with the snapshot that was saved last.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdSnapshotRestore {
    /// Its members; what they had is gone.
    pub members: Vec<String>,
    /// Its revisions begin so much later, and all before count as compacted, so that watchers that knew newer ones begin anew. Default 0.
    #[serde(default)]
    pub bump_revision: u64,
}

/// Whether etcd has a leader.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdLeader {
    /// Whether there is one. Default true.
    #[serde(default = "yes")]
    pub present: bool,
}

/// The members of etcd.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EtcdMembers {
    /// Those with a vote.
    pub voters: Vec<String>,
    /// Those without one. Default none.
    #[serde(default)]
    pub learners: Vec<String>,
}

/// A bound on operations of etcd's clients that failed.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientOperations {
    /// The largest share that failed or whose outcome is unknown.
    #[serde(default)]
    pub at_most_failed: Option<Percent>,
    /// The fewest that were answered.
    #[serde(default)]
    pub at_least_ok: Option<u64>,
}

/// A bound on the time without an acknowledged write.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LongestWriteGap {
    /// The longest time between two successive acknowledged writes.
    #[serde(default)]
    pub at_most: Option<Span>,
    /// It was at least so long at some time: the fault was felt.
    #[serde(default)]
    pub at_least: Option<Span>,
}
