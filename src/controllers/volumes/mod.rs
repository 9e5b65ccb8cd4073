//! The controllers of volumes, which run only where there are such objects ([`Config::volumes`]): who binds claims, makes and deletes
//! volumes, attaches and detaches them, keeps what is in use, and makes the claims of ephemeral volumes (k/k `pkg/controller/volume`; external-provisioner).
//!
//! Provisioners are processes of their own in a cluster; here they are controllers of the manager with a client of their own, and one
//! stands for all drivers.
//!
//! Left out: volume expansion, snapshots, attribute classes, recycling.

mod attach;
mod binder;
mod ephemeral;
mod protection;
mod provisioner;
mod start;
#[cfg(test)]
mod tests;

use std::hash::Hash;

use super::adapter::{Adapter, ErasedController};
use super::{Config, Requests};
use crate::base::{Duration, Map, Time};
pub use ephemeral::claims as ephemeral_claims;
pub use start::{attachments, settle};

/// What drivers have been asked for, and when they will have done it.
struct Busy<K> {
    until: Map<K, Time>,
}

impl<K> Default for Busy<K> {
    fn default() -> Busy<K> {
        Busy { until: Map::default() }
    }
}

impl<K: Hash + Eq + Clone> Busy<K> {
    /// Whether it is done by now; it begins if it has not begun, and `item` is due when it will be.
    fn is_done<I>(&mut self, now: Time, key: &K, takes: Duration, item: I, out: &mut Requests<I>) -> bool {
        let until = *self.until.entry(key.clone()).or_insert(now + takes);
        if until > now {
            out.enqueue_after(item, until - now);
            return false;
        }
        self.until.remove(key);
        true
    }
    /// Nobody wants it any more.
    fn forget(&mut self, key: &K) {
        self.until.remove(key);
    }
}

pub(super) fn registry(config: &Config) -> Vec<Box<dyn ErasedController>> {
    vec![
        Adapter::boxed(binder::Binder::default()),
        Adapter::boxed(ephemeral::EphemeralVolumes),
        Adapter::boxed(protection::Protection),
        Adapter::boxed(attach::AttachDetach::new(config.volume_attach_time, config.volume_detach_time)),
        Adapter::boxed(provisioner::Provisioner::new(config.volume_provision_time, config.volume_delete_time)),
    ]
}
