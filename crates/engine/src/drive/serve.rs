//! What does the owner do for a body that runs? It records parts and progress under its fence, and reads
//! the signals, while it polls the body.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::load::{Done, Riding};
use super::{Driver, Stop};
use crate::asks::{Ask, Recorded, Signals};
use crate::attempt::Served;
#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::codec::{Place, Slot};
use crate::error::{StepError, StepResult};
use crate::execution::{Payload, WriteId};
use crate::inner::Inner;
use crate::marks::Mark;
use crate::persist::{Pause, Persisted, Write, note, persist};
use crate::runs::{LocalRun, RunEnd};
use crate::store::{NewCheckpoint, NewProgress, StoreError, Then, Verdict};

/// Where the asks of one attempt are served.
#[derive(Clone)]
pub(super) struct Desk<'a> {
    inner: &'a Arc<Inner>,
    run: &'a LocalRun,
    step: &'a str,
    seq: i32,
    attempt: i32,
    lost: i32,
    marks: Arc<Recorded>,
    riding: Arc<Riding>,
}

impl Driver<'_> {
    pub(super) fn desk(&self, position: usize, attempt: u32, done: &Done) -> Desk<'_> {
        Desk {
            inner: self.inner,
            run: self.run,
            step: &self.owned.schema.steps[position].name,
            seq: i32::try_from(position).unwrap_or(i32::MAX),
            attempt: i32::try_from(attempt).unwrap_or(i32::MAX),
            lost: self.owned.lost,
            marks: Arc::clone(&done.marks),
            riding: Arc::clone(&done.riding),
        }
    }
}

/// What a body hears; `None` when its attempt ends anyway, for a reason that says it better.
type Answer<T> = Option<StepResult<T>>;

fn answer<T>(reply: oneshot::Sender<StepResult<T>>, answer: Result<Answer<T>, Stop>) -> Served {
    match answer {
        Ok(Some(answer)) => {
            // The body may have gone on without it.
            let _heard = reply.send(answer);
            Served::Done
        }
        Ok(None) => Served::Done,
        Err(stop) => Served::Stop(stop),
    }
}

impl Desk<'_> {
    pub(super) async fn serve(self, ask: Ask) -> Served {
        match ask {
            Ask::Record(name, value, reply) => answer(reply, self.record(name, value).await),
            Ask::Progress(value, reply) => answer(reply, self.progress(value).await),
            Ask::Inbox(reply) => answer(reply, self.inbox().await),
            // It ends the attempt, which never gives it to be served.
            Ask::Wait(_) => Served::Done,
        }
    }

    async fn record(&self, name: String, value: Bytes) -> Result<Answer<()>, Stop> {
        #[cfg(feature = "planted")]
        if bugs::is_planted(Bug::RidersDropped) {
            self.riding.clear();
        }
        let checkpoint = match self.checkpoint(&name, value.clone(), &self.riding.all()) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Some(Err(error))),
        };
        match persist(self.inner, self.run, Write::of(checkpoint, Then::Continue)).await {
            Persisted::Written => {
                self.riding.clear();
                self.marks.insert(name, value, self.inner.now());
                Ok(Some(Ok(())))
            }
            Persisted::Rejected(why) | Persisted::RolledBack(why) => Ok(Some(Err(StepError::stop(format!(
                "the store refused a part: {why}"
            ))))),
            Persisted::Restarted => Err(Stop::Restarted),
            Persisted::Stopped => Ok(None),
            Persisted::Fenced | Persisted::Wished => Err(RunEnd::Lost.into()),
        }
    }

    async fn progress(&self, value: Bytes) -> Result<Answer<()>, Stop> {
        let name = Mark::Progress.of(self.step);
        // It may be put down in place of another one: nothing rides with it.
        let checkpoint = match self.checkpoint(&name, value.clone(), &[]) {
            Ok(checkpoint) => checkpoint,
            Err(error) => return Ok(Some(Err(error))),
        };
        let write_id = WriteId::fresh();
        let mut pause = Pause::default();
        loop {
            let progress = NewProgress {
                fence: self.run.fence(),
                worker: self.run.worker,
                write_id,
                checkpoint: checkpoint.clone(),
            };
            match self.inner.store.progress(progress).await {
                Ok(Verdict::Written | Verdict::Exists(_)) => {
                    self.marks.insert(name, value, self.inner.now());
                    return Ok(Some(Ok(())));
                }
                Ok(Verdict::Fenced | Verdict::Wished) => return Err(RunEnd::Lost.into()),
                Err(StoreError::Restarted) => return Err(Stop::Restarted),
                Err(StoreError::Rejected(why)) => {
                    let why = format!("the store refused the progress: {why}");
                    return Ok(Some(Err(StepError::stop(why))));
                }
                Err(error) => note(&error),
            }
            if !pause.wait(self.inner, self.run).await {
                return Ok(None);
            }
        }
    }

    async fn inbox(&self) -> Result<Answer<Signals>, Stop> {
        let run = self.run.fence().run;
        let mut pause = Pause::default();
        let inbox = loop {
            match self.inner.store.inbox(self.run.id, run).await {
                Ok(inbox) => break inbox,
                Err(StoreError::Restarted) => return Err(Stop::Restarted),
                Err(error) => note(&error),
            }
            if !pause.wait(self.inner, self.run).await {
                return Ok(None);
            }
        };
        let place = Place {
            run,
            slot: Slot::Signal,
        };
        let decode = |payload: &Payload| self.inner.codecs.decode(payload, &place);
        let sent = inbox.signals.into_iter();
        let sent = sent.map(|(name, payload)| Ok((name, decode(&payload)?)));
        Ok(Some(match sent.collect::<Result<_, String>>() {
            Ok(sent) => Ok(Signals {
                count: inbox.count,
                sent,
            }),
            Err(why) => {
                let why = format!("a signal can not be read: {why}");
                Err(StepError::stop(why).code("unreadable_value"))
            }
        }))
    }

    fn checkpoint(
        &self,
        name: &str,
        value: Bytes,
        riding: &[(String, Bytes)],
    ) -> Result<NewCheckpoint, StepError> {
        let place = Place {
            run: self.run.fence().run,
            slot: Slot::Output(name),
        };
        let output = self
            .inner
            .codecs
            .encode_all(value, riding, &place)
            .map_err(|why| {
                StepError::stop(format!("the codec refused what is recorded as `{name}`: {why}"))
            })?;
        Ok(NewCheckpoint {
            step: name.into(),
            seq: self.seq,
            attempt: self.attempt,
            lost: self.lost,
            output,
        })
    }
}
