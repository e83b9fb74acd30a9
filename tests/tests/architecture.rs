//! The house keeps its plan: which room may depend on which, what the rooms are called, and that no file outgrows one
//! idea.

use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What each crate may depend on; `ARCHITECTURE.md` says why. Everything may use `testkit` in its tests.
const PLAN: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("config", &["model"]),
    ("scope", &["model"]),
    ("wire", &["model", "scope"]),
    ("identify", &["model"]),
    ("probe", &["model", "config", "scope", "wire", "identify"]),
    ("inventory", &["model"]),
    ("vulnerability", &["model"]),
    ("rules", &["model", "config"]),
    ("notifiers", &["model", "config"]),
    ("monitor", &["model", "config", "scope", "probe", "identify", "inventory", "vulnerability", "rules", "notifiers"]),
    ("store", &["model", "monitor", "inventory", "vulnerability", "rules", "notifiers"]),
    ("console", &["model", "store", "rules", "notifiers", "vulnerability"]),
    ("fleet", &["model", "scope"]),
];

/// May depend on everything; nothing depends on them but tests on `testkit`.
const ON_TOP: [&str; 3] = ["perimeterd", "testkit", "tests"];

const LONGEST_FILE: usize = 600;

/// The one place for code that the compiler cannot check.
const UNSAFE_CRATE: &str = "wire";
const UNSAFE_FOLDER: &str = "crates/wire/src/sys";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the workspace").to_owned()
}

/// The workspace's packages, by name.
fn packages() -> BTreeMap<String, Value> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let metadata = testkit::output_of(
        Command::new(cargo).args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root()),
    );
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    packages.map(|package| (text(&package["name"]).to_owned(), package.clone())).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

/// What is wrong with a dependency of one crate of the house on another.
fn complaint(from: &str, to: &str, for_tests: bool) -> Option<String> {
    if to == "testkit" && (for_tests || from == "tests") {
        return None;
    }
    if ON_TOP.contains(&to) {
        return Some(format!("{from} may not depend on {to}"));
    }
    if ON_TOP.contains(&from) {
        return None;
    }
    let Some((_, allowed)) = PLAN.iter().find(|(name, _)| *name == from) else {
        return Some(format!("{from} is a room the plan does not know"));
    };
    // A test may speak to what its room's rooms stand on: to fill a store, say.
    let fits = if for_tests { stands_on(from).contains(to) } else { allowed.contains(&to) };
    (!fits).then(|| format!("{from} may not depend on {to}, only on {}", allowed.join(", ")))
}

/// Everything a room may depend on, directly or through others.
fn stands_on(room: &str) -> BTreeSet<&'static str> {
    let direct = PLAN.iter().find(|(name, _)| *name == room).map_or(&[][..], |(_, needs)| needs);
    direct.iter().flat_map(|need| stands_on(need).into_iter().chain([*need])).collect()
}

