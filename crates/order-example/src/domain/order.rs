//! What was ordered, and which version of it is there? The order, what is asked of it, and the values that
//! travel between the steps that make it.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{Delivery, Line, Money, Offer, Payment, Seen};

/// An order that a customer makes: the input of the schema `order.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checkout {
    /// Who orders.
    pub owner: String,
    /// What is ordered, for which price.
    pub offer: Offer,
    /// A note for the courier.
    pub comment: Option<String>,
    /// The versions of the list of orders that the customer has seen.
    pub seen_orders: Seen<i64>,
}

/// An order that has a key of its own beside the id of its offer: the input of the schema `order.request`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Requested {
    /// The order.
    pub checkout: Checkout,
    /// The fingerprint of the request, under which `order.create` compares it.
    pub fingerprint: [u8; 32],
    /// Whether `order.create` has failed under this id before, and is to begin anew.
    #[serde(default)]
    pub restart: bool,
}

/// Output of `reserve_stock`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reserved {
    /// Names the reservation in the shop's tables.
    pub reservation: String,
}

/// Output of `authorize_payment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Authorized {
    /// The provider's id of the authorization; none for an order that is paid in cash.
    pub authorization: Option<String>,
}

/// Output of `create_order`: the order as the customer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The number people quote, such as `20240102-000017`.
    pub order_nr: String,
    /// The offer that it was made of; none for an order without one.
    pub request_id: Option<String>,
    /// Where it stands.
    pub status: Status,
    /// From 1, one more after each change: its entity tag.
    pub version: i64,
    /// The version of the customer's list of orders that this version of the order made.
    pub orders_version: i64,
    /// The cart that it was made of; none for an order without one.
    pub cart_id: Option<String>,
    /// What was ordered.
    pub items: Vec<Line>,
    /// What it costs.
    pub total: Money,
    /// How it is paid.
    pub payment: Payment,
    /// How it comes to the customer.
    pub delivery: Delivery,
    /// Where the delivery stands, when something is known of it.
    pub delivery_status: Option<String>,
    /// A note for the courier.
    pub comment: Option<String>,
    /// Where to: a text or an object, as the customer wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<Value>,
    /// When it was created: RFC 3339, UTC.
    pub created_at: String,
}

/// Where an order stands. The words are stored: a promise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is made.
    Confirmed,
    /// The customer does not want it any more.
    Cancelled,
}

/// Output of `send_receipt`, and so of the whole schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The order it is for.
    pub order: Order,
    /// Names the receipt in its ledger.
    pub receipt: String,
}

/// All orders of a customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderList {
    /// How often one of them was made, changed or cancelled: the list's entity tag.
    pub version: i64,
    /// The orders, the oldest first.
    pub orders: Vec<Order>,
}

/// A change of an order: the input of the schema `order.change`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// Whose order.
    pub owner: String,
    /// Its number.
    pub order_nr: String,
    /// The versions of it that the customer has seen.
    pub seen: Seen<i64>,
    /// What to change.
    pub patch: OrderPatch,
}

/// What may be changed of an order: a merge patch of RFC 7396.
///
/// The outer `Option` is whether the member is there, the inner one whether it is `null`, which removes
/// what it names.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderPatch {
    /// The note for the courier.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub comment: Option<Option<String>>,
    /// Where to. An object is merged into the one that is there, member by member.
    #[serde(default, deserialize_with = "there", skip_serializing_if = "Option::is_none")]
    pub address: Option<Option<Value>>,
}

/// A wish to cancel an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// Whose order.
    pub owner: String,
    /// Its number.
    pub order_nr: String,
    /// The versions of it that the customer has seen.
    pub seen: Seen<i64>,
}

impl Order {
    /// Its next version, which makes the next version of the list of orders after this one.
    pub(crate) fn raised(self, list: i64) -> Self {
        Self {
            version: self.version + 1,
            orders_version: list + 1,
            ..self
        }
    }
}

