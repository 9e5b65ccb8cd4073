//! The schedulers' configuration: profiles of plugins, by upstream's rules of merging with the defaults (`apis/config/v1/default_plugins.go`,
//! `framework/runtime/framework.go`).

use serde::de::DeserializeOwned;

use super::{Lowering, at};
use crate::base::{Duration, Name};
use crate::client::LeaderTimings;
use crate::manifest::{self, Errors, InputError, Node, Path, Syntax, Value};
use crate::objects::scheduling::{self, TopologySpreadConstraint};
use crate::scenario::file_scheduler::*;
use crate::scenario::units::format_duration;
use crate::scenario::{located, validator};
use crate::scheduler::plugins::{Ignored, PluginId, Strategy, WeightedResource};
use crate::scheduler::{Arguments, CandidateLimits, Config, DEFAULT_SCHEDULER, FILTERS, ProfileConfig, SCORES};

/// The default plugins in upstream's order. Those that are no [`PluginId`] are known by name only: resource claims are not modelled, and
/// the queue and binding are what they are.
const DEFAULTS: [&str; 19] = [
    "SchedulingGates",
    "PrioritySort",
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
    PREEMPTION,
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
    "DefaultBinder",
];

const PREEMPTION: &str = "DefaultPreemption";

/// What a configuration and its plugins' arguments are written in.
const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";

fn plugin_id(name: &str) -> Option<PluginId> {
    FILTERS.into_iter().chain(SCORES.map(|(id, _)| id)).find(|id| id.to_string() == name)
}

/// A plugin that is on, with the weight of its score.
type Enabled = (String, i64);

/// A KubeSchedulerConfiguration with where it was written, for errors.
struct Written<'a> {
    file: &'a str,
    root: &'a Node,
    /// The path of `root` in the file; empty if it is the file.
    base: &'a str,
    errors: &'a mut Errors,
}

impl Lowering<'_> {
    /// Checks the leader election of a component as `cluster.timings` have it.
    pub fn leader_timings(&mut self, timings: &LeaderTimings, path: &str) {
        if let Some((field, message, expected)) = contradiction(timings) {
            self.error(&at(path, field), message, |error| error.expecting(expected));
        }
    }

    /// Puts `cluster.scheduler` into the scheduler's settings.
    pub fn scheduler(&mut self, written: &SchedulerSettings, config: &mut Config) {
        const PATH: &str = "cluster.scheduler";
        match (&written.config, &written.config_file) {
            (None, None) => {}
            (Some(_), Some(_)) => {
                let message = "a scheduler has one of \"config\" and \"configFile\"".to_owned();
                self.error(PATH, message, |error| error);
            }
            (Some(inline), None) => {
                let path = at(PATH, "config");
                let Some(node) = self.root.at(&path).cloned() else { return };
                let file = self.place(&path).0;
                Written { file: &file, root: &node, base: &path, errors: &mut self.errors }.apply(inline, config);
            }
            (None, Some(name)) => {
                let path = at(PATH, "configFile");
                let Some((shown, bytes)) = self.read_beside(name, &path) else { return };
                let mut documents = match manifest::parse_on(&shown, &bytes, Syntax::of(&shown, &bytes), &mut self.errors) {
                    Ok(documents) => documents,
                    Err(error) => return self.errors.push(error),
                };
                if documents.len() != 1 {
                    let message = format!("{shown} has {} documents", documents.len());
                    return self.error(&path, message, |error| error.expecting("one KubeSchedulerConfiguration"));
                }
                let node = documents.remove(0);
                let mut written = Written { file: &shown, root: &node, base: "", errors: &mut self.errors };
                if let Some(config_in_file) = written.read::<KubeSchedulerConfiguration>(&node, "") {
                    written.apply(&config_in_file, config);
                }
                // The resolved scenario needs no files.
                let inline = Node::from_json(&serde_json::json!({"config": node.to_json()}));
                let steps = manifest::parse_path(PATH).expect("a path");
                manifest::set(&mut self.resolved, &steps, inline).expect("the path is in the tree");
            }
        }
    }
}

