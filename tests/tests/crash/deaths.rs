//! A process dies at each point of its story: the one that was called, and the one that takes over
//! from it. A new one finishes what they left; nobody else is alive then.

use keystep::State;
use system_tests::evidence::Evidence;
use system_tests::place::Kind;
use system_tests::protocol::Policy;
use system_tests::show;
use system_tests::victim::{Call, Launch, Victim};

use crate::snare::{Caught, Snare, Way};
use crate::story::{GATES, Life, SCHEMA, STEPS, Scene, position};

on_both_stores!(
    what_dies_before_a_call_of_its_store_has_not_made_it,
    what_dies_before_a_write_is_durable_has_not_written,
    what_dies_before_it_hears_of_its_write_has_written,
    what_dies_after_a_call_of_its_store_has_made_it,
    what_dies_inside_a_step_leaves_this_step_to_be_run_again,
    what_dies_while_it_asks_for_a_lost_answer_has_booked_once,
    what_dies_while_it_declares_another_one_dead_has_taken_over_or_not,
);

fn what_dies_before_a_call_of_its_store_has_not_made_it(kind: Kind) {
    everyone_dies_at_each(kind, Way::Before);
}

fn what_dies_before_a_write_is_durable_has_not_written(kind: Kind) {
    everyone_dies_at_each(kind, Way::Sent);
}

fn what_dies_before_it_hears_of_its_write_has_written(kind: Kind) {
    everyone_dies_at_each(kind, Way::Done);
}

fn what_dies_after_a_call_of_its_store_has_made_it(kind: Kind) {
    everyone_dies_at_each(kind, Way::After);
}

fn what_dies_inside_a_step_leaves_this_step_to_be_run_again(kind: Kind) {
    everyone_dies_at_each(kind, Way::Inside);
}

/// The answer to the commit of the step's own transaction is lost, so the store is asked for it.
fn what_dies_while_it_asks_for_a_lost_answer_has_booked_once(kind: Kind) {
    let scene = Scene::new(kind);
    for way in [Way::Before, Way::Sent, Way::Done, Way::After] {
        let mut known = points(kind, way, None);
        let last = known.pop().expect("the last commit");
        known.push("Confirm");
        match (way, kind) {
            // The call that is both lost and to be held is held at the next one.
            (Way::Before | Way::After, _) => {
                known.remove(known.len() - 2);
                known.push("Confirm");
            }
            // It takes two statements.
            (_, Kind::Postgres) => known.push("Confirm"),
            (_, Kind::Sqlite) => {}
        }
        known.push(last);
        let deaf = scene.silent().option("lose-commit", 2);
        dies_at_each(&scene, way, &[], &deaf, &known);
    }
}

/// The one that was called, and those that took over when it had recorded nothing, a step, or two.
fn everyone_dies_at_each(kind: Kind, way: Way) {
    let scene = Scene::new(kind);
    for before in [&[][..], &["first"], &["book/written"], &["first", "last"]] {
        let from = before.last().map(|gate| position(gate));
        dies_at_each(&scene, way, before, &scene.silent(), &points(kind, way, from));
    }
}

/// Another part of it takes over as soon as the other one counts as dead, so nobody can tell how far
/// it comes; but the promises hold.
fn what_dies_while_it_declares_another_one_dead_has_taken_over_or_not(kind: Kind) {
    let scene = Scene::new(kind);
    for way in [Way::Before, Way::Sent, Way::Done, Way::After] {
        let mut death = Death::new(&scene, format!("{way:?} the declaration"));
        let _not_declared = death.at_gate("first");
        // It has saved its plan (on SQLite: has shown a beat) and registered before.
        let caught = death.at_point(Snare::set(&scene.place, way, 3, scene.launch()));
        let caught = caught.expect("the third point of each way");
        assert!(caught.has_reached("Bury"), "{caught:?}");
        let mut last = scene.launch().start();
        scene.recovers(&mut last, death.evidence, &death.key, true);
        last.exit();
    }
}

