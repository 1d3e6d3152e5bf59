//! What the tailnet's daemon says, as an answer and as a line of its bus: `sluice_controlplane::fuzz_localapi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sluice_controlplane::fuzz_localapi(data));
