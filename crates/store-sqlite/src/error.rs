//! Why did a database error become this `StoreError`? Sorted by what the caller does next.
//!
//! Until a COMMIT has been sent nothing is written, whatever failed: the transaction is rolled
//! back, by us or by SQLite. So every error before it is certain, and only an error of the COMMIT
//! itself leaves the outcome open.

use std::io::{self, ErrorKind};

use keystep::execution::WorkerId;
use keystep::store::StoreError;

/// An error of a read, or of a write before its COMMIT: nothing was written.
pub(crate) fn before_commit(error: sqlx::Error) -> StoreError {
    match cause(&error) {
        Cause::Busy => StoreError::Unavailable(format!(
            "another process held the database's write lock for longer than the busy timeout ({error})"
        )),
        Cause::Value => StoreError::Rejected(error.to_string()),
        Cause::File => StoreError::Refused(error.to_string()),
        Cause::Row => StoreError::Unreadable(error.to_string()),
        Cause::Other => StoreError::Unavailable(error.to_string()),
    }
}

/// An error of a COMMIT after which the transaction could not be rolled back for certain.
pub(crate) fn at_commit(error: &sqlx::Error) -> StoreError {
    StoreError::Unknown(format!("the commit failed ({error})"))
}

/// The lock file of a worker could not be made.
pub(crate) fn no_session(worker: WorkerId, error: &io::Error) -> StoreError {
    let why = format!("no lock file for worker {worker}: {error}");
    match error.kind() {
        ErrorKind::Unsupported => StoreError::Refused(why),
        _ => StoreError::Unavailable(why),
    }
}

/// The writer's thread ended while it worked for the caller.
pub(crate) fn writer_lost() -> StoreError {
    StoreError::Unknown("the writer ended before it answered".to_owned())
}

/// The writer's thread has ended and took nothing from the caller.
pub(crate) fn writer_gone() -> StoreError {
    StoreError::Unavailable("the writer has ended".to_owned())
}

/// What an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Another connection is in the way.
    Busy,
    /// The value can not be stored.
    Value,
    /// The file can not be used.
    File,
    /// A stored value can not be read.
    Row,
    /// All else: disk full, I/O, memory, a lost connection.
    Other,
}

/// Sorts an error of the driver. SQLite's numbers: <https://www.sqlite.org/rescode.html>.
pub(crate) fn cause(error: &sqlx::Error) -> Cause {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .and_then(|code| code.parse().ok())
            .map_or(Cause::Other, cause_of_code),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::ColumnNotFound(_) | sqlx::Error::Decode(_) => {
            Cause::Row
        }
        _ => Cause::Other,
    }
}

fn cause_of_code(extended: u32) -> Cause {
    // The low byte is the primary code; the rest says more precisely what happened.
    match extended & 0xff {
        BUSY | LOCKED => Cause::Busy,
        TOO_BIG | CONSTRAINT | MISMATCH => Cause::Value,
        PERMISSION | READ_ONLY | CORRUPT | NOT_A_DATABASE => Cause::File,
        _ => Cause::Other,
    }
}

const PERMISSION: u32 = 3;
const BUSY: u32 = 5;
const LOCKED: u32 = 6;
const READ_ONLY: u32 = 8;
const CORRUPT: u32 = 11;
const TOO_BIG: u32 = 18;
const CONSTRAINT: u32 = 19;
const MISMATCH: u32 = 20;
const NOT_A_DATABASE: u32 = 26;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_codes_are_sorted_by_their_primary_code() {
        // SQLITE_BUSY_SNAPSHOT, SQLITE_CONSTRAINT_CHECK, SQLITE_READONLY_DBMOVED, SQLITE_FULL.
        assert_eq!(cause_of_code(517), Cause::Busy);
        assert_eq!(cause_of_code(275), Cause::Value);
        assert_eq!(cause_of_code(1032), Cause::File);
        assert_eq!(cause_of_code(13), Cause::Other);
    }
}
