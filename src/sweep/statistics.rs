//! Statistics of whole microseconds, and of shares. Methods:
//!
//! - A quantile is by nearest rank: the least value that at least the given part of the values does not exceed, so always a value that was
//!   seen. The median of an even number is the mean of the two in the middle.
//! - The 95 % confidence interval of the median is by order statistics, without a guess at the distribution: of the sorted values the l-th
//!   and the l-th from the end, with the largest l for which P(Binomial(n, 1/2) < l) is at most 2.5 %. Fewer than six values have none.
//! - The 95 % interval of a share is Wilson's (1927), which stays within 0 and 1 and says something even when all held.

use serde::Serialize;

use crate::base::maths::{exp, ln, sqrt};

/// The 97.5 % quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Of at least one value, in microseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Distribution {
    /// Sorted.
    pub values: Vec<u64>,
}

impl Distribution {
    /// `None` without values.
    pub fn new(values: impl IntoIterator<Item = u64>) -> Option<Distribution> {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        (!values.is_empty()).then_some(Distribution { values })
    }
    pub fn min(&self) -> u64 {
        self.values[0]
    }
    pub fn max(&self) -> u64 {
        self.values[self.values.len() - 1]
    }
    /// Cut to microseconds.
    pub fn mean(&self) -> u64 {
        let sum: u128 = self.values.iter().map(|value| u128::from(*value)).sum();
        (sum / self.values.len() as u128) as u64
    }
    pub fn median(&self) -> u64 {
        let middle = self.values.len() / 2;
        if self.values.len() % 2 == 1 { self.values[middle] } else { self.values[middle - 1].midpoint(self.values[middle]) }
    }
    /// The quantile of so many hundredths, of 1 to 100.
    pub fn percentile(&self, hundredths: usize) -> u64 {
        let rank = (self.values.len() * hundredths).div_ceil(100);
        self.values[rank.clamp(1, self.values.len()) - 1]
    }
    /// The 95 % confidence interval of the median.
    pub fn median_interval(&self) -> Option<(u64, u64)> {
        let rank = median_rank(self.values.len())?;
        Some((self.values[rank - 1], self.values[self.values.len() - rank]))
    }
}

/// The largest l with P(Binomial(n, 1/2) < l) <= 2.5 %.
fn median_rank(n: usize) -> Option<usize> {
    // The logarithm of C(n, k) / 2^n: the number itself is too small for a float beyond n = 1074.
    let mut logarithm = -(n as f64) * ln(2.0);
    let (mut sum, mut rank) = (0.0, 0);
    while rank < n {
        sum += exp(logarithm);
        if sum > 0.025 {
            break;
        }
        logarithm += ln((n - rank) as f64 / (rank + 1) as f64);
        rank += 1;
    }
    (rank > 0).then_some(rank)
}

/// How often something held, with Wilson's 95 % interval.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Share {
    pub held: usize,
    pub runs: usize,
    pub share: f64,
    pub low: f64,
    pub high: f64,
}

impl Share {
    pub fn new(held: usize, runs: usize) -> Share {
        if runs == 0 {
            return Share { held, runs, share: 0.0, low: 0.0, high: 1.0 };
        }
        let n = runs as f64;
        let share = held as f64 / n;
        let centre = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
        let half = Z / (1.0 + Z * Z / n) * sqrt(share * (1.0 - share) / n + Z * Z / (4.0 * n * n));
        // The ends are exact by the formula; rounding must not push them out.
        let low = if held == 0 { 0.0 } else { centre - half };
        let high = if held == runs { 1.0 } else { centre + half };
        Share { held, runs, share: millionths(share), low: millionths(low), high: millionths(high) }
    }
}

/// A share to six places.
fn millionths(share: f64) -> f64 {
    (share * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[u64]) -> Distribution {
        Distribution::new(values.iter().copied()).unwrap()
    }

    #[test]
    fn figures_of_ten_values_by_hand() {
        let ten = of(&[7, 1, 10, 2, 3, 9, 4, 5, 8, 6]);
        assert_eq!((ten.min(), ten.max(), ten.mean(), ten.median()), (1, 10, 5, 5));
        // Ranks ceil(0.95 * 10) = 10, ceil(0.99 * 10) = 10, ceil(0.5 * 10) = 5.
        assert_eq!((ten.percentile(95), ten.percentile(99), ten.percentile(50)), (10, 10, 5));
        // P(B < 2) = 11/1024 = 1.1 %, P(B < 3) = 56/1024 = 5.5 %: the second, and the second from the end.
        assert_eq!(ten.median_interval(), Some((2, 9)));
    }

    #[test]
    fn quantiles_of_a_hundred_values_are_their_ranks() {
        let hundred = Distribution::new(1..=100).unwrap();
        assert_eq!((hundred.percentile(95), hundred.percentile(99), hundred.median()), (95, 99, 50));
        assert_eq!(of(&[4, 8]).median(), 6);
        assert_eq!(of(&[3]).percentile(99), 3);
        assert_eq!(Distribution::new([]), None);
    }

    #[test]
    fn the_ranks_of_the_medians_interval_are_those_of_the_tables() {
        // Conover, "Practical Nonparametric Statistics", table A3: 5 % two-sided sign test.
        let wanted = [(5, None), (6, Some(1)), (8, Some(1)), (9, Some(2)), (15, Some(4)), (20, Some(6)), (25, Some(8)), (100, Some(40))];
        for (n, rank) in wanted {
            assert_eq!(median_rank(n), rank, "{n}");
        }
        // By the normal approximation 5000 - 0.98 * 100.
        assert_eq!(median_rank(10_000), Some(4902));
    }

    #[test]
    fn wilsons_interval_by_hand() {
        // 8 of 10: centre (0.8 + 0.19207) / 1.38415 = 0.71674, half 1.41600 * sqrt(0.016 + 0.0096036) = 0.22657.
        let share = Share::new(8, 10);
        assert!((share.low - 0.490_162).abs() < 2e-6 && (share.high - 0.943_318).abs() < 2e-6, "{share:?}");
        // All of 20: from 20 / (20 + z^2).
        let all = Share::new(20, 20);
        assert!((all.low - 0.838_875).abs() < 2e-6, "{all:?}");
        assert_eq!(all.high, 1.0);
        assert_eq!(Share::new(0, 20).low, 0.0);
    }
}
