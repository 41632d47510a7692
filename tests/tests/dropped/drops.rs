//! How is a future dropped at one of its awaits? By counting how often it is polled.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use rand::Rng;
use rand::rngs::StdRng;

/// A future that is given up at its n-th poll, wherever it is then.
pub(crate) struct Dropped<F> {
    future: Option<Pin<Box<F>>>,
    polls: u32,
}

/// Polls a future so often and drops it: `None`, unless it had ended by then.
pub(crate) fn after_polls<F: Future>(polls: u32, future: F) -> Dropped<F> {
    Dropped {
        future: Some(Box::pin(future)),
        polls,
    }
}

impl<F: Future> Future for Dropped<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polls = self.polls;
        let Some(future) = self.future.as_mut().filter(|_| polls > 0) else {
            self.future = None;
            return Poll::Ready(None);
        };
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        self.polls -= 1;
        if self.polls == 0 {
            self.future = None;
            return Poll::Ready(None);
        }
        Poll::Pending
    }
}

/// How many polls: as often few as any number, because what matters begins early.
pub(crate) fn some_polls(chance: &mut StdRng) -> u32 {
    let most = if chance.random_bool(0.5) { 4 } else { 32 };
    chance.random_range(1..=most)
}
