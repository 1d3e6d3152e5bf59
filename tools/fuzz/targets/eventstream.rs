//! AWS event streams: `sluice_proto::eventstream`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_proto::meter::fuzz::fuzz_eventstream(data));
