//! The objects that `sim get` and `sim describe` look at: those of a file, or those of a run at an instant.

use crate::engine::Options;
use crate::host::sim;
use crate::manifest::{self, Node, Syntax};
use crate::objects::Kind;
use crate::report::kubectl::{Instant, World, served};
use crate::scenario::{self, InputError, Source};
use crate::wire::etcd::{KeyRange, Range};

use clap::Args;

/// Which objects, and when.
#[derive(Args)]
pub struct When {
    /// A scenario file, the name of a shipped scenario, or a file with a Kubernetes List of objects (kubectl get -o json).
    scenario: String,
    /// When: virtual time since the start (5m30s); for a file of objects a time stamp (2026-11-23T18:21:12Z).
    #[arg(long, value_name = "T", allow_hyphen_values = true)]
    at: String,
    /// The seed of the run, instead of the scenario's.
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = super::whole)]
    seed: Option<u64>,
    /// Change a field of the scenario: faults[0].at=3m. May be given again.
    #[arg(long, value_name = "PATH=VALUE")]
    set: Vec<String>,
}

impl When {
    /// Reads the file, or plays the run until then.
    pub fn world(&self) -> Result<World, Vec<InputError>> {
        let source = scenario::find(&self.scenario).map_err(|error| vec![error])?;
        match list(&source) {
            Some(list) => self.of_list(list),
            None => self.of_run(&source),
        }
    }

    fn of_list(&self, list: Node) -> Result<World, Vec<InputError>> {
        let now = Instant::parse(&self.at).ok_or_else(|| self.wrong("a time stamp: \"2026-11-23T18:21:12Z\", say"))?;
        Ok(World::new(vec![list.to_json()], now))
    }

    fn of_run(&self, source: &Source) -> Result<World, Vec<InputError>> {
        let mut sets = self.set.clone();
        sets.extend(self.seed.map(|seed| format!("seed={seed}")));
        let loaded = scenario::load(source, &sets)?;
        loaded.needs_cluster("look at").map_err(|error| vec![error])?;
        let plan = loaded.plan;
        let span = scenario::units::parse_duration(&self.at).ok_or_else(|| self.wrong("a duration: \"90s\" or \"5m30s\", say"))?;
        if span > plan.duration {
            let end = scenario::units::format_duration(plan.duration);
            return Err(self.wrong(&format!("a time before the end of the run, {end}")));
        }
        let now = plan.start + span;
        let mut run = sim::Run::new(plan, Options::default());
        run.engine.run_until(now);
        Ok(World::new(objects(&run), now.into()))
    }

    fn wrong(&self, expected: &str) -> Vec<InputError> {
        vec![InputError::new("--at", None, "", format!("\"{}\" will not do", self.at)).expecting(expected)]
    }
}

/// The one document of the file, if it is a List of objects. What is wrong with a scenario is for its own reader to say.
fn list(source: &Source) -> Option<Node> {
    let mut documents = manifest::parse(&source.file, &source.text, Syntax::of(&source.file, &source.text)).ok()?;
    let document = documents.pop().filter(|_| documents.is_empty())?;
    let is_list = document.get("kind")?.as_str()?.ends_with("List") && document.get("items").is_some();
    is_list.then_some(document)
}

/// All that is committed. Leases, which no fact tells of, are those of the member that is furthest.
fn objects(run: &sim::Run) -> Vec<serde_json::Value> {
    let cluster = &run.engine.actors;
    let truth = cluster.observer().objects().values();
    let mut objects: Vec<_> = truth.map(|stored| served::as_served(&stored.object, stored.revision)).collect();
    let stores = cluster.etcd_members().into_iter().filter_map(|(_, member)| member.store());
    let Some(store) = stores.max_by_key(|store| store.revision()) else { return objects };
    let leases = Range { serializable: true, ..Range::of(KeyRange::Prefix(Kind::Lease.prefix().into())) };
    let found = store.range(&leases).map(|answer| answer.kvs).unwrap_or_default();
    objects.extend(found.iter().filter_map(|kv| Some(served::as_served(kv.value.as_object()?, kv.mod_revision))));
    objects
}
