//! What became of a keyed request, and what is its answer? The one place where each word of the engine's
//! gets its status and its headers.
//!
//! | the engine says | the client gets |
//! |---|---|
//! | here is the output | what the application makes of it; marked when somebody else did the work |
//! | the key was used with another request | 422 `idempotency-key-reused` |
//! | somebody works on it, and the policy does not wait (longer) | 409 `idempotency-in-progress` and `Retry-After`, or 202 |
//! | a step said that it failed for good | the application's problem, the same to the byte for every repeat |
//! | the tries of a step are used up, or it waits for the next | 503 `upstream-unavailable`, `Retry-After`; the next request goes on there |
//! | it waits for something else | 409 `idempotency-in-progress`, `Retry-After` |
//! | the store does not answer | 503 `idempotency-store-unavailable`, `Retry-After` |
//! | it is parked, or can not be read | 500 `needs-attention`, stable |

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use keystep::{ExecutionId, Failure, FailureKind, RunError, Verdict, WaitReason};

use crate::key::ClientKey;
use crate::operation::Operation;
use crate::prefer::Prefer;
use crate::problem::{Problem, kinds, seconds};

/// How an answer came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// This request began the work.
    Executed,
    /// This request took the work up where it had stopped.
    Resumed,
    /// An equal request did the work meanwhile.
    Waited,
    /// It was done before.
    Replayed,
}

impl How {
    pub(crate) fn of(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Started => Self::Executed,
            Verdict::Resumed => Self::Resumed,
            Verdict::Attached => Self::Waited,
            Verdict::Finished => Self::Replayed,
        }
    }

    /// Whether another request did the work.
    pub fn is_replay(self) -> bool {
        matches!(self, Self::Waited | Self::Replayed)
    }

    /// The word for it in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Resumed => "resumed",
            Self::Waited => "waited",
            Self::Replayed => "replayed",
        }
    }
}

/// What a keyed request came to, other than a problem.
#[derive(Debug)]
pub struct Answer<Out> {
    /// What.
    pub ended: Ended<Out>,
    /// What every answer to the request has.
    pub dress: Dress,
}

/// How far the work is.
#[derive(Debug)]
pub enum Ended<Out> {
    /// Done, with this output.
    Done(Out),
    /// Not done yet; the client is told where to look.
    Accepted,
}

/// The headers that an answer has because its request is keyed.
#[derive(Debug, Clone)]
pub struct Dress {
    pub(crate) operation: Operation,
    pub(crate) key: ClientKey,
    /// The execution.
    pub execution: ExecutionId,
    /// How the answer came about.
    pub how: How,
    /// The preferences that were followed.
    pub(crate) applied: Option<Prefer>,
}

impl Dress {
    /// Adds them: the key, whether it is a replay, which preferences were followed.
    pub fn put_on(&self, headers: &mut HeaderMap) {
        let settings = &self.operation.0;
        headers.insert(settings.key.header.clone(), self.key.quoted());
        if self.how.is_replay() {
            headers.insert(settings.replay_header.clone(), HeaderValue::from_static("true"));
        }
        if let Some(applied) = self.applied.and_then(|prefer| prefer.applied()) {
            headers.insert("preference-applied", applied);
        }
    }

    /// A problem with them.
    pub(crate) fn on(&self, problem: Problem) -> Problem {
        let mut headers = HeaderMap::new();
        self.put_on(&mut headers);
        let set = |problem: Problem, (name, value): (Option<HeaderName>, HeaderValue)| match name {
            Some(name) => problem.set_header(name, value),
            None => problem,
        };
        headers.into_iter().fold(problem, set)
    }

