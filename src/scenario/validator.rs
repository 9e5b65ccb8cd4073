//! Holds a tree against a JSON Schema, so that one file's errors are all found at once and each points at its place.
//!
//! One walker for every type: it knows the keywords that `schemars` writes for our types, and our units by `format`. Left out: keywords
//! that we don't use (`allOf`, `not`, `patternProperties`; `pattern` is for editors, the units' own parsers decide here).

use serde_json::Value as Json;

use super::units;
use crate::manifest::{Errors, InputError, Node, Path, Value, short};

/// Adds what is wrong with `root` to `errors`.
pub fn validate(file: &str, root: &Node, schema: &Json, errors: &mut Errors) {
    validate_at(file, root, schema, &Path::default(), errors);
}

/// The same for a part of a file, which is at `path` there.
pub fn validate_at(file: &str, root: &Node, schema: &Json, path: &Path, errors: &mut Errors) {
    Walker { file, schema, errors }.node(root, schema, path);
}

struct Walker<'a> {
    file: &'a str,
    schema: &'a Json,
    errors: &'a mut Errors,
}

impl<'a> Walker<'a> {
    fn push(&mut self, error: InputError) {
        self.errors.push(error);
    }
    fn error(&self, node: &Node, path: &Path, message: String) -> InputError {
        super::located(self.file, node.place, path.as_str(), message)
    }
    fn resolve(&self, mut schema: &'a Json) -> &'a Json {
        while let Some(reference) = schema.get("$ref").and_then(Json::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            schema = &self.schema["$defs"][name];
        }
        schema
    }
    fn node(&mut self, node: &Node, schema: &'a Json, path: &Path) {
        let schema = self.resolve(schema);
        if let Some(branches) = schema.get("oneOf").or(schema.get("anyOf")).and_then(Json::as_array) {
            return self.branches(node, branches, path);
        }
        if !self.has_type(node, schema, path) {
            return;
        }
        match &node.value {
            Value::Map(_) => self.map(node, schema, path),
            Value::List(items) => {
                if let Some(inner) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.node(item, inner, &path.index(index));
                    }
                }
            }
            Value::String(text) => self.string(node, text, schema, path),
            Value::Number(number) => self.number(node, number, schema, path),
            Value::Null | Value::Bool(_) => {}
        }
    }
    fn has_type(&mut self, node: &Node, schema: &Json, path: &Path) -> bool {
        let allowed: Vec<&str> = match schema.get("type") {
            None => return true,
            Some(Json::Array(types)) => types.iter().filter_map(Json::as_str).collect(),
            Some(one) => one.as_str().into_iter().collect(),
        };
        let fits = |name: &&str| match (&node.value, *name) {
            (Value::Null, "null") | (Value::Bool(_), "boolean") | (Value::String(_), "string") => true,
            (Value::List(_), "array") | (Value::Map(_), "object") | (Value::Number(_), "number") => true,
            (Value::Number(number), "integer") => !number.is_f64(),
            _ => false,
        };
        if allowed.iter().any(fits) {
            return true;
        }
        let expected = match schema.get("format").and_then(Json::as_str).filter(|format| units::FORMATS.contains(format)) {
            Some(format) => units::check(format, "").err().map(|(_, example)| example.to_owned()).unwrap_or_default(),
            None => {
                let named = allowed.iter().filter(|name| **name != "null").map(|name| type_name(name)).collect::<Vec<_>>();
                named.join(" or ")
            }
        };
        let shown = match &node.value {
            Value::Number(number) => number.to_string(),
            _ => node.type_name().to_owned(),
        };
        let error = self.error(node, path, format!("{shown} is not valid here")).expecting(expected);
        self.push(error);
        false
    }
    fn map(&mut self, node: &Node, schema: &'a Json, path: &Path) {
        let Value::Map(entries) = &node.value else { return };
        let properties = schema.get("properties").and_then(Json::as_object);
        let additional = schema.get("additionalProperties");
        for entry in entries {
            let inner = path.key(&entry.key);
            match (properties.and_then(|properties| properties.get(&entry.key)), additional) {
                (Some(property), _) => self.node(&entry.node, property, &inner),
                (None, Some(Json::Bool(false))) => {
                    let known = properties.into_iter().flatten().map(|(name, _)| name.as_str());
                    let error =
                        super::located(self.file, entry.key_place, inner.as_str(), format!("unknown field \"{}\"", short(&entry.key)));
                    // Beyond the last error that is told, what would be right is of no use.
                    let mut error = if self.errors.is_full() { error } else { error.suggesting(&entry.key, known.clone()) };
                    if error.suggestion.is_none() && !self.errors.is_full() {
                        let names = known.filter(|name| !name.starts_with('$')).collect::<Vec<_>>();
                        error.expected = Some(format!("one of {}", names.join(", ")).into());
                    }
                    self.push(error);
                }
                (None, Some(values @ Json::Object(_))) => self.node(&entry.node, values, &inner),
                (None, _) => {}
            }
        }
        for name in schema.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
            if node.get(name).is_none() {
                let error = self.error(node, path, format!("the field \"{name}\" is missing"));
                let wanted = properties.and_then(|properties| properties.get(name)).map(|schema| self.resolve(schema));
                let example = wanted.and_then(|schema| schema.get("examples")).and_then(|examples| examples.get(0));
                self.push(match example {
                    Some(example) => error.expecting(format!("for example \"{name}\": {example}")),
                    None => error,
                });
            }
        }
    }
    fn string(&mut self, node: &Node, text: &str, schema: &Json, path: &Path) {
        let names: Vec<&str> = match (schema.get("enum"), schema.get("const")) {
            (Some(Json::Array(names)), _) => names.iter().filter_map(Json::as_str).collect(),
            (_, Some(name)) => name.as_str().into_iter().collect(),
            _ => Vec::new(),
        };
        if !names.is_empty() && !names.contains(&text) {
            let error = self.bad_name(node, text, &names, path);
            return self.push(error);
        }
        self.unit(node, text, schema, path);
    }
    fn unit(&mut self, node: &Node, text: &str, schema: &Json, path: &Path) {
        let Some(format) = schema.get("format").and_then(Json::as_str) else { return };
        if let Err((message, example)) = units::check(format, text) {
            let error = self.error(node, path, message).expecting(example);
            self.push(error);
        }
    }
    fn number(&mut self, node: &Node, number: &serde_json::Number, schema: &Json, path: &Path) {
        let value = number.as_f64().unwrap_or(f64::NAN);
        let (least, most) = (schema.get("minimum").and_then(Json::as_f64), schema.get("maximum").and_then(Json::as_f64));
        let (low, high) = (least.is_some_and(|least| value < least), most.is_some_and(|most| value > most));
        if low || high {
            let expected = match (schema.get("minimum"), schema.get("maximum")) {
                (Some(least), Some(most)) => format!("{least} to {most}"),
                (Some(least), None) => format!("{least} or more"),
                (_, most) => format!("{} or less", most.unwrap_or(&Json::Null)),
            };
            let error = self.error(node, path, format!("{number} is out of range")).expecting(expected);
            return self.push(error);
        }
        self.unit(node, &number.to_string(), schema, path);
    }
    /// Enumerations: names, objects with one key that names the variant, or something that may be null.
    fn branches(&mut self, node: &Node, branches: &'a [Json], path: &Path) {
        let branches: Vec<&Json> = branches.iter().map(|branch| self.resolve(branch)).collect();
        let is_null = |branch: &Json| branch.get("type").and_then(Json::as_str) == Some("null");
        let nullable = branches.iter().any(|branch| is_null(branch));
        let rest: Vec<&Json> = branches.into_iter().filter(|branch| !is_null(branch)).collect();
        if nullable && (node.value == Value::Null || rest.len() == 1) {
            if node.value != Value::Null {
                self.node(node, rest[0], path);
            }
            return;
        }
        let mut names = Vec::new();
        let mut variants = Vec::new();
        for branch in &rest {
            names.extend(branch.get("const").and_then(Json::as_str));
            names.extend(branch.get("enum").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str));
            if let Some(Json::Object(properties)) = branch.get("properties") {
                variants.extend(properties.iter().map(|(name, _)| (name.as_str(), *branch)));
            }
        }
        let error = match &node.value {
            Value::String(text) if names.contains(&text.as_str()) => return,
            Value::String(text) if !names.is_empty() => self.bad_name(node, text, &names, path),
            Value::Map(entries) if !variants.is_empty() => {
                if let Some((_, branch)) = entries.iter().find_map(|entry| variants.iter().find(|(name, _)| *name == entry.key)) {
                    return self.map(node, branch, path);
                }
                let list = variants.iter().map(|(name, _)| *name).collect::<Vec<_>>();
                match entries.first() {
                    Some(entry) => {
                        let place = entry.key_place.or(node.place);
                        let message = format!("unknown field \"{}\"", short(&entry.key));
                        super::located(self.file, place, path.key(&entry.key).as_str(), message)
                            .expecting(format!("one of {}", list.join(", ")))
                            .suggesting(&entry.key, list)
                    }
                    None => self.error(node, path, "the object is empty".to_owned()).expecting(format!("one of {}", list.join(", "))),
                }
            }
            _ => {
                let mut expected = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>();
                if !variants.is_empty() {
                    let list = variants.iter().map(|(name, _)| *name).collect::<Vec<_>>();
                    expected.push(format!("an object with one of {}", list.join(", ")));
                }
                self.error(node, path, format!("{} is not valid here", node.type_name())).expecting(expected.join(", "))
            }
        };
        self.push(error);
    }
    fn bad_name(&self, node: &Node, text: &str, names: &[&str], path: &Path) -> InputError {
        let list = names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
        let shown = short(text);
        self.error(node, path, format!("\"{shown}\" is not valid here"))
            .expecting(format!("one of {list}"))
            .suggesting(text, names.iter().copied())
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "object" => "an object",
        "array" => "a list",
        "integer" => "an integer",
        "number" => "a number",
        "boolean" => "true or false",
        "string" => "a string",
        other => other,
    }
}
