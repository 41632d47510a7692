//! How do many waiting writes become one commit? Lanes: a few connections of our own that share one
//! queue. A free lane takes what waits at that moment, so there is no timer and a lone write goes
//! at once.
//!
//! Where nobody else writes, a lone write does not even go to a lane's task: its caller sends it in its turn,
//! on the connection of the first lane.
//!
//! A lane never waits for a row: what somebody else holds comes back as [`Reply::Again`] and its
//! caller sends it again a moment later, so one locked row holds nobody else up. A value that the
//! server does not take is found by halving the batch. A lost connection is reopened before the
//! next batch; while no lane has one, operations are answered at once instead of waiting.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use keystep::clock::{Clock, monotonic};
use keystep::lane::{LaneReceiver, LaneSender, Pending, Turn, lane};
use keystep::store::StoreError;
use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, MutexGuard, Notify};

use crate::batch;
use crate::connect::Connector;
use crate::error::Trouble;
use crate::op::{Done, Op, Reply};
use crate::options::PostgresOptions;
use crate::sql::Sql;

/// A connection that was idle for longer is asked whether it still stands before a write is sent:
/// that costs a round trip, but saves an unknown outcome.
const IDLE_CHECK: Duration = Duration::from_secs(5);

/// Pauses between tries to open a lost connection.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Pauses before an operation is sent again because a row was busy.
const FIRST_AGAIN: Duration = Duration::from_millis(1);
const LONGEST_AGAIN: Duration = Duration::from_millis(50);

/// Boxed, because it is moved from the caller to the queue, into a batch and out of it again.
pub(crate) type Job = Pending<Box<Op>, Reply>;

/// The way into the lanes. They end when the last handle is gone.
pub(crate) struct Lanes {
    queue: LaneSender<Box<Op>, Reply>,
    /// The first lane's, for lone writes; not that of the only lane, which a caller that is not polled for
    /// long would keep from all others.
    place: Option<Arc<Place>>,
    patience: Duration,
    deadline: Duration,
}

impl Lanes {
    /// Starts the lanes on the current runtime.
    pub(crate) fn start(connector: &Connector, sql: &Arc<Sql>, options: &PostgresOptions) -> Self {
        let (queue, waiting) = lane(options.batch);
        let standing = Arc::new(AtomicUsize::new(0));
        let line = || {
            Mutex::new(Line {
                connector: connector.clone(),
                sql: Arc::clone(sql),
                clock: options.clock.clone(),
                deadline: options.deadline,
                connection: None,
                under_way: false,
                used: monotonic(),
                standing: Arc::clone(&standing),
            })
        };
        let place = || {
            Arc::new(Place {
                line: line(),
                lost: Notify::new(),
            })
        };
        let places: Vec<Arc<Place>> = (0..options.lanes.max(1)).map(|_lane| place()).collect();
        let first = places.first().filter(|_first| places.len() > 1).cloned();
        for place in places {
            let lane = Lane {
                waiting: waiting.clone(),
                place,
                standing: Arc::clone(&standing),
            };
            tokio::spawn(lane.run());
        }
        Self {
            queue,
            place: first,
            patience: options.lock_patience,
            deadline: options.deadline,
        }
    }

    /// Sends an operation, again while a row is busy, and waits for what it comes to.
    pub(crate) async fn call(&self, mut op: Box<Op>) -> Result<Done, StoreError> {
        if !matches!(*op, Op::Acquire(_))
            && let Some(place) = &self.place
            && let Some(turn) = self.queue.turn()
            && let Ok(line) = place.line.try_lock()
            && line.connection.is_some()
            && let Some(answer) = Box::pin(place.write_in(turn, line, &op)).await
        {
            return answer;
        }
        let started = monotonic();
        let mut pause = FIRST_AGAIN;
        loop {
            let bytes = op.bytes();
            let answer = tokio::time::timeout(2 * self.deadline, self.queue.call(op, bytes)).await;
            let reply = match answer {
                Ok(Ok(reply)) => reply,
                Ok(Err(closed)) if closed.taken => {
                    return Err(StoreError::Unknown("the lane has ended".to_owned()));
                }
                Ok(Err(_not_taken)) => {
                    return Err(StoreError::Unavailable("the store is closed".to_owned()));
                }
                Err(_elapsed) => {
                    return Err(StoreError::Unknown("no answer in time".to_owned()));
                }
            };
            match reply {
                Reply::Done(done) => return Ok(done),
                Reply::Failed(error) => return Err(error),
                Reply::Again(_, why) if started.elapsed() >= self.patience => {
                    return Err(StoreError::Unavailable(why));
                }
                Reply::Again(same, _) => op = same,
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_AGAIN);
        }
    }
}

