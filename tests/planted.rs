//! Mistakes that are planted in etcd, its Raft and its client, each found by the check that is meant to find it: `tests/planted/found.txt`
//! has a line for each, with the run that shows it. Without the feature `planted-bugs` nothing can be planted, and only the list is checked.
#![cfg_attr(not(feature = "planted-bugs"), expect(dead_code, reason = "only runs with planted mistakes look at all of a line"))]

use std::collections::BTreeSet;
use std::path::Path;

/// One line of the list.
struct Line<'a> {
    bug: &'a str,
    scenario: &'a str,
    seed: u64,
    /// What the check says, in part.
    words: &'a str,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let parts: Vec<&str> = line.split('|').map(str::trim).collect();
            let [bug, scenario, seed, words] = parts[..] else { panic!("a line has four parts: {line}") };
            Line { bug, scenario, seed: seed.parse().unwrap(), words }
        })
        .collect()
}
fn read() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted/found.txt")).unwrap()
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
    use clustersim::host::sim;
    use clustersim::scenario;

    /// The violations of a run with all checks.
    fn violations(scenario: &str, seed: u64, bug: Option<&str>) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/planted").join(format!("{scenario}.json"));
        let name = if path.exists() { path.display().to_string() } else { scenario.to_owned() };
        let mut sets = vec![format!("seed={seed}")];
        sets.extend(bug.map(|bug| format!("cluster.timings.plantedBug={bug}")));
        let plan = scenario::load(&scenario::find(&name).unwrap(), &sets).unwrap().plan;
        let record = sim::run(plan, Options { check_full: true, ..Options::default() }, &mut |_| {});
        record.violations.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_mistake_is_found_by_the_check_that_is_meant_to_find_it() {
        let text = read();
        let missed = lines(&text).into_iter().filter_map(|Line { bug, scenario, seed, words }| {
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
}
