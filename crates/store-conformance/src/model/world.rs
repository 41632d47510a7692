//! The two stores side by side, with everything that was ever granted, sent or seen.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use keystep::clock::Clock;
use keystep::execution::{ExecutionId, Fence, FullKey, InputHash, RunId, Seen, State, WorkerId, WriteId};
use keystep::memory::MemoryStore;
use keystep::store::{
    Acquire, Acquired, Beat, Begin, Begun, Confirm, Fresh, How, NewSignal, Register, Store, StoreError, Then,
    Verdict,
};
use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::compare::{self, Difference, same};
use super::operation::{KEYS, Kind, Operation, Past, SHAPES, WORKERS};
use crate::Harness;
use crate::fixture::{
    Write, acquire_of, begin_of_key, key, numbered_plan, numbered_shape, payload, step_name, write,
};

pub(super) struct World<S> {
    pub(super) model: [MemoryStore; 2],
    pub(super) store: [Arc<S>; 2],
    clock: Clock,
    pub(super) rng: StdRng,
    keys: Vec<FullKey>,
    pub(super) workers: Vec<Worker>,
    begins: Vec<Begin>,
    acquires: Vec<Acquire>,
    claims: Vec<Granted>,
    writes: Vec<Sent>,
    pub(super) signals: Vec<NewSignal>,
    /// Rows as they were seen, the latest last.
    seen: HashMap<ExecutionId, Vec<Seen>>,
    pub(super) turn: usize,
    /// Which answers there were: a generator that never gets to some of them is blind there.
    pub(super) reached: BTreeSet<String>,
}

pub(super) struct Worker {
    pub(super) id: WorkerId,
    /// Through which handle it was registered; `None` before that.
    handle: Option<usize>,
    /// What each store showed before the last beat.
    old_beats: Option<(i64, i64)>,
}

/// The same claim as each store granted it: they number their incarnations differently.
#[derive(Clone, Copy)]
pub(super) struct Granted {
    pub(super) model: Fence,
    pub(super) store: Fence,
}

struct Sent {
    write: Write,
    granted: Granted,
    written: bool,
}

pub(super) type Outcome = Result<(), Difference>;

/// An error is a difference, because the memory store never answers one.
pub(super) fn answered<T>(answer: Result<T, StoreError>) -> Result<T, Difference> {
    answer.map_err(|error| format!("the store answers an error: {error}"))
}

impl<S: Store> World<S> {
    pub(super) fn new(harness: &Harness<S>, model: &MemoryStore, rng: StdRng) -> Self {
        Self {
            model: [model.clone(), model.another_handle()],
            store: [Arc::clone(&harness.here), Arc::clone(&harness.there)],
            clock: harness.clock.clone(),
            rng,
            keys: (0..KEYS).map(|number| key(&format!("k{number}"))).collect(),
            workers: (0..WORKERS).map(|_| Worker::fresh()).collect(),
            begins: Vec::new(),
            acquires: Vec::new(),
            claims: Vec::new(),
            writes: Vec::new(),
            signals: Vec::new(),
            seen: HashMap::new(),
            turn: 0,
            reached: BTreeSet::new(),
        }
    }

    pub(super) async fn prepare(&self) {
        for number in 1..=SHAPES {
            let saved = self.store[0].save_plan(numbered_plan(number)).await;
            saved.expect("a plan is saved");
        }
    }

    pub(super) fn choose(&mut self) -> Operation {
        let past = Past {
            begins: self.begins.len(),
            acquires: self.acquires.len(),
            claims: self.claims.len(),
            writes: self.writes.len(),
            signals: self.signals.len(),
        };
        Operation::choose(&mut self.rng, past)
    }

