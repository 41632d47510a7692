//! Does the code keep to its own rules? What a reviewer would otherwise have to say again and
//! again is checked here, from `cargo metadata` and from the sources.
//!
//! Each message says what is wrong, where, and why the rule exists. To change a rule change its
//! table: [`rules`] for words in sources, [`edges`] for who may depend on whom, [`released`] for
//! files that never change. Every checker is given text, so that each rule also has a planted
//! breach which it must see.

mod bugs;
mod doors;
mod edges;
mod files;
mod proofs;
mod released;
mod rules;
mod source;

use files::File;
use keystep::execution::{ParkReason, State};

const REASONS: [ParkReason; 3] = [
    ParkReason::Unreadable,
    ParkReason::UnknownShape,
    ParkReason::LostTooOften,
];

/// Fails with all breaches at once, so that one run shows the whole work.
fn expect_none(breaches: &[String]) {
    assert!(
        breaches.is_empty(),
        "{} breaches:\n\n{}\n",
        breaches.len(),
        breaches.join("\n\n")
    );
}

#[test]
fn every_source_keeps_to_the_rules_of_its_place() {
    let files = files::all();
    let breaches: Vec<String> = files
        .iter()
        .flat_map(|File { path, text }| rules::breaches(path, text))
        .collect();
    expect_none(&breaches);
}

#[test]
fn every_place_that_a_rule_names_exists() {
    let files = files::all();
    let gone: Vec<&str> = rules::places()
        .filter(|place| !files.iter().any(|file| rules::is_at(&file.path, place)))
        .collect();
    assert!(
        gone.is_empty(),
        "rules name places that do not exist (any more), so they check nothing: {gone:?}"
    );
}

#[test]
fn no_crate_depends_on_what_it_must_not_know() {
    expect_none(&edges::breaches(&edges::dependencies()));
}

#[test]
fn the_engine_pulls_in_no_database_and_no_http() {
    expect_none(&edges::pulled_in(
        &edges::dependencies(),
        &files::read("Cargo.lock"),
    ));
}

#[test]
fn every_crate_forbids_unsafe_code_through_the_shared_lints() {
    let manifests = edges::manifests();
    let manifests: Vec<(&str, String)> = manifests
        .iter()
        .map(|path| (path.as_str(), files::read(path)))
        .collect();
    expect_none(&edges::lint_breaches(&files::read("Cargo.toml"), &manifests));
}

#[test]
fn no_source_talks_of_the_bugs_outside_the_feature_that_brings_them() {
    let files = files::all();
    let breaches: Vec<String> = files
        .iter()
        .flat_map(|File { path, text }| bugs::mentions(path, text))
        .collect();
    expect_none(&breaches);
}

#[test]
fn no_package_brings_the_bugs_unasked() {
    expect_none(&bugs::switched_on(&edges::metadata()));
}

#[test]
fn the_doors_for_tests_are_closed_in_every_program_that_people_run() {
    expect_none(&doors::opened(&edges::metadata()));
    expect_none(&doors::left_open(&files::read(doors::DOORS)));
}

#[test]
fn every_bug_has_its_row_and_every_row_its_test() {
    expect_none(&bugs::unmatched(&files::read(bugs::LIST)));
    expect_none(&bugs::missing_tests(&files::all()));
}

#[test]
fn no_program_as_it_is_built_by_default_has_the_bugs() {
    let here = std::env::current_exe().expect("this program");
    assert!(
        files::holds(&here, xtask::mutants::VARIABLE),
        "this program names it, so the search works"
    );
    let built = std::path::Path::new(env!("CARGO_BIN_EXE_victim"));
    let programs = bugs::programs(&edges::metadata());
    assert!(programs.len() > 1, "only {programs:?}");
    for program in programs.iter().map(|name| built.with_file_name(name)) {
        assert!(program.exists(), "build it first: cargo build --workspace --bins");
        assert!(
            !files::holds(&program, xtask::mutants::VARIABLE),
            "{} was built with the feature `planted`",
            program.display()
        );
    }
}

#[test]
fn released_migrations_are_unchanged() {
    expect_none(&released::breaches(released::GOLDEN, files::bytes));
}

#[test]
fn the_page_about_states_names_every_state_and_reason() {
    let page = files::read("docs/states.md");
    let states = (i16::MIN..=i16::MAX).filter_map(State::from_code);
    let missing: Vec<String> = states
        .map(|state| format!("| `{}` | {} |", state.as_str(), state.code()))
        .chain(REASONS.map(|reason| format!("`{}`", reason.as_str())))
        .filter(|mark| !page.contains(mark))
        .collect();
    assert!(missing.is_empty(), "docs/states.md lacks {missing:?}");
}

#[test]
fn every_guarantee_of_the_readme_is_proven_by_a_test_that_exists() {
    let page = files::read("README.md");
    assert!(proofs::named(&page).len() > 10, "the table was not found");
    expect_none(&proofs::breaches(&page, |path| {
        let bytes = files::bytes(path)?;
        String::from_utf8(bytes).ok()
    }));
    let unproven = proofs::unproven(&page);
    assert!(unproven.is_empty(), "no test is named for {unproven:#?}");
}
