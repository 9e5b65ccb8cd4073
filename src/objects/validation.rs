//! What the API server refuses: names, labels, required fields, ranges (facts/api.md sections 1 and 2).

use super::Object;

/// One violation: where, and what is wrong, in the API server's words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// `spec.containers[0].name`
    pub path: String,
    /// `Required value`
    pub message: String,
}

/// All violations of a new object. Empty if it is valid.
pub fn validate(object: &Object) -> Vec<Violation> {
    let mut violations = Vec::new();
    let meta = object.meta();
    if meta.name.is_empty() && meta.generate_name.is_empty() {
        violations.push(Violation { path: "metadata.name".into(), message: "Required value: name or generateName is required".into() });
    }
    violations
}
