//! What can a step do inside that lasts? Parts with checkpoints of their own, waits that hold nothing,
//! messages, the latest progress.
//!
//! The only rule of determinism is the name: what has a recorded name is not done again, and a name is
//! used once in one run of a step.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::outputs::decode;
use super::transaction::IN_TRANSACTION;
use super::{Inner, StepContext};
use crate::asks::{Ask, Desk, Signals, Wait};
#[cfg(feature = "planted")]
use crate::bugs::{self, Bug};
use crate::error::{StepError, StepResult};
use crate::execution::WaitReason;
use crate::json;
use crate::key::check;
use crate::limits::NAME_BYTES;
use crate::marks::{self, Mark};
use crate::runs::locked;

/// A longest sleep that a process waits for by itself; for a longer one the execution is put down.
const HELD: Duration = Duration::from_secs(2);

impl StepContext {
    /// Does a part of the step once: its output is recorded under the name before this returns, and a
    /// later run of the step gets it without doing the part again. For loops, branches, and whatever is
    /// expensive to repeat. One commit each.
    ///
    /// ```
    /// use keystep::{StepContext, StepResult};
    ///
    /// async fn reserve(cx: StepContext, lines: Vec<String>) -> StepResult<usize> {
    ///     for sku in &lines {
    ///         cx.step(format!("line/{sku}"), || async move {
    ///             // reserve one line
    ///             Ok(())
    ///         })
    ///         .await?;
    ///     }
    ///     Ok(lines.len())
    /// }
    /// # let _ = reserve;
    /// ```
    ///
    /// # Errors
    /// What the part says. A name that was used before in this run of the step, one that is not usable,
    /// an output that can not be recorded or read, and a call while the step has an open transaction:
    /// no further try now.
    pub async fn step<T, F, Fut>(&self, name: impl Into<String>, part: F) -> StepResult<T>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = StepResult<T>>,
        T: Serialize + DeserializeOwned,
    {
        let name = name.into();
        let desk = self.durable()?;
        let mark = self.use_name(Mark::Part(&name), &name)?;
        if let Some((output, _at)) = self.inner.recorded.get(&mark) {
            return decode(&output, &mark);
        }
        let output = {
            let _no_messages = self.in_part();
            part().await?
        };
        let bytes = self.encode(&output, "the output")?;
        self.record(desk, mark, bytes).await?;
        Ok(output)
    }

    /// Does parts of the step beside each other, at most `limit` at a time, each as
    /// [`step`](Self::step) does, and gives their outputs in order. When one fails, no further one is
    /// begun, those under way end and are recorded, and the first failure is the answer: the next run
    /// of the step does only what is left.
    ///
    /// # Errors
    /// As [`step`](Self::step).
    pub async fn all<T, N, Fut>(
        &self,
        parts: impl IntoIterator<Item = (N, Fut)>,
        limit: usize,
    ) -> StepResult<Vec<T>>
    where
        N: Into<String>,
        Fut: Future<Output = StepResult<T>>,
        T: Serialize + DeserializeOwned,
    {
        let mut waiting = parts.into_iter().enumerate();
        let mut under_way = FuturesUnordered::new();
        let mut done: Vec<Option<T>> = Vec::new();
        let mut failed = None;
        loop {
            while failed.is_none() && under_way.len() < limit.max(1) {
                let Some((place, (name, part))) = waiting.next() else {
                    break;
                };
                done.push(None);
                let part = self.step(name, || part);
                under_way.push(async move { (place, part.await) });
            }
            match under_way.next().await {
                None => break,
                Some((place, Ok(output))) => {
                    if let Some(slot) = done.get_mut(place) {
                        *slot = Some(output);
                    }
                }
                Some((_place, Err(error))) => failed = failed.or(Some(error)),
            }
        }
        match failed {
            Some(error) => Err(error),
            None => Ok(done.into_iter().flatten().collect()),
        }
    }

