//! The three kinds of patch on JSON: merge (RFC 7386), JSON patch (RFC 6902), strategic merge (apimachinery `util/strategicpatch`).

use serde_json::{Map, Value};

/// RFC 7386: objects are merged, `null` removes, everything else replaces.
pub fn merge(target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    let fields = object(target);
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.as_str()).or_insert(Value::Null), change)?;
        }
    }
    Ok(())
}

/// RFC 6902: operations in order, all or none.
pub fn json(target: &mut Value, patch: &Value) -> Result<(), String> {
    let mut result = target.clone();
    for (number, operation) in patch.as_array().ok_or("a JSON patch is an array")?.iter().enumerate() {
        operate(&mut result, operation).map_err(|why| format!("operation {number}: {why}"))?;
    }
    *target = result;
    Ok(())
}

/// Kubernetes' strategic merge: as merge, but the elements of known lists are merged by their key, and `$patch`, `$retainKeys`,
/// `$setElementOrder/x` and `$deleteFromPrimitiveList/x` direct it.
pub fn strategic(target: &mut Value, patch: &Value) -> Result<(), String> {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return Ok(());
    };
    match changes.get("$patch").and_then(Value::as_str) {
        Some("replace") => {
            *target = Value::Object(undirected(changes));
            return Ok(());
        }
        Some("delete") => {
            *target = Value::Object(Map::new());
            return Ok(());
        }
        None | Some("merge") => {}
        Some(other) => return Err(format!("unrecognized type of patch: {other}")),
    }
    let fields = object(target);
    if let Some(retained) = changes.get("$retainKeys").and_then(Value::as_array) {
        fields.retain(|name, _| retained.iter().any(|kept| kept.as_str() == Some(name)));
    }
    for (name, change) in changes {
        if let Some(list) = name.strip_prefix("$deleteFromPrimitiveList/") {
            let (Some(Value::Array(present)), Some(gone)) = (fields.get_mut(list), change.as_array()) else { continue };
            present.retain(|element| !gone.contains(element));
        }
    }
    for (name, change) in changes {
        if name.starts_with('$') {
            continue;
        }
        match change {
            Value::Null => {
                fields.remove(name);
            }
            Value::Array(elements) => merge_list(fields, name, elements)?,
            _ => strategic(fields.entry(name.as_str()).or_insert(Value::Null), change)?,
        }
    }
    for (name, order) in changes {
        if let (Some(list), Some(order)) = (name.strip_prefix("$setElementOrder/"), order.as_array()) {
            set_order(fields, list, order);
        }
    }
    Ok(())
}

/// How the elements of a list are told apart, by the list's name; `None`: it is replaced as a whole. Some names stand for lists with
/// different keys: the element decides.
fn merge_key(list: &str, element: &Value) -> Option<&'static str> {
    Some(match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => "name",
        "ports" if element.get("containerPort").is_some() => "containerPort",
        "ports" if element.get("port").is_some() => "port",
        "volumeMounts" => "mountPath",
        "volumeDevices" => "devicePath",
        "ownerReferences" => "uid",
        "topologySpreadConstraints" => "topologyKey",
        "conditions" | "addresses" if element.get("type").is_some() => "type",
        "hostAliases" => "ip",
        _ => return None,
    })
}

fn merge_list(fields: &mut Map<String, Value>, name: &str, elements: &[Value]) -> Result<(), String> {
    if name == "finalizers" {
        // A set of texts.
        let present = array(fields, name);
        for element in elements {
            if !present.contains(element) {
                present.push(element.clone());
            }
        }
        return Ok(());
    }
    let is_replacement = elements.iter().any(|element| element.get("$patch").and_then(Value::as_str) == Some("replace"));
    let keyed = elements.iter().all(|element| merge_key(name, element).is_some() || element.get("$patch").is_some());
    if is_replacement || !keyed || elements.is_empty() && merge_key(name, &Value::Null).is_none() {
        let plain = elements.iter().filter(|element| element.get("$patch").is_none());
        fields.insert(name.to_owned(), Value::Array(plain.cloned().collect()));
        return Ok(());
    }
    let present = array(fields, name);
    for element in elements {
        let key = merge_key(name, element).ok_or_else(|| format!("an element of {name} lacks its merge key"))?;
        let id = element.get(key).ok_or_else(|| format!("map: {element} does not contain declared merge key: {key}"))?;
        let at = present.iter().position(|it| it.get(key) == Some(id));
        if element.get("$patch").and_then(Value::as_str) == Some("delete") {
            at.map(|at| present.remove(at));
            continue;
        }
        match at {
            Some(at) => strategic(&mut present[at], element)?,
            None => {
                let mut fresh = Value::Null;
                strategic(&mut fresh, element)?;
                present.push(fresh);
            }
        }
    }
    Ok(())
}

