//! Control frames: `sluice_shared::wire::control`. First the bytes as they are, then behind a header that fits,
//! since no fuzzer guesses a checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shared::wire::control::{HEADER_BYTES, VERSION, fuzz_frames};

fuzz_target!(|data: &[u8]| {
    fuzz_frames(data);
    let payload = data.get(HEADER_BYTES..).unwrap_or_default();
    let length = (payload.len() as u32).to_le_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&VERSION.to_le_bytes()), &length);
    let crc = crc32c::crc32c_append(crc, payload);
    let mut frame = b"SLCF".to_vec();
    frame.extend_from_slice(&VERSION.to_le_bytes());
    frame.extend_from_slice(&[0, 0]);
    frame.extend_from_slice(&length);
    frame.extend_from_slice(&crc.to_le_bytes());
    frame.extend_from_slice(payload);
    fuzz_frames(&frame);
});
