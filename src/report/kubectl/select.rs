//! Label selectors (`-l`), field selectors (`--field-selector`) and the paths of `--sort-by`.

use std::cmp::Ordering;

use serde_json::Value;

use super::look::{Look, plain};
use crate::objects::Quantity;

/// What objects must have, ANDed.
#[derive(Default, Debug)]
pub struct Selector(Vec<Term>);

#[derive(Debug)]
enum Term {
    Equals(String, String),
    Differs(String, String),
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Lacks(String),
}

impl Selector {
    /// `app=web,tier!=x,zone in (a,b),!gone,kept`.
    pub fn labels(text: &str) -> Result<Selector, String> {
        let mut terms = Vec::new();
        for part in split_outside_brackets(text) {
            let part = part.trim();
            if part.is_empty() {
                continue;
            }
            let wrong = || format!("unable to parse requirement: \"{part}\"");
            let set = |values: &str| -> Result<Vec<String>, String> {
                let inner = values.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
                Ok(inner.split(',').map(|value| value.trim().to_owned()).collect())
            };
            let word = |text: &str| text.trim().to_owned();
            terms.push(if let Some((key, values)) = part.split_once(" notin ") {
                Term::NotIn(word(key), set(values)?)
            } else if let Some((key, values)) = part.split_once(" in ") {
                Term::In(word(key), set(values)?)
            } else if let Some((key, value)) = part.split_once("!=") {
                Term::Differs(word(key), word(value))
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                Term::Equals(word(key), word(value))
            } else if let Some(key) = part.strip_prefix('!') {
                Term::Lacks(word(key))
            } else if part.contains([' ', '(', ')']) {
                return Err(wrong());
            } else {
                Term::Exists(word(part))
            });
        }
        Ok(Selector(terms))
    }

    /// `status.phase!=Running,spec.nodeName=node-1`.
    pub fn fields(text: &str) -> Result<Selector, String> {
        let mut terms = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            terms.push(if let Some((key, value)) = part.split_once("!=") {
                Term::Differs(key.to_owned(), value.to_owned())
            } else if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
                Term::Equals(key.to_owned(), value.to_owned())
            } else {
                return Err(format!("invalid selector: '{part}'; can't understand '{part}'"));
            });
        }
        Ok(Selector(terms))
    }

    pub fn matches_labels(&self, object: &Value) -> bool {
        let labels = object.at("metadata.labels");
        self.matches(|key| labels.get(key).map(plain))
    }
    /// A field that is not there reads as empty, as the API server's field sets have it.
    pub fn matches_fields(&self, object: &Value) -> bool {
        self.matches(|key| Some(field(object, key)))
    }
    fn matches(&self, value: impl Fn(&str) -> Option<String>) -> bool {
        self.0.iter().all(|term| match term {
            Term::Equals(key, wanted) => value(key).as_ref() == Some(wanted),
            Term::Differs(key, unwanted) => value(key).as_ref() != Some(unwanted),
            Term::In(key, values) => value(key).is_some_and(|value| values.contains(&value)),
            Term::NotIn(key, values) => value(key).is_none_or(|value| !values.contains(&value)),
            Term::Exists(key) => value(key).is_some(),
            Term::Lacks(key) => value(key).is_none(),
        })
    }
}

fn field(object: &Value, key: &str) -> String {
    match key {
        // An event's source is one field for selectors.
        "source" => object.plain("source.component"),
        _ => object.plain(key),
    }
}

/// Splits at commas that no bracket encloses.
fn split_outside_brackets(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Whether a `LabelSelector` of an object (`matchLabels`, `matchExpressions`) selects the labels. An empty one selects everything.
pub fn selects(selector: &Value, object: &Value) -> bool {
    let labels = object.at("metadata.labels");
    let label = |key: &str| labels.get(key);
    let by_labels = selector.pairs("matchLabels").into_iter().all(|(key, value)| label(key) == Some(value));
    by_labels
        && selector.list("matchExpressions").iter().all(|expression| {
            let value = label(expression.text("key"));
            match expression.text("operator") {
                "In" => value.is_some_and(|value| expression.list("values").contains(value)),
                "NotIn" => value.is_none_or(|value| !expression.list("values").contains(value)),
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}

/// The order of `--sort-by`: absent values first, numbers by value, quantities by amount, other texts with numbers in them by those.
pub fn compare(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Null, Value::Null) => Ordering::Equal,
        (Value::Null, _) => Ordering::Less,
        (_, Value::Null) => Ordering::Greater,
        (Value::Number(left), Value::Number(right)) => match (left.as_i64(), right.as_i64()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => left.as_f64().partial_cmp(&right.as_f64()).unwrap_or(Ordering::Equal),
        },
        (Value::String(left), Value::String(right)) => match (Quantity::parse(left), Quantity::parse(right)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => natural(left, right),
        },
        _ => plain(left).cmp(&plain(right)),
    }
}

/// `web-2` before `web-10`: digits are compared as numbers, and stand before other letters.
fn natural(left: &str, right: &str) -> Ordering {
    let (mut rest_left, mut rest_right) = (left.as_bytes(), right.as_bytes());
    while let (Some(first_left), Some(first_right)) = (rest_left.first(), rest_right.first()) {
        match (first_left.is_ascii_digit(), first_right.is_ascii_digit()) {
            (true, false) => return Ordering::Less,
            (false, true) => return Ordering::Greater,
            (false, false) => {
                if first_left != first_right {
                    return first_left.cmp(first_right);
                }
                (rest_left, rest_right) = (&rest_left[1..], &rest_right[1..]);
            }
            (true, true) => {
                let (zeros_left, number_left, after_left) = number(rest_left);
                let (zeros_right, number_right, after_right) = number(rest_right);
                // Without leading zeros the longer number is the greater one; of equal ones that with fewer zeros comes first.
                let by_value = number_left.len().cmp(&number_right.len()).then_with(|| number_left.cmp(number_right));
                let order = by_value.then(zeros_left.cmp(&zeros_right));
                if order.is_ne() {
                    return order;
                }
                (rest_left, rest_right) = (after_left, after_right);
            }
        }
    }
    left.len().cmp(&right.len())
}

/// The number at the beginning: its leading zeros, its other digits, and what follows.
fn number(text: &[u8]) -> (usize, &[u8], &[u8]) {
    let zeros = text.iter().take_while(|byte| **byte == b'0').count();
    let end = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (zeros, &text[zeros..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_numbers_are_ordered_by_the_numbers() {
        let mut names = ["web-10", "web-2", "web-a", "web", "web-02", "a"];
        names.sort_by(|left, right| natural(left, right));
        assert_eq!(names, ["a", "web", "web-2", "web-02", "web-10", "web-a"]);
    }

    #[test]
    fn selectors_read_what_kubectl_reads() {
        let pod = serde_json::json!({"metadata": {"labels": {"app": "web", "tier": "x"}}, "status": {"phase": "Running"}});
        for (selector, matches) in [
            ("app=web", true),
            ("app==web,tier=x", true),
            ("app!=web", false),
            ("other!=web", true),
            ("app in (api,web)", true),
            ("app notin (api, web)", false),
            ("tier", true),
            ("!tier", false),
            ("", true),
        ] {
            assert_eq!(Selector::labels(selector).unwrap().matches_labels(&pod), matches, "{selector}");
        }
        assert!(Selector::labels("a b c").is_err());
        assert!(!Selector::fields("status.phase!=Running").unwrap().matches_fields(&pod));
        assert!(Selector::fields("status.phase").is_err());
    }
}