/// Elements that the order names come in its order; the others stay behind them.
fn set_order(fields: &mut Map<String, Value>, list: &str, order: &[Value]) {
    let Some(Value::Array(present)) = fields.get_mut(list) else { return };
    let place = |element: &Value| {
        let same = |wanted: &Value| match merge_key(list, wanted) {
            Some(key) => wanted.get(key) == element.get(key),
            None => wanted == element,
        };
        order.iter().position(same).unwrap_or(order.len())
    };
    present.sort_by_key(place);
}

/// Without directives, at every level.
fn undirected(fields: &Map<String, Value>) -> Map<String, Value> {
    fields.iter().filter(|(name, _)| !name.starts_with('$')).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The value as an object; anything else becomes an empty one.
fn object(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value.as_object_mut().expect("made an object just now")
}

fn array<'a>(fields: &'a mut Map<String, Value>, name: &str) -> &'a mut Vec<Value> {
    let value = fields.entry(name).or_insert_with(|| Value::Array(Vec::new()));
    if !value.is_array() {
        *value = Value::Array(Vec::new());
    }
    value.as_array_mut().expect("made an array just now")
}

/// One operation of RFC 6902.
fn operate(target: &mut Value, operation: &Value) -> Result<(), String> {
    let text = |name: &str| operation.get(name).and_then(Value::as_str).ok_or_else(|| format!("\"{name}\" is missing"));
    let value = || operation.get("value").cloned().ok_or("\"value\" is missing");
    let path = text("path")?;
    match text("op")? {
        "add" => add(target, path, value()?),
        "remove" => remove(target, path).map(drop),
        "replace" => {
            let value = value()?;
            *find(target, path)? = value;
            Ok(())
        }
        "move" => {
            let from = text("from")?;
            if path.starts_with(&format!("{from}/")) {
                return Err(format!("{from} cannot be moved into itself"));
            }
            let moved = remove(target, from)?;
            add(target, path, moved)
        }
        "copy" => {
            let copied = find(target, text("from")?)?.clone();
            add(target, path, copied)
        }
        "test" => {
            if *find(target, path)? == value()? {
                Ok(())
            } else {
                Err(format!("testing value {path} failed"))
            }
        }
        other => Err(format!("unexpected kind: {other}")),
    }
}

fn find<'a>(target: &'a mut Value, path: &str) -> Result<&'a mut Value, String> {
    if !path.is_empty() && !path.starts_with('/') {
        return Err(format!("\"{path}\" is not a JSON pointer"));
    }
    target.pointer_mut(path).ok_or_else(|| format!("{path} is not there"))
}

/// The container that a path leads into, and the last step.
fn parent<'a>(target: &'a mut Value, path: &str) -> Result<(&'a mut Value, String), String> {
    let (parent, last) = path.rsplit_once('/').ok_or_else(|| format!("\"{path}\" is not a JSON pointer"))?;
    Ok((find(target, parent)?, last.replace("~1", "/").replace("~0", "~")))
}

fn add(target: &mut Value, path: &str, value: Value) -> Result<(), String> {
    if path.is_empty() {
        *target = value;
        return Ok(());
    }
    match parent(target, path)? {
        (Value::Object(fields), name) => {
            fields.insert(name, value);
        }
        (Value::Array(elements), at) => {
            let at = if at == "-" { elements.len() } else { index(&at, elements.len() + 1)? };
            elements.insert(at, value);
        }
        _ => return Err(format!("{path} does not lead into an object or array")),
    }
    Ok(())
}

fn remove(target: &mut Value, path: &str) -> Result<Value, String> {
    match parent(target, path)? {
        (Value::Object(fields), name) => fields.remove(&name).ok_or_else(|| format!("{path} is not there")),
        (Value::Array(elements), at) => {
            let at = index(&at, elements.len())?;
            Ok(elements.remove(at))
        }
        _ => Err(format!("{path} is not there")),
    }
}

