//! How is a signal kept, and a step's progress put down?

use keystep::store::{NewProgress, NewSignal, Signalled, StoreError, Verdict};
use sqlx::SqliteConnection;

use crate::batch::Query;
use crate::error::before_commit;
use crate::group::Write;
use crate::rows;
use crate::writes::commit::{bind_fence, wrote_one};

const HEARS: &str = include_str!("../../sql/hears.sql");
const SIGNAL: &str = include_str!("../../sql/signal.sql");
const COUNT_SIGNAL: &str = include_str!("../../sql/count_signal.sql");
const PROGRESS: &str = include_str!("../../sql/progress.sql");

impl Write for NewSignal {
    type Answer = Signalled;

    fn bytes(&self) -> usize {
        self.payload.len()
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Signalled, StoreError> {
        let hears = about_its_run(self, HEARS)
            .bind(self.write_id.0)
            .bind(&self.name)
            .fetch_optional(&mut *conn);
        let Some(run) = hears.await.map_err(before_commit)? else {
            return Ok(Signalled::Gone);
        };
        if rows::get(&run, "resent")? {
            return Ok(Signalled::Sent);
        }
        if rows::state(&run)?.is_finished() {
            return Ok(Signalled::Gone);
        }
        if self.once && rows::get(&run, "named")? {
            return Ok(Signalled::Refused);
        }
        let sent = about_its_run(self, SIGNAL)
            .bind(self.write_id.0)
            .bind(now)
            .bind(&self.name)
            .bind(&*self.payload.0);
        sent.execute(&mut *conn).await.map_err(before_commit)?;
        let counted = about_its_run(self, COUNT_SIGNAL).bind(now).execute(conn);
        counted.await.map_err(before_commit)?;
        Ok(Signalled::Sent)
    }
}

/// A statement about the run that a signal is sent to.
fn about_its_run<'q>(signal: &NewSignal, text: &'static str) -> Query<'q> {
    sqlx::query(text).bind(signal.id.0).bind(signal.run.0)
}

impl Write for NewProgress {
    type Answer = Verdict;

    fn bytes(&self) -> usize {
        self.checkpoint.output.len()
    }

    async fn apply(&self, conn: &mut SqliteConnection, now: i64) -> Result<Verdict, StoreError> {
        let new = &self.checkpoint;
        let put_down = bind_fence(sqlx::query(PROGRESS), &self.fence)
            .bind(&new.step)
            .bind(new.seq)
            .bind(self.worker.0)
            .bind(self.write_id.0)
            .bind(new.attempt)
            .bind(new.lost)
            .bind(now)
            .bind(&*new.output.0);
        Ok(match wrote_one(put_down, conn).await? {
            true => Verdict::Written,
            false => Verdict::Fenced,
        })
    }
}
