//! Does each message of a step that was recorded leave the database, with the id that it got, in order for
//! each execution, and none of a step that was not?

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use keystep::execution::ExecutionId;
use keystep::store::Store;
use keystep::{Outgoing, Publisher, Retry, RunError, Schema, State, StepContext, StepError};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::town::{KEY, Town, book, note, recorded, soon};
use crate::faulty::{Call, Fault, Gate};
use crate::under_faults::Ground;

/// What was delivered, by all relays, in order.
#[derive(Clone, Default)]
struct Post(Arc<Mutex<Vec<Outgoing>>>);

impl Post {
    fn all(&self) -> Vec<Outgoing> {
        self.0.lock().expect("no panic under this lock").clone()
    }

    /// Waits until so many were delivered.
    async fn has(&self, count: usize) {
        let has = async {
            while self.all().len() < count {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        soon(has).await;
    }

    fn payloads(&self) -> Vec<String> {
        let all = self.all().into_iter();
        all.map(|message| String::from_utf8_lossy(&message.payload).into_owned())
            .collect()
    }
}

impl Publisher for Post {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.0.lock().expect("no panic under this lock").push(message);
        Ok(())
    }
}

/// Waits until no message is left in the database.
async fn emptied<G: Ground>(town: &Town<G>) {
    let empty = async {
        while !town
            .store
            .outbox(Vec::new(), 1)
            .await
            .expect("an answer")
            .is_empty()
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(empty).await;
}

/// Emits two messages in each of two steps.
fn emitting() -> Schema<u64, Vec<Uuid>> {
    Schema::new("test.relay")
        .step("one", |cx: StepContext, n: u64| async move {
            let ids = vec![cx.emit("orders", &(n * 10))?, cx.emit("orders", &(n * 10 + 1))?];
            Ok((n, ids))
        })
        .step(
            "two",
            |cx: StepContext, (n, mut ids): (u64, Vec<Uuid>)| async move {
                ids.push(cx.emit("orders", &(n * 10 + 2))?);
                ids.push(cx.emit("bills", &(n * 10 + 3))?);
                Ok(ids)
            },
        )
        .build()
}

pub async fn messages_are_delivered_in_order_with_the_ids_that_their_steps_got<G: Ground>(ground: G) {
    let (town, post, schema) = (Town::on(ground).await, Post::default(), emitting());
    let process = town.process(&schema).await;
    let ids = process.run(&schema, KEY, 1).await.expect("an output");
    let left = town.store.outbox(Vec::new(), 10).await.expect("an answer");
    assert_eq!(
        left.iter().map(|message| message.id).collect::<Vec<_>>(),
        ids,
        "nobody relays yet"
    );
    let _relay = process.relay(post.clone());
    post.has(4).await;
    emptied(&town).await;
    let delivered = post.all();
    assert_eq!(
        delivered.iter().map(|message| message.id).collect::<Vec<_>>(),
        ids
    );
    assert_eq!(post.payloads(), ["10", "11", "12", "13"]);
    let topics: Vec<_> = delivered.iter().map(|message| message.topic.as_str()).collect();
    assert_eq!(topics, ["orders", "orders", "orders", "bills"]);
}

/// The row that a step books, its message and its checkpoint are there together or not at all.
pub async fn an_attempt_that_fails_sends_nothing<G: Ground>(ground: G) {
    let (town, post) = (Town::on(ground).await, Post::default());
    let books = town.has_transactions();
    let schema: Schema<u64, u64> = Schema::new("test.relay")
        .step("emit", move |cx: StepContext, n: u64| async move {
            if books {
                book::<G>(&cx, "with a message").await?;
            }
            cx.emit("orders", &u64::from(cx.attempt()))?;
            if cx.attempt() == 1 {
                return Err(StepError::retry("once"));
            }
            Ok(n)
        })
        .retry(Retry::attempts(2).first_delay(Duration::from_millis(1)))
        .step("fail", |cx: StepContext, _n: u64| async move {
            cx.emit("orders", &0)?;
            Err::<u64, _>(StepError::terminal("for good"))
        })
        .build();
    let process = town.process(&schema).await;
    let _relay = process.relay(post.clone());
    let told = process.run(&schema, KEY, 1).await;
    assert!(matches!(told, Err(RunError::Failed(_))), "{told:?}");
    assert_eq!(recorded(&process.read(&schema).await), ["emit"]);
    post.has(1).await;
    emptied(&town).await;
    assert_eq!(post.payloads(), ["2"]);
    if books {
        assert_eq!(town.booked("with a message").await, 1);
    }
}

/// A part is not done again when its step is, and of an undo nothing is recorded but that it was done.
pub async fn where_a_message_could_be_lost_it_is_refused<G: Ground>(ground: G) {
    let (town, post) = (Town::on(ground).await, Post::default());
    let inside: Schema<u64, u64> = Schema::new("test.relay")
        .step("emit", |cx: StepContext, n: u64| async move {
            cx.step("part", || async {
                cx.emit("orders", &n)?;
                Ok(n)
            })
            .await
        })
        .build();
    let undone: Schema<u64, u64> = Schema::new("test.relay.undone")
        .step("done", |_cx: StepContext, n: u64| async move { Ok(n) })
        .undo(|cx: StepContext, n: u64| async move { cx.emit("orders", &n).map(|_id| ()) })
        .step("fail", |_cx: StepContext, _n: u64| async move {
            Err::<u64, _>(StepError::terminal("for good"))
        })
        .build();
    let process = town.process(&inside).await;
    let _relay = process.relay(post.clone());
    let told = process.run(&inside, KEY, 1).await;
    let code = |told: Result<u64, RunError>| match told {
        Err(RunError::Failed(failure)) => failure.code,
        Err(RunError::Parked { failure, .. }) => failure.and_then(|failure| failure.code),
        other => panic!("{other:?}"),
    };
    assert_eq!(code(told).as_deref(), Some("emit_in_part"));
    let other = town.process(&undone).await;
    let told = other.run(&undone, KEY, 1).await;
    assert_eq!(code(told).as_deref(), Some("no_durable_calls"));
    emptied(&town).await;
    assert!(post.payloads().is_empty());
}

/// The owner dies before its write reaches the store; the next one's message is the only one.
pub async fn what_dies_before_its_write_has_sent_nothing<G: Ground>(ground: G) {
    let (town, post) = (Town::on(ground).await, Post::default());
    let schema: Schema<u64, u64> = Schema::new("test.relay")
        .step("emit", |cx: StepContext, n: u64| async move {
            note(&cx, "emit")?;
            cx.emit("orders", &n)?;
            Ok(n)
        })
        .build();
    let here = town.process(&schema).await;
    let gate = here.holds_commit(1);
    drop(soon(here.run(&schema, KEY, 7).submit()).await.expect("it begins"));
    soon(gate.arrived(1)).await;
    town.kill(&here).await;
    let there = town.process(&schema).await;
    there.until_is(&schema, State::Succeeded).await;
    let _relay = there.relay(post.clone());
    post.has(1).await;
    emptied(&town).await;
    gate.open();
    assert_eq!(post.payloads(), ["7"]);
    town.notes.are(&["emit", "emit"]);
}

/// The process lives on: another one has to get its turn.
pub async fn a_relay_that_is_dropped_leaves_the_rest_to_another_process<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, emitting());
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    let (first, second) = (Post::default(), Post::default());
    let relay = here.relay(first.clone());
    here.run(&schema, "one", 1).await.expect("an output");
    first.has(4).await;
    let _other = there.relay(second.clone());
    drop(relay);
    here.run(&schema, "two", 2).await.expect("an output");
    second.has(4).await;
    emptied(&town).await;
    assert_eq!(second.payloads(), ["20", "21", "22", "23"]);
}

