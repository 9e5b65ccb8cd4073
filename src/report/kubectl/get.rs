//! `get`: tables, names, YAML, JSON, JSONPath and custom columns.

use serde_json::{Value, json};

use super::go_sort;
use super::jsonpath::{self, Path};
use super::look::{Look, plain};
use super::resources::{self, Resource};
use super::select::{Selector, compare};
use super::table::table;
use super::{Printed, Wanted, World, not_found, warning, yaml};

/// A `get`, as on kubectl's command line.
#[derive(Clone, Debug, Default)]
pub struct Get {
    /// `pods`, `pods web-1`, `deploy,rs`, `po/web-1 svc/web`, `all`.
    pub what: Vec<String>,
    /// `default` if there is none.
    pub namespace: Option<String>,
    pub all_namespaces: bool,
    /// `wide`, `name`, `yaml`, `json`, `jsonpath=...`, `custom-columns=...`; empty for the table.
    pub output: String,
    /// `-l`.
    pub selector: String,
    pub field_selector: String,
    /// `-L`, split at commas.
    pub label_columns: Vec<String>,
    pub show_labels: bool,
    /// Names carry their kind even if one kind was asked for.
    pub show_kind: bool,
    pub no_headers: bool,
    /// A JSONPath; empty for the server's order.
    pub sort_by: String,
    pub ignore_not_found: bool,
}

/// Answers a `get`.
pub fn get(request: &Get, world: &World) -> Printed {
    answer(request, world).unwrap_or_else(|message| Printed::refused(&message))
}

fn answer(request: &Get, world: &World) -> Result<Printed, String> {
    let wanted = Wanted::parse(&request.what, request.all_namespaces)?;
    if wanted.kinds.iter().any(|(_, names)| !names.is_empty()) && !(request.selector.is_empty() && request.field_selector.is_empty()) {
        return Err("name cannot be provided when a selector is specified".to_owned());
    }
    let mut found = Found::collect(request, &wanted, world)?;
    if !request.sort_by.is_empty() {
        found.sort(&request.sort_by)?;
    }
    let (format, argument) = request.output.split_once('=').unwrap_or((&request.output, ""));
    let stdout = match format {
        "" | "wide" => found.tables(request, &wanted, world),
        "name" => found.each(|resource, object| format!("{}/{}\n", resource.prefix(), object.text("metadata.name"))),
        "yaml" => found.whole(&wanted).map_or_else(String::new, |whole| yaml::document(&whole)),
        "json" => found.whole(&wanted).map_or_else(String::new, |whole| four_blanks(&whole)),
        "jsonpath" => match found.whole(&wanted) {
            Some(whole) => jsonpath::fill(argument, &whole)?,
            None => String::new(),
        },
        "go-template" => match found.whole(&wanted) {
            Some(whole) => jsonpath::fill_go(argument, &whole)?,
            None => String::new(),
        },
        "custom-columns" => found.custom(argument, request.no_headers)?,
        _ => {
            return Err(format!(
                "unable to match a printer suitable for the output format \"{format}\", allowed formats are: \
                 custom-columns,go-template,json,jsonpath,name,wide,yaml"
            ));
        }
    };
    let human = matches!(format, "" | "wide");
    let mut printed = Printed { stdout, stderr: found.missing, status: 0 };
    if !printed.stderr.is_empty() {
        printed.status = 1;
    } else if human && printed.stdout.is_empty() && !request.ignore_not_found {
        let namespaced = !request.all_namespaces && wanted.kinds.iter().all(|(resource, _)| resource.namespaced);
        printed.stderr = match namespaced {
            true => format!("No resources found in {} namespace.\n", request.namespace()),
            false => "No resources found\n".to_owned(),
        };
    }
    let warnings: String = wanted.kinds.iter().map(|(resource, _)| warning(resource)).collect();
    printed.stderr.insert_str(0, &warnings);
    Ok(printed)
}

impl Get {
    fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }
}

/// The objects that a request selects, by kind, and what could not be found.
struct Found<'w> {
    objects: Vec<(&'static Resource, Vec<&'w Value>)>,
    missing: String,
}

