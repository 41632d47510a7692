//! Are the doors through which tests reach into the order service closed in every program that people
//! run? Nothing brings their feature unasked, and nothing behind them is compiled without it.

use serde_json::Value;

use crate::source;

/// The feature that opens them.
const FEATURE: &str = "test-hooks";

/// The package that has them. Its tests are a build of their own, with the doors.
const PACKAGE: &str = "order-example";

/// Where they are, and the one room that is there without the feature.
pub(crate) const DOORS: &str = "crates/order-example/src/hooks/mod.rs";
const CLOSED: &str = "off";

/// Packages that bring the doors although nobody asked for them.
pub(crate) fn opened(packages: &[Value]) -> Vec<String> {
    let lists = |list: &Value| {
        let list = list.as_array().into_iter().flatten();
        let mut names = list.filter_map(Value::as_str);
        names.any(|name| name == FEATURE || name.ends_with(&format!("/{FEATURE}")))
    };
    let mut found = Vec::new();
    for package in packages {
        let name = &package["name"];
        for (feature, brings) in package["features"].as_object().into_iter().flatten() {
            if feature != FEATURE && lists(brings) {
                found.push(format!("{name}: the feature {feature} brings {FEATURE}"));
            }
        }
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = &dependency["name"];
            let its_own_tests = name == PACKAGE && on == PACKAGE && dependency["kind"] == "dev";
            if lists(&dependency["features"]) && !its_own_tests {
                found.push(format!("{name}: its dependency {on} has the feature {FEATURE}"));
            }
        }
    }
    found
}

/// Rooms behind the doors that are compiled without the feature.
pub(crate) fn left_open(doors: &str) -> Vec<String> {
    let code = source::without_feature(doors, FEATURE);
    let words: Vec<&str> = code
        .split(|char: char| !char.is_alphanumeric() && char != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let rooms = words.windows(2).filter(|pair| ["mod", "use"].contains(&pair[0]));
    rooms
        .filter(|pair| pair[1] != CLOSED)
        .map(|pair| {
            format!(
                "{DOORS}: `{}` must stand under #[cfg(feature = \"{FEATURE}\")]",
                pair[1]
            )
        })
        .collect()
}

#[test]
fn a_package_that_opens_the_doors_unasked_is_seen() {
    let package = |name: &str, features: Value, dependencies: Value| {
        vec![serde_json::json!({"name": name, "features": features, "dependencies": dependencies})]
    };
    let asked = serde_json::json!({"test-hooks": [], "default": []});
    assert_eq!(opened(&package("a", asked, Value::Null)), Vec::<String>::new());
    let default = serde_json::json!({"default": ["test-hooks"]});
    assert_eq!(opened(&package("a", default, Value::Null)).len(), 1);
    let on = |kind: &str| {
        let features = ["test-hooks"];
        serde_json::json!([{"name": "order-example", "kind": kind, "features": features}])
    };
    assert_eq!(
        opened(&package("order-example", Value::Null, on("dev"))),
        Vec::<String>::new()
    );
    assert_eq!(
        opened(&package("order-example", Value::Null, on("normal"))).len(),
        1
    );
    assert_eq!(opened(&package("system-tests", Value::Null, on("dev"))).len(), 1);
}

#[test]
fn a_room_that_is_left_open_is_seen() {
    let closed = "#[cfg(not(feature = \"test-hooks\"))]\nmod off;\n\
                  #[cfg(not(feature = \"test-hooks\"))]\npub use off::A;\n\
                  #[cfg(feature = \"test-hooks\")]\nmod on;\n#[cfg(feature = \"test-hooks\")]\npub use on::A;\n";
    assert_eq!(left_open(closed), Vec::<String>::new());
    assert_eq!(left_open(&format!("{closed}mod routes;\n")).len(), 1);
}
