//! What is wrong with a body? Each member is read with what it must be; whatever is not is noted
//! under its JSON pointer, so that a client learns everything at once.
//!
//! Members that are not asked for are left alone: clients of other versions may send more.

use keystep_http::FieldError;
use serde_json::{Map, Value};

use crate::domain::{Delivery, Money, Payment};

/// The longest name: a card, a kind of delivery, an order's number.
const MAX_NAME: usize = 64;
/// The longest text that people write: a comment, an address.
const MAX_TEXT: usize = 1000;
/// Numbers beyond are not the same in every JSON parser.
const LARGEST: i64 = 9_007_199_254_740_991;

/// The members of one object, being read.
pub(crate) struct Fields<'a> {
    members: Option<&'a Map<String, Value>>,
    /// The JSON pointer of the object.
    at: String,
}

/// What was found wrong so far.
#[derive(Default)]
pub(crate) struct Errors(Vec<FieldError>);

impl Errors {
    /// Notes what is wrong at a pointer.
    pub(crate) fn add(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.0.push(FieldError {
            pointer: pointer.into(),
            message: message.into(),
        });
    }

    /// The value, if nothing was wrong.
    ///
    /// # Errors
    ///
    /// All that was wrong.
    pub(crate) fn none<T>(self, value: T) -> Result<T, Vec<FieldError>> {
        if self.0.is_empty() { Ok(value) } else { Err(self.0) }
    }
}

impl<'a> Fields<'a> {
    /// The members of the body.
    pub(crate) fn of(body: &'a Value, errors: &mut Errors) -> Self {
        Self::at(body, String::new(), errors)
    }

    fn at(value: &'a Value, at: String, errors: &mut Errors) -> Self {
        if !value.is_object() {
            errors.add(at.clone(), "must be an object");
        }
        Self {
            members: value.as_object(),
            at,
        }
    }

