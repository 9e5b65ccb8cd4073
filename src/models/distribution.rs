//! Distributions of latencies and sizes, sampled by inverse transform so that draws are pinned (base/random.rs).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::base::{Duration, Stream, maths};

/// A distribution of durations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Distribution {
    Constant(Duration),
    Uniform {
        low: Duration,
        high: Duration,
    },
    /// Cut at zero.
    Normal {
        mean: Duration,
        deviation: Duration,
    },
    /// `median * exp(sigma * normal)`.
    LogNormal {
        median: Duration,
        sigma: f64,
    },
    Exponential {
        mean: Duration,
    },
    /// Measured samples, sorted; interpolated between neighbours.
    Empirical(Arc<[Duration]>),
    /// The first with probability `weight`, else the second: tails that are no single law.
    Mixture {
        weight: f64,
        first: Box<Distribution>,
        second: Box<Distribution>,
    },
}

impl Distribution {
    pub fn sample(&self, stream: &mut Stream) -> Duration {
        let scaled = |base: Duration, factor: f64| Duration::from_secs_f64(base.as_secs_f64() * factor);
        match self {
            Distribution::Constant(value) => *value,
            Distribution::Uniform { low, high } => stream.duration_between(*low, *high),
            Distribution::Normal { mean, deviation } => {
                Duration::from_secs_f64(mean.as_secs_f64() + deviation.as_secs_f64() * stream.normal())
            }
            Distribution::LogNormal { median, sigma } => scaled(*median, maths::exp(sigma * stream.normal())),
            Distribution::Exponential { mean } => scaled(*mean, stream.exponential()),
            Distribution::Empirical(samples) => match samples.len() {
                0 => Duration::ZERO,
                1 => samples[0],
                count => {
                    let place = stream.unit() * (count - 1) as f64;
                    let below = (place as usize).min(count - 2);
                    let (low, high) = (samples[below].as_secs_f64(), samples[below + 1].as_secs_f64());
                    Duration::from_secs_f64(low + (high - low) * (place - below as f64))
                }
            },
            Distribution::Mixture { weight, first, second } => {
                if stream.chance(*weight) {
                    first.sample(stream)
                } else {
                    second.sample(stream)
                }
            }
        }
    }
}
