//! How do messages leave the database? A relay reads the outbox in order and gives each message to a
//! publisher, again and again until it takes it: at least once, in order for each execution.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::attempt::text_of;
#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::codec::{Place, Slot};
use crate::engine::Engine;
use crate::execution::{ExecutionId, RunId};
use crate::inner::Inner;
use crate::persist::{Pause, note};
use crate::store::{Message, StoreError};

/// How many messages one look reads.
const LOOK_ROWS: u32 = 256;
/// After how many delivered messages they are deleted: so many are delivered again when the process dies.
const DELETED_TOGETHER: usize = 32;
/// How long an empty outbox is left alone.
const IDLE: Duration = Duration::from_millis(250);
/// How long the messages of an execution wait after the publisher refused one, at first and at most.
const FIRST_REFUSAL: Duration = Duration::from_millis(100);
const LONGEST_REFUSAL: Duration = Duration::from_secs(60);

/// A message as a publisher gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Fixed when the message was emitted, the same for each delivery: receivers tell duplicates by it.
    pub id: Uuid,
    /// The execution that emitted it; its messages come in order.
    pub execution: ExecutionId,
    /// Its run.
    pub run: RunId,
    /// Where it goes.
    pub topic: String,
    /// The payload, as JSON.
    pub payload: Bytes,
}

/// Takes messages out of the outbox to where they belong: a broker, a queue, another service.
pub trait Publisher: Send + Sync + 'static {
    /// Delivers a message. It may have been delivered before: an answer can be lost.
    ///
    /// # Errors
    /// Any: the message, and all later ones of its execution, are delivered again after a pause.
    fn publish(
        &self,
        message: Outgoing,
    ) -> impl Future<Output = Result<(), Box<dyn std::error::Error + Send + Sync>>> + Send;
}

/// A relay that runs; it ends when this is dropped, or with its engine.
#[derive(Debug)]
#[must_use = "the relay ends when this is dropped"]
pub struct Relay {
    _ends: DropGuard,
}

impl Engine {
    /// Delivers the messages of the outbox ([`StepContext::emit`](crate::StepContext::emit)) with this
    /// publisher. Of all processes that relay one store, one does so at a time; when it dies another one
    /// goes on. A delivered message is deleted.
    ///
    /// A message is delivered at least once, and those of one execution in the order in which they were
    /// emitted. One that the publisher does not take holds up only those of its execution.
    pub fn relay(&self, publisher: impl Publisher) -> Relay {
        let ends = self.inner.closing.child_token();
        let relaying = relay(Arc::clone(&self.inner), publisher, ends.clone());
        self.inner.spawn(relaying);
        Relay {
            _ends: ends.drop_guard(),
        }
    }
}

async fn relay(inner: Arc<Inner>, publisher: impl Publisher, ends: CancellationToken) {
    deliver(&inner, publisher, ends).await;
    // One that closes is retired, and leads no more by that.
    if !inner.closing.is_cancelled() {
        let stepped_down = inner.store.step_down(inner.liveness.worker()).await;
        stepped_down.unwrap_or_else(|error| note(&error));
    }
}

/// Delivers until the relay is to end.
async fn deliver(inner: &Inner, publisher: impl Publisher, ends: CancellationToken) {
    let mut refused = Refused::default();
    let mut pause = Pause::default();
    while !ends.is_cancelled() {
        match look(inner, &publisher, &mut refused, &ends).await {
            Ok(0) => {
                pause = Pause::default();
                tokio::select! {
                    () = ends.cancelled() => return,
                    () = inner.clock.sleep(IDLE) => {}
                }
            }
            Ok(_more) => pause = Pause::default(),
            Err(error) => {
                note(&error);
                pause.pass().await;
            }
        }
    }
}

/// Delivers what there is, at most one look; how many were delivered.
///
/// What is asked of the store is not given up half-way when the relay is to end. A claim to lead that is
/// still under way could be granted after the worker has stepped down, and nobody else would lead while this
/// process lives; and what was delivered is deleted.
async fn look(
    inner: &Inner,
    publisher: &impl Publisher,
    refused: &mut Refused,
    ends: &CancellationToken,
) -> Result<usize, StoreError> {
    if !inner.liveness.is_fresh() || !inner.store.lead(inner.liveness.worker()).await? {
        return Ok(0);
    }
    let now = inner.clock.elapsed();
    let messages = inner.store.outbox(refused.at(now), LOOK_ROWS).await?;
    #[cfg(feature = "planted")]
    if bugs::is_planted(Bug::DeletedBeforeDelivered) {
        let all = messages.iter().map(|message| message.id).collect();
        inner.store.delivered(all).await?;
    }
    let (mut delivered, mut count) = (Vec::new(), 0);
    for message in messages {
        if delivered.len() >= DELETED_TOGETHER {
            inner.store.delivered(std::mem::take(&mut delivered)).await?;
        }
        let execution = message.execution;
        if refused.holds(execution, now) {
            continue;
        }
        let id = message.id;
        let sent = match outgoing(inner, message) {
            Ok(outgoing) => tokio::select! {
                biased;
                () = ends.cancelled() => break,
                sent = published(publisher, outgoing) => sent,
            },
            Err(why) => Err(format!("it can not be read: {why}")),
        };
        match sent {
            Ok(()) => {
                refused.forget(execution);
                delivered.push(id);
                count += 1;
            }
            Err(error) => {
                tracing::warn!(%execution, message = %id, error, "a message was not taken");
                refused.add(execution, inner.clock.elapsed());
            }
        }
    }
    if !delivered.is_empty() {
        inner.store.delivered(delivered).await?;
    }
    Ok(count)
}

/// Gives a message to the publisher, whose panic is a refusal: it must not end the relay.
async fn published(publisher: &impl Publisher, message: Outgoing) -> Result<(), String> {
    let publishing = AssertUnwindSafe(async { publisher.publish(message).await });
    match publishing.catch_unwind().await {
        Ok(published) => published.map_err(|error| error.to_string()),
        Err(panic) => Err(format!("the publisher panicked: {}", text_of(panic.as_ref()))),
    }
}

fn outgoing(inner: &Inner, message: Message) -> Result<Outgoing, String> {
    let place = Place {
        run: message.run,
        slot: Slot::Message,
    };
    Ok(Outgoing {
        id: message.id,
        execution: message.execution,
        run: message.run,
        topic: message.topic,
        payload: inner.codecs.decode(&message.payload, &place)?,
    })
}

/// Executions whose messages wait because one was not taken.
#[derive(Default)]
struct Refused {
    until: HashMap<ExecutionId, (Duration, Duration)>,
}

impl Refused {
    fn at(&self, now: Duration) -> Vec<ExecutionId> {
        let waiting = self.until.iter().filter(|(_, (until, _))| *until > now);
        waiting.map(|(execution, _)| *execution).collect()
    }

    fn holds(&self, execution: ExecutionId, now: Duration) -> bool {
        self.until.get(&execution).is_some_and(|(until, _)| *until > now)
    }

    fn add(&mut self, execution: ExecutionId, now: Duration) {
        let before = self.until.get(&execution).map(|(_, pause)| *pause * 2);
        let pause = before.unwrap_or(FIRST_REFUSAL).min(LONGEST_REFUSAL);
        self.until.insert(execution, (now + pause, pause));
    }

    fn forget(&mut self, execution: ExecutionId) {
        self.until.remove(&execution);
    }
}
