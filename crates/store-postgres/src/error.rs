//! What does a database error mean for the engine? Sorted here, and nowhere else, by what to do
//! next.
//!
//! The same lost connection means "try again" after a read and "outcome unknown" after a write, so
//! an error is first sorted into a [`Trouble`], and the caller says what it was doing.

use keystep::store::StoreError;

/// What went wrong, and what that says about the statement and its connection.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// The server does not take this value. Nothing was written.
    Rejected(String),
    /// Somebody else was faster or holds a lock. Nothing was written; soon it may go well.
    Busy(String),
    /// The connection is out of date. Nothing was written; a new connection helps.
    Stale(String),
    /// The server can not do it now. Nothing was written.
    Unavailable(String),
    /// The connection is lost or given up; the statement may still happen.
    Lost(String),
    /// This database can not be used by this program.
    Refused(String),
    /// The answer holds something that this version does not know. Nothing is said about writing.
    Unreadable(String),
}

impl Trouble {
    /// Sorts an error of a statement.
    pub(crate) fn of(error: &sqlx::Error) -> Self {
        let text = describe(error);
        match error {
            sqlx::Error::Database(database) => {
                let code = database.code();
                Self::of_code(code.as_deref().unwrap_or_default(), text)
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::BeginFailed => {
                Self::Unavailable(text)
            }
            sqlx::Error::Encode(_) => Self::Rejected(text),
            sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnIndexOutOfBounds { .. }
            | sqlx::Error::TypeNotFound { .. }
            | sqlx::Error::RowNotFound => Self::Unreadable(text),
            sqlx::Error::Configuration(_) => Self::Refused(text),
            _ => Self::Lost(text),
        }
    }

    /// Sorts a SQLSTATE, the five letters by which PostgreSQL names an error.
    fn of_code(code: &str, text: String) -> Self {
        match code {
            // A checkpoint that appeared after the statement's snapshot: it is seen the next time.
            "23505" => Self::Busy(text),
            // Serialization failure, deadlock, lock time-out, object in use.
            "40001" | "40P01" | "55P03" | "55006" => Self::Busy(text),
            // A plan that does not fit the table any more; a server that became a replica, whose name may
            // soon lead to the new primary.
            "0A000" | "25006" => Self::Stale(text),
            // A statement that a pooler's other server connection does not know.
            "26000" => Self::Stale(format!(
                "what was prepared is not there ({text}): if a transaction pooler before the server knows no \
                 prepared statements, use its session mode, or a direct connection"
            )),
            // The administrator or a crash ended the session: perhaps before, perhaps after the
            // statement.
            "57P01" | "57P02" | "57P05" => Self::Lost(text),
            "42P01" | "42703" | "3F000" => Self::Refused(format!(
                "its tables are missing or older than this program ({text}): run migrate()"
            )),
            "42501" => Self::Refused(format!("the role may not do this: {text}")),
            // Only where several clients share a session is a name taken.
            "42P05" => Self::Refused(format!(
                "a transaction pooler that knows no prepared statements is before the server ({text}): \
                 use its session mode, or a direct connection"
            )),
            _ => match code.get(..2) {
                // Data exceptions, violated constraints, program limits.
                Some("22" | "23" | "54") => Self::Rejected(text),
                // Connection exceptions.
                Some("08") => Self::Lost(text),
                // Time-outs, a full disk, too many connections, and all that has no better place.
                _ => Self::Unavailable(text),
            },
        }
    }

    /// A deadline of ours passed: the connection is given up.
    pub(crate) fn deadline(limit: std::time::Duration) -> Self {
        Self::Lost(format!("no answer within {limit:?}"))
    }

    /// Whether the connection must not be used again.
    pub(crate) fn ends_the_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Stale(_))
    }

    /// What the engine learns when the statement only read.
    pub(crate) fn of_read(self) -> StoreError {
        match self {
            Self::Lost(text) => StoreError::Unavailable(text),
            other => other.of_write(),
        }
    }

    /// What the engine learns when the statement wrote.
    pub(crate) fn of_write(self) -> StoreError {
        match self {
            Self::Lost(text) => StoreError::Unknown(text),
            Self::Rejected(text) => StoreError::Rejected(text),
            Self::Busy(text) | Self::Stale(text) | Self::Unavailable(text) => StoreError::Unavailable(text),
            Self::Refused(text) => StoreError::Refused(text),
            Self::Unreadable(text) => StoreError::Unreadable(text),
        }
    }

    /// What the engine learns when a connection could not be opened, so that nothing was sent.
    pub(crate) fn of_connect(self) -> StoreError {
        match self {
            Self::Refused(text) => StoreError::Refused(text),
            Self::Rejected(text)
            | Self::Busy(text)
            | Self::Stale(text)
            | Self::Unavailable(text)
            | Self::Lost(text)
            | Self::Unreadable(text) => StoreError::Unavailable(text),
        }
    }
}

/// An error as text that is safe to log: the server's main message and code without its detail,
/// which may quote values, and nothing of the connection string.
fn describe(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code();
            let code = code.as_deref().unwrap_or("no code");
            format!("{} ({code})", database.message())
        }
        // The text of this one may quote the connection string.
        sqlx::Error::Configuration(_) => "the connection options can not be used".to_owned(),
        other => other.to_string(),
    }
}

/// Sorts an error of opening the first connection: what will not go away by waiting is refused.
pub(crate) fn of_first_connection(error: &sqlx::Error) -> StoreError {
    let text = describe(error);
    let code = match error {
        sqlx::Error::Database(database) => database.code().map(|code| code.into_owned()),
        _ => None,
    };
    match code.as_deref() {
        // No such role or password, no such database, no right to connect.
        Some("28000" | "28P01" | "3D000" | "42501") => StoreError::Refused(text),
        _ => Trouble::of(error).of_connect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_code(code: &str) -> Trouble {
        Trouble::of_code(code, "text".to_owned())
    }

    #[test]
    fn codes_are_sorted_by_what_to_do_next() {
        assert!(matches!(of_code("22021"), Trouble::Rejected(_)));
        assert!(matches!(of_code("23514"), Trouble::Rejected(_)));
        assert!(matches!(of_code("54000"), Trouble::Rejected(_)));
        assert!(matches!(of_code("40P01"), Trouble::Busy(_)));
        assert!(matches!(of_code("55P03"), Trouble::Busy(_)));
        assert!(matches!(of_code("0A000"), Trouble::Stale(_)));
        assert!(matches!(of_code("57P01"), Trouble::Lost(_)));
        assert!(matches!(of_code("57014"), Trouble::Unavailable(_)));
        assert!(matches!(of_code("53100"), Trouble::Unavailable(_)));
        assert!(matches!(of_code("42P01"), Trouble::Refused(_)));
        assert!(matches!(of_code("42P05"), Trouble::Refused(_)));
        assert!(matches!(of_code(""), Trouble::Unavailable(_)));
    }

    #[test]
    fn a_lost_connection_leaves_only_writes_unknown() {
        let lost = Trouble::Lost("gone".to_owned());
        assert!(matches!(lost.clone().of_write(), StoreError::Unknown(_)));
        assert!(matches!(lost.of_read(), StoreError::Unavailable(_)));
    }
}
