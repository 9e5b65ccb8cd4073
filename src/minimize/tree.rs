//! The scenario as a tree, and what is cut from it. Expectations name faults and sources of traffic by number: what is left keeps its own.

use crate::manifest::{Entry, Node, Value, set};

use super::steps;

/// A number that may become smaller.
pub struct Number {
    pub path: String,
    pub least: u64,
    pub is: u64,
}

/// A list's length.
pub fn length(tree: &Node, path: &str) -> Option<usize> {
    match &tree.at(path)?.value {
        Value::List(items) => Some(items.len()),
        _ => None,
    }
}

/// The tree without some items of a list. `None`: an expectation names one of them.
pub fn without_items(tree: &Node, path: &str, dropped: &[usize]) -> Option<Node> {
    let mut tree = tree.clone();
    if let Some(Value::List(items)) = value_at(&mut tree, path) {
        let mut index = 0..;
        items.retain(|_| !dropped.contains(&index.next().expect("there is a next number")));
    }
    let by_number = match path {
        "faults" => Some(("within", "fault")),
        "traffic" => Some(("failedRequests", "traffic")),
        _ => None,
    };
    if let Some((of, number)) = by_number
        && let Some(Value::List(expectations)) = value_at(&mut tree, "expectations")
    {
        for expectation in expectations {
            renumber(expectation, of, number, dropped)?;
        }
    }
    Some(tree)
}

/// The number in an expectation, 0 where it is not written, after some of what it counts went.
fn renumber(expectation: &mut Node, of: &str, number: &str, dropped: &[usize]) -> Option<()> {
    let Some(named) = expectation.get(of) else { return Some(()) };
    let was = match named.get(number).map(|node| &node.value) {
        None => 0,
        Some(Value::Number(was)) => usize::try_from(was.as_u64()?).ok()?,
        Some(_) => return None,
    };
    if dropped.contains(&was) {
        return None;
    }
    let is = was - dropped.iter().filter(|index| **index < was).count();
    if is != was {
        set(expectation, &steps(&format!("{of}.{number}")), Node::from_json(&is.into())).ok()?;
    }
    Some(())
}

/// The keys of a map that may go: all but what a scenario must have.
pub fn keys(tree: &Node, path: &str) -> Vec<String> {
    match tree.at(path).map(|node| &node.value) {
        Some(Value::Map(entries)) => {
            let names = entries.iter().map(|entry| entry.key.clone());
            names.filter(|name| !(path == "cluster" && (name == "nodes" || name == "controlPlane"))).collect()
        }
        _ => Vec::new(),
    }
}
pub fn without_keys(tree: &Node, path: &str, names: &[&str]) -> Node {
    let mut tree = tree.clone();
    if let Some(Value::Map(entries)) = value_at(&mut tree, path) {
        entries.retain(|entry| !names.contains(&entry.key.as_str()));
    }
    tree
}

/// The tree with another value at a path.
pub fn with(tree: &Node, path: &str, value: &serde_json::Value) -> Node {
    let mut tree = tree.clone();
    set(&mut tree, &steps(path), Node::from_json(value)).expect("the path is there, or its parent is");
    tree
}

/// The lists at the top of a scenario whose items may go: all but the expectations, which say what is to fail. Faults first, which play a part
/// in most failures; the others in the file's order, so that a new kind of list needs no word here.
pub fn top_lists(tree: &Node) -> Vec<String> {
    let Value::Map(entries) = &tree.value else { return Vec::new() };
    let is_list = |entry: &&Entry| matches!(entry.node.value, Value::List(_)) && entry.key != "expectations";
    let mut lists: Vec<String> = entries.iter().filter(is_list).map(|entry| entry.key.clone()).collect();
    lists.sort_by_key(|list| list != "faults");
    lists
}

/// Every list within the items of a list, innermost paths: the machines that a fault hits, say.
pub fn lists_in(tree: &Node, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    walk_items(tree, path, &mut |path, node, depth| {
        let list = depth > 0 && matches!(node.value, Value::List(_));
        if list {
            found.push(path.to_owned());
        }
        !list
    });
    found
}

/// Every map within the items of a list whose keys are shares of a whole or settings with defaults: what clients do, how often. Not those of
/// faults and steps, where a key that is missing may mean more (without `for` a fault stays).
pub fn maps_in(tree: &Node, path: &str) -> Vec<String> {
    let mut found = Vec::new();
    if !["faults", "steps", "workload"].contains(&path) {
        walk_items(tree, path, &mut |path, node, _| {
            if matches!(node.value, Value::Map(_)) {
                found.push(path.to_owned());
            }
            true
        });
    }
    found
}

