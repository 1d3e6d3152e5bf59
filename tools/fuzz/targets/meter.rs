//! Whole meters of every API kind, compressed bodies too: `sluice_proto::meter`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_proto::meter::fuzz::fuzz_meter(data));
