//! The end of the chain in a file: one line, the number and the hash in hexadecimal digits.

use std::io;
use std::path::Path;

use crate::files;
use crate::store::audit::chain::{Hash, Link};

/// Its name in the data directory.
pub(super) const NAME: &str = "audit.head";

/// The end; `None` if there is no file, or something else in it.
pub(super) fn read(path: &Path) -> Option<Link> {
    let text = std::fs::read_to_string(path).ok()?;
    let (seq, hash) = text.trim_end().split_once(' ')?;
    let digits = !seq.is_empty() && seq.bytes().all(|b| b.is_ascii_digit());
    Some(Link {
        seq: seq.parse().ok().filter(|_| digits)?,
        hash: unhex(hash)?,
    })
}

pub(super) fn write(path: &Path, end: Link) -> io::Result<()> {
    files::replace(path, format!("{} {}\n", end.seq, hex(&end.hash)).as_bytes())
}

/// A hash in hexadecimal digits.
pub(crate) fn hex(hash: &Hash) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what [`hex`] writes.
pub(crate) fn unhex(text: &str) -> Option<Hash> {
    let mut out = [0; 32];
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_reads_back_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        assert_eq!(read(&path), None);
        let end = Link {
            seq: 12,
            hash: [0xa5; 32],
        };
        write(&path, end).unwrap();
        assert_eq!(read(&path), Some(end));
        let hash = hex(&end.hash);
        for broken in [
            String::new(),
            "12".into(),
            format!("12 {}", &hash[1..]),
            format!("12 +{}", &hash[1..]),
            format!("-1 {hash}"),
            format!("+1 {hash}"),
            format!("12 {hash} 1"),
            format!("99999999999999999999999 {hash}"),
        ] {
            std::fs::write(&path, &broken).unwrap();
            assert_eq!(read(&path), None, "{broken}");
        }
    }
}
