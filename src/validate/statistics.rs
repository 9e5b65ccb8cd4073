//! Predicted against measured: medians with a bootstrap interval of their difference, and a two-sample Kolmogorov-Smirnov test.

use crate::base::Stream;
use crate::base::maths::{exp, sqrt};
use crate::base::random::Seed;

/// What is said of a milestone. With tolerance d: *refuted* when the 99 % interval of the difference of medians lies wholly outside
/// [-d, d], *inconclusive* when it is wider than 4 d, else *confirmed*.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    Confirmed,
    /// Repeat more.
    Inconclusive,
    Refuted,
}

impl Verdict {
    pub const fn name(self) -> &'static str {
        match self {
            Verdict::Confirmed => "confirmed",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Refuted => "refuted",
        }
    }
}

#[derive(Clone, Debug)]
pub struct Comparison {
    /// The 99 % interval of measured - predicted median.
    pub interval: (i64, i64),
    pub tolerance: u64,
    /// The greatest distance of the two distribution functions, and how likely one as great is by chance (Holm-corrected by [`correct`]).
    pub distance: f64,
    pub p: f64,
    pub verdict: Verdict,
}

/// Resamples of a bootstrap: 20 beyond each end of a 99 % interval.
const RESAMPLES: usize = 4000;

/// Of a sorted sample; the mean of the two in the middle.
pub fn median(sorted: &[u64]) -> u64 {
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => 0,
        count if count % 2 == 1 => sorted[middle],
        _ => sorted[middle - 1].midpoint(sorted[middle]),
    }
}
/// By nearest rank.
pub fn percentile(sorted: &[u64], hundredths: usize) -> u64 {
    let rank = (sorted.len() * hundredths).div_ceil(100);
    sorted.get(rank.clamp(1, sorted.len().max(1)) - 1).copied().unwrap_or_default()
}

/// Compares two sorted samples. `runs`: how many there were, predicted and measured; what every run of one kind reaches and none of the
/// other is refuted. `least`: the tolerance where the part of the median is less.
pub fn compare(name: &str, predicted: &[u64], measured: &[u64], runs: (usize, usize), part_milli: u64, least: u64) -> Comparison {
    let part = u128::from(median(predicted)) * u128::from(part_milli) / 1000;
    let tolerance = u64::try_from(part).unwrap_or(u64::MAX).max(least);
    let mut stream = Seed(1).stream(&format!("bootstrap {name}"));
    let interval = interval(predicted, measured, &mut stream);
    let distance = distance(predicted, measured);
    let p = significance(distance, predicted.len(), measured.len());
    let d = i64::try_from(tolerance).unwrap_or(i64::MAX);
    // A milestone that fewer than four runs of five reach is not judged by the times of those.
    let mostly = |reached: usize, runs: usize| reached * 5 >= runs * 4;
    let verdict = match (predicted.len(), measured.len()) {
        (all, 0) if all == runs.0 => Verdict::Refuted,
        (0, all) if all == runs.1 => Verdict::Refuted,
        (0, _) | (_, 0) => Verdict::Inconclusive,
        _ if interval.0 > d || interval.1 < -d => Verdict::Refuted,
        _ if interval.1 - interval.0 > 4 * d => Verdict::Inconclusive,
        (some, others) if mostly(some, runs.0) && mostly(others, runs.1) => Verdict::Confirmed,
        _ => Verdict::Inconclusive,
    };
    Comparison { interval, tolerance, distance, p, verdict }
}

fn interval(predicted: &[u64], measured: &[u64], stream: &mut Stream) -> (i64, i64) {
    if predicted.is_empty() || measured.is_empty() {
        return (0, 0);
    }
    let mut again = |from: &[u64]| {
        let mut drawn: Vec<u64> = (0..from.len()).map(|_| from[stream.index(from.len())]).collect();
        drawn.sort_unstable();
        median(&drawn).cast_signed()
    };
    let mut differences: Vec<i64> = (0..RESAMPLES).map(|_| again(measured) - again(predicted)).collect();
    differences.sort_unstable();
    let tail = RESAMPLES / 200;
    (differences[tail], differences[RESAMPLES - 1 - tail])
}

