//! What do most cases need? A started execution, an owner's write, and a look at what is there.
//!
//! Everything is made through the trait, so that a case reads the same for every store. Helpers
//! panic with a sentence where a store answers what no case has asked for.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use keystep::execution::{
    ExecutionId, ExecutionRecord, Fence, FullKey, InputHash, Payload, PlanId, RunId, Seen, ShapeId, State,
    WaitReason, WorkerId, WriteId,
};
use keystep::store::{
    Acquire, Acquired, Begin, Begun, Commit, Fresh, How, NewCheckpoint, NewMessage, PlanRecord, Progress,
    Store, Then, Tries, Verdict,
};
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use uuid::Uuid;

pub(crate) const MINUTE: Duration = Duration::from_secs(60);
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// The schema's name of every key that does not say otherwise.
pub(crate) const SCHEMA: &str = "order.create";

pub(crate) fn key(text: &str) -> FullKey {
    FullKey {
        schema: SCHEMA.into(),
        scope: "user-7".into(),
        key: text.into(),
    }
}

pub(crate) fn payload(text: &str) -> Payload {
    Payload(Bytes::copy_from_slice(text.as_bytes()))
}

/// The shape of everything that does not say otherwise.
pub(crate) fn shape() -> ShapeId {
    numbered_shape(1)
}

pub(crate) fn numbered_shape(number: u8) -> ShapeId {
    ShapeId(Uuid::from_bytes([number; 16]))
}

pub(crate) fn numbered_plan(number: u8) -> PlanRecord {
    PlanRecord {
        id: PlanId(Uuid::from_bytes([0xA0 | number; 16])),
        shape: numbered_shape(number),
        schema: SCHEMA.into(),
        body: format!(r#"[{{"name":"step {number}"}}]"#),
    }
}

/// A begin with fresh ids, of the first plan.
pub(crate) fn begin_of(text: &str) -> Begin {
    begin_of_key(key(text))
}

pub(crate) fn begin_of_key(key: FullKey) -> Begin {
    Begin {
        id: ExecutionId::of(&key),
        input: payload(&format!("input of {}", key.key)),
        key: key.into(),
        run: RunId::fresh(),
        token: Uuid::new_v4(),
        owner: WorkerId::fresh(),
        plan: numbered_plan(1).id,
        shape: shape(),
        input_hash: InputHash([7; 32]),
        parent: None,
    }
}

/// Sends a begin, with its plan saved before as the contract asks.
pub(crate) async fn begin<S: Store>(store: &S, begin: &Begin) -> Begun {
    let number = begin.shape.0.as_bytes()[0];
    store
        .save_plan(numbered_plan(number))
        .await
        .expect("a plan is saved");
    store.begin(begin.clone()).await.expect("a begin is answered")
}

/// The fence of a begin that must start a new execution.
pub(crate) async fn start<S: Store>(store: &S, wanted: &Begin) -> Fence {
    match begin(store, wanted).await {
        Begun::Started(fence) => fence,
        Begun::Exists(record) => panic!("the key is new, but there is {record:?}"),
    }
}

/// A new execution of a key of this text.
pub(crate) async fn started<S: Store>(store: &S, text: &str) -> Fence {
    start(store, &begin_of(text)).await
}

/// The execution as it is now; it must exist.
pub(crate) async fn record<S: Store>(store: &S, id: ExecutionId) -> ExecutionRecord {
    find(store, id).await.expect("the execution exists")
}

pub(crate) async fn find<S: Store>(store: &S, id: ExecutionId) -> Option<ExecutionRecord> {
    let mut found = store.find(vec![id]).await.expect("a find is answered");
    assert!(found.len() <= 1, "one id has at most one execution");
    found.pop()
}

/// The progress of a run that is there.
pub(crate) async fn progress<S: Store>(store: &S, id: ExecutionId, run: RunId) -> Progress {
    store
        .load(id, run)
        .await
        .expect("a load is answered")
        .expect("the run is there")
}

/// An owner's write that can be sent more than once.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) fence: Fence,
    pub(crate) write_id: WriteId,
    pub(crate) worker: WorkerId,
    pub(crate) checkpoint: Option<NewCheckpoint>,
    pub(crate) then: Then,
    pub(crate) messages: Vec<NewMessage>,
}

/// A fresh write under this fence that changes nothing yet.
pub(crate) fn write(fence: Fence) -> Write {
    Write {
        fence,
        write_id: WriteId::fresh(),
        worker: WorkerId(77),
        checkpoint: None,
        then: Then::Continue,
        messages: Vec::new(),
    }
}

impl Write {
    /// Records the result of the step at this position, which gives it its name.
    pub(crate) fn step(self, seq: i32, output: &str) -> Self {
        self.named_step(&step_name(seq), seq, payload(output))
    }

    pub(crate) fn named_step(mut self, step: &str, seq: i32, output: Payload) -> Self {
        self.checkpoint = Some(NewCheckpoint {
            step: step.into(),
            seq,
            attempt: 1,
            lost: 0,
            output,
        });
        self
    }

    pub(crate) fn then(mut self, then: Then) -> Self {
        self.then = then;
        self
    }

    /// Emits a message with this text.
    pub(crate) fn message(mut self, text: &str) -> Self {
        self.messages.push(NewMessage {
            id: Uuid::new_v4(),
            topic: "orders".into(),
            payload: payload(text),
        });
        self
    }

    pub(crate) fn commit(&self) -> Commit {
        Commit {
            fence: self.fence,
            write_id: self.write_id,
            worker: self.worker,
            checkpoint: self.checkpoint.clone(),
            then: self.then.clone(),
            enlisted: None,
            messages: self.messages.clone(),
        }
    }

