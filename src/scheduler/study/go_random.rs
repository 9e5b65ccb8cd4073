//! The random numbers of Go's `math/rand` (Go 1): with these a seed draws the order that the study's own program draws.
//!
//! An additive lagged Fibonacci generator (lags 607 and 273, modulo 2^64), seeded by the multiplicative congruential generator
//! 48271 x mod 2^31-1, whose words are combined with the state that the same generator has after 7.8 * 10^12 steps from seed 1 with other
//! shifts. Go keeps these 607 words as a table; here they are computed: 7.8 * 10^12 steps are one polynomial, x to that power modulo the
//! recurrence, found by repeated squaring. The derived numbers (`Intn`, `Shuffle`, `Perm`, `Float64`) are Go's.
//!
//! Invariant: the orders of the study's ten seeds, which were drawn by Go (`tests/openb.rs`).

use std::sync::LazyLock;

const LENGTH: usize = 607;
const TAP: usize = 273;
/// Steps after which the state is taken for the table.
const STEPS: u64 = 7_800_000_000_000;
/// What stands for a seed that is 0 modulo 2^31-1.
const ZERO_SEED: u64 = 89_482_311;
const MODULUS: u64 = (1 << 31) - 1;

pub struct GoRandom {
    /// In the order in which they are used: the oldest value at `feed`.
    values: Vec<u64>,
    tap: usize,
    feed: usize,
}

static TABLE: LazyLock<Vec<u64>> = LazyLock::new(table);

impl GoRandom {
    pub fn new(seed: u64) -> GoRandom {
        let values = words(seed, 40, 20).iter().zip(TABLE.iter()).map(|(word, table)| word ^ table).collect();
        GoRandom { values, tap: 0, feed: LENGTH - TAP }
    }
    fn next(&mut self) -> u64 {
        self.tap = self.tap.checked_sub(1).unwrap_or(LENGTH - 1);
        self.feed = self.feed.checked_sub(1).unwrap_or(LENGTH - 1);
        let sum = self.values[self.feed].wrapping_add(self.values[self.tap]);
        self.values[self.feed] = sum;
        sum
    }
    /// `rand.Int63`; `rand.Int` is the same on 64-bit machines, and `rand.Float64` takes one too.
    pub fn int63(&mut self) -> u64 {
        self.next() & (u64::MAX >> 1)
    }
    fn int31(&mut self) -> u32 {
        (self.int63() >> 32) as u32
    }
    /// `rand.Intn`, of a bound below 2^31.
    pub fn index(&mut self, bound: usize) -> usize {
        let bound = u32::try_from(bound).ok().filter(|bound| (1..1 << 31).contains(bound)).expect("a choice among 1 to 2^31-1");
        if bound.is_power_of_two() {
            return (self.int31() & (bound - 1)) as usize;
        }
        let most = (1u32 << 31) - 1 - (1u32 << 31) % bound;
        loop {
            let value = self.int31();
            if value <= most {
                return (value % bound) as usize;
            }
        }
    }
    /// `rand.Shuffle`.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u32 + 1) as usize);
        }
    }
    /// Go's unexported `int31n`: Lemire's method on 32 bits.
    fn below(&mut self, bound: u32) -> u32 {
        loop {
            let product = (self.int63() >> 31) * u64::from(bound);
            if product as u32 >= bound.wrapping_neg() % bound {
                return (product >> 32) as u32;
            }
        }
    }
    /// `rand.Perm`.
    pub fn permutation(&mut self, length: usize) -> Vec<usize> {
        let mut items = vec![0; length];
        for at in 0..length {
            let other = self.index(at + 1);
            items[at] = items[other];
            items[other] = at;
        }
        items
    }
}

/// The state that a seed gives: three numbers of the congruential generator a word, the first two shifted.
fn words(seed: u64, first: u32, second: u32) -> Vec<u64> {
    let mut x = match seed % MODULUS {
        0 => ZERO_SEED,
        seed => seed,
    };
    let mut next = || {
        x = 48_271 * x % MODULUS;
        x
    };
    // The first twenty are thrown away.
    (0..20).for_each(|_| {
        next();
    });
    (0..LENGTH).map(|_| next() << first ^ next() << second ^ next()).collect()
}

/// The state after [`STEPS`] steps.
fn table() -> Vec<u64> {
    // With y[n] the n-th value drawn, y[n] = y[n - 607] + y[n - 273]; what came before the first draw is the state, the oldest value
    // where the first step adds.
    let start = words(1, 20, 10);
    let oldest_first: Vec<u64> = (1..=LENGTH).map(|back| start[(2 * LENGTH - TAP - back) % LENGTH]).collect();
    let last_values = advanced(&oldest_first, STEPS);
    // The cursors have moved by STEPS modulo the length, and each value stands where it was put.
    let mut table = vec![0; LENGTH];
    for (at, value) in last_values.into_iter().enumerate() {
        let step = (STEPS as usize + at) % LENGTH;
        table[(2 * LENGTH - TAP - 1 - step) % LENGTH] = value;
    }
    table
}

/// Of a sequence with the recurrence, its 607 values from `steps` on.
fn advanced(start: &[u64], steps: u64) -> Vec<u64> {
    // x^steps = sum of c[i] x^i, so that y[steps + n] = sum of c[i] y[i + n].
    let coefficients = power_of_x(steps);
    let mut sequence = start.to_vec();
    for at in LENGTH..2 * LENGTH {
        sequence.push(sequence[at - LENGTH].wrapping_add(sequence[at - TAP]));
    }
    let value = |n: usize| coefficients.iter().zip(&sequence[n..]).fold(0u64, |sum, (c, y)| sum.wrapping_add(c.wrapping_mul(*y)));
    (0..LENGTH).map(value).collect()
}

/// x^exponent modulo x^607 = x^334 + 1, with coefficients modulo 2^64.
fn power_of_x(exponent: u64) -> Vec<u64> {
    let mut power = vec![0u64; LENGTH];
    power[0] = 1;
    for bit in (0..64 - exponent.leading_zeros()).rev() {
        let mut square = vec![0u64; 2 * LENGTH];
        for (i, a) in power.iter().enumerate().filter(|(_, a)| **a != 0) {
            for (j, b) in power.iter().enumerate() {
                square[i + j] = square[i + j].wrapping_add(a.wrapping_mul(*b));
            }
        }
        if exponent >> bit & 1 == 1 {
            square.rotate_right(1);
        }
        for high in (LENGTH..2 * LENGTH).rev() {
            let carried = square[high];
            square[high - LENGTH] = square[high - LENGTH].wrapping_add(carried);
            square[high - TAP] = square[high - TAP].wrapping_add(carried);
        }
        square.truncate(LENGTH);
        power = square;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_steps_at_once_are_those_one_by_one() {
        let start = words(5, 20, 10);
        let mut sequence = start.clone();
        for at in LENGTH..5 * LENGTH {
            sequence.push(sequence[at - LENGTH].wrapping_add(sequence[at - TAP]));
        }
        for steps in [0, 1, 606, 607, 1_000, 2_000] {
            assert_eq!(advanced(&start, steps as u64), sequence[steps..steps + LENGTH], "{steps}");
        }
    }

    #[test]
    fn the_numbers_are_those_of_go() {
        // `rand.New(rand.NewSource(1))`, as every tutorial of the language shows: rand.Intn(100) gives 81, 87, 47, 59, 81, 18, 25, 40, 56, 0.
        let mut random = GoRandom::new(1);
        assert_eq!((0..10).map(|_| random.index(100)).collect::<Vec<_>>(), [81, 87, 47, 59, 81, 18, 25, 40, 56, 0]);
    }
}
