//! `sim schema`: the JSON Schema of scenario files; and what one field means, for people.

use std::fmt::Write;

use clap::Args;
use serde_json::Value;

use super::{Outcome, complain, say};
use crate::scenario::{self, InputError};

/// The JSON Schema of scenario files, or what a field means.
///
/// An editor that knows the schema completes and checks while you write. With a field, its meaning and those of the fields in it are printed
/// instead: `sim schema faults.partition`.
#[derive(Args)]
#[command(after_help = "Examples:\n  sim schema faults\n  sim schema expectations.within\n  sim schema cluster.nodes\n  sim schema > \
                        scenario.schema.json, and in a scenario \"$schema\": \"./scenario.schema.json\"")]
pub struct Schema {
    /// A field, as errors and --set call it; indexes may be left out: faults, faults.partition.from, cluster.nodes[0].taints.
    field: Option<String>,
}

impl Schema {
    pub fn run(self) -> Outcome {
        let Some(field) = self.field else {
            say(&scenario::schema());
            return Outcome::Held;
        };
        let root: Value = serde_json::from_str(&scenario::schema()).expect("the schema is JSON");
        match meaning(&root, &field) {
            Ok(text) => {
                say(&text);
                Outcome::Held
            }
            Err(error) => complain(&[error]),
        }
    }
}

/// What a field means, and the fields in it.
fn meaning(root: &Value, field: &str) -> Result<String, InputError> {
    let mut schema = root;
    let mut description = text_of(root);
    let mut walked = String::new();
    let names = field.split('.').map(|part| part.split('[').next().unwrap_or_default()).filter(|name| !name.is_empty());
    for name in names {
        let inner = inside(root, schema);
        let Some(found) = property(inner, name) else {
            let known = fields(root, inner).into_iter().map(|(name, ..)| name).collect::<Vec<_>>();
            let message = format!("{} has no field \"{name}\"", if walked.is_empty() { "a scenario" } else { walked.as_str() });
            let error = InputError::new("sim schema", None, field, message);
            let error = if known.is_empty() { error } else { error.expecting(format!("one of {}", known.join(", "))) };
            return Err(error.suggesting(name, known.iter().map(String::as_str)));
        };
        walked = if walked.is_empty() { name.to_owned() } else { format!("{walked}.{name}") };
        description = text_of(found).or(text_of(resolved(root, found)));
        schema = found;
    }
    let mut text = format!("{} ({})\n", if walked.is_empty() { "scenario" } else { &walked }, type_of(root, schema));
    for line in wrapped(description.unwrap_or_default(), 96) {
        writeln!(text, "  {line}").expect("text takes text");
    }
    for (name, kind, required, meaning) in fields(root, inside(root, schema)) {
        let must = if required { ", required" } else { "" };
        write!(text, "\n  {name} ({kind}{must})\n").expect("text takes text");
        for line in wrapped(meaning, 92) {
            writeln!(text, "      {line}").expect("text takes text");
        }
    }
    Ok(text)
}

fn text_of(schema: &Value) -> Option<&str> {
    schema.get("description").and_then(Value::as_str)
}

/// Through references, and past "or null".
fn resolved<'a>(root: &'a Value, mut schema: &'a Value) -> &'a Value {
    loop {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next()) {
            schema = &root["$defs"][name];
        } else if let Some(some) = schema.get("anyOf").and_then(Value::as_array).and_then(|branches| branches.first()) {
            schema = some;
        } else {
            return schema;
        }
    }
}

/// The object that a field holds: itself, an item of the list, a value of the map.
fn inside<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = resolved(root, schema);
    let values = schema.get("additionalProperties").filter(|values| values.is_object());
    schema.get("items").or(values).map_or(schema, |inner| inside(root, inner))
}

/// A field of an object, or a variant of an enumeration.
fn property<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let own = schema.get("properties").and_then(|properties| properties.get(name));
    own.or_else(|| {
        let variants = schema.get("oneOf").and_then(Value::as_array)?;
        variants.iter().find_map(|variant| variant.get("properties")?.get(name))
    })
}