/// The two-sample Kolmogorov-Smirnov statistic.
fn distance(one: &[u64], other: &[u64]) -> f64 {
    if one.is_empty() || other.is_empty() {
        return 1.0;
    }
    let (mut i, mut j, mut greatest) = (0, 0, 0.0f64);
    while i < one.len() && j < other.len() {
        let at = one[i].min(other[j]);
        while i < one.len() && one[i] == at {
            i += 1;
        }
        while j < other.len() && other[j] == at {
            j += 1;
        }
        greatest = greatest.max((i as f64 / one.len() as f64 - j as f64 / other.len() as f64).abs());
    }
    greatest
}

/// Kolmogorov's distribution with Stephens' correction for small samples (1970).
fn significance(distance: f64, one: usize, other: usize) -> f64 {
    if one == 0 || other == 0 {
        return 1.0;
    }
    let effective = sqrt(one as f64 * other as f64 / (one + other) as f64);
    let lambda = (effective + 0.12 + 0.11 / effective) * distance;
    // Below this the series needs more terms than it is worth: the result is 1 to many digits.
    if lambda < 0.3 {
        return 1.0;
    }
    let term = |k: f64| exp(-2.0 * k * k * lambda * lambda);
    let sum: f64 = (1..=100u32).map(|k| if k % 2 == 1 { term(f64::from(k)) } else { -term(f64::from(k)) }).sum();
    (2.0 * sum).clamp(0.0, 1.0)
}

/// Holm's correction, in place.
pub fn correct(p: &mut [&mut f64]) {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|one, other| p[*one].total_cmp(p[*other]));
    let (count, mut least) = (p.len(), 0.0f64);
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max((*p[index] * (count - rank) as f64).min(1.0));
        *p[index] = least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(predicted: &[u64], measured: &[u64]) -> Verdict {
        compare("x", predicted, measured, (predicted.len(), measured.len()), 100, 50_000).verdict
    }

    #[test]
    fn a_prediction_is_refuted_only_when_the_interval_is_wholly_outside() {
        let around = |centre: u64, spread: u64| -> Vec<u64> { (0..30).map(|n| centre + n * spread / 29 - spread / 2).collect() };
        assert_eq!(verdict(&around(6_000_000, 100_000), &around(6_050_000, 100_000)), Verdict::Confirmed);
        assert_eq!(verdict(&around(6_000_000, 100_000), &around(9_000_000, 100_000)), Verdict::Refuted);
        assert_eq!(verdict(&around(6_000_000, 100_000), &around(6_000_000, 11_000_000)), Verdict::Inconclusive);
        assert_eq!(compare("x", &[45; 9], &[49; 9], (9, 9), 100, 1).tolerance, 4, "a tenth of a small count");
        assert_eq!(compare("x", &[], &[1], (9, 1), 100, 1).verdict, Verdict::Refuted, "it was never predicted");
        assert_eq!(compare("x", &[5], &[5; 9], (9, 9), 100, 1).verdict, Verdict::Inconclusive, "one run of nine got that far");
    }

    #[test]
    fn the_distance_of_distributions_and_its_significance_are_those_of_the_books() {
        assert_eq!(distance(&[1, 2, 3, 4], &[1, 2, 3, 4]), 0.0);
        assert_eq!(distance(&[1, 2], &[3, 4]), 1.0);
        assert_eq!(distance(&[1, 3], &[2, 4]), 0.5);
        // The critical value at 5 % for large samples is 1.358 / sqrt(nm / (n + m)).
        let p = significance(1.358 / sqrt(5000.0), 10_000, 10_000);
        assert!((0.048..0.052).contains(&p), "{p}");
        let (mut a, mut b, mut c) = (0.01, 0.04, 0.03);
        correct(&mut [&mut a, &mut b, &mut c]);
        assert_eq!((a, b, c), (0.03, 0.06, 0.06));
    }
}
