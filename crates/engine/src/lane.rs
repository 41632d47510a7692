//! How does a store turn many waiting operations into one commit? A queue without a timer.
//!
//! A free lane takes what is queued at that moment: a lone operation goes at once, and while one
//! batch is being written the next one gathers. A second lane only takes what is worth a batch of its
//! own, because a batch costs about as much as the rows of a small one. Where nothing waits and nobody
//! writes, a caller may have a turn to write by itself. For authors of stores; the engine does not use it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{MutexGuard, Notify, mpsc, oneshot};

use crate::clock::monotonic;
use crate::runs::locked;

/// Operations that are worth a batch beside one that is being written. Twice as many are shared between two
/// writers: of 64 callers a few are always on their way, so that less than 64 wait.
const WORTH_A_BATCH: usize = 24;

/// How long fewer wait for a lane that writes: it may have lost its database.
const PATIENCE: Duration = Duration::from_millis(2);

/// One operation that waits for its answer.
#[derive(Debug)]
pub struct Pending<Op, Answer> {
    /// What to do.
    pub op: Op,
    bytes: usize,
    reply: oneshot::Sender<Answer>,
}

impl<Op, Answer> Pending<Op, Answer> {
    /// Answers the caller. A caller that has gone away is no error: the work was done anyway.
    pub fn answer(self, answer: Answer) {
        let _gone = self.reply.send(answer);
    }

    /// Splits the operation from the way to answer it.
    pub fn split(self) -> (Op, oneshot::Sender<Answer>) {
        (self.op, self.reply)
    }
}

/// The bounds of one batch and of the queue.
#[derive(Debug, Clone, Copy)]
pub struct LaneLimits {
    /// Operations in one batch.
    pub rows: usize,
    /// Payload bytes in one batch; a larger operation goes alone.
    pub bytes: usize,
    /// Operations that may wait; beyond it callers wait to enqueue.
    pub queue: usize,
}

impl Default for LaneLimits {
    fn default() -> Self {
        Self {
            rows: 256,
            bytes: 1024 * 1024,
            queue: 4096,
        }
    }
}

/// Nobody serves the lane any more; an operation that was taken may or may not have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneClosed {
    /// Whether the operation had reached the lane.
    pub taken: bool,
}

/// The end that callers use. Cheap to clone.
#[derive(Debug)]
pub struct LaneSender<Op, Answer> {
    // Dropped in this order: who is told that the last sender is gone finds the queue closed.
    queue: mpsc::Sender<Pending<Op, Answer>>,
    last: Arc<LastSender>,
    writing: Writing,
}

/// How many write at this moment: writers that have taken a batch and not come back, and callers that
/// have a turn of their own.
type Writing = Arc<AtomicUsize>;

/// A caller's turn to write by itself, until it is dropped. What comes meanwhile is left to its end, unless it
/// is much or the turn is long.
#[derive(Debug)]
#[must_use = "a turn that is dropped is over"]
pub struct Turn<'a, Op, Answer>(&'a LaneSender<Op, Answer>);

impl<Op, Answer> Drop for Turn<'_, Op, Answer> {
    fn drop(&mut self) {
        self.0.writing.fetch_sub(1, Ordering::SeqCst);
        if self.0.somebody_waits() {
            self.0.last.0.notify_last();
        }
    }
}

/// Tells all writers when the last sender is gone.
#[derive(Debug)]
struct LastSender(Arc<Notify>);

impl Drop for LastSender {
    fn drop(&mut self) {
        self.0.notify_waiters();
    }
}

impl<Op, Answer> Clone for LaneSender<Op, Answer> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
            last: Arc::clone(&self.last),
            writing: Arc::clone(&self.writing),
        }
    }
}

impl<Op, Answer> LaneSender<Op, Answer> {
    /// A turn to write without a writer, when nothing waits and nobody writes: a lone operation saves the
    /// way to the writer's task and back.
    ///
    /// A caller can be dropped in its turn, so that nobody hears the answer to what it sent, and it may not be
    /// polled for long: its means must not be the only ones, nor those of the beats. Means that a writer has as
    /// well are shared by [`next_batch_with`](LaneReceiver::next_batch_with).
    pub fn turn(&self) -> Option<Turn<'_, Op, Answer>> {
        if self.somebody_waits() {
            return None;
        }
        let first = self
            .writing
            .compare_exchange(0, 1, Ordering::SeqCst, Ordering::Relaxed);
        first.is_ok().then(|| Turn(self))
    }

    fn somebody_waits(&self) -> bool {
        self.queue.capacity() < self.queue.max_capacity()
    }

    /// Enqueues an operation of so many payload bytes and waits for its answer.
    ///
    /// # Errors
    /// [`LaneClosed`] when the lane has ended: resolve the outcome if it was `taken`.
    pub async fn call(&self, op: Op, bytes: usize) -> Result<Answer, LaneClosed> {
        // First the place, then the operation: it is not carried around by all who wait for a place.
        let Ok(place) = self.queue.reserve().await else {
            return Err(LaneClosed { taken: false });
        };
        let (reply, answer) = oneshot::channel();
        place.send(Pending { op, bytes, reply });
        // The writer that was busy until a moment ago: its connection and the server's process behind
        // it are warm.
        self.last.0.notify_last();
        answer.await.map_err(|_ended| LaneClosed { taken: true })
    }
}

