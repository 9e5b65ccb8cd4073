//! The openb study against what was published: `tests/openb/expected_allo_default.csv.gz` are the rows of the default trace (Weng et al.,
//! USENIX ATC 2023; Apache-2.0), `order-42.csv.gz` is the order that the study's own program drew with the seed 42.
//!
//! `cargo test --release --test openb -- --ignored` plays all sixty runs.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output};

use clustersim::engine::record::{Record, Results};
use clustersim::host::sim;
use clustersim::scenario;

const LABELS: [(&str, &str); 6] = [
    ("random", "01-Random"),
    ("dot-product", "02-DotProd"),
    ("gpu-clustering", "03-GpuClustering"),
    ("gpu-packing", "04-GpuPacking"),
    ("best-fit", "05-BestFit"),
    ("fgd", "06-FGD"),
];

fn unpacked(file: &str) -> String {
    let bytes = std::fs::read(Path::new("tests/openb").join(file)).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
    text
}

/// Hundredths of a per cent in use by arrived load, by the policy's label and the seed.
fn published() -> BTreeMap<(String, u64), Vec<i64>> {
    let hundredths = |cell: &str| (cell.parse::<f64>().unwrap() * 100.0).round() as i64;
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        ((cells[1].to_owned(), cells[3].parse().unwrap()), cells[5..].iter().map(|cell| hundredths(cell)).collect())
    };
    unpacked("expected_allo_default.csv.gz").lines().skip(1).map(row).collect()
}

fn play(name: &str, sets: &[String]) -> Record {
    let plan = scenario::load(&scenario::find(name).unwrap(), sets).unwrap().plan;
    sim::run(plan, Default::default(), &mut |_| {})
}

fn study(policy: &str, seed: u64, sets: &[&str]) -> Results {
    let mut all = vec![format!("seed={seed}"), format!("policy={policy}")];
    all.extend(sets.iter().map(|set| (*set).to_owned()));
    play("openb-fgd", &all).study.unwrap()
}

fn allocation(results: &Results) -> Vec<i64> {
    results.curve.columns.iter().map(|column| i64::from(column.allocation.unwrap())).collect()
}

#[test]
fn runs_of_five_policies_are_the_published_ones_in_every_column() {
    let published = published();
    assert_eq!(published.len(), 60);
    for (policy, seed) in [("dot-product", 43), ("gpu-clustering", 44), ("gpu-packing", 48), ("best-fit", 42), ("fgd", 46), ("fgd", 51)] {
        let label = LABELS.iter().find(|(name, _)| *name == policy).unwrap().1;
        let results = study(policy, seed, &[]);
        assert_eq!(allocation(&results), published[&(label.to_owned(), seed)], "{policy}, seed {seed}");
        assert_eq!((results.label.as_str(), results.gpus, results.nodes), (label, 6212, 1213));
    }
}

#[test]
fn chance_is_as_good_as_the_published_chance() {
    let row = &published()[&("01-Random".to_owned(), 42)];
    let found = allocation(&study("random", 42, &[]));
    for load in [50, 80, 90, 100, 130] {
        // Three deviations of the published seeds at the end, where they differ most.
        assert!((found[load] - row[load]).abs() < 100, "{} for {} at {load} %", found[load], row[load]);
    }
}

#[test]
fn the_order_that_is_drawn_is_the_one_that_the_study_drew() {
    let drawn = study("gpu-packing", 42, &[]);
    let given = study("gpu-packing", 42, &["trace.order=tests/openb/order-42.csv.gz"]);
    assert!(drawn.drawn && !given.drawn);
    assert_eq!((drawn.placements.clone(), drawn.curve.clone()), (given.placements, given.curve));
    let order = unpacked("order-42.csv.gz");
    let pods: Vec<&str> = order.lines().filter_map(|line| line.strip_prefix("42,pod,")).collect();
    assert_eq!(pods, drawn.placements.iter().map(|placement| placement.pod.as_str()).collect::<Vec<_>>());
}

