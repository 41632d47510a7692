//! A route that runs a schema: the order of its steps, the answers to its failures, and the policies
//! about them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use keystep::testing::faulty::{Faults, Gate};
use keystep::{Retry, Schema, StepContext, StepError, StepResult};
use keystep_http::{Arrived, FrontDoor, How, Kind, Look, OnError, Operation, Problem, Waiters};
use serde::{Deserialize, Serialize};

use crate::stage::{Answer, Place, all_wait, request, within};

static OUT_OF_STOCK: Kind = Kind {
    slug: "out-of-stock",
    status: StatusCode::CONFLICT,
    title: "A product is out of stock",
    retryable: false,
    same_key: false,
    next: "Show it.",
};

static ORDERS_CHANGED: Kind = Kind {
    slug: "orders-changed",
    status: StatusCode::CONFLICT,
    title: "The orders were changed in parallel",
    retryable: false,
    same_key: true,
    next: "Load the list again.",
};

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Order {
    sku: String,
}

type Door = FrontDoor<Order, String>;

/// A shop whose second step does what the test says, and whose check can be made to fail.
#[derive(Clone, Default)]
struct Shop {
    reserved: Arc<AtomicU32>,
    paid: Arc<AtomicU32>,
    undone: Arc<AtomicU32>,
    failures: Arc<Mutex<VecDeque<StepError>>>,
    is_closed: Arc<AtomicBool>,
}

impl Shop {
    fn fails(&self, error: StepError) {
        self.failures.lock().expect("no panic").push_back(error);
    }

    fn counts(&self) -> [u32; 3] {
        [&self.reserved, &self.paid, &self.undone].map(|count| count.load(Ordering::SeqCst))
    }

    fn schema(&self) -> Schema<Order, String> {
        let (one, two, three) = (self.clone(), self.clone(), self.clone());
        Schema::new("order.create")
            .step("reserve", move |_cx: StepContext, order: Order| {
                one.reserved.fetch_add(1, Ordering::SeqCst);
                async move { StepResult::Ok(order.sku) }
            })
            .undo(move |_cx, _sku: String| {
                two.undone.fetch_add(1, Ordering::SeqCst);
                async { Ok(()) }
            })
            .step("pay", move |_cx, sku: String| {
                three.paid.fetch_add(1, Ordering::SeqCst);
                let failure = three.failures.lock().expect("no panic").pop_front();
                async move {
                    match failure {
                        Some(failure) => Err(failure),
                        None => Ok(format!("order of {sku}")),
                    }
                }
            })
            .retry(Retry::none())
            .build()
    }

    async fn door(&self, place: &Place, operation: Operation) -> Door {
        let schema = self.schema();
        let engine = place
            .engine(&Faults::default(), |builder| builder.schema(schema.clone()))
            .await;
        FrontDoor::new(engine, schema, operation.kinds([&OUT_OF_STOCK, &ORDERS_CHANGED]))
    }

    /// The route: reads, looks up, checks, runs.
    async fn post(&self, door: &Door, request: Request<Body>) -> Answer {
        let arrived = match door.read(request).await {
            Ok(arrived) => arrived,
            Err(problem) => return answer(problem.into_response()).await,
        };
        let response = match self.order(door, &arrived).await {
            Ok(response) => response,
            Err(problem) => arrived.refuse(problem),
        };
        answer(response).await
    }

    async fn order(&self, door: &Door, arrived: &Arrived) -> Result<Response<Body>, Problem> {
        let key = arrived.key_or(None)?;
        let free = match door.look_up(arrived, "ann", &key).await? {
            Look::Known(known) => return Ok(known.respond(created)),
            Look::Free(free) => free,
        };
        let order = self.check(arrived)?;
        Ok(free.run(order).await?.respond(created))
    }

    fn check(&self, arrived: &Arrived) -> Result<Order, Problem> {
        let order = arrived.json()?;
        if self.is_closed.load(Ordering::SeqCst) {
            return Err(Problem::new(&OUT_OF_STOCK, "The cart is closed."));
        }
        Ok(order)
    }
}

fn created(order: String) -> Response<Body> {
    let created = Response::builder().status(StatusCode::CREATED);
    created.body(Body::from(order)).expect("a response")
}

async fn answer(response: Response<Body>) -> Answer {
    let (parts, body) = response.into_parts();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: axum::body::to_bytes(body, usize::MAX).await.expect("a body"),
    }
}

fn orders() -> Operation {
    Operation::post("order.create", "/orders").status_url(|id| format!("/operations/{id}"))
}

