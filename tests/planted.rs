//! Mistakes that are planted in etcd, its Raft and its client, each found by the check that is meant to find it: `tests/planted/found.txt`
//! has a line for each, with the run that shows it. Without the feature `planted-bugs` nothing can be planted, and only the list is checked.
#![cfg_attr(not(feature = "planted-bugs"), expect(dead_code, reason = "only runs with planted mistakes look at all of a line"))]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// One line of the list, but for the median that [`campaigns`](planted) measure.
struct Line<'a> {
    bug: &'a str,
    scenario: &'a str,
    seed: u64,
    /// What the check says, in part.
    words: &'a str,
}

/// Campaigns of a mistake; each looks at seeds of its own, one after another.
const CAMPAIGNS: u64 = 20;

fn lines(text: &str) -> Vec<Line<'_>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [bug, scenario, seed, _median, words] = parts[..] else { panic!("a line has five parts: {line}") };
            Line { bug, scenario, seed: seed.parse().unwrap(), words }
        })
        .collect()
}
fn list() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted/found.txt")
}
fn read() -> String {
    std::fs::read_to_string(list()).unwrap()
}

#[test]
fn every_mistake_has_a_line() {
    let text = read();
    let listed: BTreeSet<String> = lines(&text).iter().map(|line| line.bug.to_owned()).collect();
    let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/base/planted.rs")).unwrap();
    let body = source.split_once("pub enum Bug {").unwrap().1.split_once("\n}").unwrap().0;
    let names = body.lines().map(str::trim).filter(|line| line.ends_with(',') && !line.starts_with("//"));
    let kebab = |name: &str| {
        let mut text = String::new();
        for letter in name.trim_end_matches(',').chars() {
            if letter.is_uppercase() && !text.is_empty() {
                text.push('-');
            }
            text.extend(letter.to_lowercase());
        }
        text
    };
    assert_eq!(names.map(kebab).collect::<BTreeSet<String>>(), listed);
}

#[cfg(feature = "planted-bugs")]
mod planted {
    use super::*;
    use clustersim::engine::Options;
    use clustersim::{scenario, sweep};
    use rayon::prelude::*;

    /// The violations of a run with all checks.
    fn violations(scenario: &str, seed: u64, bug: Option<&str>) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted").join(format!("{scenario}.json"));
        let name = if path.exists() { path.display().to_string() } else { scenario.to_owned() };
        let mut sets = vec![format!("seed={seed}")];
        sets.extend(bug.map(|bug| format!("cluster.timings.plantedBug={bug}")));
        let plan = scenario::load(&scenario::find(&name).unwrap(), &sets).unwrap().plan;
        // Some mistakes come up against an assertion of the store itself, which ends the run.
        match sweep::play_with(plan, Options { check_full: true, ..Options::default() }) {
            Ok(record) => record.violations.iter().map(ToString::to_string).collect(),
            Err(_) => vec!["an assertion failed".to_owned()],
        }
    }

    #[test]
    fn every_mistake_is_found_by_the_check_that_is_meant_to_find_it() {
        let text = read();
        let missed = lines(&text).into_iter().filter_map(|Line { bug, scenario, seed, words, .. }| {
            let found = violations(scenario, seed, Some(bug));
            let is_found = found.iter().any(|violation| violation.contains(words));
            (!is_found).then(|| format!("{bug} in {scenario} with seed {seed}: {found:?} has no \"{words}\""))
        });
        let missed: Vec<String> = missed.collect();
        assert!(missed.is_empty(), "{}", missed.join("\n"));
    }

    #[test]
    fn nothing_is_found_where_nothing_is_planted() {
        let text = read();
        let runs: BTreeSet<(&str, u64)> = lines(&text).iter().map(|line| (line.scenario, line.seed)).collect();
        for (scenario, seed) in runs {
            assert_eq!(violations(scenario, seed, None), [""; 0], "{scenario} with seed {seed}");
        }
    }

    /// Seeds that this campaign looked at until a check, whichever, found the mistake.
    fn seeds_needed(line: &Line, campaign: u64) -> u64 {
        let first = campaign * 1000;
        let found = (first..first + 1000).find(|seed| !violations(line.scenario, *seed, Some(line.bug)).is_empty());
        1 + found.unwrap_or_else(|| panic!("{} is not found in {} by seeds {first} to {}", line.bug, line.scenario, first + 999)) - first
    }

    #[test]
    #[ignore = "minutes in release: cargo test --release --features planted-bugs --test planted -- --ignored --nocapture"]
    fn campaigns_need_as_many_seeds_as_the_list_says() {
        let text = read();
        let measured: Vec<String> = lines(&text)
            .iter()
            .map(|line| {
                let mut needed: Vec<u64> = (0..CAMPAIGNS).into_par_iter().map(|campaign| seeds_needed(line, campaign)).collect();
                needed.sort_unstable();
                // The lower of the two in the middle: a count of seeds that there was.
                let median = needed[needed.len() / 2 - 1];
                println!("{}: {needed:?}", line.bug);
                format!("{} | {} | {} | {median} | {}", line.bug, line.scenario, line.seed, line.words)
            })
            .collect();
        let head = text.lines().filter(|line| line.starts_with('#')).map(str::to_owned);
        let found: String = head.chain(measured).map(|line| line + "\n").collect();
        #[expect(clippy::disallowed_methods, reason = "the list is written when the environment asks for it")]
        let update = std::env::var_os("UPDATE_GOLDENS").is_some();
        if update {
            std::fs::write(list(), found).unwrap();
        } else {
            assert_eq!(found, text, "UPDATE_GOLDENS=1 writes the list anew");
        }
    }
}
