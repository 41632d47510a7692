//! How does an execution come to be? One INSERT that leaves an existing key alone.

use keystep::execution::{Claim, ExecutionRecord, Fence};
use keystep::store::{Begin, Begun, StoreError};
use sqlx::SqliteConnection;

use crate::batch::{Query, Row};
use crate::error::before_commit;
use crate::group::Write;
use crate::{reads, sql};

pub(crate) const BEGINS: &str = include_str!("../../sql/begins.sql");

impl Write for Begin {
    type Answer = Begun;

    fn bytes(&self) -> usize {
        self.input.len() + self.key.key.len()
    }

    fn row(&self) -> Option<Row<'_>> {
        Some(Row::Begin(self))
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Begun, StoreError> {
        let insert = bind_begin(sqlx::query(sql::text(BEGINS)), self, now);
        let inserted = insert.execute(&mut *conn).await.map_err(before_commit)?;
        if inserted.rows_affected() == 1 {
            return Ok(started(self));
        }
        let there = reads::find_one(conn, self.id, now).await?;
        there.map(|record| meet(self, record)).ok_or_else(|| {
            StoreError::Unreadable("a key was there and was not, in one transaction".to_owned())
        })
    }
}

/// Binds one row of `begins.sql`.
pub(crate) fn bind_begin<'q>(query: Query<'q>, begin: &'q Begin, now: i64) -> Query<'q> {
    query
        .bind(begin.id.0)
        .bind(begin.run.0)
        .bind(begin.token)
        .bind(begin.owner.0)
        .bind(now)
        .bind(begin.plan.0)
        .bind(begin.shape.0)
        .bind(&begin.input_hash.0[..])
        .bind(begin.parent.map(|parent| parent.0))
        .bind(&begin.key.schema)
        .bind(&begin.key.scope)
        .bind(&begin.key.key)
        .bind(&*begin.input.0)
}

/// What a begin answers when it made its row.
pub(crate) fn started(begin: &Begin) -> Begun {
    Begun::Started(first_fence(begin))
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
