//! Image pulls of a node: presence, policy, the queue, back-off (k/k `pkg/kubelet/images`).
//!
//! Left out: garbage collection of images, pull secrets, more than one pull at a time with a limit other than one.

use std::collections::{BTreeMap, VecDeque};

use super::backoff::{Backoff, first_sync_after, sync_retry};
use super::pod::Waiting;
use super::{Config, Env};
use crate::base::{Cause, Name, Time};
use crate::client::TokenBucket;
use crate::objects::node::NodeImage;
use crate::objects::pod::PullPolicy;
use crate::objects::{Container, Uid};

/// A pull that a container waits for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PullRequest {
    pub pod: Uid,
    pub index: u16,
    pub image: Name,
    pub cause: Cause,
}

/// What a container's start meets.
#[derive(Debug, PartialEq)]
pub(super) enum Ensure {
    Present,
    Queued,
    /// Not now: why, and when to try again.
    Held(Waiting, Time),
}

/// Node status lists at most 50 images.
const LISTED_MAX: usize = 50;

pub(super) struct Images {
    present: BTreeMap<Name, u64>,
    queue: VecDeque<PullRequest>,
    active: Vec<PullRequest>,
    backoffs: BTreeMap<(Uid, Name), (Backoff, Time)>,
    /// registryPullQPS 5, burst 10: beyond it a pull is an error.
    rate: TokenBucket,
}

/// The policy, or what the API's default for it would be: `Always` for the tag `latest` or none.
fn policy(container: &Container) -> PullPolicy {
    container.image_pull_policy.unwrap_or_else(|| {
        let name = container.image.rsplit('/').next().unwrap_or_default();
        match name.split_once(':') {
            Some((_, tag)) if tag != "latest" => PullPolicy::IfNotPresent,
            _ if name.contains('@') => PullPolicy::IfNotPresent,
            _ => PullPolicy::Always,
        }
    })
}

impl Images {
    pub fn new() -> Images {
        Images {
            present: BTreeMap::new(),
            queue: VecDeque::new(),
            active: Vec::new(),
            backoffs: BTreeMap::new(),
            rate: TokenBucket::new(5_000, 10),
        }
    }
    pub fn found(&mut self, images: Vec<(Name, u64)>) {
        self.present = images.into_iter().collect();
    }
    /// For the node status: the largest first.
    pub fn listed(&self) -> Vec<NodeImage> {
        let mut images: Vec<(&Name, &u64)> = self.present.iter().collect();
        images.sort_by(|one, other| other.1.cmp(one.1).then(one.0.cmp(other.0)));
        images.into_iter().take(LISTED_MAX).map(|(name, size)| NodeImage { names: vec![name.clone()], size_bytes: *size }).collect()
    }
    /// Sees to it that a container's image is here.
    pub fn ensure(&mut self, pod: &Uid, index: u16, container: &Container, cause: Cause, env: &mut Env) -> Ensure {
        let image = &container.image;
        let present = self.present.contains_key(image);
        match (policy(container), present) {
            (PullPolicy::IfNotPresent | PullPolicy::Never, true) => return Ensure::Present,
            (PullPolicy::Never, false) => return Ensure::Held(Waiting::ErrImageNeverPull, sync_retry(env.now, env.stream)),
            _ => {}
        }
        if let Some((backoff, failed)) = self.backoffs.get(&(pod.clone(), image.clone())) {
            let until = backoff.until(*failed, env.config.image_pull_max_backoff);
            if until > env.now {
                return Ensure::Held(Waiting::ImagePullBackOff, first_sync_after(env.now, until, env.stream));
            }
        }
        self.queue.push_back(PullRequest { pod: pod.clone(), index, image: image.clone(), cause });
        Ensure::Queued
    }
    /// The next pull to ask the engine for, if one may begin; `Err`: it is one too many a second.
    pub fn next(&mut self, now: Time, config: &Config) -> Option<Result<PullRequest, PullRequest>> {
        if config.serialize_image_pulls && !self.active.is_empty() {
            return None;
        }
        let request = self.queue.pop_front()?;
        if !self.rate.try_take(now) {
            return Some(Err(request));
        }
        self.active.push(request.clone());
        Some(Ok(request))
    }
    /// The engine's answer: who waited for it. `size`: it is here.
    pub fn pulled(&mut self, image: &Name, size: Option<u64>) -> Vec<PullRequest> {
        if let Some(size) = size {
            self.present.insert(image.clone(), size);
        }
        let (done, active) = std::mem::take(&mut self.active).into_iter().partition(|request| request.image == *image);
        self.active = active;
        done
    }
    pub fn is_present(&self, image: &str) -> bool {
        self.present.contains_key(image)
    }
    pub fn failed(&mut self, now: Time, pod: &Uid, image: &Name, config: &Config) {
        let (backoff, failed) = self.backoffs.entry((pod.clone(), image.clone())).or_default();
        backoff.next(now, now, config.image_pull_initial_backoff, config.image_pull_max_backoff);
        *failed = now;
    }
    pub fn succeeded(&mut self, pod: &Uid, image: &Name) {
        self.backoffs.remove(&(pod.clone(), image.clone()));
    }
    /// The pod no longer wants anything.
    pub fn forget(&mut self, pod: &Uid) {
        self.queue.retain(|request| request.pod != *pod);
        self.backoffs.retain(|(other, _), _| other != pod);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_policy_is_always_for_latest_only() {
        for (image, wanted) in [
            ("web", PullPolicy::Always),
            ("web:latest", PullPolicy::Always),
            ("web:1.2", PullPolicy::IfNotPresent),
            ("registry:5000/shop/web", PullPolicy::Always),
            ("registry:5000/shop/web:1.2", PullPolicy::IfNotPresent),
            ("web@sha256:0", PullPolicy::IfNotPresent),
        ] {
            assert_eq!(policy(&Container { image: image.into(), ..Container::default() }), wanted, "{image}");
        }
    }
}
