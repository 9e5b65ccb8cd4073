//! The one path syntax of `--set`, `--vary` and errors: `faults[0].at`, `labels["example.com/role"]`.

use super::tree::{Entry, Node, Place, Value};

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    Key(String),
    Index(usize),
}

/// A path that grows and shrinks while a tree is walked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Path(String);

impl Path {
    pub fn new(text: &str) -> Path {
        Path(text.to_owned())
    }
    pub fn as_str(&self) -> &str {
        &self.0
    }
    pub fn key(&self, key: &str) -> Path {
        let plain = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'$'));
        Path(match (plain, self.0.is_empty()) {
            (true, true) => key.to_owned(),
            (true, false) => format!("{}.{key}", self.0),
            (false, _) => format!("{}[{}]", self.0, serde_json::Value::from(key)),
        })
    }
    /// This path and then another.
    pub fn join(&self, relative: &str) -> Path {
        Path(match (self.0.as_str(), relative) {
            ("", relative) => relative.to_owned(),
            (base, "") => base.to_owned(),
            (base, relative) if relative.starts_with('[') => format!("{base}{relative}"),
            (base, relative) => format!("{base}.{relative}"),
        })
    }
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }
}

/// Reads a path. The error says what is wrong with it.
pub fn parse_path(text: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = text;
    if text.is_empty() {
        return Err("a path is empty".to_owned());
    }
    loop {
        if let Some(inside) = rest.strip_prefix('[') {
            if inside.starts_with('"') {
                let mut stream = serde_json::Deserializer::from_str(inside).into_iter::<String>();
                let key = match stream.next() {
                    Some(Ok(key)) => key,
                    _ => return Err(format!("\"{text}\" has an unfinished quoted key")),
                };
                rest = inside[stream.byte_offset()..].strip_prefix(']').ok_or_else(|| format!("\"{text}\" lacks a ']'"))?;
                steps.push(Step::Key(key));
            } else {
                let (number, after) = inside.split_once(']').ok_or_else(|| format!("\"{text}\" lacks a ']'"))?;
                let index = number.parse().map_err(|_| format!("\"{number}\" in \"{text}\" is not an index"))?;
                steps.push(Step::Index(index));
                rest = after;
            }
        } else {
            let key = match steps.is_empty() {
                true => rest,
                false => rest.strip_prefix('.').ok_or_else(|| format!("\"{text}\" lacks a '.' before \"{rest}\""))?,
            };
            let end = key.find(['.', '[']).unwrap_or(key.len());
            if end == 0 {
                return Err(format!("\"{text}\" has an empty key"));
            }
            steps.push(Step::Key(key[..end].to_owned()));
            rest = &key[end..];
        }
        if rest.is_empty() {
            return Ok(steps);
        }
        if steps.len() > super::MAX_DEPTH {
            return Err(format!("the path is deeper than {} levels", super::MAX_DEPTH));
        }
    }
}

impl Node {
    /// The place of the value at a path, or of the deepest part of the path that exists.
    pub fn place_of(&self, path: &str) -> Option<Place> {
        let mut node = self;
        let mut place = node.place;
        for step in parse_path(path).unwrap_or_default() {
            match node.child(&step) {
                None => break,
                Some(inner) => {
                    node = inner;
                    place = inner.place.or(place);
                }
            }
        }
        place
    }
    /// The value at a path.
    pub fn at(&self, path: &str) -> Option<&Node> {
        parse_path(path).ok()?.iter().try_fold(self, |node, step| node.child(step))
    }
    /// The value one step further.
    pub fn child(&self, step: &Step) -> Option<&Node> {
        match (&self.value, step) {
            (Value::Map(_), Step::Key(key)) => self.get(key),
            (Value::List(items), Step::Index(index)) => items.get(*index),
            _ => None,
        }
    }
}

/// Sets the value at a path: maps are made on the way, an index may name the end of a list to append. The error says which step failed.
pub fn set(root: &mut Node, path: &[Step], value: Node) -> Result<(), String> {
    let mut node = root;
    let mut walked = Path::default();
    for step in path {
        if node.value == Value::Null {
            node.value = match step {
                Step::Key(_) => Value::Map(Vec::new()),
                Step::Index(_) => Value::List(Vec::new()),
            };
        }
        let found = node.type_name();
        match (&mut node.value, step) {
            (Value::Map(entries), Step::Key(key)) => {
                let at = entries.iter().position(|entry| entry.key == *key).unwrap_or_else(|| {
                    entries.push(Entry { key: key.clone(), key_place: None, node: Node { value: Value::Null, place: None } });
                    entries.len() - 1
                });
                node = &mut entries[at].node;
                walked = walked.key(key);
            }
            (Value::List(items), Step::Index(index)) => {
                if *index > items.len() {
                    return Err(format!("{}[{index}] is beyond the list's end: it has {} items", walked.as_str(), items.len()));
                }
                if *index == items.len() {
                    items.push(Node { value: Value::Null, place: None });
                }
                node = &mut items[*index];
                walked = walked.index(*index);
            }
            (_, Step::Key(key)) => return Err(format!("\"{}\" is {found}, it has no field \"{key}\"", walked.as_str())),
            (_, Step::Index(index)) => return Err(format!("\"{}\" is {found}, it has no item [{index}]", walked.as_str())),
        }
    }
    *node = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read_as_errors_write_them() {
        let path = Path::new("faults").index(0).key("at").key("example.com/role");
        assert_eq!(path.as_str(), "faults[0].at[\"example.com/role\"]");
        assert_eq!(
            parse_path(path.as_str()).unwrap(),
            [Step::Key("faults".into()), Step::Index(0), Step::Key("at".into()), Step::Key("example.com/role".into())]
        );
        for bad in ["", ".", "a..b", "a[", "a[x]", "a[\"x", "a[0]b", "a."] {
            assert!(parse_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn setting_makes_what_is_missing_and_refuses_what_cannot_be() {
        let mut root = Node::from_json(&serde_json::json!({"a": [1], "b": "text"}));
        let number = |n: i64| Node::from_json(&serde_json::json!(n));
        set(&mut root, &parse_path("a[1]").unwrap(), number(2)).unwrap();
        set(&mut root, &parse_path("c.d").unwrap(), number(3)).unwrap();
        assert_eq!(root.to_json(), serde_json::json!({"a": [1, 2], "b": "text", "c": {"d": 3}}));
        assert!(set(&mut root, &parse_path("a[9]").unwrap(), number(0)).unwrap_err().contains("beyond"));
        assert!(set(&mut root, &parse_path("b.x").unwrap(), number(0)).unwrap_err().contains("a string"));
    }
}
