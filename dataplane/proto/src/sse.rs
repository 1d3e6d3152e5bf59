//! Being written.

/// Removes the usage chunk that Sluice itself asked for from a chat stream.
///
/// Where a client streams without `stream_options.include_usage`, Sluice adds it upstream, and the provider
/// then sends one extra chunk: `choices` an empty array and `usage` an object. That event is withheld. Every
/// other byte passes, `"usage":null` in ordinary chunks included: no byte of a chunk that passes is changed.
#[derive(Debug, Default)]
pub struct UsageChunkFilter {}

impl UsageChunkFilter {
    /// A filter at the start of a body.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece and appends to `out` what may pass.
    pub fn feed(&mut self, body: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(body);
    }

    /// Ends the body: appends what was held back.
    pub fn finish(&mut self, _out: &mut Vec<u8>) {}
}