impl OrderPatch {
    /// The comment and the address of an order after this.
    pub(crate) fn applied(self, order: &Order) -> (Option<String>, Option<Value>) {
        let comment = self.comment.unwrap_or_else(|| order.comment.clone());
        let address = match self.address {
            None => order.address.clone(),
            Some(None) => None,
            Some(Some(patch)) => Some(merged(order.address.clone().unwrap_or_default(), patch)),
        };
        (comment, address)
    }
}

/// The algorithm of RFC 7396, section 2.
fn merged(target: Value, patch: Value) -> Value {
    let Value::Object(patch) = patch else { return patch };
    let Value::Object(mut target) = target else {
        return merged(Value::Object(serde_json::Map::new()), Value::Object(patch));
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            let before = target.remove(&name).unwrap_or_default();
            target.insert(name, merged(before, value));
        }
    }
    Value::Object(target)
}

/// A member that is there, be it `null`.
fn there<'de, D: Deserializer<'de>, T: Deserialize<'de>>(member: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(member).map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn order(comment: Option<&str>, address: Option<Value>) -> Order {
        Order {
            order_nr: "20240102-000017".into(),
            request_id: Some("req_9Jx".into()),
            status: Status::Confirmed,
            version: 1,
            orders_version: 5,
            cart_id: Some("c_7f3a".into()),
            items: Vec::new(),
            total: Money::new(0, "RUB"),
            payment: Payment::Cash,
            delivery: Delivery::Courier,
            delivery_status: None,
            comment: comment.map(str::to_owned),
            address,
            created_at: "2024-01-02T10:00:00.000Z".into(),
        }
    }

    fn patched(order: &Order, patch: Value) -> (Option<String>, Option<Value>) {
        let patch: OrderPatch = serde_json::from_value(patch).expect("a patch");
        // It travels through the database as the input of a step.
        let stored = serde_json::to_value(&patch).expect("JSON");
        let patch: OrderPatch = serde_json::from_value(stored).expect("a patch");
        patch.applied(order)
    }

    #[test]
    fn a_member_that_is_missing_stays_and_one_that_is_null_goes() {
        let before = order(Some("ring twice"), Some(json!("Moscow")));
        let same = (before.comment.clone(), before.address.clone());
        assert_eq!(patched(&before, json!({})), same);
        assert_eq!(patched(&before, json!({"comment": null})), (None, same.1));
        let (comment, address) = patched(&before, json!({"comment": "knock", "address": null}));
        assert_eq!((comment.as_deref(), address), (Some("knock"), None));
    }

    #[test]
    fn an_address_is_merged_member_by_member() {
        let before = order(
            None,
            Some(json!({"city": "Moscow", "flat": 7, "geo": {"lat": 1, "lon": 2}})),
        );
        let patch = json!({"address": {"flat": null, "geo": {"lat": 3}, "street": "Arbat"}});
        let (_, address) = patched(&before, patch);
        let wanted = json!({"city": "Moscow", "geo": {"lat": 3, "lon": 2}, "street": "Arbat"});
        assert_eq!(address, Some(wanted));
        let (_, address) = patched(
            &order(None, None),
            json!({"address": {"city": "Tver", "flat": null}}),
        );
        assert_eq!(address, Some(json!({"city": "Tver"})));
        let (_, address) = patched(&before, json!({"address": "Tver"}));
        assert_eq!(address, Some(json!("Tver")));
    }

    #[test]
    fn other_members_can_not_be_changed() {
        for patch in [
            json!({"total": 1}),
            json!({"status": "cancelled"}),
            json!("a text"),
        ] {
            assert!(serde_json::from_value::<OrderPatch>(patch).is_err());
        }
    }

    #[test]
    fn an_order_is_shown_as_the_contract_says() {
        let shown = serde_json::to_value(order(Some("ring twice"), None)).expect("JSON");
        let wanted = json!({
            "orderNr": "20240102-000017", "requestId": "req_9Jx", "status": "confirmed", "version": 1,
            "ordersVersion": 5, "cartId": "c_7f3a", "items": [], "total": {"amount": 0, "currency": "RUB"},
            "payment": {"method": "cash"}, "delivery": "courier", "deliveryStatus": null,
            "comment": "ring twice", "createdAt": "2024-01-02T10:00:00.000Z",
        });
        assert_eq!(shown, wanted);
    }
}
