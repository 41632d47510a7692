//! The answer to a write is lost with its connection: is it found out what came of it, and is nothing
//! done twice?
//!
//! A row's `xmin` names the transaction that wrote it. A row that was written once more has another.

use store_conformance::proxy::{Fate, Proxy, Trap};
use system_tests::place::{Kind, Place, server_url};
use system_tests::protocol::{Attempt, Policy};
use system_tests::victim::{Call, Launch, SOON, Victim};

use crate::victim;

/// A process behind a proxy, and its place.
struct Cut {
    owner: Victim,
    proxy: Proxy,
    place: Place,
}

impl Cut {
    fn off(gate: &str) -> Self {
        Self::off_with(|launch| launch.gate(gate))
    }

    fn off_with(options: impl FnOnce(Launch) -> Launch) -> Self {
        let place = Place::fresh(Kind::Postgres);
        let proxy = Proxy::before(&server_url()).expect("a proxy");
        let launch = victim(&place).option("url", proxy.through(place.url()));
        let owner = options(launch).ready();
        Self { owner, proxy, place }
    }

    /// Catches the next statement that does this, as the store sends it.
    fn trap(&self, what: &str, fate: Fate) -> Trap {
        let texts = self.place.statements_to(what);
        self.proxy
            .trap(move |sent| texts.iter().any(|text| text == sent), 1, fate)
    }

    /// The recorded rows of a step: the write that made each, and its transaction.
    fn recorded(&self, schema: &str, step: &str) -> Vec<(uuid::Uuid, String)> {
        let run = self.place.execution(schema, "k").expect("an execution").run;
        let text = format!(
            "SELECT c.write_id, c.xmin::text FROM {}.checkpoints AS c
             WHERE c.run_id = $1 AND c.step = $2",
            self.place.schema()
        );
        self.place.as_superuser(async |admin| {
            sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(run.0)
                .bind(step)
                .fetch_all(admin)
                .await
        })
    }

    /// The transactions that wrote into the ledger.
    fn booked(&self) -> Vec<String> {
        let text = format!(
            "SELECT l.xmin::text FROM {}_seen.ledger AS l",
            self.place.schema()
        );
        self.place.as_superuser(async |admin| {
            sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                .fetch_all(admin)
                .await
        })
    }
}

#[test]
fn a_checkpoint_whose_answer_is_swallowed_is_found_by_its_write_id() {
    let mut cut = Cut::off("first");
    let call = cut.owner.run("three", "k", Policy::Attach);
    cut.owner.at_gate("three", "k", "first");
    let swallowed = cut.trap("commit", Fate::LoseAnswer);
    cut.owner.open("first");
    assert!(swallowed.wait(SOON), "no checkpoint came by");
    let first = cut.recorded("three", "first");
    assert_eq!(first.len(), 1, "it is committed");

    let output = cut.owner.answer(call).expect("an output");
    assert_eq!(cut.recorded("three", "first"), first, "by the same write, once");
    assert_eq!(output, nonces(&cut.place, "three"), "each step ran once");
    cut.owner.logged("class=\"unknown\"");
    let record = cut.place.execution("three", "k").expect("an execution");
    assert_eq!((record.claim.epoch, record.lost), (1, 0));
}

#[test]
fn a_transactional_step_whose_commit_is_swallowed_took_effect_once() {
    let mut cut = Cut::off("book/written");
    let call = cut.owner.run("booked", "k", Policy::Attach);
    cut.owner.at_gate("booked", "k", "book/written");
    let swallowed = cut.proxy.trap(|sent| sent == "COMMIT", 1, Fate::LoseAnswer);
    cut.owner.open("book/written");
    assert!(swallowed.wait(SOON), "no commit came by");
    let first = cut.recorded("booked", "book");
    assert_eq!(first.len(), 1, "it is committed");

    let output = cut.owner.answer(call).expect("an output");
    assert_eq!(cut.recorded("booked", "book"), first, "by the same write, once");
    assert_eq!(output, nonces(&cut.place, "booked"), "each step ran once");
    let in_one_transaction = first.into_iter().map(|(_write, transaction)| transaction);
    assert_eq!(cut.booked(), in_one_transaction.collect::<Vec<_>>());
}

#[test]
fn a_transactional_step_whose_commit_never_arrived_is_run_again_and_takes_effect_once() {
    let mut cut = Cut::off("book/written");
    let call = cut.owner.run("booked", "k", Policy::Attach);
    let lost = cut.owner.at_gate("booked", "k", "book/written");
    let stopped = cut.proxy.trap(|sent| sent == "COMMIT", 1, Fate::CutBefore);
    cut.owner.open("book/written");
    assert!(stopped.wait(SOON), "no commit came by");

    let output = cut.owner.answer(call).expect("an output");
    let ledger = cut.place.ledger("booked", "k");
    assert_eq!(ledger.len(), 1, "{ledger:?}");
    assert_eq!(ledger[0].nonce, output[1]);
    assert_ne!(output[1], lost.nonce, "what was rolled back is not recorded");
    let attempts = [("first", 1), ("book", 2), ("last", 1)];
    assert_eq!(
        cut.place.attempts_by_step("booked", "k"),
        attempts.map(|(step, count)| (step.to_owned(), count))
    );
}

