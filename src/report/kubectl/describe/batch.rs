//! The pages of Job and CronJob.

use serde_json::Value;

use super::super::World;
use super::super::look::{self, Look, or_none};
use super::container::template;
use super::{Page, date, line, span, title_case};

pub fn job(job: &Value, world: &World, page: &mut Page) {
    let (spec, status) = (job.at("spec"), job.at("status"));
    line!(page, 0, "Name:\t{}", job.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", job.text("metadata.namespace"));
    if spec.has("selector") {
        line!(page, 0, "Selector:\t{}", look::selector(spec.at("selector")));
    }
    page.labels_and_annotations(job);
    page.controlled_by(job);
    if spec.has("parallelism") {
        line!(page, 0, "Parallelism:\t{}", spec.int("parallelism"));
    }
    line!(page, 0, "Completions:\t{}", or_unset(spec, "completions"));
    for (title, field) in [
        ("Completion Mode", "completionMode"),
        ("Suspend", "suspend"),
        ("Backoff Limit", "backoffLimit"),
        ("TTL Seconds After Finished", "ttlSecondsAfterFinished"),
    ] {
        if spec.has(field) {
            line!(page, 0, "{title}:\t{}", spec.plain(field));
        }
    }
    for (title, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
        if status.has(field) {
            line!(page, 0, "{title}:\t{}", date(status.at(field)));
        }
    }
    if let Some(duration) = span(status.at("startTime"), status.at("completionTime")) {
        line!(page, 0, "Duration:\t{duration}");
    }
    if spec.has("activeDeadlineSeconds") {
        line!(page, 0, "Active Deadline Seconds:\t{}s", spec.int("activeDeadlineSeconds"));
    }
    let ready = if status.has("ready") { format!(" ({} Ready)", status.int("ready")) } else { String::new() };
    let (active, succeeded, failed) = (status.int("active"), status.int("succeeded"), status.int("failed"));
    line!(page, 0, "Pods Statuses:\t{active} Active{ready} / {succeeded} Succeeded / {failed} Failed");
    if spec.text("completionMode") == "Indexed" {
        line!(page, 0, "Completed Indexes:\t{}", or_none(&capped(status.text("completedIndexes"))));
    }
    template(page, spec.at("template"));
    page.events(job, world);
}

/// Up to fifty letters of a list of indexes.
fn capped(indexes: &str) -> String {
    const LONGEST: usize = 50;
    let Some((end, _)) = indexes.char_indices().nth(LONGEST) else { return indexes.to_owned() };
    let cut = indexes[..end].rfind(',').unwrap_or(end);
    format!("{},...", &indexes[..cut])
}

fn or_unset(spec: &Value, field: &str) -> String {
    if spec.has(field) { spec.plain(field) } else { "<unset>".to_owned() }
}

pub fn cron_job(cron_job: &Value, world: &World, page: &mut Page) {
    let (spec, status) = (cron_job.at("spec"), cron_job.at("status"));
    line!(page, 0, "Name:\t{}", cron_job.text("metadata.name"));
    line!(page, 0, "Namespace:\t{}", cron_job.text("metadata.namespace"));
    page.labels_and_annotations(cron_job);
    line!(page, 0, "Schedule:\t{}", spec.text("schedule"));
    line!(page, 0, "Concurrency Policy:\t{}", spec.text("concurrencyPolicy"));
    let suspend = if spec.has("suspend") { title_case(spec.flag("suspend")) } else { "<unset>" };
    line!(page, 0, "Suspend:\t{suspend}");
    line!(page, 0, "Successful Job History Limit:\t{}", or_unset(spec, "successfulJobsHistoryLimit"));
    line!(page, 0, "Failed Job History Limit:\t{}", or_unset(spec, "failedJobsHistoryLimit"));
    let deadline = spec.at("startingDeadlineSeconds").as_i64();
    line!(page, 0, "Starting Deadline Seconds:\t{}", deadline.map_or("<unset>".to_owned(), |seconds| format!("{seconds}s")));
    let job = spec.at("jobTemplate.spec");
    let selector = if job.has("selector") { look::selector(job.at("selector")) } else { "<unset>".to_owned() };
    line!(page, 0, "Selector:\t{selector}");
    line!(page, 0, "Parallelism:\t{}", or_unset(job, "parallelism"));
    line!(page, 0, "Completions:\t{}", or_unset(job, "completions"));
    if job.has("activeDeadlineSeconds") {
        line!(page, 0, "Active Deadline Seconds:\t{}s", job.int("activeDeadlineSeconds"));
    }
    template(page, job.at("template"));
    let last = if status.has("lastScheduleTime") { date(status.at("lastScheduleTime")) } else { "<unset>".to_owned() };
    line!(page, 0, "Last Schedule Time:\t{last}");
    let active: Vec<&str> = status.list("active").iter().map(|job| job.text("name")).collect();
    line!(page, 0, "Active Jobs:\t{}", or_none(&active.join(", ")));
    page.events(cron_job, world);
}
