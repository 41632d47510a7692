//! Does a trial of a schema find what is wrong with it, and nothing that is right? On the memory store;
//! the other stores try theirs in their own tests.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use keystep::testing::{Process, Report, Script, Trial};
use keystep::{MemoryStore, Retry, Schema, StepContext, StepError, StepResult, Verified};

/// A payment provider that does the same key once, and counts what it was sent.
#[derive(Clone, Default)]
struct Gateway {
    charges: Arc<Mutex<HashMap<String, u64>>>,
    requests: Arc<AtomicU32>,
}

impl Gateway {
    fn charge(&self, key: String, cents: u64) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let mut charges = self.charges.lock().expect("no panic under this lock");
        charges.entry(key).or_insert(cents);
    }

    fn charges(&self) -> usize {
        self.charges.lock().expect("no panic under this lock").len()
    }

    fn requests(&self) -> u32 {
        self.requests.load(Ordering::SeqCst)
    }
}

type World = (MemoryStore, Gateway);

/// A trial with a gateway that all processes of a story reach.
fn with_gateway(schema: Schema<u64, u64>) -> Trial<u64, u64, World> {
    Trial::new(schema, 7)
        .world(
            async |clock| (MemoryStore::with_clock(clock), Gateway::default()),
            async |(store, gateway)| Process::on(store.another_handle()).provide(gateway.clone()),
        )
        .at_once(8)
}

async fn add(_cx: StepContext, n: u64) -> StepResult<u64> {
    Ok(n + 1)
}

async fn charge(cx: StepContext, cents: u64) -> StepResult<u64> {
    cx.get::<Gateway>()?.charge(cx.idempotency_key(), cents);
    Ok(cents)
}

/// Its key is another one for each attempt: a mistake.
async fn charge_carelessly(cx: StepContext, cents: u64) -> StepResult<u64> {
    let key = keystep::random::unpredictable().to_string();
    cx.get::<Gateway>()?.charge(key, cents);
    Ok(cents)
}

fn good() -> Schema<u64, u64> {
    Schema::new("test.good")
        .step("add", add)
        .step("charge", charge)
        .step("again", add)
        .build()
}

/// The panic of a run.
async fn panic_of(run: impl Future<Output = Report>) -> String {
    let panic = AssertUnwindSafe(run).catch_unwind().await;
    *panic
        .expect_err("the mistake was not found")
        .downcast::<String>()
        .expect("a text")
}

/// The script that a panic prints.
fn script_of(panic: &str) -> String {
    let (_, rest) = panic.split_once(".replay(\"").expect("a script");
    rest.split_once('"').expect("its end").0.to_owned()
}

/// The first line of a panic: what was broken.
fn broken(panic: &str) -> &str {
    panic.lines().next().expect("a line")
}

#[tokio::test]
async fn a_schema_whose_effects_are_keyed_keeps_every_promise() {
    let report = with_gateway(good())
        .check(async |(_, gateway), story| {
            assert_eq!(story.outcome, Ok(9));
            assert_eq!(gateway.charges(), 1);
            assert_eq!(story.attempts["charge"], gateway.requests());
        })
        .random(20)
        .run()
        .await;
    println!("{report}");
    assert_eq!(report.boundaries, 4, "a begin and three commits");
    assert!(report.stories > 50 + 20, "{report}");
    assert!(report.takeovers >= 20, "{report}");
    assert!(report.fenced >= 4, "{report}");
    assert!(report.late_attempts >= 4, "{report}");
}

#[tokio::test]
async fn an_effect_without_a_steady_key_is_found_by_the_check_and_its_script_replays_it() {
    let schema = || {
        Schema::new("test.careless")
            .step("add", add)
            .step("charge", charge_carelessly)
            .build()
    };
    let once = || {
        with_gateway(schema()).check(async |(_, gateway), _story| {
            assert_eq!(gateway.charges(), 1, "one charge");
        })
    };
    let first = panic_of(once().seed(42).run()).await;
    assert!(broken(&first).contains("one charge"), "{first}");
    assert!(first.contains(".seed(42)"), "{first}");
    let script = script_of(&first);
    let again = panic_of(once().replay(&script).run()).await;
    assert_eq!((broken(&again), script_of(&again)), (broken(&first), script));
    // A story in which nothing interrupts the step does not show it.
    once().replay("die after begin 1").run().await;
}

