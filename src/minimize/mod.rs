//! Floor 9: the smallest scenario that still fails (`sim minimize`).
//!
//! Starts from a scenario that fails with a seed, and takes away what the failure does not need: faults, steps, clients, traffic, objects of
//! the workload (every list at the top of the file: [`tree::top_lists`]), whole groups of items first and single ones last (delta debugging,
//! Zeller and Hildebrandt 2002); then time, as soon as nothing late is left; then what stands in the items; settings of the cluster; and
//! numbers, counts, replicas and nodes, downwards by doubling and bisection. Whatever is tried is read, checked and played like any scenario
//! ([`goal`] says whether it still fails in the same way), and of several that do the first in a fixed order is taken: the result is the same
//! with any number of threads. A run with a broken invariant ends there, so that what still fails is cheap to play.
//!
//! Faults that are drawn at random are written out first, so that each can go alone.
//!
//! Invariant: the result fails as the scenario did; none of its faults, steps, clients, sources of traffic and objects can be left out alone
//! (unless the rounds ran out). Left out: instants and lengths of faults, and what is inside of manifests but for replicas.

mod goal;
mod search;
mod tree;

use rayon::ThreadPoolBuilder;

use crate::manifest::{self, InputError, Node, Syntax, parse_path};
use crate::scenario::units::{format_duration, parse_duration};
use crate::scenario::{self, Source};
use crate::sweep;
use goal::Goal;

/// All that can be taken away is tried again until nothing is: what is left out late may make room for more. So often at most.
const ROUNDS: usize = 4;

/// A scenario that still fails.
pub struct Minimal {
    pub name: String,
    pub seed: u64,
    /// The file: JSON.
    pub text: String,
    /// What was taken away, a line each.
    pub removed: Vec<String>,
    /// The faults and steps that are left, in words.
    pub left: Vec<String>,
    /// What fails, each with what was seen.
    pub fails: Vec<String>,
}

/// Why there is nothing to write.
#[derive(Debug)]
pub enum Refused {
    Input(Vec<InputError>),
    /// All expectations and invariants hold.
    Holds {
        seed: u64,
    },
}

/// How far it is, for whoever shows it.
pub struct Progress<'a> {
    /// What is being made smaller: `faults`, `cluster.nodes[0].count`.
    pub part: &'a str,
    pub runs: usize,
}

/// Makes a scenario smaller, with `sets` as for a run, on so many threads; with the dear checks too, if asked for.
pub fn minimize(
    source: &Source,
    sets: &[String],
    check_full: bool,
    jobs: usize,
    watch: &(dyn Fn(Progress) + Sync),
) -> Result<Minimal, Refused> {
    let loaded = scenario::load(source, sets).map_err(Refused::Input)?;
    loaded.needs_cluster("make smaller").map_err(|error| Refused::Input(vec![error]))?;
    let (name, seed) = (loaded.plan.name.to_string(), loaded.plan.seed);
    let text = loaded.written_out.as_ref().unwrap_or(&loaded.resolved).as_bytes();
    let mut documents =
        manifest::parse(&source.file, text, Syntax::of("scenario.json", text)).map_err(|error| Refused::Input(vec![error]))?;
    let whole = documents.pop().expect("a scenario is one document");
    let pool = ThreadPoolBuilder::new().num_threads(jobs).stack_size(sweep::STACK).build();
    let pool = pool.expect("the system gives as many threads as it has cores");
    pool.install(|| {
        let source = Source { file: source.file.clone(), text: Vec::new(), folder: source.folder.clone() };
        let Some((goal, start)) = Goal::new(source, whole.clone(), check_full, watch) else { return Err(Refused::Holds { seed }) };
        let mut run = Run { goal: &goal, tree: start, changed: false };
        for _ in 0..ROUNDS {
            run.changed = false;
            run.round();
            if !run.changed {
                break;
            }
        }
        let found = run.tree;
        let tidy = tree::tidied(&found, &format!("The smallest scenario found in which {name} still fails with seed {seed}."));
        // Tidying takes away what says nothing; should it matter after all, it stays.
        let small = if goal.still(&tidy) { tidy } else { found };
        Ok(Minimal {
            removed: tree::difference(&whole, &small),
            left: goal.left(&small),
            fails: goal.fails(&small),
            text: small.to_json_text(),
            name,
            seed,
        })
    })
}