/// Looks at everything in the items of a list, manifests left out; what `visit` says no to is not entered. Depth 0: an item.
fn walk_items(tree: &Node, path: &str, visit: &mut dyn FnMut(&str, &Node, usize) -> bool) {
    fn walk(node: &Node, path: &str, depth: usize, visit: &mut dyn FnMut(&str, &Node, usize) -> bool) {
        if !visit(path, node, depth) {
            return;
        }
        match &node.value {
            Value::Map(entries) => {
                for entry in entries.iter().filter(|entry| entry.key != "manifest") {
                    walk(&entry.node, &format!("{path}.{}", entry.key), depth + 1, visit);
                }
            }
            Value::List(items) => {
                items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{path}[{index}]"), depth + 1, visit));
            }
            _ => {}
        }
    }
    if let Some(Value::List(items)) = tree.at(path).map(|node| &node.value) {
        items.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{path}[{index}]"), 0, visit));
    }
}

/// Numbers that say what a thing is like, not how much there is of it.
const NO_COUNTS: [&str; 4] = ["ppm", "exitCode", "port", "fault"];

/// Counts in the items of all lists, nodes, replicas, and instances of the control plane, as many as there are.
pub fn numbers(tree: &Node) -> Vec<Number> {
    let mut found = Vec::new();
    let mut add = |path: String, or: Option<u64>| {
        let is = match tree.at(&path).map(|node| &node.value) {
            Some(Value::Number(number)) => number.as_u64(),
            Some(_) => None,
            None => or,
        };
        found.extend(is.filter(|is| *is > 1).map(|is| Number { path, least: 1, is }));
    };
    for list in top_lists(tree) {
        walk_items(tree, &list, &mut |path, node, _| {
            let key = path.rsplit('.').next().unwrap_or_default();
            if matches!(node.value, Value::Number(_)) && !NO_COUNTS.contains(&key) {
                add(path.to_owned(), None);
            }
            true
        });
    }
    for index in 0..length(tree, "workload").unwrap_or(0) {
        add(format!("workload[{index}].manifest.spec.replicas"), None);
    }
    for index in 0..length(tree, "cluster.nodes").unwrap_or(0) {
        add(format!("cluster.nodes[{index}].count"), None);
    }
    // What the scenario does not say is its default (`scenario::file::ControlPlane`).
    for (component, default) in [("etcd", 3), ("apiServers", 2), ("controllerManagers", 2), ("schedulers", 2)] {
        add(format!("cluster.controlPlane.{component}"), Some(default));
    }
    found
}

/// How often something is done, in the items of all lists: requests a second.
pub fn rates(tree: &Node) -> Vec<String> {
    let mut found = Vec::new();
    for list in top_lists(tree) {
        walk_items(tree, &list, &mut |path, node, _| {
            if node.as_str().is_some_and(|text| text.ends_with("/s")) && path.to_lowercase().ends_with("rate") {
                found.push(path.to_owned());
            }
            true
        });
    }
    found
}

/// Without empty lists and maps at the top and in the cluster, without a schema's place (which was beside another file), and with a
/// description of what it is.
pub fn tidied(tree: &Node, description: &str) -> Node {
    let mut tree = tree.clone();
    let is_empty = |node: &Node| match &node.value {
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    };
    if let Some(Value::Map(entries)) = value_at(&mut tree, "cluster") {
        entries.retain(|entry| !is_empty(&entry.node));
    }
    if let Value::Map(entries) = &mut tree.value {
        entries.retain(|entry| entry.key != "$schema" && entry.key != "description" && !is_empty(&entry.node));
        let place = entries.iter().position(|entry| entry.key == "name").map_or(0, |name| name + 1);
        let node = Node::from_json(&description.into());
        entries.insert(place, Entry { key: "description".to_owned(), key_place: None, node });
    }
    tree
}

