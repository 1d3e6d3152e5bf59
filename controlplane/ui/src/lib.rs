//! The dashboard, as files in memory.
//!
//! `build.rs` bundles the web sources beside this file and compresses what comes out; here is the table of it. A build
//! without npm, or with `SLUICE_UI=skip`, has an empty table, and [`MISSING`] says why.

use std::borrow::Cow;
use std::io::Read as _;

/// A file of the dashboard.
#[derive(Debug)]
pub struct Asset {
    /// Below `/ui/`, without a slash in front.
    pub path: &'static str,
    /// Value of `content-type`.
    pub mime: &'static str,
    /// Strong entity tag of the uncompressed bytes, in its quotes.
    pub etag: &'static str,
    /// The path holds a hash of the content: it never changes.
    pub hashed: bool,
    identity: Option<&'static [u8]>,
    /// The content, compressed by gzip.
    pub gzip: &'static [u8],
    /// The content, compressed by brotli.
    pub brotli: &'static [u8],
}

impl Asset {
    /// The content as it is. Few ask for that, so of larger files only the compressed forms are kept.
    #[must_use]
    pub fn identity(&self) -> Cow<'static, [u8]> {
        self.identity
            .map_or_else(|| Cow::Owned(inflate(self.gzip)), Cow::Borrowed)
    }
}

/// Why there is no dashboard in this build; `None` if there is one. A sentence that goes on from "it is not there: ".
pub const MISSING: Option<&str> = REASON;

/// The page that every route of the dashboard begins with.
pub const INDEX: &str = "index.html";

/// What stands in [`INDEX`] where the nonce of the answer belongs.
pub const NONCE_PLACEHOLDER: &str = "__CSP_NONCE__";

/// Every file, sorted by path; empty if the dashboard is missing.
#[must_use]
pub fn assets() -> &'static [Asset] {
    TABLE
}

/// The file at a path below `/ui/`.
#[must_use]
pub fn asset(path: &str) -> Option<&'static Asset> {
    TABLE.iter().find(|asset| asset.path == path)
}

/// Bytes of our own build: that they are whole is not in question, and a file that is not would be shown cut.
fn inflate(gzip: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = flate2::read::GzDecoder::new(gzip).read_to_end(&mut bytes);
    bytes
}

include!(concat!(env!("OUT_DIR"), "/table.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_is_whole_or_missing_for_a_reason() {
        if let Some(reason) = MISSING {
            assert!(!reason.is_empty() && assets().is_empty());
            return;
        }
        let index = asset(INDEX).unwrap().identity();
        let index = std::str::from_utf8(&index).unwrap();
        assert_eq!(index.matches(NONCE_PLACEHOLDER).count(), 1, "{index}");
        for script in index.split("src=\"").skip(1) {
            let path = script.split('"').next().unwrap();
            let asset = asset(path.strip_prefix("/ui/").unwrap()).unwrap();
            assert!(asset.hashed, "{path}");
        }
        for asset in assets() {
            assert!(!asset.identity().is_empty(), "{}", asset.path);
            assert_eq!(asset.identity(), inflate(asset.gzip), "{}", asset.path);
            assert!(asset.etag.len() > 20 && asset.etag.starts_with('"') && asset.etag.ends_with('"'));
        }
    }
}
