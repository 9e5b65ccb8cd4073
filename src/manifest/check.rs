//! A serde deserializer over the tree, for checking: every error gets the path and place of the value that it is about, and fields that a
//! type does not have are noted with theirs, where plain serde would skip them silently.

use std::cell::RefCell;
use std::fmt;

use serde::de::{self, DeserializeOwned, IntoDeserializer};

use super::error::{InputError, MAX_ERRORS};
use super::path::{Path, parse_path};
use super::prune::Pruned;
use super::tree::{Entry, Node, Place, Value};

/// A field that a type does not have.
#[derive(Clone, Debug)]
pub struct Unknown {
    pub path: Path,
    pub place: Option<Place>,
    pub name: String,
    /// What the type has instead.
    pub known: &'static [&'static str],
}

/// Reads what is at `inside` of a tree as a `T`, as often as errors are met: each is noted and its value taken out of the tree, so that the
/// next reading comes further. `path`: where the tree stands in its file. Returns all errors, and all unknown fields; these stay.
pub fn read<T: DeserializeOwned>(
    file: &str,
    tree: &mut Pruned,
    inside: Option<&'static str>,
    path: &Path,
) -> (Vec<InputError>, Vec<Unknown>) {
    let mut errors = Vec::new();
    let mut unknown: Vec<Unknown> = Vec::new();
    loop {
        let noted = RefCell::new(Vec::new());
        let (node, inner) = match inside {
            None => (Some(&tree.root), Path::default()),
            Some(key) => (tree.root.get(key), Path::default().key(key)),
        };
        let Some(node) = node else { break };
        let result = T::deserialize(At { node, path: inner.clone(), unknown: &noted });
        for field in noted.into_inner() {
            let field = Unknown { path: path.join(&tree.original(field.path.as_str())), ..field };
            if !unknown.iter().any(|known| known.path == field.path) {
                unknown.push(field);
            }
        }
        let Err(trouble) = result else { break };
        let (at, place) = trouble.at.unwrap_or((inner.clone(), node.place));
        let original = tree.original(at.as_str());
        // What is missing may be what was taken out.
        if !tree.is_hurt(&original) {
            errors.push(InputError {
                expected: trouble.expected.map(Into::into),
                suggestion: trouble.suggestion.map(Into::into),
                ..InputError::new(file, place, path.join(&original).as_str(), trouble.message)
            });
        }
        let gone = parse_path(at.as_str()).is_ok_and(|steps| tree.remove(&[steps]));
        if !gone || errors.len() > MAX_ERRORS {
            break;
        }
    }
    (errors, unknown)
}

/// What went wrong; `at` is filled by the innermost value that it passes on its way out.
#[derive(Debug)]
struct Trouble {
    message: String,
    expected: Option<String>,
    suggestion: Option<String>,
    at: Option<(Path, Option<Place>)>,
}

impl Trouble {
    fn new(message: String) -> Trouble {
        Trouble { message, expected: None, suggestion: None, at: None }
    }
}
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Trouble {}
impl de::Error for Trouble {
    fn custom<T: fmt::Display>(message: T) -> Trouble {
        Trouble::new(message.to_string())
    }
    fn invalid_type(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Trouble {
        let expected = match expected.to_string().as_str() {
            "i8" | "i16" | "i32" | "i64" => "an integer".to_owned(),
            other => plainly(other),
        };
        Trouble { expected: Some(expected), ..Trouble::new(format!("{found} has the wrong type")) }
    }
    fn invalid_value(found: de::Unexpected<'_>, expected: &dyn de::Expected) -> Trouble {
        Trouble { expected: Some(plainly(&expected.to_string())), ..Trouble::new(format!("{found} is not valid here")) }
    }
    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Trouble {
        let list = expected.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        Trouble {
            expected: Some(if expected.len() == 1 { list } else { format!("one of {list}") }),
            suggestion: super::nearest(variant, expected.iter().copied()),
            ..Trouble::new(format!("\"{variant}\" is not valid here"))
        }
    }
    fn missing_field(field: &'static str) -> Trouble {
        Trouble::new(format!("the field \"{field}\" is missing"))
    }
}

/// Serde's and Rust's words in those of a manifest.
fn plainly(expected: &str) -> String {
    match expected {
        "u8" => "an integer from 0 to 255".to_owned(),
        "u16" => "an integer from 0 to 65535".to_owned(),
        "u32" | "u64" | "usize" => "an integer, 0 or more".to_owned(),
        "i32" => "an integer from -2147483648 to 2147483647".to_owned(),
        "i8" | "i16" | "i64" => "an integer".to_owned(),
        "a map" => "an object".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other => other.to_owned(),
    }
}

/// A value of the tree that is being read.
struct At<'a> {
    node: &'a Node,
    path: Path,
    unknown: &'a RefCell<Vec<Unknown>>,
}

