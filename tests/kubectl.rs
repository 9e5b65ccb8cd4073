//! `sim get` and `sim describe` against what a real kubectl printed for the same objects, byte for byte (`tests/kubectl/README.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use clustersim::report::kubectl::describe::{Describe, describe};
use clustersim::report::kubectl::get::{Get, get};
use clustersim::report::kubectl::{Instant, Printed, World, age};
use serde_json::Value;

/// Recorded commands whose output differs, with the reason. May only shrink.
const DIFFERENT: &[(&str, &str, &str)] = &[
    ("crd", "02.txt", "custom resources are not modelled"),
    ("crd", "03.txt", "custom resources are not modelled"),
    ("crd", "04.txt", "custom resources are not modelled"),
    ("crd", "05.txt", "custom resources are not modelled"),
    ("get-all", "01.txt", "a custom resource of the category `all` is not among the recorded objects"),
    ("get-all", "19.txt", "the recorded objects are those of two namespaces only"),
    ("network-rbac", "03.txt", "the services behind the ingress are not among the recorded objects"),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kubectl")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

struct Command {
    situation: String,
    args: Vec<String>,
    stdout_file: String,
    stdout: String,
    stderr: String,
    status: u64,
    started: Instant,
    ended: Instant,
}

fn commands(situation: &Path) -> Vec<Command> {
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let time = |value: &Value| Instant::of(value).expect("a time");
    let one = |command: &Value| Command {
        situation: situation.file_name().expect("a name").to_string_lossy().into_owned(),
        args: command["args"].as_array().expect("a list").iter().map(text).collect(),
        stdout_file: text(&command["stdout"]),
        stdout: read(&situation.join(text(&command["stdout"]))),
        stderr: text(&command["stderr"]),
        status: command["rc"].as_u64().expect("a status"),
        started: time(&command["startedAt"]),
        ended: time(&command["endedAt"]),
    };
    json(&situation.join("commands.json")).as_array().expect("a list").iter().map(one).collect()
}

fn situations() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder().join("outputs")).expect("recordings");
    let all: BTreeSet<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    assert!(all.len() > 60, "{}", all.len());
    all.into_iter().collect()
}

/// What is printed for kubectl's own arguments.
fn answer(args: &[String], world: &World) -> Printed {
    let (mut request, mut words) = (Get::default(), Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let (flag, value) =
            arg.split_once('=').filter(|_| arg.starts_with("--")).map_or((arg.as_str(), None), |(f, v)| (f, Some(v.to_owned())));
        let mut value = || value.clone().unwrap_or_else(|| rest.next().expect("a value").clone());
        match flag {
            "-n" => request.namespace = Some(value()),
            "-A" => request.all_namespaces = true,
            "-o" => request.output = value(),
            "-l" => request.selector = value(),
            "-L" => request.label_columns = value().split(',').map(str::to_owned).collect(),
            "--show-labels" => request.show_labels = true,
            "--no-headers" => request.no_headers = true,
            "--field-selector" => request.field_selector = value(),
            "--sort-by" => request.sort_by = value(),
            // One layout for all chunks, so their size does not show.
            "--chunk-size" => {}
            flag if flag.starts_with('-') => panic!("{flag}"),
            word => words.push(word.to_owned()),
        }
    }
    let verb = words.remove(0);
    if verb == "get" {
        request.what = words;
        return get(&request, world);
    }
    assert_eq!(verb, "describe");
    let Get { namespace, all_namespaces, selector, .. } = request;
    describe(&Describe { what: words, namespace, all_namespaces, selector }, world)
}

/// What is printed, at an instant between the start and the end of the command: that at which all fits, if there is one. A command that
/// asked the server several times (several kinds, names, pages) has ages of several instants, in order, line by line.
fn nearest(command: &Command, world: &mut World) -> Printed {
    let mut instants = vec![command.started];
    while let Some(last) = instants.last().filter(|last| **last < command.ended) {
        instants.push(last.plus_millis(100).min(command.ended));
    }
    let mut at = |now: Instant| {
        world.now = now;
        answer(&command.args, world)
    };
    let all: Vec<Printed> = instants.into_iter().map(&mut at).collect();
    if let Some(fits) = all.iter().find(|printed| printed.stdout == command.stdout) {
        return fits.clone();
    }
    let mut several = all[0].clone();
    let mut from = 0;
    let lines: Vec<Vec<&str>> = all.iter().map(|printed| printed.stdout.split_inclusive('\n').collect()).collect();
    let same_length = lines.iter().all(|one| one.len() == lines[0].len());
    if same_length {
        several.stdout.clear();
        let recorded: Vec<&str> = command.stdout.split_inclusive('\n').collect();
        for number in 0..lines[0].len() {
            let fits = (from..lines.len()).find(|instant| Some(&lines[*instant][number]) == recorded.get(number));
            from = fits.unwrap_or(from);
            several.stdout.push_str(lines[from][number]);
        }
    }
    several
}

