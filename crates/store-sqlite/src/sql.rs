//! In which form do the texts of `sql/` reach the driver? As they are, or as one text for a whole
//! transaction with many rows: what is in one text costs one way to the driver's thread and back.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr};

#[cfg(feature = "planted")]
use crate::bugs;

pub(crate) const BEGIN_IMMEDIATE: &str = include_str!("../sql/begin_immediate.sql");
pub(crate) const COMMIT: &str = include_str!("../sql/commit.sql");
pub(crate) const ROLLBACK: &str = include_str!("../sql/rollback.sql");

/// For how many rows a statement can be. They are few, so that each text is prepared once; more rows
/// are several statements.
const SIZES: [usize; 4] = [1, 4, 16, MOST];

/// How many rows one statement takes; with more it gets slower.
pub(crate) const MOST: usize = 64;

/// A file as it is.
pub(crate) fn text(file: &'static str) -> SqlStr {
    #[cfg(feature = "planted")]
    return AssertSqlSafe(bugs::edited(file)).into_sql_str();
    #[cfg(not(feature = "planted"))]
    file.into_sql_str()
}

/// How many rows the text for so many rows has: so many, or more.
pub(crate) fn room(rows: usize) -> usize {
    let size = SIZES.into_iter().find(|size| rows <= *size);
    if rows == 0 {
        0
    } else {
        size.unwrap_or_else(|| rows.next_multiple_of(MOST))
    }
}

/// How many statements there are for so many rows.
pub(crate) fn statements(rows: usize) -> usize {
    rows.div_ceil(MOST)
}

/// How many values a row of a file has.
pub(crate) const fn values(file: &str) -> usize {
    let (text, mut at, mut values) = (file.as_bytes(), 0, 0);
    while at < text.len() {
        values += (text[at] == b'?') as usize;
        at += 1;
    }
    values
}

/// One text of files: each stands in it for its number of rows, its row of values repeated, between
/// some that have no rows.
///
/// A row of values that are NULL writes nothing.
pub(crate) fn joined(
    before: &[&'static str],
    rows: &[(&'static str, usize)],
    after: &[&'static str],
) -> SqlStr {
    let plain = |files: &[&'static str]| -> Vec<String> {
        files.iter().map(|file| text(file).as_str().to_owned()).collect()
    };
    let mut texts = plain(before);
    for (file, rows) in rows {
        let many = repeated(text(file).as_str(), room(*rows).min(MOST));
        texts.extend(std::iter::repeat_n(many, statements(*rows)));
    }
    texts.extend(plain(after));
    // Shared, so that a clone of it is none of the text.
    AssertSqlSafe(Arc::<str>::from(texts.join(";"))).into_sql_str()
}

/// # Panics
/// When the text has no row of values.
fn repeated(text: &str, times: usize) -> String {
    let (head, rest) = text.split_once("VALUES ").expect("a row of values");
    let (row, rest) = rest.split_once(')').expect("the end of the row");
    let rows = vec![row; times].join("), ");
    format!("{head}VALUES {rows}){rest}")
}
