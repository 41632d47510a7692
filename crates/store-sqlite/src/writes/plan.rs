//! How is a plan kept? Under its content hash, once.

use keystep::store::{PlanRecord, StoreError};
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;

const SAVE_PLAN: &str = include_str!("../../sql/save_plan.sql");

impl Write for PlanRecord {
    type Answer = ();

    fn bytes(&self) -> usize {
        self.body.len()
    }

    async fn apply(&self, conn: &mut SqliteConnection, _now: i64) -> Result<(), StoreError> {
        let saved = sqlx::query(SAVE_PLAN)
            .bind(self.id.0)
            .bind(self.shape.0)
            .bind(&self.schema)
            .bind(&self.body)
            .execute(conn);
        saved.await.map(drop).map_err(before_commit)
    }
}
