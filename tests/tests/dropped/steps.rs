//! What can a step do with a transaction of its own? Open it, write, hand it over; and give each of
//! these up half-way.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keystep::store::Store;
use keystep::{IntoEnlisted, Retry, Schema, StepContext, StepError, StepResult};
use keystep_postgres::{PostgresStore, StepTransaction};
use keystep_sqlite::{SqliteStore, SqliteTransaction};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use system_tests::notebook::BOOK;
use tokio::sync::Barrier;

use crate::drops::{after_polls, some_polls};

/// A store whose steps have transactions.
pub(crate) trait Books: Store + Clone {
    /// How many transactions can be open at once.
    const CONNECTIONS: usize;

    type Transaction: IntoEnlisted + Send + 'static;

    fn open(&self, cx: &StepContext) -> impl Future<Output = StepResult<Self::Transaction>> + Send;

    /// Writes a row of the ledger.
    fn book(
        transaction: &mut Self::Transaction,
        nonce: String,
        cx: &StepContext,
    ) -> impl Future<Output = Result<(), sqlx::Error>> + Send;
}

macro_rules! books {
    ($store:ty, $transaction:ty, $connections:literal) => {
        impl Books for $store {
            const CONNECTIONS: usize = $connections;

            type Transaction = $transaction;

            async fn open(&self, cx: &StepContext) -> StepResult<$transaction> {
                self.transaction(cx).await
            }

            async fn book(
                transaction: &mut $transaction,
                nonce: String,
                cx: &StepContext,
            ) -> Result<(), sqlx::Error> {
                let book = sqlx::query(BOOK)
                    .bind(nonce)
                    .bind(cx.execution_id().to_string())
                    .bind(cx.fence().claim.epoch);
                book.execute(&mut **transaction).await.map(drop)
            }
        }
    };
}

books!(PostgresStore, StepTransaction, 8);
books!(SqliteStore, SqliteTransaction, 1);

/// What a step does with its transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Twist {
    /// Opens, writes, hands over.
    None,
    /// Drops the call that opens, and opens another one.
    DropsOpening,
    /// Drops its statement, and the transaction with it.
    DropsStatement,
    /// Drops the transaction after the write, and succeeds without it.
    Forgets,
    /// Hands over, then fails.
    FailsAfterwards,
    /// Hands over, then stays until it is ended from outside, or for a while.
    Stays,
    /// Panics with the transaction in its hands.
    Panics,
    /// Is dropped as a whole, wherever it is.
    DropsAll,
}

const TWISTS: [Twist; 8] = [
    Twist::None,
    Twist::DropsOpening,
    Twist::DropsStatement,
    Twist::Forgets,
    Twist::FailsAfterwards,
    Twist::Stays,
    Twist::Panics,
    Twist::DropsAll,
];

/// What the steps of a run share.
#[derive(Clone)]
pub(crate) struct Site<S> {
    pub(crate) store: S,
    pub(crate) seed: u64,
    /// How often each twist was played.
    pub(crate) played: Arc<Mutex<BTreeMap<Twist, u32>>>,
    /// Where steps meet that have a transaction each.
    pub(crate) together: Arc<Barrier>,
}

/// The nonce of the row that the recorded attempt has left, if it has left one.
pub(crate) type Left = Option<String>;

pub(crate) fn schema<S: Books>() -> Schema<u64, Left> {
    Schema::new("dropped")
        .step("book", booking::<S>)
        .retry(
            Retry::attempts(1_000)
                .first_delay(Duration::from_millis(1))
                .growth(1.0),
        )
        .step("last", last)
        .build()
}

async fn last(_cx: StepContext, left: Left) -> StepResult<Left> {
    Ok(left)
}

async fn booking<S: Books>(cx: StepContext, number: u64) -> StepResult<Left> {
    let site = cx.get::<Site<S>>()?;
    let mut chance = StdRng::seed_from_u64(site.seed ^ number << 16 ^ u64::from(cx.attempt()));
    // An execution is not to be dropped for ever.
    let twist = match cx.attempt() {
        1..=3 => TWISTS[chance.random_range(0..TWISTS.len())],
        _ => Twist::None,
    };
    if let Ok(mut played) = site.played.lock() {
        *played.entry(twist).or_default() += 1;
    }
    let polls = some_polls(&mut chance);
    if twist != Twist::DropsAll {
        return twisted(&cx, &site, twist, polls).await;
    }
    match after_polls(polls, twisted(&cx, &site, Twist::None, polls)).await {
        Some(done) => done,
        None => Err(StepError::retry("dropped")),
    }
}

async fn twisted<S: Books>(cx: &StepContext, site: &Site<S>, twist: Twist, polls: u32) -> StepResult<Left> {
    let mut transaction = match twist {
        Twist::DropsOpening => match after_polls(polls, site.store.open(cx)).await {
            Some(opened) => opened?,
            None => site.store.open(cx).await?,
        },
        _ => site.store.open(cx).await?,
    };
    let nonce = uuid::Uuid::now_v7().to_string();
    if twist == Twist::DropsStatement {
        let booked = after_polls(polls, S::book(&mut transaction, nonce, cx)).await;
        return Err(StepError::retry(format!("dropped: {booked:?}")));
    }
    S::book(&mut transaction, nonce.clone(), cx).await?;
    match twist {
        Twist::Forgets => return Ok(None),
        Twist::Panics => std::panic::resume_unwind(Box::new("with a transaction in its hands")),
        _ => cx.enlist(transaction)?,
    }
    match twist {
        Twist::FailsAfterwards => return Err(StepError::retry("after it was handed over")),
        Twist::Stays => tokio::time::sleep(Duration::from_millis(u64::from(polls))).await,
        _ => {}
    }
    Ok(Some(nonce))
}

/// A step that holds a transaction until as many others do too.
pub(crate) fn meeting<S: Books>() -> Schema<u64, Left> {
    Schema::new("meeting").step("meet", meet::<S>).build()
}

async fn meet<S: Books>(cx: StepContext, _number: u64) -> StepResult<Left> {
    let site = cx.get::<Site<S>>()?;
    let mut transaction = site.store.open(&cx).await?;
    let nonce = uuid::Uuid::now_v7().to_string();
    S::book(&mut transaction, nonce.clone(), &cx).await?;
    site.together.wait().await;
    cx.enlist(transaction)?;
    Ok(Some(nonce))
}
