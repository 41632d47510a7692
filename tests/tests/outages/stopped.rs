//! A process is stopped with SIGSTOP, at each point of its work, until others have given it up: what
//! does it do when it wakes?

use std::time::{Duration, Instant};

use store_conformance::proxy::{Fate, Proxy};
use system_tests::place::{Kind, Place, server_url};
use system_tests::protocol::Policy;
use system_tests::victim::{Launch, SOON, Victim};

use crate::taken_over::{BEAT_LIMIT, TakenOver};
use crate::{show, victim};

on_both_stores!(
    the_write_of_an_owner_that_wakes_after_the_takeover_is_fenced,
    an_owner_that_wakes_after_the_takeover_goes_on_as_a_new_worker,
    an_owner_that_is_stopped_before_its_body_does_it_once_at_most_and_records_nothing,
    a_process_that_is_stopped_while_it_waits_for_another_one_gets_the_answer_when_it_wakes,
);

fn take_over(kind: Kind, options: impl FnOnce(Launch) -> Launch) -> TakenOver {
    let place = Place::fresh(kind);
    let launch = victim(&place);
    TakenOver::from(place, &options(launch.clone()), &launch, Victim::stop)
}

/// It beats so seldom that it learns from its write, and from nothing else, that it was given up.
fn learns_from_its_write(launch: Launch) -> Launch {
    launch
        .beat(Duration::from_secs(3_600))
        .beat_limit(Duration::from_secs(36_000))
}

fn the_write_of_an_owner_that_wakes_after_the_takeover_is_fenced(kind: Kind) {
    let mut taken = take_over(kind, learns_from_its_write);
    taken.owner.open("second");
    taken.owner.go_on();
    taken.owner.logged("fenced");
    assert!(
        taken.owner.has_left(&taken.stale.nonce),
        "the body of the stale attempt runs to its end"
    );
    assert_eq!(taken.recorded(), [("first".to_owned(), 1)], "and writes nothing");

    taken.the_successor_finishes_and_nothing_else_is_recorded();
    let attempts = taken.place.attempts("three", "k");
    let third = attempts.last().expect("attempts");
    assert_eq!(
        (third.step.as_str(), third.pid),
        ("third", i64::from(taken.successor.pid())),
        "the stale owner starts no further step"
    );
}

fn an_owner_that_wakes_after_the_takeover_goes_on_as_a_new_worker(kind: Kind) {
    let mut taken = take_over(kind, |launch| launch.beat(Duration::from_millis(100)));
    taken.owner.go_on();
    taken.owner.cancelled(&taken.stale.nonce);
    assert_eq!(taken.recorded(), [("first".to_owned(), 1)]);
    taken.the_successor_finishes_and_nothing_else_is_recorded();
    assert!(!taken.owner.has_left(&taken.stale.nonce));
    taken.it_goes_on_as_a_new_worker();
}

/// Between the look whether it may and the first thing that the body does.
fn an_owner_that_is_stopped_before_its_body_does_it_once_at_most_and_records_nothing(kind: Kind) {
    let place = Place::fresh(kind);
    let launch = victim(&place);
    let mut owner = learns_from_its_write(launch.clone())
        .gate("second/entered")
        .ready();
    let call = owner.run("three", "k", Policy::Attach);
    let late = owner.at_gate("three", "k", "second/entered");
    owner.stop();
    let mut successor = launch.beat_limit(BEAT_LIMIT).ready();
    let follow = successor.run("three", "k", Policy::Attach);
    let output = successor.answer(follow).expect("an output");
    assert_eq!(place.attempts("three", "k").len(), 3, "nothing has happened yet");

    owner.open("second/entered");
    owner.go_on();
    owner.logged("fenced");
    assert_eq!(owner.answer(call), Ok(output.clone()));
    let attempts = place.attempts("three", "k");
    let late: Vec<_> = attempts
        .iter()
        .filter(|attempt| attempt.nonce == late.nonce)
        .collect();
    assert_eq!(
        (attempts.len(), late.len()),
        (4, 1),
        "its body ran once, too late"
    );
    assert!(!output.contains(&late[0].nonce), "and is not recorded");
}

fn a_process_that_is_stopped_while_it_waits_for_another_one_gets_the_answer_when_it_wakes(kind: Kind) {
    let place = Place::fresh(kind);
    let launch = victim(&place)
        .beat(Duration::from_millis(100))
        .beat_limit(BEAT_LIMIT);
    let mut owner = launch.clone().gate("second").ready();
    let call = owner.run("three", "k", Policy::Attach);
    owner.at_gate("three", "k", "second");
    let mut waiting = launch.start();
    let worker = waiting.ready();
    let follow = waiting.run("three", "k", Policy::Attach);
    assert_eq!(waiting.admitted(follow), Ok("attached".to_owned()));
    waiting.stop();
    while !place.can_write() {
        // Inside a write on SQLite, which lets nobody else write and is no matter of this test.
        waiting.go_on();
        waiting.stop();
    }
    // Until it is given up: it is more than slow.
    owner.logged("declared dead");
    owner.open("second");
    let output = owner.answer(call).expect("an output");

    waiting.go_on();
    assert_eq!(waiting.answer(follow), Ok(output.clone()));
    waiting.worker_other_than(&worker);
    let attempts = place.attempts("three", "k").into_iter();
    assert_eq!(output, attempts.map(|attempt| attempt.nonce).collect::<Vec<_>>());
}

