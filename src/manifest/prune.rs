//! Takes out of a tree what is wrong, so that the rest can be checked further. What remains keeps its places; [`Pruned::original`] gives
//! paths in it as the file has them, where items of lists went before.

use super::path::{Path, Step, parse_path};
use super::tree::{Node, Value};

/// A tree without some of its values.
pub struct Pruned {
    pub root: Node,
    /// Items that were taken out: the path of the list and the index, both as the file has them.
    items: Vec<(Vec<Step>, usize)>,
    /// The paths of all that was taken out, as the file has them.
    removed: Vec<Vec<Step>>,
}

impl Pruned {
    pub fn new(root: Node) -> Pruned {
        Pruned { root, items: Vec::new(), removed: Vec::new() }
    }
    /// Takes out what is at these paths of the tree as it is now. `false`: one of them is the root, or none led to anything.
    pub fn remove(&mut self, paths: &[Vec<Step>]) -> bool {
        if paths.iter().any(Vec::is_empty) {
            return false;
        }
        // The last first, so that the indexes of the others stay right.
        let mut paths = paths.to_vec();
        paths.sort();
        paths.dedup();
        let originals: Vec<Vec<Step>> = paths.iter().map(|path| self.original_steps(path)).collect();
        let mut any = false;
        for (path, original) in paths.into_iter().zip(originals).rev() {
            if take(&mut self.root, &path) {
                any = true;
                if let Some((Step::Index(index), list)) = original.split_last() {
                    self.items.push((list.to_vec(), *index));
                }
                self.removed.push(original);
            }
        }
        any
    }
    /// A path of the tree as the file has it.
    pub fn original(&self, path: &str) -> String {
        match parse_path(path) {
            Ok(steps) if !self.items.is_empty() => shown(&self.original_steps(&steps)),
            _ => path.to_owned(),
        }
    }
    /// Whether something inside the value at this path of the file was taken out, or the value itself: what is said about it then may be
    /// a consequence.
    pub fn is_hurt(&self, original: &str) -> bool {
        let steps = parse_path(original).unwrap_or_default();
        self.removed.iter().any(|removed| removed.starts_with(&steps))
    }
    fn original_steps(&self, steps: &[Step]) -> Vec<Step> {
        let mut original: Vec<Step> = Vec::with_capacity(steps.len());
        for step in steps {
            let step = match step {
                Step::Key(_) => step.clone(),
                Step::Index(index) => {
                    let mut gone: Vec<usize> = self.items.iter().filter(|(list, _)| *list == original).map(|(_, index)| *index).collect();
                    gone.sort_unstable();
                    Step::Index(gone.into_iter().fold(*index, |index, gone| if gone <= index { index + 1 } else { index }))
                }
            };
            original.push(step);
        }
        original
    }
}

fn take(root: &mut Node, path: &[Step]) -> bool {
    let Some((last, before)) = path.split_last() else { return false };
    let mut node = root;
    for step in before {
        let inner = match (&mut node.value, step) {
            (Value::Map(entries), Step::Key(key)) => entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node),
            (Value::List(items), Step::Index(index)) => items.get_mut(*index),
            _ => None,
        };
        match inner {
            Some(inner) => node = inner,
            None => return false,
        }
    }
    match (&mut node.value, last) {
        (Value::Map(entries), Step::Key(key)) => {
            let count = entries.len();
            entries.retain(|entry| entry.key != *key);
            entries.len() < count
        }
        (Value::List(items), Step::Index(index)) if *index < items.len() => {
            items.remove(*index);
            true
        }
        _ => false,
    }
}

fn shown(steps: &[Step]) -> String {
    let path = steps.iter().fold(Path::default(), |path, step| match step {
        Step::Key(key) => path.key(key),
        Step::Index(index) => path.index(*index),
    });
    path.as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_what_remains_are_those_of_the_file() {
        let tree = serde_json::json!({"a": [0, 1, 2, 3, {"b": 4, "c": 5}]});
        let mut pruned = Pruned::new(Node::from_json(&tree));
        let paths = |texts: &[&str]| texts.iter().map(|text| parse_path(text).unwrap()).collect::<Vec<_>>();
        assert!(pruned.remove(&paths(&["a[0]", "a[2]", "a[4].b"])));
        assert_eq!(pruned.root.to_json(), serde_json::json!({"a": [1, 3, {"c": 5}]}));
        assert_eq!(pruned.original("a[2].c"), "a[4].c");
        assert!(pruned.remove(&paths(&["a[0]"])));
        assert_eq!([0, 1].map(|index| pruned.original(&format!("a[{index}]"))), ["a[3]", "a[4]"]);
        assert!(pruned.is_hurt("a[1]") && pruned.is_hurt("a[4]") && pruned.is_hurt("a"));
        assert!(!pruned.is_hurt("a[3]") && !pruned.is_hurt("a[4].c"));
        assert!(!pruned.remove(&paths(&["b"])), "nothing is there");
    }
}
