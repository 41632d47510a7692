//! The database server was restarted: are the acknowledged checkpoints still there? The owner
//! acquires its own execution anew, as a takeover from itself, and loads what is stored.

use uuid::Uuid;

use crate::execution::{ExecutionRecord, Seen, State};
use crate::inner::Inner;
use crate::persist::Pause;
use crate::random;
use crate::refusal::Asked;
use crate::runs::LocalRun;
use crate::store::{Acquire, Acquired, How, StoreError};

/// Acquires the run's execution anew; `None` when somebody else has it, or the row is gone.
pub(crate) async fn reacquire(inner: &Inner, run: &LocalRun) -> Option<ExecutionRecord> {
    tracing::warn!(execution = %run.id, "the database server was restarted: acquiring anew");
    let mut pause = Pause::default();
    let mut asked = Asked::new(inner, run.id);
    let mut wanted = Wanted {
        token: random::unpredictable(),
        seen: None,
    };
    loop {
        match once(inner, run, &mut wanted).await {
            Ok(Some(record)) => return Some(record),
            Ok(None) => return None,
            Err(error) => asked.failed(&error),
        }
        if !pause.wait(inner, run).await {
            return None;
        }
    }
}

/// The acquisition that is tried.
struct Wanted {
    token: Uuid,
    /// How the execution looked when it was last sent.
    seen: Option<Seen>,
}

async fn once(
    inner: &Inner,
    run: &LocalRun,
    wanted: &mut Wanted,
) -> Result<Option<ExecutionRecord>, StoreError> {
    let fence = run.fence();
    let found = inner.store.find(vec![run.id]).await?;
    let Some(record) = found.into_iter().next() else {
        return Ok(None);
    };
    // A failover that lost the tail may have lost this owner's own acquisition: what counts is that
    // nobody else took it.
    let mine = record.state == State::Running
        && record.run == fence.run
        && (record.claim == fence.claim || record.claim.token == wanted.token);
    if !mine {
        return Ok(None);
    }
    // What carries its token was won, and the answer lost: it is sent again as it was. Acquired from there,
    // the execution would have another claim with the same token.
    let seen = wanted.seen.filter(|_sent| record.claim.token == wanted.token);
    let seen = *wanted.seen.insert(seen.unwrap_or_else(|| record.seen()));
    let acquire = Acquire {
        seen,
        owner: run.worker,
        token: wanted.token,
        how: How::Resume { keep_tries: true },
    };
    match inner.store.acquire(acquire).await? {
        Acquired::Won { record, fence } => {
            run.set_fence(fence);
            Ok(Some(*record))
        }
        Acquired::Lost => Ok(None),
    }
}
