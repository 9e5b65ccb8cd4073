//! A test a sentence of the Raft paper (Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014, extended
//! version): each is named by its section and says what the sentence demands, in etcd's form of it where that differs (pre-votes, leases
//! on votes, changes that take effect when they are applied).

mod raft_group;

use std::collections::BTreeSet;
use std::sync::Arc;

use clustersim::base::{Cause, Duration, Index, Term, Time};
use clustersim::etcd::raft::{Raft, Ready, Role};
use clustersim::wire::Member;
use clustersim::wire::raft::{Body, Configuration, ConfigurationChange, HardState, MemberChange, Message, Snapshot};
use raft_group::*;

const NOW: Time = Time::ZERO;

fn heartbeat() -> Body {
    Body::Heartbeat { commit: Index::ZERO, read_context: 0 }
}
fn vote(last_index: u64, last_term: u64) -> Body {
    Body::Vote { last_index: Index(last_index), last_term: Term(last_term), transfer: false }
}
fn append(previous: (u64, u64), entries: Vec<clustersim::wire::raft::Entry>, commit: u64) -> Body {
    Body::Append { previous_index: Index(previous.0), previous_term: Term(previous.1), entries: entries.into(), commit: Index(commit) }
}
fn granted(messages: &[Message]) -> Option<bool> {
    messages.iter().find_map(|message| match message.body {
        Body::VoteResponse { granted } => Some(granted),
        _ => None,
    })
}
fn rejected(messages: &[Message]) -> Option<bool> {
    messages.iter().find_map(|message| match message.body {
        Body::AppendResponse { rejected, .. } => Some(rejected.is_some()),
        _ => None,
    })
}
fn to_whom(messages: &[Message], of: impl Fn(&Body) -> bool) -> BTreeSet<u16> {
    messages.iter().filter(|message| of(&message.body)).map(|message| message.to.0).collect()
}
fn is_append(body: &Body) -> bool {
    matches!(body, Body::Append { .. })
}
fn acknowledge(raft: &mut Raft, now: Time, from: u16, term: u64, index: u64) -> Vec<Message> {
    tell(raft, now, from, term, Body::AppendResponse { index: Index(index), rejected: None })
}

/// 5.1: "If one server's current term is smaller than the other's, then it updates its current term to the larger value."
#[test]
fn s5_1_a_smaller_term_is_updated_to_the_larger() {
    let mut follower = raft(1, &[1], 1, NOW);
    tell(&mut follower, NOW, 2, 4, heartbeat());
    assert_eq!((follower.term(), follower.leader()), (Term(4), Some(Member(2))));
}

/// 5.1: "If a candidate or leader discovers that its term is out of date, it immediately reverts to follower state."
#[test]
fn s5_1_who_finds_its_term_out_of_date_reverts_to_follower() {
    let mut leader = raft(1, &[1], 1, NOW);
    let (now, _) = elect(&mut leader, &[2, 3]);
    assert_eq!(leader.role(), Role::Leader);
    tell(&mut leader, now, 2, 9, Body::AppendResponse { index: Index(1), rejected: None });
    assert_eq!((leader.role(), leader.term()), (Role::Follower, Term(9)));

    let mut candidate = raft(1, &[1], 1, NOW);
    let (now, _) = time_out(&mut candidate);
    for voter in [2, 3] {
        tell(&mut candidate, now, voter, 2, Body::PreVoteResponse { granted: true });
    }
    assert_eq!(candidate.role(), Role::Candidate);
    tell(&mut candidate, now, 4, 3, Body::VoteResponse { granted: false });
    assert_eq!((candidate.role(), candidate.term()), (Role::Follower, Term(3)));
}

/// 5.1: "If a server receives a request with a stale term number, it rejects the request."
#[test]
fn s5_1_a_request_with_a_stale_term_is_rejected() {
    let mut follower = raft(1, &[1], 5, NOW);
    let answers = tell(&mut follower, NOW, 2, 4, append((1, 1), vec![entry(2, 4)], 2));
    assert_eq!((log(&follower), follower.leader(), follower.commit()), (vec![1], None, Index(1)));
    assert_eq!(answers[0].term, Term(5), "the old leader learns the term");
    tell(&mut follower, NOW, 2, 4, vote(9, 4));
    assert_eq!(follower.vote(), None);
}