impl<'a> At<'a> {
    fn inner(&self, node: &'a Node, path: Path) -> At<'a> {
        At { node, path, unknown: self.unknown }
    }
    fn located<T>(&self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        result.map_err(|mut trouble| {
            trouble.at.get_or_insert_with(|| (self.path.clone(), self.node.place));
            trouble
        })
    }
    fn visit<'de, V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        let result = match &self.node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64()) {
                (Some(value), _) => visitor.visit_u64(value),
                (_, Some(value)) => visitor.visit_i64(value),
                _ => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_str(text),
            Value::List(items) => visitor.visit_seq(Items { at: &self, items, next: 0 }),
            Value::Map(entries) => visitor.visit_map(Fields { at: &self, entries, next: 0 }),
        };
        self.located(result)
    }
}

macro_rules! as_it_is {
    ($($method:ident)*) => { $(
        fn $method<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> { self.visit(visitor) }
    )* };
}

impl<'de> de::Deserializer<'de> for At<'_> {
    type Error = Trouble;

    as_it_is! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64 deserialize_char deserialize_str deserialize_string
        deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_seq deserialize_map deserialize_identifier
    }
    fn deserialize_ignored_any<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_unit()
    }
    fn deserialize_option<V: de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, Trouble> {
        if self.node.value == Value::Null { visitor.visit_none() } else { visitor.visit_some(self) }
    }
    fn deserialize_unit_struct<V: de::Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(visitor)
    }
    fn deserialize_newtype_struct<V: de::Visitor<'de>>(self, _name: &'static str, visitor: V) -> Result<V::Value, Trouble> {
        visitor.visit_newtype_struct(self)
    }
    fn deserialize_tuple<V: de::Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(visitor)
    }
    fn deserialize_tuple_struct<V: de::Visitor<'de>>(self, _name: &'static str, _len: usize, visitor: V) -> Result<V::Value, Trouble> {
        self.visit(visitor)
    }
    fn deserialize_struct<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        if let Value::Map(entries) = &self.node.value {
            for entry in entries.iter().filter(|entry| !fields.contains(&entry.key.as_str())) {
                let path = self.path.key(&entry.key);
                self.unknown.borrow_mut().push(Unknown { path, place: entry.key_place, name: entry.key.clone(), known: fields });
            }
        }
        self.visit(visitor)
    }
    fn deserialize_enum<V: de::Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Trouble> {
        let result = match &self.node.value {
            Value::String(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            Value::Map(entries) if entries.len() == 1 => {
                visitor.visit_enum(de::value::MapAccessDeserializer::new(Fields { at: &self, entries, next: 0 }))
            }
            _ => Err(Trouble {
                expected: Some("a name".to_owned()),
                ..Trouble::new(format!("{} has the wrong type", self.node.type_name()))
            }),
        };
        self.located(result)
    }
}

struct Items<'a, 'b> {
    at: &'b At<'a>,
    items: &'a [Node],
    next: usize,
}
impl<'de> de::SeqAccess<'de> for Items<'_, '_> {
    type Error = Trouble;
    fn next_element_seed<T: de::DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Trouble> {
        let Some(item) = self.items.get(self.next) else { return Ok(None) };
        let path = self.at.path.index(self.next);
        self.next += 1;
        seed.deserialize(self.at.inner(item, path)).map(Some)
    }
}

struct Fields<'a, 'b> {
    at: &'b At<'a>,
    entries: &'a [Entry],
    next: usize,
}
impl<'de> de::MapAccess<'de> for Fields<'_, '_> {
    type Error = Trouble;
    fn next_key_seed<K: de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Trouble> {
        let Some(entry) = self.entries.get(self.next) else { return Ok(None) };
        self.next += 1;
        seed.deserialize(entry.key.as_str().into_deserializer()).map(Some)
    }
    fn next_value_seed<V: de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Trouble> {
        let entry = &self.entries[self.next - 1];
        seed.deserialize(self.at.inner(&entry.node, self.at.path.key(&entry.key)))
    }
}
