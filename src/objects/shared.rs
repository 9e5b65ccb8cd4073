//! Immutable parts that many objects share.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::stable_hash;

/// Reasons, messages and condition types: mostly constants, now and then composed.
pub type Text = Cow<'static, str>;

/// What an object contains beyond the modelled fields: canonical JSON, keys sorted.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rest(pub serde_json::Map<String, serde_json::Value>);

impl Rest {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// An immutable value shared by many objects (a pod template's spec, its labels), with its hash made once. Cloning is an `Arc` clone;
/// comparing and hashing cost one word unless contents differ.
pub struct Shared<T>(Arc<(u64, T)>);

impl<T: Hash> Shared<T> {
    pub fn new(value: T) -> Shared<T> {
        let hash = stable_hash(&value);
        Shared(Arc::new((hash, value)))
    }
    /// Changes the content: a new shared value if others hold the old one.
    pub fn update(&mut self, change: impl FnOnce(&mut T))
    where
        T: Clone,
    {
        let mut value = self.0.1.clone();
        change(&mut value);
        *self = Shared::new(value);
    }
    pub fn ptr_eq(&self, other: &Shared<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
impl<T> Clone for Shared<T> {
    fn clone(&self) -> Shared<T> {
        Shared(self.0.clone())
    }
}
impl<T> Deref for Shared<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0.1
    }
}
impl<T: Hash + Default> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared::new(T::default())
    }
}
impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Shared<T>) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.0 == other.0.0 && self.0.1 == other.0.1)
    }
}
impl<T: Eq> Eq for Shared<T> {}
impl<T> Hash for Shared<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.0);
    }
}
impl<T: std::fmt::Debug> std::fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.1.fmt(f)
    }
}
impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.1.serialize(serializer)
    }
}
impl<'de, T: Deserialize<'de> + Hash> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Shared<T>, D::Error> {
        T::deserialize(deserializer).map(Shared::new)
    }
}