/// 5.2: "When servers start up, they begin as followers."
#[test]
fn s5_2_servers_begin_as_followers() {
    assert_eq!(raft(1, &[1, 2], 2, NOW).role(), Role::Follower);
}

/// 5.2: "A server remains in follower state as long as it receives valid RPCs from a leader or candidate."
#[test]
fn s5_2_a_follower_remains_one_as_long_as_it_hears_a_leader() {
    let mut follower = raft(1, &[1], 1, NOW);
    for tick in 1..100 {
        let now = Time::from_millis(tick * 100);
        tell(&mut follower, now, 2, 1, heartbeat());
        follower.tick(now);
        take(&mut follower, now);
        assert_eq!(follower.role(), Role::Follower);
    }
}

/// 5.2: "Leaders send periodic heartbeats (AppendEntries RPCs that carry no log entries) to all followers in order to maintain their
/// authority."
#[test]
fn s5_2_leaders_send_periodic_heartbeats_to_all_followers() {
    let mut leader = raft(1, &[1], 1, NOW);
    elect(&mut leader, &[2, 3]);
    let mut last = None;
    for _ in 0..5 {
        let (now, messages) = time_out(&mut leader);
        assert_eq!(to_whom(&messages, |body| matches!(body, Body::Heartbeat { .. })), BTreeSet::from([2, 3, 4, 5]));
        assert!(last.is_none_or(|last: Time| now.since(last) == Duration::from_millis(100)));
        last = Some(now);
    }
}

/// 5.2: "To begin an election, a follower increments its current term and transitions to candidate state. It then votes for itself and
/// issues RequestVote RPCs in parallel to each of the other servers in the cluster." After a pre-vote that it would win (thesis, 9.6).
#[test]
fn s5_2_an_election_begins_with_a_term_a_vote_and_requests() {
    let mut follower = raft(1, &[1, 2], 2, NOW);
    let (now, asked) = time_out(&mut follower);
    assert_eq!((follower.role(), follower.term(), follower.vote()), (Role::PreCandidate, Term(2), None));
    assert_eq!(to_whom(&asked, |body| matches!(body, Body::PreVote { .. })), BTreeSet::from([2, 3, 4, 5]));
    tell(&mut follower, now, 2, 3, Body::PreVoteResponse { granted: true });
    let requests = tell(&mut follower, now, 3, 3, Body::PreVoteResponse { granted: true });
    assert_eq!((follower.role(), follower.term(), follower.vote()), (Role::Candidate, Term(3), Some(Member(1))));
    assert_eq!(to_whom(&requests, |body| matches!(body, Body::Vote { .. })), BTreeSet::from([2, 3, 4, 5]));
}

/// 5.2: "A candidate wins an election if it receives votes from a majority of the servers in the full cluster for the same term."
#[test]
fn s5_2_a_candidate_wins_with_votes_of_a_majority_for_the_same_term() {
    let mut candidate = raft(1, &[1], 1, NOW);
    let (now, _) = time_out(&mut candidate);
    tell(&mut candidate, now, 2, 2, Body::PreVoteResponse { granted: true });
    assert_eq!(candidate.role(), Role::PreCandidate, "two of five");
    tell(&mut candidate, now, 3, 2, Body::PreVoteResponse { granted: true });
    tell(&mut candidate, now, 2, 2, Body::VoteResponse { granted: true });
    tell(&mut candidate, now, 2, 2, Body::VoteResponse { granted: true });
    assert_eq!(candidate.role(), Role::Candidate, "a vote that comes twice counts once");
    tell(&mut candidate, now, 3, 1, Body::VoteResponse { granted: true });
    assert_eq!(candidate.role(), Role::Candidate, "a vote for an older term counts for nothing");
    tell(&mut candidate, now, 4, 2, Body::VoteResponse { granted: true });
    assert_eq!((candidate.role(), candidate.leader()), (Role::Leader, Some(Member(1))));
}

