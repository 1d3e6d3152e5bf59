//! Sealed snapshots: `sluice_shared::snapshot`. First the bytes as they are, then behind a header that fits, since
//! no fuzzer guesses a checksum.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shared::snapshot::{Sealed, VERSION};

fuzz_target!(|data: &[u8]| {
    read(data);
    // Built snapshots begin with a header of 32 bytes: let the fuzzer work on what is behind it.
    let archive = data.get(32..).unwrap_or_default();
    let mut sealed = b"SLUICECF".to_vec();
    let length = (archive.len() as u64).to_le_bytes();
    let crc = crc32c::crc32c_append(
        crc32c::crc32c_append(crc32c::crc32c(&VERSION.to_le_bytes()), &length),
        archive,
    );
    sealed.extend_from_slice(&VERSION.to_le_bytes());
    sealed.extend_from_slice(&crc.to_le_bytes());
    sealed.extend_from_slice(&length);
    sealed.extend_from_slice(&[0; 8]);
    sealed.extend_from_slice(archive);
    read(&sealed);
});

/// Opens it and visits everything in it.
fn read(bytes: &[u8]) {
    if let Ok(sealed) = Sealed::open(bytes) {
        let owned = sealed.to_owned().expect("what was checked can be read");
        assert_eq!(owned.epoch.0, sealed.snapshot().epoch.0.to_native());
        let _ = format!("{owned:?}");
    }
}
