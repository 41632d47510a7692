//! What do a victim's steps do? They note their attempt, stop at their gate, and go on.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::notebook::{BOOK, Notebook};
use crate::protocol::{Attempt, Event, Mishap, Trail};
use keystep::clock::micros_of;
use keystep::{Schema, StepContext, StepError, StepResult};
use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;
use tokio::sync::watch;

use super::args::Release;
use super::voice::Voice;

/// The longest chain.
const LONGEST: usize = 12;

/// All schemas of a release, by the name that a test uses.
pub(crate) fn schemas(release: Release) -> HashMap<String, Schema<Trail, Trail>> {
    let three = Schema::new("three")
        .step("first", plain)
        .step("second", plain)
        .step("third", plain)
        .build();
    let booked = Schema::new("booked")
        .step("first", plain)
        .step("book", booking)
        .step("last", plain)
        .build();
    let old = Schema::new("changing")
        .step("first", plain)
        .step("second", plain)
        .build();
    let mut all = HashMap::from([
        ("three".to_owned(), three),
        ("booked".to_owned(), booked),
        ("changing".to_owned(), old),
    ]);
    if release == Release::New {
        let new = Schema::new("changing")
            .step("first", plain)
            .step("second", plain)
            .step("third", plain)
            .build();
        all.insert("changing/new".to_owned(), new);
    }
    for length in 1..=LONGEST {
        let name = format!("chain-{length}");
        let mut chain = Schema::new(name.clone()).step("step-1", plain);
        for number in 2..=length {
            chain = chain.step(format!("step-{number}"), plain);
        }
        all.insert(name, chain.build());
    }
    all
}

/// What the steps share.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) voice: Voice,
    pub(crate) gates: Arc<Gates>,
    pub(crate) notebook: Option<Notebook>,
    pub(crate) store: Arc<dyn Book>,
}

/// A step that does its work outside of the store. It has a gate of its name between its work and
/// its result, and one before its work: `step/entered`.
async fn plain(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    site.pass(&attempt, &format!("{}/entered", cx.step())).await;
    site.note(&attempt).await?;
    site.pass(&attempt, cx.step()).await;
    dwell(&trail).await;
    let done = mishap(&cx, &trail);
    trail.nonces.push(attempt.end(done)?);
    Ok(trail)
}

/// A step that writes into the store's database, exactly once. It has a second gate, `book/written`,
/// between its statement and its end.
async fn booking(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    site.note(&attempt).await?;
    site.pass(&attempt, cx.step()).await;
    let done = site.store.book(&cx, &site, &attempt).await;
    trail.nonces.push(attempt.end(done)?);
    Ok(trail)
}

/// Takes some of the time that the caller allows.
async fn dwell(trail: &Trail) {
    let some = uuid::Uuid::new_v4().as_u128() % (u128::from(trail.dwell_ms) + 1);
    tokio::time::sleep(Duration::from_millis(u64::try_from(some).unwrap_or(0))).await;
}

fn mishap(cx: &StepContext, trail: &Trail) -> StepResult<()> {
    let Some((step, mishap)) = &trail.mishap else {
        return Ok(());
    };
    if step != cx.step() || cx.attempt() > 1 {
        return Ok(());
    }
    match mishap {
        Mishap::Error => Err(StepError::retry("the partner is down").code("partner_down")),
        Mishap::Terminal => Err(StepError::terminal("the partner refused").code("refused")),
        Mishap::Panic => panic!("the partner's answer made no sense"),
        Mishap::Misread => cx.input::<u64>().map(drop),
    }
}

/// A store that a step can write to.
pub(crate) trait Book: Send + Sync {
    /// Writes the attempt's row, stops at the gate, hands the transaction over.
    fn book<'a>(
        &'a self,
        cx: &'a StepContext,
        site: &'a Site,
        attempt: &'a Entered,
    ) -> Pin<Box<dyn Future<Output = StepResult<()>> + Send + 'a>>;
}

macro_rules! book_in {
    ($store:ty) => {
        impl Book for $store {
            fn book<'a>(
                &'a self,
                cx: &'a StepContext,
                site: &'a Site,
                attempt: &'a Entered,
            ) -> Pin<Box<dyn Future<Output = StepResult<()>> + Send + 'a>> {
                Box::pin(async move {
                    let mut transaction = self.transaction(cx).await?;
                    sqlx::query(BOOK)
                        .bind(&attempt.attempt.nonce)
                        .bind(&attempt.attempt.execution)
                        .bind(attempt.attempt.epoch)
                        .execute(&mut *transaction)
                        .await?;
                    site.pass(attempt, "book/written").await;
                    cx.enlist(transaction)
                })
            }
        }
    };
}

book_in!(SqliteStore);
book_in!(PostgresStore);

impl Site {
    async fn note(&self, entered: &Entered) -> StepResult<()> {
        if let Some(notebook) = &self.notebook {
            notebook.note(&entered.attempt).await?;
        }
        Ok(())
    }

    async fn pass(&self, entered: &Entered, gate: &str) {
        let mut open = self.gates.of(gate);
        if !*open.borrow() {
            let mut attempt = entered.attempt.clone();
            gate.clone_into(&mut attempt.step);
            self.voice.say(&Event::AtGate(attempt));
        }
        // The sender lives as long as the process.
        let _opened = open.wait_for(|open| *open).await;
    }
}

/// Gates by step; open unless somebody closed them.
#[derive(Default)]
pub(crate) struct Gates {
    gates: Mutex<HashMap<String, watch::Sender<bool>>>,
}

impl Gates {
    /// Opens or closes a gate.
    pub(crate) fn set(&self, gate: &str, open: bool) {
        self.with(gate, |gate| {
            gate.send_replace(open);
        });
    }

    fn of(&self, gate: &str) -> watch::Receiver<bool> {
        self.with(gate, |gate| gate.subscribe())
    }

    fn with<T>(&self, gate: &str, work: impl FnOnce(&watch::Sender<bool>) -> T) -> T {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let gate = gates
            .entry(gate.to_owned())
            .or_insert_with(|| watch::Sender::new(true));
        work(gate)
    }
}

/// An attempt that is under way. Dropping it before it leaves tells that it was ended from outside.
pub(crate) struct Entered {
    attempt: Attempt,
    voice: Voice,
    left: bool,
}

impl Entered {
    fn now(cx: &StepContext, voice: Voice) -> Self {
        let attempt = Attempt {
            nonce: uuid::Uuid::now_v7().to_string(),
            execution: cx.execution_id().to_string(),
            run: cx.run_id().to_string(),
            step: cx.step().to_owned(),
            epoch: cx.fence().claim.epoch,
            attempt: cx.attempt().into(),
            worker: cx.worker_id().to_string(),
            pid: std::process::id().into(),
            began: micros_of(SystemTime::now()),
        };
        voice.say(&Event::Entered(attempt.clone()));
        Self {
            attempt,
            voice,
            left: false,
        }
    }

    /// Ends it with its nonce, or with the error.
    fn end(mut self, done: StepResult<()>) -> StepResult<String> {
        self.left = true;
        let attempt = self.attempt.clone();
        self.voice.say(&match &done {
            Ok(()) => Event::Leaving(attempt),
            Err(_error) => Event::Failing(attempt),
        });
        done.map(|()| self.attempt.nonce.clone())
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if !self.left {
            self.voice.say(&Event::Cancelled(self.attempt.clone()));
        }
    }
}
