//! placeholder

pub mod cases;
mod catalogue;
pub mod faulty;
mod fixture;
mod harness;
pub mod model;
pub mod planted;

pub use catalogue::{Case, cases, transaction_cases};
pub use harness::{Harness, Transactions, Work, run_case};