/// The end that a store's writers share. Cheap to clone: several writers may take batches.
#[derive(Debug)]
pub struct LaneReceiver<Op, Answer> {
    inner: Arc<Mutex<Inbox<Op, Answer>>>,
    arrived: Arc<Notify>,
    limits: LaneLimits,
    writing: Writing,
    /// Whether this writer has taken a batch and not come back.
    writes: AtomicBool,
}

#[derive(Debug)]
struct Inbox<Op, Answer> {
    queue: mpsc::Receiver<Pending<Op, Answer>>,
    /// Taken from the queue, but too large for the batch that was being gathered.
    held_over: Option<Pending<Op, Answer>>,
    /// Batches that were ever taken.
    taken: u64,
}

impl<Op, Answer> Clone for LaneReceiver<Op, Answer> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            arrived: Arc::clone(&self.arrived),
            limits: self.limits,
            writing: Arc::clone(&self.writing),
            writes: AtomicBool::new(false),
        }
    }
}

impl<Op, Answer> Drop for LaneReceiver<Op, Answer> {
    fn drop(&mut self) {
        self.came_back();
    }
}

/// Why a writer has no batch.
enum Nothing {
    Closed,
    Empty,
    /// Few wait, and another writer will take them with what comes until then, or whoever is free when a
    /// turn ends. With the number of batches that were taken before.
    Few(u64),
}

impl<Op, Answer> LaneReceiver<Op, Answer> {
    /// Waits for the next operation and returns it with everything else that waits already, within
    /// the limits. `None` when all senders are gone and the queue is empty.
    pub async fn next_batch(&self) -> Option<Vec<Pending<Op, Answer>>> {
        let nothing = tokio::sync::Mutex::const_new(());
        Some(self.next_batch_with(&nothing).await?.0)
    }