/// What a scenario lost, a line each.
pub fn difference(whole: &Node, small: &Node) -> Vec<String> {
    let mut lines = Vec::new();
    for list in top_lists(whole).into_iter().chain(["cluster.nodes".to_owned(), "expectations".to_owned()]) {
        let (was, is) = (length(whole, &list).unwrap_or(0), length(small, &list).unwrap_or(0));
        if is < was {
            lines.push(format!("{list}: {} of {was} removed", was - is));
        }
    }
    for map in ["cluster", "cluster.timings", "cluster.network", "cluster.images", "cluster.runtime", "behaviours"] {
        if small.at(map).is_none() && map != "behaviours" {
            continue;
        }
        let left = all_keys(small, map);
        let gone: Vec<String> = all_keys(whole, map).into_iter().filter(|key| !left.contains(key)).collect();
        if !gone.is_empty() {
            lines.push(format!("{map}: without {}", gone.join(", ")));
        }
    }
    for list in top_lists(whole) {
        let counted = |tree: &Node| -> u64 {
            let of_list = |number: &Number| number.path.starts_with(&format!("{list}[")) && number.path.ends_with(".count");
            numbers(tree).iter().filter(|number| of_list(number)).map(|number| number.is).sum()
        };
        let (was, is) = (counted(whole), counted(small));
        if is < was {
            lines.push(format!("{list}: count {was} -> {}", is.max(1)));
        }
    }
    let replicas =
        |tree: &Node| -> u64 { numbers(tree).iter().filter(|number| number.path.ends_with("replicas")).map(|number| number.is).sum() };
    let (was, is) = (replicas(whole), replicas(small));
    if is < was {
        lines.push(format!("replicas: {was} -> {}", is.max(1)));
    }
    let nodes = |tree: &Node| -> u64 {
        let count = |index: usize| match tree.at(&format!("cluster.nodes[{index}].count")).map(|node| &node.value) {
            Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
            _ => 0,
        };
        (0..length(tree, "cluster.nodes").unwrap_or(0)).map(count).sum()
    };
    let (was, is) = (nodes(whole), nodes(small));
    if is < was {
        lines.push(format!("nodes: {was} -> {is}"));
    }
    let texts = |tree: &Node, path: &str| tree.at(path).and_then(Node::as_str).unwrap_or_default().to_owned();
    let (was, is) = (texts(whole, "duration"), texts(small, "duration"));
    if was != is {
        lines.push(format!("duration: {was} -> {is}"));
    }
    for component in ["etcd", "apiServers", "controllerManagers", "schedulers"] {
        let path = format!("cluster.controlPlane.{component}");
        let is = |tree: &Node| numbers(tree).into_iter().find(|number| number.path == path).map_or(1, |number| number.is);
        if is(small) < is(whole) {
            lines.push(format!("{component}: {} -> {}", is(whole), is(small)));
        }
    }
    lines
}

fn all_keys(tree: &Node, path: &str) -> Vec<String> {
    match tree.at(path).map(|node| &node.value) {
        Some(Value::Map(entries)) => entries.iter().map(|entry| entry.key.clone()).collect(),
        _ => Vec::new(),
    }
}

fn value_at<'t>(tree: &'t mut Node, path: &str) -> Option<&'t mut Value> {
    let mut node = tree;
    for step in steps(path) {
        node = match (&mut node.value, step) {
            (Value::Map(entries), crate::manifest::Step::Key(key)) => &mut entries.iter_mut().find(|entry| entry.key == key)?.node,
            (Value::List(items), crate::manifest::Step::Index(index)) => items.get_mut(index)?,
            _ => return None,
        };
    }
    Some(&mut node.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Node {
        Node::from_json(&serde_json::json!({
            "duration": "1m",
            "clients": [
                { "count": 8, "rate": "100/s", "mix": { "put": "50%", "get": "50%" }, "endpoints": ["etcd-1", "etcd-2"] },
                { "count": 1, "burst": { "size": 30, "readRate": "7/s" } }
            ],
            "faults": [{ "at": "1s", "for": "2s", "kill": ["etcd-1", "etcd-2"] }, { "at": "3s", "clockDrift": { "ppm": 500 } }],
            "workload": [{ "copies": 3, "manifest": { "spec": { "replicas": 4, "minReadySeconds": 9 } } }],
            "expectations": [{ "atEnd": true, "pods": { "atLeast": 5 } }]
        }))
    }

    #[test]
    fn lists_counts_and_rates_are_found_wherever_they_stand() {
        let tree = tree();
        assert_eq!(top_lists(&tree), ["faults", "clients", "workload"]);
        assert_eq!(lists_in(&tree, "faults"), ["faults[0].kill"]);
        assert_eq!(lists_in(&tree, "clients"), ["clients[0].endpoints"]);
        assert_eq!(maps_in(&tree, "clients"), ["clients[0]", "clients[0].mix", "clients[1]", "clients[1].burst"]);
        assert_eq!(maps_in(&tree, "faults"), [] as [String; 0]);
        let numbers: Vec<(String, u64)> = numbers(&tree).into_iter().map(|number| (number.path, number.is)).collect();
        let wanted = [
            ("clients[0].count", 8),
            ("clients[1].burst.size", 30),
            ("workload[0].copies", 3),
            ("workload[0].manifest.spec.replicas", 4),
            ("cluster.controlPlane.etcd", 3),
            ("cluster.controlPlane.apiServers", 2),
            ("cluster.controlPlane.controllerManagers", 2),
            ("cluster.controlPlane.schedulers", 2),
        ];
        assert_eq!(numbers, wanted.map(|(path, is)| (path.to_owned(), is)));
        assert_eq!(rates(&tree), ["clients[0].rate", "clients[1].burst.readRate"]);
    }

    #[test]
    fn what_became_less_is_told_of_every_list() {
        let small = with(&without_items(&tree(), "clients", &[1]).expect("nothing names it"), "clients[0].count", &2.into());
        assert_eq!(difference(&tree(), &small), ["clients: 1 of 2 removed", "clients: count 8 -> 2"]);
    }
}