    /// 202: where to look, and when.
    fn accepted<B: From<Bytes>>(&self) -> Response<B> {
        let settings = &self.operation.0;
        let url = settings.status_url.as_ref().map(|url| url(self.execution));
        let body = serde_json::json!({ "operation": url, "state": "running" });
        let mut response = Response::new(B::from(Bytes::from(body.to_string())));
        *response.status_mut() = StatusCode::ACCEPTED;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::RETRY_AFTER, seconds(settings.retry_after));
        if let Some(location) = url.and_then(|url| HeaderValue::try_from(url).ok()) {
            headers.insert(header::LOCATION, location);
        }
        response
    }
}

impl<Out> Answer<Out> {
    /// The answer to the client: what `render` makes of the output, or 202.
    pub fn respond<B: From<Bytes>>(self, render: impl FnOnce(Out) -> Response<B>) -> Response<B> {
        let mut response = match self.ended {
            Ended::Done(output) => render(output),
            Ended::Accepted => self.dress.accepted(),
        };
        self.dress.put_on(response.headers_mut());
        response
    }

    /// As [`respond`](Self::respond), for an answer that is rendered from what is stored elsewhere.
    ///
    /// # Errors
    /// What `render` fails with; the key's headers are on it.
    pub async fn respond_with<B: From<Bytes>>(
        self,
        render: impl AsyncFnOnce(Out) -> Result<Response<B>, Problem>,
    ) -> Result<Response<B>, Problem> {
        let mut response = match self.ended {
            Ended::Done(output) => match render(output).await {
                Ok(response) => response,
                Err(problem) => return Err(self.dress.operation.echo(problem, &self.dress.key)),
            },
            Ended::Accepted => self.dress.accepted(),
        };
        self.dress.put_on(response.headers_mut());
        Ok(response)
    }

    /// The execution.
    pub fn execution(&self) -> ExecutionId {
        self.dress.execution
    }

    /// How it came about.
    pub fn how(&self) -> How {
        self.dress.how
    }
}

impl Operation {
    /// The problem for a call that gave no output; `id` is its execution.
    pub(crate) fn problem_of(&self, error: &RunError, key: &ClientKey, id: ExecutionId) -> Problem {
        let problem = match error {
            RunError::InputMismatch { .. } => return self.reused(key),
            RunError::InProgress { .. } | RunError::TimedOut(_) => return self.in_progress(key, id, None),
            RunError::Failed(failure) | RunError::Undone(failure) => self.failed(failure, key, id),
            RunError::Cancelled { .. } => {
                let detail = "The request was cancelled before it was done.";
                stable(Problem::new(kinds::REQUEST_CANCELLED, detail), id)
            }
            RunError::Waiting { reason, due_in, .. } => match reason {
                WaitReason::Retry => {
                    let detail = "It will be tried again. Send the same request again to hear how it went.";
                    self.with_operation(Problem::new(kinds::UPSTREAM_UNAVAILABLE, detail), id)
                        .retry_after(due_in.unwrap_or_default().max(self.0.retry_after))
                }
                _ => return self.in_progress(key, id, *due_in),
            },
            RunError::Parked { .. } | RunError::Unreadable(_) => {
                tracing::error!(%error, execution = %id, operation = self.name(), "a request needs attention");
                let detail = "Whether the request was carried out must be looked up by us.";
                stable(Problem::new(kinds::NEEDS_ATTENTION, detail), id)
            }
            RunError::Expired { .. } => {
                let detail =
                    "This key was used before, and what it was used for is no longer kept. Use a new key.";
                let problem = Problem::new(kinds::IDEMPOTENCY_KEY_REUSED, detail).key(key);
                self.about_keys(problem, "2.3")
            }
            RunError::Invalid(why) => {
                tracing::error!(why, operation = self.name(), "a keyed request can not be called");
                Problem::new(kinds::INTERNAL_ERROR, "Nothing was done.")
            }
            // Everything else is of this kind too: nothing final is known, the same key is safe.
            _ => return self.store_unavailable(&error, key),
        };
        self.echo(problem, key)
    }

