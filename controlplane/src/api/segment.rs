//! Names as parts of paths.
//!
//! The data plane takes no path that two readers could take for different ones, so `%2F` (but in models), `%5C`, `%25`, `%3B`, control
//! characters and segments of dots are in none. A name that has them is written as `~` and its UTF-8 in base64url without padding; so is
//! one that begins with `~`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::problem::Problem;

/// The name that a part of a path stands for; `parameter`: what that part is called.
pub(super) fn name(parameter: &str, segment: String) -> Result<String, Problem> {
    let Some(encoded) = segment.strip_prefix('~') else {
        return Ok(segment);
    };
    let bytes = URL_SAFE_NO_PAD.decode(encoded).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Problem::bad_parameter(parameter, "must have base64url without padding behind its ~"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_as_they_are_or_encoded() {
        let check = |segment: &str, expected: &str| {
            assert_eq!(
                name("login", segment.to_owned()).as_deref(),
                Ok(expected),
                "{segment}"
            );
        };
        check("alice@example.com", "alice@example.com");
        check("a~b", "a~b");
        check("~Q09SUFx4", "CORP\\x");
        check("~fmFsaWNl", "~alice");
        check("~Li4", "..");
        check("~w6Qv5pel", "ä/日");
        check("~", "");
        for bad in ["~alice", "~YQ==", "~/w", "~_w"] {
            assert!(name("login", bad.to_owned()).is_err(), "{bad}");
        }
    }
}
