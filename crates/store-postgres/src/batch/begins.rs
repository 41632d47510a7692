//! What came of the begins of a batch? New ones are named by the statement that began them, known ones
//! are read: by the same statement where it has only begins, else by a statement of its own.

use std::collections::{HashMap, HashSet};

#[cfg(feature = "planted")]
use keystep::bugs::{Bug, is_planted};
use keystep::execution::{Claim, ExecutionId, ExecutionRecord, Fence};
use keystep::store::{Begin, Begun};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{Answer, find};
use crate::error::Trouble;
use crate::lanes::Line;
use crate::op::Done;
use crate::rows::{self, column};

/// The kind of a row of `begin.sql` that names what was begun; any other is an existing execution.
const BEGUN: i32 = 0;

/// What came of the begins of a batch.
#[derive(Default)]
pub(super) struct Begins {
    /// Inserted by this statement: the tokens of their claims.
    begun: HashSet<Uuid>,
    /// There already.
    existing: HashMap<ExecutionId, Result<ExecutionRecord, Trouble>>,
    incarnation: i64,
}

impl Begins {
    /// Those that `write.sql` names.
    pub(super) fn begun(incarnation: i64, tokens: Vec<Uuid>) -> Self {
        Self {
            begun: tokens.into_iter().collect(),
            existing: HashMap::new(),
            incarnation,
        }
    }

    /// Takes in a row of `begin.sql`.
    pub(super) fn read(&mut self, row: &PgRow, offset: i64) -> Result<(), Trouble> {
        self.incarnation = column(row, 1)?;
        if column::<i32>(row, 0)? == BEGUN {
            self.begun.insert(column(row, 3)?);
        } else {
            let id = ExecutionId(column(row, 2)?);
            self.existing.insert(id, rows::record(row, 2, offset));
        }
        Ok(())
    }

    /// Reads those that were neither inserted nor in the snapshot: somebody else began them at the
    /// same moment.
    pub(super) async fn read_missing(&mut self, line: &mut Line, begins: &[&Begin], offset: i64) {
        let missing: Vec<Uuid> = begins
            .iter()
            .filter(|begin| !self.knows(begin))
            .map(|begin| begin.id.0)
            .collect();
        if missing.is_empty() {
            return;
        }
        #[cfg(feature = "planted")]
        if is_planted(Bug::BeginInOneStatement) {
            let nothing = || Err(Trouble::Unreadable("neither begun nor there".to_owned()));
            let ids = missing.into_iter().map(ExecutionId);
            return self.existing.extend(ids.map(|id| (id, nothing())));
        }
        // What can not be read now is begun again.
        if let Ok(records) = find(line, missing, offset).await {
            self.existing.extend(records);
        }
    }

    fn knows(&self, begin: &Begin) -> bool {
        self.begun.contains(&begin.token) || self.existing.contains_key(&begin.id)
    }

    pub(super) fn answer(&self, begin: &Begin) -> Answer {
        let started = || {
            Answer::Done(Done::Begun(Begun::Started(Fence {
                execution: begin.id,
                run: begin.run,
                claim: Claim {
                    epoch: 1,
                    token: begin.token,
                },
                incarnation: self.incarnation,
            })))
        };
        if self.begun.contains(&begin.token) {
            return started();
        }
        match self.existing.get(&begin.id) {
            Some(Ok(record)) if record.run == begin.run && record.claim.token == begin.token => started(),
            Some(Ok(record)) => Answer::Done(Done::Begun(Begun::Exists(Box::new(record.clone())))),
            Some(Err(trouble)) => Answer::Failed(trouble.clone().of_read()),
            None => Answer::Busy,
        }
    }
}
