//! How does an output become a checkpoint? Encoded, merged with the finish when it is the last, together
//! with what rides with it.

use std::sync::Arc;

use bytes::Bytes;

use super::load::Done;
use super::{Driver, Stop};
use crate::codec::{Place, Slot};
use crate::context::StepContext;
use crate::error::StepError;
use crate::execution::ParkReason;
use crate::persist::{Persisted, Write, persist};
use crate::runs::{LocalRun, RunEnd, locked};
use crate::store::{NewCheckpoint, NewMessage, Then};

impl Driver<'_> {
    /// Records an output, merged with the finish when it is the last. An error means that the
    /// attempt has failed after all.
    pub(super) async fn record(
        &mut self,
        position: usize,
        attempt: u32,
        output: Bytes,
        cx: &StepContext,
        done: &mut Done,
    ) -> Result<Option<StepError>, Stop> {
        let schema = Arc::clone(&self.owned.schema);
        let entry = &schema.steps[position];
        let last = position + 1 == schema.steps.len();
        if cx.keeps_inherited() {
            return Ok(Some(StepError::stop(
                "the step has not enlisted the transaction of the steps before it, which it had taken",
            )));
        }
        let limit = self.inner.limits.payload_bytes;
        if output.len() > limit {
            return Ok(Some(too_large(output.len(), limit)));
        }
        let messages = match self.encode_messages(cx) {
            Ok(messages) => messages,
            Err(error) => return Ok(Some(error)),
        };
        let quiet = !cx.has_enlisted() && messages.is_empty();
        if self.rides(position, last, quiet, output.len(), done) {
            done.messages.extend(messages);
            *locked(&done.transaction) = cx.take_enlisted();
            done.riding.push(entry.name.to_string(), output.clone());
            done.outputs.push(output);
            return Ok(None);
        }
        let checkpoint = match self.checkpoint(position, attempt, &output, &done.riding.all()) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Some(error)),
        };
        done.messages.extend(messages);
        let then = if last {
            Then::Succeed {
                output_step: Arc::clone(&entry.name),
                retention: schema.options.retention,
            }
        } else {
            Then::Continue
        };
        let asked = self.inner.clock.elapsed();
        let written = persist(
            self.inner,
            self.run,
            Write {
                checkpoint: Some(checkpoint),
                then,
                enlisted: cx.take_enlisted(),
                messages: std::mem::take(&mut done.messages),
            },
        );
        match written.await {
            Persisted::Written => {
                if last {
                    let LocalRun { id, key, hash, .. } = self.run;
                    let time = (asked, schema.options.retention);
                    self.inner.outcomes.keep(*id, key, *hash, &output, time);
                }
                done.riding.clear();
                done.outputs.push(output);
                done.came_on(self.owned.lost);
                Ok(None)
            }
            Persisted::Fenced | Persisted::Wished => Err(self.fenced()),
            Persisted::Stopped => Err(Box::pin(self.release(done)).await),
            Persisted::Restarted => Err(Stop::Restarted),
            Persisted::Rejected(why) => Ok(Some(StepError::stop(format!(
                "the store refused the output: {why}"
            )))),
            Persisted::RolledBack(why) => Ok(Some(StepError::retry(format!(
                "the step's transaction was rolled back: {why}"
            )))),
        }
    }

    /// Whether an output waits for the next checkpoint. Not one with a transaction or messages of its
    /// own, unless all go together in the end.
    fn rides(&self, position: usize, last: bool, quiet: bool, size: usize, done: &Done) -> bool {
        let schema = &self.owned.schema;
        let has_room = done.riding.bytes() + size <= self.inner.limits.payload_bytes;
        let lazy = schema.steps[position].lazy && quiet && has_room;
        !last && (schema.options.atomic || lazy)
    }

    fn checkpoint(
        &self,
        position: usize,
        attempt: u32,
        output: &Bytes,
        riding: &[(String, Bytes)],
    ) -> Result<NewCheckpoint, StepError> {
        let name = &self.owned.schema.steps[position].name;
        let place = Place {
            run: self.run.fence().run,
            slot: Slot::Output(name),
        };
        let encoded = self.inner.codecs.encode_all(output.clone(), riding, &place);
        let encoded =
            encoded.map_err(|why| StepError::stop(format!("the codec refused the output: {why}")))?;
        Ok(NewCheckpoint {
            step: Arc::clone(name),
            seq: i32::try_from(position).unwrap_or(i32::MAX),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            lost: self.owned.lost,
            output: encoded,
        })
    }

    fn encode_messages(&self, cx: &StepContext) -> Result<Vec<NewMessage>, StepError> {
        let run = self.run.fence().run;
        let encoded = cx.take_messages().into_iter().map(|message| {
            let place = Place {
                run,
                slot: Slot::Message,
            };
            let payload = self.inner.codecs.encode(message.payload.0, &place)?;
            Ok(NewMessage { payload, ..message })
        });
        encoded
            .collect::<Result<_, String>>()
            .map_err(|why| StepError::stop(format!("the codec refused a message: {why}")))
    }

    /// Records something else than an output, of the step at a position. It goes on under the same claim.
    pub(super) async fn mark(
        &self,
        position: usize,
        name: String,
        value: Bytes,
        done: &Done,
    ) -> Result<(), Stop> {
        let checkpoint = match self.marked(position, name.clone(), value.clone(), done) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Err(self.give_up(position, &error, done).await),
        };
        match persist(self.inner, self.run, Write::of(checkpoint, Then::Continue)).await {
            Persisted::Written => {
                done.riding.clear();
                done.marks.insert(name, value, self.inner.now());
                Ok(())
            }
            other => Err(self.not_written(other, done).await),
        }
    }

    /// A mark as a checkpoint, with what rides.
    pub(super) fn marked(
        &self,
        position: usize,
        name: String,
        value: Bytes,
        done: &Done,
    ) -> Result<NewCheckpoint, StepError> {
        let place = Place {
            run: self.run.fence().run,
            slot: Slot::Output(&name),
        };
        let encoded = self.inner.codecs.encode_all(value, &done.riding.all(), &place);
        let output = encoded.map_err(|why| {
            StepError::stop(format!("the codec refused what is recorded as `{name}`: {why}"))
        })?;
        Ok(NewCheckpoint {
            seq: i32::try_from(position).unwrap_or(i32::MAX),
            attempt: 1,
            lost: self.owned.lost,
            output,
            step: name.into(),
        })
    }

    /// What rides, when nothing else is recorded that would take it along: the last output as its own
    /// checkpoint, with those before it. Nothing of an atomic schema, which is done whole or not at all.
    pub(super) fn alighted(&self, done: &Done) -> Option<NewCheckpoint> {
        let mut riding = done.riding.all();
        let (_last, output) = riding.pop()?;
        let position = done.recorded().checked_sub(1)?;
        let stays = self.owned.schema.options.atomic;
        (!stays).then(|| self.checkpoint(position, 1, &output, &riding).ok())?
    }

    /// What a write means that has no step whose attempt could have failed.
    pub(super) async fn not_written(&self, persisted: Persisted, done: &Done) -> Stop {
        match persisted {
            Persisted::Written => RunEnd::Lost.into(),
            Persisted::Fenced | Persisted::Wished => self.fenced(),
            Persisted::Stopped => self.release(done).await,
            Persisted::Restarted => Stop::Restarted,
            Persisted::Rejected(why) | Persisted::RolledBack(why) => {
                self.park(ParkReason::Unreadable, why).await
            }
        }
    }
}

fn too_large(size: usize, limit: usize) -> StepError {
    StepError::stop(format!("the output has {size} bytes, the limit is {limit}")).code("output_too_large")
}
