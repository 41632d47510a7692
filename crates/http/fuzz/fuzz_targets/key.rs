#![no_main]
//! Any bytes as a line of `Idempotency-Key`.

#[path = "../entry/key.rs"]
mod key;

libfuzzer_sys::fuzz_target!(|line: &[u8]| key::try_one(line));
