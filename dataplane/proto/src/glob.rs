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
        let foreign =
            |c: &char| !(c.is_ascii() && (*c == '*' || u8::try_from(*c).is_ok_and(crate::route::model_byte)));
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
