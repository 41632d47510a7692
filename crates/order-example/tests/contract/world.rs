//! What does a customer do over and over? Fill a cart, look at the offers, order, pay.

use serde_json::{Value, json};

use crate::answer::{Answer, Request};
use crate::service::Service;

pub(crate) const CART: &str = "/api/v1/cart";
pub(crate) const CHECKOUT: &str = "/api/v2/cart/go-checkout";
pub(crate) const ORDERS: &str = "/api/v1/orders";
pub(crate) const PAYMENTS: &str = "/api/v1/payments";

/// The card that the payment provider declines.
pub(crate) const DECLINED: &str = "card_declined";

/// A customer at one process; another process has the same customer.
#[derive(Clone, Copy)]
pub(crate) struct Customer<'a> {
    pub(crate) at: &'a Service,
    pub(crate) name: &'a str,
}

impl Service {
    /// A customer of this name.
    pub(crate) fn customer<'a>(&'a self, name: &'a str) -> Customer<'a> {
        Customer { at: self, name }
    }

    /// The customer of most tests.
    pub(crate) fn ada(&self) -> Customer<'_> {
        self.customer("ada")
    }
}

impl Customer<'_> {
    pub(crate) fn get(&self, path: &str) -> Request {
        self.at.get(path).by(self.name)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Request {
        self.at.post(path, body).by(self.name)
    }

    pub(crate) fn patch(&self, path: &str, body: Value) -> Request {
        self.at.patch(path, body).by(self.name)
    }

    pub(crate) fn delete(&self, path: &str) -> Request {
        self.at.delete(path).by(self.name)
    }

    /// Wants so many of a product.
    pub(crate) fn put(&self, sku: &str, qty: i64) -> Request {
        let path = format!("{CART}/items/{sku}");
        self.at.put(&path, json!({"qty": qty})).by(self.name)
    }

    pub(crate) async fn cart(&self) -> Value {
        self.get(CART).await.ok(200)
    }

    /// The offers for the cart with these payments.
    pub(crate) async fn offers(&self, payment: Value) -> Vec<Value> {
        let offers = self.post(CHECKOUT, json!({"payment": payment})).await.ok(200);
        offers["offers"].as_array().expect("a list").clone()
    }

    /// Puts one of a product into the cart, and takes the first offer for it with this card.
    pub(crate) async fn offer_of(&self, sku: &str, card: &str) -> String {
        self.put(sku, 1).await.ok(200);
        let offers = self.offers(json!([{"method": "card", "cardId": card}])).await;
        let id = offers[0]["requestId"].as_str();
        id.unwrap_or_else(|| panic!("no offer: {offers:?}")).to_owned()
    }

    /// An offer for one tea.
    pub(crate) async fn offer(&self) -> String {
        self.offer_of("TEA", "card_1").await
    }

    /// Orders what was offered under this id.
    pub(crate) fn order(&self, request_id: &str) -> Request {
        self.post(ORDERS, json!({"requestId": request_id}))
    }

    /// Orders one tea, and gives the answer.
    pub(crate) async fn ordered(&self) -> Answer {
        let id = self.offer().await;
        let order = self.order(&id).await;
        order.ok(201);
        order
    }

    /// The number of a new order of one tea that is paid in cash, so that it can be paid by card later.
    pub(crate) async fn unpaid(&self) -> String {
        self.put("TEA", 1).await.ok(200);
        let offers = self.offers(json!([{"method": "cash"}])).await;
        let id = offers[0]["requestId"].as_str().expect("an offer");
        let order = self.order(id).await.ok(201);
        order["orderNr"].as_str().expect("a number").to_owned()
    }

    /// Orders as a client does that knows no offers: one tea in cash.
    pub(crate) fn order_in_the_old_way(&self) -> Request {
        self.post(ORDERS, old_body(1000))
    }

    /// Pays an order of one tea with a card.
    pub(crate) fn pay(&self, order: &str, card: &str) -> Request {
        self.post(PAYMENTS, payment(order, card))
    }

    /// The version of the list of orders.
    pub(crate) async fn list_version(&self) -> u64 {
        let list = self.get(ORDERS).await.ok(200);
        list["version"].as_u64().expect("a number")
    }

    pub(crate) async fn order_count(&self) -> usize {
        let list = self.get(ORDERS).await.ok(200);
        list["orders"].as_array().expect("a list").len()
    }
}

/// What a client sends that knows no offers.
pub(crate) fn old_body(total: i64) -> Value {
    json!({
        "requestId": null,
        "payment": {"method": "cash"},
        "delivery": "courier",
        "expectedTotal": {"amount": total, "currency": "RUB"},
    })
}

/// A payment of one tea.
pub(crate) fn payment(order: &str, card: &str) -> Value {
    json!({
        "orderNr": order,
        "amount": {"amount": 1000, "currency": "RUB"},
        "method": {"method": "card", "cardId": card},
    })
}