    pub(super) async fn apply(&mut self, operation: Operation) -> Outcome {
        match operation {
            Operation::Begin {
                key,
                worker,
                shape,
                parent,
                there,
            } => {
                let begin = Begin {
                    parent: parent.map(|key| self.id_of(key)),
                    owner: self.workers[worker].id,
                    plan: numbered_plan(shape).id,
                    shape: numbered_shape(shape),
                    ..begin_of_key(self.keys[key].clone())
                };
                self.begins.push(begin.clone());
                self.begin(begin, there).await
            }
            Operation::BeginAgain { begin, there } => {
                let begin = self.begins[begin].clone();
                if self.has_ended_under(begin.id, begin.token).await {
                    return Ok(());
                }
                self.begin(begin, there).await
            }
            Operation::Acquire {
                key,
                worker,
                how,
                outdated,
                there,
            } => {
                let Some(seen) = self.seen_row(key, outdated) else {
                    return Ok(());
                };
                let owner = self.workers[worker].id;
                let acquire = Acquire {
                    owner,
                    ..acquire_of(seen, how.into())
                };
                self.acquires.push(acquire.clone());
                self.acquire(acquire, there).await
            }
            Operation::AcquireAgain { acquire, there } => {
                let acquire = self.acquires[acquire].clone();
                if self.has_ended_under(acquire.seen.id, acquire.token).await {
                    return Ok(());
                }
                self.acquire(acquire, there).await
            }
            Operation::Commit {
                claim,
                step,
                then,
                messages,
                there,
            } => {
                let sent = self.new_write(claim, step, messages);
                self.commit(claim, sent, then, there).await
            }
            Operation::CommitAgain { write, there } => self.commit_again(write, there).await,
            Operation::Confirm { write, sent, there } => self.confirm(write, sent, there).await,
            Operation::Register { worker, there } => self.register(worker, there).await,
            Operation::Beat { worker } => self.beat(worker).await,
            Operation::Bury { worker, outdated } => self.bury(worker, outdated).await,
            Operation::Retire { worker } => {
                let id = self.workers[worker].id;
                answered(self.model[0].retire(id).await)?;
                answered(self.store[0].retire(id).await)
            }
            Operation::Progress { claim, step, there } => self.put_down(claim, step, there).await,
            Operation::Signal {
                key,
                name,
                once,
                outdated,
                there,
            } => match self.seen_row(key, outdated) {
                Some(seen) => self.signal(seen, name, once, there).await,
                None => Ok(()),
            },
            Operation::SignalAgain { signal, there } => self.signal_again(signal, there).await,
            Operation::Wish {
                key,
                wish,
                outdated,
                there,
            } => match self.seen_row(key, outdated) {
                Some(seen) => self.wish(seen, wish, there).await,
                None => Ok(()),
            },
            Operation::Lead { worker, there } => self.lead(worker, there).await,
            Operation::Deliver { count } => self.deliver(count).await,
            Operation::Purge { remember } => self.purge(remember).await,
            Operation::Advance { minutes } => {
                self.clock.advance(Duration::from_secs(60) * minutes);
                Ok(())
            }
        }
    }

    pub(super) fn reach(&mut self, answer: String) {
        self.reached.insert(answer);
    }

    /// Whether the row was brought to its end under this token: what a resend answers then is left
    /// open by the contract, because no owner sends a begin again after it has written.
    async fn has_ended_under(&self, id: ExecutionId, token: Uuid) -> bool {
        let found = self.model[0].find(vec![id]).await.unwrap_or_default();
        found
            .iter()
            .any(|row| row.claim.token == token && row.state != State::Running)
    }

    pub(super) fn id_of(&self, key: usize) -> ExecutionId {
        ExecutionId::of(&self.keys[key])
    }

    fn seen_row(&mut self, key: usize, outdated: bool) -> Option<Seen> {
        let rows = self.seen.get(&ExecutionId::of(&self.keys[key]))?;
        if outdated {
            return Some(rows[self.rng.random_range(0..rows.len())]);
        }
        rows.last().copied()
    }

    async fn begin(&mut self, begin: Begin, there: bool) -> Outcome {
        let at = usize::from(there);
        let expected = answered(self.model[at].begin(begin.clone()).await)?;
        let found = answered(self.store[at].begin(begin).await)?;
        compare::same_begun(&expected, &found)?;
        self.reach(match &expected {
            Begun::Started(_) => "Started".into(),
            Begun::Exists(found) => format!("Exists {}", found.state.as_str()),
        });
        if let (Begun::Started(model), Begun::Started(store)) = (expected, found) {
            self.claims.push(Granted { model, store });
        }
        Ok(())
    }

    async fn acquire(&mut self, acquire: Acquire, there: bool) -> Outcome {
        let at = usize::from(there);
        let how = match &acquire.how {
            How::Resume { keep_tries } => format!("Resume {keep_tries}"),
            How::TakeOver => "TakeOver".into(),
            How::Restart(_) => "Restart".into(),
        };
        let expected = answered(self.model[at].acquire(acquire.clone()).await)?;
        let found = answered(self.store[at].acquire(acquire).await)?;
        compare::same_acquired(&expected, &found)?;
        let won = expected != Acquired::Lost;
        self.reach(format!("{how} {}", if won { "Won" } else { "Lost" }));
        if let (Acquired::Won { fence: model, .. }, Acquired::Won { fence: store, .. }) = (expected, found) {
            self.claims.push(Granted { model, store });
        }
        Ok(())
    }

    fn new_write(&self, claim: usize, step: Option<i32>, messages: usize) -> Write {
        let mut sent = write(self.granted(claim).model);
        if let Some(seq) = step {
            sent = sent.step(seq, &format!("output {}", self.turn));
        }
        for number in 0..messages {
            sent = sent.message(&format!("message {number} of {}", self.turn));
        }
        sent.worker = self.workers[self.turn % WORKERS].id;
        sent
    }

