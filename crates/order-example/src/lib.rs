//! How does one write a program that survives its own death? By example: the checkout of a
//! marketplace, on `keystep`.
//!
//! An order goes through four steps, [`workflow::order_create`], which touch the shop's tables, a
//! foreign payment provider and a file. Kill the service wherever you like and send the
//! request again, to any other instance: the order is finished from where it stopped, and there is
//! one of it. `order-example demo` shows exactly that.
//!
//! Read in this order:
//!
//! | room | question |
//! |---|---|
//! | [`workflow`] | what happens when somebody orders? |
//! | [`steps`] | how is each step done, and why may it be done again? |
//! | [`domain`] | what travels between the steps? |
//! | [`shop`] | where are stock and orders kept? |
//! | [`provider`], [`payments`] | the payment provider, and how we talk to it |
//! | [`receipts`], [`events`], [`ledger`] | effects in a file, once per key |
//! | [`http`] | requests in, orders or problems out |
//! | [`service`] | how is it all put together? |
//! | [`demo`] | does it hold? |

pub mod commands;
pub mod database;
pub mod demo;
pub mod domain;
pub mod events;
pub mod hooks;
pub mod http;
pub mod ledger;
pub mod payments;
pub mod provider;
pub mod ready;
pub mod receipts;
pub mod service;
pub mod shop;
pub mod steps;
pub mod timestamp;
pub mod workflow;
