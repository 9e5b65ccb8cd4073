//! JSON with places: RFC 8259 and nothing beyond.

use std::collections::BTreeSet;

use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, CommentCollectionStrategy, ParseOptions, parse_to_ast};

use super::error::{Errors, InputError};
use super::path::Path;
use super::tree::{Entry, Node, Place, Value};
use super::{MAX_DEPTH, MAX_NODES};

pub fn parse(file: &str, text: &str, errors: &mut Errors) -> Result<Node, InputError> {
    let reader = Reader { file, lines: Lines::new(text) };
    reader.limits(text)?;
    let options = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let collect = CollectOptions { comments: CommentCollectionStrategy::Off, tokens: false };
    let parsed = parse_to_ast(text, &collect, &options).map_err(|error| {
        let mut message = error.kind().to_string();
        message[..1].make_ascii_lowercase();
        if matches!(message.as_str(), "unexpected word" | "unexpected token") {
            return reader.unexpected(text, error.range().start);
        }
        if let Some(bracket) = unclosed(text, error.range().start, &message) {
            let Place { line, column } = reader.lines.place(error.range().start);
            let message = format!("not valid JSON: the file ends before the \"{bracket}\" of line {line}, column {column} is closed");
            return reader.error(text.trim_ascii_end().len(), "", message);
        }
        reader.error(error.range().start, "", format!("not valid JSON: {message}"))
    })?;
    match parsed.value {
        None => Err(InputError::new(file, None, "", "the file is empty".to_owned()).expecting("a JSON object")),
        Some(value) => reader.node(value, &Path::default(), errors),
    }
}

/// The bracket at `offset`, if what the parser says of it is that it is never closed.
fn unclosed(text: &str, offset: usize, message: &str) -> Option<char> {
    let bracket = text.get(offset..)?.chars().next().filter(|first| matches!(first, '{' | '['))?;
    matches!(message, "unterminated object" | "unterminated array").then_some(bracket)
}

struct Reader<'a> {
    file: &'a str,
    lines: Lines<'a>,
}

