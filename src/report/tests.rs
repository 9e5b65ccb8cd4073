//! What the reports say about records made by hand.

use std::fs;
use std::path::Path;

use super::synthetic::{Story, at, etcd_samples, node_failure, zone_outage};
use super::*;
use crate::base::{Name, Time};
use crate::wire::Address;
use crate::wire::fact::{Subject, What};

fn lines(dir: &Path, file: &str) -> Vec<String> {
    fs::read_to_string(dir.join(file)).unwrap().lines().map(String::from).collect()
}

#[test]
fn the_headers_are_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    write_all(&Record::default(), "{}\n", dir.path(), false).unwrap();
    let header = |file| lines(dir.path(), file).remove(0);
    assert_eq!(header("pods.csv"), "namespace,name,uid,workload,node,created,scheduled,started,ready,deleted,restarts,end");
    assert_eq!(header("placement.csv"), "time,namespace,pod,node,event");
    assert_eq!(
        header("recovery.csv"),
        "fault,target,at,workload,detected,evicted,evicted_last,replaced,ready_again,unavailable_seconds,down_seconds"
    );
    assert_eq!(header("nodes.csv"), "time,node,ready,pods,cpu_requested,memory_requested");
    assert_eq!(header("etcd.csv"), "time,member,role,term,commit,applied,revision,db_bytes");
    assert_eq!(header("traffic.csv"), "time,service,sent,ok,refused,reset,timeout,p50,p99");
    assert_eq!(header("events.csv"), "time,kind,object,what,cause");
}

#[test]
fn a_lost_node_is_one_row_with_the_times_counted_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    write_all(&node_failure(), "{}\n", dir.path(), false).unwrap();
    // Two missing from 168.010 to 471.270 s, one to 471.300 s: 2 * 303.26 + 0.03 pod-seconds. Eight were always there. The shortfall of
    // the start is nobody's fault.
    assert_eq!(
        lines(dir.path(), "recovery.csv")[1..],
        ["power loss,worker-3,120.000000,default/web,168.000000,468.000000,468.250000,468.290000,471.300000,606.550000,0.000000"]
    );
    let pods = lines(dir.path(), "pods.csv");
    assert_eq!(pods.len(), 13);
    assert_eq!(
        pods[3],
        "default,web-5d78c-2,uid-web-5d78c-2,default/web,worker-3,1.400000,1.420000,3.400000,4.400000,468.000000,0,Terminating"
    );
    assert_eq!(
        pods[11],
        "default,web-5d78c-new1,uid-web-5d78c-new1,default/web,worker-6,468.020000,468.040000,470.020000,471.020000,,0,Running"
    );
    let placement = lines(dir.path(), "placement.csv");
    let of_lost: Vec<_> = placement.iter().filter(|line| line.contains("web-5d78c-2,")).collect();
    assert_eq!(
        of_lost,
        [
            "1.420000,default,web-5d78c-2,worker-3,bound",
            "4.400000,default,web-5d78c-2,worker-3,ready",
            "168.005000,default,web-5d78c-2,worker-3,not ready",
            "468.000000,default,web-5d78c-2,worker-3,terminating",
        ]
    );
    let nodes = lines(dir.path(), "nodes.csv");
    let worker: Vec<_> = nodes.iter().filter(|line| line.contains(",worker-3,")).collect();
    assert_eq!(
        worker,
        [
            "0.000000,worker-3,,0,0.000,0",
            "1.000000,worker-3,True,0,0.000,0",
            "2.000000,worker-3,True,1,0.500,1073741824",
            "3.000000,worker-3,True,2,1.000,2147483648",
            "168.000000,worker-3,Unknown,2,1.000,2147483648",
        ]
    );
}