fn difference(printed: &str, recorded: &str) -> String {
    let mut lines = printed.split('\n').zip(recorded.split('\n')).enumerate();
    match lines.find(|(_, (left, right))| left != right) {
        Some((number, (left, right))) => format!("  line {}\n    printed  {left:?}\n    recorded {right:?}", number + 1),
        None => format!("  {} lines printed, {} recorded", printed.lines().count(), recorded.lines().count()),
    }
}

#[test]
fn what_is_printed_is_what_kubectl_printed() {
    let mut wrong = Vec::new();
    let mut expected: BTreeMap<(String, String), &str> =
        DIFFERENT.iter().map(|(situation, file, reason)| (((*situation).to_owned(), (*file).to_owned()), *reason)).collect();
    let mut matched = 0;
    for situation in situations() {
        let mut world = World::new(vec![json(&situation.join("objects.json"))], Instant::parse("2026-11-23T18:00:00Z").unwrap());
        for command in commands(&situation) {
            let printed = nearest(&command, &mut world);
            let same = (&printed.stdout, &printed.stderr, u64::from(printed.status)) == (&command.stdout, &command.stderr, command.status);
            let key = (command.situation.clone(), command.stdout_file.clone());
            let line = format!("{} {}: kubectl {}", key.0, key.1, command.args.join(" "));
            match (same, expected.remove(&key)) {
                (true, None) => matched += 1,
                (true, Some(reason)) => wrong.push(format!("{line}\n  matches now: take it from the list ({reason})")),
                (false, Some(_)) => {}
                (false, None) => wrong.push(format!(
                    "{line}\n{}\n  stderr {:?} for {:?}, status {} for {}",
                    difference(&printed.stdout, &command.stdout),
                    printed.stderr,
                    command.stderr,
                    printed.status,
                    command.status
                )),
            }
        }
    }
    assert!(expected.is_empty(), "not recorded: {expected:?}");
    assert!(wrong.is_empty(), "{matched} match, {} do not:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn ages_are_printed_as_the_server_printed_them() {
    let ages = json(&folder().join("ages.json"));
    let now = Instant::parse("2026-11-23T18:30:00Z").unwrap();
    for recorded in ages.as_array().unwrap() {
        let (seconds, fraction) = (recorded["seconds"].as_i64().unwrap(), recorded["askedAtFraction"].as_f64().unwrap());
        let then = now.plus_seconds(-seconds);
        let asked = now.plus_millis((fraction * 1000.0) as i64);
        assert_eq!(age::between(then, asked), recorded["printed"].as_str().unwrap(), "{seconds} s and {fraction}");
    }
}

/// Paths to everything inside a value, itself first.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                places(inner, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Array(items) => items.iter().enumerate().for_each(|(number, item)| places(item, &format!("{at}/{number}"), found)),
        _ => {}
    }
}

#[test]
fn objects_of_any_shape_are_printed_somehow() {
    let mut of_kind = BTreeMap::new();
    for situation in situations() {
        for object in json(&situation.join("objects.json"))["items"].as_array().expect("a list") {
            of_kind.insert(object["kind"].as_str().expect("a kind").to_owned(), object.clone());
        }
    }
    assert!(of_kind.len() > 25, "{}", of_kind.len());
    let now = Instant::parse("2026-11-23T18:21:12Z").unwrap();
    let odd = [
        Value::Null,
        Value::Bool(true),
        Value::from(i64::MAX),
        Value::from("\u{e9}\n:\t \u{1f600} [x"),
        serde_json::json!([[], {}, 1]),
        serde_json::json!({}),
    ];
    for (kind, object) in of_kind {
        let mut all = Vec::new();
        places(&object, "", &mut all);
        for place in all.iter().filter(|place| !place.is_empty() && *place != "/kind" && *place != "/apiVersion") {
            for value in &odd {
                let mut changed = object.clone();
                *changed.pointer_mut(place).expect("a place of the object") = value.clone();
                let world = World::new(vec![changed], now);
                for output in ["wide", "yaml"] {
                    get(&Get { what: vec![kind.clone()], all_namespaces: true, output: output.to_owned(), ..Get::default() }, &world);
                }
                describe(&Describe { what: vec![kind.clone()], all_namespaces: true, ..Describe::default() }, &world);
            }
        }
    }
}

