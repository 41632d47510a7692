//! What did the client write? The body of `POST /api/v1/orders`, checked before anything is
//! written, so that a request that is refused here leaves its key unused.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::problem::{FieldError, MALFORMED_BODY, Problem, VALIDATION_FAILED};
use crate::domain::{Checkout, Item, Payment};

const MAX_ITEMS: usize = 50;
const MAX_QTY: i32 = 999;
const MAX_NAME: usize = 64;
const MAX_COMMENT: usize = 1000;

/// The body as it is sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct OrderRequest {
    /// May stand in for the header `Idempotency-Key`.
    pub(super) request_id: Option<String>,
    items: Vec<Item>,
    payment: Payment,
    comment: Option<String>,
}

impl OrderRequest {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// The problem to answer with.
    pub(super) fn read(body: &[u8]) -> Result<Self, Problem> {
        serde_json::from_slice::<NoMemberTwice>(body)
            .map_err(|error| Problem::new(MALFORMED_BODY, format!("The body can not be read: {error}.")))?;
        serde_json::from_slice(body).map_err(|error| {
            invalid(vec![FieldError {
                pointer: String::new(),
                message: error.to_string(),
            }])
        })
    }

    /// The order in it, if all fields are in order.
    ///
    /// # Errors
    ///
    /// The problem to answer with, naming each field.
    pub(super) fn checkout(self) -> Result<Checkout, Problem> {
        let mut errors = Vec::new();
        let mut wrong = |pointer: String, message: String| {
            errors.push(FieldError { pointer, message });
        };
        if !(1..=MAX_ITEMS).contains(&self.items.len()) {
            wrong("/items".into(), format!("must have 1 to {MAX_ITEMS} items"));
        }
        let mut seen = HashSet::new();
        for (at, item) in self.items.iter().enumerate() {
            if !is_name(&item.sku) {
                wrong(format!("/items/{at}/sku"), name_rule());
            }
            if !seen.insert(&item.sku) {
                let message = "is listed twice; add the quantities";
                wrong(format!("/items/{at}/sku"), message.into());
            }
            if !(1..=MAX_QTY).contains(&item.qty) {
                let message = format!("must be between 1 and {MAX_QTY}");
                wrong(format!("/items/{at}/qty"), message);
            }
        }
        let Payment::Card { card_id } = &self.payment;
        if !is_name(card_id) {
            wrong("/payment/cardId".into(), name_rule());
        }
        if let Some(comment) = &self.comment
            && (comment.chars().count() > MAX_COMMENT || comment.contains('\0'))
        {
            let message = format!("must have at most {MAX_COMMENT} characters and no NUL");
            wrong("/comment".into(), message);
        }
        if !errors.is_empty() {
            return Err(invalid(errors));
        }
        Ok(Checkout {
            items: self.items,
            payment: self.payment,
            comment: self.comment,
        })
    }
}

/// The problem for products that the catalogue does not know, by position.
pub(super) fn unknown_products(positions: &[usize]) -> Problem {
    let unknown = positions.iter().map(|at| FieldError {
        pointer: format!("/items/{at}/sku"),
        message: "is not in the catalogue".into(),
    });
    invalid(unknown.collect())
}

fn invalid(errors: Vec<FieldError>) -> Problem {
    let detail = "Nothing was done. Mend what errors names; the key may be used again.";
    Problem::new(VALIDATION_FAILED, detail).errors(errors)
}

fn is_name(text: &str) -> bool {
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn name_rule() -> String {
    format!("must have 1 to {MAX_NAME} visible ASCII characters")
}

/// Any JSON in which no object has a member twice: two readers could pick different ones.
struct NoMemberTwice;

impl<'de> Deserialize<'de> for NoMemberTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoMemberTwice {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            members.next_value::<Self>()?;
            if !seen.insert(name) {
                return Err(de::Error::custom("an object has the same member twice"));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}
