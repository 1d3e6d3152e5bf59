//! Model names: byte-exact, a small alphabet, bounded.

/// Longest model name, in bytes.
pub const MODEL_BYTES_MAX: usize = 256;

/// Whether `name` may be a model's: 1 to [`MODEL_BYTES_MAX`] bytes of `[A-Za-z0-9._:/@+-]`, none of its
/// `/`-separated parts `.` or `..`.
///
/// Look-alikes, zero-width characters, percent signs and control bytes never enter a comparison this way.
#[must_use]
pub fn valid_model(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= MODEL_BYTES_MAX
        && name.bytes().all(model_byte)
        && name.split('/').all(|part| part != "." && part != "..")
}

/// Whether this byte may stand in a model name.
#[must_use]
pub const fn model_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'/' | b'@' | b'+' | b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_names() {
        let check = |name: &str, expected: bool| assert_eq!(valid_model(name), expected, "{name:?}");
        check("gpt-5.1", true);
        check("anthropic/claude-sonnet-4-5", true);
        check("claude-sonnet-4@20250514", true);
        check(
            "arn:aws:bedrock:us-east-1:123:inference-profile/us.anthropic.claude-v1:0",
            true,
        );
        check("/data/models/llama", true);
        check("qwen3:8b", true);
        check("", false);
        check("a b", false);
        check("gpt-4%6f", false);
        check("gpt\u{2011}4", false);
        check("gpt-4\u{200b}", false);
        check("gpt-4\0", false);
        check("gpt-4\n", false);
        check("..", false);
        check("../admin", false);
        check("a/./b", false);
        check("a/..", false);
        check("a..b", true);
        check(&"m".repeat(256), true);
        check(&"m".repeat(257), false);
    }
}
