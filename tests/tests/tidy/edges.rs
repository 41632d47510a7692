//! Who may depend on whom? The directions in which knowledge may flow, as one table.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// A dependency that a crate declares.
#[derive(Debug, Clone)]
pub(crate) struct Dependency {
    /// The package.
    pub(crate) from: String,
    /// What it depends on.
    pub(crate) on: String,
    /// Only for its tests.
    pub(crate) for_tests: bool,
}

/// What a crate of ours may use of ours.
struct Edges {
    package: &'static str,
    uses: &'static [&'static str],
    tests_use: &'static [&'static str],
    why: &'static str,
}

const STORE_WHY: &str = "a store knows the engine's contract and its own database, nothing else";

const EDGES: &[Edges] = &[
    Edges {
        package: "keystep",
        uses: &[],
        // Itself, with the feature that its tests try.
        tests_use: &["keystep"],
        why: "the engine is the centre: it knows no store and no front door, and no test kit but its \
              own, which is behind the feature `testing`",
    },
    Edges {
        package: "store-conformance",
        uses: &["keystep"],
        tests_use: &[],
        why: "the suite says what every store must do, so it can not know one of them",
    },
    Edges {
        package: "keystep-postgres",
        uses: &["keystep"],
        tests_use: &["store-conformance", "xtask"],
        why: STORE_WHY,
    },
    Edges {
        package: "keystep-sqlite",
        uses: &["keystep"],
        tests_use: &["store-conformance", "xtask"],
        why: STORE_WHY,
    },
    Edges {
        package: "keystep-http",
        uses: &["keystep"],
        // Itself, with its feature for axum; its tests want executions that outlive an engine.
        tests_use: &["keystep-http", "keystep-sqlite"],
        why: "a front door knows the engine that it opens to, and no store behind it",
    },
    Edges {
        package: "order-example",
        uses: &["keystep", "keystep-http", "keystep-postgres", "keystep-sqlite"],
        // Itself, with the doors for tests.
        tests_use: &["order-example", "xtask"],
        why: "the example is put together from what a user has: the engine, the stores and the front door",
    },
    Edges {
        package: "bench",
        uses: &[
            "keystep",
            "keystep-postgres",
            "keystep-sqlite",
            "store-conformance",
            "system-tests",
            "xtask",
        ],
        tests_use: &[],
        why: "what is measured is the engine on its stores, and no story of the example's",
    },
    Edges {
        package: "system-tests",
        uses: &[
            "keystep",
            "keystep-postgres",
            "keystep-sqlite",
            "order-example",
            "store-conformance",
            "xtask",
        ],
        tests_use: &[],
        why: "",
    },
    Edges {
        package: "xtask",
        uses: &[],
        tests_use: &[],
        why: "the commands must build and run also when the project does not",
    },
];

/// What the engine must not pull in, by the first letters of the name.
const FOREIGN: [&str; 8] = [
    "sqlx",
    "axum",
    "http",
    "hyper",
    "reqwest",
    "tower",
    "libsqlite3",
    "postgres",
];

/// All dependencies that the crates of the workspace declare.
pub(crate) fn dependencies() -> Vec<Dependency> {
    let packages = metadata();
    let declared = packages.iter().flat_map(|package| {
        let list = package["dependencies"].as_array();
        list.into_iter().flatten().map(|dependency| Dependency {
            from: text(&package["name"]),
            on: text(&dependency["name"]),
            for_tests: dependency["kind"] == "dev",
        })
    });
    declared.collect()
}

/// The manifests of the workspace's crates, as paths from the root.
pub(crate) fn manifests() -> Vec<String> {
    let root = format!("{}/", xtask::run::root().display());
    metadata()
        .iter()
        .map(|package| text(&package["manifest_path"]).replace(&root, ""))
        .collect()
}

/// The packages of the workspace, as cargo describes them.
pub(crate) fn metadata() -> Vec<Value> {
    let output: std::process::Output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(xtask::run::root())
        .output()
        .expect("cargo");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

/// Edges between our crates that the table does not allow.
pub(crate) fn breaches(dependencies: &[Dependency]) -> Vec<String> {
    let ours = |name: &str| EDGES.iter().find(|edges| edges.package == name);
    let mut found = Vec::new();
    for Dependency { from, on, for_tests } in dependencies {
        match (ours(from), ours(on)) {
            (None, _) => found.push(format!("{from}: say in {} what it may use", file!())),
            (Some(edges), Some(_)) => {
                let on = on.as_str();
                let allowed = edges.uses.contains(&on) || (*for_tests && edges.tests_use.contains(&on));
                if !allowed {
                    found.push(format!("{from} must not use {on}\n  {}", edges.why));
                }
            }
            (Some(_), None) => {}
        }
    }
    found.sort();
    found.dedup();
    found
}

/// What the engine pulls in, directly or through others, although it must not.
pub(crate) fn pulled_in(dependencies: &[Dependency], lock: &str) -> Vec<String> {
    let locked = locked(lock);
    let direct = dependencies
        .iter()
        .filter(|dependency| dependency.from == "keystep" && !dependency.for_tests);
    let mut open: Vec<(&str, String)> = direct
        .map(|dependency| (dependency.on.as_str(), String::from("keystep")))
        .collect();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    while let Some((name, way)) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        let way = format!("{way} -> {name}");
        if FOREIGN.iter().any(|foreign| name.starts_with(foreign)) {
            found.push(format!(
                "{way}\n  whoever brings a store or a front door brings its crates; the engine is \
                 lean without them"
            ));
        }
        let next = locked.get(name).into_iter().flatten();
        open.extend(next.map(|next| (*next, way.clone())));
    }
    found
}

