//! Job and CronJob.

use serde_json::Value;

use super::super::World;
use super::super::age::{Instant, between, since};
use super::super::look::{self, Look, containers};
use super::{age, name};

pub const JOB: &[&str] = &["Name", "Status", "Completions", "Duration", "Age", "+Containers", "+Images", "+Selector"];
pub const CRON_JOB: &[&str] =
    &["Name", "Schedule", "Timezone", "Suspend", "Active", "Last Schedule", "Age", "+Containers", "+Images", "+Selector"];

pub fn job(job: &Value, world: &World) -> Vec<String> {
    let (names, images) = containers(job.at("spec.template.spec"));
    let succeeded = job.int("status.succeeded");
    let completions = match (job.at("spec.completions").as_i64(), job.int("spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let duration = match (Instant::of(job.at("status.startTime")), Instant::of(job.at("status.completionTime"))) {
        (None, _) => String::new(),
        (Some(start), end) => between(start, end.unwrap_or(world.now)),
    };
    let selector = look::selector(job.at("spec.selector"));
    vec![name(job), status(job).to_owned(), completions, duration, age(job, world), names, images, selector]
}

/// The first that holds of: complete, failed, being deleted, suspended, about to fail or to succeed; else it runs.
fn status(job: &Value) -> &'static str {
    let holds = |kind: &str| {
        job.list("status.conditions").iter().any(|condition| condition.text("type") == kind && condition.text("status") == "True")
    };
    let words = [
        ("Complete", holds("Complete")),
        ("Failed", holds("Failed")),
        ("Terminating", job.has("metadata.deletionTimestamp")),
        ("Suspended", holds("Suspended")),
        ("FailureTarget", holds("FailureTarget")),
        ("SuccessCriteriaMet", holds("SuccessCriteriaMet")),
    ];
    words.iter().find(|(_, holds)| *holds).map_or("Running", |(word, _)| word)
}

pub fn cron_job(cron_job: &Value, world: &World) -> Vec<String> {
    let (names, images) = containers(cron_job.at("spec.jobTemplate.spec.template.spec"));
    let zone = cron_job.text("spec.timeZone");
    let suspend = if cron_job.flag("spec.suspend") { "True" } else { "False" };
    vec![
        name(cron_job),
        cron_job.text("spec.schedule").to_owned(),
        look::or_none(zone).to_owned(),
        suspend.to_owned(),
        cron_job.list("status.active").len().to_string(),
        since(cron_job.at("status.lastScheduleTime"), world.now, "<none>").into_owned(),
        age(cron_job, world),
        names,
        images,
        look::selector(cron_job.at("spec.jobTemplate.spec.selector")),
    ]
}
