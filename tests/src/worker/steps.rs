//! What do a victim's steps do? They note their attempt, stop at their gate, and go on.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::notebook::{BOOK, Notebook};
use crate::protocol::{Attempt, Event, Mishap, Side, Trail};
use keystep::clock::micros_of;
use keystep::{Retry, Schema, StepContext, StepError, StepResult};
use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;
use tokio::sync::watch;

use super::voice::Voice;
use super::{golden, kinds, releases};
use crate::releases::Release;

/// Later than any test.
const A_CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

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
    // Keys of these two are soon free to be used anew.
    let soon_free = Duration::from_secs(60);
    let brisk = Schema::new("brisk")
        .retention(soon_free)
        .step("first", plain)
        .step("book", booking)
        .retry(Retry::attempts(3).first_delay(Duration::from_millis(10)))
        .step("last", plain)
        .build();
    // It is put down as `waiting` for each of its delays.
    let put_down = Retry::attempts(3)
        .first_delay(Duration::from_millis(300))
        .growth(1.0)
        .hold(Duration::ZERO);
    let patient = Schema::new("patient")
        .retention(soon_free)
        .step("first", plain)
        .retry(put_down)
        .step("book", booking)
        .retry(put_down)
        .step("last", plain)
        .build();
    let mut all = HashMap::from([
        ("three".to_owned(), three),
        ("booked".to_owned(), booked),
        ("brisk".to_owned(), brisk),
        ("patient".to_owned(), patient),
    ]);
    all.insert(kinds::NAME.to_owned(), kinds::schema());
    all.extend(releases::schemas(release));
    all.extend(golden::schemas(release));
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
pub(super) async fn plain(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    let done = work(&cx, &site, &attempt, &trail, cx.step_name()).await;
    trail.nonces.push(attempt.end(done)?);
    Ok(trail)
}

/// What all steps do: note the attempt, stop at the gates, take some time, and perhaps fail.
pub(super) async fn work(
    cx: &StepContext,
    site: &Site,
    attempt: &Entered,
    trail: &Trail,
    gate: &str,
) -> StepResult<()> {
    site.pass(attempt, &format!("{gate}/entered")).await;
    site.note(attempt).await?;
    site.pass(attempt, gate).await;
    dwell(trail.dwell_ms).await;
    mishap(cx, trail, &attempt.attempt)
}

/// A step that writes into the store's database, exactly once. It has more gates: `book/opened` in
/// the empty transaction, `book/written` after its statement, `book/enlisted` before its end.
async fn booking(cx: StepContext, mut trail: Trail) -> StepResult<Trail> {
    let site = cx.get::<Site>()?;
    let attempt = Entered::now(&cx, site.voice);
    let done = match work(&cx, &site, &attempt, &trail, cx.step_name()).await {
        Ok(()) => site.store.book(&cx, &site, &attempt, &trail).await,
        Err(error) => Err(error),
    };
    trail.nonces.push(attempt.end(done)?);
    Ok(trail)
}

/// Takes a part of the time that the caller allows.
async fn dwell(at_most_ms: u64) {
    let part = uuid::Uuid::new_v4().as_u128() % (u128::from(at_most_ms) + 1);
    tokio::time::sleep(Duration::from_millis(u64::try_from(part).unwrap_or(0))).await;
}

/// What goes wrong. A failure names the attempt, so that it can be told from every other one.
fn mishap(cx: &StepContext, trail: &Trail, attempt: &Attempt) -> StepResult<()> {
    let Attempt {
        nonce, step: here, ..
    } = attempt;
    let planned = trail.mishap.iter();
    let mut happens = planned
        .filter(|(step, _mishap)| step == here && cx.attempt() == 1)
        .map(|(_step, mishap)| *mishap)
        .chain(
            trail
                .risks
                .iter()
                .filter(|risk| {
                    risk.step == *here && uuid::Uuid::new_v4().as_u128() % 100 < risk.percent.into()
                })
                .map(|risk| risk.mishap),
        );
    match happens.next() {
        None => Ok(()),
        Some(Mishap::Error) => {
            Err(StepError::retry(format!("the partner is down: {nonce}")).code("partner_down"))
        }
        Some(Mishap::Terminal) => {
            Err(StepError::terminal(format!("the partner refused: {nonce}")).code("refused"))
        }
        Some(Mishap::Panic) => panic!("the partner's answer made no sense: {nonce}"),
        Some(Mishap::Misread) => cx.input::<u64>().map(drop),
        Some(Mishap::Later) => {
            let asked = StepError::retry_after("the partner is closed", A_CENTURY);
            Err(asked.code("partner_closed"))
        }
    }
}

