//! The Kubernetes API: requests, responses, watch events, errors (docs reference/using-api/api-concepts).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Duration, Name, Revision};
use crate::objects::{Key, Kind, LabelSelector, Object, Stored, Uid};

/// A client's request on its connection; every response to it carries its id. A watch is answered many times.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiRequest {
    pub id: u64,
    pub verb: Verb,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Verb {
    /// `fresh`: the most recent (a consistent read); else any cached version will do (resourceVersion=0).
    Get {
        key: Key,
        fresh: bool,
    },
    List {
        kind: Kind,
        scope: Scope,
        fresh: bool,
    },
    /// Events after `from`; 0: synthetic `Added` events first. The server ends the stream after `timeout`.
    Watch {
        kind: Kind,
        scope: Scope,
        from: Revision,
        timeout: Duration,
    },
    /// Ends the watch that this request id began.
    CancelWatch {
        watch: u64,
    },
    /// With an empty name and a `generateName` the server makes the name.
    Create {
        #[serde(with = "super::codec::object")]
        object: Arc<Object>,
    },
    /// The whole object, or one part of it. `revision`: 409 unless the object is still at it; `None`: unconditional.
    Update {
        #[serde(with = "super::codec::object")]
        object: Arc<Object>,
        part: Part,
        revision: Option<Revision>,
    },
    Patch {
        key: Key,
        patch: Patch,
        part: Part,
    },
    Delete {
        key: Key,
        options: DeleteOptions,
    },
    /// `pods/X/binding`: 409 if it is already bound.
    Bind {
        pod: Key,
        uid: Uid,
        node: Name,
    },
    /// `pods/X/eviction`: a delete that respects disruption budgets.
    Evict {
        pod: Key,
        options: DeleteOptions,
    },
}

/// Which part of an object a write is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Part {
    /// All but status.
    Main,
    /// `/status`: all but the status is ignored.
    Status,
}

/// Which objects of a kind a list or watch is about; all that is given must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scope {
    pub namespace: Option<Name>,
    /// Field selector `metadata.name`.
    pub name: Option<Name>,
    /// Field selector `spec.nodeName`; pods only. Watchers are indexed by it.
    pub node: Option<Name>,
    #[serde(with = "super::codec::as_json")]
    pub labels: Option<LabelSelector>,
}

impl Scope {
    pub fn all() -> Scope {
        Scope::default()
    }
    pub fn namespace(namespace: &Name) -> Scope {
        Scope { namespace: Some(namespace.clone()), ..Scope::default() }
    }
    pub fn on_node(node: &Name) -> Scope {
        Scope { node: Some(node.clone()), ..Scope::default() }
    }
    pub fn matches(&self, object: &Object) -> bool {
        let meta = object.meta();
        self.namespace.as_ref().is_none_or(|namespace| *namespace == meta.namespace)
            && self.name.as_ref().is_none_or(|name| *name == meta.name)
            && self.node.as_ref().is_none_or(|node| object.as_pod().is_some_and(|pod| pod.node.as_ref() == Some(node)))
            && self.labels.as_ref().is_none_or(|labels| labels.matches(&meta.labels))
    }
}

/// A change to an object that does not depend on its revision.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Patch {
    /// RFC 7386.
    Merge(#[serde(with = "super::codec::as_json")] serde_json::Value),
    /// Kubernetes' strategic merge: lists of a known key are merged by it.
    Strategic(#[serde(with = "super::codec::as_json")] serde_json::Value),
    /// RFC 6902.
    Json(#[serde(with = "super::codec::as_json")] serde_json::Value),
    /// The typed form of the strategic patch that kubelets and controllers send: the status of this object, with conditions merged by
    /// type and everything else replaced. `uid` is a precondition.
    Status {
        #[serde(with = "super::codec::object")]
        object: Arc<Object>,
        uid: Uid,
    },
    /// The typed form of a patch that sets one condition (`DisruptionTarget`, `PodScheduled`) and, for a pod, the nominated node.
    Condition {
        // Its empty fields are left out where it is written: only a self-describing format can read that.
        #[serde(with = "super::codec::as_json")]
        condition: crate::objects::Condition,
        nominated_node: Option<Name>,
    },
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DeleteOptions {
    /// `None`: the object's own. 0: at once.
    pub grace_period_seconds: Option<u64>,
    /// Preconditions: 409 unless equal.
    pub uid: Option<Uid>,
    pub revision: Option<Revision>,
    pub propagation: Propagation,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum Propagation {
    #[default]
    Background,
    Foreground,
    Orphan,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ApiResponse {
    /// The request's.
    pub id: u64,
    pub body: Body,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Body {
    /// The object after the request.
    Object(#[serde(with = "super::codec::stored")] Stored),
    /// It is gone (a delete that removed it).
    Done,
    List {
        revision: Revision,
        #[serde(with = "super::codec::stored_list")]
        items: Vec<Stored>,
    },
    Watch(WatchEvent),
    Error(ApiError),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WatchEvent {
    Added(#[serde(with = "super::codec::stored")] Stored),
    Modified(#[serde(with = "super::codec::stored")] Stored),
    /// The last state; `revision` is the deleting one, `cause` why it was deleted.
    Deleted(#[serde(with = "super::codec::stored")] Stored),
    /// All up to here has been sent.
    Bookmark(Revision),
    /// The stream ends: `Gone` (relist), or its time is over (watch again).
    End(Option<ApiError>),
}

/// A `Status` object with `status: Failure`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ApiError {
    pub reason: Reason,
    pub message: String,
    /// 429 and 503: when to come again.
    pub retry_after: Option<Duration>,
}

/// `metav1.StatusReason`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Reason {
    BadRequest,
    Forbidden,
    /// 403 with cause NamespaceTerminating.
    NamespaceTerminating,
    NotFound,
    AlreadyExists,
    Conflict,
    /// 410
    Expired,
    /// 422
    Invalid,
    TooManyRequests,
    InternalError,
    ServiceUnavailable,
    /// 504: the outcome is unknown.
    Timeout,
    /// The connection failed before an answer: not an API status. For a write the outcome is unknown.
    ConnectionLost,
}

impl Reason {
    /// The HTTP status code; 0 where there was no answer.
    pub const fn code(self) -> u16 {
        match self {
            Reason::BadRequest => 400,
            Reason::Forbidden | Reason::NamespaceTerminating => 403,
            Reason::NotFound => 404,
            Reason::AlreadyExists | Reason::Conflict => 409,
            Reason::Expired => 410,
            Reason::Invalid => 422,
            Reason::TooManyRequests => 429,
            Reason::InternalError => 500,
            Reason::ServiceUnavailable => 503,
            Reason::Timeout => 504,
            Reason::ConnectionLost => 0,
        }
    }
    /// May the request have taken effect all the same?
    pub const fn outcome_unknown(self) -> bool {
        matches!(self, Reason::Timeout | Reason::ConnectionLost | Reason::InternalError)
    }
}

impl ApiError {
    pub fn new(reason: Reason, message: impl Into<String>) -> ApiError {
        ApiError { reason, message: message.into(), retry_after: None }
    }
    /// `deployments.apps "web" not found`
    pub fn not_found(key: &Key) -> ApiError {
        ApiError::new(Reason::NotFound, format!("{} \"{}\" not found", key.kind().qualified_resource(), key.name()))
    }
}
impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for ApiError {}
