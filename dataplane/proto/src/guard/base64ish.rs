//! Strings that hold files in base64: nothing in them can be read, and digits enough to look like anything.

/// Shorter strings are looked through whatever they are.
const BYTES_MIN: usize = 256;

/// Whether a string is nothing but base64, with or without the head of a data URL, and long enough to be a file.
pub(super) fn file(text: &[u8]) -> bool {
    let data = match text.strip_prefix(b"data:") {
        Some(rest) => {
            let head = rest.get(..128).unwrap_or(rest);
            match head.windows(8).position(|window| window == b";base64,") {
                Some(at) => rest.get(at + 8..).unwrap_or_default(),
                None => return false,
            }
        }
        None => text,
    };
    data.len() >= BYTES_MIN
        && data
            .chunks(64)
            .all(|block| block.iter().fold(true, |all, byte| all & base64(*byte)))
}

const fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}