/// Where a lane's connection is. A caller may use that of the first lane in its turn.
struct Place {
    line: Mutex<Line>,
    /// Told when a turn has lost the connection.
    lost: Notify,
}

impl Place {
    /// Sends a lone operation; `None` when it is left to the lanes.
    async fn write_in(
        &self,
        _turn: Turn<'_, Box<Op>, Reply>,
        mut line: MutexGuard<'_, Line>,
        op: &Op,
    ) -> Option<Result<Done, StoreError>> {
        let done = batch::run_alone(&mut line, op).await;
        if line.connection.is_none() {
            self.lost.notify_one();
        }
        match done {
            Ok(done) => done.map(Ok),
            Err(Trouble::Busy(_) | Trouble::Stale(_)) => None,
            Err(trouble) => Some(Err(trouble.of_write())),
        }
    }
}

/// One lane: takes batches and writes them, until the queue ends.
struct Lane {
    waiting: LaneReceiver<Box<Op>, Reply>,
    place: Arc<Place>,
    /// How many lanes have a connection.
    standing: Arc<AtomicUsize>,
}

impl Lane {
    async fn run(self) {
        let mut pause = FIRST_PAUSE;
        loop {
            let opened = self.place.line.lock().await.open().await;
            if let Err(trouble) = opened {
                if !self.answer_while_down(trouble, pause).await {
                    return;
                }
                pause = (pause * 2).min(LONGEST_PAUSE);
                continue;
            }
            pause = FIRST_PAUSE;
            let batch = tokio::select! {
                batch = self.waiting.next_batch_with(&self.place.line) => batch,
                () = self.place.lost.notified() => continue,
            };
            let Some((jobs, mut line)) = batch else {
                return self.place.line.lock().await.close().await;
            };
            let served = jobs.len();
            line.serve(jobs).await;
            drop(line);
            if served > 1 {
                // Those who were answered first say what they write next: it goes together.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Waits before the next try to connect. Where no other lane stands, operations do not wait
    /// with it: each tries once and is answered. Returns whether the queue goes on.
    async fn answer_while_down(&self, trouble: Trouble, pause: Duration) -> bool {
        tracing::warn!(?trouble, "a lane has no connection");
        let wait = tokio::time::sleep(pause);
        tokio::pin!(wait);
        while self.standing.load(Ordering::Relaxed) == 0 {
            let batch = tokio::select! {
                () = &mut wait => return true,
                batch = self.waiting.next_batch_with(&self.place.line) => batch,
            };
            let Some((jobs, mut line)) = batch else {
                return false;
            };
            line.serve(jobs).await;
            if line.connection.is_some() {
                return true;
            }
        }
        wait.await;
        true
    }
}

/// A lane's connection and what is needed to use it.
pub(crate) struct Line {
    connector: Connector,
    pub(crate) sql: Arc<Sql>,
    pub(crate) clock: Clock,
    pub(crate) deadline: Duration,
    connection: Option<PgConnection>,
    /// Whether a statement was sent whose answer was not heard yet.
    under_way: bool,
    used: Instant,
    /// How many lanes have a connection.
    standing: Arc<AtomicUsize>,
}

impl Line {
    async fn open(&mut self) -> Result<(), Trouble> {
        if self.connection.is_none() {
            let opened = self.connector.open().await;
            self.connection = Some(opened.map_err(|error| Trouble::of(&error))?);
            self.used = monotonic();
            self.standing.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The connection to send a statement, opened if need be; [`heard`](Self::heard) takes its answer. An
    /// error means that nothing was sent.
    pub(crate) async fn ready(&mut self) -> Result<&mut PgConnection, Trouble> {
        if self.under_way {
            // Who sent the last one has gone: what comes next is its answer.
            self.hang_up();
        }
        if self.used.elapsed() > IDLE_CHECK {
            let stands = match &mut self.connection {
                Some(connection) => {
                    let ping = tokio::time::timeout(self.deadline / 5, connection.ping());
                    matches!(ping.await, Ok(Ok(())))
                }
                None => true,
            };
            if !stands {
                self.hang_up();
            }
        }
        self.open().await.map_err(nothing_was_sent)?;
        self.used = monotonic();
        self.under_way = true;
        self.connection
            .as_mut()
            .ok_or_else(|| Trouble::Unavailable("no connection".to_owned()))
    }

    /// Takes the answer to a statement, and gives the connection up if this is what ends it.
    pub(crate) fn heard<T>(&mut self, answer: Result<T, Trouble>) -> Result<T, Trouble> {
        self.under_way = false;
        if answer.as_ref().is_err_and(Trouble::ends_the_connection) {
            self.hang_up();
        }
        answer
    }

    /// Gives the connection up without a farewell: the server may not be listening.
    pub(crate) fn hang_up(&mut self) {
        self.under_way = false;
        if self.connection.take().is_some() {
            self.standing.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn close(&mut self) {
        if self.under_way {
            return self.hang_up();
        }
        if let Some(connection) = self.connection.take() {
            let farewell = tokio::time::timeout(self.deadline / 5, connection.close());
            let _server_sees_it_anyway = farewell.await;
        }
    }

    /// Writes a batch and answers each of its operations. Begins and writes of owners go in one
    /// statement, acquisitions in one of their own.
    async fn serve(&mut self, jobs: Vec<Job>) {
        let (acquires, mut writes): (Vec<Job>, Vec<Job>) = jobs
            .into_iter()
            .partition(|job| matches!(*job.op, Op::Acquire(_)));
        while !writes.is_empty() {
            let later = second_writes(&mut writes);
            self.write(writes).await;
            writes = later;
        }
        if !acquires.is_empty() {
            self.write(acquires).await;
        }
    }

    /// Writes jobs that fit one statement; halves them while the server rejects a value.
    async fn write(&mut self, jobs: Vec<Job>) {
        let mut parts = vec![jobs];
        while let Some(mut jobs) = parts.pop() {
            let Err(trouble) = batch::run(self, &mut jobs).await else {
                continue;
            };
            if matches!(trouble, Trouble::Rejected(_)) && jobs.len() > 1 {
                let half = jobs.split_off(jobs.len() / 2);
                parts.push(half);
                parts.push(jobs);
                continue;
            }
            for job in jobs {
                let (op, caller) = job.split();
                let reply = match &trouble {
                    Trouble::Busy(why) | Trouble::Stale(why) => Reply::Again(op, why.clone()),
                    other => Reply::Failed(other.clone().of_write()),
                };
                let _caller_has_gone = caller.send(reply);
            }
        }
    }
}

/// Takes out all but the first write for each execution: a statement judges each row once. Only a
/// write that is sent twice ever meets itself here.
fn second_writes(jobs: &mut Vec<Job>) -> Vec<Job> {
    let mut met = HashSet::new();
    jobs.extract_if(.., |job| match &*job.op {
        Op::Commit(write) => !met.insert(write.fence.execution),
        Op::Begin(_) | Op::Acquire(_) => false,
    })
    .collect()
}

fn nothing_was_sent(trouble: Trouble) -> Trouble {
    match trouble {
        Trouble::Lost(text) => Trouble::Unavailable(text),
        other => other,
    }
}
