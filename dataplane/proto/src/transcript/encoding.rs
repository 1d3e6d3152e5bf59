//! Removing `content-encoding` from a captured body.
//!
//! The decoders are those of the meter, with its bounds on what a small piece and the whole may decode to; here the
//! result is bounded too, and several encodings one over the other are taken off in their order.

use std::borrow::Cow;

use crate::meter::{Decoder, Encoding};

/// Most encodings one over the other. Each could be a bomb of its own.
const LAYERS_MAX: usize = 4;

/// Why a body cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// An encoding that is not known.
    #[error("unknown content encoding")]
    Unknown,
    /// More encodings one over the other than anyone uses.
    #[error("too many content encodings")]
    TooMany,
    /// The bytes are damaged, go on after their end, or expand beyond all measure.
    #[error("damaged content encoding, or one that expands beyond measure")]
    Damaged,
    /// More bytes come out than are wanted.
    #[error("the decoded body is too large")]
    TooLarge,
}

/// Decodes a body by its `content-encoding`, the last one named first (RFC 9110 §8.4). A body that was cut gives what can
/// be decoded of it; one without an encoding is handed back as it is.
///
/// # Errors
///
/// See [`DecodeError`]. `bytes_max` bounds what comes out of each encoding, not what goes in.
pub fn decode<'a>(
    content_encoding: Option<&str>,
    body: &'a [u8],
    bytes_max: usize,
) -> Result<Cow<'a, [u8]>, DecodeError> {
    let layers: Vec<Encoding> = content_encoding
        .unwrap_or_default()
        .split(',')
        .map(|token| Encoding::of(Some(token)))
        .filter(|encoding| *encoding != Encoding::Identity)
        .take(LAYERS_MAX.saturating_add(1))
        .collect();
    if layers.len() > LAYERS_MAX {
        return Err(DecodeError::TooMany);
    }
    let mut decoded = Cow::Borrowed(body);
    for layer in layers.into_iter().rev() {
        decoded = Cow::Owned(one(layer, &decoded, bytes_max)?);
    }
    if decoded.len() > bytes_max {
        return Err(DecodeError::TooLarge);
    }
    Ok(decoded)
}

fn one(encoding: Encoding, body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut decoder = Decoder::new(encoding).ok_or(DecodeError::Unknown)?;
    let mut out = Vec::new();
    // In pieces, so that what is too large is known before all of it is there.
    for piece in body.chunks(64 * 1024) {
        let mut large = false;
        let whole = decoder.feed(piece, |bytes| {
            large |= out.len().saturating_add(bytes.len()) > bytes_max;
            if !large {
                out.extend_from_slice(bytes);
            }
        });
        if large {
            return Err(DecodeError::TooLarge);
        }
        if !whole {
            return Err(DecodeError::Damaged);
        }
    }
    Ok(out)
}
