//! Names of buckets: the name of a quota with its placeholders filled in.
//!
//! `daily:<user>` is one quota and a bucket for each login. `<user>`, `<node>` and `<group>` follow from the principal
//! alone; `<model>`, `<provider>` and `<session>` from the request. A quota with `<group>` has a bucket for each of the
//! principal's groups, and all of them count.
//!
//! What is put in is put in as it is. A session key is the client's own word, so it stands behind the login: nobody can
//! name another's session. A name that would be longer than [`NAME_BYTES_MAX`] is cut and ends in a hash of the whole,
//! so that two long names stay two buckets.

use std::fmt;

/// Longest name of a bucket, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// What stands for `<group>` where a principal has none, and for the key in `<session>` where the client named none.
pub const NONE: &str = "(none)";

/// Bytes at the end of a name that was cut: `#` and 128 bits in hexadecimal.
const MARK_BYTES: usize = 33;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Placeholder {
    /// Login of the principal; the tags of a device.
    User,
    /// Stable id of the node.
    Node,
    /// A group of the principal.
    Group,
    /// Model as the provider knows it.
    Model,
    /// Id of the provider.
    Provider,
    /// Login, a slash, and the session key that the client named.
    Session,
}

impl Placeholder {
    /// Every placeholder, in the order in which messages list them.
    pub const ALL: &'static [Self] = &[
        Self::User,
        Self::Node,
        Self::Group,
        Self::Model,
        Self::Provider,
        Self::Session,
    ];

    /// As it stands in a name, brackets included.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::User => "<user>",
            Self::Node => "<node>",
            Self::Group => "<group>",
            Self::Model => "<model>",
            Self::Provider => "<provider>",
            Self::Session => "<session>",
        }
    }

    /// Whether it differs between two requests of one principal.
    #[must_use]
    pub const fn of_request(self) -> bool {
        matches!(self, Self::Model | Self::Provider | Self::Session)
    }
}

/// The name of a quota, taken apart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Template {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Text(Box<str>),
    Field(Placeholder),
}

/// What is put in for placeholders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Values<'a> {
    /// Login of the principal.
    pub user: &'a str,
    /// Stable id of its node.
    pub node: &'a str,
    /// One of its groups; [`NONE`] if it has none.
    pub group: &'a str,
    /// Model as the provider knows it; empty where the call names none.
    pub model: &'a str,
    /// Id of the provider.
    pub provider: &'a str,
    /// Key that the client named.
    pub session: Option<&'a str>,
}

/// Why the name of a quota cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A placeholder that is none.
    #[error("{0:?} is no placeholder")]
    Unknown(String),
    /// `<` without `>`, or `>` without `<`.
    #[error("an angle bracket stands alone")]
    Bracket,
    /// Nothing at all.
    #[error("the name is empty")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("the name is longer than {NAME_BYTES_MAX} bytes")]
    TooLong,
}

