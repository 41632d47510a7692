//! How does a test get hold of one statement on its way? A trap that the proxy springs.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// What happens to the statement in a trap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It never reaches the server, and its connection is cut.
    CutBefore,
    /// The server carries it out and answers; the answer is lost with the connection.
    LoseAnswer,
    /// It waits before the server until it is released.
    HoldBefore,
    /// The server carries it out and answers; the answer waits until it is released.
    HoldAnswer,
}

/// A statement that is waited for, or caught. Dropping this changes nothing.
#[derive(Clone)]
pub struct Trap {
    pub(super) stage: watch::Sender<Stage>,
    pub(super) fate: Fate,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Set,
    /// The statement has come by.
    Caught,
    /// What its fate says of the server's side has happened.
    Sprung,
    Released,
}

impl Trap {
    pub(super) fn set(fate: Fate) -> Self {
        Self {
            stage: watch::Sender::new(Stage::Set),
            fate,
        }
    }

    /// Whether it has happened: the connection is cut, the statement is held, or (with
    /// [`Fate::LoseAnswer`] and [`Fate::HoldAnswer`]) the server has carried the statement out.
    pub fn is_sprung(&self) -> bool {
        *self.stage.borrow() >= Stage::Sprung
    }

    /// Waits for that in place, at most for `limit`, and tells whether it has happened.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        while !self.is_sprung() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Waits for that without a limit.
    pub async fn sprung(&self) {
        self.reaches(Stage::Sprung).await;
    }

    /// Lets what is held go on, also when it is caught later.
    pub fn release(&self) {
        self.stage.send_replace(Stage::Released);
    }

    pub(super) async fn released(&self) {
        self.reaches(Stage::Released).await;
    }

    /// A trap that was released before it was caught stays released.
    pub(super) fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let is_new = *stage < to;
            if is_new {
                *stage = to;
            }
            is_new
        });
    }

    async fn reaches(&self, wanted: Stage) {
        let mut stage = self.stage.subscribe();
        // The sender lives in `self`, so the wait can not end without the condition.
        let _reached = stage.wait_for(|stage| *stage >= wanted).await;
    }
}

impl fmt::Debug for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trap")
            .field("fate", &self.fate)
            .field("stage", &*self.stage.borrow())
            .finish()
    }
}
