//! kubectl's JSONPath templates (`-o jsonpath=...`), the simplest of Go's templates, and `-o custom-columns=...`.
//!
//! Fields, `['name']`, `[*]`, `[n]`, `[from:to]`, `..name`, filters that compare (`[?(@.type=="Ready")]`), `range` and `end`, quoted text.
//! Of Go's templates: `{{.a.b}}`, `{{range .items}}`, `{{end}}`, `{{"text"}}`. Left out: unions and steps in ranges of indexes, functions,
//! variables and conditions.

use serde_json::Value;

use super::look::plain;
use super::select::compare;

/// A step of a path.
#[derive(Clone, PartialEq, Debug)]
enum Step {
    Field(String),
    Any,
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Deep(String),
    Filter(Path, String, Operand),
}

#[derive(Clone, PartialEq, Debug)]
enum Operand {
    None,
    Literal(Value),
    Path(Path),
}

/// A path into an object.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Path(Vec<Step>);

impl Path {
    /// `.metadata.name`, `{.metadata.name}`, `metadata.name`, `$.items[*]`.
    pub fn parse(text: &str) -> Result<Path, String> {
        let text = text.trim();
        let text = text.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).unwrap_or(text).trim();
        let mut path = Path::default();
        let text = text.strip_prefix(['$', '@']).unwrap_or(text);
        let letters: Vec<char> = text.chars().collect();
        let mut at = 0;
        while at < letters.len() {
            match letters[at] {
                '.' if letters.get(at + 1) == Some(&'.') => {
                    let (name, next) = word(&letters, at + 2);
                    path.0.push(Step::Deep(name));
                    at = next;
                }
                '.' => {
                    let (name, next) = word(&letters, at + 1);
                    match name.as_str() {
                        "" => {}
                        "*" => path.0.push(Step::Any),
                        _ => path.0.push(Step::Field(name)),
                    }
                    at = next;
                }
                '[' => {
                    let end = closing(&letters, at).ok_or_else(|| "unterminated array".to_owned())?;
                    let inner: String = letters[at + 1..end].iter().collect();
                    path.0.push(bracket(inner.trim())?);
                    at = end + 1;
                }
                _ => {
                    let (name, next) = word(&letters, at);
                    if next == at {
                        return Err(format!("unrecognized character in action: {:?}", letters[at]));
                    }
                    path.0.push(Step::Field(name));
                    at = next;
                }
            }
        }
        Ok(path)
    }

    /// All values that the path reaches, in order.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                step.take(value, &mut next);
            }
            found = next;
        }
        found
    }
}

impl Step {
    fn take<'v>(&self, value: &'v Value, found: &mut Vec<&'v Value>) {
        let clamp = |index: i64, length: usize| {
            let from_start = if index < 0 { index + length as i64 } else { index };
            usize::try_from(from_start).unwrap_or(0).min(length)
        };
        match self {
            Step::Field(name) => found.extend(value.get(name)),
            Step::Any => found.extend(children(value)),
            Step::Index(index) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let index = if *index < 0 { index + items.len() as i64 } else { *index };
                found.extend(usize::try_from(index).ok().and_then(|index| items.get(index)));
            }
            Step::Slice(from, to) => {
                let items = value.as_array().map_or(&[][..], Vec::as_slice);
                let (from, to) = (clamp(from.unwrap_or(0), items.len()), clamp(to.unwrap_or(items.len() as i64), items.len()));
                found.extend(items.iter().take(to).skip(from));
            }
            Step::Deep(name) => deep(value, name, found),
            Step::Filter(path, operator, operand) => {
                found.extend(children(value).into_iter().filter(|item| holds(item, path, operator, operand)));
            }
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn deep<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    match name {
        "" | "*" => found.push(value),
        _ => found.extend(value.get(name)),
    }
    for child in children(value) {
        deep(child, name, found);
    }
}

