//! What is wrong with an input, where, and what would be right.

use std::fmt;

use super::tree::Place;

/// All errors of a file are reported together, up to so many.
pub const MAX_ERRORS: usize = 20;

/// One error: `scenarios/burst.json:14:22: workload[0].cpu: "2x" is not a quantity (expected "2" or "500m")`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputError {
    /// As the user named it, or `--set`.
    pub file: String,
    pub place: Option<Place>,
    /// `faults[0].at`; empty for the file as a whole.
    pub path: String,
    pub message: String,
    /// What would have been right.
    pub expected: Option<Box<str>>,
    /// The nearest valid name.
    pub suggestion: Option<Box<str>>,
}

impl InputError {
    pub fn new(file: &str, place: Option<Place>, path: &str, message: String) -> InputError {
        InputError { file: file.to_owned(), place, path: path.to_owned(), message, expected: None, suggestion: None }
    }
    pub fn expecting(mut self, expected: impl Into<Box<str>>) -> InputError {
        self.expected = Some(expected.into());
        self
    }
    /// Suggests the candidate nearest to `wrong`, if one is near.
    pub fn suggesting<'a>(mut self, wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> InputError {
        self.suggestion = nearest(wrong, candidates).map(Into::into);
        self
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, &self.file, self.place, &self.path)?;
        f.write_str(&self.message)?;
        match (&self.expected, &self.suggestion) {
            (None, None) => Ok(()),
            (Some(expected), None) => write!(f, " (expected {expected})"),
            (None, Some(name)) => write!(f, " (did you mean \"{name}\"?)"),
            (Some(expected), Some(name)) => write!(f, " (expected {expected}; did you mean \"{name}\"?)"),
        }
    }
}
impl std::error::Error for InputError {}

/// Something that is understood but has no effect, or not the whole one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Warning {
    pub file: String,
    pub place: Option<Place>,
    pub path: String,
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, &self.file, self.place, &self.path)?;
        f.write_str(&self.message)
    }
}

fn head(f: &mut fmt::Formatter<'_>, file: &str, place: Option<Place>, path: &str) -> fmt::Result {
    f.write_str(file)?;
    if let Some(Place { line, column }) = place {
        write!(f, ":{line}:{column}")?;
    }
    f.write_str(": ")?;
    if path.is_empty() { Ok(()) } else { write!(f, "{path}: ") }
}

/// Errors as they are found; those beyond [`MAX_ERRORS`] are counted only.
#[derive(Clone, Default, Debug)]
pub struct Errors {
    found: Vec<InputError>,
    more: usize,
}

impl Errors {
    pub fn push(&mut self, error: InputError) {
        if self.found.len() < MAX_ERRORS { self.found.push(error) } else { self.more += 1 }
    }
    /// Those found so far, as they were found.
    pub fn found(&self) -> &[InputError] {
        &self.found
    }
    /// There is no room for more: what follows is counted only.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MAX_ERRORS
    }
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }
    pub fn append(&mut self, others: Errors) {
        for error in others.found {
            self.push(error);
        }
        self.more += others.more;
    }
    /// In the order of the file, with a last line that tells how many were left out.
    pub fn into_vec(mut self) -> Vec<InputError> {
        self.found.sort_by(|a, b| (&a.file, a.place).cmp(&(&b.file, b.place)));
        if self.more > 0 {
            let file = self.found[0].file.clone();
            self.found.push(InputError::new(&file, None, "", format!("and {} more errors", self.more)));
        }
        self.found
    }
}

/// The candidate most like `wrong`, if it is like it at all: similarity of at least 0.6, or one begins with the other.
pub fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let wrong_lower = wrong.to_lowercase();
    let mut best: Option<(f64, &str)> = None;
    // A cut keeps huge inputs cheap: the measure is quadratic.
    if wrong.len() > 200 {
        return None;
    }
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let begins = wrong_lower.len() >= 3 && (lower.starts_with(&wrong_lower) || (lower.len() >= 3 && wrong_lower.starts_with(&lower)));
        let likeness = strsim::normalized_damerau_levenshtein(&wrong_lower, &lower).max(if begins { 0.6 } else { 0.0 });
        if likeness >= 0.6 && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, candidate));
        }
    }
    best.map(|(_, name)| name.to_owned())
}
