//! How does a test get the store's own statements ready in a session of its own? Prepared under their
//! names, as the driver prepares them.

use sqlx::PgConnection;

use crate::common::sql;

/// Prepares a statement under its name, and returns how many arguments it takes.
pub(crate) async fn prepare(session: &mut PgConnection, name: &str, text: &str) -> usize {
    let types: Vec<&str> = uses(text)
        .into_iter()
        // Statements that share their arguments leave some out. The server finds out the types of the
        // others, and takes any type for these.
        .map(|used| if used { "unknown" } else { "text" })
        .collect();
    let list = match types.as_slice() {
        [] => String::new(),
        types => format!("({})", types.join(", ")),
    };
    sql(session, format!("PREPARE {name} {list} AS {text}")).await;
    types.len()
}

/// For each argument up to the last one, whether the statement uses it.
pub(crate) fn uses(text: &str) -> Vec<bool> {
    let mut uses = Vec::new();
    for after in text.split('$').skip(1) {
        let digits = after.find(|letter: char| !letter.is_ascii_digit());
        let number: usize = after[..digits.unwrap_or(after.len())].parse().expect("a number");
        uses.resize(number.max(uses.len()), false);
        uses[number - 1] = true;
    }
    uses
}