/// 5.2: "Each server will vote for at most one candidate in a given term, on a first-come-first-served basis."
#[test]
fn s5_2_a_server_votes_for_one_candidate_a_term_and_remembers_it_through_a_crash() {
    let mut voter = raft(1, &[1], 1, NOW);
    assert_eq!(granted(&tell(&mut voter, NOW, 2, 2, vote(1, 1))), Some(true));
    assert_eq!(granted(&tell(&mut voter, NOW, 3, 2, vote(1, 1))), Some(false));
    assert_eq!(granted(&tell(&mut voter, NOW, 2, 2, vote(1, 1))), Some(true), "the same one asks again");
    let mut reborn = started(1, &[1], HardState { term: Term(2), vote: voter.vote(), commit: Index(1) }, NOW);
    assert_eq!(granted(&tell(&mut reborn, NOW, 3, 2, vote(1, 1))), Some(false));
    assert_eq!(granted(&tell(&mut reborn, NOW, 3, 3, vote(1, 1))), Some(true), "a new term, a new vote");
}

/// 5.2: "If the leader's term (included in its RPC) is at least as large as the candidate's current term, then the candidate recognizes the
/// leader as legitimate and returns to follower state. If the term in the RPC is smaller [...], the candidate rejects the RPC and continues
/// in candidate state."
#[test]
fn s5_2_a_candidate_recognises_a_leader_of_its_term() {
    for (term, role) in [(2, Role::Follower), (3, Role::Follower), (1, Role::Candidate)] {
        let mut candidate = raft(1, &[1], 1, NOW);
        let (now, _) = time_out(&mut candidate);
        for voter in [2, 3] {
            tell(&mut candidate, now, voter, 2, Body::PreVoteResponse { granted: true });
        }
        tell(&mut candidate, now, 4, term, heartbeat());
        assert_eq!(candidate.role(), role, "a leader of term {term}");
    }
}

/// 5.2: "When this happens, each candidate will time out and start a new election by incrementing its term."
#[test]
fn s5_2_a_split_vote_leads_to_a_new_term() {
    let mut candidate = raft(1, &[1], 1, NOW);
    let (now, _) = time_out(&mut candidate);
    for voter in [2, 3] {
        tell(&mut candidate, now, voter, 2, Body::PreVoteResponse { granted: true });
    }
    for (voter, granted) in [(2, true), (3, false)] {
        tell(&mut candidate, now, voter, 2, Body::VoteResponse { granted });
    }
    assert_eq!(candidate.role(), Role::Candidate);
    elect(&mut candidate, &[2, 3]);
    assert_eq!((candidate.role(), candidate.term()), (Role::Leader, Term(3)));
}

/// 5.2: "Raft uses randomized election timeouts to ensure that split votes are rare and that they are resolved quickly." etcd's are whole
/// ticks of one to two election timeouts.
#[test]
fn s5_2_election_timeouts_are_drawn_from_an_interval() {
    let timeouts: BTreeSet<u64> = (1..=MEMBERS)
        .flat_map(|me| {
            let mut follower = raft(me, &[1], 1, NOW);
            let mut last = NOW;
            (0..40)
                .map(|_| {
                    let (now, _) = time_out(&mut follower);
                    // Nobody answers: the pre-candidacy begins anew.
                    tell(&mut follower, now, 1 + me % MEMBERS, 1, heartbeat());
                    let waited = now.since(last).nanos() / 1_000_000;
                    last = now;
                    waited
                })
                .collect::<Vec<u64>>()
        })
        .collect();
    assert_eq!(timeouts, (10..20).map(|tick| tick * 100).collect());
}

/// 5.3: "The leader appends the command to its log as a new entry, then issues AppendEntries RPCs in parallel to each of the other servers
/// to replicate the entry."
#[test]
fn s5_3_a_leader_appends_and_replicates() {
    let mut leader = raft(1, &[1], 1, NOW);
    let (now, _) = elect(&mut leader, &[2, 3]);
    for follower in 2..=5 {
        acknowledge(&mut leader, now, follower, 2, 2);
    }
    let messages = propose(&mut leader, now, 1);
    assert_eq!(log(&leader), [1, 2, 2]);
    assert_eq!(to_whom(&messages, is_append), BTreeSet::from([2, 3, 4, 5]));
}

