//! What happens to orders?

use keystep::Schema;

use super::{ChargeMode, Policy};
use crate::domain::{Change, Checkout, Order, Receipt, Requested};
use crate::steps::{
    SendReceipt, authorize_payment, change_order, create_order, find_authorization, order_of_request,
    release_stock, reserve_stock, void_authorization,
};

/// The schema `order.create`. Orders that were begun in another charge mode are finished in theirs.
pub fn order_create(policy: Policy) -> Schema<Checkout, Receipt> {
    let of = |charge_mode| {
        order_create_in(Policy {
            charge_mode,
            ..policy
        })
    };
    match policy.charge_mode {
        ChargeMode::Idempotent => of(ChargeMode::Idempotent).accepts(of(ChargeMode::AtMostOnce)),
        ChargeMode::AtMostOnce => of(ChargeMode::AtMostOnce).accepts(of(ChargeMode::Idempotent)),
    }
}

fn order_create_in(policy: Policy) -> Schema<Checkout, Receipt> {
    let receipt = SendReceipt {
        template: "order".into(),
    };
    let schema = Schema::new("order.create")
        .retention(policy.retention)
        .step("reserve_stock", reserve_stock)
        .retry(policy.retry())
        .undo(release_stock)
        .step("authorize_payment", authorize_payment)
        .retry(policy.retry());
    let schema = match policy.charge_mode {
        ChargeMode::Idempotent => schema,
        ChargeMode::AtMostOnce => schema.at_most_once().verify(find_authorization),
    };
    schema
        .undo(void_authorization)
        .step("create_order", create_order)
        .retry(policy.retry())
        .stored_step("send_receipt", receipt)
        .retry(policy.retry())
        .build()
}

/// The schema `order.request`: for a request that has a key of its own beside the id of its offer. Its
/// only step runs `order.create` under that id, so that two keys with one id meet in one order.
pub fn order_request(policy: Policy) -> Schema<Requested, Receipt> {
    let order_create = order_create(policy);
    Schema::new("order.request")
        .retention(policy.retention)
        .step("order", move |cx, requested: Requested| {
            order_of_request(cx, order_create.clone(), requested)
        })
        .retry(policy.retry())
        .build()
}

/// The schema `order.change`.
pub fn order_change(policy: Policy) -> Schema<Change, Order> {
    Schema::new("order.change")
        .retention(policy.retention)
        .step("change_order", change_order)
        .retry(policy.retry())
        .build()
}
