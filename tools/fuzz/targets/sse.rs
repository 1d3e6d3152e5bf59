//! The SSE scanner and the usage chunk filter: `sluice_proto::sse`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_proto::meter::fuzz::fuzz_sse(data));
