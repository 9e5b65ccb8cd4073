//! JSON as the YAML that kubectl prints: keys sorted, two blanks an indent, sequences not indented below their key, lines of scalars
//! folded after column 80, quotes only where a reader of YAML 1.1 would not see a string.
//!
//! The rules for scalars are those of YAML 1.1 (yaml.org/spec/1.1, plain scalars) in the order in which the emitter behind kubectl tries
//! styles: literal for several lines, plain, double quotes for what would be read as another type, single quotes for what holds an
//! indicator.

use serde_json::Value;

/// Scalars are broken at the first blank after this column.
const WIDTH: usize = 80;

/// A whole document, with its final newline.
pub fn document(value: &Value) -> String {
    let mut writer = Writer { out: String::new(), column: 0 };
    match value {
        Value::Object(fields) if !fields.is_empty() => writer.mapping(fields, 0, true),
        Value::Array(items) if !items.is_empty() => writer.sequence(items, 0),
        scalar => writer.scalar(scalar, 0),
    }
    writer.newline();
    writer.out
}

struct Writer {
    out: String,
    column: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.out.push_str(text);
        self.column += text.chars().count();
    }
    fn newline(&mut self) {
        if self.column > 0 {
            self.out.push('\n');
            self.column = 0;
        }
    }
    /// A new line that begins after so many blanks.
    fn indent(&mut self, depth: usize) {
        self.newline();
        self.put(&" ".repeat(depth));
    }

    /// `fresh`: the first key stands on a line of its own, not after a dash.
    fn mapping(&mut self, fields: &serde_json::Map<String, Value>, depth: usize, fresh: bool) {
        for (number, (key, value)) in fields.iter().enumerate() {
            if number > 0 || fresh {
                self.indent(depth);
            }
            let quoted = self.quoted_key(key);
            self.put(&quoted);
            self.put(":");
            match value {
                Value::Object(inner) if !inner.is_empty() => self.mapping(inner, depth + 2, true),
                Value::Array(items) if !items.is_empty() => self.sequence(items, depth),
                scalar => {
                    self.put(" ");
                    self.scalar(scalar, depth + 2);
                }
            }
        }
    }

    fn sequence(&mut self, items: &[Value], depth: usize) {
        for item in items {
            self.indent(depth);
            self.put("-");
            self.put(" ");
            match item {
                Value::Object(inner) if !inner.is_empty() => self.mapping(inner, depth + 2, false),
                // The first item of a sequence in a sequence stands on the same line: its indent is written by hand.
                Value::Array(inner) if !inner.is_empty() => self.nested(inner, depth + 2),
                scalar => self.scalar(scalar, depth + 2),
            }
        }
    }

    fn nested(&mut self, items: &[Value], depth: usize) {
        for (number, item) in items.iter().enumerate() {
            if number > 0 {
                self.indent(depth);
            }
            self.put("- ");
            match item {
                Value::Object(inner) if !inner.is_empty() => self.mapping(inner, depth + 2, false),
                Value::Array(inner) if !inner.is_empty() => self.nested(inner, depth + 2),
                scalar => self.scalar(scalar, depth + 2),
            }
        }
    }

    fn quoted_key(&self, key: &str) -> String {
        let shape = Shape::of(key);
        if key.is_empty() || shape.several_lines || resolves(key) {
            double_quoted(key)
        } else if shape.plain {
            key.to_owned()
        } else if shape.single {
            format!("'{}'", key.replace('\'', "''"))
        } else {
            double_quoted(key)
        }
    }

    /// `depth`: where further lines of the scalar begin.
    fn scalar(&mut self, value: &Value, depth: usize) {
        match value {
            Value::String(text) => self.string(text, depth),
            Value::Object(_) => self.put("{}"),
            Value::Array(_) => self.put("[]"),
            other => self.put(&other.to_string()),
        }
    }

    fn string(&mut self, text: &str, depth: usize) {
        let shape = Shape::of(text);
        if shape.several_lines && shape.literal {
            self.literal(text, depth);
        } else if shape.several_lines || text.is_empty() || resolves(text) {
            self.folded(&double_quoted(text), depth);
        } else if shape.plain {
            self.folded(text, depth);
        } else if shape.single {
            self.folded(&format!("'{}'", text.replace('\'', "''")), depth);
        } else {
            self.folded(&double_quoted(text), depth);
        }
    }

    /// Breaks the text at lone blanks after the last column; one in double quotes at the first of several too. What is next to a quote
    /// stays there.
    fn folded(&mut self, text: &str, depth: usize) {
        let escapes = text.starts_with('"');
        let margin = if escapes || text.starts_with('\'') { 1 } else { 0 };
        let letters: Vec<char> = text.chars().collect();
        let mut after_blank = false;
        for (at, letter) in letters.iter().enumerate() {
            let inside = at > margin && at + 1 + margin < letters.len();
            let next_is_blank = letters.get(at + 1) == Some(&' ');
            if *letter == ' ' && inside && !after_blank && self.column > WIDTH && (escapes || !next_is_blank) {
                self.indent(depth);
                if next_is_blank {
                    self.put("\\");
                }
            } else {
                self.out.push(*letter);
                self.column += 1;
            }
            after_blank = *letter == ' ';
        }
    }

    fn literal(&mut self, text: &str, depth: usize) {
        self.put("|");
        if text.starts_with([' ', '\n']) {
            self.put("2");
        }
        if !text.ends_with('\n') {
            self.put("-");
        } else if text == "\n" || text.ends_with("\n\n") {
            self.put("+");
        }
        let lines = text.strip_suffix('\n').unwrap_or(text).split('\n');
        for line in lines {
            self.out.push('\n');
            self.column = 0;
            if !line.is_empty() {
                self.put(&" ".repeat(depth));
                self.put(line);
            }
        }
        // An empty last line still has to be ended.
        self.column = self.column.max(1);
    }
}

