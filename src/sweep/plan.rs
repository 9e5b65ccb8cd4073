//! What a sweep is to run, read from the words of the command line.

use crate::base::Digest;
use crate::base::digest::Digester;
use crate::engine::plan::Plan;
use crate::manifest::{self, Errors, InputError};
use crate::scenario::{self, Source, Warning};

/// More runs than this are refused: their outcomes would not fit into memory.
const MAX_RUNS: u128 = 1_000_000;

/// Seeds one after the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seeds {
    pub first: u64,
    pub count: u64,
}

impl Seeds {
    /// `A..B` excludes B, `A..=B` includes it.
    pub fn parse(text: &str) -> Result<Seeds, InputError> {
        let fail = |message: String| {
            InputError::new("--seeds", None, "", message).expecting("\"0..100\" for seeds 0 to 99, or \"0..=100\" for 0 to 100")
        };
        let Some((from, to)) = text.split_once("..") else { return Err(fail(format!("\"{text}\" is not a range"))) };
        let (to, inclusive) = to.strip_prefix('=').map_or((to, false), |to| (to, true));
        let number = |text: &str| match text.trim().parse::<u64>() {
            Ok(number) => Ok(number),
            Err(_) => Err(fail(format!("\"{}\" is not a seed", text.trim()))),
        };
        let (first, last) = (number(from)?, number(to)?);
        let count = (u128::from(last) + u128::from(inclusive)).checked_sub(u128::from(first));
        match count {
            None => Err(fail(format!("the range \"{text}\" runs backwards"))),
            Some(0) => Err(fail(format!("the range \"{text}\" is empty"))),
            Some(count) if count > MAX_RUNS => Err(fail(format!("{count} seeds are beyond the limit of {MAX_RUNS} runs"))),
            Some(count) => Ok(Seeds { first, count: count as u64 }),
        }
    }
    pub fn iter(self) -> impl Iterator<Item = u64> {
        (0..self.count).map(move |number| self.first + number)
    }
    pub fn last(self) -> u64 {
        self.first + (self.count - 1)
    }
}

/// A field of the scenario and the values that it takes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vary {
    pub path: String,
    pub values: Vec<String>,
}

impl Vary {
    /// `PATH=V1,V2`; a comma within brackets, braces or quotes belongs to a value.
    pub fn parse(text: &str) -> Result<Vary, InputError> {
        let fail = |path: &str, message: &str| {
            InputError::new("--vary", None, path, message.to_owned()).expecting("PATH=V1,V2, cluster.nodes[0].count=3,6,9 say")
        };
        let Some((path, values)) = text.split_once('=') else { return Err(fail(text, "no values are given")) };
        let path = path.trim();
        manifest::parse_path(path).map_err(|message| fail(path, &message))?;
        if path == "seed" {
            return Err(fail(path, "seeds are given by --seeds"));
        }
        let values = split(values);
        if values.iter().any(String::is_empty) {
            return Err(fail(path, "a value is empty"));
        }
        if let Some(twice) = values.iter().enumerate().find(|(at, value)| values[..*at].contains(value)) {
            return Err(fail(path, &format!("the value \"{}\" is given twice", twice.1)));
        }
        Ok(Vary { path: path.to_owned(), values })
    }
}

/// Cuts at commas that stand outside of brackets, braces and quotes.
fn split(text: &str) -> Vec<String> {
    let (mut values, mut depth, mut quoted, mut escaped) = (vec![String::new()], 0u32, false, false);
    for letter in text.chars() {
        match letter {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if quoted => {}
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                values.push(String::new());
                continue;
            }
            _ => {}
        }
        values.last_mut().expect("there is a first one").push(letter);
    }
    values.into_iter().map(|value| value.trim().to_owned()).collect()
}

/// The scenario with one value of each varied field.
#[derive(Clone, Debug)]
pub struct Variation {
    /// In the order of [`Sweep::vary`].
    pub values: Vec<String>,
    /// All settings: the fixed ones, then the varied.
    pub sets: Vec<String>,
    /// Of the scenario as resolved, and of the plan that it becomes.
    pub content: Digest,
    /// As resolved, seed aside.
    source: Source,
    /// Bytes that a run of it will take.
    pub memory: u64,
}

impl Variation {
    /// The plan of a seed: what `sim run --seed` would play.
    pub fn plan(&self, seed: u64) -> Result<Plan, Vec<InputError>> {
        scenario::load(&self.source, &[format!("seed={seed}")]).map(|loaded| loaded.plan)
    }
}

/// Every run of a sweep: each variation with each seed.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// As the user named it.
    pub scenario: String,
    /// The scenario's own name.
    pub name: String,
    pub seeds: Seeds,
    pub vary: Vec<Vary>,
    /// In the order of the values as given; the last varied field changes first.
    pub variations: Vec<Variation>,
    pub warnings: Vec<Warning>,
    /// The dear checks too.
    pub check_full: bool,
}