/// A claim that is granted after the step-down would keep every other process from delivering.
pub async fn a_relay_that_is_dropped_hears_whether_it_leads_before_it_steps_down<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, emitting());
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    let granted = Gate::closed();
    let held = Fault::HoldAfter(granted.clone());
    here.faults.script(&[Call::Lead], 1, held);
    let relay = here.relay(Post::default());
    soon(granted.arrived(1)).await;
    drop(relay);
    // Each of its writes is a chance for the step-down to come first.
    here.run(&schema, "one", 1).await.expect("an output");
    let stepped_down = || here.faults.calls().contains(&Call::StepDown);
    assert!(!stepped_down(), "it does not know yet whether it leads");
    granted.open();
    let second = Post::default();
    let _other = there.relay(second.clone());
    second.has(4).await;
    assert!(stepped_down());
}

pub async fn a_relay_that_is_dropped_deletes_what_it_has_delivered<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, emitting());
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    let deleting = Gate::closed();
    let held = Fault::HoldBefore(deleting.clone());
    here.faults.script(&[Call::Delivered], 1, held);
    here.run(&schema, "one", 1).await.expect("an output");
    let (first, second) = (Post::default(), Post::default());
    let relay = here.relay(first.clone());
    soon(deleting.arrived(1)).await;
    drop(relay);
    let _other = there.relay(second.clone());
    deleting.open();
    emptied(&town).await;
    assert_eq!(
        (first.all().len(), second.all().len()),
        (4, 0),
        "none is delivered twice"
    );
}