impl Template {
    /// Takes the name of a quota apart.
    ///
    /// # Errors
    /// See [`NameError`].
    pub fn parse(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong);
        }
        let mut parts = Vec::new();
        let mut rest = name;
        while !rest.is_empty() {
            let (text, field) = rest.split_once('<').map_or((rest, None), |(t, f)| (t, Some(f)));
            if text.contains('>') {
                return Err(NameError::Bracket);
            }
            if !text.is_empty() {
                parts.push(Part::Text(text.into()));
            }
            let Some(field) = field else { break };
            let (word, behind) = field.split_once('>').ok_or(NameError::Bracket)?;
            let known = Placeholder::ALL
                .iter()
                .find(|known| known.text().get(1..).and_then(|t| t.strip_suffix('>')) == Some(word));
            let known = known.ok_or_else(|| NameError::Unknown(format!("<{word}>")))?;
            parts.push(Part::Field(*known));
            rest = behind;
        }
        Ok(Self { parts: parts.into() })
    }

    /// The placeholders in it, in order, doubled ones twice.
    pub fn placeholders(&self) -> impl Iterator<Item = Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Field(field) => Some(*field),
        })
    }

    /// Whether the name differs between two requests of one principal.
    #[must_use]
    pub fn of_request(&self) -> bool {
        self.placeholders().any(Placeholder::of_request)
    }

    /// Whether there is a bucket for each group.
    #[must_use]
    pub fn of_group(&self) -> bool {
        self.placeholders().any(|field| field == Placeholder::Group)
    }

    /// Whether the bucket belongs to one person or node: a session and a login are somebody's, a model is everybody's.
    #[must_use]
    pub fn is_personal(&self) -> bool {
        let own = |field| {
            matches!(
                field,
                Placeholder::User | Placeholder::Node | Placeholder::Session
            )
        };
        self.placeholders().any(own)
    }

    /// Writes the bucket's name in place of what `out` holds; at most [`NAME_BYTES_MAX`] bytes.
    pub fn fill(&self, values: &Values<'_>, out: &mut String) {
        out.clear();
        self.pieces(values).for_each(|piece| out.push_str(piece));
        if out.len() > NAME_BYTES_MAX {
            cut(out);
        }
    }

    /// The pieces of a name, uncut.
    fn pieces<'a>(&'a self, values: &Values<'a>) -> impl Iterator<Item = &'a str> {
        let values = *values;
        self.parts.iter().flat_map(move |part| {
            let alone = |piece| [piece, "", ""];
            match part {
                Part::Text(text) => alone(&**text),
                Part::Field(Placeholder::User) => alone(values.user),
                Part::Field(Placeholder::Node) => alone(values.node),
                Part::Field(Placeholder::Group) => alone(if values.group.is_empty() {
                    NONE
                } else {
                    values.group
                }),
                Part::Field(Placeholder::Model) => alone(values.model),
                Part::Field(Placeholder::Provider) => alone(values.provider),
                Part::Field(Placeholder::Session) => [values.user, "/", values.session.unwrap_or(NONE)],
            }
        })
    }

    /// Whether a bucket of this name can be one of a principal with these values, whatever model, provider and session
    /// it used. `values.group` counts for `<group>`; call it for each.
    ///
    /// A name that was cut belongs to it only if its own name is cut to the same; where placeholders of a request are in
    /// it that cannot be told, and the answer is no.
    #[must_use]
    pub fn fits(&self, name: &str, values: &Values<'_>) -> bool {
        if !self.of_request() {
            let mut own = String::new();
            self.fill(values, &mut own);
            return own == name;
        }
        // A sequence of fixed texts with anything between them, as in a glob. What is fixed is found from the left: if
        // any way fits, so does the one that takes the first place for each text, the last text excepted.
        let mut texts: Vec<String> = vec![String::new()];
        for part in &self.parts {
            let Some(text) = texts.last_mut() else {
                return false;
            };
            match part {
                Part::Text(fixed) => text.push_str(fixed),
                Part::Field(Placeholder::User) => text.push_str(values.user),
                Part::Field(Placeholder::Node) => text.push_str(values.node),
                Part::Field(Placeholder::Group) => {
                    text.push_str(if values.group.is_empty() {
                        NONE
                    } else {
                        values.group
                    });
                }
                Part::Field(Placeholder::Session) => {
                    text.push_str(values.user);
                    text.push('/');
                    texts.push(String::new());
                }
                Part::Field(Placeholder::Model | Placeholder::Provider) => texts.push(String::new()),
            }
        }
        let Some((first, rest)) = texts.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return name == first;
        };
        let Some(mut left) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        for text in middle {
            let Some((_, behind)) = left.split_once(text.as_str()) else {
                return false;
            };
            left = behind;
        }
        left.ends_with(last.as_str())
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Field(field) => f.write_str(field.text()),
        })
    }
}

/// Cuts a name that is too long, and ends it with a hash of all of it.
fn cut(name: &mut String) {
    let hash = fnv(name.as_bytes());
    let most = NAME_BYTES_MAX.saturating_sub(MARK_BYTES);
    let end = (0..=most)
        .rev()
        .find(|at| name.is_char_boundary(*at))
        .unwrap_or(0);
    name.truncate(end);
    // Writing to a string cannot fail.
    let _ = fmt::Write::write_fmt(name, format_args!("#{hash:032x}"));
}

