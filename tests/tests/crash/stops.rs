//! A process is stopped with SIGSTOP at each point of its story, and another one takes over what it
//! began: what does it do when it wakes there, while the other one still works or when all is over?
//!
//! Where it is stopped with a lock in its hands nobody can take over, whoever counts as dead, and
//! such points are left out. On SQLite that is each moment inside a transaction: it has the only
//! right to write to the file, until the process ends. On PostgreSQL it is the time between a
//! checkpoint and its COMMIT, which the server ends after the idle limit.

use std::ops::AddAssign;

use system_tests::evidence::Evidence;
use system_tests::place::{Kind, Place};
use system_tests::protocol::Policy;
use system_tests::show;
use system_tests::victim::{Launch, Victim};

use crate::deaths::{Death, points};
use crate::snare::{Snare, Way};
use crate::story::{SCHEMA, STEPS, Scene, position};

on_both_stores!(what_is_stopped_at_any_point_and_woken_after_a_takeover_records_nothing_more);

/// Fewer would mean that points are missed.
const fn known(kind: Kind) -> usize {
    match kind {
        Kind::Sqlite => 30,
        Kind::Postgres => 60,
    }
}

fn what_is_stopped_at_any_point_and_woken_after_a_takeover_records_nothing_more(kind: Kind) {
    let scene = Scene::new(kind);
    let mut tried = Tried::default();
    let ways = match kind {
        Kind::Sqlite => &[Way::Before, Way::After, Way::Inside][..],
        Kind::Postgres => &[Way::Before, Way::Sent, Way::Done, Way::After, Way::Inside],
    };
    for way in ways {
        // The one that was called, and one that took over from it.
        for before in [&[][..], &["first"]] {
            let from = before.last().map(|gate| position(gate));
            let story = points(kind, *way, from);
            for (index, point) in story.iter().enumerate() {
                if !is_unknown_there(point) && !is_locked_there(kind, *way, &story[..=index]) {
                    tried += stopped_at(&scene, &scene.silent(), before, (*way, index + 1, point));
                }
            }
        }
        tried += stopped_while_it_asks_for_a_lost_answer(&scene, *way);
    }
    show(&format!("{kind:?}: {tried:?}"));
    assert_eq!(tried.points, known(kind), "the points of the story");
}

/// It is no worker yet, so there is nobody to take over from.
fn is_unknown_there(point: &str) -> bool {
    ["SavePlan", "Register"].contains(&point)
}

/// Whether it holds a lock at the last of these points that keeps everybody else out.
fn is_locked_there(kind: Kind, way: Way, story: &[&str]) -> bool {
    let (point, earlier) = story.split_last().expect("a point");
    match (kind, way) {
        (Kind::Sqlite, Way::Inside) => point.starts_with("book/") && *point != "book/entered",
        (Kind::Sqlite, _) => {
            let commits = earlier.iter().filter(|point| **point == "Commit").count();
            way == Way::Before && *point == "Commit" && commits == position("book")
        }
        (Kind::Postgres, Way::Sent) => earlier.last() == Some(&"Write"),
        (Kind::Postgres, Way::Done) => *point == "Write",
        (Kind::Postgres, _) => false,
    }
}

fn stopped_while_it_asks_for_a_lost_answer(scene: &Scene, way: Way) -> Tried {
    let mut tried = Tried::default();
    let deaf = scene.silent().option("lose-commit", 2);
    // After the plan, the registration, the begin and two commits; on PostgreSQL's wire the second
    // of them is two statements, and the question too.
    let points = match way {
        Way::Before | Way::After => &[6][..],
        Way::Sent | Way::Done => &[7, 8],
        Way::Inside => &[],
    };
    for nth in points {
        tried += stopped_at(scene, &deaf, &[], (way, *nth, "Confirm"));
    }
    tried
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default)]
struct Tried {
    points: usize,
    /// Steps that ran too late.
    stale: usize,
    /// Writes that were refused.
    fenced: usize,
}

