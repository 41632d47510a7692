//! What is behind the doors when a test has opened them? One set of [`Hooks`] a process; what they
//! obey is in the database, so that all processes and the next one obey it too.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::ExecutionId;
use keystep::store::{Store, StoreError};
use keystep::{Publisher, StepContext, StepError, StepResult};
use keystep_postgres::PostgresStore;
use keystep_sqlite::SqliteStore;
use tokio::sync::watch;

use super::fault::{AUTHORIZE, CHARGE, Fault, Mode, RESERVE};
use super::provider::Controls;
use super::publisher::Watched;
use super::settings::{Refused, Settings};
use super::store::HookedStore;
use super::tables::Tables;
use crate::database::Schemas;
use crate::shop::ShopError;

/// The variable that opens the doors.
const VARIABLE: &str = "ORDERS_TEST_HOOKS";

/// How long a frozen process stands still when nobody says so.
const FROZEN: Duration = Duration::from_secs(60);

/// The controls of this process; closed ones by default. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hooks {
    pub(super) open: Option<Arc<Open>>,
}

/// Controls that were opened.
pub(super) struct Open {
    pub(super) tables: Tables,
    /// The payment provider, once it is known.
    pub(super) provider: OnceLock<Controls>,
    clock: Clock,
    /// How far `clock` was moved.
    moved: Mutex<Duration>,
    /// Who may do nothing, as it was read last.
    blocked: Mutex<BTreeSet<String>>,
    reading: tokio::sync::Mutex<()>,
    /// How many steps stand still in this process.
    frozen: watch::Sender<u32>,
    /// How many beats of this process were answered.
    beats: watch::Sender<u64>,
    /// Checkpoints after which this process ends.
    fatal: Mutex<HashSet<(ExecutionId, String)>>,
}

/// The effect of a step, and what is to happen after it.
pub struct Effect {
    after: Option<After>,
}

struct After {
    open: Arc<Open>,
    step: String,
    /// The step's idempotency key.
    key: String,
    fault: Option<Fault>,
}

/// Called by a step before its effect.
///
/// # Errors
///
/// What a test asked for: return it from the step.
pub async fn before(cx: &StepContext) -> StepResult<Effect> {
    // A schema that is tried without a service has no hooks.
    let open = cx.get::<Hooks>().ok().and_then(|hooks| hooks.open.clone());
    let Some(open) = open else {
        return Ok(Effect { after: None });
    };
    let step = cx.step_name().to_owned();
    let fault = open.tables.take_fault(&step).await.map_err(StepError::not_done)?;
    if let Some(fault) = fault {
        tracing::warn!(step, mode = ?fault.mode, "a test disturbs this step");
        open.disturb(cx, &step, fault).await?;
    }
    Ok(Effect {
        after: Some(After {
            open,
            step,
            key: cx.idempotency_key(),
            fault,
        }),
    })
}

/// How often a slow step looks whether it was mended.
const LOOK: Duration = Duration::from_millis(50);

/// Under which name charges are counted that a test let the provider decline.
pub(super) const DECLINED_CALLS: &str = "declined_calls";

impl Effect {
    /// Called by a step when its effect is done, before the engine records it.
    pub async fn done(self) {
        let Some(After {
            open,
            step,
            key,
            fault,
        }) = self.after
        else {
            return;
        };
        let counted = match step.as_str() {
            AUTHORIZE | CHARGE => open.tables.count(&format!("steps.{step}")).await,
            // Once per key: a step that runs again finds what it holds already.
            RESERVE => open.tables.count(&format!("steps.{step}/{key}")).await,
            // The others' effects are rows, which can be counted at any time.
            _ => Ok(()),
        };
        if let Err(error) = counted {
            tracing::error!(%error, step, "an effect was not counted");
        }
        if fault.is_some_and(|fault| fault.mode == Mode::CrashAfterEffect) {
            std::process::abort();
        }
    }
}