/// The nonces of all attempts, in order.
fn nonces(place: &Place, schema: &str) -> Vec<String> {
    let attempts = place.attempts(schema, "k").into_iter();
    attempts.map(|attempt| attempt.nonce).collect()
}

/// How many keys are in a batch, but for those that come too late for it.
const BATCH: usize = 12;

/// So much of a message that carries a batch reaches the server: nothing, a part of its head, of its
/// values, or all of it without the word to go on.
const PARTS: [usize; 7] = [0, 1, 5, 100, 700, 2_000, usize::MAX];

#[test]
fn a_batch_of_begins_that_is_torn_anywhere_begins_each_once() {
    for bytes in PARTS {
        let mut torn = Torn::ready();
        torn.hold_the_lane();
        let calls = torn.call_all();
        torn.cut.owner.heed();
        torn.tear("begin", bytes);
        for key in &torn.keys {
            torn.cut.owner.at_gate("three", key, "first");
        }
        assert!(torn.largest_batch("executions") > 1, "nothing went together");
        torn.cut.owner.open("first");
        torn.each_ran_once(calls);
    }
}

#[test]
fn a_batch_of_checkpoints_that_is_torn_anywhere_is_written_once() {
    for bytes in PARTS {
        let mut torn = Torn::ready();
        let calls = torn.call_all();
        let first: Vec<Attempt> = torn
            .keys
            .iter()
            .map(|key| torn.cut.owner.at_gate("three", key, "first"))
            .collect();
        torn.hold_the_lane();
        torn.cut.owner.open("first");
        // All but those of the last moment wait for the lane.
        for attempt in first {
            torn.cut.owner.leaves(&attempt.nonce);
        }
        torn.tear("commit", bytes);
        torn.each_ran_once(calls);
        assert!(torn.largest_batch("checkpoints") > 1, "nothing went together");
    }
}

/// A process with one lane, and keys to be called together.
struct Torn {
    cut: Cut,
    keys: Vec<String>,
    held: Option<Trap>,
}

impl Torn {
    fn ready() -> Self {
        let cut = Cut::off_with(|launch| launch.gate("first").option("lanes", 1));
        let keys = (0..BATCH).map(|key| format!("k{key}")).collect();
        Self {
            cut,
            keys,
            held: None,
        }
    }

    /// What is written from now on waits, and goes together.
    fn hold_the_lane(&mut self) {
        let held = self.cut.trap("begin", Fate::HoldBefore);
        let _begins = self.cut.owner.run("three", "before", Policy::Attach);
        assert!(held.wait(SOON), "no begin came by");
        self.held = Some(held);
    }

    fn call_all(&mut self) -> Vec<Call> {
        let owner = &mut self.cut.owner;
        let calls = self
            .keys
            .iter()
            .map(|key| owner.run("three", key, Policy::Attach));
        calls.collect()
    }

    /// Lets the lane go on, and tears the next statement.
    fn tear(&mut self, statement: &str, bytes: usize) {
        let torn = self.cut.trap(statement, Fate::CutInside(bytes));
        self.held.take().expect("the lane is held").release();
        assert!(torn.wait(SOON), "no {statement} came by");
    }

    fn each_ran_once(&self, calls: Vec<Call>) {
        for (key, call) in self.keys.iter().zip(calls) {
            let output = self.cut.owner.answer(call).expect("an output");
            let attempts = self.cut.place.attempts("three", key).into_iter();
            let nonces: Vec<String> = attempts.map(|attempt| attempt.nonce).collect();
            assert_eq!(output, nonces, "each step of {key} ran once");
            let record = self.cut.place.execution("three", key).expect("an execution");
            assert_eq!((record.claim.epoch, record.lost), (1, 0));
        }
    }

    /// How many rows of a table one transaction wrote, at most.
    fn largest_batch(&self, table: &str) -> i64 {
        let text = format!(
            "SELECT count(*) FROM {}.{table} AS t GROUP BY t.xmin::text ORDER BY 1 DESC LIMIT 1",
            self.cut.place.schema()
        );
        self.cut.place.as_superuser(async |admin| {
            sqlx::query_scalar(sqlx::AssertSqlSafe(text))
                .fetch_one(admin)
                .await
        })
    }
}