impl Written<'_> {
    /// Reads a part of the file as a type, which is checked against that type's schema.
    fn read<T: DeserializeOwned + schemars::JsonSchema>(&mut self, node: &Node, path: &str) -> Option<T> {
        let schema = schemars::schema_for!(T).to_value();
        let mut errors = Errors::default();
        validator::validate_at(self.file, node, &schema, &self.path(path), &mut errors);
        if !errors.is_empty() {
            self.errors.append(errors);
            return None;
        }
        match serde_json::from_value(node.to_json()) {
            Ok(read) => Some(read),
            Err(error) => {
                self.error(path, format!("is not valid: {error}"), |error| error);
                None
            }
        }
    }
    fn path(&self, path: &str) -> Path {
        match (self.base, path) {
            (base, "") => Path::new(base),
            ("", path) => Path::new(path),
            (base, path) => Path::new(&format!("{base}.{path}")),
        }
    }
    fn error(&mut self, path: &str, message: String, more: impl FnOnce(InputError) -> InputError) {
        let place = self.root.at(path).and_then(|node| node.place);
        let full = self.path(path);
        self.errors.push(more(located(self.file, place.or(self.root.place), full.as_str(), message)));
    }

    fn apply(&mut self, written: &KubeSchedulerConfiguration, config: &mut Config) {
        if let Some(percentage) = written.percentage_of_nodes_to_score {
            config.percentage_of_nodes_to_score = percentage;
        }
        if let Some(seconds) = written.pod_initial_backoff_seconds {
            config.pod_initial_backoff = Duration::from_secs(seconds);
        }
        if let Some(seconds) = written.pod_max_backoff_seconds {
            config.pod_max_backoff = Duration::from_secs(seconds);
        }
        if let Some(election) = &written.leader_election {
            let timings = &mut config.leader;
            timings.lease_duration = election.lease_duration.map_or(timings.lease_duration, |span| span.0);
            timings.renew_deadline = election.renew_deadline.map_or(timings.renew_deadline, |span| span.0);
            timings.retry_period = election.retry_period.map_or(timings.retry_period, |span| span.0);
            if let Some((field, message, expected)) = contradiction(timings) {
                self.error(&at("leaderElection", field), message, |error| error.expecting(expected));
            }
        }
        if let Some(connection) = &written.client_connection {
            // 0 is upstream's "the default"; thousandths are what a limiter counts in.
            let qps = connection.qps.filter(|qps| *qps > 0.0).map(|qps| ((qps * 1000.0).round() as u64).max(1));
            config.client_qps_milli = qps.unwrap_or(config.client_qps_milli);
            config.client_burst = connection.burst.filter(|burst| *burst > 0).unwrap_or(config.client_burst);
        }
        if config.pod_max_backoff < config.pod_initial_backoff {
            let message = "the longest back-off is shorter than the first".to_owned();
            self.error("podMaxBackoffSeconds", message, |error| error.expecting("podInitialBackoffSeconds or more"));
        }
        if written.profiles.is_empty() {
            return;
        }
        let mut profiles: Vec<ProfileConfig> = Vec::new();
        for (index, profile) in written.profiles.iter().enumerate() {
            let path = format!("profiles[{index}]");
            let name = Name::new(profile.scheduler_name.as_deref().unwrap_or(DEFAULT_SCHEDULER));
            if profiles.iter().any(|other| other.scheduler_name == name) {
                self.error(&path, format!("there are two profiles \"{name}\""), |error| {
                    error.expecting("schedulerName of its own for each")
                });
            }
            let (filters, scores, preempts) = self.plugins(&profile.plugins, &at(&path, "plugins"));
            let (arguments, limits) = self.arguments(&profile.plugin_config, &at(&path, "pluginConfig"));
            profiles.push(ProfileConfig {
                scheduler_name: name,
                percentage_of_nodes_to_score: profile.percentage_of_nodes_to_score,
                filters,
                scores,
                preemption: preempts.then_some(limits),
                arguments,
            });
        }
        config.profiles = profiles;
    }

    /// Filters, scores with weights, and whether preemption is on.
    fn plugins(&mut self, written: &Plugins, path: &str) -> (Vec<PluginId>, Vec<(PluginId, i64)>, bool) {
        for (set, point) in [
            (&written.multi_point, "multiPoint"),
            (&written.filter, "filter"),
            (&written.post_filter, "postFilter"),
            (&written.score, "score"),
        ] {
            self.check_names(set, &at(path, point));
        }
        let defaults = ProfileConfig::default();
        let default_weight = |name: &str| defaults.scores.iter().find(|(id, _)| id.to_string() == name).map_or(1, |(_, weight)| *weight);
        let of_default: Vec<Enabled> = DEFAULTS.iter().map(|name| ((*name).to_owned(), default_weight(name))).collect();
        let multi = merge(of_default, &written.multi_point);
        let filters = expand(&multi, &written.filter, |id| defaults.filters.contains(&id));
        let scores = expand(&multi, &written.score, |id| defaults.scores.iter().any(|(other, _)| *other == id));
        let by_multi = multi.iter().any(|(name, _)| name == PREEMPTION) && !written.post_filter.disables(PREEMPTION);
        (filters.into_iter().map(|(id, _)| id).collect(), scores, by_multi || written.post_filter.enables(PREEMPTION))
    }
    fn check_names(&mut self, set: &PluginSet, path: &str) {
        for (field, list) in [("enabled", &set.enabled), ("disabled", &set.disabled)] {
            for (index, plugin) in list.iter().enumerate() {
                let is_all = field == "disabled" && plugin.name == "*";
                // Upstream does not start: it would run twice.
                if field == "enabled" && list[..index].iter().any(|other| other.name == plugin.name) {
                    let path = format!("{path}.{field}[{index}].name");
                    self.error(&path, format!("\"{}\" is enabled twice here", manifest::short(&plugin.name)), |error| error);
                } else if !is_all && !DEFAULTS.contains(&plugin.name.as_str()) {
                    let path = format!("{path}.{field}[{index}].name");
                    self.error(&path, format!("there is no plugin \"{}\"", manifest::short(&plugin.name)), |error| {
                        error.expecting("a plugin of the default profile").suggesting(&plugin.name, DEFAULTS)
                    });
                }
            }
        }
    }

    fn arguments(&mut self, written: &[PluginConfig], path: &str) -> (Arguments, CandidateLimits) {
        const WITH_ARGUMENTS: [&str; 7] = [
            "NodeResourcesFit",
            "NodeResourcesBalancedAllocation",
            "NodeAffinity",
            "VolumeBinding",
            "PodTopologySpread",
            "InterPodAffinity",
            PREEMPTION,
        ];
        let (mut arguments, mut limits) = (Arguments::default(), CandidateLimits::default());
        for (index, one) in written.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if written[..index].iter().any(|other| other.name == one.name) {
                let message = format!("\"{}\" has arguments above already", manifest::short(&one.name));
                self.error(&at(&path, "name"), message, |error| error.expecting("all arguments of a plugin in one place"));
            }
            let path_of_arguments = at(&path, "args");
            let args = path_of_arguments.as_str();
            let Some(node) = self.without_type(&one.name, args) else { continue };
            match one.name.as_str() {
                "NodeResourcesFit" => {
                    let Some(read) = self.read::<NodeResourcesFitArgs>(&node, args) else { continue };
                    if let Some(strategy) = read.scoring_strategy {
                        self.scoring(&strategy, &at(args, "scoringStrategy"), &mut arguments);
                    }
                    arguments.ignored_resources = Ignored {
                        resources: self.ignored(&read.ignored_resources, &at(args, "ignoredResources"), true),
                        groups: self.ignored(&read.ignored_resource_groups, &at(args, "ignoredResourceGroups"), false),
                    };
                }
                "NodeResourcesBalancedAllocation" => {
                    let read: Option<NodeResourcesBalancedAllocationArgs> = self.read(&node, args);
                    if let Some(read) = read.filter(|read| !read.resources.is_empty()) {
                        arguments.balanced_resources = read.resources.iter().map(|one| Name::new(&one.name)).collect();
                    }
                }
                "NodeAffinity" => {
                    if let Some(NodeAffinityArgs { added_affinity: Some(_) }) = self.read(&node, args) {
                        let added = node.get("addedAffinity").expect("it was read just now");
                        let path = self.path(&at(args, "addedAffinity"));
                        arguments.added_affinity = manifest::node_affinity(self.file, added, &path, self.errors);
                    }
                }
                "VolumeBinding" => {
                    if let Some(VolumeBindingArgs { bind_timeout_seconds: Some(seconds) }) = self.read(&node, args) {
                        arguments.volume_bind_timeout = Duration::from_secs(seconds);
                    }
                }
                "PodTopologySpread" => {
                    if let Some(read) = self.read::<PodTopologySpreadArgs>(&node, args) {
                        self.spreading(&read, args, &mut arguments);
                    }
                }
                "InterPodAffinity" => {
                    if let Some(read) = self.read::<InterPodAffinityArgs>(&node, args) {
                        arguments.hard_pod_affinity_weight = read.hard_pod_affinity_weight.unwrap_or(1);
                        arguments.ignore_preferred_terms_of_existing_pods = read.ignore_preferred_terms_of_existing_pods.unwrap_or(false);
                    }
                }
                PREEMPTION => {
                    if let Some(read) = self.read::<DefaultPreemptionArgs>(&node, args) {
                        limits.percentage = read.min_candidate_nodes_percentage.unwrap_or(limits.percentage);
                        limits.absolute = read.min_candidate_nodes_absolute.unwrap_or(limits.absolute);
                        if (limits.percentage, limits.absolute) == (0, 0) {
                            let message = "no candidate would ever be looked at".to_owned();
                            self.error(args, message, |error| error.expecting("one of the two above 0"));
                        }
                    }
                }
                other => self.error(&at(&path, "name"), format!("no arguments of \"{}\" are modelled", manifest::short(other)), |error| {
                    error.expecting(format!("one of {}", WITH_ARGUMENTS.join(", "))).suggesting(other, WITH_ARGUMENTS)
                }),
            }
        }
        (arguments, limits)
    }
    /// A plugin's arguments without their version and kind, which are those of this plugin if they are given.
    fn without_type(&mut self, plugin: &str, path: &str) -> Option<Node> {
        let mut node = self.root.at(path)?.clone();
        if let Value::Map(entries) = &mut node.value {
            let kind = format!("{plugin}Args");
            for (field, wanted) in [("apiVersion", API_VERSION), ("kind", kind.as_str())] {
                let Some(position) = entries.iter().position(|entry| entry.key == field) else { continue };
                let given = entries.remove(position).node;
                if given.value != Value::Null && given.as_str() != Some(wanted) {
                    let given = given.as_str().map_or(given.type_name().to_owned(), |text| format!("\"{}\"", manifest::short(text)));
                    self.error(&at(path, field), format!("{given} is not valid here"), |error| error.expecting(format!("\"{wanted}\"")));
                }
            }
        }
        Some(node)
    }
    /// Names of resources, which have a slash, or of groups of them, which have none.
    fn ignored(&mut self, written: &[String], path: &str, resources: bool) -> Vec<Name> {
        for (index, name) in written.iter().enumerate().filter(|(_, name)| name.contains('/') != resources) {
            let expected =
                if resources { "an extended resource, as example.com/foo" } else { "what stands before the slash, as example.com" };
            let message = format!("\"{}\" is not valid here", manifest::short(name));
            self.error(&format!("{path}[{index}]"), message, |error| error.expecting(expected));
        }
        written.iter().map(|name| Name::new(name)).collect()
    }
    fn scoring(&mut self, strategy: &ScoringStrategy, path: &str, arguments: &mut Arguments) {
        if !strategy.resources.is_empty() {
            let weighted = |one: &ResourceSpec| WeightedResource {
                name: Name::new(&one.name),
                weight: one.weight.filter(|weight| *weight > 0).unwrap_or(1),
            };
            arguments.scored_resources = strategy.resources.iter().map(weighted).collect();
        }
        let shape = strategy.requested_to_capacity_ratio.as_ref().map_or(&[][..], |ratio| &ratio.shape);
        arguments.scoring = match strategy.kind {
            ScoringStrategyType::LeastAllocated => Strategy::LeastAllocated,
            ScoringStrategyType::MostAllocated => Strategy::MostAllocated,
            ScoringStrategyType::RequestedToCapacityRatio => {
                let rises = shape.windows(2).all(|pair| pair[0].utilization < pair[1].utilization);
                if shape.is_empty() || !rises {
                    let message = "RequestedToCapacityRatio needs points of rising utilization".to_owned();
                    self.error(path, message, |error| {
                        error.expecting("requestedToCapacityRatio: {shape: [{utilization: 0, score: 0}, {utilization: 100, score: 10}]}")
                    });
                }
                Strategy::RequestedToCapacityRatio(shape.iter().map(|point| (point.utilization, point.score)).collect())
            }
        };
    }
    fn spreading(&mut self, read: &PodTopologySpreadArgs, path: &str, arguments: &mut Arguments) {
        let is_list = read.defaulting_type == Some(DefaultingType::List);
        if !is_list && !read.default_constraints.is_empty() {
            let message = "default constraints are for defaultingType List".to_owned();
            return self.error(&at(path, "defaultConstraints"), message, |error| error.expecting("defaultingType: List"));
        }
        let constraint = |one: &DefaultConstraint| TopologySpreadConstraint {
            max_skew: one.max_skew,
            topology_key: Name::new(&one.topology_key),
            when_unsatisfiable: match one.when_unsatisfiable {
                WhenUnsatisfiable::DoNotSchedule => scheduling::WhenUnsatisfiable::DoNotSchedule,
                WhenUnsatisfiable::ScheduleAnyway => scheduling::WhenUnsatisfiable::ScheduleAnyway,
            },
            min_domains: None,
            label_selector: None,
            match_label_keys: Vec::new(),
            node_affinity_policy: None,
            node_taints_policy: None,
        };
        arguments.default_constraints = is_list.then(|| read.default_constraints.iter().map(constraint).collect());
    }
}

