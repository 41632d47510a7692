//! How does a request become an order? Read, look the key up, check, run, show.
//!
//! An order has a key in one of three ways: `requestId` alone, the header alone (clients that do not know
//! offers), or both. With both the header is a key of its own, whose work is to run the order of
//! `requestId`: the same header with another body is refused, two headers with one `requestId` meet in one
//! order. What a key has already is answered before anything is checked: its own first attempt has closed
//! the cart and raised the version of the list.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use http_body::Body;
use keystep_http::{Answer, Arrived, ClientKey, Ended, Free, Look, Problem, Tag, kinds};
use serde_json::{Value, json};

use super::fields::{self, Errors, Fields};
use super::respond::{located, seen_numbers, tagged};
use super::{Api, Caller, openapi, orders, problems};
use crate::config::{IfMatchOnCreate, Replay};
use crate::domain::{Checkout, Delivery, Money, Offer, Order, Payment, Receipt, Refusal, Requested, Seen};

/// Makes an order.
///
/// Send the same request again whenever the answer did not arrive: it gets the order that was made.
#[utoipa::path(
    post, path = "/api/v1/orders", operation_id = "create_order", tag = "orders", security(("token" = [])), params(openapi::OfOrder),
    request_body = openapi::OrderRequest,
    responses(
        (
            status = 201, description = "The order.", body = openapi::Order,
            headers(
                ("Location" = String), ("ETag" = String), ("Idempotency-Key" = String),
                ("Idempotent-Replayed" = String, description = "`true` when it was made before."),
            ),
        ),
        (
            status = 202, description = "It is being made; look at Location.", body = openapi::Accepted,
            headers(
                ("Location" = String), ("Retry-After" = i32), ("Idempotency-Key" = String),
                ("Preference-Applied" = String),
            ),
        ),
        openapi::MakesOrder,
    ),
)]
pub(super) async fn create(caller: Caller, State(api): State<Arc<Api>>, request: Request) -> Response {
    let arrived = match api.doors.create.read(request).await {
        Ok(arrived) => arrived,
        Err(problem) => return problem.into_response(),
    };
    match order(&api, caller.name(), &arrived).await {
        Ok(response) => response,
        Err(problem) => arrived.refuse(of_what_was_asked(problem, &arrived)),
    }
}

/// That the list is another one than the body says is a conflict; a precondition stands in the header.
fn of_what_was_asked(problem: Problem, arrived: &Arrived) -> Problem {
    let is_precondition = arrived.headers().contains_key(header::IF_MATCH);
    if problem.kind() == problems::ORDERS_CHANGED && !is_precondition {
        problem.with_status(StatusCode::CONFLICT)
    } else {
        problem
    }
}

async fn order(api: &Api, user: &str, arrived: &Arrived) -> Result<Response, Problem> {
    let body: Value = arrived.json()?;
    let request_id = body.get("requestId").and_then(Value::as_str);
    let response = match (arrived.key(), request_id) {
        (Some(header), Some(id)) if header.as_str() != id => {
            let both = Both {
                header,
                request_id: id,
                body: &body,
            };
            order_with_both(api, user, arrived, both).await
        }
        (_, id) => order_with_one(api, user, arrived, id, &body).await,
    };
    let mut response = response?;
    if let Some(header) = arrived.key() {
        let echo = response.headers_mut();
        echo.insert("idempotency-key", header.quoted());
    }
    Ok(response)
}