/// Where the successor is while the other one is woken: every point of the story is before this one
/// or in the same step.
const IN_BETWEEN: &str = "last";

/// Stops a process at a point; before it lived others, which died at these gates. Another one takes
/// the execution over. Then the first is woken and released.
fn stopped_at(
    scene: &Scene,
    launch: &Launch,
    before: &[&str],
    (way, nth, point): (Way, usize, &str),
) -> Tried {
    let key = format!("{way:?} {nth} {point} after {before:?}");
    let mut death = Death::new(scene, key.clone());
    for gate in before {
        scene.place.bury(&death.at_gate(gate));
    }
    let snare = Snare::set(&scene.place, way, nth as u64, launch.clone());
    let (mut process, call, caught) = death.held(&snare);
    let caught = caught.unwrap_or_else(|| panic!("{key}: not held\n{process}"));
    assert_eq!(caught.name(), point, "{key}");
    let worker = process.ready();
    process.stop();
    let life = caught.life(death.recorded);
    death.ends(life);
    scene.is_left(&key, &death.lives);

    scene.place.bury(&worker);
    let mut successor = scene.launch().gate(IN_BETWEEN).start();
    // One that took over itself is woken while its successor still works, so that nothing but the
    // claim tells the two apart.
    let still_works = !before.is_empty() && death.recorded < STEPS.len();
    let finish = |successor: &mut Victim, evidence: &mut Evidence| {
        successor.open(IN_BETWEEN);
        scene.is_taken_over(successor, evidence, &key, &death.lives)
    };
    let mut output = None;
    if still_works {
        successor.at_gate(SCHEMA, &key, IN_BETWEEN);
    } else {
        output = Some(finish(&mut successor, &mut death.evidence));
    }
    let stood = scene.recorded(&key);
    let made = made_by(&scene.place, &key, &worker);

    snare.release(&mut process);
    // What it had not read yet when it was stopped it reads now: somebody else has it, or it
    // is over.
    let reads_first = match point {
        "Acquire" => true,
        "Load" => [Way::Before, Way::Sent].contains(&way),
        _ => false,
    };
    let writes = life.owned && !reads_first && death.recorded < STEPS.len();
    if writes {
        process.logged("fenced");
    }
    assert_eq!(scene.recorded(&key), stood, "{key}: nothing more is recorded");
    let output = output.unwrap_or_else(|| finish(&mut successor, &mut death.evidence));
    let stood = scene.recorded(&key);
    let call = call.unwrap_or_else(|| death.calls(&mut process));
    assert_eq!(
        process.answer(call),
        Ok(output),
        "{key}: one outcome for everybody\n{process}"
    );
    process.beat();
    let reborn = process.worker_other_than(&worker);
    let next = format!("{key}, the next");
    let call = process.run(SCHEMA, &next, Policy::Attach);
    assert!(process.answer(call).is_ok(), "{key}: it works again\n{process}");
    for checkpoint in scene.place.checkpoints(SCHEMA, &next) {
        assert_eq!(checkpoint.worker.to_string(), reborn, "{key}: as a new worker");
    }

    assert_eq!(scene.recorded(&key), stood, "{key}: nor later");
    let late = made_by(&scene.place, &key, &worker) - made;
    assert!(late <= 1, "{key}: {late} bodies ran too late");
    scene.judge(&death.evidence, &key);
    Tried {
        points: 1,
        stale: late,
        fenced: writes.into(),
    }
}

/// Attempts of a worker.
fn made_by(place: &Place, key: &str, worker: &str) -> usize {
    let attempts = place.attempts(SCHEMA, key).into_iter();
    attempts.filter(|attempt| attempt.worker == worker).count()
}

impl AddAssign for Tried {
    fn add_assign(&mut self, more: Self) {
        self.points += more.points;
        self.stale += more.stale;
        self.fenced += more.fenced;
    }
}
