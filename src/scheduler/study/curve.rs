//! What a study tells: allocation and fragmentation by arrived load, in the steps and roundings of the study's result files.
//!
//! After every pod there is a line: arrived and used GPUs in per cent of all, what is fragmented. A column takes the lines whose arrived load
//! rounds to its per cent, and shows their mean. Floats here are the study's own arithmetic: quotients and sums in its order, rounded half
//! to even.

use serde::{Deserialize, Serialize};

/// By arrived load: index 0 is 0 %, 1 is 1 %, and so on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Curve {
    pub columns: Vec<Column>,
}

/// All in hundredths of a per cent; `None` where no line is near.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Column {
    /// Of all GPUs, those in use.
    pub allocation: Option<u32>,
    /// Of all GPUs, those that are free and of no use.
    pub fragment: Option<u32>,
    /// Of the free GPUs, those that are of no use.
    pub fragment_ratio: Option<u32>,
}

pub struct Lines {
    gpus: f64,
    capacity: i64,
    columns: Vec<Vec<Line>>,
}

/// What is known after a pod; the other two are per cent and thousandths of GPUs.
#[derive(Clone, Copy)]
struct Line {
    /// In hundredths of a per cent.
    allocation: u64,
    fragment: f64,
    fragment_ratio: f64,
}

impl Lines {
    /// `capacity` in thousandths of GPUs.
    pub fn new(capacity: i64, load_per_mille: u64) -> Lines {
        let columns = (load_per_mille / 10 + 1) as usize;
        Lines { gpus: (capacity / 1000) as f64, capacity, columns: vec![Vec::new(); columns] }
    }
    pub fn push(&mut self, arrived: i64, used: i64, fragment: f64) {
        let percent = |milli: i64| milli as f64 / self.gpus / 10.0;
        let column = percent(arrived).round_ties_even() as usize;
        let free = self.capacity - used;
        let ratio = if free == 0 { 0.0 } else { hundredth(100.0 * fragment / free as f64) };
        let line = Line { allocation: u64::from(hundredths(percent(used))), fragment, fragment_ratio: ratio };
        if let Some(lines) = self.columns.get_mut(column) {
            lines.push(line);
        }
    }
    pub fn curve(&self) -> Curve {
        let column = |at: usize| {
            let own = &self.columns[at..=at];
            let near = &self.columns[at.saturating_sub(1)..(at + 2).min(self.columns.len())];
            let lines = || if own[0].is_empty() { near } else { own }.iter().flatten();
            let mean = |of: fn(&Line) -> f64| {
                let count = lines().count();
                (count > 0).then(|| lines().map(of).sum::<f64>() / count as f64)
            };
            let count = lines().count() as u64;
            Column {
                // In whole numbers: a mean of exactly half a hundredth is not uncommon.
                allocation: (count > 0).then(|| divided(lines().map(|line| line.allocation).sum(), count)),
                fragment: mean(|line| line.fragment).map(|sum| hundredths(100.0 * sum / 1000.0 / self.gpus)),
                fragment_ratio: mean(|line| line.fragment_ratio).map(hundredths),
            }
        };
        Curve { columns: (0..self.columns.len()).map(column).collect() }
    }
}

/// The quotient rounded half to even.
fn divided(sum: u64, count: u64) -> u32 {
    let (quotient, rest) = (sum / count, sum % count);
    let up = match (2 * rest).cmp(&count) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => quotient % 2 == 1,
        std::cmp::Ordering::Greater => true,
    };
    (quotient + u64::from(up)) as u32
}
fn hundredth(value: f64) -> f64 {
    (value * 100.0).round_ties_even() / 100.0
}
fn hundredths(value: f64) -> u32 {
    (value * 100.0).round_ties_even() as u32
}