impl Open {
    fn new(tables: Tables, clock: Clock) -> Self {
        Self {
            tables,
            provider: OnceLock::new(),
            clock,
            moved: Mutex::default(),
            blocked: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            frozen: watch::Sender::new(0),
            beats: watch::Sender::new(0),
            fatal: Mutex::default(),
        }
    }

    /// Does to a step what is to happen before its effect.
    async fn disturb(&self, cx: &StepContext, step: &str, fault: Fault) -> StepResult<()> {
        match fault.mode {
            Mode::Delay => self.delay(step, fault).await?,
            Mode::Transient => return Err(transient()),
            Mode::DelayThenTransient => {
                self.delay(step, fault).await?;
                return Err(transient());
            }
            Mode::Final => {
                if step == CHARGE {
                    self.tables.count(DECLINED_CALLS).await?;
                }
                return Err(StepError::terminal("a test lets this step fail").code(final_code(step)));
            }
            Mode::CrashBefore => std::process::abort(),
            Mode::CrashAfterEffect => {}
            Mode::CrashAfterCheckpoint => {
                locked(&self.fatal).insert((cx.execution_id(), step.to_owned()));
            }
            Mode::Freeze => self.freeze(fault).await,
        }
        Ok(())
    }

    /// Is slow, until the time is over or the test has mended the step.
    async fn delay(&self, step: &str, fault: Fault) -> StepResult<()> {
        let mended = async {
            while !self.tables.is_mended(step).await? {
                tokio::time::sleep(LOOK).await;
            }
            Ok::<(), ShopError>(())
        };
        match tokio::time::timeout(fault.duration(), mended).await {
            Ok(mended) => Ok(mended?),
            Err(_over) => Ok(()),
        }
    }

    /// Stands still without a beat, until the time is over or the run is given up. The time is real,
    /// since a clock that a test moves wakes nobody up.
    async fn freeze(&self, fault: Fault) {
        let still = if fault.ms == 0 { FROZEN } else { fault.duration() };
        let frozen = Frozen::new(&self.frozen);
        tokio::time::sleep(still).await;
        drop(frozen);
        // By the second answer the engine has acted on the first: if this run was given up meanwhile,
        // the step ends here, before its effect.
        let enough = *self.beats.borrow() + 2;
        // The sender lives in `self`, so the wait can not end without the condition.
        let mut beats = self.beats.subscribe();
        let _beaten = beats.wait_for(|beats| *beats >= enough).await;
    }

    /// Reads again what was asked for, and keeps it for the request at hand.
    pub(super) async fn catch_up(&self) -> Result<(), ShopError> {
        // One after the other, so that nobody keeps what was read before somebody else's news.
        let _turn = self.reading.lock().await;
        let settings = self.asked().await?;
        locked(&self.blocked).clone_from(&settings.blocked);
        Ok(())
    }

    /// What was asked for, and this process's clock where it is to be.
    pub(super) async fn asked(&self) -> Result<Settings, ShopError> {
        let settings = self.tables.settings().await?;
        let mut moved = locked(&self.moved);
        if settings.clock > *moved {
            self.clock.advance(settings.clock - *moved);
            *moved = settings.clock;
        }
        Ok(settings)
    }
}

/// While it is there, this process sends no beats.
struct Frozen<'a>(&'a watch::Sender<u32>);

impl<'a> Frozen<'a> {
    fn new(frozen: &'a watch::Sender<u32>) -> Self {
        frozen.send_modify(|frozen| *frozen += 1);
        Self(frozen)
    }
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|frozen| *frozen -= 1);
    }
}

impl Hooks {
    /// The controls of a service on SQLite.
    ///
    /// # Errors
    ///
    /// The database is away or refuses: call again later.
    pub async fn in_sqlite(store: &SqliteStore) -> Result<Self, ShopError> {
        if !are_wanted() {
            return Ok(Self::default());
        }
        Ok(Self::opened(Tables::in_sqlite(store).await?, store.clock()))
    }

