//! How does a keyed request meet its execution? It leaves itself on the desk, looks its key up, claims it
//! when it is free, and waits.
//!
//! All of that is a task of its own: a client that hangs up changes nothing, but that nobody waits for
//! somebody else's work in its place.

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::future::{Either, select};
use http::{Request, Response, header};
use http_body::Body;
use keystep::{Handle, RunError, StepContext, Verdict};
use tokio::sync::oneshot;
use tower_service::Service;
use tracing::Instrument;

use super::body::ResponseBody;
use super::desk::{Done, Work};
use super::handler::{Claimed, NO_REQUEST, NOT_STORED};
use super::service::Route;
use crate::answer::{Ended, How};
use crate::door::{Ask, Settled, Waited};
use crate::key::ClientKey;
use crate::metrics::{self, InFlight};
use crate::operation::Operation;
use crate::policy::OnStoreDown;
use crate::problem::{Problem, kinds};
use crate::request::Arrived;
use crate::stored::StoredResponse;

/// How often a request meets an execution that ended without an answer for it, and tries again itself.
const ROUNDS: u32 = 4;

/// A keyed request on its way.
pub(super) struct Visit {
    route: Arc<Route>,
    arrived: Arc<Arrived>,
    ask: Ask,
}

type Answered<Out, E> = Result<Response<ResponseBody<Out>>, E>;

impl Visit {
    pub(super) fn new(route: Arc<Route>, arrived: Arrived, scope: String, key: ClientKey) -> Self {
        let ask = Ask {
            scope,
            key,
            hash: arrived.fingerprint(),
            prefer: arrived.prefer(),
        };
        Self {
            route,
            arrived: Arc::new(arrived),
            ask,
        }
    }

    /// Goes the whole way in a task, and waits for it.
    pub(super) async fn in_a_task<S, In, Out>(self, service: S) -> Answered<Out, S::Error>
    where
        S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        In: Body + From<Bytes> + Send + 'static,
        Out: Body<Data = Bytes> + Send + 'static,
        Out::Error: Send,
    {
        let operation = self.operation().clone();
        let (mut client, answer) = oneshot::channel();
        let way = async move {
            let waits_for_another = AtomicBool::new(false);
            let answered = {
                let way = pin!(self.go(service, &waits_for_another));
                let left = pin!(async {
                    client.closed().await;
                    if !waits_for_another.load(Ordering::Relaxed) {
                        pending::<()>().await;
                    }
                });
                match select(way, left).await {
                    Either::Left((answered, _left)) => answered,
                    Either::Right(((), _way)) => return,
                }
            };
            // A client that has gone asks again.
            let _gone = client.send(answered);
        };
        tokio::spawn(way.in_current_span());
        match answer.await {
            Ok(answered) => answered,
            Err(_panicked) => {
                let detail = "The service has a fault, which is in its log.";
                let problem = Problem::new(kinds::INTERNAL_ERROR, detail);
                Ok(operation.dress(problem).into_response())
            }
        }
    }

    fn operation(&self) -> &Operation {
        self.route.handler.operation()
    }

    async fn go<S, In, Out>(self, service: S, waits_for_another: &AtomicBool) -> Answered<Out, S::Error>
    where
        S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        In: Body + From<Bytes> + Send + 'static,
        Out: Body<Data = Bytes> + Send + 'static,
        Out::Error: Send,
    {
        let _in_flight = InFlight::of(self.operation());
        let door = &self.route.door;
        let id = door.execution_of(&self.ask.scope, &self.ask.key);
        let claimed = Claimed::by(self.ask.hash);
        let mut checked = false;
        let mut round = 1;
        loop {
            let (tell, mut told) = oneshot::channel();
            let work = self.work(service.clone(), tell);
            let offer = self.route.handler.desk.leave((id, claimed.clone()), work);
            let handle = match self.admit(&mut checked).await {
                Ok(handle) => handle,
                Err(problem) if self.may_go_unprotected(&problem) => {
                    drop(offer);
                    return self.unprotected(service, checked).await;
                }
                Err(problem) => return Ok(self.arrived.refuse(problem)),
            };
            let verdict = handle.verdict();
            let mut outcome = Box::pin(handle.wait());
            waits_for_another.store(verdict == Verdict::Attached, Ordering::Relaxed);
            let mut settled = door.wait(self.ask.prefer, id, verdict, outcome.as_mut()).await;
            waits_for_another.store(false, Ordering::Relaxed);
            let Waited::Ended(result) = &settled.result else {
                if verdict != Verdict::Attached {
                    // The work is this request's, and may still have to be taken from the desk.
                    tokio::spawn(async move {
                        let _ended = outcome.await;
                        drop(offer);
                    });
                }
                return self.answer(settled).await;
            };
            let code = match result {
                Err(RunError::Failed(failure)) => failure.code.as_deref(),
                _ => None,
            };
            let not_stored = code == Some(NOT_STORED);
            if (result.is_ok() || not_stored)
                && let Ok(own) = told.try_recv()
            {
                let how = match verdict {
                    Verdict::Resumed => How::Resumed,
                    _ => How::Executed,
                };
                return own.map(|response| self.dressed(response, how, &settled));
            }
            if not_stored && let Some(answer) = offer.told() {
                let response = answer.into_response();
                return Ok(self.dressed(response, How::Waited, &settled));
            }
            let without_answer = code == Some(NO_REQUEST) || (not_stored && verdict == Verdict::Attached);
            if !without_answer || round == ROUNDS {
                if result.is_ok() && verdict != Verdict::Finished {
                    // The step took the request of another client.
                    settled.verdict = Verdict::Attached;
                }
                return self.answer(settled).await;
            }
            round += 1;
        }
    }