/// 5.3: "A log entry is committed once the leader that created the entry has replicated it on a majority of the servers. This also commits
/// all preceding entries in the leader's log."
#[test]
fn s5_3_an_entry_on_a_majority_is_committed_with_all_before_it() {
    let mut leader = raft(1, &[1, 1, 1], 1, NOW);
    let (now, _) = elect(&mut leader, &[2, 3]);
    propose(&mut leader, now, 1);
    acknowledge(&mut leader, now, 2, 2, 5);
    assert_eq!(leader.commit(), Index(1), "two of five");
    acknowledge(&mut leader, now, 3, 2, 5);
    assert_eq!(leader.commit(), Index(5));
}

/// 5.3: "The leader keeps track of the highest index it knows to be committed, and it includes that index in future AppendEntries RPCs
/// (including heartbeats) so that the other servers eventually find out. Once a follower learns that a log entry is committed, it applies the
/// entry to its local state machine (in log order)."
#[test]
fn s5_3_followers_find_out_what_is_committed_and_apply_it_in_order() {
    let mut follower = raft(1, &[1], 1, NOW);
    let mut applied = Vec::new();
    for body in [append((1, 1), vec![entry(2, 1), entry(3, 1), entry(4, 1)], 2), Body::Heartbeat { commit: Index(4), read_context: 0 }] {
        follower.step(NOW, Cause::NONE, Message { from: Member(2), to: Member(1), term: Term(1), body });
        let mut ready = Ready::default();
        while follower.ready(&mut ready) {
            applied.extend(ready.committed.iter().flat_map(|run| run.iter()).map(|entry| entry.index.0));
            if ready.persist.is_some() {
                follower.synced(NOW, Cause::NONE);
            }
        }
    }
    assert_eq!(applied, [1, 2, 3, 4]);
}

/// 5.3: "If the follower does not find an entry in its log with the same index and term, then it refuses the new entries."
#[test]
fn s5_3_the_consistency_check_refuses_what_does_not_fit() {
    for (previous, refused) in [((0, 0), false), ((1, 1), false), ((2, 2), false), ((2, 1), true), ((3, 2), true)] {
        let mut follower = raft(1, &[1, 2], 2, NOW);
        let answers = tell(&mut follower, NOW, 2, 2, append(previous, vec![entry(previous.0 + 1, 2)], 1));
        // What is committed already is not looked at again: the follower says how far that is.
        assert_eq!(rejected(&answers), Some(refused && previous.0 >= 1), "after {previous:?}");
    }
}

/// 5.3, figure 7: "the leader handles inconsistencies by forcing the followers' logs to duplicate its own. This means that conflicting
/// entries in follower logs will be overwritten with entries from the leader's log."
#[test]
fn s5_3_followers_logs_come_to_duplicate_the_leaders() {
    let leaders = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [&[u64]; 6] = [
        &[1, 1, 1, 4, 4, 5, 5, 6, 6],
        &[1, 1, 1, 4],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6],
        &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7],
        &[1, 1, 1, 4, 4, 4, 4],
        &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3],
    ];
    for terms in followers {
        let mut leader = raft(1, &leaders, 7, NOW);
        let (now, sent) = elect(&mut leader, &[3, 4]);
        let mut group = [leader, raft(2, terms, 7, NOW)];
        settle(&mut group, sent, now);
        // A heartbeat tells the commit index, and brings what is still missing.
        let (now, sent) = time_out(&mut group[0]);
        settle(&mut group, sent, now);
        let mut wanted = leaders.to_vec();
        wanted.push(8);
        assert_eq!((log(&group[0]), log(&group[1])), (wanted.clone(), wanted), "a follower with {terms:?}");
    }
}

/// 5.3: "A leader never overwrites or deletes entries in its own log."
#[test]
fn s5_3_a_leader_is_append_only() {
    let mut leader = raft(1, &[1, 2, 2], 2, NOW);
    let (now, _) = elect(&mut leader, &[2, 3]);
    let before = log(&leader);
    tell(&mut leader, now, 4, 2, append((1, 1), vec![entry(2, 1)], 2));
    assert_eq!((log(&leader), leader.role()), (before, Role::Leader), "an older leader's append");
}