fn holds(item: &Value, path: &Path, operator: &str, operand: &Operand) -> bool {
    let found = path.find(item);
    let Some(left) = found.first() else { return false };
    let right = match operand {
        Operand::None => return true,
        Operand::Literal(value) => value,
        Operand::Path(path) => match path.find(item).first() {
            Some(value) => value,
            None => return false,
        },
    };
    let order = compare(left, right);
    match operator {
        "==" => order.is_eq(),
        "!=" => order.is_ne(),
        "<" => order.is_lt(),
        "<=" => order.is_le(),
        ">" => order.is_gt(),
        _ => order.is_ge(),
    }
}

/// The name that begins at `at`, and where it ends. A backslash takes the next letter as it is.
fn word(letters: &[char], mut at: usize) -> (String, usize) {
    let mut name = String::new();
    while let Some(letter) = letters.get(at) {
        match letter {
            '.' | '[' => break,
            '\\' if at + 1 < letters.len() => {
                name.push(letters[at + 1]);
                at += 2;
                continue;
            }
            _ => name.push(*letter),
        }
        at += 1;
    }
    (name, at)
}

/// The bracket that closes the one at `open`; quotes hide brackets.
fn closing(letters: &[char], open: usize) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, letter) in letters.iter().enumerate().skip(open) {
        match (quote, letter) {
            (Some(mark), letter) if mark == *letter => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(*letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Result<Step, String> {
    if inner == "*" {
        return Ok(Step::Any);
    }
    if let Some(name) = quoted(inner) {
        return Ok(Step::Field(name));
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|rest| rest.strip_suffix(')')) {
        let operators = ["==", "!=", "<=", ">=", "<", ">"];
        let Some((operator, at)) = operators.iter().find_map(|operator| filter.find(operator).map(|at| (*operator, at))) else {
            return Ok(Step::Filter(Path::parse(filter)?, String::new(), Operand::None));
        };
        let right = filter[at + operator.len()..].trim();
        let operand = match quoted(right) {
            Some(text) => Operand::Literal(Value::String(text)),
            None if right.starts_with(['@', '$', '.']) => Operand::Path(Path::parse(right)?),
            None => Operand::Literal(serde_json::from_str(right).map_err(|_| format!("unrecognized operand {right}"))?),
        };
        return Ok(Step::Filter(Path::parse(filter[..at].trim())?, operator.to_owned(), operand));
    }
    let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("invalid array index {inner}"));
    match inner.split_once(':') {
        Some((from, to)) => {
            let bound = |text: &str| if text.trim().is_empty() { Ok(None) } else { number(text).map(Some) };
            Ok(Step::Slice(bound(from)?, bound(to)?))
        }
        None => Ok(Step::Index(number(inner)?)),
    }
}

fn quoted(text: &str) -> Option<String> {
    ['\'', '"'].iter().find_map(|mark| text.strip_prefix(*mark)?.strip_suffix(*mark).map(str::to_owned))
}

/// A part of a template.
enum Part {
    Text(String),
    /// What is found, and what is printed where nothing is.
    Print(Path, &'static str),
    Range(Path, Vec<Part>),
}

/// Fills a template: `{.items[*].metadata.name}`, `{range .items[*]}{.metadata.name}{"\n"}{end}`.
pub fn fill(template: &str, value: &Value) -> Result<String, String> {
    written(pieces(template, "{", "}")?, "", value)
}

/// Fills a template of Go's: `{{.status.phase}}`, `{{range .items}}{{.metadata.name}}{{"\n"}}{{end}}`.
pub fn fill_go(template: &str, value: &Value) -> Result<String, String> {
    let mut pieces = pieces(template, "{{", "}}")?;
    for piece in &mut pieces {
        if let Piece::Action(action) = piece
            && action.starts_with("range ")
        {
            action.push_str("[*]");
        }
    }
    written(pieces, "<no value>", value)
}

fn written(pieces: Vec<Piece>, absent: &'static str, value: &Value) -> Result<String, String> {
    let parts = parts(&mut pieces.into_iter(), absent, false)?;
    let mut out = String::new();
    write(&parts, value, &mut out);
    Ok(out)
}

enum Piece {
    Text(String),
    Action(String),
}

fn pieces(template: &str, opening: &str, closing: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some(open) = rest.find(opening) {
        if open > 0 {
            pieces.push(Piece::Text(rest[..open].to_owned()));
        }
        let (mut quote, mut end) = (None, None);
        for (at, letter) in rest.char_indices().skip_while(|(at, _)| *at < open + opening.len()) {
            match (quote, letter) {
                (Some(mark), letter) if mark == letter => quote = None,
                (None, '\'' | '"') => quote = Some(letter),
                (None, _) if rest[at..].starts_with(closing) => {
                    end = Some(at);
                    break;
                }
                _ => {}
            }
        }
        let end = end.ok_or_else(|| "unclosed action".to_owned())?;
        pieces.push(Piece::Action(rest[open + opening.len()..end].trim().to_owned()));
        rest = &rest[end + closing.len()..];
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

fn parts(pieces: &mut std::vec::IntoIter<Piece>, absent: &'static str, inside: bool) -> Result<Vec<Part>, String> {
    let mut found = Vec::new();
    while let Some(piece) = pieces.next() {
        match piece {
            Piece::Text(text) => found.push(Part::Text(text)),
            Piece::Action(action) if action == "end" => {
                return if inside { Ok(found) } else { Err("not in range, nothing to end".to_owned()) };
            }
            Piece::Action(action) => match (action.strip_prefix("range "), quoted(&action)) {
                (Some(path), _) => found.push(Part::Range(Path::parse(path)?, parts(pieces, absent, true)?)),
                (None, Some(text)) => found.push(Part::Text(unescape(&text))),
                (None, None) => found.push(Part::Print(Path::parse(&action)?, absent)),
            },
        }
    }
    if inside { Err("unterminated range".to_owned()) } else { Ok(found) }
}

fn unescape(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t").replace("\\\"", "\"").replace("\\\\", "\\")
}

fn write(parts: &[Part], value: &Value, out: &mut String) {
    for part in parts {
        match part {
            Part::Text(text) => out.push_str(text),
            Part::Print(path, absent) => match path.find(value) {
                values if values.is_empty() => out.push_str(absent),
                values => out.push_str(&values.into_iter().map(plain).collect::<Vec<_>>().join(" ")),
            },
            Part::Range(path, inner) => path.find(value).into_iter().for_each(|item| write(inner, item, out)),
        }
    }
}

/// `NAME:.metadata.name,CPU:.status.allocatable.cpu`: headers and paths.
pub fn custom_columns(text: &str) -> Result<Vec<(String, Path)>, String> {
    let one = |column: &str| {
        let (header, path) = column
            .split_once(':')
            .ok_or_else(|| format!("unexpected custom-columns spec: {column}, expected <header>:<json-path-expr>"))?;
        Ok((header.to_owned(), Path::parse(path)?))
    };
    text.split(',').map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates_are_filled() {
        let value = json!({"items": [
            {"metadata": {"name": "a", "labels": {"x.y/z": "1"}}, "conditions": [{"type": "Ready", "status": "True"}]},
            {"metadata": {"name": "b"}, "n": 3},
        ]});
        for (template, filled) in [
            ("{.items[*].metadata.name}", "a b"),
            ("{range .items[*]}{.metadata.name}{\"\\n\"}{end}", "a\nb\n"),
            ("{.items[0].metadata.labels.x\\.y/z}", "1"),
            ("{.items[0].metadata.labels['x.y/z']}", "1"),
            ("{.items[0].conditions[?(@.type==\"Ready\")].status}", "True"),
            ("{.items[-1].n} {..name}", "3 a b"),
            ("{.items[0:1].metadata.name}", "a"),
            ("plain", "plain"),
        ] {
            assert_eq!(fill(template, &value).as_deref(), Ok(filled), "{template}");
        }
        assert_eq!(fill_go("{{range .items}}{{.metadata.name}}:{{.n}}{{\"\\n\"}}{{end}}", &value).as_deref(), Ok("a:<no value>\nb:3\n"));
        assert!(fill("{.a", &value).is_err());
        assert!(fill("{range .items[*]}", &value).is_err());
    }
}
