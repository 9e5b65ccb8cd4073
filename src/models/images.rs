//! Images: how large they are, which of them exist, which a machine already has.

use std::collections::BTreeMap;

use super::distribution::Distribution;
use super::presets;
use crate::base::{Duration, Name};

/// The registry and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageCatalog {
    /// Bytes per second that the registry sends in all, shared fairly among active pulls.
    pub registry_bandwidth: u64,
    /// Round trips before the first byte: token, manifest, config.
    pub registry_latency: Distribution,
    /// Bytes per second of unpacking, in uncompressed bytes.
    pub unpack_rate: u64,
    /// Compressed size in bytes by image name, as the manifests write it. Images that are not listed have `default_size`.
    pub sizes: BTreeMap<Name, u64>,
    pub default_size: u64,
    /// Images that pulls do not find.
    pub missing: Vec<Name>,
    /// Images that every node has at the start.
    pub preloaded: Vec<Name>,
}

impl Default for ImageCatalog {
    fn default() -> ImageCatalog {
        ImageCatalog {
            registry_bandwidth: presets::NIC_10G,
            registry_latency: presets::registry_latency(),
            unpack_rate: presets::UNPACK_RATE,
            sizes: BTreeMap::new(),
            default_size: presets::IMAGE_SIZE,
            missing: Vec::new(),
            preloaded: Vec::new(),
        }
    }
}

impl ImageCatalog {
    /// The compressed size: what a pull transfers.
    pub fn size(&self, image: &str) -> u64 {
        self.sizes.get(image).copied().unwrap_or(self.default_size)
    }
    /// The size on disk: compressed is 0.4 of it (our choice).
    pub fn unpacked_size(&self, image: &str) -> u64 {
        self.size(image) / 2 * 5
    }
    pub fn unpack_time(&self, image: &str) -> Duration {
        Duration::from_secs(1).scale(self.unpacked_size(image), self.unpack_rate.max(1))
    }
    pub fn is_missing(&self, image: &str) -> bool {
        self.missing.iter().any(|missing| *missing == *image)
    }
}
