//! `describe`: a page an object, aligned with tab stops.
//!
//! One file a kind or a group of kinds. A line is indented by two blanks a level; a tab ends a cell, and a line without tabs ends the
//! block above it ([`super::table::align`]).

pub mod autoscaler;
pub mod batch;
pub mod cluster;
pub mod container;
pub mod deployment;
pub mod endpoint_slice;
pub mod generic;
pub mod network;
pub mod network_policy;
pub mod node;
pub mod pod;
pub mod policy;
pub mod storage;
pub mod volume;
pub mod workload;

use serde_json::Value;

use super::age::{Instant, between, since};
use super::go_sort;
use super::look::{Look, plain};
use super::resources::Resource;
use super::select::Selector;
use super::table::align;
use super::{Printed, Wanted, World, not_found, warning};

/// Writes a line of a page: `line!(page, level, "Name:\t{}", name)`.
macro_rules! line {
    ($page:expr, $level:expr, $($text:tt)*) => { $page.line($level, &format!($($text)*)) };
}
pub(crate) use line;

/// A page in the making: text with tabs.
#[derive(Default)]
pub struct Page {
    text: String,
}

impl Page {
    pub fn line(&mut self, level: usize, text: &str) {
        for _ in 0..level {
            self.text.push_str("  ");
        }
        self.text.push_str(text);
        self.text.push('\n');
    }
    /// `title` with a map of labels, one a line.
    pub fn labels(&mut self, title: &str, labels: &Value) {
        let lines = labels.pairs("").into_iter().map(|(key, value)| format!("{key}={}", plain(value))).collect();
        self.several(title, lines);
    }
    /// `title` with the first line beside it and the others below.
    pub fn several(&mut self, title: &str, lines: Vec<String>) {
        if lines.is_empty() {
            line!(self, 0, "{title}:\t<none>");
        }
        for (number, text) in lines.iter().enumerate() {
            if number == 0 { line!(self, 0, "{title}:\t{text}") } else { line!(self, 0, "\t{text}") }
        }
    }
    /// What `apply` keeps for itself is left out; long values and those of several lines stand below their key.
    pub fn annotations(&mut self, title: &str, annotations: &Value) {
        const LONGEST: usize = 140;
        let shown = annotations.pairs("").into_iter().filter(|(key, _)| *key != "kubectl.kubernetes.io/last-applied-configuration");
        let mut lines = Vec::new();
        for (key, value) in shown {
            let value = plain(value);
            let value = value.strip_suffix('\n').unwrap_or(&value);
            if value.len() + key.len() + 2 > LONGEST || value.contains('\n') {
                lines.push(format!("{key}:"));
                lines.extend(value.split('\n').map(|text| format!("  {}", shorten(text, LONGEST - 2))));
            } else {
                lines.push(format!("{key}: {value}"));
            }
        }
        self.several(title, lines);
    }
    pub fn labels_and_annotations(&mut self, object: &Value) {
        self.labels("Labels", object.at("metadata.labels"));
        self.annotations("Annotations", object.at("metadata.annotations"));
    }
    /// The controller that owns the object, if one does.
    pub fn controlled_by(&mut self, object: &Value) {
        let owner = object.list("metadata.ownerReferences").iter().find(|owner| owner.flag("controller"));
        if let Some(owner) = owner {
            line!(self, 0, "Controlled By:\t{}/{}", owner.text("kind"), owner.text("name"));
        }
    }
    pub fn events(&mut self, object: &Value, world: &World) {
        self.events_of(object, &[object.text("metadata.uid")], world);
    }
    /// Events about the object, under any of the uids, in the order of their last time.
    pub fn events_of(&mut self, object: &Value, uids: &[&str], world: &World) {
        let about = |event: &&Value| {
            let target = event.at("involvedObject");
            target.text("name") == object.text("metadata.name")
                && target.text("namespace") == object.text("metadata.namespace")
                && target.text("kind") == object.text("kind")
                && uids.contains(&target.text("uid"))
        };
        let mut events: Vec<&Value> = world.kind("Event", "").filter(about).collect();
        let last = |event: &Value| Instant::of(event.at("lastTimestamp"));
        go_sort::sort(&mut events, |left, right| last(left) < last(right));
        if events.is_empty() {
            self.line(0, "Events:\t<none>");
            return;
        }
        self.line(0, "Events:");
        self.line(1, "Type\tReason\tAge\tFrom\tMessage");
        self.line(1, "----\t------\t----\t----\t-------");
        for event in events {
            let source = event.text("source.component");
            let source = if source.is_empty() { event.text("reportingComponent") } else { source };
            let message = event.text("message").trim();
            line!(self, 1, "{}\t{}\t{}\t{source}\t{message}", event.plain("type"), event.plain("reason"), event_age(event, world.now));
        }
    }
}