impl Reader<'_> {
    fn error(&self, offset: usize, path: &str, message: String) -> InputError {
        InputError::new(self.file, Some(self.lines.place(offset)), path, message)
    }
    /// A word or sign that begins no value.
    fn unexpected(&self, text: &str, offset: usize) -> InputError {
        let rest = &text[offset..];
        let word: String = rest.chars().take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | '-')).take(40).collect();
        let shown = if word.is_empty() { rest.chars().take(1).collect() } else { word };
        let error = self.error(offset, "", format!("not valid JSON: {} begins no value", serde_json::Value::from(shown.as_str())));
        let nearest = super::nearest(&shown, ["true", "false", "null"]).filter(|_| shown.len() > 2);
        match (nearest, shown.as_str()) {
            (Some(name), _) => InputError { suggestion: Some(name.into()), ..error },
            (None, "None" | "nil" | "undefined") => InputError { suggestion: Some("null".into()), ..error },
            _ => error.expecting("a text in double quotes, a number, true, false, null, { or ["),
        }
    }
    /// Counts depth and values before a tree is made of them, so that no input costs more memory than the limit allows.
    fn limits(&self, text: &str) -> Result<(), InputError> {
        let (mut depth, mut nodes, mut in_string, mut escaped) = (0usize, 1usize, false, false);
        for (offset, byte) in text.bytes().enumerate() {
            if in_string {
                match byte {
                    32.. if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    // RFC 8259 section 7; the parser beneath lets them pass.
                    b'\n' => {
                        return Err(self.error(offset, "", "not valid JSON: the line ends within a string".to_owned()).expecting("\""));
                    }
                    0..=0x1f => return Err(self.error(offset, "", "not valid JSON: a control character in a string".to_owned())),
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' | b'[' => {
                    depth += 1;
                    nodes += 1;
                    if depth > MAX_DEPTH {
                        return Err(self.error(offset, "", format!("values are nested deeper than the limit of {MAX_DEPTH}")));
                    }
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                b',' => {
                    nodes += 1;
                    if nodes > MAX_NODES {
                        return Err(self.error(offset, "", format!("the file has more values than the limit of {MAX_NODES}")));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }
    fn node(&self, value: ast::Value<'_>, path: &Path, errors: &mut Errors) -> Result<Node, InputError> {
        let offset = value.range().start;
        let place = Some(self.lines.place(offset));
        let value = match value {
            ast::Value::NullKeyword(_) => Value::Null,
            ast::Value::BooleanLit(literal) => Value::Bool(literal.value),
            ast::Value::NumberLit(literal) => match literal.value.parse() {
                Ok(number) => Value::Number(number),
                Err(_) => return Err(self.error(offset, path.as_str(), format!("{} is not a number that JSON can hold", literal.value))),
            },
            ast::Value::StringLit(literal) => Value::String(literal.value.into_owned()),
            ast::Value::Array(array) => Value::List(
                array
                    .elements
                    .into_iter()
                    .enumerate()
                    .map(|(index, element)| self.node(element, &path.index(index), errors))
                    .collect::<Result<_, _>>()?,
            ),
            ast::Value::Object(object) => {
                let mut seen = BTreeSet::new();
                let mut entries = Vec::with_capacity(object.properties.len());
                for property in object.properties {
                    let key_offset = property.name.range().start;
                    let key = property.name.into_string();
                    if let Some(message) = super::too_long(&key) {
                        return Err(self.error(key_offset, path.as_str(), message));
                    }
                    let inner = path.key(&key);
                    let node = self.node(property.value, &inner, errors)?;
                    if !seen.insert(key.clone()) {
                        errors.push(self.error(key_offset, inner.as_str(), format!("the key \"{}\" is given twice", super::short(&key))));
                        continue;
                    }
                    entries.push(Entry { key, key_place: Some(self.lines.place(key_offset)), node });
                }
                Value::Map(entries)
            }
        };
        Ok(Node { value, place })
    }
}

/// Byte offsets to lines and columns.
pub struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// Characters before each [`BLOCK`]: a column for each of a million values on one line must not cost a scan of the line each.
    blocks: Vec<usize>,
}

/// Bytes.
const BLOCK: usize = 1024;

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Lines<'a> {
        let starts = std::iter::once(0).chain(text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1)).collect();
        let mut before = 0;
        let count = |block: &[u8]| {
            let this = before;
            before += characters(block);
            this
        };
        let blocks = text.as_bytes().chunks(BLOCK).map(count).collect();
        Lines { text, starts, blocks }
    }
    pub fn place(&self, offset: usize) -> Place {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= offset).max(1);
        let column = self.characters_before(offset) - self.characters_before(self.starts[line - 1]) + 1;
        Place { line: line as u32, column: column as u32 }
    }
    fn characters_before(&self, offset: usize) -> usize {
        let Some(before) = self.blocks.get(offset / BLOCK) else { return self.text.chars().count() };
        before + characters(&self.text.as_bytes()[offset / BLOCK * BLOCK..offset])
    }
}

/// Characters that begin in these bytes of UTF-8.
fn characters(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_on_lines_of_any_length() {
        let text = format!("{}x\n\u{e9}y", "\u{1f980}\u{e9}".repeat(3_000));
        let lines = Lines::new(&text);
        for (offset, letter) in [(text.find('x').unwrap(), (1, 6_001)), (text.find('y').unwrap(), (2, 2)), (6, (1, 3)), (0, (1, 1))] {
            assert_eq!(lines.place(offset), Place { line: letter.0, column: letter.1 });
        }
        assert_eq!(lines.place(text.len()), Place { line: 2, column: 3 });
        assert_eq!(Lines::new("").place(0), Place { line: 1, column: 1 });
    }
}
