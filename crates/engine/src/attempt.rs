//! How is one attempt of a step run so that nothing it does can hurt the engine? Inside the task that
//! drives its execution, but caught: a panic is a failed attempt, and losing the ownership drops it.
//!
//! A task of its own would cost two wake-ups for each step. What the body asks for while it runs
//! (`asks`) is done beside it, in the same task; what is under way when the body ends is waited for.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, Fuse};
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::oneshot;

use crate::asks::{Ask, Desk, Wait};
use crate::context::StepContext;
use crate::drive::Stop;
use crate::error::StepError;
use crate::inner::Inner;
use crate::runs::LocalRun;
use crate::step::{Attempted, ErasedStep};

/// How an attempt ended.
pub(crate) enum AttemptEnd {
    Attempted(Attempted),
    /// The ownership was lost; the step was cancelled.
    Lost,
    /// The process stops; the step was cancelled.
    Stopped,
    /// The body waits for something: put the execution down.
    Wait(Wait),
    /// What it wanted recorded was not.
    Stop(Stop),
}

/// What came of something that the body asked for.
pub(crate) enum Served {
    Done,
    Stop(Stop),
}

/// What an attempt needs beside its body.
pub(crate) struct Attempt<'a> {
    pub(crate) inner: &'a Inner,
    pub(crate) run: &'a LocalRun,
    pub(crate) body: Arc<dyn ErasedStep>,
    pub(crate) input: Bytes,
    pub(crate) timeout: Option<Duration>,
    /// Whether a wish to cancel the execution ends it, after the grace.
    pub(crate) ends_when_cancelled: bool,
}

impl Attempt<'_> {
    /// Runs one attempt. What it is when the ownership is lost or the process stops is dropped where it
    /// waits; a body that never waits is seen to be over when it answers.
    pub(crate) async fn run<'s>(
        self,
        cx: &'s StepContext,
        serve: impl Fn(Ask) -> BoxFuture<'s, Served>,
    ) -> AttemptEnd {
        let Self {
            inner,
            run,
            body,
            input,
            timeout,
            ends_when_cancelled,
        } = self;
        let work = body.run_erased(cx.clone(), input, inner.limits.check_bytes);
        let mut body = pin!(AssertUnwindSafe(cx.scope(work)).catch_unwind().fuse());
        let mut under_way = UnderWay::default();
        let mut waits = Vec::new();
        // Its time runs from here on, and not from when the body comes to its first wait.
        let late = timeout.map(|timeout| (timeout, Box::pin(inner.clock.sleep(timeout))));
        let mut ends = pin!(ends(inner, run, late, ends_when_cancelled));
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut body => break AttemptEnd::Attempted(ended.unwrap_or_else(panicked)),
                served = under_way.next() => {
                    if let Served::Stop(stop) = served {
                        break AttemptEnd::Stop(stop);
                    }
                }
                asks = asked(cx.desk()) => {
                    for ask in asks {
                        match ask {
                            Ask::Wait(wait) => waits.push(wait),
                            other => under_way.push(serve(other)),
                        }
                    }
                }
                // What is answered first may come to a wait of its own.
                () = std::future::ready(()), if !waits.is_empty() && under_way.is_empty() => {
                    break put_down(std::mem::take(&mut waits), |mark| under_way.push(serve(mark)));
                }
                end = &mut ends => break end,
            }
        };
        if let Some(desk) = cx.desk() {
            desk.close();
        }
        // Gone before anything is written for an attempt that was cancelled.
        let gone = AssertUnwindSafe(|| body.set(Fuse::terminated()));
        let _what_a_destructor_says = std::panic::catch_unwind(gone);
        // A write that is under way has its verdict before anything else is written.
        match under_way.rest().await {
            Some(stop) => AttemptEnd::Stop(stop),
            None => ended,
        }
    }
}

/// The end of an attempt that waits: with what is recorded of its waits but the one that ends it.
fn put_down(waits: Vec<Wait>, mut record: impl FnMut(Ask)) -> AttemptEnd {
    let Some((wait, marks)) = Wait::first_of(waits) else {
        return AttemptEnd::Lost;
    };
    for (name, value) in marks {
        let (nobody_hears, _) = oneshot::channel();
        record(Ask::Record(name, value, nobody_hears));
    }
    AttemptEnd::Wait(wait)
}

/// What is done for a body beside it. Most bodies ask for nothing.
#[derive(Default)]
struct UnderWay<'a>(Option<Box<FuturesUnordered<BoxFuture<'a, Served>>>>);

impl<'a> UnderWay<'a> {
    fn push(&mut self, served: BoxFuture<'a, Served>) {
        self.0.get_or_insert_default().push(served);
    }

    fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|under_way| under_way.is_empty())
    }

    /// The next one that is done; never, when there is none.
    async fn next(&mut self) -> Served {
        match self.0.as_mut().filter(|under_way| !under_way.is_empty()) {
            Some(under_way) => under_way.next().await.unwrap_or(Served::Done),
            None => std::future::pending().await,
        }
    }

    /// Waits for all of it; whether the run ends because of one.
    async fn rest(self) -> Option<Stop> {
        let mut under_way = self.0?;
        let mut stopped = None;
        while let Some(served) = under_way.next().await {
            if let Served::Stop(stop) = served {
                stopped = stopped.or(Some(stop));
            }
        }
        stopped
    }
}

/// What ends an attempt from outside.
async fn ends(
    inner: &Inner,
    run: &LocalRun,
    late: Option<(Duration, impl Future<Output = ()> + Unpin)>,
    when_cancelled: bool,
) -> AttemptEnd {
    let late = async {
        match late {
            Some((timeout, late)) => {
                late.await;
                timeout
            }
            None => std::future::pending().await,
        }
    };
    let cancelled = async {
        run.cancelled.cancelled().await;
        Box::pin(inner.clock.sleep(inner.options.cancel_grace)).await;
    };
    tokio::select! {
        biased;
        () = run.lost.cancelled() => AttemptEnd::Lost,
        () = inner.stopped.cancelled() => AttemptEnd::Stopped,
        () = cancelled, if when_cancelled => {
            AttemptEnd::Attempted(Attempted::Failed(StepError::retry("it was cancelled while it ran")))
        }
        timeout = late => {
            let error = StepError::retry(format!("no output within {timeout:?}"));
            AttemptEnd::Attempted(Attempted::Failed(error.code("timed_out")))
        }
    }
}

async fn asked(desk: Option<&Desk>) -> Vec<Ask> {
    match desk {
        Some(desk) => desk.taken().await,
        None => std::future::pending().await,
    }
}

fn panicked(panic: Box<dyn Any + Send>) -> Attempted {
    let message = text_of(panic.as_ref());
    Attempted::Failed(StepError::retry(format!("the step panicked: {message}")).code("panic"))
}

/// The words of a panic.
pub(crate) fn text_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "not a text".to_owned())
}