#[test]
fn rooms_depend_only_on_what_the_plan_allows() {
    let packages = packages();
    let mut complaints = Vec::new();
    for (from, package) in &packages {
        if !ON_TOP.contains(&from.as_str()) && !PLAN.iter().any(|(name, _)| name == from) {
            complaints.push(format!("{from} is a room the plan does not know"));
        }
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let to = text(&dependency["name"]);
            if packages.contains_key(to) && dependency["path"].is_string() {
                complaints.extend(complaint(from, to, dependency["kind"] == "dev"));
            }
        }
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn the_plan_itself_is_sound() {
    for (from, to, for_tests, allowed) in [
        ("store", "monitor", false, true),
        ("monitor", "store", false, false),
        ("inventory", "config", false, false),
        ("inventory", "testkit", true, true),
        ("inventory", "testkit", false, false),
        ("console", "perimeterd", false, false),
        ("console", "perimeterd", true, false),
        ("console", "monitor", false, false),
        ("console", "monitor", true, true),
        ("monitor", "store", true, false),
        ("perimeterd", "console", false, true),
        ("tests", "testkit", true, true),
        ("attic", "model", false, false),
    ] {
        assert_eq!(complaint(from, to, for_tests).is_none(), allowed, "{from} -> {to}");
    }
    // Every room may use only rooms that stand before it, whatever order they are read in: no cycles.
    let mut placed: Vec<&str> = Vec::new();
    while placed.len() < PLAN.len() {
        let next =
            PLAN.iter().find(|(name, needs)| !placed.contains(name) && needs.iter().all(|need| placed.contains(need)));
        placed.push(next.unwrap_or_else(|| panic!("a cycle behind {placed:?}")).0);
    }
}

#[test]
fn folders_are_called_like_their_crates_and_take_the_houses_lints() {
    for (name, package) in packages() {
        let manifest = PathBuf::from(text(&package["manifest_path"]));
        let folder = manifest.parent().expect("a manifest lies in a folder");
        let expected = if name == "tests" { root().join("tests") } else { root().join("crates").join(&name) };
        assert_eq!(folder, expected, "{name} lives elsewhere");
        let content = fs::read_to_string(&manifest).expect("a manifest can be read");
        if name == UNSAFE_CRATE {
            assert_eq!(lints(&content, "lints"), houses_lints_but_for_unsafe_code(), "{name} takes lints of its own");
            continue;
        }
        let mut lines = content.lines().map(str::trim);
        let lints = lines.by_ref().any(|line| line == "[lints]") && lines.next() == Some("workspace = true");
        assert!(lints, "{name} does not take the house's lints: `[lints]` with `workspace = true`");
    }
}

/// A manifest's table of lints.
fn lints(manifest: &str, table: &str) -> toml::Table {
    let mut found: toml::Table = manifest.parse().expect("a manifest is TOML");
    for name in table.split('.') {
        found = found.remove(name).and_then(|value| value.try_into().ok()).unwrap_or_else(|| panic!("no {table}"));
    }
    found
}

/// What is forbidden cannot be allowed for one module, so the one crate that needs it repeats the house's lints.
fn houses_lints_but_for_unsafe_code() -> toml::Table {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("a manifest can be read");
    let mut lints = lints(&manifest, "workspace.lints");
    let rust = lints["rust"].as_table_mut().expect("lints of rustc");
    let before = rust.insert("unsafe_code".to_owned(), "deny".into());
    assert_eq!(before, Some("forbid".into()), "nobody else may have unsafe code");
    lints
}

/// Whether a line holds the word, in code or in an attribute.
fn says_unsafe(line: &str) -> bool {
    let mut words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
    words.any(|word| word == "unsafe" || word == "unsafe_code")
}

#[test]
fn unsafe_code_is_where_it_belongs_and_says_why() {
    assert!(says_unsafe("    unsafe { f() }") && says_unsafe("#[allow(unsafe_code)]") && !says_unsafe("unsafely(x)"));
    let (folder, this) = (root().join(UNSAFE_FOLDER), root().join("tests/tests/architecture.rs"));
    let (mut complaints, mut blocks) = (Vec::new(), 0);
    let mut see = |path: &Path| {
        let content = fs::read_to_string(path).expect("a source file can be read");
        let lines: Vec<&str> = content.lines().collect();
        let code = |line: &str| !line.trim_start().starts_with("//") && says_unsafe(line);
        for (number, line) in lines.iter().enumerate().filter(|(_, line)| code(line)) {
            let place = format!("{}:{}", path.display(), number + 1);
            // The module is let in by name, and its reason stands there.
            let door =
                line.starts_with("#[expect(unsafe_code, reason = ") && lines.get(number + 1) == Some(&"mod sys;");
            if !path.starts_with(&folder) && !door {
                complaints.push(format!("{place}: unsafe code belongs into {UNSAFE_FOLDER}"));
            } else if !door {
                blocks += 1;
                if !lines[number.saturating_sub(8)..number].iter().any(|line| line.contains("// SAFETY: ")) {
                    complaints.push(format!("{place}: no word of why this is safe"));
                }
            }
        }
    };
    for part in ["crates", "tests"] {
        every_file(&root().join(part), &mut |path| {
            if path != this {
                see(path);
            }
        });
    }
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    assert!((1..=20).contains(&blocks), "{blocks} pieces of unsafe code: is it still small?");
}

#[test]
fn no_file_outgrows_one_idea() {
    let mut too_long = Vec::new();
    for part in ["crates", "tests"] {
        visit(&root().join(part), &mut |path| {
            let lines = fs::read_to_string(path).expect("a source file can be read").lines().count();
            if lines > LONGEST_FILE {
                too_long.push(format!("{} has {lines} lines, {LONGEST_FILE} are the most", path.display()));
            }
        });
    }
    assert!(too_long.is_empty(), "{}", too_long.join("\n"));
}

/// Every source file, tests and all.
fn every_file(dir: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                every_file(&path, see);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            see(&path);
        }
    }
}

/// Every source file that is not a test's.
fn visit(dir: &Path, see: &mut impl FnMut(&Path)) {
    for entry in fs::read_dir(dir).expect("a folder can be read") {
        let path = entry.expect("a folder can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "tests" && name != "target" {
                visit(&path, see);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "tests.rs" {
            see(&path);
        }
    }
}
