//! Making room in the cluster: victims are told (`DisruptionTarget`) and deleted, nominations that lose their place are cleared (upstream
//! `framework/preemption/preemption.go`, prepareCandidateAsync).
//!
//! All victims but the last go at once; the last when the requests for the others have been answered, so that its end is what brings the
//! preemptor back to the queue. Until then no event moves the preemptor. Where a request fails, the last one's too, the preemptor is tried
//! again at once: what it waits for may never come.

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
    /// The nomination. It tells this preemption from an earlier one of the same pod, whose answers may come late.
    cause: Cause,
}

/// What a request about a victim was for.
#[derive(Debug)]
pub struct Eviction {
    preemptor: Key,
    victim: Key,
    step: Step,
    is_last: bool,
    /// The nomination that it follows from.
    cause: Cause,
}

/// How far a victim's eviction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
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
            let eviction = Eviction { preemptor: preemptor.key.clone(), victim, step: Step::Tell, is_last: false, cause };
            self.tell(now, eviction, &profile, out);
        }
        self.end_if_done(now, &preemptor.key, out);
        cause
    }

    fn tell(&mut self, now: Time, eviction: Eviction, profile: &Name, out: &mut Outbox) {
        let condition = Condition {
            // The name of the preemptor's profile.
            message: format!("{profile}: preempting to accommodate a higher priority pod").into(),
            ..Condition::new("DisruptionTarget", true, PREEMPTION_REASON, now)
        };
        let patch = Patch::Condition { condition, nominated_node: None };
        let verb = Verb::Patch { key: eviction.victim.clone(), patch, part: Part::Status };
        self.session.send(now, CLIENT, verb, Token::Victim(eviction), out);
    }

    /// A request about a victim was answered. A victim that is gone is as good as deleted; after any other error the preemptor tries again.
    pub(super) fn victim_answered(&mut self, now: Time, eviction: Eviction, result: &Result<Reply, ApiError>, out: &mut Outbox) {
        let Eviction { preemptor, victim, step, is_last, cause } = eviction;
        out.because(cause);
        let evicting = self.evicting.get_mut(&preemptor);
        let is_of_another = evicting.as_ref().is_some_and(|evicting| evicting.cause != cause);
        match (step, result) {
            (Step::Tell, Ok(_)) => {
                let token = Token::Victim(Eviction { preemptor, victim: victim.clone(), step: Step::Delete, is_last, cause });
                self.session.send(now, CLIENT, Verb::Delete { key: victim, options: DeleteOptions::default() }, token, out);
            }
            // The preemptor has tried again since, and waits for others.
            _ if is_of_another => {}
            // Once the last victim is told there is no entry any more, and the preemptor waits for that one's end all the same.
            (_, Err(error)) if error.reason != Reason::NotFound && (evicting.is_some() || is_last) => {
                self.evicting.remove(&preemptor);
                self.queue.release(&preemptor);
                self.queue.activate(now, &preemptor, cause);
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
                let eviction = Eviction { preemptor: preemptor.clone(), victim: last, step: Step::Tell, is_last: true, cause };
                self.tell(now, eviction, &profile, out);
            }
        }
    }
}