#[tokio::test]
async fn every_check_is_asked() {
    let trial = with_gateway(good())
        .check(async |_, _story| panic!("the first check"))
        .check(async |_, _story| {});
    let panic = panic_of(trial.run()).await;
    assert!(broken(&panic).contains("the first check"), "{panic}");
}

#[tokio::test]
async fn a_script_that_does_not_happen_is_no_replay() {
    for script in [
        "die before commit 99",
        "refuse confirm 1 as unknown",
        "die before commit 1; lose the answer of load 7",
    ] {
        let panic = panic_of(with_gateway(good()).replay(script).run()).await;
        let said = format!("`test.good` was not replayed: not all of the script \"{script}\" happened");
        assert!(panic.contains(&said), "{panic}");
    }
    let report = with_gateway(good()).replay("quiet").run().await;
    assert_eq!((report.stories, report.incomplete), (2, 0), "{report}");
}

#[tokio::test]
async fn a_random_story_that_ends_before_its_script_is_counted_apart() {
    // What goes wrong first takes the other call away in some of them, and none is lost.
    let run = async |random| with_gateway(good()).random(random).seed(5).run().await;
    let (listed, with_random) = (run(0).await, run(40).await);
    let stories = with_random.stories - listed.stories;
    let incomplete = with_random.incomplete - listed.incomplete;
    assert_eq!(stories + incomplete, 40, "{with_random}");
    assert!(stories > 0 && incomplete > 0, "{with_random}");
}

#[tokio::test]
async fn an_output_that_is_another_one_each_time_is_fine_because_it_is_recorded_once() {
    let schema = Schema::new("test.random")
        .step("draw", |_cx, _n: u64| async {
            Ok(keystep::random::unpredictable().to_string())
        })
        .step("tell", |_cx, drawn: String| async { Ok(drawn) })
        .build();
    let report = Trial::new(schema, 7).at_once(8).run().await;
    assert!(report.stories > 40, "{report}");
}

/// What a process remembers: nothing that the next one knows.
#[derive(Default)]
struct Cache(Mutex<Option<u64>>);

#[tokio::test]
async fn a_step_that_counts_on_the_memory_of_its_process_is_found() {
    let schema = || {
        Schema::new("test.cache")
            .step("remember", |cx: StepContext, n: u64| async move {
                *cx.get::<Cache>()?.0.lock().expect("no panic under this lock") = Some(n);
                Ok(n)
            })
            .step("recall", |cx: StepContext, _n: u64| async move {
                let cache = cx.get::<Cache>()?;
                let remembered = *cache.0.lock().expect("no panic under this lock");
                remembered.ok_or_else(|| StepError::terminal("nothing is remembered"))
            })
            .build()
    };
    let trial = || {
        Trial::new(schema(), 7).world(
            async |clock| MemoryStore::with_clock(clock),
            async |store: &MemoryStore| Process::on(store.another_handle()).provide(Cache::default()),
        )
    };
    let panic = panic_of(trial().run()).await;
    assert!(
        broken(&panic).contains("nothing is remembered`, and with an output when nothing goes wrong"),
        "{panic}"
    );
    let again = panic_of(trial().replay(&script_of(&panic)).run()).await;
    assert_eq!(broken(&again), broken(&panic));
}

#[tokio::test]
async fn a_step_that_runs_only_once_in_the_life_of_a_program_is_found() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let schema = Schema::new("test.static")
        .step("once", |_cx, n: u64| async move {
            if DONE.swap(true, Ordering::SeqCst) {
                return Err(StepError::terminal("it was done already"));
            }
            Ok(n)
        })
        .build();
    // Each story is a life of its own: only within one of them the flag may stand.
    let trial = Trial::new(schema, 7).world(
        async |clock| {
            DONE.store(false, Ordering::SeqCst);
            MemoryStore::with_clock(clock)
        },
        async |store: &MemoryStore| Process::on(store.another_handle()),
    );
    let panic = panic_of(trial.run()).await;
    assert!(broken(&panic).contains("it was done already"), "{panic}");
}

#[tokio::test]
async fn a_value_that_does_not_read_back_is_found() {
    /// Written as a number, read as a text: a mistake that shows when another process loads it.
    #[derive(serde::Deserialize)]
    struct Skewed(String);
    impl serde::Serialize for Skewed {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_u64(self.0.len() as u64)
        }
    }
    let schema = Schema::new("test.skewed")
        .step("skew", |_cx, n: u64| async move { Ok(Skewed(n.to_string())) })
        .step("use", |_cx, skewed: Skewed| async move { Ok(skewed.0) })
        .build();
    let unchecked = keystep::Limits {
        check_bytes: 0,
        ..keystep::Limits::default()
    };
    let trial = Trial::new(schema, 7).world(
        async |clock| MemoryStore::with_clock(clock),
        async move |store: &MemoryStore| {
            Process::on(store.another_handle()).with(|builder| builder.limits(unchecked))
        },
    );
    let panic = panic_of(trial.run()).await;
    assert!(broken(&panic).contains("can not be read"), "{panic}");
}

