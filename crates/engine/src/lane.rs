//! How does a store turn many waiting operations into one commit? A queue without a timer.
//!
//! A free lane takes what is queued at that moment: a lone operation goes at once, and while one
//! batch is being written the next one gathers. For authors of stores; the engine does not use it.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc, oneshot};

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
    queue: mpsc::Sender<Pending<Op, Answer>>,
}

impl<Op, Answer> Clone for LaneSender<Op, Answer> {
    fn clone(&self) -> Self {
        Self {
            queue: self.queue.clone(),
        }
    }
}

impl<Op, Answer> LaneSender<Op, Answer> {
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
        answer.await.map_err(|_ended| LaneClosed { taken: true })
    }
}

/// The end that a store's writers share. Cheap to clone: several writers may take batches.
#[derive(Debug)]
pub struct LaneReceiver<Op, Answer> {
    inner: Arc<Mutex<Inbox<Op, Answer>>>,
    limits: LaneLimits,
}

#[derive(Debug)]
struct Inbox<Op, Answer> {
    queue: mpsc::Receiver<Pending<Op, Answer>>,
    /// Taken from the queue, but too large for the batch that was being gathered.
    held_over: Option<Pending<Op, Answer>>,
}

impl<Op, Answer> Clone for LaneReceiver<Op, Answer> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
            limits: self.limits,
        }
    }
}

impl<Op, Answer> LaneReceiver<Op, Answer> {
    /// Waits for the next operation and returns it with everything else that waits already, within
    /// the limits. `None` when all senders are gone and the queue is empty.
    pub async fn next_batch(&self) -> Option<Vec<Pending<Op, Answer>>> {
        let mut inbox = self.inner.lock().await;
        let first = match inbox.held_over.take() {
            Some(pending) => pending,
            None => inbox.queue.recv().await?,
        };
        let mut bytes = first.bytes;
        let mut batch = vec![first];
        while batch.len() < self.limits.rows {
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
        Some(batch)
    }
}

/// Makes a lane.
pub fn lane<Op, Answer>(limits: LaneLimits) -> (LaneSender<Op, Answer>, LaneReceiver<Op, Answer>) {
    let (sender, queue) = mpsc::channel(limits.queue);
    let inbox = Inbox {
        queue,
        held_over: None,
    };
    (
        LaneSender { queue: sender },
        LaneReceiver {
            inner: Arc::new(Mutex::new(inbox)),
            limits,
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
