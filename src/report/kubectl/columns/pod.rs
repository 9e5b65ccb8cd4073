//! READY, STATUS and RESTARTS of a pod: the branches of kubernetes `pkg/printers/internalversion/printers.go`, as recorded.

use serde_json::Value;

use super::super::World;
use super::super::age::{Instant, between};
use super::super::look::{Look, or_none};
use super::{age, name};

pub const COLUMNS: &[&str] = &["Name", "Ready", "Status", "Restarts", "Age", "+IP", "+Node", "+Nominated Node", "+Readiness Gates"];

pub fn cells(pod: &Value, world: &World) -> Vec<String> {
    let tally = Tally::of(pod);
    let addresses = pod.list("status.podIPs");
    let ip = addresses.first().map_or_else(|| pod.text("status.podIP"), |first| first.text("ip"));
    vec![
        name(pod),
        format!("{}/{}", tally.ready, tally.total),
        tally.status,
        match tally.last_restart {
            Some(last) if tally.restarts > 0 => format!("{} ({} ago)", tally.restarts, between(last, world.now)),
            _ => tally.restarts.to_string(),
        },
        age(pod, world),
        or_none(ip).to_owned(),
        or_none(pod.text("spec.nodeName")).to_owned(),
        or_none(pod.text("status.nominatedNodeName")).to_owned(),
        readiness_gates(pod),
    ]
}

/// What the columns of a pod are made of.
struct Tally {
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<Instant>,
    status: String,
}

impl Tally {
    fn of(pod: &Value) -> Tally {
        let init = pod.list("spec.initContainers");
        let sidecars = init.iter().filter(|container| is_sidecar(container)).count();
        let mut tally = Tally {
            ready: 0,
            total: pod.list("spec.containers").len() + sidecars,
            restarts: 0,
            last_restart: None,
            status: first_word(pod),
        };
        let mut of_sidecars = Restarts::default();
        let initialising = tally.initialise(pod, &mut of_sidecars);
        if !initialising || condition(pod, "Initialized") == Some("True") {
            (tally.restarts, tally.last_restart) = (of_sidecars.count, of_sidecars.last);
            tally.main(pod);
        }
        if pod.has("metadata.deletionTimestamp") {
            if pod.text("status.reason") == "NodeLost" {
                tally.status = "Unknown".to_owned();
            } else if !is_over(pod) {
                tally.status = "Terminating".to_owned();
            }
        }
        tally
    }

    /// Goes through the init containers up to the first that is not done. True if there is one.
    fn initialise(&mut self, pod: &Value, of_sidecars: &mut Restarts) -> bool {
        let specs = pod.list("spec.initContainers");
        for (number, status) in pod.list("status.initContainerStatuses").iter().enumerate() {
            let mut all = Restarts { count: self.restarts, last: self.last_restart };
            all.add(status);
            (self.restarts, self.last_restart) = (all.count, all.last);
            let sidecar = specs.iter().any(|spec| spec.text("name") == status.text("name") && is_sidecar(spec));
            if sidecar {
                of_sidecars.add(status);
            }
            let (terminated, waiting) = (status.at("state.terminated"), status.text("state.waiting.reason"));
            if !terminated.is_null() && terminated.int("exitCode") == 0 {
                continue;
            }
            if sidecar && status.flag("started") {
                self.ready += usize::from(status.flag("ready"));
                continue;
            }
            self.status = if !terminated.is_null() {
                format!("Init:{}", end(terminated))
            } else if !waiting.is_empty() && waiting != "PodInitializing" {
                format!("Init:{waiting}")
            } else {
                format!("Init:{number}/{}", specs.len())
            };
            return true;
        }
        false
    }

    /// Goes through the containers backwards, so that the first that waits or has ended has the last word.
    fn main(&mut self, pod: &Value) {
        let (mut running, mut failure) = (false, None);
        let mut restarts = Restarts { count: self.restarts, last: self.last_restart };
        for status in pod.list("status.containerStatuses").iter().rev() {
            restarts.add(status);
            let (terminated, waiting) = (status.at("state.terminated"), status.text("state.waiting.reason"));
            if !waiting.is_empty() {
                self.status = waiting.to_owned();
            } else if !terminated.is_null() {
                self.status = end(terminated);
                if terminated.int("exitCode") != 0 {
                    failure = Some(self.status.clone());
                }
            } else if status.flag("ready") && status.has("state.running") {
                running = true;
                self.ready += 1;
            }
        }
        (self.restarts, self.last_restart) = (restarts.count, restarts.last);
        if self.status == "Completed" {
            if running && condition(pod, "Ready") == Some("True") {
                self.status = "Running".to_owned();
            } else if let Some(failure) = failure {
                self.status = failure;
            } else if running {
                self.status = "NotReady".to_owned();
            }
        }
    }
}

/// Restarts so far, and when the newest of the ended containers ended.
#[derive(Default)]
struct Restarts {
    count: i64,
    last: Option<Instant>,
}

impl Restarts {
    fn add(&mut self, status: &Value) {
        self.count = self.count.saturating_add(status.int("restartCount"));
        self.last = self.last.max(Instant::of(status.at("lastState.terminated.finishedAt")));
    }
}

/// The status before any container is looked at.
fn first_word(pod: &Value) -> String {
    let gated = |condition: &Value| condition.text("type") == "PodScheduled" && condition.text("reason") == "SchedulingGated";
    if pod.list("status.conditions").iter().any(gated) {
        return "SchedulingGated".to_owned();
    }
    let reason = pod.text("status.reason");
    if reason.is_empty() { pod.text("status.phase").to_owned() } else { reason.to_owned() }
}

/// Why a container ended, in a word.
fn end(terminated: &Value) -> String {
    let (reason, signal) = (terminated.text("reason"), terminated.int("signal"));
    if !reason.is_empty() {
        reason.to_owned()
    } else if signal != 0 {
        format!("Signal:{signal}")
    } else {
        format!("ExitCode:{}", terminated.int("exitCode"))
    }
}

fn is_sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

/// Whether the pod will not run again.
pub fn is_over(pod: &Value) -> bool {
    matches!(pod.text("status.phase"), "Succeeded" | "Failed")
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a str> {
    pod.list("status.conditions").iter().find(|condition| condition.text("type") == kind).map(|found| found.text("status"))
}

fn readiness_gates(pod: &Value) -> String {
    let gates = pod.list("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = gates.iter().filter(|gate| condition(pod, gate.text("conditionType")) == Some("True")).count();
    format!("{open}/{}", gates.len())
}
