//! How does a worker become the owner of an existing execution? A compare-and-set of the row.

use keystep::execution::{Claim, Fence};
use keystep::store::{Acquire, Acquired, Fresh, How, StoreError};
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;
use crate::{reads, sql};

const ACQUIRE: &str = include_str!("../../sql/acquire.sql");
const RESTART: &str = include_str!("../../sql/restart.sql");
const FORGET: &str = include_str!("../../sql/forget.sql");
const FORGET_SIGNALS: &str = include_str!("../../sql/forget_signals.sql");

impl Write for Acquire {
    type Answer = Acquired;

    fn bytes(&self) -> usize {
        match &self.how {
            How::Resume { .. } | How::TakeOver => 0,
            How::Restart(fresh) => fresh.input.len(),
        }
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Acquired, StoreError> {
        match &self.how {
            How::Resume { keep_tries } => go_on(self, *keep_tries, 0, conn, now).await?,
            How::TakeOver => go_on(self, true, 1, conn, now).await?,
            How::Restart(fresh) => restart(self, fresh, conn, now).await?,
        }
        // Whoever finds the new claim in the row has won it, by this send or an earlier one.
        let fence = wanted_fence(self);
        Ok(match reads::find_one(conn, self.seen.id, now).await? {
            Some(record) if record.run == fence.run && record.claim == fence.claim => Acquired::Won {
                record: Box::new(record),
                fence,
            },
            _ => Acquired::Lost,
        })
    }
}

async fn go_on(
    acquire: &Acquire,
    keep_tries: bool,
    lost: i32,
    conn: &mut SqliteConnection,
    now: i64,
) -> Result<(), StoreError> {
    let seen = &acquire.seen;
    let updated = sqlx::query(sql::text(ACQUIRE))
        .bind(seen.id.0)
        .bind(seen.run.0)
        .bind(seen.claim.epoch)
        .bind(seen.claim.token)
        .bind(seen.state.code())
        .bind(acquire.token)
        .bind(i32::from(keep_tries))
        .bind(lost)
        .bind(acquire.owner.0)
        .bind(now)
        .execute(conn);
    updated.await.map(drop).map_err(before_commit)
}

async fn restart(
    acquire: &Acquire,
    fresh: &Fresh,
    conn: &mut SqliteConnection,
    now: i64,
) -> Result<(), StoreError> {
    let seen = &acquire.seen;
    let updated = sqlx::query(sql::text(RESTART))
        .bind(seen.id.0)
        .bind(seen.run.0)
        .bind(seen.claim.epoch)
        .bind(seen.claim.token)
        .bind(seen.state.code())
        .bind(acquire.token)
        .bind(acquire.owner.0)
        .bind(now)
        .bind(fresh.run.0)
        .bind(fresh.plan.0)
        .bind(fresh.shape.0)
        .bind(fresh.input_hash.0.to_vec())
        .bind(fresh.input.0.to_vec())
        .bind(fresh.parent.map(|parent| parent.0))
        .execute(&mut *conn);
    if updated.await.map_err(before_commit)?.rows_affected() == 0 {
        return Ok(());
    }
    for forget in [FORGET, FORGET_SIGNALS] {
        let forgotten = sqlx::query(forget).bind(seen.run.0).execute(&mut *conn);
        forgotten.await.map_err(before_commit)?;
    }
    Ok(())
}

fn wanted_fence(acquire: &Acquire) -> Fence {
    Fence {
        execution: acquire.seen.id,
        run: match &acquire.how {
            How::Resume { .. } | How::TakeOver => acquire.seen.run,
            How::Restart(fresh) => fresh.run,
        },
        claim: Claim {
            epoch: acquire.seen.claim.epoch.saturating_add(1),
            token: acquire.token,
        },
        incarnation: 0,
    }
}