/// An execution of `booked` whose owner is stopped in its transaction, behind a proxy, and another
/// process that knows nothing better than to go on with it.
struct InTransaction {
    owner: Victim,
    proxy: Proxy,
    launch: Launch,
    place: Place,
}

impl InTransaction {
    fn on_postgres(prepare: impl FnOnce(&Place)) -> Self {
        let place = Place::fresh(Kind::Postgres);
        prepare(&place);
        let proxy = Proxy::before(&server_url()).expect("a proxy");
        let launch = victim(&place);
        let mut owner = learns_from_its_write(launch.clone())
            .option("url", proxy.through(place.url()))
            .gate("book/written")
            .ready();
        let _stopped_before = owner.run("booked", "k", Policy::Attach);
        owner.at_gate("booked", "k", "book/written");
        Self {
            owner,
            proxy,
            launch: launch.beat_limit(BEAT_LIMIT),
            place,
        }
    }

    /// Another process takes it over and finishes it, within this time from now.
    fn is_finished_within(&self, bound: Duration) {
        let from = Instant::now();
        let mut successor = self.launch.ready();
        let follow = successor.run("booked", "k", Policy::Attach);
        let output = successor.answer(follow).expect("an output");
        let took = from.elapsed();
        show(&format!(
            "finished {took:?} after its owner was stopped, {bound:?} are allowed"
        ));
        assert!(took < bound, "{took:?}");
        let ledger = self.place.ledger("booked", "k");
        assert_eq!(ledger.len(), 1, "{ledger:?}");
        assert_eq!(ledger[0].nonce, output[1]);
    }

    /// What the owner had under way when it was stopped comes to nothing.
    fn stays_so_when_it_wakes(self) {
        let before = self.place.ledger("booked", "k");
        self.owner.go_on();
        self.owner.logged("fenced");
        assert_eq!(self.place.ledger("booked", "k"), before);
        let record = self.place.execution("booked", "k").expect("an execution");
        assert_eq!((record.claim.epoch, record.lost), (2, 1));
    }
}

/// The server ends a transaction that is idle for this long.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(10);

/// From the stop: until it is given up, until its transaction has ended, and until the step is done.
fn bound() -> Duration {
    BEAT_LIMIT + IDLE_IN_TRANSACTION + Duration::from_secs(7)
}

#[test]
fn rows_of_an_owner_that_is_stopped_in_its_transaction_are_free_within_the_idle_limit() {
    let mut scene = InTransaction::on_postgres(each_needs_one_row);
    scene.owner.stop();
    scene.is_finished_within(bound());
    scene.owner.open("book/written");
    scene.stays_so_when_it_wakes();
}

/// What a transactional step writes needs a row that all its attempts need.
fn each_needs_one_row(place: &Place) {
    let schema = place.schema();
    let text = format!(
        "CREATE TABLE {schema}_seen.account (id int PRIMARY KEY);
         INSERT INTO {schema}_seen.account (id) VALUES (1);
         CREATE FUNCTION {schema}_seen.lock_account() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM a.id FROM {schema}_seen.account AS a FOR UPDATE;
             RETURN NEW;
         END $$;
         CREATE TRIGGER lock_account BEFORE INSERT ON {schema}_seen.ledger
             FOR EACH ROW EXECUTE FUNCTION {schema}_seen.lock_account()"
    );
    place.as_superuser(async |admin| sqlx::raw_sql(sqlx::AssertSqlSafe(text)).execute(admin).await);
}

/// Its checkpoint is written and locks the execution's row; the word to commit is on its way.
#[test]
fn an_owner_that_is_stopped_before_its_commit_arrives_is_followed_within_the_idle_limit() {
    let mut scene = InTransaction::on_postgres(|_place| ());
    let on_its_way = scene.proxy.trap(|sent| sent == "COMMIT", 1, Fate::HoldBefore);
    scene.owner.open("book/written");
    assert!(on_its_way.wait(SOON), "no commit came by");
    scene.owner.stop();
    scene.is_finished_within(bound());
    on_its_way.release();
    scene.stays_so_when_it_wakes();
}

/// A checkpoint that arrives after the takeover.
#[test]
fn a_checkpoint_that_is_on_its_way_while_its_owner_is_stopped_is_fenced() {
    let place = Place::fresh(Kind::Postgres);
    let proxy = Proxy::before(&server_url()).expect("a proxy");
    let launch = victim(&place);
    let mut owner = learns_from_its_write(launch.clone())
        .option("url", proxy.through(place.url()))
        .gate("second")
        .ready();
    let call = owner.run("three", "k", Policy::Attach);
    let stale = owner.at_gate("three", "k", "second");
    let commits = place.statements_to("commit");
    let is_commit = move |sent: &str| commits.iter().any(|commit| commit == sent);
    let on_its_way = proxy.trap(is_commit, 1, Fate::HoldBefore);
    owner.open("second");
    assert!(on_its_way.wait(SOON), "no checkpoint came by");
    owner.stop();
    let mut successor = launch.beat_limit(BEAT_LIMIT).ready();
    let follow = successor.run("three", "k", Policy::Attach);
    let output = successor.answer(follow).expect("an output");

    on_its_way.release();
    owner.go_on();
    owner.logged("fenced");
    assert_eq!(owner.answer(call), Ok(output.clone()));
    assert!(!output.contains(&stale.nonce));
    let nonces: Vec<String> = place
        .checkpoints("three", "k")
        .iter()
        .map(|checkpoint| system_tests::evidence::nonces(checkpoint).pop().expect("one"))
        .collect();
    assert_eq!(nonces, output);
}
