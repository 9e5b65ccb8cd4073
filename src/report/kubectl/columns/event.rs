//! Events. `get` shows the last time only; `describe` shows how often and since when.

use serde_json::Value;

use super::super::World;
use super::super::age::since;
use super::super::look::Look;
use super::name;

pub const COLUMNS: &[&str] =
    &["Last Seen", "Type", "Reason", "Object", "+Subobject", "+Source", "Message", "+First Seen", "+Count", "+Name"];

pub fn cells(event: &Value, world: &World) -> Vec<String> {
    let age = |stamp: &Value| since(stamp, world.now, "<unknown>").into_owned();
    let first = age(if event.has("firstTimestamp") { event.at("firstTimestamp") } else { event.at("eventTime") });
    let mut last = if event.has("lastTimestamp") { age(event.at("lastTimestamp")) } else { first.clone() };
    let mut count = event.int("count");
    if event.has("series") {
        last = age(event.at("series.lastObservedTime"));
        count = event.int("series.count");
    }
    vec![
        last,
        event.plain("type"),
        event.plain("reason"),
        target(event),
        event.plain("involvedObject.fieldPath"),
        source(event),
        event.text("message").trim().to_owned(),
        first,
        count.max(1).to_string(),
        name(event),
    ]
}

fn target(event: &Value) -> String {
    let object = event.at("involvedObject");
    let kind = object.text("kind").to_lowercase();
    if object.text("name").is_empty() { kind } else { format!("{kind}/{}", object.text("name")) }
}

/// Component and host; the newer names of both where the older are empty.
fn source(event: &Value) -> String {
    let or = |field: &str, newer: &str| if event.text(field).is_empty() { event.plain(newer) } else { event.plain(field) };
    let (component, host) = (or("source.component", "reportingComponent"), or("source.host", "reportingInstance"));
    if host.is_empty() { component } else { format!("{component}, {host}") }
}
