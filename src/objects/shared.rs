//! Immutable parts that many objects share.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::stable_hash;

/// Reasons, messages and condition types: mostly constants, now and then composed.
pub type Text = Cow<'static, str>;

/// What an object contains beyond the modelled fields: canonical JSON, keys sorted. Mostly nothing, which takes one word; shared by the
/// versions of an object.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct Rest(Option<Arc<serde_json::Map<String, serde_json::Value>>>);

impl Rest {
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
    pub fn get(&self, key: &str) -> Option<&serde_json::Value> {
        self.0.as_ref()?.get(key)
    }
    pub fn keys(&self) -> impl Iterator<Item = &String> {
        self.0.iter().flat_map(|fields| fields.keys())
    }
    pub fn insert(&mut self, key: &str, value: serde_json::Value) {
        Arc::make_mut(self.0.get_or_insert_default()).insert(key.to_owned(), value);
    }
    /// Inserts what is not there yet.
    pub fn default_to(&mut self, key: &str, value: impl FnOnce() -> serde_json::Value) {
        if self.get(key).is_none() {
            self.insert(key, value());
        }
    }
}
impl From<serde_json::Map<String, serde_json::Value>> for Rest {
    fn from(fields: serde_json::Map<String, serde_json::Value>) -> Rest {
        Rest((!fields.is_empty()).then(|| Arc::new(fields)))
    }
}
impl Serialize for Rest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Some(fields) => fields.serialize(serializer),
            None => serializer.collect_map::<String, (), _>(std::iter::empty()),
        }
    }
}
impl<'de> Deserialize<'de> for Rest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Rest, D::Error> {
        serde_json::Map::deserialize(deserializer).map(Rest::from)
    }
}

/// A list that the versions of an object, or many objects, share until one of them changes it: conditions, owners. Empty: one word.
#[derive(Clone)]
pub struct List<T>(Option<Arc<Vec<T>>>);

impl<T: Clone> List<T> {
    /// Gives up the room for elements to come.
    pub fn shrink_to_fit(&mut self) {
        if let Some(items) = &mut self.0
            && items.capacity() > items.len()
        {
            Arc::make_mut(items).shrink_to_fit();
        }
    }
    /// One list instead of two equal ones.
    pub fn share_with(&mut self, other: &List<T>)
    where
        T: PartialEq,
    {
        if self == other {
            self.clone_from(other);
        }
    }
}
impl<T> Default for List<T> {
    fn default() -> List<T> {
        List(None)
    }
}
impl<T> Deref for List<T> {
    type Target = Vec<T>;
    fn deref(&self) -> &Vec<T> {
        self.0.as_deref().unwrap_or(const { &Vec::new() })
    }
}
impl<T: Clone> DerefMut for List<T> {
    fn deref_mut(&mut self) -> &mut Vec<T> {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}
impl<T> From<Vec<T>> for List<T> {
    fn from(items: Vec<T>) -> List<T> {
        List((!items.is_empty()).then(|| Arc::new(items)))
    }
}
impl<T> FromIterator<T> for List<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> List<T> {
        Vec::from_iter(items).into()
    }
}
impl<'a, T> IntoIterator for &'a List<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
impl<T: PartialEq> PartialEq for List<T> {
    fn eq(&self, other: &List<T>) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) if Arc::ptr_eq(one, other) => true,
            _ => **self == **other,
        }
    }
}
impl<T: Eq> Eq for List<T> {}
impl<T: Hash> Hash for List<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}
impl<T: std::fmt::Debug> std::fmt::Debug for List<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}
impl<T: Serialize> Serialize for List<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}
impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        Vec::deserialize(deserializer).map(List::from)
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
