//! Are the bugs that can be planted only where they belong? In test builds; each with the test that
//! finds it.

use serde_json::Value;
use xtask::mutants::{MUTANTS, UNITS, VARIABLE};

use crate::files::File;
use crate::source;

/// The feature that brings the bugs.
const FEATURE: &str = "planted";

/// Where the bugs are listed.
pub(crate) const LIST: &str = "crates/engine/src/bugs.rs";

/// What a source says when it talks of the bugs.
const WORDS: [&str; 3] = ["bugs", "Bug", "is_planted"];

/// Code that talks of the bugs without standing under the feature.
pub(crate) fn mentions(path: &str, text: &str) -> Vec<String> {
    let product = path.starts_with("crates/") && path.contains("/src/") && path.ends_with(".rs");
    if !product || path.ends_with("/src/bugs.rs") {
        return Vec::new();
    }
    let code = source::without_feature(text, FEATURE);
    let words = code.split(|char: char| !char.is_alphanumeric() && char != '_');
    let found = words.filter(|word| WORDS.contains(word));
    found
        .map(|word| format!("{path}: `{word}` must stand under #[cfg(feature = \"{FEATURE}\")]"))
        .collect()
}

/// Packages that have the bugs although nobody asked for them.
pub(crate) fn switched_on(packages: &[Value]) -> Vec<String> {
    let lists = |list: &Value, feature: &str| {
        let list = list.as_array().into_iter().flatten();
        let mut names = list.filter_map(Value::as_str);
        names.any(|name| name == feature || name.ends_with(&format!("/{feature}")))
    };
    let mut found = Vec::new();
    for package in packages {
        let name = &package["name"];
        for (feature, brings) in package["features"].as_object().into_iter().flatten() {
            if feature != FEATURE && lists(brings, FEATURE) {
                found.push(format!("{name}: the feature {feature} brings {FEATURE}"));
            }
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if lists(&dependency["features"], FEATURE) {
                let on = &dependency["name"];
                found.push(format!("{name}: its dependency {on} has the feature {FEATURE}"));
            }
        }
    }
    found
}

/// The programs of the workspace, but for the one that plants the bugs.
pub(crate) fn programs(packages: &[Value]) -> Vec<String> {
    let packages = packages.iter().filter(|package| package["name"] != "xtask");
    let targets = packages.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let programs = targets.filter(|target| target["kind"][0] == "bin");
    programs
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// The names of all bugs, as their list has them.
fn listed(list: &str) -> Vec<String> {
    let literals = source::parse(list).literals.into_iter();
    let name = |text: &String| {
        text.contains('-') && text.chars().all(|char| char.is_ascii_lowercase() || char == '-')
    };
    literals.map(|literal| literal.text).filter(name).collect()
}

/// Bugs without a test, and rows of the table without a bug.
pub(crate) fn unmatched(list: &str) -> Vec<String> {
    let (bugs, rows) = (listed(list), MUTANTS.iter().map(|mutant| mutant.bug));
    let mut rows: Vec<&str> = rows.collect();
    let mut bugs: Vec<&str> = bugs.iter().map(String::as_str).collect();
    bugs.sort_unstable();
    rows.sort_unstable();
    if bugs == rows && list.contains(&format!("\"{VARIABLE}\"")) {
        return Vec::new();
    }
    vec![format!(
        "{LIST} has {bugs:?},\nxtask/src/mutants/table.rs has {rows:?}; the variable is {VARIABLE}"
    )]
}

/// Tests of the table that no source has.
pub(crate) fn missing_tests(files: &[File]) -> Vec<String> {
    let tests = MUTANTS.iter().flat_map(|mutant| mutant.tests);
    tests
        .filter(|test| {
            let function = format!("fn {}", test.name.rsplit("::").next().unwrap_or_default());
            let inside = match test.target {
                UNITS => format!("{}/src/", test.package),
                target => format!("{}/tests/{target}", test.package),
            };
            // A promise of every store is written once.
            let places = [inside.as_str(), "crates/store-conformance/src/"];
            !files.iter().any(|file| {
                places.iter().any(|place| file.path.starts_with(place))
                    && file
                        .text
                        .split(&function)
                        .skip(1)
                        .any(|after| after.starts_with(['(', '<']))
            })
        })
        .map(|test| format!("{} has no test {} in {}", test.package, test.name, test.target))
        .collect()
}

#[test]
fn a_mention_outside_the_feature_is_seen() {
    let path = "crates/engine/src/a.rs";
    let good = "//! On bugs.\n#[cfg(feature = \"planted\")]\nuse crate::bugs::{self, Bug};\nfn a() {\n    \
                #[cfg(feature = \"planted\")]\n    if bugs::is_planted(Bug::A) {\n        return;\n    }\n}\n";
    assert_eq!(mentions(path, good), Vec::<String>::new());
    for bad in [
        "pub mod bugs;",
        "#[cfg(feature = \"testing\")]\nmod bugs;",
        "// #[cfg(feature = \"planted\")]\nmod bugs;",
        "#[cfg(feature = \"planted\")]\nmod a;\nfn a() { is_planted(); }",
        "#[cfg(feature = \"planted\")]\nif a { b }\nlet c: Bug;",
    ] {
        assert_eq!(mentions(path, bad).len(), 1, "{bad}");
    }
}

#[test]
fn a_package_that_brings_the_bugs_unasked_is_seen() {
    let package = |features: Value, dependencies: Value| {
        vec![serde_json::json!({"name": "a", "features": features, "dependencies": dependencies})]
    };
    let asked = serde_json::json!({"planted": ["b/planted"], "default": []});
    assert_eq!(switched_on(&package(asked, Value::Null)), Vec::<String>::new());
    for brings in ["planted", "b/planted"] {
        let default = serde_json::json!({"default": [brings]});
        assert_eq!(switched_on(&package(default, Value::Null)).len(), 1, "{brings}");
    }
    let dependency = serde_json::json!([{"name": "b", "features": ["planted"]}]);
    assert_eq!(switched_on(&package(Value::Null, dependency)).len(), 1);
}

#[test]
fn a_bug_without_a_test_is_seen() {
    assert_eq!(unmatched("bugs! { New = \"a-new-bug\", }").len(), 1);
}
