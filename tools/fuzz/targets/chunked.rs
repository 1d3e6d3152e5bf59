//! Bodies, chunked and by length: `sluice_proto::http1`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_proto::http1::fuzz;

fuzz_target!(|data: &[u8]| {
    fuzz::fuzz_chunked(data);
    fuzz::fuzz_length(data);
});
