//! What a check has to say: messages with a path into the document, a line and a column.

use std::fmt;

use super::hujson::Lines;

/// One remark about a configuration document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Place in the document, e.g. `providers.openai.baseurl`; empty for the whole of it.
    pub path: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is the matter, without the place. Never holds a secret.
    pub text: String,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// Collects messages while a document is read.
pub(crate) struct Messages<'a> {
    lines: Lines<'a>,
    pub(crate) errors: Vec<Message>,
    pub(crate) warnings: Vec<Message>,
    pub(crate) notices: Vec<Message>,
}

impl<'a> Messages<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            lines: Lines::new(text),
            errors: Vec::new(),
            warnings: Vec::new(),
            notices: Vec::new(),
        }
    }

    fn message(&self, at: usize, path: &str, text: String) -> Message {
        let (line, column) = self.lines.position(at);
        Message {
            path: path.to_owned(),
            line,
            column,
            text,
        }
    }

    /// The document cannot be used.
    pub(crate) fn error(&mut self, at: usize, path: &str, text: impl Into<String>) {
        let message = self.message(at, path, text.into());
        self.errors.push(message);
    }

    /// A part of the document is left out; the rest applies.
    pub(crate) fn warn(&mut self, at: usize, path: &str, text: impl Into<String>) {
        let message = self.message(at, path, text.into());
        self.warnings.push(message);
    }

    /// Worth knowing, nothing wrong.
    pub(crate) fn notice(&mut self, at: usize, path: &str, text: impl Into<String>) {
        let message = self.message(at, path, text.into());
        self.notices.push(message);
    }
}