/// The dependencies of each package in a `Cargo.lock`, versions of one name taken together.
fn locked(lock: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut packages: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut current = "";
    for line in lock.lines() {
        if let Some(name) = line.strip_prefix("name = ") {
            current = name.trim_matches('"');
            packages.entry(current).or_default();
        } else if let Some(entry) = line.strip_prefix(" \"") {
            let name = entry.split([' ', '"']).next().unwrap_or_default();
            packages.entry(current).or_default().push(name);
        }
    }
    packages
}

/// Crates that do not take part in the shared lints, which forbid unsafe code.
pub(crate) fn lint_breaches(workspace: &str, manifests: &[(&str, String)]) -> Vec<String> {
    let mut found = Vec::new();
    if !workspace.contains("\nunsafe_code = \"forbid\"\n") {
        found.push(String::from(
            "Cargo.toml: [workspace.lints.rust] must say unsafe_code = \"forbid\"",
        ));
    }
    for (path, manifest) in manifests {
        if !manifest.contains("\n[lints]\nworkspace = true\n") {
            found.push(format!(
                "{path}: add\n[lints]\nworkspace = true\n  one table of lints for every crate; it \
                 also forbids unsafe code"
            ));
        }
    }
    found
}

#[cfg(test)]
fn edge(from: &str, on: &str, for_tests: bool) -> Dependency {
    Dependency {
        from: from.to_owned(),
        on: on.to_owned(),
        for_tests,
    }
}

#[test]
fn planted_edges_are_seen() {
    let forbidden = [
        ("keystep", "store-conformance", true),
        ("keystep", "keystep-sqlite", false),
        ("store-conformance", "keystep-postgres", true),
        ("keystep", "keystep-http", false),
        ("keystep-http", "keystep-sqlite", false),
        ("keystep-postgres", "keystep-sqlite", true),
        ("keystep-sqlite", "store-conformance", false),
        ("xtask", "keystep", false),
        ("bench", "order-example", false),
        ("system-tests", "bench", true),
        ("a-new-crate", "serde", false),
    ];
    for (from, on, for_tests) in forbidden {
        let found = breaches(&[edge(from, on, for_tests)]);
        assert_eq!(found.len(), 1, "{from} -> {on}: {found:?}");
    }
    let allowed = [
        edge("keystep-sqlite", "store-conformance", true),
        edge("order-example", "keystep-postgres", false),
        edge("keystep", "tokio", false),
    ];
    assert_eq!(breaches(&allowed), Vec::<String>::new());
}

#[test]
fn the_engine_has_its_test_kit_only_behind_its_feature() {
    let manifest = crate::files::read("crates/engine/Cargo.toml");
    let features: Vec<&str> = manifest
        .lines()
        .skip_while(|line| *line != "[features]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(
        features,
        ["planted = []", "testing = []"],
        "no default has one, and none brings a crate"
    );
    let rooms = crate::files::read("crates/engine/src/lib.rs");
    assert!(rooms.contains("#[cfg(feature = \"testing\")]\npub mod testing;"));
}

#[test]
fn only_one_program_the_tests_and_the_bench_name_both_stores() {
    let both = |edges: &&Edges| {
        let uses = |name| edges.uses.contains(&name) || edges.tests_use.contains(&name);
        uses("keystep-postgres") && uses("keystep-sqlite")
    };
    let names: Vec<&str> = EDGES.iter().filter(both).map(|edges| edges.package).collect();
    assert_eq!(names, ["order-example", "bench", "system-tests"]);
}

#[test]
fn a_planted_database_is_seen_behind_another_crate() {
    let lock = "[[package]]\nname = \"cache\"\nversion = \"1.0.0\"\ndependencies = [\n \"sqlx-core \
                0.9.0\",\n]\n\n[[package]]\nname = \"sqlx-core\"\n";
    let found = pulled_in(&[edge("keystep", "cache", false)], lock);
    assert_eq!(found.len(), 1);
    assert!(
        found[0].starts_with("keystep -> cache -> sqlx-core"),
        "{}",
        found[0]
    );
    assert!(pulled_in(&[edge("keystep", "cache", true)], lock).is_empty());
}

#[test]
fn a_crate_without_the_shared_lints_is_seen() {
    let good = "[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n";
    let root = "[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
    let none = lint_breaches(root, &[("a/Cargo.toml", good.into())]);
    assert_eq!(none, Vec::<String>::new());
    assert_eq!(lint_breaches("", &[("a/Cargo.toml", String::new())]).len(), 2);
}