/// 5.4.1: "the voter denies its vote if its own log is more up-to-date than that of the candidate. [...] If the logs have last entries with
/// different terms, then the log with the later term is more up-to-date. If the logs end with the same term, then whichever log is longer is
/// more up-to-date."
#[test]
fn s5_4_1_votes_are_denied_to_logs_that_are_behind() {
    for (own, candidates, wanted) in [
        (&[1, 1][..], (2, 1), true),
        (&[1, 1], (1, 1), false),
        (&[1, 1], (1, 2), true),
        (&[1, 2], (5, 1), false),
        (&[1, 2], (2, 2), true),
        (&[1, 2], (3, 2), true),
        (&[], (0, 0), true),
    ] {
        let mut voter = raft(1, own, 2, NOW);
        let answers = tell(&mut voter, NOW, 2, 3, vote(candidates.0, candidates.1));
        assert_eq!(granted(&answers), Some(wanted), "log {own:?}, candidate's last {candidates:?}");
    }
}

/// 5.4.2 and figure 8: "Only log entries from the leader's current term are committed by counting replicas; once an entry from the current
/// term has been committed in this way, then all prior entries are committed indirectly".
#[test]
fn s5_4_2_an_older_terms_entry_is_committed_only_by_one_of_the_leaders_term() {
    // S1 was leader in term 2 and is elected again; S2 and S3 have its entry. In term 3, S5 led and appended to itself alone.
    let mut group: Vec<Raft> = (1..=3).map(|me| raft(me, &[1, 2], 3, NOW)).collect();
    group.iter_mut().for_each(|raft| drop(take(raft, NOW)));
    let (now, appends) = elect(&mut group[0], &[2, 3]);
    assert_eq!((group[0].term(), group[0].last_index()), (Term(4), Index(3)));
    for from in [2, 3] {
        acknowledge(&mut group[0], now, from, 4, 2);
    }
    assert_eq!(group[0].commit(), Index(1), "entry 2 is on three of five, but of an older term");
    let appends = appends.into_iter().chain(take(&mut group[0], now)).filter(|message| is_append(&message.body)).collect();
    settle(&mut group, appends, now);
    assert_eq!(group.iter().map(Raft::commit).collect::<Vec<Index>>(), [Index(3); 3]);
}

/// 5.5: "Raft RPCs are idempotent, so this causes no harm."
#[test]
fn s5_5_the_same_request_twice_does_no_harm() {
    let mut follower = raft(1, &[1], 1, NOW);
    for _ in 0..3 {
        let answers = tell(&mut follower, NOW, 2, 1, append((1, 1), vec![entry(2, 1), entry(3, 1)], 2));
        assert_eq!((rejected(&answers), log(&follower), follower.commit()), (Some(false), vec![1, 1, 1], Index(2)));
    }
    // A delayed one takes nothing back.
    tell(&mut follower, NOW, 2, 1, append((1, 1), vec![entry(2, 1)], 2));
    assert_eq!(log(&follower), [1, 1, 1]);
}

/// 6: "Agreement (for elections and entry commitment) requires separate majorities from both the old and new configurations."
#[test]
fn s6_a_joint_configuration_needs_both_majorities() {
    let mut leader = raft(1, &[1], 1, NOW);
    let (now, _) = elect(&mut leader, &[2, 3]);
    for follower in 2..=5 {
        acknowledge(&mut leader, now, follower, 2, 2);
    }
    // 1 to 5 become 1, 6, 7.
    let mut steps: Vec<MemberChange> = [6, 7].map(|member| MemberChange::AddVoter(Member(member))).to_vec();
    steps.extend([2, 3, 4, 5].map(|member| MemberChange::Remove(Member(member))));
    let joint = leader.apply_change(&ConfigurationChange { steps }).clone();
    assert!(joint.is_joint());
    take(&mut leader, now);
    let last = leader.last_index();
    for follower in [2, 3, 4, 5] {
        acknowledge(&mut leader, now, follower, 2, last.0);
    }
    assert!(leader.commit() < last, "the old configuration alone");
    acknowledge(&mut leader, now, 6, 2, last.0);
    assert_eq!(leader.commit(), last);
}

