//! Records made by hand, for tests: the shape of `node-failure`, in any size.

use std::collections::BTreeMap;

use crate::base::random::Seed;
use crate::base::{Digest, Duration, FactId, Name, Revision, Stream, Term, Time};
use crate::engine::record::{Checkpoint, Counts, Entry, EtcdSample, FaultInfo, NodeInfo, Record, Role, Sample, ScenarioInfo, Verdict};
use crate::objects::{Key, Kind, Phase};
use crate::wire::fact::{Fact, Subject, What};
use crate::wire::{Address, Member};

pub const GIB: i64 = 1 << 30;

/// An instant of the run, which starts an hour after the epoch: a report must not take the epoch for the start.
pub fn at(millis: u64) -> Time {
    Time::from_secs(3600) + Duration::from_millis(millis)
}

/// Builds a record; facts may be told in any order.
pub struct Story {
    facts: Vec<(Time, Option<usize>, Fact)>,
    record: Record,
    revision: u64,
    end: u64,
}

impl Story {
    pub fn new(name: &str, nodes: usize, end_secs: u64) -> Story {
        let width = nodes.to_string().len();
        // Large clusters are given pods for which four cores are too few.
        let size = if nodes > 10 { 6 } else { 1 };
        let nodes = (0..nodes)
            .map(|node| NodeInfo {
                name: Name::from(format!("worker-{:0width$}", node + 1)),
                zone: Name::from(format!("zone-{}", ["a", "b", "c"][node % 3])),
                cpu_milli: size * 4000,
                memory_bytes: size * 16 * GIB,
            })
            .collect();
        let scenario = ScenarioInfo {
            name: Name::new(name),
            seed: 1,
            start: at(0),
            end: at(end_secs * 1000),
            nodes,
            etcd_members: 3,
            ..ScenarioInfo::default()
        };
        let record = Record {
            scenario,
            digest: Digest(0x0123_4567_89ab_cdef_0011_2233_4455_6677),
            trace_digest: Digest(42),
            counts: Counts { events: 1_234_567, messages: 765_432, revisions: 4_321 },
            checkpoints: vec![Checkpoint { at: at(1000), outcome: Digest(7), trace: Digest(8) }],
            ..Record::default()
        };
        Story { facts: Vec::new(), record, revision: 0, end: end_secs }
    }
    /// Tells a fact; gives its handle, for effects to name as their cause.
    pub fn tell(&mut self, millis: u64, cause: Option<usize>, subject: Subject, what: What) -> usize {
        self.facts.push((at(millis), cause, Fact { subject, what }));
        self.facts.len() - 1
    }
    pub fn revision(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }
    pub fn fault(&mut self, millis: u64, kind: &str, targets: &[&str], until: Option<u64>) -> usize {
        let fault = self.record.scenario.faults.len() as u32;
        let description = Name::from(format!("{kind} of {}", targets.join(", ")));
        self.record.scenario.faults.push(FaultInfo {
            description: description.clone(),
            kind: Name::new(kind),
            targets: targets.iter().map(|target| Name::new(target)).collect(),
            at: at(millis),
            until: until.map(at),
            drawn: None,
        });
        let place = Subject::Place(Name::new(targets[0]));
        if let Some(until) = until {
            self.tell(until, None, place.clone(), What::FaultEnded { fault, description: description.clone() });
        }
        self.tell(millis, None, place, What::FaultInjected { fault, description })
    }
    pub fn deployment(&mut self, millis: u64, name: &str) -> Key {
        let key = Key::new(Kind::Deployment, "default", name);
        let revision = self.revision();
        let uid = Name::from(format!("uid-{name}"));
        self.tell(millis, None, Subject::Object(key.clone()), What::Created { revision, uid, owner: None });
        key
    }
    pub fn replicas(&mut self, millis: u64, cause: Option<usize>, key: &Key, wanted: u64, ready: u64, available: u64) -> usize {
        let revision = self.revision();
        let what = What::Replicas { revision, wanted, current: wanted, ready, available };
        self.tell(millis, cause, Subject::Object(key.clone()), what)
    }
    /// A pod from its creation to ready: created, bound 20 ms, running 2 s and ready 3 s later.
    pub fn pod(&mut self, millis: u64, cause: Option<usize>, owner: &Key, name: &str, node: usize) -> Key {
        let key = Key::pod("default", name);
        let subject = Subject::Object(key.clone());
        let revision = self.revision();
        let created = What::Created { revision, uid: Name::from(format!("uid-{name}")), owner: Some(owner.clone()) };
        let created = self.tell(millis, cause, subject.clone(), created);
        let node = self.record.scenario.nodes[node].name.clone();
        let revision = self.revision();
        let bound = self.tell(millis + 20, Some(created), subject.clone(), What::PodBound { revision, node });
        let revision = self.revision();
        let running = What::PodPhase { revision, phase: Phase::Running, reason: Name::default() };
        let running = self.tell(millis + 2000, Some(bound), subject.clone(), running);
        let revision = self.revision();
        self.tell(millis + 3000, Some(running), subject, What::PodReady { revision, ready: true, reason: Name::default() });
        key
    }
    pub fn pod_ready(&mut self, millis: u64, cause: Option<usize>, key: &Key, ready: bool) -> usize {
        let revision = self.revision();
        let reason = Name::new(if ready { "" } else { "NodeNotReady" });
        self.tell(millis, cause, Subject::Object(key.clone()), What::PodReady { revision, ready, reason })
    }
    pub fn delete(&mut self, millis: u64, cause: Option<usize>, key: &Key) -> usize {
        let revision = self.revision();
        self.tell(millis, cause, Subject::Object(key.clone()), What::DeletionMarked { revision, grace_seconds: 30 })
    }
    pub fn remove(&mut self, millis: u64, cause: Option<usize>, key: &Key) -> usize {
        let revision = self.revision();
        self.tell(millis, cause, Subject::Object(key.clone()), What::Removed { revision })
    }
    pub fn node_ready(&mut self, millis: u64, cause: Option<usize>, node: usize, status: &str) -> usize {
        let revision = self.revision();
        let key = Key::node(&self.record.scenario.nodes[node].name);
        let what = What::NodeReady { revision, status: Name::new(status), reason: Name::new("NodeStatus") };
        self.tell(millis, cause, Subject::Object(key), what)
    }
    pub fn expect(&mut self, description: &str, held: bool, seen: &str) {
        self.record.expectations.push(Verdict { description: Name::new(description), held, reached: true, seen: Name::new(seen) });
    }
    /// Puts the facts in order and takes the samples: each pod requests 500 m and 1 GiB.
    pub fn record(mut self, mut etcd: impl FnMut(u64, &mut Stream) -> Vec<EtcdSample>) -> Record {
        let mut order: Vec<usize> = (0..self.facts.len()).collect();
        order.sort_by_key(|&fact| self.facts[fact].0);
        let mut ids = vec![FactId(0); self.facts.len()];
        for (place, &fact) in order.iter().enumerate() {
            ids[fact] = FactId(place as u64 + 1);
        }
        for &fact in &order {
            let (at, cause, told) = &self.facts[fact];
            self.record.facts.push(Entry { id: ids[fact], at: *at, cause: cause.map(|cause| ids[cause]), fact: told.clone() });
        }
        let mut stream = Seed(5).stream("samples");
        let names: BTreeMap<Name, usize> =
            self.record.scenario.nodes.iter().enumerate().map(|(at, node)| (node.name.clone(), at)).collect();
        let mut nodes = vec![(0u32, 0i64, 0i64); names.len()];
        let mut on: BTreeMap<Key, usize> = BTreeMap::new();
        let mut next = 0;
        for second in 0..=self.end {
            while let Some(entry) = self.record.facts.get(next).filter(|entry| entry.at <= at(second * 1000)) {
                next += 1;
                let Subject::Object(key) = &entry.fact.subject else { continue };
                let (node, sign) = match &entry.fact.what {
                    What::PodBound { node, .. } => (names[node], 1),
                    What::Removed { .. } => match on.get(key) {
                        Some(&node) => (node, -1),
                        None => continue,
                    },
                    _ => continue,
                };
                on.insert(key.clone(), node);
                nodes[node].0 = nodes[node].0.wrapping_add_signed(sign);
                nodes[node].1 += 500 * i64::from(sign);
                nodes[node].2 += GIB * i64::from(sign);
            }
            let etcd = etcd(second, &mut stream);
            self.record.samples.push(Sample { at: at(second * 1000), nodes: nodes.as_slice().into(), etcd });
        }
        self.record
    }
}