    /// A member; `None` when it is missing or null.
    pub(super) fn member(&self, name: &str) -> Option<&'a Value> {
        self.members?.get(name).filter(|value| !value.is_null())
    }

    /// The JSON pointer of a member.
    pub(super) fn pointer(&self, name: &str) -> String {
        format!("{}/{name}", self.at)
    }

    /// Notes every member that is none of `known`.
    pub(super) fn only(&self, known: &[&str], errors: &mut Errors) {
        let members = self.members.into_iter().flatten();
        for (name, _) in members.filter(|(name, _)| !known.contains(&name.as_str())) {
            let name = name.replace('~', "~0").replace('/', "~1");
            errors.add(self.pointer(&name), "can not be changed here");
        }
    }

    /// A member that must be there.
    fn needed(&self, name: &str, errors: &mut Errors) -> Option<&'a Value> {
        let found = self.member(name);
        // Of what is no object everything is missing; that is said already.
        if found.is_none() && self.members.is_some() {
            errors.add(self.pointer(name), "is missing");
        }
        found
    }

    /// A text of people: at most 1,000 characters.
    pub(super) fn text(&self, name: &str, errors: &mut Errors) -> Option<String> {
        let value = self.member(name)?;
        let text = value.as_str();
        let fits = |text: &&str| text.chars().count() <= MAX_TEXT && !text.contains('\0');
        let text = text.filter(fits).map(str::to_owned);
        if text.is_none() {
            let rule = format!("must be a text of at most {MAX_TEXT} characters without NUL");
            errors.add(self.pointer(name), rule);
        }
        text
    }

    /// A name: 1 to 64 visible ASCII characters.
    pub(super) fn name(&self, name: &str, errors: &mut Errors) -> Option<String> {
        let value = self.needed(name, errors)?;
        named(value, self.pointer(name), errors)
    }

    /// A whole number that need not be there.
    pub(super) fn number(&self, name: &str, errors: &mut Errors) -> Option<i64> {
        let number = whole(self.member(name)?);
        if number.is_none() {
            errors.add(self.pointer(name), "must be a whole number");
        }
        number
    }

    /// A whole number within bounds that must be there.
    pub(crate) fn number_in(&self, name: &str, min: i64, max: i64, errors: &mut Errors) -> Option<i64> {
        let number = whole(self.needed(name, errors)?).filter(|number| (min..=max).contains(number));
        if number.is_none() {
            errors.add(
                self.pointer(name),
                format!("must be a whole number from {min} to {max}"),
            );
        }
        number
    }

    /// An amount of money above zero.
    pub(super) fn money(&self, name: &str, errors: &mut Errors) -> Option<Money> {
        let value = self.needed(name, errors)?;
        let money = Self::at(value, self.pointer(name), errors);
        let amount = money.number_in("amount", 1, LARGEST, errors);
        let currency = money.needed("currency", errors).and_then(|value| {
            let letters = |text: &&str| text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase());
            let currency = value.as_str().filter(letters);
            if currency.is_none() {
                errors.add(
                    money.pointer("currency"),
                    "must be three capital letters, such as RUB",
                );
            }
            currency
        });
        Some(Money {
            amount: amount?,
            currency: currency?.to_owned(),
        })
    }

    /// A text of whatever form; `None` when it is missing or null.
    pub(super) fn any_text(&self, name: &str, errors: &mut Errors) -> Option<String> {
        let text = self.member(name)?.as_str();
        if text.is_none() {
            errors.add(self.pointer(name), "must be a text");
        }
        text.map(str::to_owned)
    }

    /// A way to pay that the shop knows; `None` for one that it does not.
    pub(super) fn known_payment(&self, name: &str, errors: &mut Errors) -> Option<Payment> {
        let value = self.needed(name, errors)?;
        let fields = Self::at(value, self.pointer(name), errors);
        match fields.name("method", errors)?.as_str() {
            "card" | "cash" | "invoice" => payment(value, self.pointer(name), errors),
            _ => None,
        }
    }

    /// A change of a text: whether it is there, and then whether it is null.
    pub(super) fn text_change(&self, name: &str, errors: &mut Errors) -> Option<Option<String>> {
        match self.members?.get(name)? {
            Value::Null => Some(None),
            _ => self.text(name, errors).map(Some),
        }
    }

    /// A change of an address, which is a text or an object.
    pub(crate) fn address_change(&self, name: &str, errors: &mut Errors) -> Option<Option<Value>> {
        match self.members?.get(name)? {
            Value::Null => Some(None),
            address @ Value::Object(_) if !has_nul(address) => Some(Some(address.clone())),
            Value::String(_) => self.text(name, errors).map(|text| Some(Value::String(text))),
            _ => {
                errors.add(self.pointer(name), "must be a text, or an object without NUL");
                None
            }
        }
    }

    /// A way to pay.
    pub(super) fn payment(&self, name: &str, errors: &mut Errors) -> Option<Payment> {
        let value = self.needed(name, errors)?;
        payment(value, self.pointer(name), errors)
    }

    /// A list of at most so many ways to pay, if it is there.
    pub(super) fn payments(&self, name: &str, most: usize, errors: &mut Errors) -> Option<Vec<Payment>> {
        self.list(name, most, errors, payment)
    }

    /// A list of at most so many ways of delivery, if it is there.
    pub(super) fn deliveries(&self, name: &str, most: usize, errors: &mut Errors) -> Option<Vec<Delivery>> {
        self.list(name, most, errors, |value, at, errors| {
            let known = value.as_str().and_then(delivery);
            if known.is_none() {
                errors.add(at, "must be courier");
            }
            known
        })
    }

    fn list<T>(
        &self,
        name: &str,
        most: usize,
        errors: &mut Errors,
        read: impl Fn(&Value, String, &mut Errors) -> Option<T>,
    ) -> Option<Vec<T>> {
        let pointer = self.pointer(name);
        let list = self.member(name)?.as_array();
        let Some(list) = list.filter(|list| (1..=most).contains(&list.len())) else {
            errors.add(pointer, format!("must be a list of 1 to {most}"));
            return None;
        };
        let entries = list.iter().enumerate();
        let read = entries.filter_map(|(at, entry)| read(entry, format!("{pointer}/{at}"), errors));
        Some(read.collect())
    }
}

/// A way of delivery by its word.
pub(super) fn delivery(word: &str) -> Option<Delivery> {
    (word == "courier").then_some(Delivery::Courier)
}

/// A text with NUL can not be kept by every database.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn payment(value: &Value, at: String, errors: &mut Errors) -> Option<Payment> {
    let fields = Fields::at(value, at, errors);
    let method = fields.name("method", errors)?;
    match method.as_str() {
        "card" => fields
            .name("cardId", errors)
            .map(|card_id| Payment::Card { card_id }),
        "cash" => Some(Payment::Cash {}),
        "invoice" => Some(Payment::Invoice {}),
        _ => {
            errors.add(fields.pointer("method"), "must be card, cash or invoice");
            None
        }
    }
}

fn named(value: &Value, at: String, errors: &mut Errors) -> Option<String> {
    let fits = |text: &&str| {
        (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let name = value.as_str().filter(fits).map(str::to_owned);
    if name.is_none() {
        let rule = format!("must be a text of 1 to {MAX_NAME} visible ASCII characters");
        errors.add(at, rule);
    }
    name
}

/// A whole number however it is written: `1000`, `1000.0` and `1e3` are one number in JSON.
fn whole(value: &Value) -> Option<i64> {
    let exact = value
        .as_i64()
        .filter(|number| (-LARGEST..=LARGEST).contains(number));
    exact.or_else(|| {
        let number = value.as_f64()?;
        let fits = number.fract() == 0.0 && number.abs() <= LARGEST as f64;
        fits.then_some(number as i64)
    })
}
