//! The scenario file's types for what goes wrong beneath etcd: its links and its logs.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::Distribution;
use super::file_play::Places;
use super::units::Probability;

/// A partition that comes and goes. It begins with being there.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Flap {
    /// How long nothing passes, each time.
    pub down: Distribution,
    /// How long all passes in between.
    pub up: Distribution,
}

/// Two sets of machines with an unreliable link between them, both ways. It is only so to what etcd's members send each other, which is not
/// promised to arrive, nor in order (etcd `server/etcdserver/api/rafthttp`: two streams and a pipeline a peer, dropped when full); all else
/// travels on streams, which show loss as delay (`slowLink`). Shares are of messages. A "wonky" rack lost 50 % (Dean, 2008).
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UnreliableLink {
    /// One side.
    pub from: Places,
    /// The other side. Default: all other machines.
    #[serde(default)]
    pub to: Option<Places>,
    /// The share that is lost. Default 0%.
    #[serde(default)]
    pub drop: Option<Probability>,
    /// The share that comes twice. Default 0%. Not what a follower passes on to the leader for a client: that would be two writes.
    #[serde(default)]
    pub duplicate: Option<Probability>,
    /// The share that is held up, so that later ones overtake it. Default 0%.
    #[serde(default)]
    pub reorder: Option<Probability>,
    /// How much later a second copy comes, and what is held up. Default exponential with a mean of 20 ms.
    #[serde(default)]
    pub delay: Option<Distribution>,
}

/// Logs of etcd members in which bits flip.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DiskCorrupt {
    /// The machines.
    pub on: Places,
    /// Which record is hit, of those with writes of clients if there are any. Default random.
    #[serde(default)]
    pub record: WhichRecord,
}

/// A record of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum WhichRecord {
    /// Chosen by the seed.
    #[default]
    Random,
    /// The first that is there.
    Oldest,
    /// The last that is durable.
    Newest,
}
