#![no_main]
//! Any bytes as a JSON body.

#[path = "../entry/document.rs"]
mod document;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| document::try_one(bytes));
