//! Chance: named streams, and samplers that are pinned here by known-answer tests.
//!
//! A stream is keyed by a stable hash of (run seed, name); the name contains the actor's incarnation where one draws on its own behalf,
//! so that a restarted actor does not repeat its draws. From `rand` come the core traits and
//! ChaCha only: library samplers change between versions.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::digest::Digester;
use super::maths;
use super::time::{Duration, Time};

/// The seed of a run, from which every stream is derived.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream with this name. Equal (seed, name) give equal streams, whoever asks and however often.
    pub fn stream(self, name: &str) -> Stream {
        let mut digester = Digester::default();
        digester.number(self.0);
        digester.bytes(name.as_bytes());
        let digest = digester.digest().0.to_le_bytes();
        let mut key = [0u8; 32];
        key[..16].copy_from_slice(&digest);
        key[16..].copy_from_slice(&digest);
        Stream(ChaCha8Rng::from_seed(key))
    }
}

/// A stream of random numbers.
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    /// Uniform in `0..bound`, without bias (Lemire, "Fast random integer generation in an interval"). `bound` must not be 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a choice among nothing");
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= bound.wrapping_neg() % bound {
                return (product >> 64) as u64;
            }
        }
    }
    /// An index into a slice of this length.
    pub fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
    /// Uniform in the open interval (0, 1), with 53 bits.
    pub fn unit(&mut self) -> f64 {
        ((self.next_u64() >> 11) as f64 + 0.5) * (1.0 / (1u64 << 53) as f64)
    }
    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        p > 0.0 && (p >= 1.0 || self.unit() < p)
    }
    /// Uniform in `[low, high)`; `low` if the interval is empty.
    pub fn duration_between(&mut self, low: Duration, high: Duration) -> Duration {
        match high.nanos().checked_sub(low.nanos()) {
            None | Some(0) => low,
            Some(width) => Duration::from_nanos(low.nanos() + self.below(width)),
        }
    }
    /// `base * (1 + uniform[0, factor))`, client-go's `wait.Jitter`. `factor` in per mille: 200 is 0.2.
    pub fn jitter(&mut self, base: Duration, factor_per_mille: u64) -> Duration {
        base + self.duration_between(Duration::ZERO, base.scale(factor_per_mille, 1000))
    }
    /// A uniform instant in `[from, from + width)`.
    pub fn instant(&mut self, from: Time, width: Duration) -> Time {
        from + self.duration_between(Duration::ZERO, width)
    }
    /// Standard normal, by inverse transform.
    pub fn normal(&mut self) -> f64 {
        maths::normal_quantile(self.unit())
    }
    /// Exponential with mean 1, by inverse transform.
    pub fn exponential(&mut self) -> f64 {
        -maths::ln(self.unit())
    }
    /// Fisher-Yates, from the back.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.index(last + 1));
        }
    }
    /// `length` characters of Kubernetes' alphabet for generated names: no vowels, no 0, 1, 3 (apimachinery `pkg/util/rand/rand.go`).
    pub fn name_suffix(&mut self, length: usize) -> String {
        const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length).map(|_| char::from(ALPHABET[self.index(ALPHABET.len())])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_pinned() {
        let mut stream = Seed(42).stream("known answer");
        let draws: Vec<u64> = (0..4).map(|_| stream.below(1000)).collect();
        assert_eq!(draws, [400, 470, 29, 261]);
        let mut items = [0, 1, 2, 3, 4, 5, 6, 7];
        let suffix = stream.name_suffix(5);
        stream.shuffle(&mut items);
        let pinned = format!(
            "{suffix} {items:?} {:.9} {:.9} {:?}",
            stream.normal(),
            stream.exponential(),
            stream.jitter(Duration::from_secs(2), 200)
        );
        assert_eq!(pinned, "f8stv [5, 0, 7, 4, 3, 6, 1, 2] 2.429001430 1.183579148 2.375680897s");
    }

    #[test]
    fn streams_of_other_names_and_seeds_differ() {
        let first = |seed, name: &str| Seed(seed).stream(name).next_u64();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }
}