#[test]
fn an_event_names_the_row_of_its_cause() {
    let dir = tempfile::tempdir().unwrap();
    write_all(&node_failure(), "{}\n", dir.path(), false).unwrap();
    let events = lines(dir.path(), "events.csv");
    let row = |what: &str| events.iter().position(|line| line.contains(what)).unwrap();
    let fault = row("FaultInjected,worker-3,fault: power loss of worker-3,");
    assert!(events[row("NodeReady,Node worker-3,Ready=Unknown")].ends_with(&format!(",{fault}")), "row 0 is the header");
}

#[test]
fn a_shortfall_that_a_step_began_is_not_charged_to_the_fault_before_it() {
    let mut story = Story::new("scaled", 3, 300);
    let web = story.deployment(0, "web");
    story.replicas(10, None, &web, 2, 2, 2);
    let fault = story.fault(50_000, "kill", &["etcd-1"], None);
    let etcd = Subject::Actor(crate::wire::Address::Etcd(crate::wire::Member(2)));
    story.tell(51_500, Some(fault), etcd, What::BecameLeader { term: crate::base::Term(3) });
    let step = story.tell(100_000, None, Subject::Run, What::StepDone { step: 0, description: Name::new("scale web to 5") });
    story.replicas(100_100, Some(step), &web, 5, 2, 2);
    story.replicas(110_100, Some(step), &web, 5, 5, 5);
    let record = story.record(etcd_samples(50..60));
    let report = Report::new(&record);
    assert_eq!(report.recovery.len(), 1, "one row for a fault that hurt no workload");
    let row = &report.recovery[0];
    assert_eq!((row.workload, row.detected, row.unavailable, row.ready_again), (None, Some(at(51_500)), 0, None));
}

#[test]
fn ready_again_waits_for_ten_steady_seconds_and_down_counts_the_time_with_none() {
    let mut story = Story::new("flapping", 1, 300);
    let web = story.deployment(0, "web");
    let pod = story.pod(100, None, &web, "web-1", 0);
    story.replicas(4_000, None, &web, 1, 1, 1);
    let fault = story.fault(100_000, "container crash", &["default/web"], None);
    let exited = What::ContainerExited { container: Name::new("web"), code: 137 };
    story.tell(100_000, Some(fault), Subject::Object(pod.clone()), exited);
    let lost = story.pod_ready(100_500, Some(fault), &pod, false);
    story.replicas(101_000, Some(lost), &web, 1, 0, 0);
    story.replicas(103_000, None, &web, 1, 1, 1);
    // Down again within ten seconds: 103 s does not count.
    story.replicas(108_000, Some(lost), &web, 1, 0, 0);
    story.replicas(120_000, None, &web, 1, 1, 1);
    let record = story.record(etcd_samples(1_000..1_000));
    let row = Report::new(&record).recovery.remove(0);
    assert_eq!((row.detected, row.ready_again), (Some(at(100_500)), Some(at(120_000))));
    assert_eq!((row.unavailable, row.down), (14_000_000_000, crate::base::Duration::from_secs(14)));
    assert_eq!((row.evicted, row.replaced, row.lost), (None, None, 0));
}

#[test]
fn what_never_came_back_has_no_time() {
    let mut story = Story::new("gone", 1, 100);
    let web = story.deployment(0, "web");
    story.pod(100, None, &web, "web-1", 0);
    story.replicas(4_000, None, &web, 1, 1, 1);
    let fault = story.fault(50_000, "power loss", &["worker-1"], None);
    let lost = story.node_ready(92_000, Some(fault), 0, "Unknown");
    story.replicas(92_000, Some(lost), &web, 1, 0, 0);
    // Whole for the last five seconds only: too short to tell.
    story.replicas(95_000, None, &web, 1, 1, 1);
    let record = story.record(etcd_samples(1_000..1_000));
    let row = Report::new(&record).recovery.remove(0);
    assert_eq!((row.detected, row.evicted, row.ready_again), (Some(at(92_000)), None, None));
    assert_eq!(row.unavailable, 3_000_000_000);
}