/// A leader must be able to try again before it gives up, and give up before others take over (component-base
/// `config/validation/validation.go`): the field that is too small, and what it must be.
fn contradiction(timings: &LeaderTimings) -> Option<(&'static str, String, String)> {
    let LeaderTimings { lease_duration, renew_deadline, retry_period } = *timings;
    let too_small = |field, value, other, least| {
        let (value, least) = (format_duration(value), format_duration(least));
        (field, format!("{value} is not longer than {other}, which is {least}"), format!("more than {least}"))
    };
    if lease_duration <= renew_deadline {
        Some(too_small("leaseDuration", lease_duration, "renewDeadline", renew_deadline))
    } else if renew_deadline <= retry_period {
        Some(too_small("renewDeadline", renew_deadline, "retryPeriod", retry_period))
    } else {
        None
    }
}

/// The defaults with what is disabled left out, what is enabled again in its place with its weight, and what is new at the end
/// (`mergePluginSet`).
fn merge(defaults: Vec<Enabled>, set: &PluginSet) -> Vec<Enabled> {
    let mut rest: Vec<&PluginReference> = set.enabled.iter().collect();
    let mut merged: Vec<Enabled> = Vec::new();
    for (name, default_weight) in defaults.into_iter().filter(|(name, _)| !set.disables(name)) {
        match rest.iter().position(|plugin| plugin.name == name) {
            Some(at) => merged.push((name, rest.remove(at).weight())),
            None => merged.push((name, default_weight)),
        }
    }
    merged.extend(rest.into_iter().map(|plugin| (plugin.name.clone(), plugin.weight())));
    merged
}

/// The plugins of one point: first those that it names again, then the others of all points, then what it alone names
/// (`expandMultiPointPlugins`).
fn expand(multi: &[Enabled], set: &PluginSet, acts: impl Fn(PluginId) -> bool) -> Vec<(PluginId, i64)> {
    let of_multi = |name: &str| multi.iter().any(|(other, _)| other == name) && !set.disables(name);
    let named = |again: bool| set.enabled.iter().filter(move |plugin| of_multi(&plugin.name) == again);
    let enabled = |plugin: &PluginReference| (plugin.name.clone(), plugin.weight());
    let others = multi.iter().filter(|(name, _)| !set.disables(name) && !set.enables(name));
    let all = named(true).map(enabled).chain(others.cloned()).chain(named(false).map(enabled));
    all.filter_map(|(name, weight)| plugin_id(&name).filter(|id| acts(*id)).map(|id| (id, weight))).collect()
}
