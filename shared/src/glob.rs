//! Globs over `provider/model` names.
//!
//! A pattern is a list of `/`-separated segments. `*` matches any run of characters within a segment; a segment that is
//! exactly `**` matches any number of segments, none included; everything else matches itself, byte for byte. Both ends
//! are anchored. `**` beside other characters in a segment means `*`, as in the usual glob libraries.
//!
//! Matching keeps one backtracking point for the last `*` of the segment and one for the last `**`: an earlier star never
//! needs to be tried again, because the later one can take over whatever the earlier one would give up. The work is at
//! most the product of the two lengths, never exponential.

/// Longest pattern, in bytes.
pub const PATTERN_BYTES_MAX: usize = 512;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Glob {
    text: Box<str>,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shape {
    /// `**`
    Everything,
    /// No star at all.
    Exact,
    /// Anything else.
    Pattern,
}

/// Why a pattern is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GlobError {
    /// The pattern is empty.
    #[error("the pattern is empty")]
    Empty,
    /// The pattern is longer than [`PATTERN_BYTES_MAX`].
    #[error("the pattern is longer than {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    /// A character that no provider or model name has, so that the pattern could never match as meant.
    #[error("the character {0:?} cannot occur in a model name; only * and ** are wildcards")]
    Character(char),
}

impl Glob {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// An empty or overlong pattern, or one with a character outside `[A-Za-z0-9._:/@+-]` and `*`.
    pub fn parse(text: &str) -> Result<Self, GlobError> {
        if text.is_empty() {
            return Err(GlobError::Empty);
        }
        if text.len() > PATTERN_BYTES_MAX {
            return Err(GlobError::TooLong);
        }
        let foreign = |c: &char| {
            !(c.is_ascii() && (*c == '*' || u8::try_from(*c).is_ok_and(crate::model_name::model_byte)))
        };
        if let Some(c) = text.chars().find(foreign) {
            return Err(GlobError::Character(c));
        }
        let shape = match text {
            "**" => Shape::Everything,
            _ if text.contains('*') => Shape::Pattern,
            _ => Shape::Exact,
        };
        Ok(Self {
            text: text.into(),
            shape,
        })
    }

    /// The pattern as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it has no star, so that it matches its own text and nothing else.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.shape == Shape::Exact
    }

    /// Whether the whole of `name` matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self.shape {
            Shape::Everything => true,
            Shape::Exact => *self.text == *name,
            Shape::Pattern => match_segments(self.text.split('/'), name.split('/')),
        }
    }

    /// Whether `provider/model` matches, without putting the two together.
    #[must_use]
    pub fn matches_pair(&self, provider: &str, model: &str) -> bool {
        match self.shape {
            Shape::Everything => true,
            Shape::Exact => self
                .text
                .strip_prefix(provider)
                .and_then(|rest| rest.strip_prefix('/'))
                .is_some_and(|rest| rest == model),
            Shape::Pattern => {
                match_segments(self.text.split('/'), provider.split('/').chain(model.split('/')))
            }
        }
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// Matches segments against segments; the pair (`pattern`, `name`) after the last `**` is where to go back to, with
/// one more segment given to that `**`.
fn match_segments<'a>(
    mut pattern: impl Iterator<Item = &'a str> + Clone,
    mut name: impl Iterator<Item = &'a str> + Clone,
) -> bool {
    let mut retry = None;
    loop {
        let mut pattern_rest = pattern.clone();
        let mut name_rest = name.clone();
        match (pattern_rest.next(), name_rest.next()) {
            (None, None) => return true,
            (Some("**"), _) => {
                pattern = pattern_rest;
                retry = Some((pattern.clone(), name.clone()));
                continue;
            }
            (Some(wanted), Some(segment)) if match_segment(wanted.as_bytes(), segment.as_bytes()) => {
                pattern = pattern_rest;
                name = name_rest;
                continue;
            }
            _ => {}
        }
        let Some((after_stars, swallowed)) = &mut retry else {
            return false;
        };
        if swallowed.next().is_none() {
            return false;
        }
        pattern = after_stars.clone();
        name = swallowed.clone();
    }
}

