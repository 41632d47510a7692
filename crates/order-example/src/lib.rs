//! placeholder
pub mod domain;
pub mod ledger;
pub mod payments;
pub mod provider;