const TEA: &str = r#"{"sku":"tea"}"#;

#[tokio::test]
async fn a_repeat_is_answered_before_anything_is_checked() {
    for place in Place::both() {
        let shop = Shop::default();
        let door = shop.door(&place, orders()).await;
        let first = shop.post(&door, request("k", TEA)).await;
        assert_eq!((first.status, first.is_replay()), (201, false));
        assert_eq!(first.header("idempotency-key"), Some("\"k\""));
        shop.is_closed.store(true, Ordering::SeqCst);
        let again = shop.post(&door, request("k", TEA)).await;
        assert_eq!(
            (again.status, &again.body, again.is_replay()),
            (201, &first.body, true)
        );
        assert_eq!(
            shop.post(&door, request("k2", TEA)).await.problem(),
            "out-of-stock"
        );
        assert_eq!(shop.counts(), [1, 1, 0]);
    }
}

#[tokio::test]
async fn a_refusal_before_the_claim_leaves_the_key_free_and_echoes_it() {
    let shop = Shop::default();
    let door = shop.door(&Place::memory(), orders()).await;
    let invalid = shop.post(&door, request("k", r#"{"sku":7}"#)).await;
    assert_eq!(
        (invalid.status, invalid.problem().as_str()),
        (422, "validation-failed")
    );
    assert_eq!(invalid.header("idempotency-key"), Some("\"k\""));
    assert_eq!(invalid.json()["errors"].as_array().expect("a list").len(), 1);
    shop.is_closed.store(true, Ordering::SeqCst);
    assert_eq!(shop.post(&door, request("k", TEA)).await.status, 409);
    shop.is_closed.store(false, Ordering::SeqCst);
    assert_eq!(shop.post(&door, request("k", TEA)).await.status, 201);
    assert_eq!(shop.counts(), [1, 1, 0]);
}

#[tokio::test]
async fn a_final_failure_is_the_same_to_the_byte_for_every_repeat() {
    for place in Place::both() {
        let shop = Shop::default();
        let door = shop.door(&place, orders()).await;
        shop.fails(StepError::terminal("one samovar is left").code("out-of-stock"));
        let first = shop.post(&door, request("k", TEA)).await;
        assert_eq!((first.status, first.problem().as_str()), (409, "out-of-stock"));
        assert_eq!(first.json()["detail"], "One samovar is left.");
        assert!(!first.is_replay());
        let again = shop.post(&door, request("k", TEA)).await;
        assert_eq!(
            (again.status, &again.body, again.is_replay()),
            (409, &first.body, true)
        );
        assert_eq!(shop.counts(), [1, 1, 1], "done once, and undone");
    }
}

#[tokio::test]
async fn a_failure_that_leaves_the_key_usable_is_followed_by_a_new_beginning() {
    for place in Place::both() {
        let shop = Shop::default();
        let door = shop.door(&place, orders()).await;
        shop.fails(StepError::terminal("version 5 is current").code("orders-changed"));
        let first = shop.post(&door, request("k", TEA)).await;
        assert_eq!((first.status, first.problem().as_str()), (409, "orders-changed"));
        let again = shop.post(&door, request("k", TEA)).await;
        assert_eq!((again.status, again.is_replay()), (201, false));
        assert_eq!(shop.counts(), [2, 2, 1]);
    }
}

#[tokio::test]
async fn what_did_not_answer_is_gone_on_with_by_the_next_equal_request() {
    for place in Place::both() {
        let shop = Shop::default();
        let door = shop.door(&place, orders()).await;
        shop.fails(StepError::retry("connection refused by 10.0.0.7"));
        let first = shop.post(&door, request("k", TEA)).await;
        assert_eq!(
            (first.status, first.problem().as_str()),
            (503, "upstream-unavailable")
        );
        assert_eq!(
            (first.header("retry-after"), first.json()["retryable"].as_bool()),
            (Some("1"), Some(true))
        );
        assert!(
            !String::from_utf8_lossy(&first.body).contains("10.0.0.7"),
            "that is for the log"
        );
        let again = shop.post(&door, request("k", TEA)).await;
        assert_eq!((again.status, again.is_replay()), (201, false));
        assert_eq!(shop.counts(), [1, 2, 0]);
    }
}

#[tokio::test]
async fn who_waited_for_what_did_not_answer_gets_no_replay() {
    let shop = Shop::default();
    let gate = Gate::closed();
    let behind = gate.clone();
    let schema = Schema::new("order.create")
        .step("pay", move |_cx: StepContext, _order: Order| {
            let gate = behind.clone();
            async move {
                gate.pass().await;
                Err::<String, _>(StepError::retry("away"))
            }
        })
        .retry(Retry::none())
        .build();
    let engine = Place::memory()
        .engine(&Faults::default(), |builder| builder.schema(schema.clone()))
        .await;
    let waiters = Waiters::new(8, 8);
    let door = FrontDoor::new(engine, schema, orders().waiters(waiters.clone()));
    let (first, second, ()) = within(async {
        tokio::join!(
            shop.post(&door, request("k", TEA)),
            shop.post(&door, request("k", TEA)),
            async {
                all_wait(&waiters, 1).await;
                gate.open();
            }
        )
    })
    .await;
    assert_eq!((first.status, second.status), (503, 503));
    assert!(!first.is_replay() && !second.is_replay());
}

#[tokio::test]
async fn what_is_put_down_for_later_says_when_to_come_back() {
    let shop = Shop::default();
    let schema = Schema::new("order.create")
        .step("pay", {
            let shop = shop.clone();
            move |_cx: StepContext, order: Order| {
                let failure = shop.failures.lock().expect("no panic").pop_front();
                async move { failure.map_or(Ok(order.sku), Err) }
            }
        })
        .build();
    let engine = Place::memory()
        .engine(&Faults::default(), |builder| builder.schema(schema.clone()))
        .await;
    let door = FrontDoor::new(engine, schema, orders());
    shop.fails(StepError::retry_after("busy", Duration::from_secs(90)));
    let first = shop.post(&door, request("k", TEA)).await;
    assert_eq!(
        (first.status, first.problem().as_str()),
        (503, "upstream-unavailable")
    );
    let pause: u64 = first
        .header("retry-after")
        .expect("a pause")
        .parse()
        .expect("seconds");
    assert!((60..=90).contains(&pause), "{pause}");
    assert!(first.json()["operation"].is_string());
    assert!(!first.is_replay());
    assert_eq!(
        shop.post(&door, request("k", TEA)).await.status,
        201,
        "a call hurries it"
    );
}

#[tokio::test]
async fn what_sleeps_is_in_progress_and_no_replay() {
    let shop = Shop::default();
    let schema = Schema::new("order.create")
        .step("wait", async |cx: StepContext, order: Order| {
            cx.sleep("an hour", Duration::from_secs(3600)).await?;
            Ok(order.sku)
        })
        .build();
    let engine = Place::memory()
        .engine(&Faults::default(), |builder| builder.schema(schema.clone()))
        .await;
    let door = FrontDoor::new(engine, schema, orders());
    for _sent in 0..2 {
        let asleep = within(shop.post(&door, request("k", TEA))).await;
        assert_eq!(
            (asleep.status, asleep.problem().as_str()),
            (409, "idempotency-in-progress")
        );
        let pause: u64 = asleep
            .header("retry-after")
            .expect("a pause")
            .parse()
            .expect("seconds");
        assert!(pause > 3500, "{pause}");
        assert!(!asleep.is_replay());
    }
}

#[tokio::test]
async fn each_error_policy_does_what_its_table_says() {
    let terminal = || StepError::terminal("refused").code("out-of-stock");
    let passing = || StepError::retry("away");
    // What the second request gets, and whether it is a replay; how often each step has run then.
    let cases = [
        (OnError::PersistFinal, terminal(), (409, true), [1, 1, 1]),
        (OnError::PersistFinal, passing(), (201, false), [1, 2, 0]),
        (OnError::RetryErrors, terminal(), (201, false), [2, 2, 1]),
        (OnError::RetryErrors, passing(), (201, false), [1, 2, 0]),
        (OnError::SuccessOnly, terminal(), (201, false), [2, 2, 1]),
        (OnError::SuccessOnly, passing(), (201, false), [1, 2, 0]),
        (OnError::ReplayAll, terminal(), (409, true), [1, 1, 1]),
        (OnError::ReplayAll, passing(), (503, true), [1, 1, 0]),
    ];
    for (policy, failure, second, counts) in cases {
        let shop = Shop::default();
        let door = shop.door(&Place::memory(), orders().on_error(policy)).await;
        let shown = format!("{policy:?} {failure}");
        shop.fails(failure);
        assert!(shop.post(&door, request("k", TEA)).await.status >= 400, "{shown}");
        let again = shop.post(&door, request("k", TEA)).await;
        assert_eq!((again.status, again.is_replay()), second, "{shown}");
        assert_eq!(shop.counts(), counts, "{shown}");
    }
}

#[tokio::test]
async fn an_application_may_answer_failures_with_problems_of_its_own() {
    let shop = Shop::default();
    let operation = orders().failures(|failure| {
        let problem = Problem::new(&OUT_OF_STOCK, "Try the cups.").member("step", failure.step.clone());
        (failure.code.as_deref() == Some("sold")).then_some(problem)
    });
    let door = shop.door(&Place::memory(), operation).await;
    shop.fails(StepError::terminal("none left").code("sold"));
    let own = shop.post(&door, request("k", TEA)).await;
    assert_eq!(
        (own.problem().as_str(), own.json()["step"].as_str()),
        ("out-of-stock", Some("pay"))
    );
    shop.fails(StepError::terminal("no reason"));
    assert_eq!(
        shop.post(&door, request("k2", TEA)).await.problem(),
        "request-failed"
    );
}

#[tokio::test]
async fn the_key_may_stand_in_the_body() {
    let shop = Shop::default();
    let door = shop
        .door(&Place::memory(), orders().key_in_header_or_body())
        .await;
    let mut bare = request("k", TEA);
    bare.headers_mut().remove("idempotency-key");
    let arrived = door.read(bare).await.expect("not missed yet");
    assert_eq!(arrived.key_or(Some("req_1")).expect("a key").as_str(), "req_1");
    assert_eq!(
        arrived.key_or(Some("")).expect_err("empty").kind().slug,
        "idempotency-key-malformed"
    );
    let missing = answer(arrived.refuse(arrived.key_or(None).expect_err("none"))).await;
    assert_eq!(
        (missing.status, missing.problem().as_str()),
        (400, "idempotency-key-missing")
    );
    let both = door.read(request("k", TEA)).await.expect("read");
    assert_eq!(both.key_or(Some("req_1")).expect("a key").as_str(), "k");
}

#[tokio::test]
async fn a_route_of_two_schemas_can_tell_that_the_other_one_knows_a_key() {
    for place in Place::both() {
        let shop = Shop::default();
        let door = shop.door(&place, orders()).await;
        shop.fails(StepError::retry("away"));
        for status in [503, 201] {
            let arrived = door.read(request("k", TEA)).await.expect("read");
            let key = arrived.key().expect("a key").clone();
            assert_eq!(shop.post(&door, request("k", TEA)).await.status, status);
            assert!(door.is_used("ann", &key).await.expect("an answer"));
            assert!(!door.is_used("bob", &key).await.expect("an answer"));
            let reused = answer(arrived.refuse(arrived.reused(&key))).await;
            assert_eq!(
                (reused.status, reused.problem().as_str()),
                (422, "idempotency-key-reused")
            );
        }
        assert_eq!(shop.counts(), [1, 2, 0], "to ask takes nothing up");
        place.advance(Duration::from_secs(8 * 24 * 3600));
        let key = keystep_http::ClientKey::new("k").expect("a key");
        assert!(
            !door.is_used("ann", &key).await.expect("an answer"),
            "its retention is over"
        );
    }
}

#[tokio::test]
async fn a_route_with_one_key_is_served_in_one_call() {
    let shop = Shop::default();
    let door = shop.door(&Place::memory(), orders()).await;
    let serve = async |request: Request<Body>| {
        let checked = async |arrived: &Arrived| shop.check(arrived);
        answer(within(door.serve(request, "ann", checked, created)).await).await
    };
    assert_eq!(serve(request("k", TEA)).await.status, 201);
    assert!(serve(request("k", TEA)).await.is_replay());
    let invalid = serve(request("k2", "[]")).await;
    assert_eq!(
        (invalid.status, invalid.header("idempotency-key")),
        (422, Some("\"k2\""))
    );
    assert_eq!(serve(request("k2", "{")).await.problem(), "malformed-body");
}

#[tokio::test]
async fn an_answer_may_be_rendered_from_what_is_stored_elsewhere() {
    let shop = Shop::default();
    let door = shop.door(&Place::memory(), orders()).await;
    shop.post(&door, request("k", TEA)).await;
    let arrived = door.read(request("k", TEA)).await.expect("read");
    let key = arrived.key_or(None).expect("a key");
    let Look::Known(known) = door.look_up(&arrived, "ann", &key).await.expect("known") else {
        panic!("it was done");
    };
    assert_eq!(known.how(), How::Replayed);
    let render = async |order: String| Ok(Response::new(Bytes::from(format!("now: {order}"))));
    let latest = known.respond_with(render).await.expect("rendered");
    assert_eq!(latest.body(), "now: order of tea");
    assert_eq!(latest.headers()["idempotent-replayed"], "true");
}
