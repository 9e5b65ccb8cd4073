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

/// Every list within the items of a list, innermost paths: the machines that a fault hits, say.
pub fn lists_in(tree: &Node, path: &str) -> Vec<String> {
    fn walk(node: &Node, path: &str, found: &mut Vec<String>) {
        match &node.value {
            Value::List(_) => found.push(path.to_owned()),
            Value::Map(entries) => entries.iter().for_each(|entry| walk(&entry.node, &format!("{path}.{}", entry.key), found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Some(Value::List(items)) = tree.at(path).map(|node| &node.value) {
        for (index, item) in items.iter().enumerate() {
            walk(item, &format!("{path}[{index}]"), &mut found);
        }
    }
    found
}

/// Nodes, replicas, copies and instances of the control plane, as many as there are.
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
    for index in 0..length(tree, "workload").unwrap_or(0) {
        add(format!("workload[{index}].copies"), None);
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

/// The rates of traffic.
pub fn rates(tree: &Node) -> Vec<String> {
    (0..length(tree, "traffic").unwrap_or(0)).map(|index| format!("traffic[{index}].rate")).collect()
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
    for list in ["faults", "steps", "traffic", "workload", "cluster.nodes", "expectations"] {
        let (was, is) = (length(whole, list).unwrap_or(0), length(small, list).unwrap_or(0));
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
