//! YAML with places: the core schema, aliases expanded (and counted), several documents.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::error::{Errors, InputError};
use super::path::Path;
use super::tree::{Entry, Node, Place, Value};
use super::{MAX_BYTES, MAX_DEPTH, MAX_NODES};

pub fn parse<'a>(file: &'a str, text: &'a str, errors: &'a mut Errors) -> Result<Vec<Node>, InputError> {
    let mut reader = Reader { file, parser: Parser::new_from_str(text), errors, anchors: BTreeMap::new(), nodes: 0, copied: 0 };
    let mut documents = Vec::new();
    loop {
        match reader.next()? {
            (Event::StreamEnd, _) => return Ok(documents),
            (Event::DocumentStart(_), _) => {
                reader.anchors.clear();
                let (event, span) = reader.next()?;
                let node = reader.node(event, span, 1, &Path::default())?;
                if node.value != Value::Null {
                    documents.push(node);
                }
            }
            _ => {}
        }
    }
}

struct Reader<'a> {
    file: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    errors: &'a mut Errors,
    anchors: BTreeMap<usize, Anchored>,
    nodes: usize,
    /// Bytes of texts that aliases have copied.
    copied: usize,
}

/// A value that aliases may name, and what a copy of it costs.
#[derive(Clone)]
struct Anchored {
    node: Node,
    nodes: usize,
    height: usize,
    bytes: usize,
}

fn place(marker: Marker) -> Place {
    Place { line: marker.line() as u32, column: marker.col() as u32 + 1 }
}

impl<'a> Reader<'a> {
    fn error(&self, at: Place, path: &Path, message: String) -> InputError {
        InputError::new(self.file, Some(at), path.as_str(), message)
    }
    fn next(&mut self) -> Result<(Event<'a>, Span), InputError> {
        let scan_error = |file: &str, error: &ScanError| {
            InputError::new(file, Some(place(*error.marker())), "", format!("not valid YAML: {}", error.info()))
        };
        match self.parser.next_event() {
            None => Ok((Event::StreamEnd, Span::default())),
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(scan_error(self.file, &error)),
        }
    }
    fn count(&mut self, more: usize, at: Place, path: &Path) -> Result<(), InputError> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(self.error(at, path, format!("the file has more values than the limit of {MAX_NODES}, aliases expanded")));
        }
        Ok(())
    }
    fn node(&mut self, event: Event<'a>, span: Span, depth: usize, path: &Path) -> Result<Node, InputError> {
        let at = place(span.start);
        let too_deep = |reader: &Reader<'_>| reader.error(at, path, format!("values are nested deeper than the limit of {MAX_DEPTH}"));
        self.count(1, at, path)?;
        let before = self.nodes;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), at, path)?, anchor),
            Event::Alias(anchor) => {
                let Some(Anchored { nodes, height, bytes, .. }) = self.anchors.get(&anchor) else {
                    return Err(self.error(at, path, "an alias inside the value that it names, or to none".to_owned()));
                };
                let (nodes, height, bytes) = (*nodes, *height, *bytes);
                // Counted before it is copied: nothing is made that is beyond a limit.
                self.count(nodes, at, path)?;
                self.copied += bytes;
                if self.copied > MAX_BYTES {
                    return Err(self.error(at, path, format!("aliases expand to more than the limit of {MAX_BYTES} bytes")));
                }
                if depth + height > MAX_DEPTH {
                    return Err(too_deep(self));
                }
                return Ok(Node { place: Some(at), ..self.anchors[&anchor].node.clone() });
            }
            Event::SequenceStart(anchor, _) => {
                if depth > MAX_DEPTH {
                    return Err(too_deep(self));
                }
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, span, depth + 1, &path.index(items.len()))?),
                    }
                }
                (Value::List(items), anchor)
            }
            Event::MappingStart(anchor, _) => {
                if depth > MAX_DEPTH {
                    return Err(too_deep(self));
                }
                (Value::Map(self.entries(depth, path)?), anchor)
            }
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd
            | Event::SequenceEnd
            | Event::MappingEnd => return Err(self.error(at, path, "not valid YAML: a value is missing".to_owned())),
        };
        let node = Node { value, place: Some(at) };
        if anchor > 0 {
            let (nodes, height, bytes) = (self.nodes - before + 1, height(&node), bytes(&node));
            // The kept copy counts too: nested anchors must not multiply memory.
            self.count(nodes, at, path)?;
            self.copied += bytes;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, height, bytes });
        }
        Ok(node)
    }
    fn entries(&mut self, depth: usize, path: &Path) -> Result<Vec<Entry>, InputError> {
        let mut seen = BTreeSet::new();
        let mut entries = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(entries);
            }
            let at = place(span.start);
            let key_node = self.node(event, span, depth + 1, path)?;
            let key = match key_node.value {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                Value::Bool(value) => value.to_string(),
                _ => return Err(self.error(at, path, format!("a key is {}", key_node.type_name())).expecting("a string")),
            };
            if let Some(message) = super::too_long(&key) {
                return Err(self.error(at, path, message));
            }
            let inner = path.key(&key);
            if key == "<<" {
                return Err(self.error(at, &inner, "merge keys (\"<<\") are not part of YAML 1.2".to_owned()));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1, &inner)?;
            if !seen.insert(key.clone()) {
                let error = self.error(at, &inner, format!("the key \"{}\" is given twice", super::short(&key)));
                self.errors.push(error);
                continue;
            }
            entries.push(Entry { key, key_place: Some(at), node });
        }
    }
    /// The core schema of YAML 1.2.2 (section 10.3.2), which is also how Kubernetes' tools read plain scalars, but for `yes` and `no`.
    fn scalar(&self, text: &str, style: ScalarStyle, tag: Option<&Tag>, at: Place, path: &Path) -> Result<Value, InputError> {
        let as_string = || Value::String(text.to_owned());
        if let Some(tag) = tag {
            return match (tag.is_yaml_core_schema(), tag.suffix.as_str()) {
                (true, "str") => Ok(as_string()),
                (true, "int" | "float" | "bool" | "null") => Ok(plain(text)),
                _ if tag.handle.is_empty() && tag.suffix == "!" => Ok(as_string()),
                _ => Err(self.error(at, path, format!("the tag {tag} is not known"))),
            };
        }
        Ok(if style == ScalarStyle::Plain { plain(text) } else { as_string() })
    }
}

