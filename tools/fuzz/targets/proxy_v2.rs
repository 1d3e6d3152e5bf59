//! Headers of the PROXY protocol: `sluice_proto::proxy_v2`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_proto::proxy_v2;

fuzz_target!(|data: &[u8]| proxy_v2::fuzz(data));
