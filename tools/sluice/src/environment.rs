//! What of the environment a child process may see, and a configuration refer to.

use std::collections::HashMap;
use std::ffi::OsString;

/// Variables that every child gets. All others stay behind, provider keys first of all: the data plane learns keys
/// from the sealed snapshot and nowhere else, so that its `/proc/PID/environ` holds none.
const HARMLESS: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "LLVM_PROFILE_FILE",
    "MONOIO_FORCE_LEGACY_DRIVER",
    "PATH",
    "RUST_BACKTRACE",
    "SLUICE_BARE",
    "SLUICE_LOG",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "TMPDIR",
    "TZ",
];

/// The harmless part of this process's environment.
pub(crate) fn harmless() -> Vec<(OsString, OsString)> {
    std::env::vars_os()
        .filter(|(name, _)| name.to_str().is_some_and(|name| HARMLESS.contains(&name)))
        .collect()
}

/// The whole environment, as configurations may refer to it; what is not UTF-8 cannot be referred to.
pub(crate) fn readable() -> HashMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_and_names_no_secret() {
        assert!(HARMLESS.is_sorted());
        for name in HARMLESS {
            assert!(
                !["KEY", "TOKEN", "SECRET", "PASSWORD"]
                    .iter()
                    .any(|word| name.contains(word)),
                "{name}"
            );
        }
        assert!(
            harmless()
                .iter()
                .all(|(name, _)| HARMLESS.contains(&name.to_str().unwrap()))
        );
    }
}