/// 6: "servers disregard RequestVote RPCs when they believe a current leader exists. Specifically, if a server receives a RequestVote RPC
/// within the minimum election timeout of hearing from a current leader, it does not update its term or grant its vote."
#[test]
fn s6_who_hears_a_leader_disregards_requests_for_votes() {
    let mut follower = raft(1, &[1], 1, NOW);
    tell(&mut follower, NOW, 2, 1, heartbeat());
    assert!(tell(&mut follower, Time::from_millis(900), 3, 7, vote(9, 6)).is_empty());
    assert_eq!((follower.term(), follower.vote()), (Term(1), None));
    assert_eq!(granted(&tell(&mut follower, Time::from_millis(1_000), 3, 7, vote(9, 6))), Some(true));
    // But when the leader itself asked for the election (thesis, section 3.10).
    let mut follower = raft(1, &[1], 1, NOW);
    tell(&mut follower, NOW, 2, 1, heartbeat());
    let transfer = Body::Vote { last_index: Index(1), last_term: Term(1), transfer: true };
    assert_eq!(granted(&tell(&mut follower, Time::from_millis(100), 3, 2, transfer)), Some(true));
}

/// 7: "If instead the follower receives a snapshot that describes a prefix of its log (due to retransmission or by mistake), then log
/// entries covered by the snapshot are deleted but entries following the snapshot are still valid and must be retained."
#[test]
fn s7_a_snapshot_replaces_a_log_that_lacks_it_and_spares_one_that_has_it() {
    let snapshot = |index, term| Body::InstallSnapshot {
        snapshot: Arc::new(Snapshot {
            index: Index(index),
            term: Term(term),
            configuration: Configuration::of((1..=3).map(Member)),
            state: Arc::default(),
        }),
    };
    let mut behind = raft(1, &[1], 2, NOW);
    tell(&mut behind, NOW, 2, 2, snapshot(7, 2));
    assert_eq!((behind.last_index(), behind.commit(), behind.entry_term(Index(7))), (Index(7), Index(7), Some(Term(2))));
    assert_eq!(behind.configuration().voters.len(), 3, "the membership comes with it");
    let mut ahead = raft(1, &[1, 1, 2, 2], 2, NOW);
    tell(&mut ahead, NOW, 2, 2, snapshot(3, 2));
    assert_eq!((log(&ahead), ahead.commit()), (vec![1, 1, 2, 2], Index(3)));
}

/// 8: "a leader must have the latest information on which entries are committed. [...] Raft handles this by having each leader commit a
/// blank no-op entry into the log at the start of its term. Second, a leader must check whether it has been deposed before processing a
/// read-only request".
#[test]
fn s8_reads_wait_for_an_entry_of_the_term_and_for_a_round_of_heartbeats() {
    let mut leader = raft(1, &[1, 1], 1, NOW);
    let (now, _) = elect(&mut leader, &[2, 3]);
    let mut ready = Ready::default();
    let mut served = |leader: &mut Raft| {
        let mut reads = Vec::new();
        while leader.ready(&mut ready) {
            reads.append(&mut ready.reads.clone());
            if ready.persist.is_some() {
                leader.synced(now, Cause::NONE);
            }
        }
        reads
    };
    leader.read_index(now, Cause::NONE, 70).unwrap();
    let respond =
        |leader: &mut Raft, from, body| leader.step(now, Cause::NONE, Message { from: Member(from), to: Member(1), term: Term(2), body });
    for from in [2, 3] {
        respond(&mut leader, from, Body::HeartbeatResponse { read_context: 0 });
    }
    assert_eq!(served(&mut leader), [], "nothing of this term is committed yet");
    for from in [2, 3] {
        respond(&mut leader, from, Body::AppendResponse { index: Index(3), rejected: None });
    }
    assert_eq!(served(&mut leader), [], "nobody has answered a heartbeat since");
    respond(&mut leader, 2, Body::HeartbeatResponse { read_context: 1 });
    assert_eq!(served(&mut leader), [], "two of five");
    respond(&mut leader, 3, Body::HeartbeatResponse { read_context: 1 });
    assert_eq!(served(&mut leader), [(70, Index(3))]);
}