    pub(crate) async fn send<S: Store>(&self, store: &S) -> Verdict {
        store
            .commit(self.commit())
            .await
            .expect("a commit gets a verdict")
    }

    /// Sends the write, which must be written.
    pub(crate) async fn written<S: Store>(&self, store: &S) {
        assert_eq!(self.send(store).await, Verdict::Written, "{self:?}");
    }
}

/// The name of the step at this position.
pub(crate) fn step_name(seq: i32) -> Arc<str> {
    format!("step_{seq}").into()
}

/// Succeeds with the result of the step at this position.
pub(crate) fn succeed(seq: i32) -> Then {
    Then::Succeed {
        output_step: step_name(seq),
        retention: Some(DAY),
    }
}

pub(crate) fn fail() -> Then {
    Then::Fail {
        failure: payload("no such card"),
        tries: Tries { seq: 1, count: 3 },
        retention: Some(DAY),
        yields: false,
    }
}

pub(crate) fn wait(delay: Duration) -> Then {
    Then::Wait {
        delay: Some(delay),
        reason: WaitReason::Retry,
        failure: Some(payload("try again")),
        tries: Tries { seq: 1, count: 2 },
        signals: None,
        wish: None,
    }
}

pub(crate) fn undone() -> Then {
    Then::Undone {
        failure: payload("no such card"),
        retention: Some(DAY),
    }
}

pub(crate) fn cancelled() -> Then {
    Then::Cancel { retention: Some(DAY) }
}

pub(crate) fn park(reason: keystep::execution::ParkReason) -> Then {
    Then::Park {
        reason,
        failure: Some(payload("a person must look")),
        wish: None,
    }
}

/// One of each way to end an ownership, for a run that has recorded step 0.
pub(crate) fn every_end() -> Vec<Then> {
    vec![
        succeed(0),
        fail(),
        wait(HOUR),
        park(keystep::execution::ParkReason::Unreadable),
        undone(),
        cancelled(),
        Then::Release,
    ]
}

/// A new execution of this key that has recorded step 0 and then ended so.
pub(crate) async fn ended<S: Store>(store: &S, text: &str, then: Then) -> Fence {
    let fence = started(store, text).await;
    write(fence).step(0, "first").then(then).written(store).await;
    fence
}

/// A wish to own what was seen, by a fresh worker with a fresh token.
pub(crate) fn acquire_of(seen: Seen, how: How) -> Acquire {
    Acquire {
        seen,
        owner: WorkerId::fresh(),
        token: Uuid::new_v4(),
        how,
    }
}

pub(crate) fn restart() -> How {
    How::Restart(Box::new(Fresh {
        run: RunId::fresh(),
        plan: numbered_plan(1).id,
        shape: shape(),
        input: payload("new input"),
        input_hash: InputHash([8; 32]),
        parent: None,
    }))
}

/// One of each kind of acquisition.
pub(crate) fn every_how() -> Vec<How> {
    vec![
        How::Resume { keep_tries: true },
        How::Resume { keep_tries: false },
        How::TakeOver,
        restart(),
    ]
}

/// Sends an acquisition, which must win.
pub(crate) async fn win<S: Store>(store: &S, acquire: &Acquire) -> (ExecutionRecord, Fence) {
    match store.acquire(acquire.clone()).await {
        Ok(Acquired::Won { record, fence }) => (*record, fence),
        other => panic!("nobody else wants it, but the answer is {other:?}"),
    }
}

/// Makes a fresh worker the owner of an execution, whatever its state.
pub(crate) async fn take<S: Store>(store: &S, id: ExecutionId, how: How) -> (ExecutionRecord, Fence) {
    let seen = record(store, id).await.seen();
    win(store, &acquire_of(seen, how)).await
}

/// Asserts that two looks at one execution show the same; time to a wake-up may have passed.
pub(crate) fn assert_unchanged(before: &ExecutionRecord, after: &ExecutionRecord, why: &str) {
    assert_near(before.wake_in, after.wake_in, why);
    assert_near(before.expires_in, after.expires_in, why);
    let mut after = after.clone();
    after.wake_in = before.wake_in;
    after.expires_in = before.expires_in;
    after.age = before.age;
    assert_eq!(*before, after, "{why}");
}

/// Asserts that two remaining times differ by no more than what passes during a case.
pub(crate) fn assert_near(left: Option<Duration>, right: Option<Duration>, why: &str) {
    let near = match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => left.abs_diff(right) < MINUTE,
        _ => false,
    };
    assert!(near, "{why}: {left:?} against {right:?}");
}

/// Runs `count` tasks that start together and returns their answers in any order.
pub(crate) async fn all_at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let mut tasks = JoinSet::new();
    for number in 0..count {
        let barrier = Arc::clone(&barrier);
        let task = task(number);
        tasks.spawn(async move {
            barrier.wait().await;
            task.await
        });
    }
    tasks.join_all().await
}

/// Looks until something holds, at most ten seconds; for what a store notices by itself.
pub(crate) async fn eventually<F>(what: &str, holds: impl Fn() -> F)
where
    F: Future<Output = bool>,
{
    let looked = tokio::time::timeout(Duration::from_secs(10), async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(looked.await.is_ok(), "within ten seconds: {what}");
}

/// Every state an execution can be brought to, each under a key of its own, as seen.
pub(crate) async fn one_in_each_state<S: Store>(store: &S) -> Vec<(State, Fence)> {
    let mut all = vec![(State::Running, started(store, "running").await)];
    for (number, then) in every_end().into_iter().enumerate() {
        let state = then.state();
        let fence = ended(store, &format!("ended {number}"), then).await;
        all.push((state, fence));
    }
    all
}