#[tokio::test]
async fn retries_that_are_days_apart_take_no_time() {
    let schema = Schema::new("test.patient")
        .step("flaky", |cx: StepContext, n: u64| async move {
            let gateway = cx.get::<Gateway>()?;
            gateway.charge(cx.idempotency_key(), n);
            match gateway.requests() {
                1 => Err(StepError::retry("the partner is down")),
                _ => Ok(n),
            }
        })
        .retry(
            Retry::attempts(20)
                .first_delay(Duration::from_secs(2 * 24 * 3600))
                .max_delay(Duration::from_secs(9 * 24 * 3600)),
        )
        .step("held", |cx: StepContext, n: u64| async move {
            if cx.attempt() == 1 {
                return Err(StepError::retry("not yet"));
            }
            Ok(n)
        })
        .retry(
            Retry::attempts(3)
                .first_delay(Duration::from_secs(60))
                .hold(Duration::from_secs(3600)),
        )
        .build();
    let begun = SystemTime::now();
    let report = with_gateway(schema)
        .check(async move |_, story| {
            assert_eq!(story.outcome, Ok(7));
            let now = Duration::from_micros(story.clock.wall_micros().unsigned_abs());
            let passed = now - begun.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
            // A refused write can end the first wait early.
            if story.script == Script::default() {
                assert!(passed > Duration::from_secs(24 * 3600), "{passed:?}");
            }
        })
        .run()
        .await;
    println!("{report}");
    assert_eq!(
        report.boundaries, 6,
        "the wait is put down, acquired and loaded: {report}"
    );
    assert_eq!(
        report.incomplete, 4,
        "the second begin, acquire and load and the fourth commit, which no story needs: the process in \
         charge does all of the work, also after a wait: {report}"
    );
}

#[tokio::test]
async fn a_failure_is_an_outcome_that_all_callers_share() {
    let schema = Schema::new("test.declined")
        .step("add", add)
        .step("decline", |_cx, _n: u64| async {
            Err::<u64, _>(StepError::terminal("declined").code("card_declined"))
        })
        .build();
    let report = Trial::new(schema, 7)
        .at_once(8)
        .check(async |_, story| {
            let failure = story.outcome.as_ref().expect_err("declined");
            assert_eq!(failure.code.as_deref(), Some("card_declined"));
        })
        .run()
        .await;
    assert!(report.stories > 40, "{report}");
}

#[tokio::test]
#[should_panic(expected = "`jump before commit 1` is no act of a script")]
async fn a_replay_of_something_else_is_refused() {
    let _trial = Trial::new(good(), 7).replay("jump before commit 1");
}

#[test]
#[should_panic(expected = "a check was said before the world that it is about")]
#[expect(unused_must_use, reason = "the compiler says that nothing runs it")]
fn a_check_before_its_world_is_refused() {
    Trial::new(good(), 7)
        .check(async |_, story| assert_eq!(story.outcome, Ok(9)))
        .world(
            async |clock| MemoryStore::with_clock(clock),
            async |store: &MemoryStore| Process::on(store.another_handle()),
        );
}

/// A provider without keys: it does what it is told as often as it is told, but not by an owner of whose
/// successor it has heard.
#[derive(Clone, Default)]
struct Bank(Arc<Mutex<Ledger>>);

#[derive(Default)]
struct Ledger {
    payments: u32,
    refunds: u32,
    epoch: i64,
}

impl Bank {
    /// The ledger, unless whoever asks was replaced.
    fn open(&self, cx: &StepContext) -> StepResult<std::sync::MutexGuard<'_, Ledger>> {
        let mut ledger = self.0.lock().expect("no panic under this lock");
        let epoch = cx.fence().claim.epoch;
        if epoch < ledger.epoch {
            return Err(StepError::not_done("you were replaced"));
        }
        ledger.epoch = epoch;
        Ok(ledger)
    }
}

async fn pay(cx: StepContext, cents: u64) -> StepResult<u64> {
    cx.get::<Bank>()?.open(&cx)?.payments += 1;
    Ok(cents)
}

