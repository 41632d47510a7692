//! Where does a step find the request that it is about? On the desk: each waiting caller of this process
//! leaves its own there, since a request is never stored.
//!
//! The step takes the one that was left first. Whoever comes to own the execution after a crash finds
//! none, unless an equal request waits here too.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::future::BoxFuture;
use keystep::{ExecutionId, StepContext};

use super::handler::Claimed;
use crate::stored::StoredResponse;

/// Runs the handler with the request that was left.
pub(crate) type Work = Box<dyn FnOnce(StepContext) -> BoxFuture<'static, Done> + Send>;

/// What a handler's run gave.
pub(crate) enum Done {
    /// An answer that stands for good.
    Stored(StoredResponse),
    /// An answer that the policy does not store.
    NotStored(StoredResponse),
    /// No answer: the service failed.
    Nothing,
}

/// The requests that wait here.
#[derive(Clone, Default)]
pub(crate) struct Desk(Arc<Mutex<Left>>);

#[derive(Default)]
struct Left {
    next: u64,
    by_request: HashMap<Request, VecDeque<Entry>>,
}

/// Which execution's, and which of the requests that claim to be its.
pub(super) type Request = (ExecutionId, Claimed);

struct Entry {
    number: u64,
    work: Work,
    told: Told,
}

/// An answer that was not stored, for those who waited for it.
type Told = Arc<Mutex<Option<StoredResponse>>>;

impl Desk {
    /// Leaves a request, until the value is dropped or a step takes it.
    pub(crate) fn leave(&self, request: Request, work: Work) -> Offer {
        let told = Told::default();
        let mut left = locked(&self.0);
        left.next += 1;
        let number = left.next;
        left.by_request
            .entry(request.clone())
            .or_default()
            .push_back(Entry {
                number,
                work,
                told: Arc::clone(&told),
            });
        Offer {
            desk: self.clone(),
            request,
            number,
            told,
        }
    }

    /// Takes the request that was left first.
    pub(crate) fn take(&self, request: &Request) -> Option<Work> {
        let mut left = locked(&self.0);
        let waiting = left.by_request.get_mut(request)?;
        let first = waiting.pop_front();
        if waiting.is_empty() {
            left.by_request.remove(request);
        }
        first.map(|entry| entry.work)
    }

    /// Tells all who still wait what came of it, since it will not be stored.
    pub(crate) fn tell(&self, request: &Request, answer: &StoredResponse) {
        let left = locked(&self.0);
        for entry in left.by_request.get(request).into_iter().flatten() {
            *locked(&entry.told) = Some(answer.clone());
        }
    }
}

/// A request on the desk.
pub(crate) struct Offer {
    desk: Desk,
    request: Request,
    number: u64,
    told: Told,
}

impl Offer {
    /// The answer that somebody else got and that was not stored.
    pub(crate) fn told(&self) -> Option<StoredResponse> {
        locked(&self.told).take()
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let mut left = locked(&self.desk.0);
        let Some(waiting) = left.by_request.get_mut(&self.request) else {
            return;
        };
        let at = waiting.iter().position(|entry| entry.number == self.number);
        let entry = at.and_then(|at| waiting.remove(at));
        if waiting.is_empty() {
            left.by_request.remove(&self.request);
        }
        drop(left);
        // What it holds may do anything when it goes.
        drop(entry);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use keystep::InputHash;
    use uuid::Uuid;

    use super::*;

    fn request(hash: u8) -> Request {
        (ExecutionId(Uuid::nil()), Claimed::by(InputHash([hash; 32])))
    }

    fn work() -> Work {
        Box::new(|_cx| Box::pin(async { Done::Nothing }))
    }

    #[test]
    fn each_request_is_taken_once_and_one_that_is_gone_not_at_all() {
        let desk = Desk::default();
        let (one, two) = (desk.leave(request(0), work()), desk.leave(request(0), work()));
        assert!(desk.take(&request(1)).is_none(), "another request");
        drop(one);
        assert!(desk.take(&request(0)).is_some());
        assert!(desk.take(&request(0)).is_none());
        drop(two);
        assert!(locked(&desk.0).by_request.is_empty());
    }

    #[test]
    fn who_waits_is_told_what_is_not_stored() {
        let desk = Desk::default();
        let (runs, waits) = (desk.leave(request(0), work()), desk.leave(request(0), work()));
        assert!(desk.take(&request(0)).is_some());
        let answer = StoredResponse::of(
            http::StatusCode::BAD_REQUEST,
            &http::HeaderMap::new(),
            &[],
            Some(b""),
        );
        desk.tell(&request(0), &answer);
        assert_eq!(waits.told(), Some(answer));
        assert_eq!(runs.told(), None);
    }
}
