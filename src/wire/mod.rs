//! Floor 2: what crosses the seams: addresses, the [`Actor`] contract, effects, and the messages of the protocols (Raft, the etcd
//! client protocol, the Kubernetes API, the container runtime, plain requests to a service).
//!
//! An actor owns its state, gets `(now, input)`, and puts effects into an [`Outbox`]. It never reads a clock, a socket, a file, a thread
//! or a global random source. It may use this room, `objects` and `base` (and, on floor 4, `client`), nothing else.

pub mod actor;
pub mod address;
pub mod api;
pub mod codec;
pub mod container;
pub mod etcd;
pub mod fact;
pub mod history;
pub mod raft;

pub use actor::{
    Actor, Boot, CloseReason, Conn, DiskOp, DiskRecord, Effect, EndpointChange, Input, KeepAlive, NetOp, Outbox, Provision, SyncId, Work,
    WorkId,
};
pub use address::{Address, MachineId, Member, NodeId, Replica, Server};
pub use api::{ApiError, ApiRequest, ApiResponse};
pub use fact::{Fact, What};

use serde::{Deserialize, Serialize};

/// A message on a connection. Large payloads are boxed or shared.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Message {
    Raft(Box<raft::Message>),
    /// Between members, beside Raft.
    EtcdPeer(Box<etcd::PeerLease>),
    EtcdRequest(Box<etcd::Request>),
    EtcdResponse(Box<etcd::Response>),
    ApiRequest(Box<ApiRequest>),
    ApiResponse(Box<ApiResponse>),
    /// A client's request to a service's pod.
    HttpRequest,
    /// The pod's answer.
    HttpResponse,
}

/// What an etcd member can receive.
#[derive(Clone, Debug)]
pub enum EtcdMessage {
    Raft(Box<raft::Message>),
    Peer(Box<etcd::PeerLease>),
    Client(Box<etcd::Request>),
}

/// What an API server can receive.
#[derive(Clone, Debug)]
pub enum ServerMessage {
    Client(Box<ApiRequest>),
    Etcd(Box<etcd::Response>),
}

/// What a client of the API can receive.
pub type ClientMessage = Box<ApiResponse>;

/// What a traffic client can receive: the answer to its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HttpResponse;