/// All sixty, in release: minutes without optimisation.
#[test]
#[ignore = "sixty runs: cargo test --release --test openb -- --ignored"]
fn fifty_runs_are_the_published_ones_and_chance_agrees_on_the_mean() {
    let published = published();
    let (mut identical, mut sums) = (BTreeMap::new(), vec![(0i64, 0i64); 131]);
    for (policy, label) in LABELS {
        for seed in 42..52 {
            let (found, row) = (allocation(&study(policy, seed, &[])), &published[&(label.to_owned(), seed)]);
            if policy == "random" {
                for (sum, (found, row)) in sums.iter_mut().zip(found.iter().zip(row)) {
                    *sum = (sum.0 + found, sum.1 + row);
                }
                continue;
            }
            let most = found.iter().zip(row).map(|(found, row)| (found - row).abs()).max().unwrap();
            assert!(most <= 1, "{policy}, seed {seed}: off by {most} hundredths");
            *identical.entry(policy).or_insert(0) += i32::from(most == 0);
        }
    }
    println!("identical in every column, of ten: {identical:?}");
    assert_eq!(identical.values().sum::<i32>(), 50);
    let off: Vec<f64> = sums.iter().map(|(found, row)| (found - row) as f64 / 1000.0).collect();
    let worst = off.iter().fold(0f64, |worst, off| worst.max(off.abs()));
    println!("random: the means over ten seeds differ by {worst:.3} at most, by {:+.3} at the end", off[130]);
    assert!(worst < 0.3, "{off:?}");
}

fn sim(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).current_dir(folder).output().unwrap()
}