#[test]
fn a_saved_record_reads_back_equal_and_a_broken_one_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let record = node_failure();
    let path = dir.path().join(saved::FILE);
    save(&record, &path).unwrap();
    assert_eq!(read(&path).unwrap(), record);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    assert!(matches!(read(&path), Err(ReportError::Malformed { .. })));
    fs::write(&path, b"not a record").unwrap();
    assert!(read(&path).unwrap_err().to_string().contains("record.bin.zst: not a saved record: "));
    assert!(matches!(read(&dir.path().join("absent")), Err(ReportError::Read { .. })));
}

#[test]
fn the_same_record_gives_the_same_bytes_and_leaves_nothing_half_written() {
    let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let record = node_failure();
    write_all(&record, "{\"name\": \"x\"}\n", first.path(), true).unwrap();
    write_all(&read(&first.path().join(saved::FILE)).unwrap(), "{\"name\": \"x\"}\n", second.path(), true).unwrap();
    let names = |dir: &Path| {
        let mut names: Vec<String> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(first.path()),
        [
            "etcd.csv",
            "etcd.png",
            "events.csv",
            "nodes.csv",
            "placement.csv",
            "placement.png",
            "pods.csv",
            "record.bin.zst",
            "recovery.csv",
            "recovery.png",
            "scenario.json",
            "summary.json",
            "traffic.csv",
            "traffic.png",
            "utilisation.png",
        ]
    );
    for name in names(first.path()) {
        assert!(fs::read(first.path().join(&name)).unwrap() == fs::read(second.path().join(&name)).unwrap(), "{name} differs");
    }
}

#[test]
fn pictures_are_png_files_of_their_size_with_something_on_them() {
    let record = node_failure();
    let dir = tempfile::tempdir().unwrap();
    let report = Report::new(&record);
    for exporter in picture::exporters() {
        let path = dir.path().join(exporter.file());
        exporter.export(&report, &path).unwrap();
        let bytes = fs::read(&path).unwrap();
        assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n", "{}", exporter.file());
        assert_eq!(&bytes[12..16], b"IHDR");
        let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
        assert_eq!(number(16), 1600, "{}", exporter.file());
        assert!((300..1600).contains(&number(20)), "{} is {} high", exporter.file(), number(20));
        // Every chunk is where the one before ends, up to the last: a file that was cut would not.
        let mut at = 8;
        while &bytes[at + 4..at + 8] != b"IEND" {
            at += 12 + number(at) as usize;
        }
        assert_eq!(at + 12, bytes.len());
    }
    let canvas = picture::placement(&report);
    let pixels = canvas.averaged();
    let blue = picture::canvas::palette::BLUE;
    let of_pods = pixels.chunks_exact(3).filter(|pixel| pixel[..] == [blue.0, blue.1, blue.2]).count();
    // Ten bars of 1,300 by 15 pixels and more.
    assert!(of_pods > 150_000, "{of_pods} pixels show ready pods");
}

#[test]
fn clients_of_one_service_are_one_row_a_second() {
    let mut record = node_failure();
    let rows = |record: &Record| {
        let dir = tempfile::tempdir().unwrap();
        write_all(record, "{}\n", dir.path(), false).unwrap();
        fs::read_to_string(dir.path().join("traffic.csv")).unwrap().lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let one = rows(&record);
    // A second client machine that sees what the first does.
    let service = record.scenario.traffic[0].clone();
    record.scenario.traffic.push(service);
    for entry in std::mem::take(&mut record.facts) {
        let mut again = entry.clone();
        again.fact.subject = Subject::Actor(Address::Traffic(1));
        let is_traffic = matches!(entry.fact.what, What::Traffic { .. });
        record.facts.push(entry);
        record.facts.extend(is_traffic.then_some(again));
    }
    let two = rows(&record);
    assert_eq!(one.len(), two.len());
    let cells = |row: &str| row.split(',').map(str::to_owned).collect::<Vec<_>>();
    for (one, two) in one.iter().zip(&two).skip(1) {
        let (one, two) = (cells(one), cells(two));
        assert_eq!((&one[..2], &one[7..]), (&two[..2], &two[7..]), "time, service, latencies");
        for (one, two) in one[2..7].iter().zip(&two[2..7]) {
            assert_eq!(one.parse::<u32>().unwrap() * 2, two.parse::<u32>().unwrap());
        }
    }
}

#[test]
fn a_run_without_anything_still_has_all_its_files() {
    let dir = tempfile::tempdir().unwrap();
    write_all(&Record::default(), "{}\n", dir.path(), true).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 15);
}

