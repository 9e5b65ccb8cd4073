//! The faults of a run in order of time, as every report begins: when, for how long, what.

use super::text;
use crate::base::Time;
use crate::engine::record::{FaultInfo, Record};
use crate::report::picture::grouped;

/// Lines of it; of more faults the first are shown.
const MOST: usize = 12;

/// A line each, indented by two; nothing if there are no faults. `at`: only what has begun by then.
pub fn text(record: &Record, at: Option<Time>) -> String {
    let faults: Vec<&FaultInfo> = record.scenario.faults.iter().filter(|fault| at.is_none_or(|at| fault.at <= at)).collect();
    let start = record.scenario.start;
    let end = record.scenario.end;
    let tenths = |at: Time| format!("{} s", text::tenths(at.since(start)));
    let when = |fault: &FaultInfo| match fault.end(end) {
        until if until == fault.at => tenths(fault.at),
        until if until >= end => format!("{} to the end", tenths(fault.at)),
        until => format!("{} to {}", tenths(fault.at), tenths(until)),
    };
    let shown = if faults.len() > MOST { MOST - 1 } else { faults.len() };
    let rows: Vec<(String, &str)> = faults[..shown].iter().map(|fault| (when(fault), fault.description.as_str())).collect();
    let width = rows.iter().map(|(when, _)| when.len()).max().unwrap_or(0);
    // As the pictures number them.
    let number = |index: usize| if faults.len() > 1 { format!(" {:<2}", index + 1) } else { String::new() };
    let line = |(index, (when, what)): (usize, &(String, &str))| format!("  fault{}  {when:<width$}  {what}\n", number(index));
    let mut text: String = rows.iter().enumerate().map(line).collect();
    if shown < faults.len() {
        text.push_str(&format!("  ... {} more faults, see summary.json\n", grouped((faults.len() - shown) as u64)));
    }
    text
}
