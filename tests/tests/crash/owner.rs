//! The process that was called dies at each point of its story, and a living one goes on.

use system_tests::evidence::Evidence;
use system_tests::place::Kind;
use system_tests::protocol::Policy;
use system_tests::show;
use system_tests::victim::Launch;

use crate::snare::{Snare, Way};
use crate::story::{Life, SCHEMA, Scene};

on_both_stores!(
    a_caller_that_dies_before_a_call_of_its_store_has_not_made_it,
    a_caller_that_dies_before_a_write_is_durable_has_not_written,
    a_caller_that_dies_before_it_hears_of_its_write_has_written,
    a_caller_that_dies_after_a_call_of_its_store_has_made_it,
    a_caller_that_dies_inside_a_step_leaves_this_step_to_be_run_again,
    a_caller_that_dies_while_it_asks_for_a_lost_answer_has_booked_once,
);

const CALLS: [&str; 6] = ["SavePlan", "Register", "Begin", "Commit", "Commit", "Commit"];

fn a_caller_that_dies_before_a_call_of_its_store_has_not_made_it(kind: Kind) {
    dies_at_each(kind, Way::Before, &CALLS, |launch| launch);
}

fn a_caller_that_dies_after_a_call_of_its_store_has_made_it(kind: Kind) {
    dies_at_each(kind, Way::After, &CALLS, |launch| launch);
}

fn a_caller_that_dies_before_a_write_is_durable_has_not_written(kind: Kind) {
    dies_at_each(kind, Way::Sent, writes(kind), |launch| launch);
}

fn a_caller_that_dies_before_it_hears_of_its_write_has_written(kind: Kind) {
    dies_at_each(kind, Way::Done, writes(kind), |launch| launch);
}

/// The plan is stored already, so that saving it writes nothing on SQLite.
fn writes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sqlite => &["Register", "Begin", "Commit", "Commit", "Commit"],
        Kind::Postgres => &[
            "SavePlan", "Register", "Begin", "Commit", "Write", "Commit", "Commit",
        ],
    }
}

fn a_caller_that_dies_inside_a_step_leaves_this_step_to_be_run_again(kind: Kind) {
    let gates = [
        "first/entered",
        "first",
        "book/entered",
        "book",
        "book/opened",
        "book/written",
        "book/enlisted",
        "last/entered",
        "last",
    ];
    dies_at_each(kind, Way::Inside, &gates, |launch| launch);
}

/// The answer to the commit of the step's own transaction is lost, so the store is asked for it.
fn a_caller_that_dies_while_it_asks_for_a_lost_answer_has_booked_once(kind: Kind) {
    let calls = [
        "SavePlan", "Register", "Begin", "Commit", "Confirm", "Confirm", "Commit",
    ];
    let deaf = |launch: Launch| launch.option("lose-commit", 2);
    dies_at_each(kind, Way::Before, &calls, deaf);
    dies_at_each(kind, Way::After, &calls, deaf);
}

/// Kills at the first point, the second, and so on until the story needs no more; these are known.
fn dies_at_each(kind: Kind, way: Way, known: &[&str], launch: impl Fn(Launch) -> Launch) {
    let scene = Scene::new(kind);
    let mut successor = scene.launch().ready();
    let mut points = Vec::new();
    for nth in 1.. {
        let key = format!("{way:?}-{nth}");
        let owner = launch(scene.launch().switch("silent"));
        let snare = Snare::set(&scene.place, way, nth, owner);
        let mut evidence = Evidence::new();
        let mut owner = snare.start();
        let call = owner.run(SCHEMA, &key, Policy::Attach);
        evidence.asked(&owner, call, SCHEMA, &key);
        evidence.crashed(&owner);
        let caught = snare.kill(owner, |owner| owner.has_answered(call));
        let life = caught.as_ref().map_or(Life::whole(), |caught| caught.life(0));
        scene.is_told(&mut successor, &mut evidence, &key, &[life]);
        match caught {
            Some(caught) => points.push(caught.name().to_owned()),
            None => break,
        }
    }
    successor.exit();
    show(&format!(
        "{kind:?}, {way:?}: {} points: {}",
        points.len(),
        points.join(" ")
    ));
    assert_eq!(points, known, "the points of the story");
}