    /// The same for a writer whose means a caller may have in its [`turn`](LaneSender::turn): nothing is
    /// taken before they are at hand.
    pub async fn next_batch_with<'m, Means>(
        &self,
        means: &'m tokio::sync::Mutex<Means>,
    ) -> Option<(Vec<Pending<Op, Answer>>, MutexGuard<'m, Means>)> {
        self.came_back();
        // How many batches had been taken when few were left to another writer, and since when.
        let mut seen: Option<(u64, Instant)> = None;
        loop {
            // Before the look, so that what arrives after it is heard of.
            let arrived = self.arrived.notified();
            let means = match means.try_lock() {
                Ok(means) => means,
                Err(_out) => {
                    // Another writer may have its own.
                    self.arrived.notify_last();
                    means.lock().await
                }
            };
            let waited = seen.map_or(Duration::ZERO, |(_taken, since)| since.elapsed());
            let stuck_at = seen
                .filter(|_seen| waited >= PATIENCE)
                .map(|(taken, _since)| taken);
            match self.take(stuck_at) {
                Ok(batch) => return Some((batch, means)),
                Err(Nothing::Closed) => return None,
                Err(Nothing::Empty) => {
                    drop(means);
                    arrived.await;
                }
                Err(Nothing::Few(taken)) if seen.is_none_or(|(before, _since)| before != taken) => {
                    seen = Some((taken, monotonic()));
                }
                Err(Nothing::Few(_)) => {
                    drop(means);
                    let _late = tokio::time::timeout(PATIENCE.saturating_sub(waited), arrived).await;
                }
            }
        }
    }

    /// What waits already, within the limits. Few are left to another writer, unless no batch was
    /// taken after so many for too long.
    fn take(&self, stuck_at: Option<u64>) -> Result<Vec<Pending<Op, Answer>>, Nothing> {
        let mut inbox = locked(&self.inner);
        let waiting = inbox.queue.len() + usize::from(inbox.held_over.is_some());
        let writing = self.writing.load(Ordering::SeqCst);
        if writing > 0 && (1..WORTH_A_BATCH).contains(&waiting) && stuck_at != Some(inbox.taken) {
            return Err(Nothing::Few(inbox.taken));
        }
        let first = match inbox.held_over.take() {
            Some(pending) => pending,
            None => inbox.queue.try_recv().map_err(|error| match error {
                TryRecvError::Empty => Nothing::Empty,
                TryRecvError::Disconnected => Nothing::Closed,
            })?,
        };
        // Half of many, where another writer is free for the rest.
        let free = Arc::strong_count(&self.inner) - 1 > writing;
        let rows = match free && waiting >= 2 * WORTH_A_BATCH {
            true => waiting.div_ceil(2).min(self.limits.rows),
            false => self.limits.rows,
        };
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < rows {
            let Ok(next) = inbox.queue.try_recv() else {
                break;
            };
            if bytes + next.bytes > self.limits.bytes {
                inbox.held_over = Some(next);
                break;
            }
            bytes += next.bytes;
            batch.push(next);
        }
        self.writing.fetch_add(1, Ordering::SeqCst);
        inbox.taken += 1;
        self.writes.store(true, Ordering::Relaxed);
        if inbox.held_over.is_some() || !inbox.queue.is_empty() {
            self.arrived.notify_last();
        }
        Ok(batch)
    }

    fn came_back(&self) {
        if self.writes.swap(false, Ordering::Relaxed) {
            self.writing.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

/// Makes a lane.
pub fn lane<Op, Answer>(limits: LaneLimits) -> (LaneSender<Op, Answer>, LaneReceiver<Op, Answer>) {
    let (sender, queue) = mpsc::channel(limits.queue);
    let inbox = Inbox {
        queue,
        held_over: None,
        taken: 0,
    };
    let arrived = Arc::new(Notify::new());
    let writing = Writing::default();
    (
        LaneSender {
            queue: sender,
            last: Arc::new(LastSender(Arc::clone(&arrived))),
            writing: Arc::clone(&writing),
        },
        LaneReceiver {
            inner: Arc::new(Mutex::new(inbox)),
            arrived,
            limits,
            writing,
            writes: AtomicBool::new(false),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(rows: usize, bytes: usize) -> LaneLimits {
        LaneLimits {
            rows,
            bytes,
            queue: 64,
        }
    }

    async fn enqueue(sender: &LaneSender<u32, u32>, op: u32, bytes: usize) {
        let sender = sender.clone();
        tokio::spawn(async move { sender.call(op, bytes).await });
        tokio::task::yield_now().await;
    }

    #[tokio::test]
    async fn a_lone_operation_goes_at_once() {
        let (sender, receiver) = lane(limits(8, 100));
        enqueue(&sender, 1, 10).await;
        let batch = receiver.next_batch().await.expect("an operation");
        assert_eq!(batch.len(), 1);
    }

    #[tokio::test]
    async fn what_waits_goes_together_within_rows_and_bytes() {
        let (sender, receiver) = lane(limits(3, 100));
        for op in 0..4 {
            enqueue(&sender, op, 10).await;
        }
        enqueue(&sender, 4, 95).await;
        let mut sizes = Vec::new();
        for _batch in 0..3 {
            sizes.push(receiver.next_batch().await.expect("operations").len());
        }
        assert_eq!(
            sizes,
            [3, 1, 1],
            "three rows, then a row, then the one that was too large to join"
        );
    }

    #[tokio::test]
    async fn few_are_left_to_the_writer_that_is_busy_and_many_are_not() {
        let (sender, first) = lane(limits(256, 1000));
        let second = first.clone();
        enqueue(&sender, 0, 1).await;
        assert_eq!(first.next_batch().await.expect("an operation").len(), 1);
        enqueue(&sender, 1, 1).await;
        assert!(matches!(second.take(None), Err(Nothing::Few(1))));
        for op in 1..WORTH_A_BATCH as u32 {
            enqueue(&sender, op, 1).await;
        }
        let many = second.next_batch().await.expect("operations");
        assert_eq!(many.len(), WORTH_A_BATCH);
        enqueue(&sender, 2, 1).await;
        first.came_back();
        assert!(
            matches!(first.take(None), Err(Nothing::Few(2))),
            "the other one is busy"
        );
        drop(second);
        let few = first.next_batch().await.expect("an operation");
        assert_eq!(few.len(), 1, "nobody is busy any more");
    }

    #[tokio::test]
    async fn few_are_taken_from_a_writer_that_does_not_come_back_however_many_arrive_meanwhile() {
        let (sender, stuck) = lane(limits(256, 1000));
        let free = stuck.clone();
        enqueue(&sender, 0, 1).await;
        let _never_answered = stuck.next_batch().await.expect("an operation");
        let taking = tokio::spawn(async move { free.next_batch().await });
        let mut sent = 0;
        while !taking.is_finished() {
            sent += 1;
            assert!(sent < WORTH_A_BATCH as u32, "each of them puts it off");
            enqueue(&sender, sent, 1).await;
            tokio::time::sleep(PATIENCE / 4).await;
        }
        assert!(!taking.await.expect("no panic").expect("operations").is_empty());
    }

    #[tokio::test]
    async fn a_turn_is_given_where_nothing_waits_and_nobody_writes() {
        let (sender, receiver) = lane::<u32, u32>(limits(8, 100));
        let turn = sender.turn().expect("a turn");
        assert!(sender.turn().is_none(), "somebody has one");
        drop(turn);
        enqueue(&sender, 1, 10).await;
        assert!(sender.turn().is_none(), "somebody waits");
        receiver.next_batch().await.expect("an operation");
        assert!(sender.turn().is_none(), "somebody writes");
        receiver.came_back();
        assert!(sender.turn().is_some());
    }

    #[tokio::test]
    async fn few_that_come_in_a_turn_are_left_to_its_end() {
        let (sender, receiver) = lane(limits(8, 100));
        let turn = sender.turn();
        enqueue(&sender, 1, 10).await;
        assert!(matches!(receiver.take(None), Err(Nothing::Few(0))));
        drop(turn);
        assert!(receiver.take(None).is_ok());
    }

    #[tokio::test]
    async fn a_writer_takes_nothing_as_long_as_a_caller_has_its_means() {
        let (sender, receiver) = lane(limits(8, 100));
        let means = Arc::new(tokio::sync::Mutex::new(()));
        let out = Arc::clone(&means).lock_owned().await;
        let taking = tokio::spawn(async move { receiver.next_batch_with(&means).await.map(|taken| taken.0) });
        for op in 0..3 {
            enqueue(&sender, op, 1).await;
        }
        drop(out);
        let batch = taking.await.expect("no panic").expect("operations");
        assert_eq!(batch.len(), 3, "all that had come by then");
    }

    #[tokio::test]
    async fn many_are_halved_where_another_writer_is_free() {
        for (writers, expected) in [(1, vec![2 * WORTH_A_BATCH]), (2, vec![WORTH_A_BATCH; 2])] {
            let (sender, first) = lane(limits(256, 1000));
            let writers = vec![first; writers];
            for op in 0..2 * WORTH_A_BATCH as u32 {
                enqueue(&sender, op, 1).await;
            }
            let mut sizes = Vec::new();
            for writer in &writers {
                sizes.push(writer.next_batch().await.expect("operations").len());
            }
            assert_eq!(sizes, expected);
        }
    }

    #[tokio::test]
    async fn those_of_64_callers_that_wait_at_a_time_are_shared_between_two_writers() {
        // As measured: the others are on their way.
        let waiting = 55;
        let (sender, first) = lane(limits(256, 1000));
        let second = first.clone();
        for op in 0..waiting {
            enqueue(&sender, op, 1).await;
        }
        assert_eq!(first.next_batch().await.expect("operations").len(), 28);
        assert_eq!(second.next_batch().await.expect("operations").len(), 27);
    }

    #[tokio::test]
    async fn all_writers_hear_that_the_last_sender_is_gone() {
        let (sender, first) = lane::<u32, u32>(limits(8, 100));
        let second = first.clone();
        let both = tokio::spawn(async move { tokio::join!(first.next_batch(), second.next_batch()) });
        tokio::task::yield_now().await;
        drop(sender);
        let (first, second) = both.await.expect("no panic");
        assert!(first.is_none() && second.is_none());
    }

    #[tokio::test]
    async fn a_lane_that_dies_answers_its_callers() {
        let (sender, receiver) = lane::<u32, u32>(limits(8, 100));
        let call = tokio::spawn({
            let sender = sender.clone();
            async move { sender.call(1, 1).await }
        });
        drop(receiver.next_batch().await.expect("an operation"));
        assert_eq!(call.await.expect("no panic"), Err(LaneClosed { taken: true }));
        drop(receiver);
        assert_eq!(sender.call(2, 1).await, Err(LaneClosed { taken: false }));
    }
}
