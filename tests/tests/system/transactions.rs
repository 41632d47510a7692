//! A step that writes into the store's database: is it once, whenever its process dies or stops?

use std::time::{Duration, Instant};

use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::victim::{Launch, Victim};

use crate::victim;

on_both_stores!(
    a_kill_before_the_commit_leaves_neither_row_nor_checkpoint,
    a_kill_after_the_commit_leaves_both_row_and_checkpoint,
    a_kill_around_the_commit_leaves_both_or_neither,
);

fn recorded(place: &Place, key: &str) -> Vec<String> {
    let checkpoints = place.checkpoints("booked", key);
    checkpoints
        .into_iter()
        .map(|checkpoint| checkpoint.step)
        .collect()
}

/// Another process finishes the execution, and exactly one row is there: the recorded attempt's.
fn is_finished_once(place: &Place, successor: &mut Victim, key: &str) -> i64 {
    let call = successor.run("booked", key, Policy::Attach);
    let output = successor.answer(call).expect("the other process finishes it");
    assert_eq!(recorded(place, key), ["first", "book", "last"]);
    let ledger = place.ledger("booked", key);
    let nonces: Vec<&str> = ledger.iter().map(|row| row.nonce.as_str()).collect();
    assert_eq!(nonces, [output[1].as_str()], "one row, of the recorded attempt");
    ledger[0].epoch
}

fn hasty(place: &Place) -> Launch {
    victim(place).grace(Duration::ZERO)
}

fn a_kill_before_the_commit_leaves_neither_row_nor_checkpoint(kind: Kind) {
    let place = Place::fresh(kind);
    let mut owner = hasty(&place).gate("book/written").ready();
    owner.run("booked", "k", Policy::Attach);
    owner.at_gate("booked", "k", "book/written");
    owner.kill();
    assert_eq!(place.ledger("booked", "k"), []);
    assert_eq!(recorded(&place, "k"), ["first"]);

    let mut successor = hasty(&place).ready();
    assert_eq!(
        is_finished_once(&place, &mut successor, "k"),
        2,
        "the new owner's"
    );
}

fn a_kill_after_the_commit_leaves_both_row_and_checkpoint(kind: Kind) {
    let place = Place::fresh(kind);
    let mut owner = hasty(&place).gate("last").ready();
    owner.run("booked", "k", Policy::Attach);
    owner.at_gate("booked", "k", "last");
    owner.kill();
    assert_eq!(place.ledger("booked", "k").len(), 1);
    assert_eq!(recorded(&place, "k"), ["first", "book"]);

    let mut successor = hasty(&place).ready();
    assert_eq!(
        is_finished_once(&place, &mut successor, "k"),
        1,
        "the first owner's"
    );
    let booked = place.attempts_by_step("booked", "k");
    assert!(booked.contains(&("book".to_owned(), 1)), "{booked:?}");
}

/// Kills a little later each time after the step was let go, so that some kills hit the commit.
fn a_kill_around_the_commit_leaves_both_or_neither(kind: Kind) {
    const KILLS: u32 = 24;
    let place = Place::fresh(kind);
    let mut successor = hasty(&place).ready();
    let mut by_the_first_owner = 0;
    for number in 0..KILLS {
        let key = format!("k{number}");
        let mut owner = hasty(&place).gate("book/written").gate("last").ready();
        owner.run("booked", &key, Policy::Attach);
        owner.at_gate("booked", &key, "book/written");
        let later = Instant::now() + number * Duration::from_micros(200);
        owner.open("book/written");
        while Instant::now() < later {
            std::hint::spin_loop();
        }
        owner.kill();
        if is_finished_once(&place, &mut successor, &key) == 1 {
            by_the_first_owner += 1;
        }
    }
    crate::show(&format!(
        "{kind:?}: {KILLS} kills around a commit, {by_the_first_owner} of them after it"
    ));
}

/// On PostgreSQL an owner that is stopped inside its transaction hinders nobody, and its rows go.
#[test]
fn the_transaction_of_a_stale_owner_is_rolled_back_on_postgres() {
    let place = Place::fresh(Kind::Postgres);
    // It beats so seldom that it learns from its commit alone that it was given up.
    let mut owner = victim(&place)
        .beat(Duration::from_secs(3_600))
        .beat_limit(Duration::from_secs(36_000))
        .gate("book/written")
        .ready();
    let call = owner.run("booked", "k", Policy::Attach);
    let stale = owner.at_gate("booked", "k", "book/written");
    owner.stop();

    // The new owner is in the step too, and has written nothing yet.
    let mut successor = victim(&place)
        .beat_limit(Duration::from_secs(1))
        .gate("book")
        .ready();
    successor.at_gate("booked", "k", "book");
    owner.open("book/written");
    owner.go_on();
    owner.logged("fenced");
    assert!(owner.has_left(&stale.nonce), "its body runs to the end");
    assert_eq!(
        place.ledger("booked", "k"),
        [],
        "and what it wrote is rolled back"
    );
    assert_eq!(recorded(&place, "k"), ["first"]);

    successor.open("book");
    let epoch = is_finished_once(&place, &mut successor, "k");
    assert_eq!(epoch, 2, "the new owner's");
    let output = owner.answer(call).expect("the new owner's output");
    assert!(!output.contains(&stale.nonce));
}

/// On SQLite an owner that is stopped inside its transaction holds the file's only write lock.
fn stopped_inside_its_transaction_on_sqlite(then: impl FnOnce(Victim) -> Option<Victim>) {
    let place = Place::fresh(Kind::Sqlite);
    let mut other = victim(&place).ready();
    let mut owner = victim(&place).gate("book/written").ready();
    owner.run("booked", "k", Policy::Attach);
    owner.at_gate("booked", "k", "book/written");
    owner.stop();

    let call = other.run("booked", "other", Policy::Attach);
    let refused = other.answer(call).expect_err("nobody else can write");
    assert_eq!(refused.kind, "unavailable", "{refused:?}");
    assert_eq!(recorded(&place, "k"), ["first"], "reads go on");
    let _lives_on = then(owner);
    is_finished_once(&place, &mut other, "other");
    is_finished_once(&place, &mut other, "k");
}

#[test]
fn a_writer_stopped_in_its_transaction_on_sqlite_holds_others_up_until_it_wakes() {
    stopped_inside_its_transaction_on_sqlite(|mut owner| {
        owner.open("book/written");
        owner.go_on();
        Some(owner)
    });
}

#[test]
fn a_writer_stopped_in_its_transaction_on_sqlite_holds_others_up_until_it_is_killed() {
    stopped_inside_its_transaction_on_sqlite(|owner| {
        owner.kill();
        None
    });
}
