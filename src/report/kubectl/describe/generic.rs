//! Kinds without a page of their own: every field, by name.

use serde_json::{Map, Value};

use super::super::World;
use super::super::look::{Look, plain};
use super::{Page, line};

pub fn any(object: &Value, world: &World, page: &mut Page) {
    line!(page, 0, "Name:\t{}", object.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", object.text("metadata.namespace"));
    page.labels_and_annotations(object);
    if let Value::Object(fields) = object {
        write(page, 0, fields, "");
    }
    page.events(object, world);
}

/// What the lines above have said.
const TOLD: [&str; 5] = [".metadata.managedFields", ".metadata.name", ".metadata.namespace", ".metadata.labels", ".metadata.annotations"];

fn write(page: &mut Page, level: usize, fields: &Map<String, Value>, path: &str) {
    for (field, value) in fields {
        let path = format!("{path}.{field}");
        if TOLD.contains(&path.as_str()) {
            continue;
        }
        let label = label(field);
        match value {
            Value::Object(inner) => {
                line!(page, level, "{label}:");
                write(page, level + 1, inner, &path);
            }
            Value::Array(items) => {
                line!(page, level, "{label}:");
                for item in items {
                    match item {
                        Value::Object(inner) => write(page, level + 1, inner, &path),
                        other => page.line(level + 1, &plain(other)),
                    }
                }
            }
            Value::Null => line!(page, level, "{label}:\t<nil>"),
            other => line!(page, level, "{label}:\t{}", plain(other)),
        }
    }
}

/// `creationTimestamp` -> `Creation Timestamp`; words that are acronyms are written large.
fn label(field: &str) -> String {
    const ACRONYMS: [&str; 5] = ["API", "URL", "UID", "OSB", "GUID"];
    let words = words(field).into_iter().filter(|word| word != "_").map(|word| {
        let large = word.to_uppercase();
        if ACRONYMS.contains(&large.as_str()) {
            return large;
        }
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Splits camel case: runs of letters of one class, where the last capital of a run belongs to the small letters that follow.
fn words(field: &str) -> Vec<String> {
    let class = |letter: char| match letter {
        letter if letter.is_lowercase() => 1,
        letter if letter.is_uppercase() => 2,
        letter if letter.is_numeric() => 3,
        _ => 4,
    };
    let mut runs: Vec<(u8, String)> = Vec::new();
    for letter in field.chars() {
        match runs.last_mut() {
            Some((last, run)) if *last == class(letter) => run.push(letter),
            _ => runs.push((class(letter), letter.to_string())),
        }
    }
    for at in 1..runs.len() {
        if runs[at - 1].0 == 2
            && runs[at].0 == 1
            && let Some(capital) = runs[at - 1].1.pop()
        {
            runs[at].1.insert(0, capital);
        }
    }
    runs.into_iter().map(|(_, run)| run).filter(|run| !run.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_names_become_words() {
        for (field, words) in [
            ("creationTimestamp", "Creation Timestamp"),
            ("apiVersion", "API Version"),
            ("uid", "UID"),
            ("podCIDR", "Pod CIDR"),
            ("leaseDurationSeconds", "Lease Duration Seconds"),
        ] {
            assert_eq!(label(field), words);
        }
    }
}
