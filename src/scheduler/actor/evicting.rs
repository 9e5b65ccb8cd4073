//! Making room in the cluster: victims are told (`DisruptionTarget`) and deleted, nominations that lose their place are cleared (upstream
//! `framework/preemption/preemption.go`, prepareCandidateAsync).
//!
//! All victims but the last go at once; the last when the requests for the others have been answered, so that its end is what brings the
//! preemptor back to the queue. Until then no event moves the preemptor.

use super::{CLIENT, Scheduler, Token};
use crate::base::{Cause, Name, Time};
use crate::client::Reply;
use crate::objects::{Condition, Key};
use crate::scheduler::pods::PodInfo;
use crate::scheduler::preemption::{Nomination, PREEMPTION_REASON};
use crate::wire::api::{DeleteOptions, Part, Patch, Reason, Verb};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{ApiError, Outbox};

/// A preemption whose victims are not all deleted yet.
#[derive(Debug)]
pub struct Evicting {
    /// Victims whose requests are under way.
    running: usize,
    /// The one that goes when no other's is.
    last: Option<Key>,
    profile: Name,
    cause: Cause,
}

/// How far a victim's eviction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Tell,
    Delete,
}

impl Scheduler {
    /// Keeps room on the node, and begins to evict. The cause of what the preemptor does next.
    pub(super) fn preempt(&mut self, now: Time, preemptor: &PodInfo, nomination: Nomination, out: &mut Outbox) -> Cause {
        let Nomination { node, victims, cleared } = nomination;
        let mut victims: Vec<Key> = victims.into_iter().map(|victim| victim.key).collect();
        let what = What::Nominated { node: node.clone(), victims: victims.clone() };
        let cause = out.record(Fact { subject: Subject::Object(preemptor.key.clone()), what });
        out.because(cause);
        self.snapshot.nominate(preemptor.clone(), &node);
        for loser in cleared {
            let patch = Patch::Merge(serde_json::json!({"status": {"nominatedNodeName": null}}));
            self.session.send(now, CLIENT, Verb::Patch { key: loser.key, patch, part: Part::Status }, Token::Condition, out);
        }
        // The most important goes first.
        let last = victims.pop();
        let profile = self.profiles.of(preemptor.spec()).map_or_else(Name::default, |profile| profile.name().clone());
        self.evicting.insert(preemptor.key.clone(), Evicting { running: victims.len(), last, profile: profile.clone(), cause });
        self.queue.hold(&preemptor.key);
        for victim in victims {
            self.tell(now, &preemptor.key, &profile, victim, out);
        }
        self.end_if_done(now, &preemptor.key, out);
        cause
    }

    fn tell(&mut self, now: Time, preemptor: &Key, profile: &Name, victim: Key, out: &mut Outbox) {
        let condition = Condition {
            // The name of the preemptor's profile.
            message: format!("{profile}: preempting to accommodate a higher priority pod").into(),
            ..Condition::new("DisruptionTarget", true, PREEMPTION_REASON, now)
        };
        let patch = Patch::Condition { condition, nominated_node: None };
        let token = Token::Victim { preemptor: preemptor.clone(), victim: victim.clone(), step: Step::Tell };
        self.session.send(now, CLIENT, Verb::Patch { key: victim, patch, part: Part::Status }, token, out);
    }

    /// A request about a victim was answered. A victim that is gone is as good as deleted; after any other error the preemptor tries again.
    pub(super) fn victim_answered(
        &mut self,
        now: Time,
        preemptor: Key,
        victim: Key,
        step: Step,
        result: &Result<Reply, ApiError>,
        out: &mut Outbox,
    ) {
        let evicting = self.evicting.get_mut(&preemptor);
        if let Some(evicting) = &evicting {
            out.because(evicting.cause);
        }
        match (step, result) {
            (Step::Tell, Ok(_)) => {
                let token = Token::Victim { preemptor, victim: victim.clone(), step: Step::Delete };
                self.session.send(now, CLIENT, Verb::Delete { key: victim, options: DeleteOptions::default() }, token, out);
            }
            (_, Err(error)) if error.reason != Reason::NotFound => {
                if let Some(evicting) = self.evicting.remove(&preemptor) {
                    self.queue.release(&preemptor);
                    self.queue.activate(now, &preemptor, evicting.cause);
                }
            }
            _ => {
                if let Some(evicting) = evicting {
                    evicting.running = evicting.running.saturating_sub(1);
                    self.end_if_done(now, &preemptor, out);
                }
            }
        }
    }

    fn end_if_done(&mut self, now: Time, preemptor: &Key, out: &mut Outbox) {
        if self.evicting.get(preemptor).is_some_and(|evicting| evicting.running == 0)
            && let Some(Evicting { last, profile, cause, .. }) = self.evicting.remove(preemptor)
        {
            self.queue.release(preemptor);
            if let Some(last) = last {
                out.because(cause);
                self.tell(now, preemptor, &profile, last, out);
            }
        }
    }
}