#[test]
fn an_output_folder_that_is_a_file_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::write(&path, "").unwrap();
    let error = write_all(&Record::default(), "{}", &path, false).unwrap_err();
    assert!(matches!(error, ReportError::Folder { .. }));
    assert!(error.to_string().contains("taken"), "{error}");
}

#[test]
fn the_terminal_tells_the_story_and_ends_with_the_digest() {
    let record = node_failure();
    let expected = "\
node-failure  seed 1, 6 nodes, 15 min of virtual time
  fault  120.0 s to the end  power loss of worker-3

        5.5 s  default/web has its 10 pods available
      120.0 s  fault: power loss of worker-3
      168.0 s  worker-3 is found not Ready, 48.0 s after the fault
      468.0 s  2 pods of default/web evicted, the last one 0.2 s later
      468.2 s  2 successors bound in their place
      471.3 s  default/web is whole again
               default/web: 178,495 requests, 98.74 % ok, 195 refused, 6 reset, 2,042 timed out

  fault                   workload     detected   evicted  replaced  ready again  pod-seconds lost   down
  power loss of worker-3  default/web   +48.0 s  +348.0 s  +348.2 s     +351.3 s             606.5  0.0 s

  ✓ web has 10 ready pods at the end
  ✗ web is whole within 5 min of the fault: 8 available at 420.0 s

1,234,567 events, 765,432 messages, 4,321 revisions
digest 0123456789abcdef0011223344556677
";
    assert_eq!(text::summary(&Report::new(&record), false), expected);
    let coloured = text::summary(&Report::new(&record), true);
    assert!(coloured.contains("\x1b[32m✓\x1b[0m") && coloured.ends_with("digest 0123456789abcdef0011223344556677\n"));
}

#[test]
fn the_summary_is_format_1() {
    let record = node_failure();
    let summary: serde_json::Value = serde_json::from_str(&summary::json(&Report::new(&record))).unwrap();
    assert_eq!(summary["format"], 1);
    assert_eq!(summary["digest"], "0123456789abcdef0011223344556677");
    assert_eq!(summary["held"], false);
    assert_eq!(summary["recovery"][0]["replaced"], 468.29);
    assert_eq!(summary["recovery"][0]["unavailable_seconds"], 606.55);
    assert_eq!(summary["recovery"][0]["workload"], "default/web");
    assert_eq!(summary["expectations"][1]["seen"], "8 available at 420.0 s");
    assert_eq!(summary["counts"]["pods"], 12);
}

#[test]
fn an_instant_before_the_start_is_the_start() {
    assert_eq!(tables::seconds(u128::from(Time::ZERO.since(at(0)).nanos())), "0.000000");
    assert_eq!(tables::seconds(1_999_999_999), "1.999999");
}

/// Pictures to look at: `cargo test --lib report::tests::pictures_to_look_at -- --ignored` leaves them in `output/`.
#[test]
#[ignore = "leaves pictures to look at"]
fn pictures_to_look_at() {
    let output = Path::new(env!("CARGO_MANIFEST_DIR")).join("output");
    for (name, record) in [("look-small", node_failure()), ("look-middle", zone_outage(30, 10)), ("look-large", zone_outage(500, 20))] {
        write_all(&record, "{}\n", &output.join(name), true).unwrap();
        println!("{}", text::summary(&Report::new(&record), false));
    }
}
