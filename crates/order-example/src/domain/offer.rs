//! For which price and payment may a cart be ordered, and under which id? A pure function of the cart,
//! the payment and a secret.
//!
//! The id of an offer is made by the shop, and it is the key under which the offer is ordered. The same
//! revision of the same cart with the same payment has the same id whenever and wherever it is asked for,
//! and another cart, revision, customer or payment has another one. So a client that lost an answer, or
//! its memory, asks again, and can not order twice.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use super::{Cart, CartAt, Line, Money};

/// How an order is paid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Payment {
    /// With a card that the payment provider knows.
    Card {
        /// The provider's name for the card.
        card_id: String,
    },
    /// To the courier.
    Cash,
    /// Later; not offered yet.
    Invoice,
}

/// How an order comes to the customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Delivery {
    /// By courier.
    Courier,
}

/// What a customer asks offers for. Where nothing is said, what the shop offers to everybody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The payments.
    #[serde(default = "usual_payments")]
    pub payment: Vec<Payment>,
    /// The ways of delivery.
    #[serde(default = "usual_deliveries")]
    pub delivery: Vec<Delivery>,
}

/// The offers for a cart, as they are shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offers {
    /// The cart.
    pub cart_id: String,
    /// Its revision.
    pub revision: i64,
    /// One for each payment and, within that, each way of delivery.
    pub offers: Vec<OfferShown>,
}

/// One of the offers for a cart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferShown {
    /// What to order it by; none when it can not be ordered.
    pub request_id: Option<String>,
    /// Whether it can be ordered.
    pub available: bool,
    /// How it is paid.
    pub payment: Payment,
    /// How it comes to the customer.
    pub delivery: Delivery,
    /// What it costs.
    pub total: Money,
}

/// An offer as the shop remembers it: all that is needed to make an order of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Offer {
    /// Its id; none for an order that is made without an offer.
    pub request_id: Option<String>,
    /// What it was made for; none for an order that is made without a cart.
    pub cart: Option<CartAt>,
    /// How it is paid.
    pub payment: Payment,
    /// How it comes to the customer.
    pub delivery: Delivery,
    /// What it is about.
    pub items: Vec<Line>,
    /// What it costs.
    pub total: Money,
}

/// What makes the ids of offers: the same in all processes and for ever, and nobody else's business.
#[derive(Clone)]
pub struct OfferSecret(Vec<u8>);

/// How many characters of a hash make an id: 192 bits.
const ID_CHARACTERS: usize = 32;

impl Payment {
    /// Whether an order can be paid so.
    pub fn is_available(&self) -> bool {
        !matches!(self, Self::Invoice)
    }
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            payment: usual_payments(),
            delivery: usual_deliveries(),
        }
    }
}

fn usual_payments() -> Vec<Payment> {
    let card = Payment::Card {
        card_id: "card_1".to_owned(),
    };
    vec![card, Payment::Cash]
}

fn usual_deliveries() -> Vec<Delivery> {
    vec![Delivery::Courier]
}

impl Offer {
    /// The offers for a cart of `owner`, one for each payment and, within that, each way of delivery. Those
    /// that can not be ordered have no id.
    pub(crate) fn for_cart(cart: &Cart, owner: &str, wanted: &Wanted, secret: &OfferSecret) -> Vec<Self> {
        let each = wanted.payment.iter().flat_map(|payment| {
            let deliveries = wanted.delivery.iter();
            deliveries.map(move |delivery| (payment.clone(), *delivery))
        });
        let offers = each.map(|(payment, delivery)| Self {
            request_id: payment
                .is_available()
                .then(|| secret.request_id(owner, &cart.at(), &payment, delivery)),
            cart: Some(cart.at()),
            payment,
            delivery,
            items: cart.items.clone(),
            total: cart.total.clone(),
        });
        offers.collect()
    }

    pub(crate) fn shown(self) -> OfferShown {
        OfferShown {
            available: self.request_id.is_some(),
            request_id: self.request_id,
            payment: self.payment,
            delivery: self.delivery,
            total: self.total,
        }
    }
}