/// In which styles a string may be written.
struct Shape {
    several_lines: bool,
    plain: bool,
    single: bool,
    literal: bool,
}

impl Shape {
    fn of(text: &str) -> Shape {
        let letters: Vec<char> = text.chars().collect();
        let blank_or_end = |at: usize| letters.get(at).is_none_or(|letter| matches!(letter, ' ' | '\t' | '\n' | '\r'));
        let mut indicator = text.starts_with("---") || text.starts_with("...");
        let (mut special, mut blank_after_break, mut break_after_blank) = (false, false, false);
        for (at, letter) in letters.iter().enumerate() {
            indicator |= match letter {
                '#' => at == 0 || blank_or_end(at - 1),
                ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' => at == 0,
                ':' => blank_or_end(at + 1),
                '?' | '-' => at == 0 && blank_or_end(at + 1),
                _ => false,
            };
            special |= !is_printable(*letter);
            let before = at.checked_sub(1).map(|before| letters[before]);
            blank_after_break |= *letter == ' ' && before == Some('\n');
            break_after_blank |= *letter == '\n' && before == Some(' ');
        }
        let several_lines = text.contains('\n');
        let edge = |letter: char| matches!(letter, ' ' | '\n');
        let bare_edges = !text.starts_with(edge) && !text.ends_with(edge);
        let unspoilt = !special && !break_after_blank;
        Shape {
            several_lines,
            plain: !indicator && !several_lines && bare_edges && unspoilt,
            single: !blank_after_break && unspoilt,
            literal: !text.ends_with(' ') && unspoilt,
        }
    }
}

fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}') && letter != '\u{feff}'
}

fn double_quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            '\u{1b}' => out.push_str("\\e"),
            '\u{85}' => out.push_str("\\N"),
            '\u{feff}' => out.push_str("\\uFEFF"),
            letter if is_printable(letter) => out.push(letter),
            letter if u32::from(letter) <= 0xff => out.push_str(&format!("\\x{:02X}", u32::from(letter))),
            letter if u32::from(letter) <= 0xffff => out.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => out.push_str(&format!("\\U{:08X}", u32::from(letter))),
        }
    }
    out.push('"');
    out
}

/// Whether a plain scalar with this text would be read as something else than a string.
fn resolves(text: &str) -> bool {
    const WORDS: &[&str] = &[
        "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON", "n", "N", "no", "No", "NO", "false", "False", "FALSE",
        "off", "Off", "OFF", "~", "null", "Null", "NULL", ".nan", ".NaN", ".NAN", ".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF",
        "-.inf", "-.Inf", "-.INF", "<<",
    ];
    WORDS.contains(&text) || is_number(text) || is_date(text) || is_base_60(text)
}

