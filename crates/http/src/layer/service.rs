//! What happens to a request on its way to a wrapped handler? One that is not keyed passes untouched; a
//! keyed one is read and meets its execution.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::body::ResponseBody;
use super::handler::{Claimed, KeyedHandler};
use super::visit::Visit;
use crate::door::FrontDoor;
use crate::operation::Demand;
use crate::problem::{Problem, kinds};
use crate::stored::StoredResponse;

/// Puts a handler behind its keys. Made by [`KeyedHandler::layer`].
#[derive(Debug, Clone)]
pub struct IdempotencyLayer(Arc<Route>);

/// What a service and its requests share.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) handler: KeyedHandler,
    pub(super) door: FrontDoor<Claimed, StoredResponse>,
}

impl IdempotencyLayer {
    pub(super) fn new(handler: KeyedHandler, door: FrontDoor<Claimed, StoredResponse>) -> Self {
        Self(Arc::new(Route { handler, door }))
    }
}

impl<S> Layer<S> for IdempotencyLayer {
    type Service = IdempotencyService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        IdempotencyService {
            route: Arc::clone(&self.0),
            inner,
        }
    }
}

/// A handler behind its keys.
#[derive(Debug, Clone)]
pub struct IdempotencyService<S> {
    route: Arc<Route>,
    inner: S,
}

impl<S, In, Out> Service<Request<In>> for IdempotencyService<S>
where
    S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    In: Body + From<Bytes> + Send + 'static,
    In::Data: Send,
    In::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Out: Body<Data = Bytes> + Send + 'static,
    Out::Error: Send,
{
    type Response = Response<ResponseBody<Out>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<In>) -> Self::Future {
        // The one that is ready goes with the request.
        let next = self.inner.clone();
        let mut ready = std::mem::replace(&mut self.inner, next);
        if !self.route.is_keyed(&request) {
            let passed = ready.call(request);
            return Box::pin(async move { Ok(passed.await?.map(ResponseBody::own)) });
        }
        Box::pin(visit(Arc::clone(&self.route), ready, request))
    }
}

impl Route {
    fn is_keyed<B>(&self, request: &Request<B>) -> bool {
        let operation = self.handler.operation();
        let may_go_without = operation.0.demand == Demand::Optional;
        operation.takes(request.method()) && (!may_go_without || operation.has_key(request.headers()))
    }
}

/// The whole way of a keyed request, after the decision that it is one.
async fn visit<S, In, Out>(
    route: Arc<Route>,
    service: S,
    request: Request<In>,
) -> Result<Response<ResponseBody<Out>>, S::Error>
where
    S: Service<Request<In>, Response = Response<Out>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    In: Body + From<Bytes> + Send + 'static,
    In::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    Out: Body<Data = Bytes> + Send + 'static,
    Out::Error: Send,
{
    let (parts, body) = request.into_parts();
    let Some(scope) = (route.handler.scope)(&parts) else {
        return Ok(route.handler.operation().dress(nobody()).into_response());
    };
    let arrived = route.door.read(Request::from_parts(parts, body)).await;
    let keyed = arrived.and_then(|arrived| Ok((arrived.key_or(None)?, arrived)));
    match keyed {
        Ok((key, arrived)) => Visit::new(route, arrived, scope, key).in_a_task(service).await,
        Err(problem) => Ok(problem.into_response()),
    }
}

fn nobody() -> Problem {
    let bearer = HeaderValue::from_static("Bearer");
    Problem::new(kinds::UNAUTHORIZED, "Nobody is known by this request.")
        .header(header::WWW_AUTHENTICATE, bearer)
}
