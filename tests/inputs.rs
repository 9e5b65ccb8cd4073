//! Whatever a file holds, it gives a run or errors that point: `tests/inputs/NAME` is a bad scenario, `NAME.expected` its errors
//! (rewritten with UPDATE_GOLDENS=1). And no bytes at all make the parsers panic.

use std::path::Path;

use clustersim::manifest::{self, Syntax};
use clustersim::scenario::{self, Source};
use proptest::prelude::*;

#[expect(clippy::disallowed_methods, reason = "a variable tells a test to rewrite what it expects")]
fn golden(path: &Path, actual: &str) -> Result<(), String> {
    if std::env::var_os("UPDATE_GOLDENS").is_some() {
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    if expected == actual { Ok(()) } else { Err(format!("{}\nexpected:\n{expected}\nfound:\n{actual}", path.display())) }
}

#[test]
fn each_bad_input_gives_the_expected_errors() {
    let folder = Path::new("tests/inputs");
    let mut names: Vec<String> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".json") || name.ends_with(".yaml"));
    names.sort();
    assert!(names.len() >= 40, "{} inputs", names.len());
    let mut wrong = Vec::new();
    for name in &names {
        let text = std::fs::read(folder.join(name)).unwrap();
        // The file's name alone: errors don't depend on where the tests run.
        let source = Source { file: name.clone(), text, folder: Some(folder.to_owned()) };
        let found = match scenario::load(&source, &[]) {
            Ok(_) => "no error\n".to_owned(),
            Err(errors) => errors.iter().map(|error| format!("{error}\n")).collect(),
        };
        assert_ne!(found, "", "{name}: a refusal says why");
        if let Err(difference) = golden(&folder.join(format!("{name}.expected")), &found) {
            wrong.push(difference);
        }
        assert_ne!(found, "no error\n", "{name} is accepted");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_file_that_the_command_line_names_is_looked_for_where_the_command_is() {
    let file = "bad-profile.json";
    let folder = Path::new("tests/inputs");
    let source = Source { file: file.to_owned(), text: std::fs::read(folder.join(file)).unwrap(), folder: Some(folder.to_owned()) };
    let refusal = |set: &str| scenario::load(&source, &[set.to_owned()]).unwrap_err()[0].to_string();
    assert!(refusal("profile=tests/inputs/bad-name.json").contains("not a profile"));
    assert!(refusal("profile=bad-name.json").contains("bad-name.json cannot be read"));
}

#[test]
fn what_is_not_modelled_is_told_with_its_path() {
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  \
                    volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {name: c}}]\n  \
                    containers:\n  - name: c\n    image: i\n    env: []\n    resources: {requests: {cpu: 2}}\n";
    let mut errors = manifest::Errors::default();
    let mut warnings = Vec::new();
    let mut count = 0;
    for document in manifest::parse("web.yaml", manifest.as_bytes(), Syntax::Yaml).unwrap() {
        let read = manifest::objects("web.yaml", &document, &manifest::Path::default(), &mut errors);
        warnings.extend(read.warnings.iter().map(ToString::to_string));
        count += read.objects.len();
    }
    assert_eq!((count, errors.into_vec()), (1, vec![]));
    assert_eq!(
        warnings,
        [
            "web.yaml:2:7: kind: kind not modelled; ignored: ConfigMap",
            "web.yaml:9:59: spec.volumes[1].configMap: not modelled",
            "web.yaml:13:10: spec.containers[0].env: not modelled",
        ]
    );
}

#[test]
fn what_no_component_reads_is_told_though_its_field_is_known() {
    let manifest = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "high"}, "value": 1000,
         "preemptionPolicy": "PreemptLowerPriority"},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {
            "hostNetwork": true, "priorityClassName": "high", "containers": [{"name": "c", "image": "i"}],
            "affinity": {
                "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm":
                    {"topologyKey": "zone", "labelSelector": {}, "matchLabelKeys": ["a"]}}]},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "zone", "labelSelector": {}, "mismatchLabelKeys": ["b"]}]}}}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "patient"}, "spec": {
            "hostNetwork": false, "priorityClassName": "high", "preemptionPolicy": "Never",
            "containers": [{"name": "c", "image": "i"}]}}]}"#;
    let mut errors = manifest::Errors::default();
    let document = manifest::parse("list.json", manifest.as_bytes(), Syntax::Json).unwrap().remove(0);
    let read = manifest::objects("list.json", &document, &manifest::Path::default(), &mut errors);
    assert_eq!((read.objects.len(), errors.into_vec()), (3, vec![]));
    let paths: Vec<&str> = read.warnings.iter().map(|warning| warning.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "items[1].spec.hostNetwork",
            "items[1].spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.matchLabelKeys",
            "items[1].spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].mismatchLabelKeys",
        ]
    );
}

/// Pieces that parsers trip over, and a sound scenario to put them into.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let base = scenario::find("node-failure").unwrap().text;
    let pieces = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        "\"",
        ",",
        ":",
        "\\",
        "null",
        "-1",
        "1e9",
        "\u{1F980}",
        "\n",
        "&a",
        "*a",
        "? ",
        "- ",
    ]);
    (prop::collection::vec((any::<prop::sample::Index>(), pieces, any::<bool>()), 1..6)).prop_map(move |edits| {
        let mut text = base.clone();
        for (at, piece, replace) in edits {
            let at = at.index(text.len());
            let end = if replace { (at + piece.len()).min(text.len()) } else { at };
            text.splice(at..end, piece.bytes());
        }
        text
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for syntax in [Syntax::Json, Syntax::Yaml] {
            let _ = manifest::parse("x", &bytes, syntax);
        }
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "[ \\n\\t\\-?:,\\[\\]{}#&*!|>'\"%@`a1.~]{0,60}") {
        let _ = manifest::parse("x", text.as_bytes(), Syntax::Yaml);
        let _ = manifest::parse("x", text.as_bytes(), Syntax::Json);
    }

    #[test]
    fn a_broken_scenario_gives_a_plan_or_errors(text in mutated()) {
        for file in ["x.json", "x.yaml"] {
            let source = Source { file: file.to_owned(), text: text.clone(), folder: None };
            if let Err(errors) = scenario::load(&source, &[]) {
                prop_assert!(!errors.is_empty());
            }
        }
    }

    #[test]
    fn a_tree_survives_its_own_text(number in any::<i64>(), text in any::<String>(), flag in any::<bool>()) {
        let json = serde_json::json!({ "a": [number, text, { "b": flag, "c": null }], text.clone(): {} });
        let node = manifest::Node::from_json(&json);
        let again = manifest::parse("x.json", node.to_json_text().as_bytes(), Syntax::Json).unwrap();
        prop_assert_eq!(again[0].to_json(), json);
    }
}