fn height(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(height).max().unwrap_or(0),
        Value::Map(entries) => 1 + entries.iter().map(|entry| height(&entry.node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// Of keys and texts.
fn bytes(node: &Node) -> usize {
    match &node.value {
        Value::String(text) => text.len(),
        Value::List(items) => items.iter().map(bytes).sum(),
        Value::Map(entries) => entries.iter().map(|entry| entry.key.len() + bytes(&entry.node)).sum(),
        _ => 0,
    }
}

fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let radix = |digits: &str, radix: u32| u64::from_str_radix(digits, radix).ok().filter(|_| !digits.starts_with(['+', '-']));
    let integer = text.strip_prefix("0o").and_then(|digits| radix(digits, 8)).or(text.strip_prefix("0x").and_then(|d| radix(d, 16)));
    if let Some(number) = integer {
        return Value::Number(number.into());
    }
    if text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E'))
    {
        let bare = text.strip_prefix('+').unwrap_or(text);
        if let Ok(number) = bare.parse::<i64>() {
            return Value::Number(number.into());
        }
        if let Ok(number) = bare.parse::<u64>() {
            return Value::Number(number.into());
        }
        if let Some(number) = bare.parse::<f64>().ok().and_then(serde_json::Number::from_f64) {
            return Value::Number(number);
        }
    }
    Value::String(Cow::from(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: &str, text: &str) -> Result<Vec<Node>, InputError> {
        super::parse(file, text, &mut Errors::default())
    }

    #[test]
    fn yaml_and_json_become_the_same_tree() {
        let yaml = "# a comment\na: 1\nb: [x, 'y', \"1\"]\nc: {d: null, e: true, f: 1.5, g: 0x10}\n";
        let json = serde_json::json!({"a": 1, "b": ["x", "y", "1"], "c": {"d": null, "e": true, "f": 1.5, "g": 16}});
        let documents = parse("x.yaml", yaml).unwrap();
        assert_eq!(documents[0].to_json(), json);
        assert_eq!(documents[0].place_of("c.f"), Some(Place { line: 4, column: 26 }));
    }

    #[test]
    fn aliases_are_expanded_and_counted() {
        let documents = parse("x.yaml", "a: &x [1, 2]\nb: *x\n---\n---\nc: 1\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].to_json(), serde_json::json!({"a": [1, 2], "b": [1, 2]}));
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..9 {
            bomb += &format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", "));
        }
        assert!(parse("x.yaml", &bomb).unwrap_err().message.contains("more values than the limit"));
        let long = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), vec!["*a"; 100].join(", "));
        assert!(parse("x.yaml", &long).unwrap_err().message.contains("aliases expand to more than"));
        assert!(parse("x.yaml", "a: &a [*a]").is_err());
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse("x.yaml", &nested(MAX_DEPTH)).is_ok());
        assert!(parse("x.yaml", &nested(MAX_DEPTH + 1)).unwrap_err().message.contains("deeper than the limit"));
        // The parser beneath looks ahead and has a limit of its own.
        assert!(parse("x.yaml", &"[".repeat(100_000)).is_err());
    }
}
