//! Leader election on a Lease of the API (facts/controllers.md section 1; client-go `tools/leaderelection`).

use crate::base::{Duration, Name, Time};
use crate::objects::{Key, Stored};
use crate::wire::ApiError;
use crate::wire::api::Verb;

/// Leader election's timings, the same for manager and scheduler.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeaderTimings {
    /// 15 s
    pub lease_duration: Duration,
    /// 10 s
    pub renew_deadline: Duration,
    /// 2 s
    pub retry_period: Duration,
}

impl Default for LeaderTimings {
    fn default() -> LeaderTimings {
        LeaderTimings {
            lease_duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry_period: Duration::from_secs(2),
        }
    }
}

/// Timings and identity.
#[derive(Clone, Debug)]
pub struct LeaderConfig {
    pub lease: Key,
    pub identity: Name,
    pub timings: LeaderTimings,
}

/// What changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leadership {
    Gained,
    /// The process must exit: it is started again as a candidate.
    Lost,
}

/// A candidate: tells which request to send next and when; the actor sends it through its session and feeds the answer back.
pub struct LeaderElector {
    config: LeaderConfig,
}

impl LeaderElector {
    pub fn new(config: LeaderConfig, _stream: crate::base::Stream) -> LeaderElector {
        LeaderElector { config }
    }
    pub fn is_leading(&self) -> bool {
        todo!()
    }
    /// The request to send now, if it is time and none is outstanding.
    pub fn poll(&mut self, _now: Time) -> Option<Verb> {
        todo!()
    }
    /// The answer to it.
    pub fn answer(&mut self, _now: Time, _result: Result<Option<&Stored>, &ApiError>) -> Option<Leadership> {
        todo!()
    }
    /// Checks the renew deadline.
    pub fn wake(&mut self, _now: Time) -> Option<Leadership> {
        todo!()
    }
    /// Who leads, as far as this candidate has seen.
    pub fn holder(&self) -> &Name {
        &self.config.identity
    }
    pub fn deadline(&self) -> Time {
        todo!()
    }
}