struct Run<'g> {
    goal: &'g Goal<'g>,
    tree: Node,
    changed: bool,
}

impl Run<'_> {
    fn round(&mut self) {
        let lists = tree::top_lists(&self.tree);
        for list in &lists {
            self.list(list);
        }
        // What is shorter is played faster, all through what follows.
        self.duration();
        for list in lists.iter().flat_map(|list| tree::lists_in(&self.tree, list)).collect::<Vec<_>>() {
            self.list(&list);
        }
        for map in lists.iter().flat_map(|list| tree::maps_in(&self.tree, list)).collect::<Vec<_>>() {
            self.keys(&map);
        }
        self.list("cluster.nodes");
        for map in ["behaviours", "cluster", "cluster.timings", "cluster.network", "cluster.images", "cluster.runtime"] {
            self.keys(map);
        }
        for number in tree::numbers(&self.tree) {
            self.number(&number);
        }
        for path in tree::rates(&self.tree) {
            self.rate(&path);
        }
        self.duration();
    }

    /// Items of a list.
    fn list(&mut self, path: &str) {
        let Some(count) = tree::length(&self.tree, path) else { return };
        self.goal.now_at(path);
        let without = |dropped: &[usize]| tree::without_items(&self.tree, path, dropped);
        let test = |dropped: &[usize]| without(dropped).is_some_and(|tree| self.goal.still(&tree));
        let dropped = search::most_removed(count, &test);
        if let Some(tree) = without(&dropped).filter(|_| !dropped.is_empty()) {
            self.take(tree);
        }
    }
    /// Keys of a map.
    fn keys(&mut self, path: &str) {
        let keys = tree::keys(&self.tree, path);
        self.goal.now_at(path);
        let without = |dropped: &[usize]| {
            let names: Vec<&str> = dropped.iter().map(|&index| keys[index].as_str()).collect();
            tree::without_keys(&self.tree, path, &names)
        };
        let test = |dropped: &[usize]| self.goal.still(&without(dropped));
        let dropped = search::most_removed(keys.len(), &test);
        if !dropped.is_empty() {
            let tree = without(&dropped);
            self.take(tree);
        }
    }
    fn number(&mut self, number: &tree::Number) {
        self.goal.now_at(&number.path);
        let with = |value: u64| tree::with(&self.tree, &number.path, &value.into());
        let least = search::least(number.least, number.is, &|value| self.goal.still(&with(value)));
        if least < number.is {
            let tree = with(least);
            self.take(tree);
        }
    }
    /// Requests a second.
    fn rate(&mut self, path: &str) {
        let Some(is) = self.tree.at(path).and_then(Node::as_str).and_then(|text| text.strip_suffix("/s")?.parse::<u64>().ok()) else {
            return;
        };
        self.goal.now_at(path);
        let with = |value: u64| tree::with(&self.tree, path, &format!("{value}/s").into());
        let least = search::least(1, is, &|value| self.goal.still(&with(value)));
        if least < is {
            let tree = with(least);
            self.take(tree);
        }
    }
    /// In whole seconds.
    fn duration(&mut self) {
        if !self.goal.may_be_shorter {
            return;
        }
        let Some(is) = self.tree.at("duration").and_then(Node::as_str).and_then(parse_duration) else { return };
        self.goal.now_at("duration");
        let with = |seconds: u64| tree::with(&self.tree, "duration", &format_duration(crate::base::Duration::from_secs(seconds)).into());
        let least = search::least(1, is.as_secs(), &|seconds| self.goal.still(&with(seconds)));
        if least < is.as_secs() {
            let tree = with(least);
            self.take(tree);
        }
    }
    fn take(&mut self, tree: Node) {
        self.tree = tree;
        self.changed = true;
    }
}

/// A path of the tree that the program itself wrote down.
fn steps(path: &str) -> Vec<manifest::Step> {
    parse_path(path).expect("a path that the program made")
}