/// A store that a step can write to.
pub(crate) trait Book: Send + Sync {
    /// Writes the attempt's row and hands the transaction over, stopping at the gates.
    fn book<'a>(
        &'a self,
        cx: &'a StepContext,
        site: &'a Site,
        attempt: &'a Entered,
        trail: &'a Trail,
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
                trail: &'a Trail,
            ) -> Pin<Box<dyn Future<Output = StepResult<()>> + Send + 'a>> {
                Box::pin(async move {
                    let mut transaction = self.transaction(cx).await?;
                    site.pass(attempt, "book/opened").await;
                    sqlx::query(BOOK)
                        .bind(&attempt.attempt.nonce)
                        .bind(&attempt.attempt.execution)
                        .bind(attempt.attempt.epoch)
                        .execute(&mut *transaction)
                        .await?;
                    site.pass(attempt, "book/written").await;
                    // Short: on SQLite nobody else can write meanwhile.
                    dwell(trail.dwell_ms / 10).await;
                    cx.enlist(transaction)?;
                    site.pass(attempt, "book/enlisted").await;
                    Ok(())
                })
            }
        }
    };
}

book_in!(SqliteStore);
book_in!(PostgresStore);

impl Site {
    pub(super) async fn note(&self, entered: &Entered) -> StepResult<()> {
        if let Some(notebook) = &self.notebook {
            notebook.note(&entered.attempt).await?;
        }
        Ok(())
    }

    pub(super) async fn pass(&self, entered: &Entered, gate: &str) {
        if self.gates.holds_this_one() {
            let (side, points) = (Side::Inside, vec![gate.to_owned()]);
            self.voice.say(&Event::Halted { side, points });
            self.gates.released().await;
        }
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
pub(crate) struct Gates {
    gates: Mutex<HashMap<String, watch::Sender<bool>>>,
    /// How many more are passed until one holds.
    left: AtomicU64,
    released: watch::Sender<bool>,
}

impl Gates {
    /// All open, of which the n-th that somebody comes to holds until it is released.
    pub(crate) fn new(holds: Option<u64>) -> Self {
        Self {
            gates: Mutex::default(),
            left: AtomicU64::new(holds.unwrap_or(u64::MAX)),
            released: watch::Sender::new(false),
        }
    }

    fn holds_this_one(&self) -> bool {
        self.left.fetch_sub(1, Ordering::SeqCst) == 1
    }

    async fn released(&self) {
        // The sender lives as long as the process.
        let mut released = self.released.subscribe();
        let _released = released.wait_for(|released| *released).await;
    }

    /// Lets go on who is held at the n-th gate.
    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

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

/// An attempt that is under way. Dropping it before it leaves tells that it was ended from outside,
/// or that it panicked: then it has failed.
pub(crate) struct Entered {
    pub(super) attempt: Attempt,
    voice: Voice,
    left: bool,
}

impl Entered {
    pub(crate) fn now(cx: &StepContext, voice: Voice) -> Self {
        Self::of(cx, voice, cx.step_name())
    }

    /// Of something that is done for a step, under a name of its own.
    pub(super) fn of(cx: &StepContext, voice: Voice, step: &str) -> Self {
        let attempt = Attempt {
            nonce: uuid::Uuid::now_v7().to_string(),
            execution: cx.execution_id().to_string(),
            run: cx.run_id().to_string(),
            step: step.to_owned(),
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
    pub(crate) fn end(mut self, done: StepResult<()>) -> StepResult<String> {
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
            let attempt = self.attempt.clone();
            self.voice.say(&match std::thread::panicking() {
                true => Event::Failing(attempt),
                false => Event::Cancelled(attempt),
            });
        }
    }
}