    /// 422: the key belongs to another request.
    pub(crate) fn reused(&self, key: &ClientKey) -> Problem {
        let detail = "This key was used for another request. Nothing was done. Use a new key.";
        let problem = Problem::new(kinds::IDEMPOTENCY_KEY_REUSED, detail).key(key);
        self.echo(self.about_keys(problem, "2.7"), key)
    }

    /// 409: it is being worked on.
    pub(crate) fn in_progress(&self, key: &ClientKey, id: ExecutionId, due_in: Option<Duration>) -> Problem {
        let detail = "Repeat with the same key after the given time or look at the operation.";
        let problem = Problem::new(kinds::IDEMPOTENCY_IN_PROGRESS, detail)
            .key(key)
            .retry_after(due_in.unwrap_or_default().max(self.0.retry_after));
        let problem = self.with_operation(problem, id);
        self.echo(self.about_keys(problem, "2.6"), key)
    }

    /// 503: the store does not answer.
    pub(crate) fn store_unavailable(&self, why: &dyn std::fmt::Display, key: &ClientKey) -> Problem {
        crate::metrics::store_error(self);
        tracing::warn!(%why, operation = self.name(), "the store of keys does not answer");
        let detail = "Send the same request again after the given time. It will not be done twice.";
        let problem = Problem::new(kinds::IDEMPOTENCY_STORE_UNAVAILABLE, detail)
            .key(key)
            .retry_after(self.0.retry_after);
        self.echo(self.about_keys(problem, "2.6"), key)
    }

    fn failed(&self, failure: &Failure, key: &ClientKey, id: ExecutionId) -> Problem {
        let own = self.0.failures.as_ref().and_then(|problem| problem(failure));
        let by_code = || {
            let code = failure.code.as_deref()?;
            if code == "input_mismatch" {
                let detail = "What the request names belongs to another request. Nothing was done.";
                return Some(Problem::new(kinds::IDEMPOTENCY_KEY_REUSED, detail));
            }
            let kind = self
                .0
                .kinds
                .iter()
                .chain(kinds::ALL)
                .find(|kind| kind.slug == code)?;
            Some(Problem::new(kind, sentence(&failure.message)))
        };
        let is_final = failure.kind == FailureKind::Terminal;
        let problem = own.or_else(by_code).unwrap_or_else(|| {
            if is_final {
                return Problem::new(kinds::REQUEST_FAILED, sentence(&failure.message));
            }
            // What went wrong inside is for the log of whoever runs the service.
            let (step, attempt) = (&failure.step, failure.attempt);
            tracing::warn!(step, attempt, operation = self.name(), "a request is stuck");
            let detail = "It stopped half-way and nothing is lost. Send the same request again to go on.";
            Problem::new(kinds::UPSTREAM_UNAVAILABLE, detail)
        });
        let problem = if problem.kind() == kinds::IDEMPOTENCY_KEY_REUSED {
            self.about_keys(problem.key(key), "2.7")
        } else if problem.kind() == kinds::IDEMPOTENCY_IN_PROGRESS {
            self.about_keys(self.with_operation(problem.key(key), id), "2.6")
        } else {
            problem
        };
        if is_final && !problem.kind().retryable {
            return stable(problem, id);
        }
        if problem.kind().retryable && !problem.has_header(&header::RETRY_AFTER) {
            return problem.retry_after(self.0.retry_after);
        }
        problem
    }

    fn with_operation(&self, problem: Problem, id: ExecutionId) -> Problem {
        match &self.0.status_url {
            Some(url) => problem.member("operation", url(id)),
            None => problem,
        }
    }
}

/// A final answer is repeated, so its problem is the same each time.
fn stable(problem: Problem, ExecutionId(id): ExecutionId) -> Problem {
    problem.instance(id)
}

fn sentence(message: &str) -> String {
    let mut letters = message.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    let first = first.map(String::from).unwrap_or_default();
    let end = if message.ends_with('.') { "" } else { "." };
    format!("{first}{}{end}", letters.as_str())
}
