//! `sim regress` and `sim compare`: what changed is caught and told, with figures first, then the second in which the runs part, with causes.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

/// One constant of the node lifecycle: after how long of silence a node counts as lost. Default 50 s.
const PLANTED: &str = "cluster.timings.controllerManager.nodeMonitorGracePeriod=40s";

fn sim(arguments: &[&str], folder: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim")).args(arguments).current_dir(folder).output().unwrap()
}
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}
/// Status and standard output.
fn seen(arguments: &[&str], folder: &Path) -> (Option<i32>, String) {
    let output = sim(arguments, folder);
    (output.status.code(), text(&output.stdout).to_owned())
}
fn bless(folder: &Path) {
    let (status, told) = seen(&["regress", "node-failure", "--baselines", "base", "--bless"], folder);
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("recorded"), "{told}");
}
fn edit(folder: &Path, change: impl FnOnce(&mut Value)) {
    let file = folder.join("base/node-failure.json");
    let mut baseline: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut baseline);
    fs::write(&file, serde_json::to_string_pretty(&baseline).unwrap()).unwrap();
}

const CHECK: [&str; 4] = ["regress", "node-failure", "--baselines", "base"];

#[test]
fn a_planted_change_is_caught_with_the_second_and_its_causes() {
    let folder = tempfile::tempdir().unwrap();
    bless(folder.path());
    assert_eq!(seen(&CHECK, folder.path()).0, Some(0));
    let (status, told) = seen(&[&CHECK[..], &["--set", PLANTED]].concat(), folder.path());
    assert_eq!(status, Some(1), "{told}");
    golden("planted.txt", &told);
    // Figures first, then the second, with a chain that leads back to the fault.
    let place = |words: &str| told.find(words).unwrap_or_else(|| panic!("no {words:?} in\n{told}"));
    assert!(place("fault1.detected_after") < place("first difference in second "));
    assert!(place("first difference in second ") < place("because of a fault: power loss of worker-3, at 120.0 s"));
    // Silent since some instant in the ten seconds before the power loss, and given up after 40 s instead of 50.
    let second = second(&told, "first difference in second ");
    assert!((149..=161).contains(&second), "{second}");
}

/// The number after these words.
fn second(told: &str, words: &str) -> u64 {
    let (_, rest) = told.split_once(words).unwrap_or_else(|| panic!("no {words:?} in\n{told}"));
    rest.split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_baseline_is_the_same_whenever_it_is_recorded_and_small() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    bless(one.path());
    bless(two.path());
    for file in ["node-failure.json", "node-failure.facts.zst"] {
        let (first, second) =
            (fs::read(one.path().join("base").join(file)).unwrap(), fs::read(two.path().join("base").join(file)).unwrap());
        assert!(first == second, "{file}");
        assert!(first.len() < 50_000, "{file} has {} bytes", first.len());
    }
}

#[test]
fn tolerances_allow_what_they_say_and_blessing_keeps_them() {
    let folder = tempfile::tempdir().unwrap();
    // Without expectations, some of which the planted change breaks.
    let mut scenario: Value = serde_json::from_str(include_str!("../scenarios/node-failure.json")).unwrap();
    scenario["expectations"] = json!([]);
    fs::write(folder.path().join("mine.json"), scenario.to_string()).unwrap();
    let bless = |folder: &Path| assert_eq!(seen(&["regress", "mine.json", "--baselines", "base", "--bless"], folder).0, Some(0));
    bless(folder.path());
    let planted = ["regress", "mine.json", "--baselines", "base", "--set", PLANTED];
    edit(folder.path(), |baseline| {
        baseline["digest"] = json!("ignore");
        baseline["tolerance"] = json!({ "fault1.*": 10.1, "traffic.*": 40, "counts.*": "10%" });
    });
    let (status, told) = seen(&planted, folder.path());
    assert_eq!(status, Some(0), "{told}");
    // One figure beyond its tolerance is enough.
    edit(folder.path(), |baseline| baseline["tolerance"]["fault1.detected_after"] = json!(9));
    let (status, told) = seen(&planted, folder.path());
    assert_eq!(status, Some(1));
    assert!(told.contains("in 1 figure\n") && told.contains("tolerated"), "{told}");
    let kept = |folder: &Path| -> Value { serde_json::from_slice(&fs::read(folder.join("base/node-failure.json")).unwrap()).unwrap() };
    bless(folder.path());
    let baseline = kept(folder.path());
    assert_eq!(baseline["tolerance"]["fault1.detected_after"], json!(9));
    assert_eq!(baseline["digest"], json!("ignore"));
    assert!(!folder.path().join("base/node-failure.facts.zst").exists(), "facts that are not compared are not kept");
}

