//! How is the wish to cancel a run noted?

use keystep::execution::{CancelWish, ExecutionId, RunId, Seen};
use keystep::store::StoreError;
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;
use crate::rows;

const WISH_CANCEL: &str = include_str!("../../sql/wish_cancel.sql");

/// A wish; answers the row as it is then.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) id: ExecutionId,
    pub(crate) run: RunId,
    pub(crate) wish: CancelWish,
}

impl Write for Wish {
    type Answer = Option<Seen>;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Option<Seen>, StoreError> {
        let noted = sqlx::query(WISH_CANCEL)
            .bind(self.id.0)
            .bind(self.run.0)
            .bind(self.wish.code())
            .bind(now)
            .fetch_all(conn);
        let noted = noted.await.map_err(before_commit)?;
        noted.first().map(rows::seen).transpose()
    }
}
