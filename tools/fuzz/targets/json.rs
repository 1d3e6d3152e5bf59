//! The scanner of request bodies: `sluice_proto::json`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_proto::json::fuzz::fuzz_json(data));