/// FNV-1a with 128 bits (RFC 9923): it keeps names apart and guards nothing.
fn fnv(bytes: &[u8]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes
        .iter()
        .fold(BASIS, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Values<'static> = Values {
        user: "alice@example.com",
        node: "n1",
        group: "group:eng",
        model: "claude/x",
        provider: "anthropic",
        session: Some("s-1"),
    };

    fn filled(name: &str, values: &Values<'_>) -> String {
        let mut out = "left over".to_owned();
        Template::parse(name).unwrap().fill(values, &mut out);
        out
    }

    #[test]
    fn placeholders_are_filled_in() {
        let nobody = Values {
            user: "bob",
            ..Values::default()
        };
        for (name, of_alice, of_bob) in [
            ("team", "team", "team"),
            ("daily:<user>", "daily:alice@example.com", "daily:bob"),
            ("<node>", "n1", ""),
            ("g/<group>", "g/group:eng", "g/(none)"),
            ("<model>@<provider>", "claude/x@anthropic", "@"),
            ("<session>", "alice@example.com/s-1", "bob/(none)"),
            ("<user><user>.", "alice@example.comalice@example.com.", "bobbob."),
        ] {
            assert_eq!(filled(name, &ALICE), of_alice, "{name}");
            assert_eq!(filled(name, &nobody), of_bob, "{name}");
            assert_eq!(Template::parse(name).unwrap().to_string(), name);
        }
    }

    #[test]
    fn what_a_name_depends_on() {
        for (name, of_request, of_group, personal) in [
            ("team", false, false, false),
            ("<user>", false, false, true),
            ("<group>/<node>", false, true, true),
            ("<user>/<model>", true, false, true),
            ("<provider>", true, false, false),
            ("<session>", true, false, true),
        ] {
            let template = Template::parse(name).unwrap();
            assert_eq!(
                (template.of_request(), template.of_group(), template.is_personal()),
                (of_request, of_group, personal),
                "{name}"
            );
        }
    }

    #[test]
    fn names_that_cannot_be_read() {
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        for (name, error) in [
            ("", NameError::Empty),
            (long.as_str(), NameError::TooLong),
            ("a<usr>", NameError::Unknown("<usr>".into())),
            ("a<>", NameError::Unknown("<>".into())),
            ("<<user>>", NameError::Unknown("<<user>".into())),
            ("a<user", NameError::Bracket),
            ("a<", NameError::Bracket),
            ("user>", NameError::Bracket),
            ("<user>>", NameError::Bracket),
        ] {
            assert_eq!(Template::parse(name), Err(error), "{name:?}");
        }
        assert!(Template::parse(&"x".repeat(NAME_BYTES_MAX)).is_ok());
    }

    #[test]
    fn long_names_stay_apart() {
        let long = "é".repeat(200);
        let with = |session: &str| {
            let session = format!("{long}{session}");
            let values = Values {
                session: Some(&session),
                ..ALICE
            };
            filled("s:<session>", &values)
        };
        let (one, two) = (with("1"), with("2"));
        assert_ne!(one, two);
        assert_eq!(one, with("1"));
        for name in [&one, &two] {
            assert!(name.len() <= NAME_BYTES_MAX && name.starts_with("s:alice@example.com/é"));
            assert_eq!(name.rfind('#'), Some(name.len() - MARK_BYTES));
        }
        // At the limit nothing is cut.
        let fits = "x".repeat(NAME_BYTES_MAX - 1);
        let values = Values {
            user: &fits,
            ..Values::default()
        };
        assert_eq!(filled(".<user>", &values), format!(".{fits}"));
        assert_eq!(filled("..<user>", &values).len(), NAME_BYTES_MAX);
    }

    #[test]
    fn whose_a_bucket_is() {
        let bob = Values {
            user: "bob",
            node: "n2",
            group: "group:ops",
            ..Values::default()
        };
        for (quota, bucket, alices, bobs) in [
            ("daily:<user>", "daily:alice@example.com", true, false),
            ("daily:<user>", "daily:bob", false, true),
            ("daily:<user>", "daily:bobby", false, false),
            ("<group>", "group:ops", false, true),
            ("team", "team", true, true),
            ("<user>/<model>", "bob/any/model", false, true),
            ("<user>/<model>", "bobby/any", false, false),
            ("<model>/<user>", "any/bob", false, true),
            ("<model>/<user>", "any/bob/", false, false),
            ("<model>/<user>/<provider>", "m/bob/p", false, true),
            ("<model>/<user>/<provider>", "m/alice@example.com/p", true, false),
            ("<session>", "bob/s", false, true),
            ("<session>", "bobby/s", false, false),
            ("<session>.", "bob/s.", false, true),
            ("<session>.", "bob/s", false, false),
            ("<model>", "m", true, true),
            // One text cannot serve twice.
            ("<user>-<model>-<node>", "bob-n2", false, false),
            ("<user>-<model>-<node>", "bob--n2", false, true),
        ] {
            let template = Template::parse(quota).unwrap();
            assert_eq!(template.fits(bucket, &ALICE), alices, "{quota} {bucket} alice");
            assert_eq!(template.fits(bucket, &bob), bobs, "{quota} {bucket} bob");
        }
    }
}
