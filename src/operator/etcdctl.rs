//! What etcdctl does: the scenario's steps on etcd itself, each tried again until it is done, is refused for good, or has taken too long.
//!
//! It asks the members in turn, as clientv3 does. An answer that is lost leaves open whether the change was made; when the next try is then
//! told that it is there already, the step is done. `snapshot restore` needs no member: it makes new disks of the snapshot that was saved
//! last, and starts the members on them as a cluster of its own (etcd `etcdutl/snapshot`), with the old ones' terms and logs forgotten.
//!
//! Left out: certificates, users and roles, and `endpoint` commands, which change nothing.

use std::sync::Arc;

use crate::base::{Cause, Duration, Index, Name, Revision, Stream, Term, Time};
use crate::client::etcd::{EtcdClient, EtcdOutput};
use crate::wire::etcd::{Answer, EtcdError, KeyRange, Operation, Range, Response, StoreSnapshot};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::raft::{Configuration, HardState, Snapshot};
use crate::wire::{Actor, Address, DiskRecord, Input, Member, Outbox, ServerMessage};

/// A step on etcd.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub at: Time,
    pub description: Name,
    pub action: Action,
    /// After this it has failed.
    pub timeout: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    MemberAdd {
        member: Member,
        learner: bool,
    },
    MemberPromote(Member),
    MemberRemove(Member),
    MemberReplace {
        leaves: Member,
        joins: Member,
    },
    MoveLeader(Member),
    /// Forgets all but the newest so many revisions.
    Compact {
        keep: u64,
    },
    /// Gives back to the file system what compactions freed, on one voting member after another (`etcdctl defrag --cluster`; learners refuse).
    Defrag,
    /// Takes back all alarms.
    AlarmDisarm,
    SnapshotSave,
    SnapshotRestore {
        members: Vec<Member>,
        /// Revisions begin so much later, and those before count as compacted, so that clients that knew newer ones begin anew (etcdutl
        /// `--bump-revision` with `--mark-compacted`).
        bump_revision: u64,
    },
}

/// First pause before a step is tried again, and the longest (ours: a person's script).
const PAUSE: Duration = Duration::from_millis(200);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// A try is given up after this: etcdctl's `--command-timeout`.
const TRY_TIMEOUT: Duration = Duration::from_secs(5);

struct Task {
    number: u32,
    step: Step,
    /// When it is tried next; `NEVER` while a try is under way or when it is over.
    next: Time,
    pause: Duration,
    /// An earlier try may have done it.
    maybe_done: bool,
    cause: Cause,
    /// Compaction: the revision to compact to, once the current one is known.
    revision: Option<Revision>,
    /// Defragmentation: the members that it still has to be asked of, once they are known.
    rest: Option<Vec<Member>>,
}

/// See the module.
pub struct Etcdctl {
    client: EtcdClient<usize>,
    outputs: Vec<EtcdOutput<usize>>,
    tasks: Vec<Task>,
    /// The file that `snapshot save` wrote.
    saved: Option<Arc<StoreSnapshot>>,
}

impl Etcdctl {
    /// The steps are numbered from `first` on.
    pub fn new(endpoints: Vec<Member>, first: u32, steps: Vec<Step>, stream: Stream) -> Etcdctl {
        let task = |(nth, step): (usize, Step)| Task {
            number: first + nth as u32,
            next: step.at,
            step,
            pause: PAUSE,
            maybe_done: false,
            cause: Cause::NONE,
            revision: None,
            rest: None,
        };
        Etcdctl {
            client: EtcdClient::new(endpoints, stream),
            outputs: Vec::new(),
            tasks: steps.into_iter().enumerate().map(task).collect(),
            saved: None,
        }
    }