#[test]
fn without_its_facts_a_baseline_still_tells_between_which_seconds() {
    let folder = tempfile::tempdir().unwrap();
    bless(folder.path());
    fs::remove_file(folder.path().join("base/node-failure.facts.zst")).unwrap();
    let (status, told) = seen(&[&CHECK[..], &["--set", PLANTED]].concat(), folder.path());
    assert_eq!(status, Some(1));
    let (from, to) = (second(&told, "the first difference lies between "), second(&told, " s and "));
    assert!(to == from + 1 && (149..=161).contains(&from), "{told}");
    assert!(told.contains("worker-3 became Ready=Unknown"), "{told}");
}

#[test]
fn a_missing_baseline_fails_and_says_how_to_record_one() {
    let folder = tempfile::tempdir().unwrap();
    let (status, told) = seen(&CHECK, folder.path());
    assert_eq!(status, Some(1));
    assert!(told.contains("there is no baseline") && told.contains("sim regress node-failure --baselines base --bless"), "{told}");
}

#[test]
fn a_ci_gets_junit_xml() {
    let folder = tempfile::tempdir().unwrap();
    bless(folder.path());
    let fails = [&CHECK[..], &["--set", PLANTED, "--junit", "regress.xml"]].concat();
    assert_eq!(seen(&fails, folder.path()).0, Some(1));
    let xml = fs::read_to_string(folder.path().join("regress.xml")).unwrap();
    for words in ["failures=\"1\"", "<testcase name=\"node-failure\"", "differs from its baseline in", "power loss of worker-3"] {
        assert!(xml.contains(words), "{words}: {xml}");
    }
    assert_eq!(seen(&[&CHECK[..], &["--junit", "regress.xml"]].concat(), folder.path()).0, Some(0));
    assert!(fs::read_to_string(folder.path().join("regress.xml")).unwrap().contains("failures=\"0\""));
}

#[test]
fn what_is_no_baseline_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    bless(folder.path());
    type Edit = fn(&mut Value);
    let wrong: [(Edit, &str); 4] = [
        (|baseline| baseline["format"] = json!(7), "format 7 of baselines is not known"),
        (|baseline| baseline["name"] = json!("other"), "it is the baseline of \"other\""),
        (|baseline| baseline["tolerance"] = json!({ "fault1.*": "much" }), "is no tolerance"),
        (|baseline| baseline["tolerance"] = json!({ "fault9.*": 1 }), "no figure is called so"),
    ];
    let file = folder.path().join("base/node-failure.json");
    let right = fs::read(&file).unwrap();
    for (change, words) in wrong {
        edit(folder.path(), change);
        let output = sim(&CHECK, folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
        fs::write(&file, &right).unwrap();
    }
    for (arguments, words) in [
        (vec!["regress", "nothing-such"], "neither a file nor a shipped scenario"),
        (vec!["regress", "base/empty"], "the folder has no scenarios"),
        (vec!["regress", "node-failure", "node-failure"], "and so would be its baseline"),
        (vec!["regress", "--bless", "--set", "duration=1m"], "cannot be used with"),
    ] {
        fs::create_dir_all(folder.path().join("base/empty")).unwrap();
        let output = sim(&arguments, folder.path());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
}

#[test]
fn two_runs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, more: &[&str]| {
        let output = sim(&[&["run", "node-failure", "--no-plots", "--quiet", "--out", name][..], more].concat(), folder.path());
        assert!(output.status.code().is_some_and(|code| code < 2), "{}", text(&output.stderr));
    };
    run("one", &[]);
    run("two", &["--set", PLANTED]);
    let (status, told) = seen(&["compare", "one", "two", "--out", "both"], folder.path());
    assert_eq!(status, Some(1));
    golden("compared.txt", &told);
    let table = fs::read_to_string(folder.path().join("both/compare.csv")).unwrap();
    assert!(table.starts_with("figure,unit,a,b,difference\nfault1.detected_after,seconds,"), "{table}");
    assert!(fs::read(folder.path().join("both/compare.png")).unwrap().starts_with(b"\x89PNG"));

    // A folder and the scenario that made it, played again.
    let (status, told) = seen(&["compare", "one", "node-failure", "--no-output"], folder.path());
    assert_eq!(status, Some(0), "{told}");
    assert!(told.contains("the same, fact by fact"), "{told}");
    for (arguments, words) in [
        (["compare", "one", "one"], "both runs are the same one"),
        (["compare", "one", "both"], "record.bin.zst: can't be read"),
        (["compare", "one", "nothing-such"], "neither a file nor a shipped scenario"),
    ] {
        let output = sim(&arguments, folder.path());
        assert_eq!(output.status.code(), Some(2));
        assert!(text(&output.stderr).contains(words), "{}", text(&output.stderr));
    }
}

/// The text must be that of the file in tests/regress/; `UPDATE_GOLDENS=1` writes it.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so by the environment")]
fn golden(name: &str, is: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/regress").join(name);
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, is).unwrap();
    }
    let wanted = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(wanted == is, "{}: UPDATE_GOLDENS=1 writes it anew, if this is right:\n{is}", file.display());
}
