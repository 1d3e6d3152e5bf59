//! Which texts may be logins, tags and groups of a credential: nothing that grants could take for something else.

/// Longest login, tag or group, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;

/// Why a text is no login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("is empty")]
    Empty,
    #[error("is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
    #[error("holds control characters or begins or ends with white space")]
    Characters,
    #[error("looks like a tag, a group or a source of its own")]
    Reserved,
}

/// Checks a login. Words that mean something else in `src` of a grant are refused: `tag:`, `group:`, `autogroup:`, `*`
/// and anything in parentheses.
pub(crate) fn login(text: &str) -> Result<(), LoginError> {
    if text.is_empty() {
        return Err(LoginError::Empty);
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(LoginError::TooLong);
    }
    if !printable(text) {
        return Err(LoginError::Characters);
    }
    let lower = text.to_ascii_lowercase();
    let reserved = ["tag:", "group:", "autogroup:", "("];
    if text == "*" || reserved.iter().any(|word| lower.starts_with(word)) {
        return Err(LoginError::Reserved);
    }
    Ok(())
}

/// Whether a text is a tag, with prefix `tag:`, or a group, with prefix `group:`. A comma would make two tags of one.
pub(crate) fn prefixed(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && printable(rest) && !rest.contains(','))
        && text.len() <= NAME_BYTES_MAX
}

/// No control characters, none that turn or hide text, no white space at the ends.
pub(crate) fn printable(text: &str) -> bool {
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    !text.chars().any(hidden) && text.trim() == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_that_mean_something_else_are_refused() {
        let check =
            |text: &str, expected: Result<(), LoginError>| assert_eq!(login(text), expected, "{text:?}");
        check("alice@example.com", Ok(()));
        check("Müller", Ok(()));
        check("a b", Ok(()));
        check("spiffe://x/y", Ok(()));
        check("", Err(LoginError::Empty));
        check(&"x".repeat(256), Ok(()));
        check(&"x".repeat(257), Err(LoginError::TooLong));
        check(" alice", Err(LoginError::Characters));
        check("alice\n", Err(LoginError::Characters));
        check("al\0ice", Err(LoginError::Characters));
        check("al\u{202e}ice", Err(LoginError::Characters));
        check("al\u{200b}ice", Err(LoginError::Characters));
        check("tag:ci", Err(LoginError::Reserved));
        check("TAG:ci", Err(LoginError::Reserved));
        check("group:admins", Err(LoginError::Reserved));
        check("autogroup:member", Err(LoginError::Reserved));
        check("(loopback)", Err(LoginError::Reserved));
        check("*", Err(LoginError::Reserved));
    }

    #[test]
    fn tags_and_groups_have_their_prefix_and_no_comma() {
        let check = |text: &str, expected: bool| assert_eq!(prefixed(text, "tag:"), expected, "{text:?}");
        check("tag:ci", true);
        check("tag:", false);
        check("ci", false);
        check("group:ci", false);
        check("tag:a,tag:b", false);
        check("tag:a\n", false);
        check(&format!("tag:{}", "x".repeat(252)), true);
        check(&format!("tag:{}", "x".repeat(253)), false);
    }
}
