//! What came of acquisitions? One statement for all of a batch, and a look at those that carried
//! their claim already.

use std::collections::HashMap;

use keystep::execution::{ExecutionRecord, Fence};
use keystep::store::{Acquire, Acquired};

use super::{Answer, BUSY, fetch, find};
use crate::bind;
use crate::error::Trouble;
use crate::lanes::Line;
use crate::op::Done;
use crate::rows::{self, column};

pub(super) async fn acquire(line: &mut Line, acquires: &[&Acquire]) -> Result<Vec<Answer>, Trouble> {
    let offset = line.clock.offset_micros();
    let query = sqlx::query(line.sql.acquire.clone()).bind(offset);
    let rows = fetch(line, bind::acquires(query, acquires)).await?;

    let mut codes: HashMap<i64, i32> = HashMap::new();
    let mut won = HashMap::new();
    let mut incarnation = 0;
    for row in &rows {
        let ord: i64 = column(row, 0)?;
        incarnation = column(row, 2)?;
        match column(row, 1)? {
            WON => {
                won.insert(ord, rows::record(row, 3, offset));
            }
            code => {
                codes.insert(ord, code);
            }
        }
    }
    let mut answers = Vec::with_capacity(acquires.len());
    for (ord, acquire) in (1_i64..).zip(acquires) {
        let answer = match (won.remove(&ord), codes.get(&ord)) {
            (Some(record), _) => self::won(acquire, record, incarnation),
            (None, Some(&CARRIES_THE_CLAIM)) => {
                let mut found = find(line, vec![acquire.seen.id.0], offset).await?;
                match found.remove(&acquire.seen.id) {
                    Some(record) => self::won(acquire, record, incarnation),
                    None => lost(),
                }
            }
            (None, Some(&BUSY) | None) => Answer::Busy,
            (None, Some(_)) => lost(),
        };
        answers.push(answer);
    }
    Ok(answers)
}

/// Verdicts of `acquire.sql` beside those that it shares with `commit.sql`.
const WON: i32 = 0;
const CARRIES_THE_CLAIM: i32 = 2;

fn lost() -> Answer {
    Answer::Done(Done::Acquired(Acquired::Lost))
}

fn won(acquire: &Acquire, record: Result<ExecutionRecord, Trouble>, incarnation: i64) -> Answer {
    match record {
        Ok(record) if carries(&record, acquire) => {
            let fence = Fence {
                execution: record.id,
                run: record.run,
                claim: record.claim,
                incarnation,
            };
            let record = Box::new(record);
            Answer::Done(Done::Acquired(Acquired::Won { record, fence }))
        }
        Ok(_another_claim_by_now) => lost(),
        Err(trouble) => Answer::Failed(trouble.of_read()),
    }
}

/// Whether the acquisition made the present claim.
fn carries(record: &ExecutionRecord, acquire: &Acquire) -> bool {
    record.claim.token == acquire.token && record.claim.epoch == acquire.seen.claim.epoch + 1
}