/// Two nodes, five pods, an order.
fn lists(folder: &Path) {
    let nodes = "sn,cpu_milli,memory_mib,gpu,model\nn1,32000,65536,2,T4\nn2,64000,65536,4,P100\n";
    let pods = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\na,4000,1024,1,500,T4\nb,4000,1024,1,1000,P100|V100\nc,2000,1024,0,0,\n\
                d,4000,1024,2,1000,\ne,1000,1024,1,300,A100\n";
    let order = "seed,kind,name\n7,pod,b\n7,pod,a\n7,pod,a-tuned-0\n7,pod,e\n7,pod,d\n7,pod,c\n7,node,n2\n7,node,n1\n";
    for (name, text) in [("nodes.csv", nodes), ("pods.csv", pods), ("order.csv", order)] {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

const OWN: [&str; 6] =
    ["run", "openb-fgd", "--set=trace.nodes=nodes.csv", "--set=trace.pods=pods.csv", "--set=trace.order=order.csv", "--seed=7"];
const NO_EXPECTATIONS: &str = "--set=expectations=[]";

#[test]
fn own_lists_and_an_own_order_are_played_and_played_again_from_the_resolved_scenario() {
    let folder = tempfile::tempdir().unwrap();
    lists(folder.path());
    let first = sim(folder.path(), &[&OWN[..], &[NO_EXPECTATIONS, "--set=policy=gpu-packing", "--out=first"]].concat());
    assert_eq!(first.status.code(), Some(0), "{}", String::from_utf8_lossy(&first.stderr));
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    let placements = read("first/placements.csv");
    // `a` shares a GPU with its copy; nobody has an A100.
    let expected = "number,pod,node,gpus\n1,b,n2,0\n2,a,n1,0\n3,a-tuned-0,n1,0\n4,e,,\n5,d,n2,1-2\n6,c,n2,\n";
    assert_eq!(placements, expected);
    assert!(read("first/allocation.csv").starts_with("workload,sc_policy,tune,seed,total_gpus,0,1,2,"));
    assert!(read("first/allocation.csv").contains("\npods,04-GpuPacking,1.3,7,6,"));
    assert_eq!(read("first/unplaced.csv"), "cpu_milli,num_gpu,gpu_milli,num_pod\n1000,1,300,1\n");
    let told = String::from_utf8(first.stdout).unwrap();
    assert!(told.contains("the scheduler alone, without a control plane"), "{told}");
    std::fs::rename(folder.path().join("pods.csv"), folder.path().join("elsewhere.csv")).unwrap();
    let again = sim(folder.path(), &["run", "first/scenario.json", "--out=again", "--quiet"]);
    assert_eq!(again.status.code(), Some(0), "{}", String::from_utf8_lossy(&again.stderr));
    for file in ["allocation.csv", "fragmentation.csv", "placements.csv", "summary.json", "scenario.json", "allocation.png"] {
        let bytes = |run: &str| std::fs::read(folder.path().join(run).join(file)).unwrap();
        assert!(bytes("first") == bytes("again"), "{file} differs");
    }
}

#[test]
fn what_is_wrong_with_a_list_is_told_with_file_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    lists(folder.path());
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("bad-number.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,1,500\nb,1,1,one,500\n");
    write("bad-header.csv", "name,cpu_milli,memory_mib,gpus,gpu_milli\na,1,1,1,500\n");
    write("short-row.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,1\n");
    write("twice.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,1,500\na,1,1,1,500\n");
    write("no-gpus.csv", "name,cpu_milli,memory_mib,num_gpu,gpu_milli\na,1,1,0,0\n");
    write("empty.csv", "");
    write("bad-order.csv", "seed,kind,name\n7,pod,a\n7,pod,zebra\n7,nod,n1\n");
    write("half-order.csv", "seed,kind,name\n7,pod,a\n7,node,n1\n");
    std::fs::write(folder.path().join("cut.csv.gz"), [0x1f, 0x8b, 8, 0, 1, 2]).unwrap();
    for (set, told) in [
        ("trace.pods=bad-number.csv", "bad-number.csv:3:7: num_gpu: \"one\" will not do (expected a whole number, 0 to 16)"),
        ("trace.pods=bad-header.csv", "bad-header.csv:1:1: there is no column \"num_gpu\""),
        ("trace.pods=short-row.csv", "short-row.csv:2:1: the row has 4 fields, the header 5"),
        ("trace.pods=twice.csv", "twice.csv:3:1: the pod \"a\" is there already, in line 2"),
        ("trace.pods=empty.csv", "empty.csv: the file is empty"),
        ("trace.pods=nowhere.csv", "--set: trace.pods: nowhere.csv cannot be read"),
        ("trace.pods=cut.csv.gz", "cut.csv.gz: cannot be unpacked"),
        ("trace.order=bad-order.csv", "bad-order.csv:3:7: name: there is no pod \"zebra\" in the list of pods"),
        ("trace.order=bad-order.csv", "bad-order.csv:4:3: kind: \"nod\" is no kind of an order (expected pod or node)"),
        ("trace.order=half-order.csv", "half-order.csv: the node \"n2\" has no place in the order of the seed 7"),
        ("seed=8", "order.csv: there is no order for the seed 8 (expected one of the seeds 7)"),
        ("policy=fdg", "policy: \"fdg\" is not valid here"),
        ("policy={\"weights\":{\"fgd\":0}}", "policy.weights.fgd: the weight 0 (expected 1 to 100)"),
        ("policy={\"weights\":{\"best\":1}}", "policy.weights.best: there is no policy \"best\""),
        ("duration=5m", "duration: without a cluster the scheduler places the trace alone"),
        ("trace.load=0%", "trace.load: 0.0 % of all GPUs"),
        ("trace.nodes=null", "trace.nodes: a trace without a cluster has a list of nodes"),
    ] {
        let mut arguments = OWN[..5].to_vec();
        let set = format!("--set={set}");
        arguments.extend([NO_EXPECTATIONS, "--no-output", "--set=seed=7", &set]);
        let output = sim(folder.path(), &arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{set}: {complaints}");
        assert!(complaints.contains(told), "{set} tells {told:?}: {complaints}");
    }
    let mut drawn = OWN[..3].to_vec();
    drawn.extend([NO_EXPECTATIONS, "--no-output", "--set=trace.pods=no-gpus.csv"]);
    let output = sim(folder.path(), &drawn);
    assert!(String::from_utf8_lossy(&output.stderr).contains("no pod asks for a GPU"), "{output:?}");
}

#[test]
fn verbs_that_need_a_cluster_say_so() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [
        &["explain", "openb-fgd", "pod/openb-pod-0000"][..],
        &["get", "openb-fgd", "pods", "--at", "0s"],
        &["describe", "openb-fgd", "nodes", "--at", "0s"],
        &["minimize", "openb-fgd", "--seed", "1", "-o", "small.json"],
    ] {
        let output = sim(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(complaints.contains("\"openb-fgd\" plays the scheduler alone"), "{arguments:?}: {complaints}");
    }
    let checked = sim(folder.path(), &["check", "openb-fgd"]);
    assert!(String::from_utf8_lossy(&checked.stdout).contains("the scheduler alone, policy fgd, 1213 nodes, 8152 pods"));
}

#[test]
fn a_sweep_puts_all_policies_into_one_table_whatever_the_number_of_threads() {
    let folder = tempfile::tempdir().unwrap();
    lists(folder.path());
    let sweep = |jobs: &str, out: &str| {
        let own = ["--set=trace.nodes=nodes.csv", "--set=trace.pods=pods.csv", NO_EXPECTATIONS];
        let arguments = ["sweep", "openb-fgd", "--seeds", "42..45", "--vary", "policy=random,best-fit,fgd", "--jobs", jobs, "--out", out];
        let output = sim(folder.path(), &[&arguments[..], &own].concat());
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let told = sweep("1", "one");
    sweep("2", "two");
    assert!(told.contains("\n  best-fit ") && told.contains("\n  fgd "), "{told}");
    let table = std::fs::read_to_string(folder.path().join("one/allocation.csv")).unwrap();
    let firsts: Vec<String> = table.lines().map(|line| line.split(',').take(4).collect::<Vec<_>>().join(",")).collect();
    assert_eq!(firsts[0], "workload,sc_policy,tune,seed");
    assert_eq!(firsts[1..4], ["pods,01-Random,1.3,42", "pods,01-Random,1.3,43", "pods,01-Random,1.3,44"]);
    assert_eq!((firsts.len(), firsts[9].as_str()), (10, "pods,06-FGD,1.3,44"));
    for file in ["allocation.csv", "fragmentation.csv", "sweep.csv", "sweep.png", "summary.json"] {
        let bytes = |run: &str| std::fs::read(folder.path().join(run).join(file)).unwrap();
        assert!(bytes("one") == bytes("two"), "{file} differs");
    }
}

/// Nodes, each with the pods that were bound to it, in a cluster of three nodes with two GPUs each.
fn placed(policy: &str, initial: &str, requests: &[(&str, u64)]) -> BTreeMap<String, Vec<String>> {
    let pod = |(name, milli): &(&str, u64)| {
        serde_json::json!({ "manifest": { "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": { "containers": [{
            "name": "main", "image": "i:1", "resources": {
                "requests": { "cpu": "1", "memory": "1Gi", "alibabacloud.com/gpu-milli": milli.to_string() },
                "limits": { "alibabacloud.com/gpu-milli": milli.to_string() } } }] } } })
    };
    let gpus = serde_json::json!({ "cpu": 16, "memory": "64Gi", "extended": { "alibabacloud.com/gpu-milli": 2000 } });
    // When all nodes are there.
    let at = if initial == "empty" { serde_json::json!("20s") } else { serde_json::Value::Null };
    let scenario = serde_json::json!({
        "version": 1, "name": "shared", "duration": "60s", "initial": initial, "workloadAt": at, "policy": serde_json::from_str::<serde_json::Value>(policy).unwrap(),
        "cluster": { "nodes": [{ "count": 3, "capacity": gpus }], "images": { "list": { "i:1": { "preloaded": true } } } },
        "workload": requests.iter().map(pod).collect::<Vec<_>>()
    });
    let source = scenario::Source { file: "shared.json".into(), text: scenario.to_string().into_bytes(), folder: None };
    let plan = scenario::load(&source, &[]).unwrap_or_else(|errors| panic!("{errors:?}")).plan;
    let record = sim::run(plan, Default::default(), &mut |_| {});
    assert_eq!(record.violations, [] as [clustersim::base::Name; 0]);
    let model = clustersim::report::Model::new(&record);
    let mut nodes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for pod in &model.pods {
        nodes
            .entry(pod.bound.map_or("nobody".to_owned(), |(_, node)| model.nodes[node].name.to_string()))
            .or_default()
            .push(pod.key.name().to_owned());
    }
    nodes.values_mut().for_each(|pods| pods.sort());
    nodes
}

#[test]
fn a_cluster_places_by_the_policy_that_its_scenario_names() {
    let four = [("a", 500), ("b", 500), ("c", 500), ("d", 500)];
    let fullest = |nodes: &BTreeMap<String, Vec<String>>| nodes.values().map(Vec::len).max().unwrap();
    for initial in ["empty", "running"] {
        for policy in ["\"bin-packing\"", "\"gpu-packing\"", "\"best-fit\"", "{\"weights\":{\"bin-packing\":2,\"ImageLocality\":1}}"] {
            let nodes = placed(policy, initial, &four);
            assert_eq!((nodes.len(), fullest(&nodes)), (1, 4), "{policy}, {initial}: {nodes:?}");
        }
        for policy in ["null", "\"worst-fit\"", "{\"weights\":{\"NodeResourcesFit\":1}}"] {
            let nodes = placed(policy, initial, &four);
            assert_eq!((nodes.len(), fullest(&nodes)), (3, 2), "{policy}, {initial}: {nodes:?}");
        }
    }
}

#[test]
fn descent_keeps_whole_gpus_whole_for_the_pods_that_the_scenario_brings() {
    let nodes = placed("\"fgd\"", "empty", &[("a", 500), ("b", 500), ("w", 1000), ("x", 1000)]);
    assert!(nodes.values().any(|pods| pods.contains(&"a".to_owned()) && pods.contains(&"b".to_owned())), "{nodes:?}");
}

#[test]
fn with_a_policy_a_pod_needs_one_gpu_with_room_and_not_only_enough_of_all_together() {
    // Each node keeps 400 of each of its cards: 800 together.
    let filled: Vec<(String, u64)> = (0..6).map(|number| (format!("a{number}"), 600)).collect();
    let mut requests: Vec<(&str, u64)> = filled.iter().map(|(name, milli)| (name.as_str(), *milli)).collect();
    requests.push(("late", 700));
    let nobody = |nodes: &BTreeMap<String, Vec<String>>| nodes.get("nobody").cloned().unwrap_or_default();
    assert_eq!(nobody(&placed("\"worst-fit\"", "empty", &requests)), ["late"]);
    assert_eq!(nobody(&placed("null", "empty", &requests)), [] as [String; 0], "the API counts the sum alone");
}

#[test]
fn a_trace_in_time_is_applied_at_its_times_and_ends_after_its_durations() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write(
        "pods.csv",
        "job,cpu,mem,cards,share,at,lasts\nearly,1,1Gi,0,,0,20m\nold,1,1Gi,0,,0,60s\none,500m,1Gi,1,250,10m,10m\ntwo,2,2Gi,2,1000,660,\n",
    );
    write("nodes.csv", "host,cpu,mem,cards,card\ngpu-1,16,64Gi,4,T4\ngpu-2,16,64Gi,4,P100\n");
    let scenario = r#"{
        "version": 1, "name": "replay", "duration": "3m", "workloadAt": "20s", "cluster": {},
        "trace": { "format": "csv", "pods": "pods.csv", "nodes": "nodes.csv", "from": "5m", "speed": 10,
            "podColumns": { "name": "job", "memory": "mem", "gpus": "cards", "gpuMilli": "share", "arrival": "at", "duration": "lasts" },
            "nodeColumns": { "name": "host", "memory": "mem", "gpus": "cards", "gpuModel": "card" } }
    }"#;
    write("replay.json", scenario);
    let source = scenario::find(folder.path().join("replay.json").to_str().unwrap()).unwrap();
    let errors = scenario::load(&source, &[]).unwrap_err();
    assert!(errors[0].to_string().contains("pods.csv:2:15: share: \"\" will not do"), "{errors:?}");
    write("pods.csv", &std::fs::read_to_string(folder.path().join("pods.csv")).unwrap().replace("0,,", "0,0,"));
    let loaded = scenario::load(&source, &[]).unwrap();
    let record = sim::run(loaded.plan, Default::default(), &mut |_| {});
    let model = clustersim::report::Model::new(&record);
    let nodes: Vec<&str> = model.nodes.iter().map(|node| node.name).collect();
    assert_eq!(nodes, ["gpu-1", "gpu-2"]);
    let seconds = |name: &str, at: fn(&clustersim::report::model::Pod) -> Option<clustersim::base::Time>| {
        let pod = model.pods.iter().find(|pod| pod.key.name() == name).unwrap_or_else(|| panic!("{name} never came"));
        at(pod).map(|at| at.since(record.scenario.start).as_secs())
    };
    // What ran at the beginning comes then with what is left: fifteen minutes of twenty, a tenth of it.
    assert_eq!(seconds("early", |pod| Some(pod.created)), Some(20));
    assert_eq!(seconds("one", |pod| Some(pod.created)), Some(50));
    assert_eq!(seconds("two", |pod| Some(pod.created)), Some(56));
    assert!(model.pods.iter().all(|pod| pod.key.name() != "old"), "it had ended before");
    let files = serde_json::from_str::<serde_json::Value>(&loaded.resolved).unwrap()["trace"]["files"].clone();
    assert!(files["pods.csv"].is_string() && files["nodes.csv"].is_string(), "{files}");
}

#[test]
fn arrivals_are_drawn_anew_at_a_rate_by_the_seed() {
    let arrivals = |seed: u64| {
        let sets =
            [format!("seed={seed}"), "trace.from=null".into(), "trace.rate=5/s".into(), "duration=2m".into(), "expectations=[]".into()];
        let plan = scenario::load(&scenario::find("openb-timed").unwrap(), &sets).unwrap().plan;
        plan.steps.iter().map(|step| (step.at.since(plan.start).as_secs(), step.description.to_string())).collect::<Vec<_>>()
    };
    let (first, again, other) = (arrivals(1), arrivals(1), arrivals(2));
    assert_eq!(first, again);
    assert_ne!(first, other);
    // Ninety seconds at five a second, or until the 2 % of the nodes are asked for at 130 %.
    assert!(first.len() > 100 && first.len() < 600, "{} arrivals", first.len());
    assert!(first.windows(2).all(|pair| pair[0].0 <= pair[1].0) && first[0].0 >= 30);
}