/// The points at which a process can be held that takes over `from` a step, or that begins.
pub(crate) fn points(kind: Kind, way: Way, from: Option<usize>) -> Vec<&'static str> {
    let first = from.unwrap_or(0);
    if way == Way::Inside {
        let left = GATES.into_iter().filter(|gate| position(gate) >= first);
        return left.collect();
    }
    let on_the_way = way == Way::Sent || way == Way::Done;
    let mut points = match (on_the_way, kind) {
        // Its plan is stored, so that saving it writes nothing.
        (true, Kind::Sqlite) => vec!["Register"],
        _ => vec!["SavePlan", "Register"],
    };
    match from {
        None => points.push("Begin"),
        Some(_) if on_the_way && kind == Kind::Sqlite => points.push("Acquire"),
        Some(_) => points.extend(["Acquire", "Load"]),
    }
    for step in &STEPS[first..] {
        if *step == "book" && on_the_way && kind == Kind::Postgres {
            points.push("Write");
        }
        points.push("Commit");
    }
    points
}

/// Kills at the first point, the second, and so on until the story needs no more. Before that
/// process lived others, each of which died at one of these gates; the first of all is called.
fn dies_at_each(scene: &Scene, way: Way, before: &[&str], launch: &Launch, known: &[&str]) {
    let mut points = Vec::new();
    for nth in 1.. {
        let key = format!("{way:?} {nth} after {before:?} of {}", known.len());
        let mut death = Death::new(scene, key);
        for gate in before {
            // Its successor finds work to do at once: what that does is one thing after the other.
            scene.place.bury(&death.at_gate(gate));
        }
        let caught = death.at_point(Snare::set(&scene.place, way, nth, launch.clone()));
        scene.is_told(death.evidence, &death.key, &death.lives);
        match caught {
            Some(caught) => points.push(caught.name().to_owned()),
            None => break,
        }
    }
    show(&format!(
        "{:?}, {way:?}, after {before:?}: killed at {} points: {}",
        scene.place.kind(),
        points.len(),
        points.join(" ")
    ));
    assert_eq!(points, known, "the points of the story");
}

/// An execution whose owners die one after the other.
pub(crate) struct Death<'a> {
    scene: &'a Scene,
    pub(crate) key: String,
    pub(crate) evidence: Evidence,
    pub(crate) lives: Vec<Life>,
    /// Steps that they have recorded.
    pub(crate) recorded: usize,
}

impl<'a> Death<'a> {
    pub(crate) fn new(scene: &'a Scene, key: String) -> Self {
        Self {
            scene,
            key,
            evidence: Evidence::new(),
            lives: Vec::new(),
            recorded: 0,
        }
    }

    /// Gives the worker that died.
    pub(crate) fn at_gate(&mut self, gate: &str) -> String {
        let mut process = self.scene.silent().gate(gate).start();
        self.begins(&mut process);
        process.at_gate(SCHEMA, &self.key, gate);
        let worker = process.ready();
        process.kill();
        self.ends(Life::at_gate(gate, self.recorded));
        worker
    }

    /// `None` when there was no point left to hold the process at.
    fn at_point(&mut self, snare: Snare) -> Option<Caught> {
        let (process, _call, caught) = self.held(&snare);
        snare.kill(process);
        // The last call of all is none of the story: it may ask the store, which changes nothing.
        let is_successor = !self.lives.is_empty();
        let caught = caught.filter(|caught| !(is_successor && caught.name() == "Begin"));
        self.ends(match &caught {
            Some(caught) => caught.life(self.recorded),
            None => Life::whole(self.recorded),
        });
        caught
    }

    /// Starts a process and waits until it is held. Gives it with its call, if it was called, and
    /// where it is held, if it is.
    pub(crate) fn held(&mut self, snare: &Snare) -> (Victim, Option<Call>, Option<Caught>) {
        let mut process = snare.start();
        let call = self.begins(&mut process);
        let (call, caught) = snare.held_or_over(&mut process, call, |process| {
            // Answered when the process itself knows that it is finished.
            self.is_finished().then(|| self.calls(process))
        });
        (process, call, caught)
    }

    /// Only the first process is called.
    fn begins(&mut self, process: &mut Victim) -> Option<Call> {
        self.evidence.hear(process);
        let call = self.lives.is_empty().then(|| self.calls(process));
        self.evidence.crashed(process);
        call
    }

    pub(crate) fn ends(&mut self, life: Life) {
        self.recorded += life.recorded;
        self.lives.push(life);
    }

    pub(crate) fn calls(&mut self, process: &mut Victim) -> Call {
        let call = process.run(SCHEMA, &self.key, Policy::Attach);
        self.evidence.asked(process, call, SCHEMA, &self.key);
        call
    }

    fn is_finished(&self) -> bool {
        let record = self.scene.place.execution(SCHEMA, &self.key);
        record.is_some_and(|record| record.state == State::Succeeded)
    }
}
