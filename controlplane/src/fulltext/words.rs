//! What people type to look for captures: words and "phrases", all of which must occur.

/// Longest question, in characters.
const CHARACTERS_MAX: usize = 256;
/// Most words and phrases of one.
const TERMS_MAX: usize = 16;

/// Words and phrases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    text: String,
    /// Words that begin so count, too.
    begins: bool,
}

/// Why a question cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadWords {
    #[error("has a quotation mark without its other: a phrase stands between two")]
    Open,
    #[error("has no letter and no digit to look for in one of its words")]
    Nothing,
    #[error("is longer than 256 characters or has more than 16 words and phrases")]
    Long,
}

impl Words {
    /// Reads a question.
    pub(crate) fn parse(text: &str) -> Result<Self, BadWords> {
        if text.chars().count() > CHARACTERS_MAX {
            return Err(BadWords::Long);
        }
        let mut terms = Vec::new();
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (term, behind) = match rest.strip_prefix('"') {
                Some(phrase) => phrase.split_once('"').ok_or(BadWords::Open)?,
                None => {
                    let end = rest
                        .find(|c: char| c.is_whitespace() || c == '"')
                        .unwrap_or(rest.len());
                    rest.split_at(end)
                }
            };
            let begins = match behind.strip_prefix('*') {
                Some(_) => true,
                None => term.ends_with('*'),
            };
            if !term.chars().any(char::is_alphanumeric) {
                return Err(BadWords::Nothing);
            }
            terms.push(Term {
                text: term.trim_end_matches('*').to_owned(),
                begins,
            });
            rest = behind.trim_start_matches('*').trim_start();
        }
        match terms.len() {
            0 => Err(BadWords::Nothing),
            1..=TERMS_MAX => Ok(Self(terms)),
            _ => Err(BadWords::Long),
        }
    }

    /// The same in the index's language: every text in quotation marks, so that none of it is a command.
    pub(super) fn expression(&self, who: Option<&str>) -> String {
        let terms: Vec<String> = self
            .0
            .iter()
            .map(|term| {
                let text = term.text.replace(['"', '\0'], " ");
                format!("\"{text}\"{}", if term.begins { " *" } else { "" })
            })
            .collect();
        let text = format!("text : ({})", terms.join(" AND "));
        match who {
            Some(who) => format!("who : \"{who}\" AND {text}"),
            None => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_read() {
        let check = |text: &str, expected: Result<&str, BadWords>| {
            let found = Words::parse(text).map(|words| words.expression(None));
            assert_eq!(found, expected.map(|it| format!("text : ({it})")), "{text}");
        };
        check("invoice", Ok(r#""invoice""#));
        check("  two  words ", Ok(r#""two" AND "words""#));
        check(r#"a "whole phrase" b"#, Ok(r#""a" AND "whole phrase" AND "b""#));
        check(r#"a"b c"d"#, Ok(r#""a" AND "b c" AND "d""#));
        check("begin*", Ok(r#""begin" *"#));
        check(r#""two wor"*"#, Ok(r#""two wor" *"#));
        check("NOT x OR y", Ok(r#""NOT" AND "x" AND "OR" AND "y""#));
        check("who:alice", Ok(r#""who:alice""#));
        check("日本", Ok("\"日本\""));
        check("", Err(BadWords::Nothing));
        check("   ", Err(BadWords::Nothing));
        check("a ---", Err(BadWords::Nothing));
        check("*", Err(BadWords::Nothing));
        check(r#"a "b"#, Err(BadWords::Open));
        check(&"ä".repeat(257), Err(BadWords::Long));
        check(&"a ".repeat(17), Err(BadWords::Long));
        let who = Words::parse("x").unwrap().expression(Some("u1"));
        assert_eq!(who, r#"who : "u1" AND text : ("x")"#);
    }
}