    /// The controls of a service on PostgreSQL.
    ///
    /// # Errors
    ///
    /// The database is away or refuses: call again later.
    pub async fn in_postgres(store: &PostgresStore, url: &str, schemas: &Schemas) -> Result<Self, ShopError> {
        if !are_wanted() {
            return Ok(Self::default());
        }
        Ok(Self::opened(
            Tables::in_postgres(url, schemas).await?,
            store.clock(),
        ))
    }

    fn opened(tables: Tables, clock: Clock) -> Self {
        Self {
            open: Some(Arc::new(Open::new(tables, clock))),
        }
    }

    /// The store, which from now on does what the controls say.
    pub fn around<S: Store>(&self, store: S) -> HookedStore<S> {
        HookedStore {
            inner: store,
            hooks: self.clone(),
        }
    }

    /// Where the payment provider is, which is counted and told how to behave.
    pub fn pays_at(&self, provider_url: &str) {
        if let Some(open) = &self.open {
            open.provider.get_or_init(|| Controls::at(provider_url));
        }
    }

    /// The publisher, whose deliveries are counted and can be disturbed.
    pub fn watching<P: Publisher>(&self, publisher: P) -> Watched<P> {
        Watched {
            inner: publisher,
            hooks: self.clone(),
        }
    }

    /// Whether a test has opened them.
    pub fn are_open(&self) -> bool {
        self.open.is_some()
    }

    /// Who is meant by the token `test-<user>`.
    pub fn user(&self, token: &str) -> Option<String> {
        self.open.as_ref()?;
        let user = token.strip_prefix("test-")?;
        (!user.is_empty()).then(|| user.to_owned())
    }

    /// Whether a user may do nothing at present.
    pub fn is_blocked(&self, user: &str) -> bool {
        let open = self.open.as_ref();
        open.is_some_and(|open| locked(&open.blocked).contains(user))
    }

    /// Whether the store may be called; for a write, of which kind.
    pub(super) async fn may(&self, write: Option<Refused>) -> Result<(), StoreError> {
        let Some(open) = &self.open else {
            return Ok(());
        };
        let unavailable = |why: String| Err(StoreError::Unavailable(why));
        match open.asked().await {
            Err(error) => unavailable(error.to_string()),
            Ok(settings) if !settings.store.available => unavailable("a test says so".to_owned()),
            Ok(settings) if write.is_some() && settings.store.fail_on == write => {
                unavailable("a test refuses this kind of write".to_owned())
            }
            Ok(_) => Ok(()),
        }
    }

    /// Ends the process if this was the checkpoint to end at.
    pub(super) fn checkpoint_written(&self, execution: ExecutionId, step: &str) {
        let Some(open) = &self.open else { return };
        if locked(&open.fatal).remove(&(execution, step.to_owned())) {
            std::process::abort();
        }
    }

    /// Notes that a beat was answered.
    pub(super) fn beaten(&self) {
        if let Some(open) = &self.open {
            open.beats.send_modify(|beats| *beats += 1);
        }
    }

    /// Waits while a step of this process stands still.
    pub(super) async fn while_frozen(&self) {
        let Some(open) = &self.open else { return };
        // The sender lives in `open`, so the wait can not end without the condition.
        let mut frozen = open.frozen.subscribe();
        let _thawed = frozen.wait_for(|frozen| *frozen == 0).await;
    }
}

fn are_wanted() -> bool {
    std::env::var(VARIABLE).is_ok_and(|value| value == "1")
}

fn transient() -> StepError {
    StepError::not_done("a test lets this step fail for now").code("upstream-unavailable")
}

/// With which code a step fails for good: that of a failure that it knows.
fn final_code(step: &str) -> &'static str {
    match step {
        RESERVE => "out-of-stock",
        AUTHORIZE | CHARGE => "payment-declined",
        "record_payment" => "order-already-paid",
        _ => "order-state-conflict",
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