/// `22s (x7 over 5m22s)`: last seen, how often, since when.
fn event_age(event: &Value, now: Instant) -> String {
    let age = |field: &str| since(event.at(field), now, "<unknown>").into_owned();
    let repeated = |last: &str, count: i64, first: &str| format!("{} (x{count} over {})", age(last), age(first));
    if event.has("series") {
        return repeated("series.lastObservedTime", event.int("series.count"), "eventTime");
    }
    if event.int("count") > 1 {
        return repeated("lastTimestamp", event.int("count"), "firstTimestamp");
    }
    if event.has("firstTimestamp") { age("firstTimestamp") } else { age("eventTime") }
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// A date of an object as pages print it; a date that is absent is Go's zero time.
pub fn date(stamp: &Value) -> String {
    Instant::of(stamp).map_or_else(|| "Mon, 01 Jan 0001 00:00:00 +0000".to_owned(), Instant::to_rfc1123)
}

/// `True` or `False`.
pub fn title_case(flag: bool) -> &'static str {
    if flag { "True" } else { "False" }
}

/// A list of strings as Go prints it: `[a b]`.
pub fn go_list(items: &[Value]) -> String {
    format!("[{}]", items.iter().map(plain).collect::<Vec<_>>().join(" "))
}

/// How long a span of two time stamps is, if both are there.
pub fn span(from: &Value, to: &Value) -> Option<String> {
    Some(between(Instant::of(from)?, Instant::of(to)?))
}

/// A `describe`, as on kubectl's command line.
#[derive(Clone, Debug, Default)]
pub struct Describe {
    /// `pods`, `pods web-1`, `po/web-1 svc/web`.
    pub what: Vec<String>,
    /// `default` if there is none.
    pub namespace: Option<String>,
    pub all_namespaces: bool,
    /// `-l`.
    pub selector: String,
}

/// Answers a `describe`.
pub fn describe(request: &Describe, world: &World) -> Printed {
    answer(request, world).unwrap_or_else(|message| Printed::refused(&message))
}

fn answer(request: &Describe, world: &World) -> Result<Printed, String> {
    let wanted = Wanted::parse(&request.what, request.all_namespaces)?;
    if wanted.kinds.iter().any(|(_, names)| !names.is_empty()) && !request.selector.is_empty() {
        return Err("name cannot be provided when a selector is specified".to_owned());
    }
    let labels = Selector::labels(&request.selector)?;
    let namespace = request.namespace.as_deref().unwrap_or("default");
    let (mut pages, mut missing): (Vec<String>, String) = (Vec::new(), String::new());
    for (resource, names) in &wanted.kinds {
        let here = |object: &&Value| !resource.namespaced || request.all_namespaces || object.text("metadata.namespace") == namespace;
        let objects: Vec<&Value> = world.of(resource).filter(here).collect();
        let found: Vec<&Value> = if names.is_empty() {
            objects.into_iter().filter(|object| labels.matches_labels(object)).collect()
        } else {
            names.iter().flat_map(|name| by_name(resource, name, &objects, &mut missing)).collect()
        };
        pages.extend(found.into_iter().map(|object| page(resource, object, world)));
    }
    let mut printed = Printed { stdout: pages.join("\n\n"), stderr: missing, status: 0 };
    if !printed.stderr.is_empty() {
        printed.status = 1;
    } else if printed.stdout.is_empty() {
        let namespaced = !request.all_namespaces;
        printed.stderr =
            if namespaced { format!("No resources found in {namespace} namespace.\n") } else { "No resources found\n".to_owned() };
    }
    let warnings: String = wanted.kinds.iter().map(|(resource, _)| warning(resource)).collect();
    printed.stderr.insert_str(0, &warnings);
    Ok(printed)
}

/// The object of that name; if there is none, all whose names begin so.
fn by_name<'w>(resource: &Resource, name: &str, objects: &[&'w Value], missing: &mut String) -> Vec<&'w Value> {
    let named = |object: &&Value| object.text("metadata.name") == name;
    if let Some(object) = objects.iter().copied().find(named) {
        return vec![object];
    }
    let begins: Vec<&Value> = objects.iter().copied().filter(|object| object.text("metadata.name").starts_with(name)).collect();
    if begins.is_empty() {
        missing.push_str(&not_found(resource, name));
    }
    begins
}

fn page(resource: &Resource, object: &Value, world: &World) -> String {
    let mut page = Page::default();
    (resource.describe)(object, world, &mut page);
    align(&page.text, 0, 2)
}