    /// One of the claims so far, counted from the latest.
    pub(super) fn granted(&self, claim: usize) -> Granted {
        self.claims[self.claims.len() - 1 - claim]
    }

    async fn commit(&mut self, claim: usize, mut sent: Write, then: Then, there: bool) -> Outcome {
        let granted = self.granted(claim);
        sent.then = self.with_an_output(&sent, then).await?;
        if sent.checkpoint.is_none() && sent.then == Then::Continue {
            // It leaves nothing by which a second send could be known.
            sent.messages.clear();
        }
        let verdict = self.send(&sent, granted, there).await?;
        self.reach(match verdict.0 {
            Verdict::Written => format!("Written {}", sent.then.state().as_str()),
            Verdict::Exists(_) => "commit Exists".into(),
            Verdict::Fenced => "Fenced".into(),
            Verdict::Wished => "Wished".into(),
        });
        self.writes.push(Sent {
            write: sent,
            granted,
            written: verdict.0 == Verdict::Written,
        });
        same("commit", &verdict.0, &verdict.1)
    }

    /// A success needs the output of a step that is recorded, be it by this very write.
    async fn with_an_output(&self, sent: &Write, then: Then) -> Result<Then, Difference> {
        let fence = sent.fence;
        let Then::Succeed { retention, .. } = then else {
            return Ok(then);
        };
        let progress = answered(self.model[0].load(fence.execution, fence.run).await)?;
        let recorded = progress.and_then(|progress| Some(progress.checkpoints.first()?.step.as_str().into()));
        let step = sent.checkpoint.as_ref().map(|new| new.step.clone());
        let output = step.or(recorded);
        Ok(output.map_or(Then::Continue, |output_step| Then::Succeed {
            output_step,
            retention,
        }))
    }

    async fn send(
        &self,
        sent: &Write,
        granted: Granted,
        there: bool,
    ) -> Result<(Verdict, Verdict), Difference> {
        let at = usize::from(there);
        let mut inside = sent.commit();
        inside.fence = granted.store;
        let expected = answered(self.model[at].commit(sent.commit()).await)?;
        let found = answered(self.store[at].commit(inside).await)?;
        Ok((expected, found))
    }

    async fn commit_again(&mut self, write: usize, there: bool) -> Outcome {
        let place = self.writes.len() - 1 - write;
        let (expected, found) = {
            let sent = &self.writes[place];
            self.send(&sent.write, sent.granted, there).await?
        };
        self.reach(
            format!("again {expected:?}")
                .split('(')
                .next()
                .unwrap_or_default()
                .to_owned(),
        );
        // After the next acquisition both are true: it was written, and its owner owns nothing.
        if self.writes[place].written && expected == Verdict::Fenced && found == Verdict::Written {
            return Ok(());
        }
        self.writes[place].written |= expected == Verdict::Written;
        same("commit again", &expected, &found)
    }

    async fn confirm(&mut self, write: usize, really_sent: bool, there: bool) -> Outcome {
        let sent = &self.writes[self.writes.len() - 1 - write];
        let step = sent.write.checkpoint.as_ref();
        let question = Confirm {
            fence: sent.granted.model,
            step: step.map_or_else(|| step_name(0), |new| new.step.clone()),
            write_id: match (step, really_sent) {
                (Some(_), true) => sent.write.write_id,
                _ => WriteId::fresh(),
            },
        };
        let inside = Confirm {
            fence: sent.granted.store,
            ..question.clone()
        };
        let at = usize::from(there);
        let expected = answered(self.model[at].confirm(question).await)?;
        let found = answered(self.store[at].confirm(inside).await)?;
        self.reach(format!("confirm {expected:?}"));
        same("confirm", &expected, &found)
    }

    async fn register(&mut self, worker: usize, there: bool) -> Outcome {
        let at = usize::from(there);
        // A worker that was registered once is not registered again: a new process has a new id.
        if self.workers[worker].handle.is_some() {
            self.workers[worker] = Worker::fresh();
        }
        let register = Register {
            worker: self.workers[worker].id,
            name: "a worker".into(),
            shapes: vec![numbered_shape(1)],
        };
        self.workers[worker].handle = Some(at);
        answered(self.model[at].register(register.clone()).await)?;
        answered(self.store[at].register(register).await)
    }

    async fn beat(&mut self, worker: usize) -> Outcome {
        let beats = self.beats(worker).await?;
        let worker = &mut self.workers[worker];
        worker.old_beats = beats.or(worker.old_beats);
        // A process beats through the handle that it registered with.
        let at = worker.handle.unwrap_or(0);
        let expected = answered(self.model[at].beat(worker.id).await)?;
        let found = answered(self.store[at].beat(worker.id).await)?;
        self.reach(format!("beat {expected:?}"));
        same::<Beat>("beat", &expected, &found)
    }

