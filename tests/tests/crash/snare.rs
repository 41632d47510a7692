//! How is a process held at its n-th point, to be killed or stopped exactly there? It halts there by itself, or
//! the network before its server holds what it says or hears.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use store_conformance::proxy::{Fate, Proxy, Trap};
use system_tests::place::{Kind, Place};
use system_tests::victim::{Call, Launch, SOON, Victim};

use crate::story::Life;

/// Where a process is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Before it calls its store.
    Before,
    /// On SQLite: before the COMMIT. On PostgreSQL: before the statement reaches the server.
    Sent,
    /// On SQLite: after the COMMIT. On PostgreSQL: before the server's answer reaches the process.
    Done,
    /// Before the engine hears the store's answer.
    After,
    /// At a gate inside a step.
    Inside,
}

/// The statements at which a process is held on its way to PostgreSQL, by the store's name, and the
/// calls whose part they are. `Write` is the fenced checkpoint inside a step's own transaction,
/// which ends with a `COMMIT` after it.
const STATEMENTS: [(&str, &str); 16] = [
    ("save_plan", "SavePlan"),
    ("register", "Register"),
    ("bury", "Bury"),
    ("begin", "Begin"),
    ("begin_alone", "Begin"),
    ("acquire", "Acquire"),
    ("load", "Load"),
    ("commit", "Commit"),
    ("commit_alone", "Commit"),
    ("checkpoint_alone", "Commit"),
    ("write", "Commit"),
    ("judge", "Commit"),
    ("judge_waiting", "Write"),
    ("COMMIT", "Commit"),
    ("lock", "Confirm"),
    ("recorded_by", "Confirm"),
];

/// A process that will be held, once, at its n-th point.
pub(crate) struct Snare {
    way: Way,
    launch: Launch,
    wire: Option<Wire>,
}

/// A network that holds one statement.
struct Wire {
    proxy: Proxy,
    trap: Trap,
    /// Statements that came by, the held one last.
    passed: Arc<Mutex<Vec<String>>>,
}

impl Snare {
    /// Holds a process of this launch at the n-th point of a way.
    pub(crate) fn set(place: &Place, way: Way, nth: u64, launch: Launch) -> Self {
        let side = match (way, place.kind()) {
            (Way::Before, _) => "before",
            (Way::After, _) => "after",
            (Way::Inside, _) => "inside",
            (Way::Sent, Kind::Sqlite) => "written",
            (Way::Done, Kind::Sqlite) => "durable",
            (Way::Sent, Kind::Postgres) => {
                return Self::on_the_wire(place, way, nth, launch, Fate::HoldBefore);
            }
            (Way::Done, Kind::Postgres) => {
                return Self::on_the_wire(place, way, nth, launch, Fate::HoldAnswer);
            }
        };
        Self {
            way,
            launch: launch.option("halt", format!("{side}:{nth}")),
            wire: None,
        }
    }

    fn on_the_wire(place: &Place, way: Way, nth: u64, launch: Launch, fate: Fate) -> Self {
        let proxy = Proxy::before(place.url()).expect("a port");
        let mut texts = place.statements();
        texts.push(("COMMIT", "COMMIT".to_owned()));
        let passed = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&passed);
        let is_meant = move |text: &str| {
            let named = texts.iter().find(|(_name, of)| of == text);
            let call = STATEMENTS
                .iter()
                .find(|(name, _call)| named.is_some_and(|(of, _text)| of == name));
            let Some((_name, call)) = call else {
                return false;
            };
            seen.lock()
                .expect("no panic under this lock")
                .push((*call).to_owned());
            true
        };
        let trap = proxy.trap(is_meant, nth, fate);
        Self {
            way,
            launch: launch.option("url", proxy.url()),
            wire: Some(Wire { proxy, trap, passed }),
        }
    }

    /// Starts the process.
    pub(crate) fn start(&self) -> Victim {
        self.launch.start()
    }

    /// Waits until the process is held.
    pub(crate) fn holds(&self, process: &Victim) {
        let deadline = Instant::now() + SOON;
        while self.held(process).is_none() {
            assert!(Instant::now() < deadline, "it is not held\n{process}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until the process is held or its call answered. `calls` makes the call as soon as there is
    /// nothing left to be held at, if there is none yet. Gives the call, if there is one, and where the
    /// process is held, if it is.
    pub(crate) fn held_or_over(
        &self,
        process: &mut Victim,
        mut call: Option<Call>,
        mut calls: impl FnMut(&mut Victim) -> Option<Call>,
    ) -> (Option<Call>, Option<Caught>) {
        let deadline = Instant::now() + SOON;
        loop {
            // In this order: what has answered by now will not be held any more.
            let over = call.is_some_and(|call| process.has_answered(call));
            let caught = self.held(process);
            if caught.is_some() || over {
                return (call, caught);
            }
            call = call.or_else(|| calls(process));
            assert!(Instant::now() < deadline, "neither held nor over\n{process}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// At what the process is held, if it is by now.
    pub(crate) fn held(&self, process: &Victim) -> Option<Caught> {
        let points = match &self.wire {
            None => process.halted(),
            Some(wire) => wire.held(),
        };
        let way = self.way;
        points.map(|points| Caught { way, points })
    }

    /// Wakes a process that was stopped where it is held, and lets it go on from there.
    pub(crate) fn release(&self, process: &mut Victim) {
        match &self.wire {
            None => process.release(),
            Some(wire) => wire.trap.release(),
        }
        process.go_on();
    }

    /// Kills it. What it had said to a held server is lost with it, and the server sees it gone.
    pub(crate) fn kill(self, process: Victim) {
        process.kill();
        if let Some(wire) = self.wire {
            wire.proxy.cut();
        }
    }
}

impl Wire {
    fn held(&self) -> Option<Vec<String>> {
        let passed = || self.passed.lock().expect("no panic under this lock").clone();
        self.trap.is_sprung().then(passed)
    }
}

/// Where a process was held.
#[derive(Debug, Clone)]
pub(crate) struct Caught {
    way: Way,
    points: Vec<String>,
}

impl Caught {
    /// The point.
    pub(crate) fn name(&self) -> &str {
        self.points.last().map_or("", String::as_str)
    }

    /// Whether it has come to this point, the last or an earlier one.
    pub(crate) fn has_reached(&self, point: &str) -> bool {
        self.points.iter().any(|passed| passed == point)
    }

    /// How far it had come. `from` is the first step that it had to run.
    pub(crate) fn life(&self, from: usize) -> Life {
        match self.way {
            Way::Inside => Life::at_gate(self.name(), from),
            Way::Before | Way::Sent => Life::of_calls(&self.points, false),
            Way::Done | Way::After => Life::of_calls(&self.points, true),
        }
    }
}