/// Three members of which the first leads, until it is down in `down`.
pub fn etcd_samples(down: std::ops::Range<u64>) -> impl FnMut(u64, &mut Stream) -> Vec<EtcdSample> {
    let mut revision = 1;
    move |second, stream| {
        revision += if second < 12 { 30 } else { 2 } + stream.below(4);
        let elected = second > down.start + 1;
        (0..3)
            .map(|member| {
                let role = match member {
                    0 if down.contains(&second) => Role::Down,
                    0 if second < down.start => Role::Leader,
                    1 if elected => Role::Leader,
                    1 if second >= down.start => Role::Candidate,
                    _ => Role::Follower,
                };
                let latency = Duration::from_micros(3_000 + stream.below(2_500));
                EtcdSample {
                    role,
                    term: if elected { 3 } else { 2 },
                    commit: revision + 10,
                    applied: revision + 10,
                    revision,
                    db_bytes: 40_960 + revision * 900,
                    commit_latency_p99: (role == Role::Leader).then_some(latency),
                }
            })
            .collect()
    }
}

/// `node-failure`: 6 nodes in 3 zones, 10 pods of `web`, worker-3 loses power at 120 s and stays away. By hand:
/// not Ready at 168.000 s, its two pods evicted at 468.000 and 468.250 s, both successors bound at 468.290 s, available again at
/// 471.300 s. Of ten, eight were available from 168.010 s to 471.270 s, and nine to 471.300 s.
pub fn node_failure() -> Record {
    let mut story = Story::new("node-failure", 6, 900);
    let web = story.deployment(1_000, "web");
    for node in 0..6 {
        story.node_ready(500, None, node, "True");
    }
    let member = |number| Subject::Actor(Address::Etcd(Member(number)));
    story.tell(310, None, member(1), What::BecameLeader { term: Term(2) });
    story.replicas(1_010, None, &web, 10, 0, 0);
    // Two on worker-3, as a spread of ten over six has it.
    let pods: Vec<Key> = [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]
        .iter()
        .enumerate()
        .map(|(index, &node)| story.pod(1_100 + 150 * index as u64, None, &web, &format!("web-5d78c-{index}"), node))
        .collect();
    for ready in 1..=10 {
        story.replicas(4_000 + 150 * ready, None, &web, 10, ready, ready);
    }
    let fault = story.fault(120_000, "power loss", &["worker-3"], None);
    let lost = story.node_ready(168_000, Some(fault), 2, "Unknown");
    for pod in [&pods[2], &pods[8]] {
        story.pod_ready(168_005, Some(lost), pod, false);
    }
    story.replicas(168_010, Some(lost), &web, 10, 8, 8);
    let taint = What::Tainted { revision: Revision(900), taint: Name::new("node.kubernetes.io/unreachable:NoExecute") };
    let taint = story.tell(168_100, Some(lost), Subject::Object(Key::node("worker-3")), taint);
    let first = story.delete(468_000, Some(taint), &pods[2]);
    let second = story.delete(468_250, Some(taint), &pods[8]);
    story.pod(468_020, Some(first), &web, "web-5d78c-new1", 5);
    story.pod(468_270, Some(second), &web, "web-5d78c-new2", 4);
    story.replicas(471_270, Some(first), &web, 10, 9, 9);
    story.replicas(471_300, Some(second), &web, 10, 10, 10);
    traffic(&mut story, 0, 900, 120, 169);
    story.record.scenario.description = Name::new("A node loses power, and its pods come back elsewhere.");
    story.expect("web has 10 ready pods at the end", true, "10 ready at 900.0 s");
    story.expect("web is whole within 5 min of the fault", false, "8 available at 420.0 s");
    story.record(etcd_samples(300..420))
}

