//! How does one write a program that survives its own death? By example: the checkout of a
//! marketplace, on `keystep`.
//!
//! A customer fills a cart, goes to the checkout, orders and pays: see [`workflow`] for the steps. Kill
//! the service wherever you like and send the request again, to any other instance: the order is finished
//! from where it stopped, and there is one of it. `order-example demo` shows exactly that.
//!
//! Read in this order:
//!
//! | room | question |
//! |---|---|
//! | [`workflow`] | what happens when somebody orders, or pays? |
//! | [`steps`] | how is each step done, and why may it be done again? |
//! | [`domain`] | what do the shop and its customers talk about? |
//! | [`shop`] | where are carts, stock, orders and payments kept? |
//! | [`provider`], [`payments`] | the payment provider, and how we talk to it |
//! | [`receipts`], [`events`], [`ledger`] | effects in a file, once per key |
//! | [`http`] | requests in, orders or problems out |
//! | [`tokens`] | who may use it? |
//! | [`config`] | what may whoever runs it choose? |
//! | [`service`] | how is it all put together? |
//! | [`demo`] | does it hold? |
//!
//! Beside the story stand [`compat`], for clients of two older services, and [`hooks`], for tests.

pub mod commands;
pub mod compat;
pub mod config;
pub mod database;
pub mod demo;
pub mod domain;
pub mod events;
pub mod hooks;
pub mod http;
pub mod ledger;
pub mod numbers;
pub mod payments;
pub mod provider;
pub mod ready;
pub mod receipts;
pub mod service;
pub mod shop;
pub mod steps;
pub mod timestamp;
pub mod tokens;
pub mod workflow;
