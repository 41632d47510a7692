//! Who is alive? The workers' table, with one liveness session a handle.
//!
//! Death is for ever: a dead worker keeps its row, so that its id is never alive again.

use std::collections::HashMap;

use uuid::Uuid;

use crate::execution::{ShapeId, WorkerId};
use crate::store::{Beat, Observed, Register};

#[derive(Debug, Default)]
pub(super) struct Workers {
    known: HashMap<WorkerId, Worker>,
    /// Whose session a handle holds, and whether it stands.
    sessions: HashMap<Uuid, Session>,
}

#[derive(Debug)]
struct Worker {
    shapes: Vec<ShapeId>,
    beat: i64,
    dead: bool,
}

#[derive(Debug, Clone, Copy)]
struct Session {
    worker: WorkerId,
    stands: bool,
}

impl Workers {
    /// Adds a worker, or does nothing for one that is known, so that a register whose answer was
    /// lost can be sent again and the dead stay dead.
    pub(super) fn register(&mut self, instance: Uuid, register: Register) {
        let worker = register.worker;
        self.known.entry(worker).or_insert(Worker {
            shapes: register.shapes,
            beat: 0,
            dead: false,
        });
        if self.is_live(worker) {
            let stands = true;
            self.sessions.insert(instance, Session { worker, stands });
        }
    }

    pub(super) fn beat(&mut self, instance: Uuid, worker: WorkerId) -> Beat {
        let Some(alive) = self.known.get_mut(&worker).filter(|known| !known.dead) else {
            return Beat::Dead;
        };
        alive.beat += 1;
        // Another worker that was registered through this handle since keeps the session.
        let session = self
            .sessions
            .entry(instance)
            .or_insert(Session { worker, stands: true });
        session.stands |= session.worker == worker;
        Beat::Alive
    }

    /// All live workers but the observer, in the order of their ids.
    pub(super) fn others(&self, observer: WorkerId) -> Vec<Observed> {
        let mut others: Vec<Observed> = self
            .known
            .iter()
            .filter(|(worker, known)| **worker != observer && !known.dead)
            .map(|(worker, known)| Observed {
                worker: *worker,
                beat: known.beat,
                session: Some(self.session_stands(*worker)),
                shapes: known.shapes.clone(),
            })
            .collect();
        others.sort_by_key(|other| other.worker);
        others
    }

    pub(super) fn bury(&mut self, worker: WorkerId, beat: i64) -> bool {
        if self.known.get(&worker).is_some_and(|known| known.beat == beat) {
            self.retire(worker);
        }
        !self.is_live(worker)
    }

    pub(super) fn retire(&mut self, worker: WorkerId) {
        if let Some(known) = self.known.get_mut(&worker) {
            known.dead = true;
        }
        self.end_session(worker);
    }

    pub(super) fn end_session(&mut self, worker: WorkerId) {
        for session in self.sessions.values_mut() {
            session.stands &= session.worker != worker;
        }
    }

    pub(super) fn close_handle(&mut self, instance: Uuid) {
        self.sessions.remove(&instance);
    }

    pub(super) fn is_live(&self, worker: WorkerId) -> bool {
        self.known.get(&worker).is_some_and(|known| !known.dead)
    }

    fn session_stands(&self, worker: WorkerId) -> bool {
        self.sessions
            .values()
            .any(|session| session.worker == worker && session.stands)
    }
}