fn is_number(text: &str) -> bool {
    let plain = text.replace('_', "");
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) || unsigned.is_empty() {
        return false;
    }
    let of_base = |prefixes: [&str; 2], base: u32| {
        let digits = prefixes.iter().find_map(|prefix| unsigned.strip_prefix(prefix));
        digits.is_some_and(|digits| !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(base)) && digits.len() <= 64)
    };
    if of_base(["0x", "0X"], 16) || of_base(["0b", "0B"], 2) || of_base(["0o", "0O"], 8) {
        return true;
    }
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        None => !mantissa.is_empty() && digits(mantissa),
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
    };
    let exponent_ok = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && digits(unsigned)
    });
    mantissa_ok && exponent_ok
}

/// `2026-11-23`, alone or with a time of day.
fn is_date(text: &str) -> bool {
    let (date, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (&text[..at], Some(&text[at + 1..])),
        None => (text, None),
    };
    let parts: Vec<&str> = date.split('-').collect();
    let digits = |text: &str, most: usize| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_day = parts.len() == 3 && parts[0].len() == 4 && digits(parts[0], 4) && digits(parts[1], 2) && digits(parts[2], 2);
    is_day && time.is_none_or(|time| time.split(':').count() >= 3 && time.starts_with(|first: char| first.is_ascii_digit()))
}

/// `1:30`: a number in base 60 to a reader of YAML 1.1.
fn is_base_60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let sixty = |text: &str| match text.len() {
        1 => digits(text),
        2 => digits(text) && text.as_bytes()[0] <= b'5',
        _ => false,
    };
    first.starts_with(|first: char| first.is_ascii_digit())
        && digits(first)
        && !rest.is_empty()
        && rest.iter().enumerate().all(|(number, part)| {
            let (whole, fraction) = part.split_once('.').unwrap_or((part, ""));
            sixty(whole) && digits(fraction) && (number + 1 == rest.len() || !part.contains('.'))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn strings_are_quoted_only_where_they_would_be_read_as_something_else() {
        for (text, written) in [
            ("web", "web"),
            ("25%", "25%"),
            ("image v2", "image v2"),
            ("a:b", "a:b"),
            ("", "\"\""),
            ("true", "\"true\""),
            ("False", "\"False\""),
            ("8080", "\"8080\""),
            ("1e3", "\"1e3\""),
            ("0x1F", "\"0x1F\""),
            ("100m", "100m"),
            ("10.0.0.1", "10.0.0.1"),
            ("2026-11-23T18:14:54Z", "\"2026-11-23T18:14:54Z\""),
            ("12:30", "\"12:30\""),
            ("a: b", "'a: b'"),
            ("*", "'*'"),
            ("*/1 * * * *", "'*/1 * * * *'"),
            ("it's: so", "'it''s: so'"),
            ("tab\there", "\"tab\\there\""),
            (" edge", "' edge'"),
            ("-", "'-'"),
            ("-c", "-c"),
            ("# no", "'# no'"),
        ] {
            assert_eq!(document(&json!({ "key": text })), format!("key: {written}\n"), "{text:?}");
        }
    }

    #[test]
    fn long_texts_are_folded_at_the_first_blank_after_the_last_column() {
        let word = "x".repeat(76);
        let quoted = document(&json!({ "key": format!("{word}: a b c") }));
        assert_eq!(quoted, format!("key: '{word}:\n  a b c'\n"));
        let plain = document(&json!({ "key": format!("{word} aa b c") }));
        assert_eq!(plain, format!("key: {word}\n  aa b c\n"));
        assert_eq!(document(&json!({ "key": format!("{word} b") })), format!("key: {word}\n  b\n"));
    }

    #[test]
    fn several_lines_are_literal() {
        assert_eq!(document(&json!({"a": {"b": "one\ntwo\n"}})), "a:\n  b: |\n    one\n    two\n");
        assert_eq!(document(&json!({"a": "one\n\ntwo"})), "a: |-\n  one\n\n  two\n");
        assert_eq!(document(&json!({"a": "one\n\n", "b": 1})), "a: |+\n  one\n\nb: 1\n");
    }

    #[test]
    fn sequences_stand_under_their_key() {
        let value = json!({"a": [{"b": 1, "c": []}, "x", [1, 2]], "d": {}});
        assert_eq!(document(&value), "a:\n- b: 1\n  c: []\n- x\n- - 1\n  - 2\nd: {}\n");
    }
}
