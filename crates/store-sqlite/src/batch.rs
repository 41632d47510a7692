//! How do many writes become a few statements? Those of one kind are rows of one statement, and all
//! statements are one text: the driver runs texts on another thread, and the way there and back
//! costs more than a row.
//!
//! This is the quick way, for the case that everything can be written: it counts rows and knows
//! nothing about any of them. When a row is missing (a fence does not hold, a key is there already),
//! each write runs by itself and says why.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use keystep::store::{Begin, NewCheckpoint, StoreError};
use sqlx::sqlite::SqliteArguments;
use sqlx::{SqlStr, Sqlite};

use crate::sql;
use crate::writer::{Transaction, Writer};
use crate::writes::begin::{BEGINS, bind_begin, started};
use crate::writes::commit::{
    CHECKPOINTS, Ending, Record, SETTLES, WRITTEN_NOW, bind_checkpoint, bind_ending,
};

/// A statement that values are being bound to.
pub(crate) type Query<'q> = sqlx::query::Query<'q, Sqlite, SqliteArguments>;

/// A write that can be a row among others.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Row<'a> {
    /// A row of `begins.sql`.
    Begin(&'a Begin),
    /// A row of `checkpoints.sql`, of `settles.sql`, or one of each.
    Record(&'a Record),
}

impl Row<'_> {
    /// The answer of the write when its rows were written.
    pub(crate) fn answer(self) -> Box<dyn Any + Send> {
        match self {
            Self::Begin(begin) => Box::new(started(begin)),
            Self::Record(_) => Box::new(WRITTEN_NOW),
        }
    }
}

/// The rows of a batch, by statement.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    now: i64,
    begins: Vec<&'a Begin>,
    checkpoints: Vec<(&'a Record, &'a NewCheckpoint)>,
    endings: Vec<(&'a Record, Ending<'a>)>,
}

impl<'a> Batch<'a> {
    pub(crate) fn of(rows: impl IntoIterator<Item = Row<'a>>, now: i64) -> Self {
        let mut batch = Self {
            now,
            begins: Vec::new(),
            checkpoints: Vec::new(),
            endings: Vec::new(),
        };
        for row in rows {
            match row {
                Row::Begin(begin) => batch.begins.push(begin),
                Row::Record(record) => {
                    batch
                        .checkpoints
                        .extend(record.checkpoint.iter().map(|step| (record, step)));
                    batch
                        .endings
                        .extend(Ending::of(&record.then, now).map(|ending| (record, ending)));
                }
            }
        }
        batch
    }

    /// Writes the rows in a transaction that stays open; `None` when some could not be written, and
    /// then none is.
    pub(crate) async fn write(&self, writer: &Writer) -> Result<Option<Transaction>, StoreError> {
        let text = self.text(writer, Around::Begin);
        let (transaction, written) = writer.begin_with(text, 1 + self.statements()).await?;
        if written == self.len() as u64 {
            return Ok(Some(transaction));
        }
        transaction.rollback().await;
        Ok(None)
    }

    /// Writes and commits the rows of one write; whether they could be written. They can all or none:
    /// the fence of a step that is recorded holds for the end that comes with it.
    pub(crate) async fn write_alone(&self, writer: &Writer) -> Result<bool, StoreError> {
        let written = match self.statements() {
            1 => writer.at_once(self.text(writer, Around::Nothing), 1).await?,
            writes => {
                let text = self.text(writer, Around::Transaction);
                writer.at_once(text, 1 + writes + 1).await?
            }
        };
        Ok(written == self.len() as u64)
    }

    /// How many statements write the rows.
    fn statements(&self) -> usize {
        let rows = [self.begins.len(), self.checkpoints.len(), self.endings.len()];
        rows.map(sql::statements).iter().sum()
    }

    fn len(&self) -> usize {
        self.begins.len() + self.checkpoints.len() + self.endings.len()
    }

    /// The statements that write the rows, with others around them.
    fn text(&self, writer: &Writer, around: Around) -> Query<'_> {
        let rows = [self.begins.len(), self.checkpoints.len(), self.endings.len()];
        let query = sqlx::query(writer.texts().of(around, rows));
        let values = const { sql::values(BEGINS) };
        let query = all(query, values, &self.begins, |query, begin| {
            bind_begin(query, begin, self.now)
        });
        let values = const { sql::values(CHECKPOINTS) };
        let query = all(query, values, &self.checkpoints, |query, (record, step)| {
            bind_checkpoint(query, record, step, self.now)
        });
        let values = const { sql::values(SETTLES) };
        all(query, values, &self.endings, |query, (record, ending)| {
            bind_ending(query, record, ending)
        })
    }
}

/// What stands around the statements that write rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Around {
    Nothing,
    /// The begin of a transaction that stays open.
    Begin,
    /// A whole transaction.
    Transaction,
}

/// The texts of batches. Those for few rows are kept: joining one takes longer than all else that is done
/// here for a lone write.
#[derive(Debug, Clone, Default)]
pub(crate) struct Texts {
    kept: Arc<Mutex<BTreeMap<Form, SqlStr>>>,
}

/// What a text is for, and its rooms for begins, checkpoints and endings.
type Form = (Around, [usize; 3]);

/// Texts with more rows of one kind are joined anew each time: they are large, and there are many.
const KEPT_ROWS: usize = 16;

impl Texts {
    /// The text for so many begins, checkpoints and endings.
    fn of(&self, around: Around, rows: [usize; 3]) -> SqlStr {
        // Above that, how many statements there are is not told by the rooms.
        const { assert!(KEPT_ROWS <= sql::MOST) }
        let rooms = rows.map(sql::room);
        if rooms.iter().any(|room| *room > KEPT_ROWS) {
            return joined(around, rows);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let text = kept.entry((around, rooms));
        text.or_insert_with(|| joined(around, rows)).clone()
    }
}

fn joined(around: Around, [begins, checkpoints, endings]: [usize; 3]) -> SqlStr {
    let rows = [(BEGINS, begins), (CHECKPOINTS, checkpoints), (SETTLES, endings)];
    match around {
        Around::Nothing => sql::joined(&[], &rows, &[]),
        Around::Begin => sql::joined(&[sql::BEGIN_IMMEDIATE], &rows, &[]),
        Around::Transaction => sql::joined(&[sql::BEGIN_IMMEDIATE], &rows, &[sql::COMMIT]),
    }
}

/// Binds the rows of one statement, of so many values each, and NULL for each value of the rows that its
/// text has too many.
pub(crate) fn all<'q, T>(
    query: Query<'q>,
    values: usize,
    rows: &'q [T],
    bind: impl Fn(Query<'q>, &'q T) -> Query<'q>,
) -> Query<'q> {
    let query = rows.iter().fold(query, bind);
    let missing = (sql::room(rows.len()) - rows.len()) * values;
    (0..missing).fold(query, |query, _value| query.bind(None::<i64>))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_kept_is_the_one_that_would_be_joined() {
        let texts = Texts::default();
        let counts = [0, 1, 2, 4, 5, 16, 17, 64, 65];
        for around in [Around::Nothing, Around::Begin, Around::Transaction] {
            for begins in counts {
                for checkpoints in counts {
                    let rows = [begins, checkpoints, begins / 2];
                    for _again in 0..2 {
                        assert_eq!(texts.of(around, rows).as_str(), joined(around, rows).as_str());
                    }
                }
            }
        }
        let kept = texts.kept.lock().expect("no panic under this lock");
        assert!(
            (1..=3 * 4_usize.pow(3)).contains(&kept.len()),
            "few: {}",
            kept.len()
        );
    }
}
