//! When is this process's own next wake-up? A small heap beside the sweep, so that an execution
//! that was put down here is taken up at its time. Other processes find it by their sweep.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::runs::locked;

/// Wake-ups by the clock's elapsed time.
#[derive(Debug, Default)]
pub(crate) struct Wakeups {
    due: Mutex<BinaryHeap<Reverse<Duration>>>,
    added: Notify,
}

impl Wakeups {
    pub(crate) fn add(&self, at: Duration) {
        locked(&self.due).push(Reverse(at));
        self.added.notify_one();
    }

    /// Returns when a wake-up is due, and forgets all that are.
    pub(crate) async fn next(&self, clock: &Clock) {
        loop {
            let earliest = locked(&self.due).peek().map(|Reverse(at)| *at);
            let now = clock.elapsed();
            match earliest {
                Some(at) if at <= now => {
                    let mut due = locked(&self.due);
                    while due.peek().is_some_and(|Reverse(at)| *at <= now) {
                        due.pop();
                    }
                    return;
                }
                Some(at) => {
                    tokio::select! {
                        () = clock.sleep(at - now) => {}
                        () = self.added.notified() => {}
                    }
                }
                None => self.added.notified().await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wakeup_comes_at_its_time_and_once() {
        let clock = Clock::new();
        let wakeups = Wakeups::default();
        wakeups.add(clock.elapsed() + Duration::from_secs(60));
        let early = tokio::time::timeout(Duration::from_millis(20), wakeups.next(&clock)).await;
        assert!(early.is_err(), "not yet");
        clock.advance(Duration::from_secs(61));
        wakeups.next(&clock).await;
        let again = tokio::time::timeout(Duration::from_millis(20), wakeups.next(&clock)).await;
        assert!(again.is_err(), "only once");
    }
}
