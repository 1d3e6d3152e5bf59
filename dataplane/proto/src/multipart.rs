//! Incremental `multipart/form-data` scanner (RFC 7578): finds the fields `model` and `stream` of uploads without
//! holding the files.
//!
//! Strict where two parsers could disagree: no preamble, no white space after a boundary, one `Content-Disposition`
//! a part with one plain `name`, no duplicate or case variant of a policy field, no encoding of one.

use std::ops::Range;

use crate::json::StringFact;

/// Longest boundary (RFC 2046 §5.1.1), in bytes.
pub const BOUNDARY_BYTES_MAX: usize = 70;
/// Longest value of a policy field, in bytes.
pub const FIELD_BYTES_MAX: usize = 512;
/// Largest head of a part, in bytes.
pub const PART_HEAD_BYTES_MAX: usize = 8 * 1024;
/// Most parts of a body.
pub const PARTS_MAX: u32 = 128;

mod boundary;
mod head;
mod scan;

pub use boundary::boundary;
pub use scan::MultipartScan;

/// What the form says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultipartFacts {
    /// `model`; its span covers the bare value.
    pub model: Option<StringFact>,
    /// `stream`, spelt `true` or `false`.
    pub stream: Option<bool>,
    /// Place of the value of `stream`.
    pub stream_span: Option<Range<u64>>,
    /// Parts seen.
    pub parts: u32,
    /// Bytes of the body.
    pub bytes: u64,
}

/// Why a form is refused: 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (at byte {offset})")]
pub struct MultipartReject {
    /// Absolute offset in the body, at or shortly after the fault.
    pub offset: u64,
    /// What is wrong.
    pub reason: &'static str,
}