fn sim(args: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_sim")).args(args).output().expect("sim starts")
}

/// Standard output, standard error, status.
fn printed(args: &[&str]) -> (String, String, i32) {
    let output = sim(args);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    (text(&output.stdout), text(&output.stderr), output.status.code().expect("it ended by itself"))
}

#[test]
fn a_file_of_objects_is_read_as_kubectl_would_have_seen_it() {
    let situation = folder().join("outputs/nodes-all");
    let objects = situation.join("objects.json");
    let (stdout, stderr, status) =
        printed(&["get", objects.to_str().unwrap(), "no", "-L", "topology.kubernetes.io/zone,pool", "--at", "2026-11-23T18:21:14Z"]);
    assert_eq!((stdout, stderr, status), (read(&situation.join("04.txt")), String::new(), 0));
    let node = folder().join("outputs/node-2");
    let (stdout, _, _) = printed(&["describe", node.join("objects.json").to_str().unwrap(), "node/node-2", "--at", "2026-11-23T18:21:21Z"]);
    assert_eq!(stdout, read(&node.join("03.txt")));
}

#[test]
fn a_run_is_looked_at_at_an_instant() {
    let node = |at: &str| {
        let (stdout, _, status) = printed(&["get", "node-failure", "node", "worker-3", "--no-headers", "--at", at]);
        assert_eq!(status, 0);
        stdout
    };
    assert!(node("100s").starts_with("worker-3   Ready "), "{}", node("100s"));
    assert!(node("3m").starts_with("worker-3   NotReady "), "{}", node("3m"));
    assert_eq!(node("3m").split_whitespace().nth(3), Some("2m57s"), "the age is that on the virtual clock");
    let (stdout, _, _) = printed(&["get", "node-failure", "pods", "-o", "name", "--at", "3m"]);
    assert_eq!(stdout.lines().filter(|line| line.starts_with("pod/web-")).count(), 10);
    let (stdout, _, _) = printed(&["get", "node-failure", "lease", "worker-1", "-n", "kube-node-lease", "--at", "3m", "-o", "yaml"]);
    assert!(stdout.contains("\n  holderIdentity: worker-1\n"), "{stdout}");
    let (stdout, _, _) = printed(&["describe", "node-failure", "deploy/web", "--at", "3m"]);
    assert!(stdout.contains("10 desired | 10 updated | 10 total | 9 available | 1 unavailable\n"), "{stdout}");
}

#[test]
fn errors_are_those_of_kubectl_and_bad_input_is_told_apart() {
    for (args, stderr, status) in [
        (&["get", "node-failure", "cows", "--at", "1s"][..], "error: the server doesn't have a resource type \"cows\"\n", 1),
        (&["get", "node-failure", "deploy", "x", "--at", "1s"], "Error from server (NotFound): deployments.apps \"x\" not found\n", 1),
        (&["get", "node-failure", "pods", "-n", "x", "--at", "1s"], "No resources found in x namespace.\n", 0),
        (
            &["get", "node-failure", "nodes", "--sort-by", ".spec.cow", "--at", "20s"],
            "error: couldn't find any field with path \"{.spec.cow}\" in the list of objects\n",
            1,
        ),
        (
            &["get", "node-failure", "pods", "x", "-l", "a=b", "--at", "1s"],
            "error: name cannot be provided when a selector is specified\n",
            1,
        ),
        (&["get", "node-failure", "pods", "-A", "--at", "1s"], "No resources found\n", 0),
        (
            &["get", "node-failure", "pods", "--at", "soon"],
            "error: --at: \"soon\" will not do (expected a duration: \"90s\" or \"5m30s\", say)\n",
            2,
        ),
        (
            &["describe", "node-failure", "pods", "--at", "1h"],
            "error: --at: \"1h\" will not do (expected a time before the end of the run, 10m)\n",
            2,
        ),
    ] {
        assert_eq!(printed(args), (String::new(), stderr.to_owned(), status), "{args:?}");
    }
}
