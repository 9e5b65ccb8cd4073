//! Newtypes for numbers that must not be mixed up.

use serde::{Deserialize, Serialize};

/// Declares an id type over an integer, with `get()`, `Display` and `Debug` as the bare number.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);
        impl $name {
            pub const fn get(self) -> $inner { self.0 }
        }
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{}", self.0) }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { write!(f, "{}", self.0) }
        }
    };
}

id! {
    /// A revision of the etcd store; as `resourceVersion` it is what clients of the API see. 0 means "none" or "unset".
    Revision(u64)
}
id! {
    /// A Raft term. 0 before the first election.
    Term(u64)
}
id! {
    /// An index in the Raft log. The first entry has index 1.
    Index(u64)
}
id! {
    /// How many times an actor has been started: its first life is 1.
    Incarnation(u32)
}
id! {
    /// The number of a fact in the record: (process, number) packed; process 0 is the simulator.
    FactId(u64)
}

impl Revision {
    pub const ZERO: Revision = Revision(0);
    pub fn next(self) -> Revision {
        Revision(self.0 + 1)
    }
}
impl Term {
    pub fn next(self) -> Term {
        Term(self.0 + 1)
    }
}
impl Index {
    pub const ZERO: Index = Index(0);
    pub fn next(self) -> Index {
        Index(self.0 + 1)
    }
    pub fn previous(self) -> Index {
        Index(self.0.saturating_sub(1))
    }
}
impl Incarnation {
    pub fn next(self) -> Incarnation {
        Incarnation(self.0 + 1)
    }
}

/// Why something happens: a fact of the record, or a revision of the store whose fact the record will know. Eight bytes in every
/// queue entry, carried through state.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cause(u64);

impl Cause {
    /// Nothing led to it: the start of the run, or a period's tick.
    pub const NONE: Cause = Cause(0);
    const REVISION: u64 = 1 << 63;

    pub fn fact(id: FactId) -> Cause {
        debug_assert!(id.0 != 0 && id.0 & Self::REVISION == 0);
        Cause(id.0)
    }
    /// The write that made `revision`. Actors know revisions, not the facts that the observer makes of them.
    pub fn revision(revision: Revision) -> Cause {
        if revision == Revision::ZERO { Cause::NONE } else { Cause(revision.0 | Self::REVISION) }
    }
    pub fn as_fact(self) -> Option<FactId> {
        (self.0 != 0 && self.0 & Self::REVISION == 0).then_some(FactId(self.0))
    }
    pub fn as_revision(self) -> Option<Revision> {
        (self.0 & Self::REVISION != 0).then_some(Revision(self.0 & !Self::REVISION))
    }
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
    /// A cause in the place of a fact's id, where only a later reader can tell which fact a revision's is.
    pub fn to_unresolved(self) -> Option<FactId> {
        (!self.is_none()).then_some(FactId(self.0))
    }
    /// The other way.
    pub fn from_unresolved(id: FactId) -> Cause {
        Cause(id.0)
    }
    /// `self`, or `other` if there is none.
    pub fn or(self, other: Cause) -> Cause {
        if self.is_none() { other } else { self }
    }
}
impl std::fmt::Debug for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.as_fact(), self.as_revision()) {
            (Some(id), _) => write!(f, "#{id}"),
            (_, Some(revision)) => write!(f, "r{revision}"),
            _ => f.write_str("-"),
        }
    }
}
