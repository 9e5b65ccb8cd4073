//! The house's rules, as programs: the floors of `src/lib.rs`'s map, no dead files, no idle dependencies, a README that tells the truth.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clustersim::scenario;

/// A file longer than this holds two things.
const CODE_LINES_MAX: usize = 600;

/// What the top level may hold beside files and folders that begin with a dot.
const TOP_LEVEL: [&str; 10] =
    ["Cargo.toml", "Cargo.lock", "src", "scenarios", "tests", "output", "README.md", "CHANGELOG.md", "LICENSE", "target"];

/// The libraries that the program is to be built upon.
const GIVEN: [&str; 8] = ["rand", "rand_chacha", "serde", "serde_json", "clap", "indicatif", "plotters", "csv"];

#[test]
fn a_room_uses_only_rooms_on_lower_floors() {
    let floors = floors();
    let mut wrong = Vec::new();
    for file in rust_files() {
        let Some(room) = room_of(&file).filter(|room| room != "lib") else { continue };
        let code = code_without_tests(&file);
        for used in rooms_used(&code) {
            let (from, to) = (floors[&room], *floors.get(&used).unwrap_or_else(|| panic!("{}: no room {used}", file.display())));
            if used != room && to >= from {
                wrong.push(format!("{}: {room} (floor {from}) uses {used} (floor {to})", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_map_in_lib_rs_names_every_room() {
    let code = read("src/lib.rs");
    let declared: BTreeSet<String> = modules(&code).into_iter().collect();
    let mut mapped: BTreeSet<String> = floors().into_keys().collect();
    assert!(mapped.remove("main"), "main.rs has a floor");
    assert_eq!(declared, mapped);
}

#[test]
fn no_source_file_is_dead() {
    let mut reached = BTreeSet::new();
    let mut next: Vec<PathBuf> = vec!["src/lib.rs".into(), "src/main.rs".into()];
    while let Some(file) = next.pop() {
        let folder = match file.file_stem().and_then(|stem| stem.to_str()) {
            Some("mod" | "lib" | "main") => file.parent().expect("a file lies in a folder").to_owned(),
            _ => file.with_extension(""),
        };
        for module in modules(&read(&file)) {
            let flat = folder.join(format!("{module}.rs"));
            next.push(if flat.exists() { flat } else { folder.join(&module).join("mod.rs") });
        }
        assert!(file.exists(), "{} is declared and does not exist", file.display());
        reached.insert(file);
    }
    let dead: Vec<PathBuf> = rust_files().into_iter().filter(|file| !reached.contains(file)).collect();
    assert!(dead.is_empty(), "no `mod` line leads to {dead:?}");
}

#[test]
fn no_file_is_too_long() {
    let mut files = rust_files();
    files.extend(files_below(Path::new("tests")).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")));
    for file in files {
        let lines = read(&file).lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//")).count();
        assert!(lines <= CODE_LINES_MAX, "{} has {lines} lines of code: which two things does it hold?", file.display());
    }
}

#[test]
fn dependencies_are_explained_and_used() {
    let manifest = read("Cargo.toml");
    let source: String = rust_files().iter().map(|file| code_without_tests(file)).collect();
    let tests: String = files_below(Path::new("tests")).iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let dependencies = dependencies(&manifest, "[dependencies]");
    for (name, explained) in &dependencies {
        assert!(explained, "{name} has no comment that says what it is for");
        assert!(uses(&source, name), "nothing in src uses {name}");
    }
    for (name, explained) in self::dependencies(&manifest, "[dev-dependencies]") {
        assert!(explained, "{name} has no comment that says what it is for");
        assert!(uses(&tests, &name), "no test uses {name}");
    }
    for given in GIVEN {
        assert!(dependencies.contains_key(given), "{given} is no direct dependency");
    }
}

#[test]
fn the_top_level_holds_what_it_may() {
    for file in tracked() {
        let top = file.components().next().expect("a path has a first part").as_os_str().to_string_lossy().into_owned();
        assert!(top.starts_with('.') || TOP_LEVEL.contains(&top.as_str()), "{}", file.display());
        assert!(!file.starts_with("target"), "{}", file.display());
        assert!(!file.starts_with("output") || file == Path::new("output/.gitkeep"), "{} is a run's, not the project's", file.display());
    }
    assert!(Path::new("output/.gitkeep").exists());
    assert!(read("LICENSE").contains("Apache License"));
}

#[test]
fn no_file_speaks_of_one_machine_or_of_work_left_over() {
    // Put together here, so that this file holds none of them.
    let banned = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/t", "mp/"),
        concat!("crates", ".io"),
    ];
    let index = concat!("source = \"registry+https://github.com/rust-lang/", "crates", ".io-index\"");
    let mut wrong = Vec::new();
    for file in tracked() {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            let of_the_lock = file.ends_with("Cargo.lock") && line == index;
            if let Some(word) = banned.iter().find(|word| line.contains(**word)).filter(|_| !of_the_lock) {
                wrong.push(format!("{}:{}: {word}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn doors_in_the_bans_of_clippy_toml_are_opened_in_few_places() {
    let door = concat!("clippy::", "disallowed");
    for file in rust_files() {
        let open = file == Path::new("src/base/mod.rs") || file.starts_with("src/cli") || file == Path::new("src/host/real/threads.rs");
        assert!(open || !read(&file).contains(door), "{} opens a door that only base, cli and the real host may", file.display());
    }
}

#[test]
fn the_changelog_knows_the_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));
    assert!(read("CHANGELOG.md").lines().any(|line| line.starts_with(&heading)), "no section {heading}");
}

#[test]
fn every_scenario_file_is_shipped_and_in_the_readme() {
    let shipped: BTreeSet<String> = scenario::shipped().iter().map(|scenario| format!("{}.json", scenario.name)).collect();
    let files: BTreeSet<String> = entries("scenarios").into_iter().filter(|name| name.ends_with(".json")).collect();
    assert_eq!(shipped, files);
    let readme = read("README.md");
    for scenario in scenario::shipped() {
        assert!(readme.contains(&format!("`{}`", scenario.name)), "README.md does not tell of {}", scenario.name);
    }
}

#[test]
fn the_tree_in_the_readme_is_the_real_one() {
    let readme = read("README.md");
    let tree = blocks(&readme).into_iter().find(|block| block.starts_with("src/\n")).expect("README.md has a tree of src/");
    let (mut path, mut listed): (Vec<&str>, BTreeSet<PathBuf>) = (Vec::new(), BTreeSet::new());
    for line in tree.lines() {
        let depth = (line.len() - line.trim_start().len()) / 2;
        let name = line.split_whitespace().next().expect("no empty line in the tree");
        assert!(depth == 0 || line.split_whitespace().count() > 2, "{line:?} says nothing of what is there");
        path.truncate(depth);
        path.push(name.trim_end_matches('/'));
        let file: PathBuf = path.iter().collect();
        assert!(file.exists() && file.is_dir() == name.ends_with('/'), "{} in the tree of README.md", file.display());
        listed.insert(file);
    }
    for name in entries("src") {
        assert!(listed.contains(&Path::new("src").join(&name)), "src/{name} is not in the tree of README.md");
    }
}

#[test]
fn files_that_the_readme_names_exist() {
    for word in read("README.md").split(['`', '(', ')', ' ', '\n']) {
        let path = word.split('#').next().unwrap_or_default();
        if ["src/", "tests/", "scenarios/", ".ci/"].iter().any(|top| path.starts_with(top)) && !path.contains(['*', '<', 'N']) {
            assert!(Path::new(path).exists(), "README.md names {path}");
        }
    }
}

#[test]
fn commands_in_the_readme_exist() {
    let readme = read("README.md");
    let mut seen = 0;
    for line in blocks(&readme).iter().flat_map(|block| block.lines()) {
        let line = line.trim().trim_start_matches("$ ").split(" #").next().unwrap_or_default();
        let run = line.strip_prefix("cargo run --release -- ").or_else(|| line.strip_prefix("sim "));
        let Some(words) = run.map(|run| run.split_whitespace().collect::<Vec<_>>()) else {
            if let Some(test) = line.split_once("cargo test --test ").and_then(|(_, rest)| rest.split_whitespace().next()) {
                assert!(Path::new("tests").join(format!("{test}.rs")).exists(), "{line}");
            }
            continue;
        };
        let verb = words[0];
        let help = Command::new(env!("CARGO_BIN_EXE_sim")).args([verb, "--help"]).output().expect("sim starts");
        assert!(help.status.success(), "{line}: sim has no {verb}");
        let help = String::from_utf8_lossy(&help.stdout);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            assert!(help.contains(flag), "{line}: sim {verb} has no {flag}");
        }
        seen += 1;
    }
    assert!(seen >= 5, "{seen} commands");
}

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &str) -> BTreeSet<String> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for name in entries(folder.to_str().expect("a name in UTF-8")) {
        let path = folder.join(name);
        // What the fuzzer's own package builds and finds.
        if path.starts_with("tests/fuzz") && ["target", "corpus", "artifacts"].iter().any(|made| path.ends_with(made)) {
            continue;
        }
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

fn rust_files() -> Vec<PathBuf> {
    files_below(Path::new("src")).into_iter().filter(|file| file.extension().is_some_and(|kind| kind == "rs")).collect()
}

/// What git keeps. Without git (a source archive): what lies here but builds and runs.
fn tracked() -> Vec<PathBuf> {
    let files: Vec<PathBuf> = match Command::new("git").args(["ls-files", "-z"]).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect()
        }
        _ => {
            let kept = |name: &String| !name.starts_with('.') && !["target", "output"].contains(&name.as_str());
            let below = |name: String| if Path::new(&name).is_dir() { files_below(Path::new(&name)) } else { vec![name.into()] };
            entries(".").into_iter().filter(kept).flat_map(below).collect()
        }
    };
    files.into_iter().filter(|file| file.exists()).collect()
}

/// The rooms of `src/lib.rs`'s table, each with its floor.
fn floors() -> BTreeMap<String, u32> {
    let mut floors = BTreeMap::new();
    for line in read("src/lib.rs").lines() {
        let cells: Vec<&str> = line.trim_start_matches("//!").split('|').map(str::trim).collect();
        let Some(floor) = cells.get(1).and_then(|cell| cell.parse().ok()) else { continue };
        for room in cells[2].split(", ") {
            floors.insert(room.trim_matches(['[', ']', '`']).trim_end_matches(".rs").to_owned(), floor);
        }
    }
    assert!(floors.len() > 10, "{floors:?}");
    floors
}

fn room_of(file: &Path) -> Option<String> {
    let part = file.components().nth(1)?.as_os_str().to_str()?;
    Some(part.trim_end_matches(".rs").to_owned())
}

/// The code of a file, without comments and test modules; nothing for a file that is a test module.
fn code_without_tests(file: &Path) -> String {
    let declared_for_tests = |parent: PathBuf, name: &str| {
        fs::read_to_string(parent).is_ok_and(|code| {
            let lines: Vec<&str> = code.lines().map(str::trim).collect();
            lines.windows(2).any(|two| two[0] == "#[cfg(test)]" && two[1].ends_with(&format!("mod {name};")))
        })
    };
    let folder = file.parent().expect("a file lies in a folder");
    let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name in UTF-8");
    if [folder.join("mod.rs"), folder.with_extension("rs")].into_iter().any(|parent| declared_for_tests(parent, name)) {
        return String::new();
    }
    let (mut kept, mut in_tests, mut next_is_test) = (String::new(), false, false);
    for line in read(file).lines() {
        if in_tests {
            in_tests = line != "}";
        } else if next_is_test && line.starts_with("mod ") && line.ends_with('{') {
            in_tests = true;
        } else if !line.trim_start().starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        next_is_test = line == "#[cfg(test)]";
    }
    kept
}

/// The rooms that a file names: `crate::room::...`, `use crate::{room, other::Type}`.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if code[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let Some(group) = rest.strip_prefix('{') else {
            rooms.insert(first_name(rest));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (place, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' | ',' if depth == 0 => {
                    rooms.insert(first_name(group[start..place].trim()));
                    start = place + 1;
                    if letter == '}' {
                        break;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    rooms.remove("");
    rooms
}

fn first_name(path: &str) -> String {
    path.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}

/// The names of `mod name;` lines.
fn modules(code: &str) -> Vec<String> {
    let name = |line: &str| {
        let line = line.strip_suffix(';')?;
        let (before, name) = line.rsplit_once("mod ")?;
        (before.is_empty() || before.starts_with("pub")).then(|| name.to_owned())
    };
    assert!(!code.contains("#[path"), "a module lies where its name says");
    code.lines().map(str::trim).filter_map(name).collect()
}

/// The dependencies of a section of Cargo.toml; whether a comment stands above each, or above the group that it is of.
fn dependencies(manifest: &str, section: &str) -> BTreeMap<String, bool> {
    let (mut found, mut inside, mut explained) = (BTreeMap::new(), false, false);
    for line in manifest.lines() {
        match line {
            _ if line.starts_with('[') => (inside, explained) = (line == section, false),
            "" => explained = false,
            _ if line.starts_with('#') => explained = true,
            _ if inside => {
                let name = line.split([' ', '=', '.']).next().expect("a name");
                found.insert(name.to_owned(), explained);
            }
            _ => {}
        }
    }
    found
}

fn uses(code: &str, dependency: &str) -> bool {
    let name = dependency.replace('-', "_");
    code.match_indices(&name).any(|(at, _)| {
        let before = code[..at].chars().next_back().unwrap_or(' ');
        let after = &code[at + name.len()..];
        !before.is_alphanumeric() && before != '_' && (after.starts_with("::") || after.starts_with(';'))
    })
}

/// The code blocks of a Markdown text.
fn blocks(text: &str) -> Vec<&str> {
    let inside = text.split("```").skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').map_or("", |(_, code)| code)).collect()
}
