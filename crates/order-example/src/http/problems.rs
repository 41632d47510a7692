//! What can this service say no to? The kinds of problems that it adds to those of `keystep-http`, and
//! which of them a refusal of the shop is. Slugs are durable: programs compare them.

use std::fmt::Display;
use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use keystep::{Failure, RunError};
use keystep_http::{FieldError, Kind, Problem, Tag, kinds};

use crate::domain::Refusal;
use crate::shop::ShopError;

macro_rules! problems {
    ($($name:ident $status:ident $slug:literal $title:literal $same_key:literal $next:literal;)+) => {
        $(
            #[doc = concat!("`", $slug, "`: ", $next)]
            pub(super) const $name: &Kind = &Kind {
                slug: $slug,
                status: StatusCode::$status,
                title: $title,
                retryable: false,
                same_key: $same_key,
                next: $next,
            };
        )+
        /// The kinds of this service.
        pub(super) const OURS: &[&Kind] = &[$($name),+];
    };
}

problems! {
    OFFER_UNKNOWN UNPROCESSABLE_ENTITY "offer-unknown"
        "There is no such offer" true
        "Go to the checkout for a new offer.";
    OFFER_NO_MATCH UNPROCESSABLE_ENTITY "offer-no-match"
        "The shop offers no such thing" true
        "Go to the checkout for a new offer.";
    OFFER_STALE CONFLICT "offer-stale"
        "The cart was changed since the offer was made" true
        "Load the cart again, and go to the checkout for a new offer.";
    CART_NOT_ORDERABLE CONFLICT "cart-not-orderable"
        "The cart can not be ordered" true
        "Load the cart again, fill it, and go to the checkout.";
    ORDERS_CHANGED PRECONDITION_FAILED "orders-changed"
        "The orders were changed in parallel" true
        "Load the list of orders again; the same key may be used.";
    ORDER_STATE_CONFLICT CONFLICT "order-state-conflict"
        "The order does not allow this any more" false
        "Show it.";
    ORDER_ALREADY_PAID CONFLICT "order-already-paid"
        "The order is paid already" false
        "Show it.";
    OUT_OF_STOCK CONFLICT "out-of-stock"
        "A product is out of stock" false
        "Show it; order something else with a new key.";
    PAYMENT_DECLINED PAYMENT_REQUIRED "payment-declined"
        "The payment was declined" false
        "Take another card, with a new key.";
    DUPLICATE_PAYLOAD CONFLICT "duplicate-payload"
        "The same was paid under another key" true
        "Decide whether it is meant twice; if so, change the content.";
}

/// The kind with this slug, of this service or of its layer.
pub(super) fn kind(slug: &str) -> Option<&'static Kind> {
    all().find(|kind| kind.slug == slug)
}

/// Every kind that this service answers with.
pub(super) fn all() -> impl Iterator<Item = &'static Kind> {
    kinds::ALL.iter().chain(OURS).copied()
}

/// When to come back, where nothing better is known.
const SOON: Duration = Duration::from_secs(1);

/// The problem for what the shop refuses before anything is done.
pub(super) fn refused(refusal: &Refusal) -> Problem {
    let detail = sentence(refusal);
    match refusal {
        Refusal::NotFound(_) => Problem::new(kinds::NOT_FOUND, detail),
        Refusal::CartChanged { tag } => {
            changed(kinds::VERSION_MISMATCH, detail, &Tag::strong(tag), tag.as_str())
        }
        Refusal::VersionMismatch { current } => {
            changed(kinds::VERSION_MISMATCH, detail, &Tag::strong(current), *current)
        }
        Refusal::OrdersChanged { current } => {
            changed(ORDERS_CHANGED, detail, &Tag::strong(current), *current)
        }
        Refusal::OfferStale => Problem::new(OFFER_STALE, detail).header(header::LINK, checkout()),
        Refusal::CartNotOrderable => Problem::new(CART_NOT_ORDERABLE, detail),
        Refusal::OfferNoMatch => Problem::new(OFFER_NO_MATCH, detail).header(header::LINK, checkout()),
        Refusal::OrderStateConflict => Problem::new(ORDER_STATE_CONFLICT, detail),
        Refusal::OrderAlreadyPaid => Problem::new(ORDER_ALREADY_PAID, detail),
        Refusal::OutOfStock { .. } => Problem::new(OUT_OF_STOCK, detail),
        Refusal::DuplicatePayload { payment_id } => {
            Problem::new(DUPLICATE_PAYLOAD, detail).member("payment", super::payments::location(payment_id))
        }
        Refusal::PaymentDeclined => Problem::new(PAYMENT_DECLINED, detail),
    }
}

