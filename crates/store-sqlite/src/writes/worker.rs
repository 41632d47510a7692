//! What is stored about a worker? One row from its start to a few days after its end.

use keystep::execution::WorkerId;
use keystep::store::{Beat, Register, StoreError};
use sqlx::SqliteConnection;

use crate::error::before_commit;
use crate::group::Write;
use crate::{migrate, rows};

const REGISTER: &str = include_str!("../../sql/register.sql");
const FORGET_WORKERS: &str = include_str!("../../sql/forget_workers.sql");
const BEAT: &str = include_str!("../../sql/beat.sql");
const BURY: &str = include_str!("../../sql/bury.sql");
const ALIVE: &str = include_str!("../../sql/alive.sql");
const RETIRE: &str = include_str!("../../sql/retire.sql");

/// Rows of ended workers are kept for people to read; nothing depends on them, since an unknown
/// worker counts as dead.
const REMEMBERED_MICROS: i64 = 7 * 24 * 3600 * 1_000_000;

impl Write for Register {
    type Answer = ();

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<(), StoreError> {
        sqlx::query(FORGET_WORKERS)
            .bind(now.saturating_sub(REMEMBERED_MICROS))
            .execute(&mut *conn)
            .await
            .map_err(before_commit)?;
        let registered = sqlx::query(REGISTER)
            .bind(self.worker.0)
            .bind(&self.name)
            .bind(rows::shape_bytes(&self.shapes))
            .bind(now)
            .execute(conn);
        if registered.await.map_err(before_commit)?.rows_affected() == 0 {
            return Err(StoreError::Rejected(format!(
                "worker {} was declared dead or retired: register under a fresh id",
                self.worker
            )));
        }
        Ok(())
    }
}

/// A sign of life.
#[derive(Debug)]
pub(crate) struct Beating {
    pub(crate) worker: WorkerId,
}

impl Write for Beating {
    type Answer = Beat;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, _now: i64) -> Result<Beat, StoreError> {
        // The beat is also where an old program learns that a newer one has migrated the file.
        migrate::check_readable(conn).await?;
        let beaten = sqlx::query(BEAT).bind(self.worker.0).execute(conn);
        Ok(match beaten.await.map_err(before_commit)?.rows_affected() {
            0 => Beat::Dead,
            _ => Beat::Alive,
        })
    }
}

/// A declaration of death; answers whether the worker is dead now.
#[derive(Debug)]
pub(crate) struct Bury {
    pub(crate) worker: WorkerId,
    pub(crate) beat: i64,
}

impl Write for Bury {
    type Answer = bool;

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<bool, StoreError> {
        sqlx::query(BURY)
            .bind(self.worker.0)
            .bind(self.beat)
            .bind(now)
            .execute(&mut *conn)
            .await
            .map_err(before_commit)?;
        let alive: i64 = sqlx::query_scalar(ALIVE)
            .bind(self.worker.0)
            .fetch_one(conn)
            .await
            .map_err(before_commit)?;
        Ok(alive == 0)
    }
}

/// An orderly end.
#[derive(Debug)]
pub(crate) struct Retire {
    pub(crate) worker: WorkerId,
}

impl Write for Retire {
    type Answer = ();

    fn bytes(&self) -> usize {
        0
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<(), StoreError> {
        let retired = sqlx::query(RETIRE).bind(self.worker.0).bind(now).execute(conn);
        retired.await.map(drop).map_err(before_commit)
    }
}
