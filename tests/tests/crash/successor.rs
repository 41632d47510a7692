//! The one that takes over dies too, at each point of what it does, and a third process goes on:
//! nobody else is left, so it is also the first one after all have died.

use system_tests::evidence::Evidence;
use system_tests::place::Kind;
use system_tests::protocol::Policy;
use system_tests::show;

use keystep::State;

use crate::snare::{Snare, Way};
use crate::story::{Life, SCHEMA, Scene};

on_both_stores!(
    a_successor_that_dies_before_a_call_of_its_store_has_not_made_it,
    a_successor_that_dies_before_a_write_is_durable_has_not_written,
    a_successor_that_dies_before_it_hears_of_its_write_has_written,
    a_successor_that_dies_after_a_call_of_its_store_has_made_it,
    a_successor_that_dies_inside_a_step_leaves_this_step_to_be_run_again,
);

const CALLS: [&str; 8] = [
    "SavePlan", "Register", "Bury", "Acquire", "Load", "Commit", "Commit", "Commit",
];

fn a_successor_that_dies_before_a_call_of_its_store_has_not_made_it(kind: Kind) {
    dies_at_each(kind, Way::Before, &CALLS);
}

fn a_successor_that_dies_after_a_call_of_its_store_has_made_it(kind: Kind) {
    dies_at_each(kind, Way::After, &CALLS);
}

fn a_successor_that_dies_before_a_write_is_durable_has_not_written(kind: Kind) {
    dies_at_each(kind, Way::Sent, writes(kind));
}

fn a_successor_that_dies_before_it_hears_of_its_write_has_written(kind: Kind) {
    dies_at_each(kind, Way::Done, writes(kind));
}

/// On SQLite its first beat is a write like all others, and comes after its registration.
fn writes(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Sqlite => &[
            "Register", "Register", "Bury", "Acquire", "Commit", "Commit", "Commit",
        ],
        Kind::Postgres => &[
            "SavePlan", "Register", "Bury", "Acquire", "Load", "Commit", "Write", "Commit", "Commit",
        ],
    }
}

fn a_successor_that_dies_inside_a_step_leaves_this_step_to_be_run_again(kind: Kind) {
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
    dies_at_each(kind, Way::Inside, &gates);
}

/// As the owner's deaths, of the process that takes over from an owner which died in its first step.
fn dies_at_each(kind: Kind, way: Way, known: &[&str]) {
    let scene = Scene::new(kind);
    let mut points = Vec::new();
    for nth in 1.. {
        let key = format!("{way:?}-{nth}");
        let mut evidence = Evidence::new();
        let mut owner = scene.launch().switch("silent").gate("first").start();
        let call = owner.run(SCHEMA, &key, Policy::Attach);
        evidence.asked(&owner, call, SCHEMA, &key);
        owner.at_gate(SCHEMA, &key, "first");
        evidence.crashed(&owner);
        owner.kill();

        let snare = Snare::set(&scene.place, way, nth, scene.launch());
        let second = snare.start();
        evidence.hear(&second);
        evidence.crashed(&second);
        let caught = snare.kill(second, |_second| {
            let record = scene.place.execution(SCHEMA, &key);
            record.is_some_and(|record| record.state == State::Succeeded)
        });
        let life = caught.as_ref().map_or(Life::whole(), |caught| caught.life(0));

        let mut third = scene.launch().start();
        let dead = [Life::at_gate("first", 0), life];
        scene.is_told(&mut third, &mut evidence, &key, &dead);
        third.exit();
        match caught {
            Some(caught) => points.push(caught.name().to_owned()),
            None => break,
        }
    }
    show(&format!(
        "{kind:?}, {way:?}: {} points: {}",
        points.len(),
        points.join(" ")
    ));
    assert_eq!(points, known, "the points of the story");
}
