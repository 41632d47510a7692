//! The steps of the service, one file each, those of one schema in the order in which they run.

mod authorize_payment;
mod change_order;
mod charge;
mod create_order;
mod order_of_request;
mod record_payment;
mod reserve_stock;
mod send_receipt;

pub use authorize_payment::{authorize_payment, find_authorization, void_authorization};
pub use change_order::change_order;
pub use charge::{charge, find_charge};
pub use create_order::create_order;
pub use order_of_request::order_of_request;
pub use record_payment::record_payment;
pub use reserve_stock::{release_stock, reserve_stock};
pub use send_receipt::SendReceipt;