    /// Finds out who works on it: looks the key up, checks the request, claims the key.
    async fn admit(&self, checked: &mut bool) -> Result<Handle<StoredResponse>, Problem> {
        let door = &self.route.door;
        // A failure of the only step has left nothing that could be replayed: the handler runs again.
        if let Some(handle) = door.find(&self.ask, None).await? {
            return Ok(handle);
        }
        self.check(checked).await?;
        door.claim(&self.ask, Claimed::by(self.ask.hash), None).await
    }

    async fn check(&self, checked: &mut bool) -> Result<(), Problem> {
        if !std::mem::replace(checked, true)
            && let Some(check) = &self.route.handler.check
        {
            check(Arc::clone(&self.arrived)).await?;
        }
        Ok(())
    }

    /// What the step does with this request when it takes it from the desk.
    fn work<S, In, Out>(&self, service: S, tell: oneshot::Sender<Answered<Out, S::Error>>) -> Work
    where
        S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Send,
        In: Body + From<Bytes> + Send + 'static,
        Out: Body<Data = Bytes> + Send + 'static,
        Out::Error: Send,
    {
        let operation = self.operation().clone();
        let arrived = Arc::clone(&self.arrived);
        Box::new(move |cx| {
            Box::pin(async move {
                let response = match call(service, request(&arrived, Some(cx))).await {
                    Ok(response) => response,
                    Err(error) => {
                        let _gone = tell.send(Err(error));
                        return Done::Nothing;
                    }
                };
                let (parts, body) = response.into_parts();
                let endless = parts
                    .headers
                    .get(header::CONTENT_TYPE)
                    .is_some_and(|media_type| media_type.as_bytes().starts_with(b"text/event-stream"));
                let (kept, body) = if endless {
                    (None, ResponseBody::own(body))
                } else {
                    ResponseBody::keep(body, operation.0.max_stored).await
                };
                let (status, headers) = (parts.status, &parts.headers);
                let answer =
                    StoredResponse::of(status, headers, &operation.0.stored_headers, kept.as_deref());
                let _gone = tell.send(Ok(Response::from_parts(parts, body)));
                if operation.0.on_error.stores(status) {
                    Done::Stored(answer)
                } else {
                    Done::NotStored(answer)
                }
            })
        })
    }

    /// Answers with what somebody else's work gave.
    async fn answer<Out: Body, E>(&self, settled: Settled<StoredResponse>) -> Answered<Out, E> {
        let answer = match self.route.door.answer(self.ask.clone(), settled) {
            Ok(answer) => answer,
            Err(problem) => return Ok(problem.into_response()),
        };
        let latest = self.route.handler.latest.as_ref();
        let response = match (&answer.ended, latest) {
            (Ended::Done(stored), Some(render)) if stored.status().is_success() => {
                let mut fresh = render(stored.clone()).await;
                *fresh.status_mut() = stored.status();
                if let Some(location) = stored.headers().remove(header::LOCATION) {
                    fresh.headers_mut().insert(header::LOCATION, location);
                }
                answer.respond(|_stored| fresh)
            }
            _ => answer.respond(StoredResponse::into_response),
        };
        Ok(response.map(ResponseBody::from))
    }

    fn dressed<B>(
        &self,
        mut response: Response<B>,
        how: How,
        settled: &Settled<StoredResponse>,
    ) -> Response<B> {
        metrics::outcome(self.operation(), how.as_str());
        let door = &self.route.door;
        let dress = door.dress(self.ask.key.clone(), settled.id, how, settled.applied);
        dress.put_on(response.headers_mut());
        response
    }

    fn may_go_unprotected(&self, problem: &Problem) -> bool {
        problem.kind() == kinds::IDEMPOTENCY_STORE_UNAVAILABLE
            && self.operation().0.on_store_down == OnStoreDown::RunUnprotectedAndMaybeTwice
    }

    /// Runs the handler although nobody can say whether it ran before.
    async fn unprotected<S, In, Out>(&self, service: S, mut checked: bool) -> Answered<Out, S::Error>
    where
        S: Service<Request<In>, Response = Response<Out>>,
        In: Body + From<Bytes>,
        Out: Body<Data = Bytes>,
    {
        tracing::warn!(
            operation = self.operation().name(),
            "a keyed request runs without its key, and maybe twice: the store does not answer"
        );
        if let Err(problem) = self.check(&mut checked).await {
            return Ok(self.arrived.refuse(problem));
        }
        let response = call(service, request(&self.arrived, None)).await?;
        Ok(response.map(ResponseBody::own))
    }
}

/// The request as it arrived, with its step's context.
fn request<In: From<Bytes>>(arrived: &Arrived, cx: Option<StepContext>) -> Request<In> {
    let mut request = Request::from_parts(arrived.parts.clone(), In::from(arrived.body.clone()));
    if let Some(cx) = cx {
        request.extensions_mut().insert(cx);
    }
    request
}

async fn call<S: Service<R>, R>(mut service: S, request: R) -> Result<S::Response, S::Error> {
    poll_fn(|cx| service.poll_ready(cx)).await?;
    service.call(request).await
}
