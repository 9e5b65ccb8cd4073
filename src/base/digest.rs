//! Stable hashes (64 bit, for maps, stream names and payloads) and digests (128 bit, for the record and the trace).

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3Default;

/// A 128-bit digest, printed as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Digest(pub u128);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Takes bytes in, gives a [`Digest`] of all so far at any time.
#[derive(Clone, Default)]
pub struct Digester(Xxh3Default);

impl Digester {
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
    pub fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }
    pub fn digest(&self) -> Digest {
        Digest(self.0.digest128())
    }
}

/// A small hasher without a random state: the same input gives the same hash in every process. Multiplies and folds eight bytes at a
/// time (the construction of wyhash), which is fast for the short keys of our maps. Not for hostile input.
#[derive(Clone)]
pub struct StableHasher(u64);

const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl StableHasher {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word) * u128::from(MULTIPLIER);
        self.0 = (product as u64) ^ (product >> 64) as u64;
        // Zero would absorb what follows.
        self.0 = self.0.wrapping_add(MULTIPLIER);
    }
}
impl Default for StableHasher {
    fn default() -> StableHasher {
        StableHasher(0x243f_6a88_85a3_08d3)
    }
}
impl Hasher for StableHasher {
    fn finish(&self) -> u64 {
        let product = u128::from(self.0) * u128::from(MULTIPLIER);
        (product as u64) ^ (product >> 64) as u64
    }
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        }
        let rest = chunks.remainder();
        let mut last = [0u8; 8];
        last[..rest.len()].copy_from_slice(rest);
        // The length keeps "a" and "a\0" apart.
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }
    fn write_u8(&mut self, n: u8) {
        self.mix(u64::from(n));
    }
    fn write_u16(&mut self, n: u16) {
        self.mix(u64::from(n));
    }
    fn write_u32(&mut self, n: u32) {
        self.mix(u64::from(n));
    }
    fn write_u64(&mut self, n: u64) {
        self.mix(n);
    }
    fn write_usize(&mut self, n: usize) {
        self.mix(n as u64);
    }
    fn write_isize(&mut self, n: isize) {
        self.mix(n as u64);
    }
}

/// Builds [`StableHasher`]s, for `base::Map` and `base::Set`.
#[derive(Clone, Copy, Default)]
pub struct BuildStable;

impl BuildHasher for BuildStable {
    type Hasher = StableHasher;
    fn build_hasher(&self) -> StableHasher {
        StableHasher::default()
    }
}

/// The stable hash of a value.
pub fn stable_hash<T: Hash + ?Sized>(value: &T) -> u64 {
    BuildStable.hash_one(value)
}

/// FNV-1a with 32 bits, which Kubernetes uses for `pod-template-hash` (k/k `pkg/controller/controller_utils.go`, ComputeHash).
pub fn fnv32a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_pinned() {
        assert_eq!(fnv32a(b"hello"), 0x4f9f_2cab);
        assert_ne!(stable_hash("a"), stable_hash("b"));
        assert_ne!(stable_hash(&(0u64, 1u64)), stable_hash(&(1u64, 0u64)));
        let mut digester = Digester::default();
        digester.bytes(b"clustersim");
        assert_eq!(digester.digest().to_string().len(), 32);
    }
}
