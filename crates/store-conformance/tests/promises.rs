//! The table of promises is whole: every sentence of the contract, every case, and nothing else.

use std::collections::BTreeSet;
use std::path::Path;

use keystep::memory::MemoryStore;
use store_conformance::{cases, transaction_cases};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The rows of all tables as (first cell, words in backticks of the second).
fn table() -> Vec<(String, Vec<String>)> {
    let text = read("src/promises.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.strip_suffix(" |")?.rsplit_once(" | "))
        .filter(|(_, cases)| *cases != "cases")
        .map(|(promise, cases)| {
            let named = cases.split('`').skip(1).step_by(2).map(Into::into).collect();
            (promise.to_owned(), named)
        })
        .collect()
}

/// The sentences of the documentation of the trait and its methods.
fn sentences() -> Vec<String> {
    let source = read("../engine/src/store.rs");
    let start = source.find("/// The engine's memory.").expect("the trait");
    let end = start + source[start..].find("\n}\n").expect("its end");
    let mut sentences = Vec::new();
    let mut text = String::new();
    for line in source[start..end].lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            text.push_str(comment);
        } else {
            sentences.extend(split(&std::mem::take(&mut text)));
        }
    }
    sentences
}

/// Splits after a full stop that is followed by a capital or a code word.
fn split(text: &str) -> Vec<String> {
    let mut sentences = vec![String::new()];
    for part in text.split_inclusive(". ") {
        let starts = part.starts_with(|first: char| first.is_uppercase() || first == '`');
        if starts && sentences.last().is_some_and(|last| last.ends_with(". ")) {
            sentences.push(String::new());
        }
        sentences.last_mut().expect("never empty").push_str(part);
    }
    let trimmed = sentences.iter().map(|sentence| sentence.trim().to_owned());
    trimmed.filter(|sentence| !sentence.is_empty()).collect()
}

#[test]
fn every_sentence_of_the_contract_has_a_case() {
    let table: BTreeSet<String> = table().into_iter().map(|(promise, _)| promise).collect();
    let sentences = sentences();
    assert!(sentences.len() > 40, "the trait's documentation was found");
    let missing: Vec<_> = sentences
        .iter()
        .filter(|sentence| !table.contains(*sentence))
        .collect();
    assert!(
        missing.is_empty(),
        "a sentence of the Store trait is new or has changed; give it a case and a row in promises.md: \
         {missing:#?}"
    );
}

#[test]
fn every_case_is_in_the_table_and_every_entry_is_a_case() {
    let named: BTreeSet<String> = table().into_iter().flat_map(|(_, cases)| cases).collect();
    let mut there = BTreeSet::new();
    for case in cases::<MemoryStore>() {
        assert!(there.insert(case.name.to_owned()), "{case:?} is listed twice");
    }
    for case in transaction_cases::<MemoryStore>() {
        assert!(there.insert(case.name.to_owned()), "{case:?} is listed twice");
    }
    assert_eq!(named, there);
}

#[test]
fn every_function_of_a_topic_is_listed() {
    let listed: BTreeSet<String> = cases::<MemoryStore>()
        .into_iter()
        .map(|case| format!("{case:?}"))
        .chain(
            transaction_cases::<MemoryStore>()
                .into_iter()
                .map(|case| format!("{case:?}")),
        )
        .collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/cases");
    let mut written = BTreeSet::new();
    for file in std::fs::read_dir(folder).expect("the folder of the cases") {
        let path = file.expect("an entry").path();
        let topic = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("a name")
            .to_owned();
        for line in std::fs::read_to_string(&path).expect("a file").lines() {
            if let Some((name, _)) = line
                .strip_prefix("pub async fn ")
                .and_then(|rest| rest.split_once('<'))
            {
                written.insert(format!("{topic}::{name}"));
            }
        }
    }
    assert_eq!(written, listed);
}
