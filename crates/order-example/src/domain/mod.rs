//! What do the shop and its customers talk about? Carts, offers, orders, payments: values, and nothing
//! else.
//!
//! Inputs and outputs of steps are written to the database, so their field names are a promise: a
//! running order must be readable by tomorrow's program. Outputs hold ids and facts, a later step looks
//! further back with `output_of`.
//!
//! | file | question |
//! |---|---|
//! | [`money`](Money) | how much? |
//! | [`cart`](Cart) | what does a customer want, and at which revision? |
//! | [`offer`](Offer) | for which prices and payment may it be ordered, and under which id? |
//! | [`order`](Order) | what was ordered, and which version is it? |
//! | [`payment`](Captured) | what was paid for an order? |
//! | [`seen`](Seen) | which state does a caller act on? |
//! | [`refusal`](Refusal) | what does the shop say no to? |

mod cart;
mod money;
mod offer;
mod order;
mod payment;
mod refusal;
mod seen;

pub use cart::{Cart, CartAt, CartState, Line, Quantity};
pub use money::Money;
pub use offer::{Delivery, Offer, OfferSecret, OfferShown, Offers, Payment, Wanted};
pub use order::{
    Authorized, Cancel, Change, Checkout, Order, OrderList, OrderPatch, Receipt, Requested, Reserved, Status,
};
pub use payment::{Captured, Charged, PaymentRequest, PaymentStatus};
pub use refusal::Refusal;
pub use seen::Seen;