    fn try_due(&mut self, now: Time, out: &mut Outbox) {
        for nth in 0..self.tasks.len() {
            if self.tasks[nth].next <= now {
                self.try_it(now, nth, out);
            }
        }
    }
    fn try_it(&mut self, now: Time, nth: usize, out: &mut Outbox) {
        let task = &mut self.tasks[nth];
        task.next = Time::NEVER;
        out.because(task.cause);
        let limit = task.step.at + task.step.timeout;
        let request = match &task.step.action {
            Action::MemberAdd { member, learner } => Operation::MemberAdd { member: *member, learner: *learner },
            Action::MemberPromote(member) => Operation::MemberPromote { member: *member },
            Action::MemberRemove(member) => Operation::MemberRemove { member: *member },
            Action::MemberReplace { leaves, joins } => Operation::MemberReplace { leaves: *leaves, joins: *joins },
            Action::MoveLeader(to) => Operation::MoveLeader { to: *to },
            Action::Compact { .. } => match task.revision {
                Some(revision) => Operation::Compact { revision },
                // The header of any answer has the revision.
                None => Operation::Range(Range { count_only: true, ..Range::of(KeyRange::One("".into())) }.into()),
            },
            Action::Defrag => match task.rest.as_ref().map(|rest| rest.last()) {
                None => Operation::MemberList,
                Some(None) => return self.finish(nth, out),
                Some(Some(&member)) => {
                    let until = (now + TRY_TIMEOUT).min(limit);
                    if !self.client.send_to(member, Operation::Defragment, until, nth, out) {
                        self.answered(now, nth, Err(EtcdError::Unavailable), out);
                    }
                    return;
                }
            },
            Action::AlarmDisarm => Operation::AlarmDisarm,
            Action::SnapshotSave => Operation::Snapshot,
            Action::SnapshotRestore { members, bump_revision } => {
                let Some(saved) = &self.saved else { return self.fail(nth, "there is no snapshot", out) };
                let disk = restored(saved, members, *bump_revision);
                for member in members.clone() {
                    out.provision(Address::Etcd(member), disk.clone());
                }
                return self.finish(nth, out);
            }
        };
        self.client.send(now, request, (now + TRY_TIMEOUT).min(limit), nth, out);
    }
    fn answered(&mut self, now: Time, nth: usize, result: Result<Response, EtcdError>, out: &mut Outbox) {
        let task = &mut self.tasks[nth];
        out.because(task.cause);
        let error = match result {
            Ok(response) => match (&task.step.action, response.result) {
                (Action::Compact { keep }, Ok(Answer::Range(_))) => {
                    let revision = Revision(response.revision.0.saturating_sub(*keep));
                    if revision == Revision::ZERO {
                        return self.finish(nth, out);
                    }
                    task.revision = Some(revision);
                    return self.try_it(now, nth, out);
                }
                (Action::Defrag, Ok(Answer::Defragmented)) => {
                    task.rest.as_mut().expect("the members are known").pop();
                    return self.try_it(now, nth, out);
                }
                (Action::Defrag, Ok(Answer::Members(members))) => {
                    task.rest = Some(members.voters.into_iter().rev().collect());
                    return self.try_it(now, nth, out);
                }
                (Action::SnapshotSave, Ok(Answer::Snapshot(snapshot))) => {
                    self.saved = Some(snapshot);
                    return self.finish(nth, out);
                }
                (_, Ok(_)) => return self.finish(nth, out),
                (_, Err(error)) => error,
            },
            Err(error) => error,
        };
        let is_there_already = match (&task.step.action, error) {
            (Action::MemberAdd { .. } | Action::MemberReplace { .. }, EtcdError::MemberExists) => true,
            (Action::MemberPromote(_), EtcdError::MemberNotLearner) => true,
            (Action::MemberRemove(_) | Action::MemberReplace { .. }, EtcdError::MemberNotFound) => true,
            // Somebody else has compacted so far: nothing is left to do.
            (Action::Compact { .. }, EtcdError::Compacted) => return self.finish(nth, out),
            _ => false,
        };
        match error {
            _ if is_there_already && task.maybe_done => self.finish(nth, out),
            _ if is_passing(error) => {
                task.maybe_done |= error == EtcdError::Timeout;
                // What is current changes while one waits.
                task.revision = None;
                let next = now + task.pause;
                task.pause = (task.pause * 2).min(PAUSE_MAX);
                if next >= task.step.at + task.step.timeout {
                    let why = format!("{error:?} after {}", task.step.timeout);
                    return self.fail(nth, &why, out);
                }
                self.tasks[nth].next = next;
            }
            _ => self.fail(nth, &format!("{error:?}"), out),
        }
    }
    fn finish(&mut self, nth: usize, out: &mut Outbox) {
        let task = &self.tasks[nth];
        let what = What::StepDone { step: task.number, description: task.step.description.clone() };
        out.record(Fact { subject: Subject::Actor(Address::Etcdctl), what });
    }
    fn fail(&mut self, nth: usize, why: &str, out: &mut Outbox) {
        let task = &self.tasks[nth];
        let error = format!("{}: {why}", task.step.description).into();
        out.record(Fact { subject: Subject::Actor(Address::Etcdctl), what: What::StepFailed { step: task.number, error } });
    }
}

/// Worth another try: nobody said no for good. A learner that lags catches up, a member that is not the leader is not the only one, and
/// too few healthy members may recover.
fn is_passing(error: EtcdError) -> bool {
    matches!(
        error,
        EtcdError::NoLeader
            | EtcdError::LeaderChanged
            | EtcdError::Timeout
            | EtcdError::TooManyRequests
            | EtcdError::Unavailable
            | EtcdError::Learner
            | EtcdError::LearnerNotReady
            | EtcdError::UnhealthyCluster
            | EtcdError::NotLeader
    )
}

/// The disk of each member of a cluster that begins with a snapshot.
fn restored(saved: &StoreSnapshot, members: &[Member], bump_revision: u64) -> Vec<DiskRecord> {
    let mut state = saved.clone();
    if bump_revision > 0 {
        state.revision = Revision(state.revision.0 + bump_revision);
        state.compacted = state.revision;
    }
    // At least one entry made each revision; the first term, as in a new cluster.
    let (index, term) = (Index(state.revision.0.max(1)), Term(1));
    let configuration = Configuration::of(members.iter().copied());
    vec![
        DiskRecord::Snapshot(Arc::new(Snapshot { index, term, configuration, state: Arc::new(state) })),
        DiskRecord::HardState(HardState { term, vote: None, commit: index }),
    ]
}

impl Actor for Etcdctl {
    type Message = ServerMessage;

    fn step(&mut self, now: Time, input: Input<ServerMessage>, out: &mut Outbox) {
        let mut outputs = std::mem::take(&mut self.outputs);
        match input {
            Input::Boot(_) => self.client.start(now, out),
            Input::Wake => self.client.wake(now, out, &mut outputs),
            input => {
                self.client.handle(now, input, out, &mut outputs);
            }
        }
        for output in outputs.drain(..) {
            if let EtcdOutput::Answer { token, result, .. } = output {
                self.answered(now, token, result, out);
            }
        }
        self.outputs = outputs;
        out.because(Cause::NONE);
        self.try_due(now, out);
    }

    fn deadline(&self) -> Time {
        // A scenario has a few steps.
        self.tasks.iter().map(|task| task.next).min().unwrap_or(Time::NEVER).min(self.client.deadline())
    }
}