/// The header or `requestId` is the key of the order.
async fn order_with_one(
    api: &Api,
    user: &str,
    arrived: &Arrived,
    request_id: Option<&str>,
    body: &Value,
) -> Result<Response, Problem> {
    let doors = &api.doors;
    let key = match request_id.filter(|_| arrived.key().is_none()) {
        // What can not be a key is not the id of an offer.
        Some(id) => ClientKey::new(id).map_err(|_| problems::unknown_offer())?,
        None => arrived.key_or(None)?,
    };
    let free = match doors.create.look_up(arrived, user, &key).await {
        Ok(Look::Known(answer)) => return show(api, user, answer).await,
        Ok(Look::Free(free)) => free,
        Err(problem) => return Err(with_version(api, user, problem).await),
    };
    if arrived.key().is_some() && doors.request.is_used(user, &key).await? {
        return Err(arrived.reused(&key));
    }
    match check(api, user, arrived, body).await? {
        Checked::New(checkout) => match free.run(checkout).await {
            Ok(answer) => show(api, user, answer).await,
            Err(problem) => Err(with_version(api, user, problem).await),
        },
        Checked::Made(order) => Ok(made_long_ago(&order)),
    }
}

/// A request with two keys.
#[derive(Clone, Copy)]
struct Both<'a> {
    header: &'a ClientKey,
    request_id: &'a str,
    body: &'a Value,
}

/// The header is a key of its own beside `requestId`.
///
/// It is bound to whatever the order comes to, with one exception: an order that was made so long ago that
/// its key is forgotten is found by its offer, and needs no key to be found again.
async fn order_with_both(
    api: &Api,
    user: &str,
    arrived: &Arrived,
    both: Both<'_>,
) -> Result<Response, Problem> {
    let doors = &api.doors;
    let Both { header, body, .. } = both;
    let free = match doors.request.look_up(arrived, user, header).await {
        Ok(Look::Known(answer)) => return show(api, user, answer).await,
        Ok(Look::Free(free)) => free,
        Err(problem) => return Err(of_its_order(api, user, arrived, both, problem).await),
    };
    if doors.create.is_used(user, header).await? {
        return Err(arrived.reused(header));
    }
    let id = ClientKey::new(both.request_id).map_err(|_| problems::unknown_offer())?;
    // The offer may have come before, under another header or none. What it came to is the answer, whatever
    // has become of the cart since.
    let restart = match doors.create.look_up(arrived, user, &id).await {
        Ok(Look::Free(order)) => order.begins_anew(),
        Ok(Look::Known(answer)) => {
            if matches!(answer.ended, Ended::Done(_)) {
                bind(api, user, arrived, both, free).await?;
            }
            return show(api, user, answer).await;
        }
        Err(problem) => {
            if stands(&problem) {
                bind(api, user, arrived, both, free).await?;
            }
            return Err(with_version(api, user, named(problem, header)).await);
        }
    };
    match check(api, user, arrived, body).await? {
        Checked::New(checkout) => {
            let requested = Requested {
                checkout,
                fingerprint: arrived.fingerprint().0,
                restart,
            };
            match free.run(requested).await {
                Ok(answer) => show(api, user, answer).await,
                Err(problem) => Err(of_its_order(api, user, arrived, both, problem).await),
            }
        }
        Checked::Made(order) => Ok(made_long_ago(&order)),
    }
}

/// Binds the header to what its order has come to.
async fn bind(
    api: &Api,
    user: &str,
    arrived: &Arrived,
    both: Both<'_>,
    free: Free<'_, Requested, Receipt>,
) -> Result<(), Problem> {
    // Without fingerprints an order has answers for bodies that are none.
    let Ok(wish) = read(user, both.body) else {
        return Ok(());
    };
    let offer = api.shop.offer(user, both.request_id).await;
    let offer = offer.map_err(problems::shop_unavailable)?;
    let requested = Requested {
        checkout: wish.of(offer.ok_or_else(problems::unknown_offer)?),
        fingerprint: arrived.fingerprint().0,
        restart: false,
    };
    free.bind(requested).await
}

/// What the header came to, as its order says it: the same for every header and for none. While the header
/// only waits for its order, that one knows why.
async fn of_its_order(api: &Api, user: &str, arrived: &Arrived, both: Both<'_>, problem: Problem) -> Problem {
    let Ok(id) = ClientKey::new(both.request_id) else {
        return problem;
    };
    let order = &api.doors.create;
    if problem.kind() == kinds::IDEMPOTENCY_IN_PROGRESS {
        let hindrance = order.hindrance(arrived, user, &id).await;
        return hindrance.map_or(problem, |problem| named(problem, both.header));
    }
    let problem = if stands(&problem) {
        problem.instance(order.execution_of(user, &id).0)
    } else {
        problem
    };
    with_version(api, user, problem).await
}