async fn find_payment(cx: StepContext, cents: u64) -> StepResult<Verified<u64>> {
    let paid = cx.get::<Bank>()?.open(&cx)?.payments > 0;
    Ok(if paid {
        Verified::Done(cents)
    } else {
        Verified::NotDone
    })
}

fn with_bank(schema: Schema<u64, u64>) -> Trial<u64, u64, (MemoryStore, Bank)> {
    Trial::new(schema, 7)
        .world(
            async |clock| (MemoryStore::with_clock(clock), Bank::default()),
            async |(store, bank)| Process::on(store.another_handle()).provide(bank.clone()),
        )
        .at_once(8)
}

fn careful() -> Schema<u64, u64> {
    Schema::new("test.careful")
        .step("add", add)
        .step("pay", pay)
        .at_most_once()
        .verify(find_payment)
        .step("again", add)
        .build()
}

#[tokio::test]
async fn a_payment_that_is_done_at_most_once_and_verified_is_made_once_in_every_story() {
    let report = with_bank(careful())
        .check(async |(_, bank), story| {
            assert_eq!(story.outcome, Ok(9));
            assert_eq!(bank.0.lock().expect("no panic").payments, 1);
        })
        .random(20)
        .run()
        .await;
    assert_eq!(
        report.boundaries, 5,
        "a begin, that the payment begins, and three outputs"
    );
    assert!(report.takeovers >= 20, "{report}");
}

#[tokio::test]
async fn what_a_verify_found_and_the_store_refused_is_found_again_when_somebody_resumes_it() {
    for script in [
        "die before commit 3; refuse commit 1 as rejected",
        "refuse commit 3 as rejected; refuse commit 3 as rejected",
    ] {
        with_bank(careful())
            .check(async |(_, bank), story| {
                assert_eq!(story.outcome, Ok(9));
                assert_eq!(bank.0.lock().expect("no panic").payments, 1);
            })
            .replay(script)
            .run()
            .await;
    }
}

#[tokio::test]
async fn what_fails_for_good_is_undone_whole_in_every_story() {
    let schema = Schema::new("test.undo")
        .step("add", add)
        .undo(|_cx: StepContext, _n: u64| async move { Ok(()) })
        .step("pay", pay)
        .at_most_once()
        .verify(find_payment)
        .undo(|cx: StepContext, _n: u64| async move {
            let bank = cx.get::<Bank>()?;
            let mut ledger = bank.open(&cx)?;
            // An undo can happen twice, and asks first.
            ledger.refunds = 1;
            Ok(())
        })
        .step("ship", |_cx: StepContext, _n: u64| async move {
            Err::<u64, _>(StepError::terminal("nothing is left"))
        })
        .build();
    let report = with_bank(schema)
        .check(async |(_, bank), story| {
            assert!(story.undone);
            assert!(
                story
                    .outcome
                    .as_ref()
                    .is_err_and(|failure| failure.step == "ship")
            );
            let ledger = bank.0.lock().expect("no panic");
            assert_eq!((ledger.payments, ledger.refunds), (1, 1));
        })
        .random(20)
        .run()
        .await;
    // The begin; `add`; that `pay` begins and is done; that it is undone; both undos, the end with the last.
    assert_eq!(report.boundaries, 7);
    assert!(report.takeovers >= 20, "{report}");
}

#[tokio::test]
async fn a_step_that_may_be_in_doubt_for_ever_is_no_schema_for_a_trial() {
    let schema = Schema::new("test.doubtful")
        .step("pay", pay)
        .at_most_once()
        .build();
    let panic = panic_of(with_bank(schema).run()).await;
    assert!(
        broken(&panic).contains("it was parked (in_doubt) (a trial has no operator: its verify must tell)"),
        "{panic}"
    );
}

#[tokio::test]
async fn an_undo_that_is_done_carelessly_is_found() {
    let schema = Schema::new("test.careless")
        .step("pay", pay)
        .undo(|cx: StepContext, _n: u64| async move {
            cx.get::<Bank>()?.open(&cx)?.refunds += 1;
            Ok(())
        })
        .step("ship", |_cx: StepContext, _n: u64| async move {
            Err::<u64, _>(StepError::terminal("nothing is left"))
        })
        .build();
    let trial = with_bank(schema).check(async |(_, bank), _story| {
        assert_eq!(bank.0.lock().expect("no panic").refunds, 1, "refunded twice");
    });
    let panic = panic_of(trial.run()).await;
    assert!(panic.contains("refunded twice"), "{panic}");
}
