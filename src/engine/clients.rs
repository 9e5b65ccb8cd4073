//! What became of the operations of etcd's clients: counts, and the time without an acknowledged write.

use crate::base::{Duration, Map, Time};
use crate::wire::fact::What;
use crate::wire::history::{HistoryEvent, OperationId, Outcome};

/// See the module.
#[derive(Default)]
pub struct Clients {
    pub sent: u64,
    pub ok: u64,
    /// Failed, or maybe done.
    pub lost: u64,
    /// Writes that are under way, of clients whose history is kept.
    writes: Map<OperationId, ()>,
    /// When a write was last acknowledged, or first asked for.
    acknowledged: Option<Time>,
    longest: Duration,
}

impl Clients {
    /// A fact about a client.
    pub fn counted(&mut self, what: &What) {
        if let What::EtcdOperations { sent, ok, failed, unknown, .. } = what {
            self.sent += u64::from(*sent);
            self.ok += u64::from(*ok);
            self.lost += u64::from(failed + unknown);
        }
    }
    pub fn told(&mut self, now: Time, event: &HistoryEvent) {
        match event {
            HistoryEvent::Called(id, operation) if operation.writes() => {
                self.writes.insert(*id, ());
                self.acknowledged.get_or_insert(now);
            }
            HistoryEvent::Returned(id, Outcome::Done { .. }) if self.writes.remove(id).is_some() => {
                self.longest = self.longest_write_gap(now);
                self.acknowledged = Some(now);
            }
            HistoryEvent::Returned(id, _) => drop(self.writes.remove(id)),
            _ => {}
        }
    }
    /// The longest time until now between two successive acknowledged writes; the time since the last one counts while others are under way.
    pub fn longest_write_gap(&self, now: Time) -> Duration {
        let open = self.acknowledged.map_or(Duration::ZERO, |last| now.since(last));
        self.longest.max(open)
    }
    /// The same at the end of a run, whose clients may have stopped before.
    pub fn gap_until(&self, now: Time) -> Duration {
        if self.writes.is_empty() { self.longest } else { self.longest_write_gap(now) }
    }
}
