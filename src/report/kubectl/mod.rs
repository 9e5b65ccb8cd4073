//! What kubectl would print: `get` and `describe` of objects as JSON, byte for byte.
//!
//! Input: objects as the API serves them, and an instant ([`World`]); a request ([`get::Get`], [`describe::Describe`]). Output: standard
//! output, standard error and the exit status ([`Printed`]). It follows kubectl 1.32 against an API server 1.36, from recordings
//! (`tests/kubectl/`): the server makes the cells of tables ([`columns`]), kubectl lays them out ([`table`]) and writes
//! descriptions ([`describe`]).
//!
//! Only what was recorded or follows from it is claimed. Left out: watches, `--chunk-size` (one layout either way), most of Go templates,
//! printers of kinds outside [`resources`] (custom resources too). Invariant: no input panics; an absent field reads as its zero value ([`look`]).

pub mod age;
pub mod columns;
pub mod describe;
pub mod get;
pub mod go_sort;
pub mod jsonpath;
pub mod look;
pub mod resources;
pub mod select;
pub mod served;
pub mod table;
pub mod yaml;

use std::collections::BTreeSet;

use serde_json::Value;

pub use age::Instant;
pub use describe::Describe;
pub use get::Get;
use look::Look;
use resources::Resource;

/// The objects that the API server has at an instant.
pub struct World {
    /// In the server's order: by the bytes of `namespace/name`.
    objects: Vec<Value>,
    pub now: Instant,
}

impl World {
    /// Lists are taken apart. `managedFields` are dropped, as kubectl hides them.
    pub fn new(objects: Vec<Value>, now: Instant) -> World {
        let mut all = Vec::with_capacity(objects.len());
        for object in objects {
            flatten(object, &mut all);
        }
        for object in &mut all {
            if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                meta.remove("managedFields");
            }
        }
        all.sort_by_cached_key(key);
        // One object may stand in several lists that were put together.
        let mut seen = BTreeSet::new();
        all.retain(|object| seen.insert((object.plain("apiVersion"), object.plain("kind"), key(object))));
        World { objects: all, now }
    }
    /// All objects of a kind, in order.
    pub fn of<'w>(&'w self, resource: &'static Resource) -> impl Iterator<Item = &'w Value> {
        self.objects.iter().filter(|object| resource.is_of(object))
    }
    /// All objects of a kind by its name, in the namespace (everywhere if it is empty).
    pub fn kind<'w>(&'w self, kind: &'w str, namespace: &'w str) -> impl Iterator<Item = &'w Value> {
        let here = move |object: &&Value| namespace.is_empty() || object.text("metadata.namespace") == namespace;
        self.objects.iter().filter(move |object| object.text("kind") == kind).filter(here)
    }
    /// One object of a kind; `namespace` is empty for kinds without.
    pub fn named<'w>(&'w self, kind: &'w str, namespace: &'w str, name: &str) -> Option<&'w Value> {
        self.kind(kind, namespace).find(|object| object.text("metadata.name") == name)
    }
}

fn flatten(object: Value, all: &mut Vec<Value>) {
    let is_list = object.text("kind").ends_with("List") && object.at("items").is_array();
    match object {
        Value::Object(mut fields) if is_list => {
            if let Some(Value::Array(items)) = fields.remove("items") {
                items.into_iter().for_each(|item| flatten(item, all));
            }
        }
        object => all.push(object),
    }
}

fn key(object: &Value) -> String {
    match object.text("metadata.namespace") {
        "" => object.plain("metadata.name"),
        namespace => format!("{namespace}/{}", object.text("metadata.name")),
    }
}

/// What a command comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Printed {
    pub stdout: String,
    pub stderr: String,
    /// Of the process: 0 or 1.
    pub status: u8,
}

impl Printed {
    /// A command that could not be understood.
    fn refused(message: &str) -> Printed {
        Printed { stdout: String::new(), stderr: format!("error: {message}\n"), status: 1 }
    }
}

/// What both verbs are asked for: `pods`, `pods web-1 web-2`, `deploy,rs`, `po/web-1 svc/web`, `all`.
struct Wanted {
    /// Each kind with the names that are wanted of it; none means all.
    kinds: Vec<(&'static Resource, Vec<String>)>,
    /// Several kinds were asked for: names carry their kind.
    several: bool,
    /// One object was asked for by its name.
    single: bool,
}

impl Wanted {
    fn parse(words: &[String], all_namespaces: bool) -> Result<Wanted, String> {
        let find = |word: &str| resources::find(word).ok_or_else(|| format!("the server doesn't have a resource type \"{word}\""));
        let by_name = "a resource cannot be retrieved by name across all namespaces";
        let Some(first) = words.first() else {
            return Err("You must specify the type of resource to get".to_owned());
        };
        let mut kinds: Vec<(&'static Resource, Vec<String>)> = Vec::new();
        if first.contains('/') {
            for word in words {
                let Some((kind, name)) = word.split_once('/') else {
                    return Err("there is no need to specify a resource type as a separate argument when passing arguments in resource/name \
                                form (e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'"
                        .to_owned());
                };
                let resource = find(kind)?;
                match kinds.last_mut() {
                    Some((last, names)) if std::ptr::eq(*last, resource) => names.push(name.to_owned()),
                    _ => kinds.push((resource, vec![name.to_owned()])),
                }
            }
            if all_namespaces {
                return Err(by_name.to_owned());
            }
        } else {
            let names = &words[1..];
            for kind in first.split(',').filter(|kind| !kind.is_empty()) {
                if kind == "all" {
                    kinds.extend(resources::RESOURCES.iter().filter(|resource| resource.in_all).map(|resource| (resource, Vec::new())));
                } else {
                    kinds.push((find(kind)?, names.to_vec()));
                }
            }
            if all_namespaces && !names.is_empty() {
                return Err(by_name.to_owned());
            }
        }
        let mut distinct: Vec<&str> = kinds.iter().map(|(resource, _)| resource.plural).collect();
        distinct.sort_unstable();
        distinct.dedup();
        let single = kinds.len() == 1 && kinds[0].1.len() == 1;
        Ok(Wanted { several: distinct.len() > 1, single, kinds })
    }
}

/// What the API server warns of when a kind is asked for.
fn warning(resource: &Resource) -> &'static str {
    match resource.kind {
        "Endpoints" => "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n",
        _ => "",
    }
}

/// As the API server says that an object is not there.
fn not_found(resource: &Resource, name: &str) -> String {
    format!("Error from server (NotFound): {} \"{name}\" not found\n", resource.qualified())
}