    /// Sleeps, for days if need be: the execution is put down as `waiting`, holds no task and no
    /// connection, and the step is run again from its start when the time has come. What it did before
    /// in [`step`](Self::step)s is not done again; parts under way beside the sleep are.
    ///
    /// The time counts from the first run, by the database's clock. A call of the key does not end it.
    ///
    /// # Errors
    /// As [`step`](Self::step) for its name; and in a step that is done at most once, which can not be put
    /// down.
    pub async fn sleep(&self, name: impl Into<String>, duration: Duration) -> StepResult<()> {
        let name = name.into();
        let desk = self.put_down()?;
        let mark = self.use_name(Mark::Sleep(&name), &name)?;
        self.pass(desk, mark, Until::After(duration)).await
    }

    /// Sleeps until a time, see [`sleep`](Self::sleep).
    ///
    /// # Errors
    /// As [`sleep`](Self::sleep).
    pub async fn sleep_until(&self, name: impl Into<String>, until: SystemTime) -> StepResult<()> {
        let name = name.into();
        let desk = self.put_down()?;
        let mark = self.use_name(Mark::Sleep(&name), &name)?;
        self.pass(desk, mark, Until::Time(until)).await
    }

    /// Waits for a signal of this name, see [`Engine::signal`](crate::Engine::signal), and gives its
    /// payload: one that was sent before, or one that comes. `None` when the deadline is over, counted
    /// from the first run. While it waits the execution is put down, as for a [`sleep`](Self::sleep).
    ///
    /// Each signal is delivered once. The waits of a run for one name get the signals of that name in
    /// the order in which they were sent; a name may be used many times.
    ///
    /// # Errors
    /// As [`sleep`](Self::sleep), but for the name that was used before; a name that the schema does not
    /// declare, and a payload that can not be read as `T`: no further try now.
    pub async fn signal<T: DeserializeOwned>(
        &self,
        name: &str,
        deadline: Option<Duration>,
    ) -> StepResult<Option<T>> {
        let desk = self.put_down()?;
        let NextWait {
            mark,
            wait_mark,
            before,
        } = self.next_wait(name)?;
        if let Some((came, _at)) = self.inner.recorded.get(&mark) {
            return payload_of(&came, &mark);
        }
        let Signals { count, sent } = desk.ask(Ask::Inbox).await?;
        let mut of_name = sent.into_iter().filter(|(of, _)| of == name);
        if let Some((_, payload)) = of_name.nth(before) {
            let came = came(&payload);
            self.record(desk, mark.clone(), came.clone()).await?;
            return payload_of(&came, &mark);
        }
        let left = match deadline {
            None => None,
            Some(deadline) => Some(self.left(&wait_mark, Until::After(deadline))?),
        };
        if left.is_some_and(|left| left.is_zero()) {
            self.record(desk, mark, Bytes::from_static(TOO_LATE)).await?;
            return Ok(None);
        }
        let new_mark = match deadline {
            Some(deadline) if !self.inner.recorded.has(&wait_mark) => Some((
                wait_mark,
                self.encode(&Until::After(deadline).stored(), "the deadline")?,
            )),
            _ => None,
        };
        let wait = Wait {
            mark: new_mark,
            delay: left,
            reason: WaitReason::Signal,
            signals: Some(count),
            called: None,
        };
        Err(desk.wait(wait).await)
    }

    /// Puts down how far this step has come, in place of what it put down before: a small value that the
    /// next attempt reads with [`progress`](Self::progress), and people read in the database. One commit.
    ///
    /// # Errors
    /// As [`step`](Self::step) for its output.
    pub async fn heartbeat<T: Serialize + DeserializeOwned>(&self, data: &T) -> StepResult<()> {
        let desk = self.durable()?;
        let bytes = self.encode(data, "the progress")?;
        desk.ask(|reply| Ask::Progress(bytes, reply)).await
    }

    /// What this step put down last with [`heartbeat`](Self::heartbeat), in this attempt or an earlier
    /// one.
    ///
    /// # Errors
    /// When it can not be read as `T`: no further try now.
    pub fn progress<T: DeserializeOwned>(&self) -> StepResult<Option<T>> {
        let mark = Mark::Progress.of(self.recorded_as());
        let recorded = self.inner.recorded.get(&mark);
        recorded.map(|(bytes, _at)| decode(&bytes, &mark)).transpose()
    }