fn index(text: &str, bound: usize) -> Result<usize, String> {
    let plain = text == "0" || !text.starts_with(['0', '+']);
    text.parse().ok().filter(|at| plain && *at < bound).ok_or_else(|| format!("{text} is not an index below {bound}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    type Apply = fn(&mut Value, &Value) -> Result<(), String>;

    /// (what, patch function, before, patch, after; `null` means refused)
    fn cases() -> Vec<(&'static str, Apply, Value, Value, Value)> {
        let containers =
            || json!({"containers": [{"name": "a", "image": "x:1", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y:1"}]});
        vec![
            (
                "RFC 7386 example",
                merge,
                json!({"a": "b", "c": {"d": "e", "f": "g"}}),
                json!({"a": "z", "c": {"f": null}}),
                json!({"a": "z", "c": {"d": "e"}}),
            ),
            ("merge replaces arrays", merge, json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
            ("merge makes objects of scalars", merge, json!({"a": "b"}), json!({"a": {"b": {"c": null}}}), json!({"a": {"b": {}}})),
            ("add to an array", json, json!({"a": [1, 3]}), json!([{"op": "add", "path": "/a/1", "value": 2}]), json!({"a": [1, 2, 3]})),
            ("add at the end", json, json!({"a": [1]}), json!([{"op": "add", "path": "/a/-", "value": 2}]), json!({"a": [1, 2]})),
            ("escaped path", json, json!({"a": {"x/y": 1}}), json!([{"op": "remove", "path": "/a/x~1y"}]), json!({"a": {}})),
            ("move", json, json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/b"}]), json!({"b": 1})),
            ("copy", json, json!({"a": [1]}), json!([{"op": "copy", "from": "/a", "path": "/b"}]), json!({"a": [1], "b": [1]})),
            ("remove of what is absent", json, json!({"data": {}}), json!([{"op": "remove", "path": "/data/nosuch"}]), Value::Null),
            ("replace of what is absent", json, json!({}), json!([{"op": "replace", "path": "/a", "value": 1}]), Value::Null),
            ("a failed test", json, json!({"data": {"b": "x"}}), json!([{"op": "test", "path": "/data/b", "value": "zzz"}]), Value::Null),
            ("an index beyond the end", json, json!({"a": []}), json!([{"op": "add", "path": "/a/1", "value": 1}]), Value::Null),
            (
                "containers merge by name",
                strategic,
                containers(),
                json!({"containers": [{"name": "a", "image": "x:2"}]}),
                json!({"containers": [{"name": "a", "image": "x:2", "env": [{"name": "K", "value": "1"}]}, {"name": "b", "image": "y:1"}]}),
            ),
            (
                "an element is deleted by directive",
                strategic,
                containers(),
                json!({"containers": [{"name": "a", "$patch": "delete"}]}),
                json!({"containers": [{"name": "b", "image": "y:1"}]}),
            ),
            (
                "order is set by directive",
                strategic,
                containers(),
                json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}], "containers": [{"name": "c", "image": "z"}]}),
                json!({"containers": [{"name": "c", "image": "z"}, {"name": "b", "image": "y:1"}, {"name": "a", "image": "x:1", "env": [{"name": "K", "value": "1"}]}]}),
            ),
            (
                "a list is replaced by directive",
                strategic,
                json!({"env": [{"name": "a"}]}),
                json!({"env": [{"name": "b"}, {"$patch": "replace"}]}),
                json!({"env": [{"name": "b"}]}),
            ),
            (
                "taints are atomic",
                strategic,
                json!({"taints": [{"key": "a"}]}),
                json!({"taints": [{"key": "b"}]}),
                json!({"taints": [{"key": "b"}]}),
            ),
            (
                "service ports merge by port",
                strategic,
                json!({"ports": [{"port": 80, "name": "w"}]}),
                json!({"ports": [{"port": 80, "targetPort": 8080}]}),
                json!({"ports": [{"port": 80, "name": "w", "targetPort": 8080}]}),
            ),
            (
                "finalizers are a set",
                strategic,
                json!({"finalizers": ["a"]}),
                json!({"finalizers": ["a", "b"]}),
                json!({"finalizers": ["a", "b"]}),
            ),
            (
                "a text is taken out of a set",
                strategic,
                json!({"finalizers": ["a", "b"]}),
                json!({"$deleteFromPrimitiveList/finalizers": ["a"]}),
                json!({"finalizers": ["b"]}),
            ),
            (
                "only some keys are kept",
                strategic,
                json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}),
                json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
                json!({"strategy": {"type": "Recreate"}}),
            ),
            ("null removes", strategic, json!({"a": 1, "b": 2}), json!({"a": null}), json!({"b": 2})),
            (
                "an object is replaced by directive",
                strategic,
                json!({"a": {"x": 1}}),
                json!({"a": {"$patch": "replace", "y": 2}}),
                json!({"a": {"y": 2}}),
            ),
            (
                "conditions merge by type",
                strategic,
                json!({"conditions": [{"type": "A", "status": "True"}]}),
                json!({"conditions": [{"type": "A", "status": "False"}, {"type": "B"}]}),
                json!({"conditions": [{"type": "A", "status": "False"}, {"type": "B"}]}),
            ),
        ]
    }

    #[test]
    fn patches_do_what_the_table_says() {
        for (what, apply, before, patch, after) in cases() {
            let mut target = before.clone();
            match apply(&mut target, &patch) {
                Ok(()) => assert_eq!(target, after, "{what}"),
                Err(why) => {
                    assert_eq!(after, Value::Null, "{what}: {why}");
                    assert_eq!(target, before, "{what}: a refused patch changes nothing");
                }
            }
        }
    }
}