/// (name, type, required, meaning) of the fields or variants of a schema, as its types list them.
fn fields<'a>(root: &'a Value, schema: &'a Value) -> Vec<(String, String, bool, &'a str)> {
    let required = |name: &str| {
        schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)))
    };
    let mut found = Vec::new();
    for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let meaning = text_of(property).or(text_of(resolved(root, property))).unwrap_or_default();
        found.push((name.clone(), type_of(root, property), required(name), meaning));
    }
    for variant in schema.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        let meaning = text_of(variant).unwrap_or_default();
        if let Some(name) = variant.get("const").and_then(Value::as_str) {
            found.push((name.to_owned(), "value".to_owned(), false, meaning));
        }
        for (name, property) in variant.get("properties").and_then(Value::as_object).into_iter().flatten() {
            found.push((name.clone(), type_of(root, property), false, meaning));
        }
    }
    found
}

/// `duration`, `list of text`, `object`.
fn type_of(root: &Value, schema: &Value) -> String {
    let schema = resolved(root, schema);
    if let Some(format) = schema.get("format").and_then(Value::as_str).filter(|format| scenario::units::FORMATS.contains(format)) {
        let example = schema.get("examples").and_then(|examples| examples.get(0)).and_then(Value::as_str);
        return example.map_or(format.to_owned(), |example| format!("{format}, as in \"{example}\""));
    }
    if schema.get("oneOf").is_some() {
        return "one of several".to_owned();
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        Some(name) => name.as_str().into_iter().collect(),
        None => Vec::new(),
    };
    match (names.as_slice(), schema.get("items"), schema.get("additionalProperties")) {
        (["array"], Some(items), _) => format!("list of {}", type_of(root, items)),
        (["object"], _, Some(values)) if values.is_object() => format!("object by name, of {}", type_of(root, values)),
        (["string"], ..) => "text".to_owned(),
        (["boolean"], ..) => "true or false".to_owned(),
        (["integer"], ..) => "whole number".to_owned(),
        ([one], ..) => (*one).to_owned(),
        _ => "anything".to_owned(),
    }
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(field: &str) -> Result<String, String> {
        let root: Value = serde_json::from_str(&scenario::schema()).unwrap();
        meaning(&root, field).map_err(|error| error.to_string())
    }

    #[test]
    fn a_field_is_explained_with_those_in_it() {
        let partition = of("faults[0].partition").unwrap();
        assert!(partition.starts_with("faults.partition (object)\n  Nothing passes between two sets of machines.\n"), "{partition}");
        assert!(partition.contains("\n  from (object, required)\n      One side.\n"), "{partition}");
        assert!(of("faults.at").unwrap().starts_with("faults.at (duration, as in \"5m30s\")\n"));
        assert!(of("expectations.pods.state").unwrap().contains("\n  ready (value)\n"));
        assert!(of("behaviours.readyAfter").unwrap().contains("\n  logNormal ("));
        assert!(of("").unwrap().contains("\n  cluster (object)\n"));
    }

    #[test]
    fn every_field_of_every_object_can_be_asked_for() {
        let root: Value = serde_json::from_str(&scenario::schema()).unwrap();
        let mut paths = vec![String::new()];
        let mut seen = 0;
        while let Some(path) = paths.pop() {
            let mut schema = &root;
            for name in path.split('.').filter(|name| !name.is_empty()) {
                schema = property(inside(&root, schema), name).unwrap();
            }
            for (name, kind, _, meaning) in fields(&root, inside(&root, schema)) {
                assert!(!meaning.is_empty(), "{path}.{name} says nothing");
                if kind != "value" {
                    paths.push(if path.is_empty() { name } else { format!("{path}.{name}") });
                }
            }
            of(&path).unwrap();
            seen += 1;
        }
        assert!(seen > 150, "{seen} fields");
    }

    #[test]
    fn an_unknown_field_gets_the_nearest() {
        let error = of("faults.partitoin").unwrap_err();
        assert!(error.contains("faults has no field \"partitoin\"") && error.contains("did you mean \"partition\"?"), "{error}");
        assert!(of("falts").unwrap_err().contains("did you mean \"faults\"?"));
    }
}
