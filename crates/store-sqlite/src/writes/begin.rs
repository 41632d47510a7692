//! How does an execution come to be? One INSERT that leaves an existing key alone.

use keystep::execution::{Claim, ExecutionRecord, Fence};
use keystep::store::{Begin, Begun, StoreError};
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;
use crate::reads;

const BEGIN: &str = include_str!("../../sql/begin.sql");

impl Write for Begin {
    type Answer = Begun;

    fn bytes(&self) -> usize {
        self.input.len() + self.key.key.len()
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Begun, StoreError> {
        let inserted = sqlx::query(BEGIN)
            .bind(self.id.0)
            .bind(self.run.0)
            .bind(self.token)
            .bind(self.owner.0)
            .bind(now)
            .bind(self.plan.0)
            .bind(self.shape.0)
            .bind(self.input_hash.0.to_vec())
            .bind(&self.key.schema)
            .bind(&self.key.scope)
            .bind(&self.key.key)
            .bind(self.input.0.to_vec())
            .execute(&mut *conn)
            .await
            .map_err(before_commit)?;
        if inserted.rows_affected() == 1 {
            return Ok(Begun::Started(first_fence(self)));
        }
        let there = reads::find_one(conn, self.id, now).await?;
        there.map(|record| meet(self, record)).ok_or_else(|| {
            StoreError::Unreadable("a key was there and was not, in one transaction".to_owned())
        })
    }
}

/// What a begin answers when its key is there already: its own earlier send, or somebody else.
pub(crate) fn meet(begin: &Begin, record: ExecutionRecord) -> Begun {
    let mine = first_fence(begin);
    if record.run == mine.run && record.claim == mine.claim {
        Begun::Started(mine)
    } else {
        Begun::Exists(Box::new(record))
    }
}

fn first_fence(begin: &Begin) -> Fence {
    Fence {
        execution: begin.id,
        run: begin.run,
        claim: Claim {
            epoch: 1,
            token: begin.token,
        },
        incarnation: 0,
    }
}