/// Whether a problem is what a key came to.
fn stands(problem: &Problem) -> bool {
    let passing = [
        kinds::IDEMPOTENCY_KEY_REUSED,
        kinds::NEEDS_ATTENTION,
        kinds::INTERNAL_ERROR,
    ];
    !problem.kind().retryable && !passing.contains(&problem.kind())
}

/// A problem of the key in the body, which is named as the client names its request.
fn named(problem: Problem, header: &ClientKey) -> Problem {
    if problem.kind().slug.starts_with("idempotency-") {
        problem.key(header)
    } else {
        problem
    }
}

/// That the list has changed was found in the transaction of the order, where the failure has no room for
/// its version: the present one.
async fn with_version(api: &Api, user: &str, problem: Problem) -> Problem {
    if problem.kind() != problems::ORDERS_CHANGED {
        return problem;
    }
    match api.shop.orders_version(user).await {
        Ok(version) => problems::with_version(problem, version),
        Err(_away) => problem,
    }
}

/// What the checks found.
enum Checked {
    /// An order to be made.
    New(Checkout),
    /// One that was made so long ago that its key is forgotten. Its offer is not.
    Made(Order),
}

/// Checks a request whose key is free. Nothing of this binds the key, and all that can change meanwhile is
/// checked again in the transaction that writes the order.
async fn check(api: &Api, user: &str, arrived: &Arrived, body: &Value) -> Result<Checked, Problem> {
    let wish = read(user, body)?;
    let request_id = wish.request_id.clone();
    match check_against_shop(api, arrived, wish).await {
        Ok(checkout) => Ok(Checked::New(checkout)),
        Err(problem) => {
            let Some(request_id) = request_id else {
                return Err(problem);
            };
            let made = api.shop.order_of_request(user, &request_id).await;
            let made = made.map_err(problems::shop_unavailable)?;
            made.map(Checked::Made).ok_or(problem)
        }
    }
}

async fn check_against_shop(api: &Api, arrived: &Arrived, mut wish: Wish) -> Result<Checkout, Problem> {
    let (shop, user) = (&api.shop, wish.user.clone());
    let by_header = seen_numbers(arrived.headers())?;
    if by_header.is_none() && api.policies.if_match_on_create == IfMatchOnCreate::Required {
        let detail = "Send If-Match with the version of the list of orders that you know.";
        return Err(Problem::new(kinds::PRECONDITION_REQUIRED, detail));
    }
    let by_header = by_header.unwrap_or_default();
    let by_body = wish.known_orders_version.map_or(Seen::Any, Seen::one);
    if (&by_header, &by_body) != (&Seen::Any, &Seen::Any) {
        let current = shop
            .orders_version(&user)
            .await
            .map_err(problems::shop_unavailable)?;
        let changed = api.refused(&Refusal::OrdersChanged { current });
        if !by_header.includes(&current) {
            return Err(changed);
        }
        if !by_body.includes(&current) {
            return Err(changed.with_status(StatusCode::CONFLICT));
        }
        wish.seen_orders = Seen::one(current);
    }
    let offer = match (&wish.request_id, &wish.described) {
        (Some(id), _) => {
            let offer = shop.offer(&user, id).await.map_err(problems::shop_unavailable)?;
            let offer = offer.ok_or_else(problems::unknown_offer)?;
            let cart = shop.cart(&user).await.map_err(problems::shop_unavailable)?;
            if offer.cart.as_ref().is_some_and(|at| *at != cart.at()) {
                return Err(api.refused(&Refusal::OfferStale));
            }
            offer
        }
        (
            None,
            Some(Described {
                payment: Some(payment),
                delivery: Some(delivery),
                total,
            }),
        ) => {
            let (payment, delivery) = (payment.clone(), *delivery);
            let offer = shop.matching_offer(&user, payment, delivery, total, &api.offer_secret);
            api.decided(offer.await)?
        }
        (None, _) => return Err(api.refused(&Refusal::OfferNoMatch)),
    };
    Ok(wish.of(offer))
}

