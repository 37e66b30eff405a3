//! Fuzz `targets::link_datagrams`.
#![no_main]

#[path = "../targets/mod.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::link_datagrams(data));