/// Does not take the messages of one execution until it is told so.
struct Picky {
    post: Post,
    refuses: ExecutionId,
    takes_all: Gate,
    refused: Gate,
}

impl Publisher for Picky {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn Error + Send + Sync>> {
        if message.execution == self.refuses && !self.takes_all.has_arrived() {
            self.refused.open();
            self.refused.pass().await;
            return Err("not now".into());
        }
        self.post.publish(message).await
    }
}

/// Panics at the first message that it is given.
struct Clumsy {
    post: Post,
    has_panicked: AtomicBool,
}

impl Publisher for Clumsy {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn Error + Send + Sync>> {
        let is_first = !self.has_panicked.swap(true, Ordering::SeqCst);
        assert!(!is_first, "by script");
        self.post.publish(message).await
    }
}

pub async fn a_publisher_that_panics_is_given_the_message_again<G: Ground>(ground: G) {
    let (town, schema, post) = (Town::on(ground).await, emitting(), Post::default());
    let process = town.process(&schema).await;
    process.run(&schema, KEY, 1).await.expect("an output");
    let publisher = Clumsy {
        post: post.clone(),
        has_panicked: AtomicBool::new(false),
    };
    let _relay = process.relay(publisher);
    emptied(&town).await;
    assert_eq!(post.payloads(), ["10", "11", "12", "13"]);
}

pub async fn a_message_that_is_not_taken_holds_up_only_its_own_execution<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, emitting());
    let process = town.process(&schema).await;
    for key in ["first", "second"] {
        process.run(&schema, key, 1).await.expect("an output");
    }
    let refuses = process
        .find(&schema, "first")
        .await
        .expect("an answer")
        .expect("it is there")
        .id;
    let (post, takes_all, refused) = (Post::default(), Gate::closed(), Gate::closed());
    let _relay = process.relay(Picky {
        post: post.clone(),
        refuses,
        takes_all: takes_all.clone(),
        refused: refused.clone(),
    });
    post.has(4).await;
    soon(refused.arrived(1)).await;
    assert!(post.all().iter().all(|message| message.execution != refuses));
    takes_all.open();
    takes_all.pass().await;
    town.clock.advance(Duration::from_secs(120));
    post.has(8).await;
    emptied(&town).await;
    assert_eq!(
        post.payloads()[4..],
        ["10", "11", "12", "13"],
        "in order, from the one that was refused"
    );
}

