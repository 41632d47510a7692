//! What if several handles, or processes, meet at one row of one file? There is one writer at a time;
//! the tests hold it, and look at what the others were told.

mod crowds;
mod fences;
mod immediate;
#[path = "../store/others.rs"]
#[expect(dead_code, reason = "the other tests of this crate use the rest")]
mod others;
#[path = "../store/support.rs"]
#[expect(dead_code, reason = "the other tests of this crate use the rest")]
mod support;