impl Sweep {
    /// Reads the words of the command line, and loads every variation: all that is wrong with the input is told before anything runs.
    pub fn new(scenario: &str, seeds: &str, vary: &[String], sets: &[String]) -> Result<Sweep, Vec<InputError>> {
        let mut errors = Vec::new();
        let mut keep = |error: InputError| errors.push(error);
        let seeds = Seeds::parse(seeds).map_err(&mut keep);
        let mut varied: Vec<Vary> = Vec::new();
        for text in vary {
            match Vary::parse(text) {
                Ok(vary) if varied.iter().any(|other| other.path == vary.path) => {
                    keep(InputError::new("--vary", None, &vary.path, "is varied twice".to_owned()));
                }
                Ok(vary) => varied.push(vary),
                Err(error) => keep(error),
            }
        }
        let source = scenario::find(scenario).map_err(&mut keep);
        let (Ok(seeds), Ok(source), true) = (seeds, source, errors.is_empty()) else { return Err(errors) };
        let loaded = scenario::load(&source, sets)?;
        let combined = varied.iter().fold(u128::from(seeds.count), |runs, vary| runs.saturating_mul(vary.values.len() as u128));
        if combined > MAX_RUNS {
            return Err(vec![InputError::new("--vary", None, "", format!("{combined} runs are beyond the limit of {MAX_RUNS}"))]);
        }
        Ok(Sweep {
            scenario: scenario.to_owned(),
            name: loaded.plan.name.to_string(),
            seeds,
            variations: variations(&source, &varied, sets)?,
            vary: varied,
            warnings: loaded.warnings,
            check_full: false,
        })
    }
    /// How many runs there are.
    pub fn len(&self) -> usize {
        self.variations.len() * self.seeds.count as usize
    }
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The variation and the seed of the n-th run.
    pub fn run(&self, number: usize) -> (usize, u64) {
        let seeds = self.seeds.count as usize;
        (number / seeds, self.seeds.first + (number % seeds) as u64)
    }
    /// The line that plays a run again.
    pub fn command(&self, variation: usize, seed: u64) -> String {
        let mut line = format!("sim run {} --seed {seed}", quoted(&self.scenario));
        for set in &self.variations[variation].sets {
            line.push_str(" --set ");
            line.push_str(&quoted(set));
        }
        if self.check_full {
            line.push_str(" --check full");
        }
        line
    }
}

/// All combinations of the varied values.
fn variations(source: &Source, vary: &[Vary], sets: &[String]) -> Result<Vec<Variation>, Vec<InputError>> {
    let mut combinations: Vec<Vec<String>> = vec![Vec::new()];
    for vary in vary {
        let longer =
            |values: &Vec<String>| vary.values.iter().map(|value| [&values[..], std::slice::from_ref(value)].concat()).collect::<Vec<_>>();
        combinations = combinations.iter().flat_map(longer).collect();
    }
    let mut errors = Errors::default();
    let mut told: Vec<InputError> = Vec::new();
    let mut variations = Vec::new();
    for values in combinations {
        let mut all = sets.to_vec();
        all.extend(vary.iter().zip(&values).map(|(vary, value)| format!("{}={value}", vary.path)));
        match scenario::load(source, &all) {
            Ok(loaded) => {
                let mut content = Digester::default();
                content.bytes(loaded.resolved.as_bytes());
                content.bytes(format!("{:?}", loaded.plan).as_bytes());
                let resolved = Source { file: source.file.clone(), text: loaded.resolved.into_bytes(), folder: source.folder.clone() };
                let memory = crate::engine::memory::estimate(&loaded.plan);
                variations.push(Variation { values, sets: all, content: content.digest(), source: resolved, memory });
            }
            // Without the varied values the scenario is right: what has no place in the file is theirs.
            Err(found) => {
                for mut error in found {
                    if error.file == "--set" {
                        error.file = "--vary".to_owned();
                    }
                    // The same error comes again in every combination with the value.
                    if !told.contains(&error) {
                        told.push(error.clone());
                        errors.push(error);
                    }
                }
            }
        }
    }
    if errors.is_empty() { Ok(variations) } else { Err(errors.into_vec()) }
}

/// A word for a POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rust() {
        assert_eq!(Seeds::parse("3..7").unwrap(), Seeds { first: 3, count: 4 });
        assert_eq!(Seeds::parse("3..=7").unwrap(), Seeds { first: 3, count: 5 });
        let top = Seeds::parse("18446744073709551615..=18446744073709551615").unwrap();
        assert_eq!(top.iter().collect::<Vec<_>>(), [u64::MAX]);
        for (text, wrong) in [("5..5", "is empty"), ("7..3", "runs backwards"), ("7", "is not a range"), ("a..3", "\"a\" is not a seed")] {
            assert!(Seeds::parse(text).unwrap_err().to_string().contains(wrong), "{text}");
        }
        assert!(Seeds::parse("0..=18446744073709551615").unwrap_err().to_string().contains("beyond the limit"));
    }

    #[test]
    fn a_comma_inside_a_value_does_not_cut_it() {
        let vary = Vary::parse(r#"faults=[],[{"at":"1m","registryDown":{}}],"a,b""#).unwrap();
        assert_eq!(vary.values, ["[]", r#"[{"at":"1m","registryDown":{}}]"#, "\"a,b\""]);
    }

    #[test]
    fn what_cannot_be_varied_is_told() {
        for (text, wrong) in [
            ("duration", "--vary: duration: no values are given"),
            ("duration=", "a value is empty"),
            ("duration=1m,1m", "the value \"1m\" is given twice"),
            ("seed=1,2", "seeds are given by --seeds"),
            ("a..b=1", "empty key"),
        ] {
            assert!(Vary::parse(text).unwrap_err().to_string().contains(wrong), "{text}");
        }
    }

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("duration=2m"), "duration=2m");
        assert_eq!(quoted("faults[0].at=3m"), "'faults[0].at=3m'");
        assert_eq!(quoted("it's"), "'it'\\''s'");
    }
}