/// Takes so many messages, and is stuck in the next one.
struct Stuck {
    post: Post,
    takes: Semaphore,
}

impl Publisher for Stuck {
    async fn publish(&self, message: Outgoing) -> Result<(), Box<dyn Error + Send + Sync>> {
        self.takes.acquire().await?.forget();
        self.post.publish(message).await
    }
}

pub async fn a_message_is_kept_until_it_is_taken<G: Ground>(ground: G) {
    let (town, post, schema) = (Town::on(ground).await, Post::default(), emitting());
    let here = town.process(&schema).await;
    here.run(&schema, KEY, 1).await.expect("an output");
    let stuck = Stuck {
        post: post.clone(),
        takes: Semaphore::new(1),
    };
    let relaying = here.relay(stuck);
    post.has(1).await;
    town.kill(&here).await;
    drop(relaying);
    let kept = town.store.outbox(Vec::new(), 10).await.expect("an answer");
    assert!(kept.len() >= 3, "three were not taken, {} are kept", kept.len());
    let there = town.process(&schema).await;
    let _relay = there.relay(post.clone());
    emptied(&town).await;
    let mut payloads = post.payloads();
    payloads.dedup();
    assert_eq!(payloads, ["10", "11", "12", "13"]);
}

const EXECUTIONS: u64 = 250;
/// How many messages each relay takes before it is killed: in the middle of its first look at the
/// outbox, or of a later one.
const TAKEN: [usize; 10] = [30, 300, 77, 270, 12, 200, 5, 1, 150, 60];

pub async fn a_thousand_messages_survive_relays_that_are_killed_among_them<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, emitting());
    let writer = town.process(&schema).await;
    let calls = (0..EXECUTIONS).map(|n| writer.run(&schema, n.to_string(), n).into_future());
    let mut wanted = HashSet::new();
    for ids in join_all(calls).await {
        wanted.insert(ids.expect("an output"));
    }
    let post = Post::default();
    for taken in TAKEN {
        let before = post.all().len();
        let process = town.process(&schema).await;
        let relaying = process.relay(Stuck {
            post: post.clone(),
            takes: Semaphore::new(taken),
        });
        post.has(before + taken).await;
        town.kill(&process).await;
        drop(relaying);
    }
    let process = town.process(&schema).await;
    let _relay = process.relay(post.clone());
    emptied(&town).await;
    let mut first: HashMap<ExecutionId, Vec<Uuid>> = HashMap::new();
    for message in post.all() {
        let ids = first.entry(message.execution).or_default();
        if !ids.contains(&message.id) {
            ids.push(message.id);
        }
    }
    for ids in first.into_values() {
        assert!(
            wanted.remove(&ids),
            "each with its id, in the order in which they were emitted"
        );
    }
    assert_eq!(wanted.len(), 0, "all were delivered");
    assert!(post.all().len() > 1000, "some were delivered again");
}

pub async fn of_two_processes_one_relays_until_it_is_dead<G: Ground>(ground: G) {
    let (town, schema) = (Town::on(ground).await, emitting());
    let (here, there) = (town.process(&schema).await, town.process(&schema).await);
    let (by_here, by_there) = (Post::default(), Post::default());
    let _first = here.relay(by_here.clone());
    here.run(&schema, "1", 1).await.expect("an output");
    by_here.has(4).await;
    let _second = there.relay(by_there.clone());
    here.run(&schema, "2", 2).await.expect("an output");
    by_here.has(8).await;
    emptied(&town).await;
    assert_eq!(by_there.all(), [], "there is one at a time");
    town.kill(&here).await;
    there.run(&schema, "3", 3).await.expect("an output");
    by_there.has(4).await;
    emptied(&town).await;
    assert_eq!(by_there.payloads(), ["30", "31", "32", "33"]);
    assert_eq!(by_here.all().len(), 8);
}
