//! How do messages get into the outbox and out of it, and who reads it?

use keystep::execution::{Fence, WorkerId};
use keystep::store::{NewMessage, StoreError};
use sqlx::SqliteConnection;
use uuid::Uuid;

use crate::batch::all;
use crate::error::before_commit;
use crate::group::Write;
use crate::{reads, rows, sql};

const EMITS: &str = include_str!("../../sql/emits.sql");
const LEAD: &str = include_str!("../../sql/lead.sql");
const STEP_DOWN: &str = include_str!("../../sql/step_down.sql");
const DELIVERED: &str = include_str!("../../sql/delivered.sql");

/// Puts messages of an owner's write into the outbox, inside the transaction that has just written it.
pub(crate) async fn emit(
    messages: &[NewMessage],
    fence: &Fence,
    conn: &mut SqliteConnection,
    now: i64,
) -> Result<(), StoreError> {
    if messages.is_empty() {
        return Ok(());
    }
    let text = sql::joined(&[], &[(EMITS, messages.len())], &[]);
    let rows = all(
        sqlx::query(text),
        const { sql::values(EMITS) },
        messages,
        |query, message| {
            query
                .bind(message.id)
                .bind(fence.execution.0)
                .bind(fence.run.0)
                .bind(now)
                .bind(&message.topic)
                .bind(&*message.payload.0)
        },
    );
    rows.execute(conn).await.map(drop).map_err(before_commit)
}

/// A wish to read the outbox, when nobody does; answers whether the worker is the one that does.
#[derive(Debug)]
pub(crate) struct Lead {
    pub(crate) worker: WorkerId,
}

impl Write for Lead {
    type Answer = bool;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, _now: i64) -> Result<bool, StoreError> {
        let taken = sqlx::query(LEAD).bind(self.worker.0).execute(&mut *conn);
        taken.await.map_err(before_commit)?;
        Ok(reads::leads(conn, self.worker).await? == Some(true))
    }
}

/// A wish to read the outbox no more.
#[derive(Debug)]
pub(crate) struct StepDown {
    pub(crate) worker: WorkerId,
}

impl Write for StepDown {
    type Answer = ();

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, _now: i64) -> Result<(), StoreError> {
        let stepped_down = sqlx::query(STEP_DOWN).bind(self.worker.0).execute(conn);
        stepped_down.await.map(drop).map_err(before_commit)
    }
}

/// Messages that have reached their receiver.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) messages: Vec<Uuid>,
}

impl Write for Delivered {
    type Answer = ();

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, _now: i64) -> Result<(), StoreError> {
        let ids = rows::json_ids(self.messages.iter().copied());
        let deleted = sqlx::query(DELIVERED).bind(ids).execute(conn);
        deleted.await.map(drop).map_err(before_commit)
    }
}