/// What was found to be another version than the client has seen, with the one that there is.
fn changed(kind: &'static Kind, detail: String, tag: &Tag, current: impl Into<serde_json::Value>) -> Problem {
    Problem::new(kind, detail)
        .header(header::ETAG, tag.to_value())
        .member("current", current)
}

/// A problem about a version, with the one that there is.
pub(super) fn with_version(problem: Problem, version: i64) -> Problem {
    problem
        .header(header::ETAG, Tag::strong(version).to_value())
        .member("current", version)
}

/// The problem for an offer that was not made to this user: whether it was made to another one must not
/// be seen.
pub(super) fn unknown_offer() -> Problem {
    let detail = "No offer with this requestId was made to you.";
    Problem::new(OFFER_UNKNOWN, detail).header(header::LINK, checkout())
}

/// The problem for a step that failed for good with one of the words above as its code.
pub(super) fn failed(failure: &Failure) -> Option<Problem> {
    let kind = kind(failure.code.as_deref()?)?;
    let problem = Problem::new(kind, sentence(&failure.message));
    Some(match kind.slug {
        "offer-stale" | "offer-no-match" => problem.header(header::LINK, checkout()),
        _ => problem,
    })
}

/// The problem for a body with these faults.
pub(crate) fn invalid(errors: Vec<FieldError>) -> Problem {
    let detail = "Nothing was done. Mend what errors names; the same key may be used.";
    Problem::new(kinds::VALIDATION_FAILED, detail).errors(&errors)
}

/// The problem for what this user does not have.
pub(super) fn not_found(what: &str) -> Problem {
    Problem::new(kinds::NOT_FOUND, format!("You have no such {what}."))
}

/// The problem for a database that does not answer.
pub(crate) fn shop_unavailable(error: ShopError) -> Problem {
    unavailable(&error)
}

/// The problem for an engine that does not answer.
pub(super) fn engine_unavailable(error: RunError) -> Problem {
    unavailable(&error)
}

fn unavailable(error: &dyn Display) -> Problem {
    tracing::warn!(%error, "the database does not answer");
    let detail = "Send the same request again after the given time. It will not be done twice.";
    Problem::new(kinds::IDEMPOTENCY_STORE_UNAVAILABLE, detail).retry_after(SOON)
}

/// Where a client gets new offers.
fn checkout() -> HeaderValue {
    HeaderValue::from_static("</api/v2/cart/go-checkout>; rel=\"related\"")
}

fn sentence(message: &dyn Display) -> String {
    let message = message.to_string();
    let mut letters = message.chars();
    let first: String = letters.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.", letters.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_slug() {
        let slugs: Vec<&str> = all().map(|kind| kind.slug).collect();
        for (at, slug) in slugs.iter().enumerate() {
            assert!(!slugs[..at].contains(slug), "{slug}");
        }
    }

    #[test]
    fn every_refusal_of_the_shop_is_a_problem_of_its_name() {
        for refusal in [
            Refusal::NotFound("order"),
            Refusal::CartChanged { tag: "c_1.2".into() },
            Refusal::CartNotOrderable,
            Refusal::OfferNoMatch,
            Refusal::OfferStale,
            Refusal::OrdersChanged { current: 2 },
            Refusal::VersionMismatch { current: 2 },
            Refusal::OrderStateConflict,
            Refusal::OrderAlreadyPaid,
            Refusal::OutOfStock { sku: "TEA".into() },
            Refusal::DuplicatePayload {
                payment_id: "p_1".into(),
            },
            Refusal::PaymentDeclined,
        ] {
            assert_eq!(refused(&refusal).kind().slug, refusal.slug());
            assert!(kind(refusal.slug()).is_some(), "a step may fail with it");
        }
    }
}
