//! Does this version store what the newest golden history says? To the last column and byte, but
//! for what is never the same: random ids, times, and the texts of failures.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use system_tests::place::{Kind, Place, StoredRow};

use super::{Version, story, write_if_asked};

on_both_stores!(what_is_stored_today_has_the_form_of_the_newest_golden_history);

fn what_is_stored_today_has_the_form_of_the_newest_golden_history(kind: Kind) {
    let today = Place::fresh(kind);
    today.settle();
    story::tell(kind, &today);
    let mut rows = today.rows();
    // A victim has more schemas than this one.
    let ours = format!("'{}'", story::SCHEMA);
    rows.retain(|row| row.table != "plans" || row.value("schema_name") == ours);
    write_if_asked(Version::rows_file(kind), &statements(&today, &rows));

    let golden = Version::newest();
    let (then, now) = (form(&golden.load(kind).rows()), form(&rows));
    let gone: Vec<&String> = then.difference(&now).collect();
    let new: Vec<&String> = now.difference(&then).collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "this is a change of what is stored: say it in CHANGELOG.md under *Durable format*, and add golden \
         files (CONTRIBUTING.md says how).\nOnly in {}:\n{gone:#?}\nOnly today:\n{new:#?}",
        golden.folder
    );
}

/// The rows as a golden file.
fn statements(place: &Place, rows: &[StoredRow]) -> String {
    // On SQLite the migration has written its row itself.
    let format = place.insert(&rows[0]);
    let table = format.split(' ').nth(2).expect("INSERT INTO table");
    let mut text = format!("DELETE FROM {table};\n");
    for row in rows {
        text += &place.insert(row);
        text.push('\n');
    }
    text
}

/// What is another in each telling of the story.
const RANDOM: [&str; 16] = [
    "token",
    "owner",
    "ended_by",
    "created_at",
    "acquired_at",
    "finished_at",
    "wake_at",
    "expires_at",
    "write_id",
    "worker",
    "recorded_at",
    "migrated_at",
    "saved_at",
    "run_id",
    "name",
    "shapes",
];

/// One line for each row, in which what is random only shows whether it is there.
fn form(rows: &[StoredRow]) -> BTreeSet<String> {
    let key_of = |row: &StoredRow| match row.value("key_text") {
        "NULL" => row.value("key").to_owned(),
        key => key.to_owned(),
    };
    let executions = rows.iter().filter(|row| row.table == "executions");
    let keys: BTreeMap<&str, String> = executions.map(|row| (row.value("run_id"), key_of(row))).collect();
    let lines = rows.iter().map(|row| {
        if row.table == "workers" {
            let columns: Vec<&str> = row
                .values
                .iter()
                .map(|(column, _value)| column.as_str())
                .collect();
            return format!("workers with {columns:?}");
        }
        let values = row.values.iter().map(|(column, value)| {
            let shown = match column.as_str() {
                _ if value == "NULL" => "NULL".to_owned(),
                "run_id" => keys.get(value.as_str()).cloned().unwrap_or_default(),
                "input" | "output" => payload(value, false),
                "failure" => payload(value, true),
                column if RANDOM.contains(&column) => "…".to_owned(),
                _ => value.clone(),
            };
            format!("{column}={shown}")
        });
        format!("{}: {}", row.table, values.collect::<Vec<_>>().join(" "))
    });
    lines.collect()
}

/// Bytes as text: their header, then JSON, of a failure without its message.
fn payload(literal: &str, failure: bool) -> String {
    // `X'0100'` on SQLite, `E'\\x0100'` on PostgreSQL.
    let digits = literal.split_once(['x', 'X']).expect("bytes").1;
    let digits: Vec<u8> = digits.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| {
            let pair = std::str::from_utf8(pair).expect("ASCII");
            u8::from_str_radix(pair, 16).expect("hexadecimal")
        })
        .collect();
    let (header, body) = bytes.split_at(2);
    let mut body = String::from_utf8_lossy(body).into_owned();
    if failure {
        let mut value: Value = serde_json::from_str(&body).expect("a failure");
        let members = value.as_object_mut().expect("members");
        assert!(members.remove("message").is_some(), "a failure has a message");
        body = value.to_string();
    }
    format!("{header:?}{body}")
}