impl OfferSecret {
    /// The id of an offer: an HMAC over the canonical JSON of what it is an offer of.
    fn request_id(&self, user: &str, cart: &CartAt, payment: &Payment, delivery: Delivery) -> String {
        let mut what = json!({
            "v": 1,
            "user": user,
            "contextType": "cart",
            "contextId": format!("{}:{}", cart.id, cart.revision),
            "payment": payment,
            "delivery": delivery,
        });
        // Sorted members and no white space: the canonical form of RFC 8785 for texts and small numbers.
        what.sort_all_objects();
        let mut hash: Hmac<Sha256> = self.keyed();
        hash.update(what.to_string().as_bytes());
        let mut id = BASE64_URL_SAFE_NO_PAD.encode(hash.finalize().into_bytes());
        id.truncate(ID_CHARACTERS);
        format!("req_{id}")
    }

    fn keyed(&self) -> Hmac<Sha256> {
        match Hmac::new_from_slice(&self.0) {
            Ok(hash) => hash,
            Err(_) => unreachable!("HMAC takes keys of any length"),
        }
    }
}

impl From<String> for OfferSecret {
    fn from(secret: String) -> Self {
        Self(secret.into_bytes())
    }
}

impl FromStr for OfferSecret {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() < 16 {
            return Err("a secret has 16 characters or more");
        }
        Ok(Self(text.as_bytes().to_vec()))
    }
}

impl fmt::Debug for OfferSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfferSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> OfferSecret {
        "a secret of the shop".parse().expect("long enough")
    }

    fn tea(id: &str, revision: i64) -> Cart {
        let at = CartAt {
            id: id.into(),
            revision,
        };
        let line = Line {
            sku: "TEA".into(),
            qty: 1,
            unit_price: Money::new(1000, "RUB"),
        };
        Cart::new(at, vec![line])
    }

    fn ids(cart: &Cart, owner: &str, wanted: &Wanted) -> Vec<Option<String>> {
        let offers = Offer::for_cart(cart, owner, wanted, &secret());
        offers.into_iter().map(|offer| offer.request_id).collect()
    }

    #[test]
    fn the_id_is_what_others_compute_too() {
        // Computed with Python: hmac, json.dumps(sort_keys=True), urlsafe_b64encode.
        let wanted = [
            Some("req_XYtPUiX83jDwDutt3-0ukAGzxlxgNp3w".to_owned()),
            Some("req_FKyeHDGNrjWfxdtiTeu2xooQYI8l4mzN".to_owned()),
        ];
        assert_eq!(ids(&tea("c_7f3a", 3), "anna", &Wanted::default()), wanted);
    }

    #[test]
    fn another_customer_cart_revision_or_secret_has_other_ids() {
        let wanted = Wanted::default();
        let mut all = ids(&tea("c_1", 1), "anna", &wanted);
        all.extend(ids(&tea("c_1", 1), "boris", &wanted));
        all.extend(ids(&tea("c_1", 2), "anna", &wanted));
        all.extend(ids(&tea("c_2", 1), "anna", &wanted));
        let other: OfferSecret = "another secret of the shop".parse().expect("long enough");
        let offers = Offer::for_cart(&tea("c_1", 1), "anna", &wanted, &other);
        all.extend(offers.into_iter().map(|offer| offer.request_id));
        let distinct: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), 10);
    }

    #[test]
    fn what_can_not_be_ordered_has_no_id_and_payments_come_first() {
        let wanted: Wanted = serde_json::from_value(json!({
            "payment": [{"method": "invoice"}, {"method": "cash"}],
            "delivery": ["courier", "courier"],
        }))
        .expect("wishes");
        let offers = Offer::for_cart(&tea("c_1", 1), "anna", &wanted, &secret());
        let shown: Vec<_> = offers.into_iter().map(Offer::shown).collect();
        let payments: Vec<_> = shown.iter().map(|offer| &offer.payment).collect();
        assert_eq!(
            payments,
            [
                &Payment::Invoice,
                &Payment::Invoice,
                &Payment::Cash,
                &Payment::Cash
            ]
        );
        assert_eq!(
            serde_json::to_value(&shown[0]).expect("JSON"),
            json!({
                "requestId": null, "available": false, "payment": {"method": "invoice"},
                "delivery": "courier", "total": {"amount": 1000, "currency": "RUB"},
            })
        );
        assert!(shown[2].available && shown[2].request_id.is_some());
    }

    #[test]
    fn a_secret_is_long_and_not_shown() {
        assert!("short".parse::<OfferSecret>().is_err());
        assert!(!format!("{:?}", secret()).contains("shop"));
    }
}
