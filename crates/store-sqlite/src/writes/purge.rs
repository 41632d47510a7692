//! How do finished executions go away? A bounded number at a time, checkpoints first.

use keystep::store::StoreError;
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;

const PURGE_CHECKPOINTS: &str = include_str!("../../sql/purge_checkpoints.sql");
const PURGE_EXECUTIONS: &str = include_str!("../../sql/purge_executions.sql");

/// A wish to delete at most `limit` expired executions.
#[derive(Debug)]
pub(crate) struct Purge {
    pub(crate) limit: u32,
}

impl Write for Purge {
    type Answer = u32;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<u32, StoreError> {
        // Both statements pick the same rows: same time, same order, same transaction.
        let mut deleted = 0;
        for statement in [PURGE_CHECKPOINTS, PURGE_EXECUTIONS] {
            deleted = sqlx::query(statement)
                .bind(now)
                .bind(self.limit)
                .execute(&mut *conn)
                .await
                .map_err(before_commit)?
                .rows_affected();
        }
        Ok(u32::try_from(deleted).unwrap_or(u32::MAX))
    }
}
