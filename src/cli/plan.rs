//! `sim plan`: how many more nodes are needed.

use clap::Args;
use serde::Serialize;

use super::{Outcome, complain, say, whole};
use crate::engine::Options;
use crate::engine::record::Record;
use crate::host::sim;
use crate::report::model::Model;
use crate::scenario::{self, InputError, Source};
use crate::wire::fact::{Subject, What};

/// What the help ends with.
const HELP: &str = "The scenario is played with 0, 1, 2, 4, ... more nodes until nothing waits for a node at the end and all expectations hold, \
                    also under its faults; then the least such number is found between the last two. It is supposed that more nodes never \
                    hurt.\n\nExit status: 0 a number was found; 1 none up to --most; 2 the scenario or the command line is wrong.\n\nExample: \
                    sim plan zone-outage --group worker";

/// How many more nodes of a group are needed until everything fits and all expectations hold.
#[derive(Args)]
#[command(after_help = HELP)]
pub struct Plan {
    /// A scenario file, or the name of a shipped scenario.
    scenario: String,
    /// The group of nodes that grows, by its name. Default: the first.
    #[arg(long)]
    group: Option<String>,
    /// The most nodes to add.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    most: u64,
    /// Play with this seed instead of the scenario's.
    #[arg(long, value_parser = whole)]
    seed: Option<u64>,
    /// Change a field of the scenario: duration=2m. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// One run with a number of nodes more.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Probe {
    more: u64,
    nodes: u64,
    fits: bool,
    /// Pods that wait for a node at the end.
    waiting: usize,
    /// What one of them is told.
    why: Option<String>,
    /// Expectations and invariants that did not hold.
    failed: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Found<'a> {
    format: u32,
    name: &'a str,
    seed: u64,
    group: &'a str,
    /// Absent if none up to the most that was tried is enough.
    more: Option<u64>,
    probes: &'a [Probe],
}

impl Plan {
    pub fn run(self) -> Outcome {
        let played = scenario::find(&self.scenario).map_err(|error| vec![error]).and_then(|source| self.search(&source));
        match played {
            Ok(outcome) => outcome,
            Err(errors) => complain(&errors),
        }
    }

    fn search(&self, source: &Source) -> Result<Outcome, Vec<InputError>> {
        let mut sets = self.set.clone();
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        let loaded = scenario::load(source, &sets)?;
        loaded.needs_cluster("add nodes to").map_err(|error| vec![error])?;
        let resolved: serde_json::Value = serde_json::from_str(&loaded.resolved).expect("a resolved scenario is JSON");
        let groups: Vec<(&str, u64)> = resolved["cluster"]["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|group| (group["name"].as_str().unwrap_or("worker"), group["count"].as_u64().unwrap_or(0)))
            .collect();
        if groups.is_empty() {
            let message = format!("\"{}\" has no groups of nodes: there is nothing to add nodes to", loaded.plan.name);
            return Err(vec![InputError::new("scenario", None, "", message).expecting("a scenario with \"nodes\" in its \"cluster\"")]);
        }
        let wanted = self.group.as_deref();
        let Some(at) = groups.iter().position(|(name, _)| wanted.is_none_or(|wanted| wanted == *name)) else {
            let names = groups.iter().map(|(name, _)| *name);
            let error = InputError::new("--group", None, "", format!("there is no group \"{}\"", wanted.unwrap_or("")));
            let error = error.expecting(format!("one of {}", names.clone().collect::<Vec<_>>().join(", ")));
            return Err(vec![error.suggesting(wanted.unwrap_or(""), names)]);
        };
        let (group, count) = groups[at];
        let mut probes: Vec<Probe> = Vec::new();
        let more = least(self.most, &mut |more| {
            let mut sets = sets.clone();
            sets.push(format!("cluster.nodes[{at}].count={}", count + more));
            let record = sim::run(scenario::load(source, &sets)?.plan, Options::default(), &mut |_| {});
            let probe = probe(more, count + more, &record);
            if !self.json {
                say(&probe.line());
            }
            let fits = probe.fits;
            probes.push(probe);
            Ok::<bool, Vec<InputError>>(fits)
        })?;
        if self.json {
            let found = Found { format: 1, name: &loaded.plan.name, seed: loaded.plan.seed, group, more, probes: &probes };
            say(&(serde_json::to_string_pretty(&found).expect("plain data") + "\n"));
        } else {
            say(&match more {
                Some(0) => format!("{group}: {count} nodes are enough\n"),
                Some(more) => format!("{group}: {more} more needed, {} in all\n", count + more),
                None => format!("{group}: {} more are not enough\n", self.most),
            });
        }
        Ok(if more.is_some() { Outcome::Held } else { Outcome::Failed })
    }
}

/// The least number up to `most` that is enough, if more never hurts: by doubling, then between the last that was not and the first that
/// was.
fn least<E>(most: u64, is_enough: &mut impl FnMut(u64) -> Result<bool, E>) -> Result<Option<u64>, E> {
    if is_enough(0)? {
        return Ok(Some(0));
    }
    let (mut too_few, mut tried) = (0, 1);
    while !is_enough(tried)? {
        if tried == most {
            return Ok(None);
        }
        (too_few, tried) = (tried, (tried * 2).min(most));
    }
    let mut enough = tried;
    while enough - too_few > 1 {
        let middle = too_few + (enough - too_few) / 2;
        if is_enough(middle)? { enough = middle } else { too_few = middle }
    }
    Ok(Some(enough))
}

fn probe(more: u64, nodes: u64, record: &Record) -> Probe {
    let model = Model::new(record);
    let waiting: Vec<_> = model.pods.iter().filter(|pod| pod.bound.is_none() && pod.deleted.is_none() && pod.removed.is_none()).collect();
    let why = waiting.first().and_then(|pod| {
        record.facts.iter().rev().find_map(|entry| match (&entry.fact.subject, &entry.fact.what) {
            (Subject::Object(key), What::Unschedulable { message }) if key == pod.key => Some(message.to_string()),
            _ => None,
        })
    });
    let mut failed: Vec<String> =
        record.expectations.iter().filter(|verdict| verdict.failed()).map(|verdict| verdict.description.to_string()).collect();
    failed.extend(record.violations.iter().map(ToString::to_string));
    Probe { more, nodes, fits: waiting.is_empty() && failed.is_empty(), waiting: waiting.len(), why, failed }
}

impl Probe {
    fn line(&self) -> String {
        let Probe { more, nodes, fits, waiting, why, failed } = self;
        let mut line = format!("+{more} ({nodes} nodes): ");
        if *fits {
            line.push_str("everything fits, all expectations hold");
        }
        if *waiting > 0 {
            line.push_str(&format!("{waiting} pods wait"));
            if let Some(why) = why {
                line.push_str(&format!(" ({why})"));
            }
        }
        if let Some(first) = failed.first() {
            let separator = if *waiting > 0 { "; " } else { "" };
            line.push_str(&format!("{separator}{} did not hold: {first}", failed.len()));
        }
        line.push('\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_number_is_found_with_few_runs() {
        for needed in 0..40 {
            let mut runs = 0;
            let found = least(1024, &mut |more| -> Result<bool, ()> {
                runs += 1;
                Ok(more >= needed)
            });
            assert_eq!(found, Ok(Some(needed)));
            assert!(runs <= 13, "{needed} took {runs} runs");
        }
        assert_eq!(least(10, &mut |more| Ok::<bool, ()>(more > 10)), Ok(None));
        assert_eq!(least(10, &mut |more| Ok::<bool, ()>(more > 9)), Ok(Some(10)), "the most itself is tried");
    }
}
