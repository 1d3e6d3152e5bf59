//! Heads of requests and answers: `sluice_proto::http1`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_proto::http1::fuzz;

fuzz_target!(|data: &[u8]| {
    fuzz::fuzz_head(data);
    fuzz::fuzz_answer(data);
    fuzz::fuzz_query(data);
});
