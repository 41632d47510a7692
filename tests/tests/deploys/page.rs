//! Is the page about changes the one that is tried? Each row of its table, and no other.

use std::collections::BTreeSet;

use system_tests::releases::{Change, Fate, Release};

use crate::requests;

/// Rows without a test of their own, and why.
const NOT_ALONE: [(&str, &str); 3] = [
    (
        "a Rust function renamed or moved",
        "no name of a function is stored",
    ),
    (
        "a type that keeps its form and changes its **meaning** (cents become euros)",
        "that nobody notices it is the point",
    ),
    (
        "an old shape no longer registered",
        "so is each change of a shape where only the other release is alive",
    ),
];

#[test]
fn every_row_of_the_page_about_changes_is_tried() {
    let page = xtask::run::root().join("docs/guide/changing-a-schema.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let table = page.split("## What a change does").nth(1).expect("its table");
    let table = table.split("\n## ").next().expect("until the next heading");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let rows: Vec<Vec<&str>> = rows
        .map(|row| row.split('|').map(str::trim).skip(1).collect())
        .skip(1)
        .collect();
    let documented: BTreeSet<&str> = rows.iter().map(|cells| cells[0]).collect();
    let tried: BTreeSet<&str> = Change::ALL
        .iter()
        .map(|change| change.row())
        .chain(requests::ROWS)
        .chain(NOT_ALONE.map(|(row, _why)| row))
        .collect();
    assert_eq!(documented, tried);

    for change in Change::ALL {
        let cells = rows
            .iter()
            .find(|cells| cells[0] == change.row())
            .expect("its row");
        // The new shape is one that the old release does not know.
        let mark = match change.fate(Release::New) {
            Fate::GoesOn | Fate::Unreadable => "same",
            Fate::Waits if change == Change::TagGone => "",
            Fate::Waits => "new",
        };
        assert_eq!(cells[1], mark, "the shape after {change:?}");
        assert_eq!(
            cells[2].contains("`unreadable`"),
            change.fate(Release::New) == Fate::Unreadable,
            "{change:?}"
        );
    }
}
