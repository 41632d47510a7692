//! The steps of `order.create`, one file each, in the order in which they run.

mod authorize_payment;
mod create_order;
mod reserve_stock;
mod send_receipt;

pub use authorize_payment::{authorize_payment, find_authorization, void_authorization};
pub use create_order::create_order;
pub use reserve_stock::{release_stock, reserve_stock};
pub use send_receipt::SendReceipt;