impl<'w> Found<'w> {
    fn collect(request: &Get, wanted: &Wanted, world: &'w World) -> Result<Found<'w>, String> {
        let labels = Selector::labels(&request.selector)?;
        let fields = Selector::fields(&request.field_selector)?;
        let mut found = Found { objects: Vec::new(), missing: String::new() };
        for (resource, names) in &wanted.kinds {
            let here = |object: &&Value| {
                !resource.namespaced || request.all_namespaces || object.text("metadata.namespace") == request.namespace()
            };
            let mut objects: Vec<&Value> = world.of(resource).filter(here).collect();
            if names.is_empty() {
                objects.retain(|object| labels.matches_labels(object) && fields.matches_fields(object));
            } else {
                let mut named = Vec::new();
                for name in names {
                    match objects.iter().find(|object| object.text("metadata.name") == *name) {
                        Some(object) => named.push(*object),
                        None if request.ignore_not_found => {}
                        None => found.missing.push_str(&not_found(resource, name)),
                    }
                }
                objects = named;
            }
            found.objects.push((resource, objects));
        }
        Ok(found)
    }

    /// Sorts each kind by what the path finds first. An object in which it finds nothing counts as less than any other, and than another
    /// such one: so kubectl has it, and its sort turns their order around.
    fn sort(&mut self, path: &str) -> Result<(), String> {
        let parsed = Path::parse(path)?;
        for (_, objects) in &mut self.objects {
            let mut keyed: Vec<(Option<Value>, &Value)> =
                objects.iter().map(|object| (parsed.find(object).first().map(|key| (*key).clone()), *object)).collect();
            if !keyed.is_empty() && keyed.iter().all(|(key, _)| key.is_none()) {
                let path = path.trim_start_matches('{').trim_end_matches('}');
                return Err(format!("couldn't find any field with path \"{{{path}}}\" in the list of objects"));
            }
            go_sort::sort(&mut keyed, |left, right| match (&left.0, &right.0) {
                (None, _) => true,
                (_, None) => false,
                (Some(left), Some(right)) => compare(left, right).is_lt(),
            });
            *objects = keyed.into_iter().map(|(_, object)| object).collect();
        }
        Ok(())
    }

    fn each(&self, print: impl Fn(&Resource, &Value) -> String) -> String {
        self.objects.iter().flat_map(|(resource, objects)| objects.iter().map(|object| print(resource, object))).collect()
    }

    /// The one object, or a List of all; nothing if what was asked for by name is not there.
    fn whole(&self, wanted: &Wanted) -> Option<Value> {
        let mut all = self.objects.iter().flat_map(|(_, objects)| objects.iter());
        if wanted.single {
            return all.next().map(|object| (*object).clone());
        }
        let items: Vec<Value> = all.map(|object| (*object).clone()).collect();
        Some(json!({"apiVersion": "v1", "items": items, "kind": "List", "metadata": {"resourceVersion": ""}}))
    }

    /// One table a kind, blank lines between them.
    fn tables(&self, request: &Get, wanted: &Wanted, world: &World) -> String {
        let prefixed = wanted.several || request.show_kind;
        let filled = self.objects.iter().filter(|(_, objects)| !objects.is_empty());
        let tables: Vec<String> = filled
            .map(|(resource, objects)| {
                let mut rows = Vec::with_capacity(objects.len() + 1);
                if !request.no_headers {
                    rows.push(header(resource, request));
                }
                rows.extend(objects.iter().map(|object| row(resource, object, request, prefixed, world)));
                table(&rows)
            })
            .collect();
        tables.join("\n")
    }

    fn custom(&self, spec: &str, no_headers: bool) -> Result<String, String> {
        let columns = jsonpath::custom_columns(spec)?;
        let mut rows = Vec::new();
        if !no_headers {
            rows.push(columns.iter().map(|(header, _)| header.clone()).collect());
        }
        for object in self.objects.iter().flat_map(|(_, objects)| objects.iter()) {
            let cell = |path: &Path| match path.find(object) {
                values if values.is_empty() => "<none>".to_owned(),
                values => values.into_iter().map(plain).collect::<Vec<_>>().join(","),
            };
            rows.push(columns.iter().map(|(_, path)| cell(path)).collect());
        }
        Ok(table(&rows))
    }
}

fn is_shown(column: &str, request: &Get) -> bool {
    !column.starts_with('+') || request.output == "wide"
}

fn header(resource: &Resource, request: &Get) -> Vec<String> {
    let mut cells = Vec::new();
    if request.all_namespaces && resource.namespaced {
        cells.push("NAMESPACE".to_owned());
    }
    let shown = resource.columns.iter().filter(|column| is_shown(column, request));
    cells.extend(shown.map(|column| column.trim_start_matches('+').to_uppercase()));
    // `topology.kubernetes.io/zone` is headed by its last part.
    cells.extend(request.label_columns.iter().map(|key| key.rsplit('/').next().unwrap_or(key).to_uppercase()));
    if request.show_labels {
        cells.push("LABELS".to_owned());
    }
    cells
}

fn row(resource: &Resource, object: &Value, request: &Get, prefixed: bool, world: &World) -> Vec<String> {
    let mut cells = Vec::new();
    if request.all_namespaces && resource.namespaced {
        cells.push(object.plain("metadata.namespace"));
    }
    let name = cells.len();
    let all = (resource.cells)(object, world).into_iter().zip(resource.columns);
    cells.extend(all.filter(|(_, column)| is_shown(column, request)).map(|(cell, _)| cell));
    // An event's name stands last, but what is prefixed is the first cell all the same.
    if prefixed && resource.columns[0] == "Name" {
        cells[name] = format!("{}/{}", resource.prefix(), cells[name]);
    }
    let labels = object.at("metadata.labels");
    cells.extend(request.label_columns.iter().map(|key| labels.get(key).map(plain).unwrap_or_default()));
    if request.show_labels {
        cells.push(super::look::label_set(labels));
    }
    cells
}

/// JSON with four blanks an indent, as kubectl writes it.
fn four_blanks(value: &Value) -> String {
    use serde::Serialize;
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, formatter);
    value.serialize(&mut serializer).expect("a JSON value has string keys and finite numbers");
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    // Go writes these three so that JSON may stand in HTML.
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026") + "\n"
}

/// The kinds that can be asked for, for messages and completion.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    resources::RESOURCES.iter().map(|resource| resource.plural)
}
