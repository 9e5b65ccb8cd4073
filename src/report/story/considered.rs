//! The table below an attempt to schedule a pod: which nodes were filtered by which plugin, with the reason that `kubectl describe` shows,
//! and how the best of the others were scored.

use crate::wire::fact::What;

/// The lines of the table; none for another fact.
pub fn table(what: &What) -> Vec<String> {
    let What::Considered { rejected, plugins, best, .. } = what else { return Vec::new() };
    let mut lines: Vec<String> = rejected.iter().map(|(plugin, reason, nodes)| format!("{nodes:>6} x {plugin}: {reason}")).collect();
    if plugins.is_empty() {
        if let [(node, _)] = best.as_slice() {
            lines.push(format!("{node} is the only one, so that none is scored"));
        }
        return lines;
    }
    let widest = best.iter().map(|(node, _)| node.chars().count()).chain([4]).max().unwrap_or(4);
    let columns: Vec<usize> = plugins.iter().map(|plugin| plugin.chars().count().max(5)).collect();
    let row = |name: &str, cells: &[String]| {
        let cells: Vec<String> = cells.iter().zip(columns.iter().chain([&5])).map(|(cell, width)| format!("{cell:>width$}")).collect();
        format!("{name:<widest$}  {}", cells.join("  "))
    };
    let heads: Vec<String> = plugins.iter().map(ToString::to_string).chain(["total".to_owned()]).collect();
    lines.push(row("node", &heads));
    lines.extend(best.iter().map(|(node, scores)| row(node, &scores.iter().map(i64::to_string).collect::<Vec<_>>())));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_do_not_fit_are_counted_by_reason_and_the_others_scored_in_columns() {
        let what = What::Considered {
            nodes: 5,
            feasible: 2,
            rejected: vec![("NodeResourcesFit".into(), "Insufficient cpu".into(), 3)],
            plugins: vec!["TaintToleration".into(), "NodeResourcesFit".into()],
            best: vec![("worker-10".into(), vec![300, 62, 362]), ("worker-2".into(), vec![300, 7, 307])],
        };
        let expected = [
            "     3 x NodeResourcesFit: Insufficient cpu",
            "node       TaintToleration  NodeResourcesFit  total",
            "worker-10              300                62    362",
            "worker-2               300                 7    307",
        ];
        assert_eq!(table(&what), expected);
    }
}