    async fn pass(&self, desk: &Desk, mark: String, until: Until) -> StepResult<()> {
        let left = self.left(&mark, until)?;
        let known = self.inner.recorded.has(&mark);
        let stored = self.encode(&until.stored(), "the time")?;
        if left > HELD {
            let wait = Wait {
                mark: (!known).then_some((mark, stored)),
                delay: Some(left),
                reason: WaitReason::Timer,
                signals: None,
                called: None,
            };
            return Err(desk.wait(wait).await);
        }
        if !known {
            self.record(desk, mark, stored).await?;
        }
        self.inner.clock.sleep(left).await;
        Ok(())
    }

    /// How long a wait has left: of the time that was recorded when it began, if it has begun.
    fn left(&self, mark: &str, until: Until) -> StepResult<Duration> {
        let now = self.database_now();
        let (until, since) = match self.inner.recorded.get(mark) {
            Some((stored, at)) => (Until::read(decode(&stored, mark)?), at),
            None => (until, now),
        };
        Ok(match until {
            Until::After(duration) => duration.saturating_sub(now.duration_since(since).unwrap_or_default()),
            Until::Time(time) => time.duration_since(now).unwrap_or_default(),
        })
    }

    /// Now, by the clock that recorded times are of, as well as this process knows it.
    fn database_now(&self) -> SystemTime {
        let (then, elapsed) = self.inner.read_at;
        then + self.inner.clock.elapsed().saturating_sub(elapsed)
    }

    /// This run's next wait for signals of a name.
    fn next_wait(&self, name: &str) -> StepResult<NextWait> {
        let schema = &self.inner.schema;
        if !schema.options.signals.contains_key(name) {
            let why = format!("the schema `{}` declares no signal `{name}`", schema.name);
            return Err(StepError::stop(why).code("unknown_signal"));
        }
        let number = {
            let mut names = locked(&self.inner.names);
            let waits = names.entry(format!("@signal/{name}")).or_default();
            *waits += 1;
            *waits
        };
        let own = format!("{}::", self.recorded_as());
        // A wait whose deadline was over has had no signal.
        let earlier = self.inner.recorded.count(|recorded, came| {
            !recorded.starts_with(&own)
                && came != TOO_LATE
                && matches!(Mark::read(recorded), Some((_, Some(Mark::Signal(of)))) if is_wait_for(of, name))
        });
        let had_one = |number: &u32| {
            let mark = Mark::Signal(&format!("{name}/{number}")).of(self.recorded_as());
            let recorded = self.inner.recorded.get(&mark);
            recorded.is_none_or(|(came, _at)| came != TOO_LATE)
        };
        let before = earlier + (1..number).filter(had_one).count();
        let numbered = format!("{name}/{number}");
        Ok(NextWait {
            mark: Mark::Signal(&numbered).of(self.recorded_as()),
            wait_mark: Mark::Wait(&numbered).of(self.recorded_as()),
            before,
        })
    }

    /// Takes a name for this run of the step.
    fn use_name(&self, mark: Mark<'_>, name: &str) -> StepResult<String> {
        usable("name of a part", name)?;
        let recorded = mark.of(self.recorded_as());
        let mut names = locked(&self.inner.names);
        let uses = names.entry(recorded.clone()).or_default();
        *uses += 1;
        #[cfg(feature = "planted")]
        if bugs::is_planted(Bug::NameUsedTwice) {
            return Ok(recorded);
        }
        if *uses > 1 {
            let why = format!(
                "the name `{name}` is used twice in one run of the step `{}`",
                self.step_name()
            );
            return Err(StepError::stop(why).code("name_used_twice"));
        }
        Ok(recorded)
    }