/// What the client wishes, as far as its body says.
struct Wish {
    user: String,
    request_id: Option<String>,
    described: Option<Described>,
    comment: Option<String>,
    known_orders_version: Option<i64>,
    seen_orders: Seen<i64>,
}

/// An offer as an older client describes it; none where the shop knows no such thing.
struct Described {
    payment: Option<Payment>,
    delivery: Option<Delivery>,
    total: Money,
}

impl Wish {
    /// The order of an offer.
    fn of(self, offer: Offer) -> Checkout {
        Checkout {
            owner: self.user,
            offer,
            comment: self.comment,
            seen_orders: self.seen_orders,
        }
    }
}

/// Reads the fields of a body.
fn read(user: &str, body: &Value) -> Result<Wish, Problem> {
    let mut errors = Errors::default();
    let fields = Fields::of(body, &mut errors);
    let request_id = fields.any_text("requestId", &mut errors);
    let described = if fields.member("requestId").is_none() {
        let payment = fields.known_payment("payment", &mut errors);
        let delivery = fields.name("delivery", &mut errors);
        let total = fields.money("expectedTotal", &mut errors);
        total.map(|total| Described {
            payment,
            delivery: delivery.as_deref().and_then(fields::delivery),
            total,
        })
    } else {
        None
    };
    let wish = Wish {
        user: user.to_owned(),
        request_id,
        described,
        comment: fields.text("comment", &mut errors),
        known_orders_version: fields.number("knownOrdersVersion", &mut errors),
        seen_orders: Seen::Any,
    };
    errors.none(wish).map_err(problems::invalid)
}

/// Shows the order that a key has: as it was made, or as it is now.
async fn show(api: &Api, user: &str, answer: Answer<Receipt>) -> Result<Response, Problem> {
    let again = answer.how().is_replay();
    if again && api.policies.replay == Replay::Latest {
        let latest = async |receipt: Receipt| {
            let now = api.shop.order(user, &receipt.order.order_nr).await;
            let now = now.map_err(problems::shop_unavailable)?;
            Ok(created(&now.unwrap_or(receipt.order)))
        };
        return answer.respond_with(latest).await;
    }
    Ok(answer.respond(|receipt| {
        let order = receipt.order;
        if again {
            return within(api.policies.max_stored_response, &order);
        }
        let mut response = created(&order);
        // Of no use but to show that a replay has none: it belongs to this answer alone.
        if let Ok(cookie) = HeaderValue::try_from(format!("last_order={}; Path=/; HttpOnly", order.order_nr))
        {
            response.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        response
    }))
}

fn created(order: &Order) -> Response {
    let response = (StatusCode::CREATED, Json(order));
    let location = orders::location(&order.order_nr);
    tagged(&Tag::strong(order.version), located(&location, response))
}

/// The same for a replay, which has a limit: what is larger is only said to be there.
fn within(most: usize, order: &Order) -> Response {
    let response = created(order);
    let length = response.body().size_hint().exact().unwrap_or_default();
    if length <= most as u64 {
        return response;
    }
    let location = orders::location(&order.order_nr);
    let note = json!({
        "location": location,
        "detail": "The order was made; the first answer was too large to be kept for a repetition.",
    });
    tagged(
        &Tag::strong(order.version),
        located(&location, (StatusCode::CREATED, Json(note))),
    )
}

/// The order of an offer whose key is no longer kept.
fn made_long_ago(order: &Order) -> Response {
    let mut response = created(order);
    let replayed = HeaderValue::from_static("true");
    response.headers_mut().insert("idempotent-replayed", replayed);
    response
}