/// A second a bucket from 6 s on: 200 requests, of which a sixth time out while `broken`.
fn traffic(story: &mut Story, source: u32, end: u64, broken_from: u64, broken_until: u64) {
    let mut stream = Seed(9).stream("traffic");
    story.record.scenario.traffic.push(Key::new(Kind::Service, "default", "web"));
    for second in 6..=end {
        let sent = 190 + stream.below(20) as u32;
        let (refused, timeout) = match second {
            _ if second < 8 => (sent / 2, 0),
            _ if (broken_from + 1..=broken_until).contains(&second) => (0, sent / 5 + stream.below(6) as u32),
            _ => (0, 0),
        };
        let reset = if second == broken_from + 1 { 6 } else { 0 };
        let what = What::Traffic {
            until: Time::from_secs(second),
            sent,
            ok: sent - refused - timeout - reset,
            refused,
            reset,
            timeout,
            p50: Duration::from_micros(2_000 + stream.below(300)),
            p99: Duration::from_micros(9_000 + stream.below(3_000) + if timeout > 0 { 40_000 } else { 0 }),
        };
        story.tell(second * 1000, None, Subject::Actor(Address::Traffic(source)), what);
    }
}

/// A zone of a large cluster loses power for three minutes: the shape of `zone-outage`, `pods` a node.
pub fn zone_outage(nodes: usize, pods: usize) -> Record {
    let mut story = Story::new("zone-outage", nodes, 900);
    let mut stream = Seed(3).stream("zone outage");
    let names = ["shop", "cart", "search", "mail", "login", "images", "batch"];
    let workloads: Vec<Key> = names.iter().map(|name| story.deployment(1_000, name)).collect();
    let mut all = Vec::new();
    let mut sizes = vec![0u64; workloads.len()];
    for node in 0..nodes {
        story.node_ready(100, None, node, "True");
        for _ in 0..pods {
            let of = stream.index(workloads.len()).min(stream.index(workloads.len()));
            let created = 1_200 + stream.below(40_000);
            let number = all.len();
            let key = story.pod(created, None, &workloads[of], &format!("{}-{number}", names[of]), node);
            sizes[of] += 1;
            all.push((key, of, node));
        }
    }
    for (workload, &size) in workloads.iter().zip(&sizes) {
        for step in 0..=40 {
            story.replicas(4_200 + step * 1_000, None, workload, size, size * step / 40, size * step / 40);
        }
    }
    let fault = story.fault(120_000, "power loss", &["zone-b"], Some(600_000));
    let mut gone = vec![0u64; workloads.len()];
    let mut marks = Vec::new();
    for node in (0..nodes).filter(|node| node % 3 == 1) {
        let lost = story.node_ready(160_000 + stream.below(12_000), Some(fault), node, "Unknown");
        marks.push((node, lost));
        story.node_ready(615_000 + stream.below(9_000), None, node, "True");
    }
    for (key, of, node) in all {
        if let Some(&(_, lost)) = marks.iter().find(|&&(hit, _)| hit == node) {
            gone[of] += 1;
            story.pod_ready(173_000, Some(lost), &key, false);
            let deleted = story.delete(473_000 + stream.below(60_000), Some(lost), &key);
            let created = 534_000 + stream.below(20_000);
            let mut other = stream.index(nodes);
            if other % 3 == 1 {
                other -= 1;
            }
            story.pod(created, Some(deleted), &workloads[of], &format!("{}-again", key.name()), other);
            story.remove(620_000 + stream.below(20_000), Some(deleted), &key);
        }
    }
    for (workload, (&size, &gone)) in workloads.iter().zip(sizes.iter().zip(&gone)) {
        story.replicas(173_000, Some(fault), workload, size, size - gone, size - gone);
        for step in 1..=20 {
            let back = size - gone + gone * step / 20;
            story.replicas(537_000 + step * 1_000, Some(fault), workload, size, back, back);
        }
    }
    traffic(&mut story, 0, 900, 120, 170);
    story.record(etcd_samples(2_000..2_000))
}
