//! Looking into objects as JSON: what is absent, null or of another type reads as empty, as a Go struct's zero value does.

use serde_json::Value;

static NULL: Value = Value::Null;

/// Paths have dots: `spec.template.spec.containers`. No field on such a path has a dot in its name.
pub trait Look {
    /// What is at the path; null where nothing is.
    fn at(&self, path: &str) -> &Value;
    /// A string; empty where there is none.
    fn text(&self, path: &str) -> &str;
    /// A list; empty where there is none.
    fn list(&self, path: &str) -> &[Value];
    /// The fields of an object, by name; empty where there is none.
    fn pairs(&self, path: &str) -> Vec<(&str, &Value)>;
    /// A whole number; 0 where there is none.
    fn int(&self, path: &str) -> i64;
    fn flag(&self, path: &str) -> bool;
    /// Neither absent nor null.
    fn has(&self, path: &str) -> bool;
    /// A string or number, as it is printed; empty where there is none.
    fn plain(&self, path: &str) -> String;
}

impl Look for Value {
    fn at(&self, path: &str) -> &Value {
        let mut value = self;
        for part in path.split('.').filter(|part| !part.is_empty()) {
            match value.get(part) {
                Some(inner) => value = inner,
                None => return &NULL,
            }
        }
        value
    }
    fn text(&self, path: &str) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }
    fn list(&self, path: &str) -> &[Value] {
        self.at(path).as_array().map_or(&[], Vec::as_slice)
    }
    fn pairs(&self, path: &str) -> Vec<(&str, &Value)> {
        let fields = self.at(path).as_object().into_iter().flatten();
        fields.map(|(key, value)| (key.as_str(), value)).collect()
    }
    fn int(&self, path: &str) -> i64 {
        self.at(path).as_i64().unwrap_or_default()
    }
    fn flag(&self, path: &str) -> bool {
        self.at(path).as_bool().unwrap_or_default()
    }
    fn has(&self, path: &str) -> bool {
        !self.at(path).is_null()
    }
    fn plain(&self, path: &str) -> String {
        plain(self.at(path))
    }
}

/// A scalar as it is printed: a string without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `<none>` where the text is empty.
pub fn or_none(text: &str) -> &str {
    if text.is_empty() { "<none>" } else { text }
}

/// `<unset>` where the text is empty.
pub fn or_unset(text: &str) -> &str {
    if text.is_empty() { "<unset>" } else { text }
}

/// A label selector as kubectl writes it: `app=web,tier in (w,x)`; `<none>` for one that has no terms.
pub fn selector(selector: &Value) -> String {
    let labels = selector.pairs("matchLabels").into_iter().map(|(key, value)| format!("{key}={}", plain(value)));
    let mut terms: Vec<(String, String)> = labels.map(|term| (term.split('=').next().unwrap_or_default().to_owned(), term)).collect();
    for expression in selector.list("matchExpressions") {
        let key = expression.text("key");
        let mut values: Vec<String> = expression.list("values").iter().map(plain).collect();
        values.sort();
        let values = values.join(",");
        let term = match expression.text("operator") {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            other => format!("{key} {other} ({values})"),
        };
        terms.push((key.to_owned(), term));
    }
    terms.sort_by(|left, right| left.0.cmp(&right.0));
    let terms: Vec<String> = terms.into_iter().map(|(_, term)| term).collect();
    or_none(&terms.join(",")).to_owned()
}

/// A plain map of labels as a selector or a set: `app=web,tier=x`; `<none>` for none.
pub fn label_set(labels: &Value) -> String {
    let terms: Vec<String> = labels.pairs("").into_iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
    or_none(&terms.join(",")).to_owned()
}

/// The names and the images of a pod template's containers, each joined by commas.
pub fn containers(spec: &Value) -> (String, String) {
    let all = |field: &str| spec.list("containers").iter().map(|container| container.text(field)).collect::<Vec<_>>().join(",");
    (all("name"), all("image"))
}

/// The short names of access modes: `RWO,ROX,RWX`.
pub fn access_modes(modes: &[Value]) -> String {
    let short = [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |long: &str| modes.iter().any(|mode| mode.as_str() == Some(long));
    short.iter().filter(|(long, _)| has(long)).map(|(_, short)| *short).collect::<Vec<_>>().join(",")
}

/// Whether the object is owned, as by a controller, by the one with this uid.
pub fn controlled_by(object: &Value, uid: &str) -> bool {
    object.list("metadata.ownerReferences").iter().any(|owner| owner.flag("controller") && owner.text("uid") == uid)
}
