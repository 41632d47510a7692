//! How do finished executions go away? A bounded number at a time, what belongs to them first.

use std::time::Duration;

use keystep::store::StoreError;
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;
use crate::writes::commit::later;

const PURGE_CHECKPOINTS: &str = include_str!("../../sql/purge_checkpoints.sql");
const PURGE_SIGNALS: &str = include_str!("../../sql/purge_signals.sql");
const PURGE_EXECUTIONS: &str = include_str!("../../sql/purge_executions.sql");
const REMEMBER: &str = include_str!("../../sql/remember.sql");

/// A wish to purge at most `limit` expired executions.
#[derive(Debug)]
pub(crate) struct Purge {
    pub(crate) limit: u32,
    /// For how long a row without payloads is left.
    pub(crate) remember: Option<Duration>,
}

impl Write for Purge {
    type Answer = u32;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<u32, StoreError> {
        // All of them pick the same rows: same time, same order, same transaction.
        for statement in [PURGE_CHECKPOINTS, PURGE_SIGNALS] {
            let picked = sqlx::query(statement).bind(now).bind(self.limit);
            picked.execute(&mut *conn).await.map_err(before_commit)?;
        }
        let deleted = sqlx::query(PURGE_EXECUTIONS)
            .bind(now)
            .bind(self.limit)
            .bind(self.remember.is_some())
            .execute(&mut *conn);
        let deleted = deleted.await.map_err(before_commit)?.rows_affected();
        let deleted = u32::try_from(deleted).unwrap_or(u32::MAX);
        let Some(remember) = self.remember else {
            return Ok(deleted);
        };
        let remembered = sqlx::query(REMEMBER)
            .bind(now)
            .bind(self.limit.saturating_sub(deleted))
            .bind(later(now, remember))
            .execute(conn);
        let remembered = remembered.await.map_err(before_commit)?.rows_affected();
        Ok(deleted.saturating_add(u32::try_from(remembered).unwrap_or(u32::MAX)))
    }
}