    /// While this lives no message is emitted: it would go with the step and not with the part, which is not
    /// done again when the step is.
    fn in_part(&self) -> InPart<'_> {
        self.inner.parts_under_way.fetch_add(1, Ordering::AcqRel);
        InPart(&self.inner.parts_under_way)
    }

    /// The desk of a step that may make durable calls now.
    pub(super) fn durable(&self) -> StepResult<&Desk> {
        if self.has_transaction() {
            return Err(StepError::stop(IN_TRANSACTION).code("durable_call_in_transaction"));
        }
        self.inner.desk.as_ref().ok_or_else(|| {
            StepError::stop("a verify, an undo and a step of an atomic schema can not make durable calls")
                .code("no_durable_calls")
        })
    }

    /// The desk of a step that may be put down now, to run again from its start.
    pub(super) fn put_down(&self) -> StepResult<&Desk> {
        if self.inner.begins_once {
            let why = "a step that is done at most once can not wait for anything that puts it down: it would \
                       have to begin again";
            return Err(StepError::stop(why).code("no_waits"));
        }
        self.durable()
    }

    pub(super) fn encode<T: Serialize + DeserializeOwned>(&self, value: &T, what: &str) -> StepResult<Bytes> {
        let Inner { limits, .. } = &*self.inner;
        let bytes = json::encode_checked(value, limits.check_bytes)
            .map_err(|error| StepError::stop(format!("{what} can not be recorded: {error}")))?;
        let (size, limit) = (bytes.len(), limits.payload_bytes);
        if size > limit {
            let why = format!("{what} has {size} bytes, the limit is {limit}");
            return Err(StepError::stop(why).code("output_too_large"));
        }
        Ok(bytes)
    }

    pub(super) async fn record(&self, desk: &Desk, mark: String, bytes: Bytes) -> StepResult<()> {
        desk.ask(|reply| Ask::Record(mark, bytes, reply)).await
    }

    /// The name under which what belongs to this step is recorded.
    fn recorded_as(&self) -> &str {
        &self.inner.recorded_as
    }
}

/// A part that is being done.
struct InPart<'a>(&'a AtomicU32);

impl Drop for InPart<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One wait for a signal.
struct NextWait {
    /// Under which name what came is recorded.
    mark: String,
    /// Under which name its begin is recorded.
    wait_mark: String,
    /// How many signals of the name are delivered before it.
    before: usize,
}

fn usable(what: &str, name: &str) -> StepResult<()> {
    let usable = marks::refuse(what, name).and_then(|()| check(what, name, NAME_BYTES));
    usable.map_err(|why| StepError::stop(why).code("bad_name"))
}

/// Whether the name of a recorded signal, with its number, is of these signals.
fn is_wait_for(recorded: &str, name: &str) -> bool {
    recorded.rsplit_once('/').is_some_and(|(of, _number)| of == name)
}

/// Until when a wait lasts.
#[derive(Clone, Copy)]
enum Until {
    After(Duration),
    Time(SystemTime),
}

/// How it is stored: microseconds, from the wait's begin or from 1970.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredUntil {
    AfterMicros(u64),
    AtMicros(u64),
}

impl Until {
    fn stored(self) -> StoredUntil {
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::After(duration) => StoredUntil::AfterMicros(micros(duration)),
            Self::Time(time) => {
                let since = time.duration_since(SystemTime::UNIX_EPOCH);
                StoredUntil::AtMicros(micros(since.unwrap_or_default()))
            }
        }
    }

    fn read(stored: StoredUntil) -> Self {
        match stored {
            StoredUntil::AfterMicros(micros) => Self::After(Duration::from_micros(micros)),
            StoredUntil::AtMicros(micros) => {
                let since = Duration::from_micros(micros);
                Self::Time(
                    SystemTime::UNIX_EPOCH
                        .checked_add(since)
                        .unwrap_or(SystemTime::UNIX_EPOCH),
                )
            }
        }
    }
}

/// A wait for a signal is recorded as a list: of the payload that came, or of nothing when the deadline
/// was over.
fn came(payload: &Bytes) -> Bytes {
    [b"[", &payload[..], b"]"].concat().into()
}

const TOO_LATE: &[u8] = b"[]";

fn payload_of<T: DeserializeOwned>(came: &Bytes, mark: &str) -> StepResult<Option<T>> {
    let came: Vec<T> = decode(came, mark)?;
    Ok(came.into_iter().next())
}
