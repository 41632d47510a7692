//! What does a customer want? A cart, which has a new revision after each change and a new id after each
//! order.

use serde::{Deserialize, Serialize};

use super::{Money, Seen};

/// The cart of a customer, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cart {
    /// Names this cart among all carts; the customer's next one has another id.
    pub id: String,
    /// How often it was changed.
    pub revision: i64,
    /// Whether it can be filled and ordered.
    pub state: CartState,
    /// The currency of all prices in it.
    pub currency: String,
    /// What is in it, in the order in which it was put there; each product once.
    pub items: Vec<Line>,
    /// What all of it costs.
    pub total: Money,
}

/// What a cart can be. An order closes it, and an empty one takes its place at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CartState {
    /// It can be filled and ordered.
    Open,
}

/// One revision of one cart: its content never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CartAt {
    /// The cart.
    pub id: String,
    /// Its revision.
    pub revision: i64,
}

/// So many of one product, at the price at which the customer has seen it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// The product's number in the catalogue.
    pub sku: String,
    /// How many, from 1.
    pub qty: i32,
    /// What one costs.
    pub unit_price: Money,
}

/// A wish to have so many of a product in the cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quantity {
    /// Whose cart.
    pub owner: String,
    /// Of which product.
    pub sku: String,
    /// How many, from 0: none removes it.
    pub qty: i32,
    /// The tags ([`Cart::tag`]) of the carts that the customer has seen.
    pub seen: Seen<String>,
}

/// The currency of this shop.
const CURRENCY: &str = "RUB";

impl Cart {
    /// A cart with this in it.
    pub(crate) fn new(at: CartAt, items: Vec<Line>) -> Self {
        let total = Line::total(&items);
        Self {
            id: at.id,
            revision: at.revision,
            state: CartState::Open,
            currency: total.currency.clone(),
            items,
            total,
        }
    }

    /// This revision of this cart.
    pub fn at(&self) -> CartAt {
        CartAt {
            id: self.id.clone(),
            revision: self.revision,
        }
    }

    /// What tells this content from any other, such as `c_7f3a.3`: an entity tag without its quotes.
    pub fn tag(&self) -> String {
        format!("{}.{}", self.id, self.revision)
    }

    /// The same cart with so many of a product in it; the same revision when it has them already. A
    /// product that is new in it has `unit_price`; one that is in it keeps its price.
    pub(crate) fn with(mut self, sku: &str, qty: i32, unit_price: Money) -> Self {
        let found = self.items.iter().position(|line| line.sku == sku);
        match found {
            None if qty == 0 => return self,
            Some(at) if self.items[at].qty == qty => return self,
            Some(at) if qty == 0 => drop(self.items.remove(at)),
            Some(at) => self.items[at].qty = qty,
            None => self.items.push(Line {
                sku: sku.to_owned(),
                qty,
                unit_price,
            }),
        }
        let at = CartAt {
            id: self.id,
            revision: self.revision + 1,
        };
        Self::new(at, self.items)
    }
}

impl Line {
    /// What these cost together. A shop has few products and a cart at most 999 of each, so that the sum
    /// fits by far.
    pub(crate) fn total(lines: &[Self]) -> Money {
        let prices = lines
            .iter()
            .map(|line| i64::from(line.qty) * line.unit_price.amount);
        Money::new(prices.sum(), CURRENCY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> Cart {
        let at = CartAt {
            id: "c_1".into(),
            revision: 0,
        };
        Cart::new(at, Vec::new())
    }

    fn tea(qty: i32, cart: Cart) -> Cart {
        cart.with("TEA", qty, Money::new(1000, "RUB"))
    }

    #[test]
    fn only_a_change_makes_a_new_revision() {
        let one = tea(2, empty());
        assert_eq!((one.revision, one.total.amount), (1, 2000));
        assert_eq!(tea(2, one.clone()), one);
        let more = tea(3, one);
        assert_eq!((more.revision, more.total.amount), (2, 3000));
        let none = tea(0, more);
        assert_eq!((none.revision, none.items.len()), (3, 0));
        assert_eq!(tea(0, none.clone()), none);
    }

    #[test]
    fn a_product_in_the_cart_keeps_its_place_and_its_price() {
        let cart = tea(1, empty()).with("CUP", 1, Money::new(2500, "RUB"));
        let cart = cart.with("TEA", 2, Money::new(9999, "RUB"));
        assert_eq!(cart.items[0].unit_price.amount, 1000);
        assert_eq!(cart.total, Money::new(4500, "RUB"));
    }

    #[test]
    fn a_cart_is_shown_as_the_contract_says() {
        let shown = serde_json::to_value(tea(1, empty())).expect("JSON");
        let wanted = serde_json::json!({
            "id": "c_1", "revision": 1, "state": "open", "currency": "RUB",
            "items": [{"sku": "TEA", "qty": 1, "unitPrice": {"amount": 1000, "currency": "RUB"}}],
            "total": {"amount": 1000, "currency": "RUB"},
        });
        assert_eq!(shown, wanted);
    }
}
