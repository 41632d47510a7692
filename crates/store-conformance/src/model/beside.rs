//! The two stores side by side, in what stands beside the steps: progress, signals, wishes, messages,
//! tombstones.

use std::time::Duration;

use keystep::execution::{CancelWish, ExecutionId, Seen, WriteId};
use keystep::store::{NewCheckpoint, NewProgress, NewSignal, Store};
use uuid::Uuid;

use super::compare::{same, same_set};
use super::operation::KEYS;
use super::world::{Outcome, World, answered};
use crate::fixture::payload;

impl<S: Store> World<S> {
    pub(super) async fn put_down(&mut self, claim: usize, step: i32, there: bool) -> Outcome {
        let granted = self.granted(claim);
        let put_down = |fence, write_id| NewProgress {
            fence,
            worker: self.workers[0].id,
            write_id,
            checkpoint: NewCheckpoint {
                step: format!("step_{step}::@at").into(),
                seq: step,
                attempt: 1,
                lost: 0,
                output: payload(&format!("progress {}", self.turn)),
            },
        };
        let (at, write_id) = (usize::from(there), WriteId::fresh());
        let expected = self.model[at].progress(put_down(granted.model, write_id)).await;
        let found = self.store[at].progress(put_down(granted.store, write_id)).await;
        let (expected, found) = (answered(expected)?, answered(found)?);
        self.reach(format!("progress {expected:?}"));
        same("progress", &expected, &found)
    }

    pub(super) async fn signal(&mut self, seen: Seen, name: u8, once: bool, there: bool) -> Outcome {
        let signal = NewSignal {
            id: seen.id,
            run: seen.run,
            name: format!("signal {name}"),
            payload: payload(&format!("signal {}", self.turn)),
            once,
            write_id: WriteId::fresh(),
        };
        self.signals.push(signal.clone());
        self.send_signal(signal, there).await
    }

    pub(super) async fn signal_again(&mut self, signal: usize, there: bool) -> Outcome {
        let signal = self.signals[self.signals.len() - 1 - signal].clone();
        self.send_signal(signal, there).await
    }

    async fn send_signal(&mut self, signal: NewSignal, there: bool) -> Outcome {
        let at = usize::from(there);
        let expected = answered(self.model[at].signal(signal.clone()).await)?;
        let found = answered(self.store[at].signal(signal).await)?;
        self.reach(format!("signal {expected:?}"));
        same("signal", &expected, &found)
    }

    pub(super) async fn wish(&mut self, seen: Seen, wish: CancelWish, there: bool) -> Outcome {
        let at = usize::from(there);
        let expected = answered(self.model[at].wish_cancel(seen.id, seen.run, wish).await)?;
        let found = answered(self.store[at].wish_cancel(seen.id, seen.run, wish).await)?;
        self.reach(format!("wish {}", expected.is_some()));
        same("wish", &expected, &found)
    }

    pub(super) async fn lead(&mut self, worker: usize, there: bool) -> Outcome {
        let (at, worker) = (usize::from(there), self.workers[worker].id);
        let expected = answered(self.model[at].lead(worker).await)?;
        let found = answered(self.store[at].lead(worker).await)?;
        self.reach(format!("lead {expected}"));
        same("lead", &expected, &found)
    }

    pub(super) async fn deliver(&mut self, count: usize) -> Outcome {
        let oldest = answered(self.model[0].outbox(Vec::new(), 100).await)?;
        let ids: Vec<Uuid> = oldest.iter().take(count).map(|message| message.id).collect();
        answered(self.model[0].delivered(ids.clone()).await)?;
        answered(self.store[0].delivered(ids).await)
    }

    pub(super) async fn purge(&mut self, remember: Option<Duration>) -> Outcome {
        let expected = answered(self.model[0].purge(1000, remember).await)?;
        let found = answered(self.store[1].purge(1000, remember).await)?;
        let kind = if remember.is_some() {
            "purge that remembers"
        } else {
            "purge"
        };
        self.reach(format!("{kind} {}", expected > 0));
        same("purge", &expected, &found)
    }

    pub(super) async fn look_beside(&mut self, at: usize) -> Outcome {
        use rand::Rng;
        let (model, store) = (&self.model[at], &self.store[at]);
        let ids: Vec<ExecutionId> = (0..KEYS).map(|key| self.id_of(key)).collect();
        for record in answered(model.find(ids.clone()).await)? {
            let expected = answered(model.inbox(record.id, record.run).await)?;
            self.reached
                .extend((expected.count > 1).then(|| "signals".to_owned()));
            let found = answered(store.inbox(record.id, record.run).await)?;
            same("inbox", &expected, &found)?;
        }
        for id in &ids {
            let expected = answered(model.children(*id).await)?;
            self.reached
                .extend((!expected.is_empty()).then(|| "children".to_owned()));
            same_set("children", &expected, &answered(store.children(*id).await)?)?;
        }
        for worker in &self.workers {
            let by_id = |wishes: &mut Vec<(ExecutionId, _, _)>| wishes.sort_by_key(|(id, ..)| *id);
            let mut expected = answered(model.cancels(worker.id).await)?;
            self.reached
                .extend((!expected.is_empty()).then(|| "cancels".to_owned()));
            let mut found = answered(store.cancels(worker.id).await)?;
            by_id(&mut expected);
            by_id(&mut found);
            same("cancels", &expected, &found)?;
        }
        let left_out = vec![ids[self.rng.random_range(0..KEYS)]];
        let limit = self.rng.random_range(0..=50);
        for (but, limit) in [(Vec::new(), 100), (left_out, limit)] {
            let expected = answered(model.outbox(but.clone(), limit).await)?;
            self.reached
                .extend((!expected.is_empty()).then(|| "outbox".to_owned()));
            let found = answered(store.outbox(but, limit).await)?;
            same("outbox", &expected, &found)?;
        }
        Ok(())
    }
}