/// Matches one segment; every `*` stands for any run of bytes.
fn match_segment(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0usize, 0usize);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (pattern.get(p), text.get(t)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            (Some(wanted), Some(byte)) if wanted == byte => {
                p += 1;
                t += 1;
                continue;
            }
            _ => {}
        }
        let Some((after_star, swallowed)) = &mut retry else {
            return false;
        };
        if *swallowed >= text.len() {
            return false;
        }
        *swallowed += 1;
        p = *after_star;
        t = *swallowed;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        let check = |pattern: &str, provider: &str, model: &str, expected: bool| {
            let glob = Glob::parse(pattern).unwrap();
            assert_eq!(
                glob.matches_pair(provider, model),
                expected,
                "{pattern} against {provider}/{model}"
            );
            assert_eq!(
                glob.matches(&format!("{provider}/{model}")),
                expected,
                "{pattern} against {provider}/{model}"
            );
        };
        check("**", "openai", "gpt-5", true);
        check("**", "openrouter", "meta/llama", true);
        check("anthropic/**", "anthropic", "claude-opus-4", true);
        check("anthropic/**", "anthropic", "a/b/c", true);
        check("anthropic/**", "anthropic2", "claude", false);
        check("*/claude-opus*", "anthropic", "claude-opus-4-5", true);
        check("*/claude-opus*", "anthropic", "my-claude-opus", false);
        check("*/claude-opus*", "openrouter", "anthropic/claude-opus-4", false);
        check("**/claude-opus*", "openrouter", "anthropic/claude-opus-4", true);
        check("openrouter/*", "openrouter", "meta/llama", false);
        check("openrouter/*/llama*", "openrouter", "meta/llama-3:8b", true);
        check("openai/gpt-5", "openai", "gpt-5", true);
        check("openai/gpt-5", "openai", "gpt-5-mini", false);
        check("openai/gpt-5", "xopenai", "gpt-5", false);
        check("penai/gpt-5", "openai", "gpt-5", false);
        check("a/**/z", "a", "z", true);
        check("a/**/z", "a", "b/c/z", true);
        check("a/**/z", "a", "b/zz", false);
        check("a/x**", "a", "xyz", true);
        check("a/x**", "a", "x/y", false);
        check("*/*-*-*", "a", "b-c-d-e", true);
        check("OpenAI/*", "openai", "gpt-5", false);
    }

    #[test]
    fn entries_of_a_providers_list() {
        let check = |pattern: &str, model: &str, expected: bool| {
            assert_eq!(
                Glob::parse(pattern).unwrap().matches(model),
                expected,
                "{pattern} against {model}"
            );
        };
        check("gpt-*", "gpt-5.1", true);
        check("gpt-*", "gpt-", true);
        check("gpt-*", "chatgpt-4o", false);
        check("*", "gpt-5", true);
        check("*", "meta/llama", false);
        check("**", "meta/llama", true);
        check("meta/**", "meta", true);
    }

    #[test]
    fn patterns_that_could_never_match_are_refused() {
        assert_eq!(Glob::parse(""), Err(GlobError::Empty));
        assert_eq!(Glob::parse("gpt-[45]"), Err(GlobError::Character('[')));
        assert_eq!(Glob::parse("gpt-?"), Err(GlobError::Character('?')));
        assert_eq!(Glob::parse("gpt\u{2011}5"), Err(GlobError::Character('\u{2011}')));
        assert_eq!(Glob::parse("a b"), Err(GlobError::Character(' ')));
        assert!(Glob::parse(&"*".repeat(512)).is_ok());
        assert_eq!(Glob::parse(&"*".repeat(513)), Err(GlobError::TooLong));
    }

    #[test]
    fn many_stars_end_in_time() {
        // Exponential backtracking would not come back from these.
        let pattern = Glob::parse(&format!("{}b", "*a".repeat(100))).unwrap();
        assert!(!pattern.matches(&"a".repeat(256)));
        let pattern = Glob::parse(&format!("{}b", "**/a/".repeat(40))).unwrap();
        assert!(!pattern.matches(&"a/".repeat(128)));
    }

    /// The definition, by trying everything.
    fn naive_segments(pattern: &[&str], name: &[&str]) -> bool {
        match pattern {
            [] => name.is_empty(),
            ["**", rest @ ..] => (0..=name.len()).any(|skip| naive_segments(rest, &name[skip..])),
            [first, rest @ ..] => match name {
                [segment, more @ ..] => {
                    naive_segment(first.as_bytes(), segment.as_bytes()) && naive_segments(rest, more)
                }
                [] => false,
            },
        }
    }

    fn naive_segment(pattern: &[u8], text: &[u8]) -> bool {
        match pattern {
            [] => text.is_empty(),
            [b'*', rest @ ..] => (0..=text.len()).any(|skip| naive_segment(rest, &text[skip..])),
            [byte, rest @ ..] => text.first() == Some(byte) && naive_segment(rest, &text[1..]),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(4000)))]

        #[test]
        fn matching_is_what_the_definition_says(
            pattern in "([ab*]|\\*\\*|/|/\\*\\*/){1,9}",
            provider in "[ab]{1,2}",
            model in "[ab/]{1,7}",
        ) {
            let glob = Glob::parse(&pattern).unwrap();
            let name = format!("{provider}/{model}");
            let expected =
                naive_segments(&pattern.split('/').collect::<Vec<_>>(), &name.split('/').collect::<Vec<_>>());
            prop_assert_eq!(glob.matches(&name), expected, "{} against {}", pattern, name);
            prop_assert_eq!(glob.matches_pair(&provider, &model), expected, "{} against {}", pattern, name);
        }
    }
}