    /// What the stores show as the worker's beat; `None` when it is not alive.
    async fn beats(&self, worker: usize) -> Result<Option<(i64, i64)>, Difference> {
        let (nobody, id) = (WorkerId(0), self.workers[worker].id);
        let model = answered(self.model[0].observe(nobody).await)?.others;
        let store = answered(self.store[0].observe(nobody).await)?.others;
        let model = model.iter().find(|other| other.worker == id);
        let store = store.iter().find(|other| other.worker == id);
        Ok(model.zip(store).map(|(model, store)| (model.beat, store.beat)))
    }

    async fn bury(&mut self, worker: usize, outdated: bool) -> Outcome {
        let beats = match outdated {
            true => self.workers[worker].old_beats,
            false => self.beats(worker).await?,
        };
        let ((model, store), id) = (beats.unwrap_or((0, 0)), self.workers[worker].id);
        if beats.is_none() && self.workers[worker].handle.is_none() {
            return Ok(());
        }
        let expected = answered(self.model[0].bury(id, model).await)?;
        let found = answered(self.store[0].bury(id, store).await)?;
        self.reach(format!("bury {expected}"));
        same("bury", &expected, &found)
    }

    /// Compares all that can be seen, through one handle after the other.
    pub(super) async fn look(&mut self) -> Outcome {
        self.turn += 1;
        let at = self.turn % 2;
        let ids: Vec<ExecutionId> = self.keys.iter().map(ExecutionId::of).collect();
        let mut expected = answered(self.model[at].find(ids.clone()).await)?;
        let mut found = answered(self.store[at].find(ids).await)?;
        expected.sort_by_key(|record| record.id);
        found.sort_by_key(|record| record.id);
        compare::same_records("find", &expected, &found)?;
        for record in &expected {
            let expected = answered(self.model[at].load(record.id, record.run).await)?;
            let found = answered(self.store[at].load(record.id, record.run).await)?;
            compare::same_progress(expected, found)?;
            let rows = self.seen.entry(record.id).or_default();
            if rows.last() != Some(&record.seen()) {
                rows.push(record.seen());
            }
        }
        if self.turn.is_multiple_of(8) {
            self.look_around(at).await?;
        }
        Ok(())
    }

    async fn look_around(&mut self, at: usize) -> Outcome {
        use keystep::store::{ListQuery, Shapes, Wanted};
        let (model, store) = (&self.model[at], &self.store[at]);
        let reached = &mut self.reached;
        let query = ListQuery {
            limit: self.rng.random_range(0..=5),
            ..ListQuery::default()
        };
        let expected = answered(model.list(query.clone()).await)?;
        compare::same_records("list", &expected, &answered(store.list(query).await)?)?;
        let shapes = vec![numbered_shape(self.rng.random_range(1..=SHAPES))];
        for shapes in [Shapes::Only(shapes.clone()), Shapes::Except(shapes)] {
            let wanted = Wanted { shapes, limit: 100 };
            let expected = answered(model.due(wanted.clone()).await)?;
            reached.extend((!expected.is_empty()).then(|| "due".to_owned()));
            compare::same_set("due", &expected, &answered(store.due(wanted.clone()).await)?)?;
            let expected = answered(model.orphans(wanted.clone()).await)?;
            reached.extend((!expected.is_empty()).then(|| "orphans".to_owned()));
            compare::same_set("orphans", &expected, &answered(store.orphans(wanted).await)?)?;
        }
        self.look_beside(at).await?;
        let (model, store) = (&self.model[at], &self.store[at]);
        for worker in &self.workers {
            let expected = answered(model.owned(worker.id).await)?;
            compare::same_set("owned", &expected, &answered(store.owned(worker.id).await)?)?;
        }
        let observer = self.workers[0].id;
        let expected = answered(model.observe(observer).await)?;
        compare::same_workers(&expected, &answered(store.observe(observer).await)?)
    }
}

impl Worker {
    fn fresh() -> Self {
        Self {
            id: WorkerId::fresh(),
            handle: None,
            old_beats: None,
        }
    }
}

impl From<Kind> for How {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Resume => Self::Resume { keep_tries: true },
            Kind::ResumeAnew => Self::Resume { keep_tries: false },
            Kind::TakeOver => Self::TakeOver,
            Kind::Restart { shape } => Self::Restart(Box::new(Fresh {
                run: RunId::fresh(),
                plan: numbered_plan(shape).id,
                shape: numbered_shape(shape),
                input: payload("the input of a new generation"),
                input_hash: InputHash([shape; 32]),
                parent: None,
            })),
        }
    }
}
