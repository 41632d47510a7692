//! Is each guarantee proven by a test that exists? The README names a test for each, with the file
//! that it is in.

/// The tests that a page names with a link, each as (name, path from the root).
pub(crate) fn named(page: &str) -> Vec<(&str, &str)> {
    page.split("[`")
        .skip(1)
        .filter_map(|rest| {
            let (name, rest) = rest.split_once("`](")?;
            let (path, _rest) = rest.split_once(')')?;
            path.ends_with(".rs").then_some((name, path))
        })
        .collect()
}

/// What is wrong with the proofs of a page, given the text of a file by its path.
pub(crate) fn breaches(page: &str, text: impl Fn(&str) -> Option<String>) -> Vec<String> {
    named(page)
        .into_iter()
        .filter_map(|(name, path)| match text(path) {
            None => Some(format!("{name}: there is no {path}")),
            Some(text) if has_function(&text, name) => None,
            Some(_) => Some(format!("{name}: there is no such test in {path}")),
        })
        .collect()
}

/// Whether there is such a function: a test, or a story that each store tells.
fn has_function(text: &str, name: &str) -> bool {
    ["(", "<"]
        .iter()
        .any(|next| text.contains(&format!("fn {name}{next}")))
}

/// The rows of the table of guarantees that name no test.
pub(crate) fn unproven(page: &str) -> Vec<&str> {
    let table = page.lines().skip_while(|line| !line.starts_with("| promise |"));
    table
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .filter(|row| named(row).is_empty())
        .collect()
}

#[test]
fn a_proof_that_is_gone_and_a_promise_without_one_are_seen() {
    let page = "| promise | proven by |\n|---|---|\n| a | [`holds`](a.rs), [`is_gone`](a.rs) |\n| b | |\n\
                | c | [`holds`](b.rs) |\n";
    let text = |path: &str| (path == "a.rs").then(|| "fn holds() {}".to_owned());
    let found = breaches(page, text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("is_gone:") && found[1].contains("no b.rs"),
        "{found:?}"
    );
    assert_eq!(unproven(page), ["| b | |"]);
}
