//! What a new token must satisfy.

use sluice_shared::glob::{Glob, GlobError};
use sluice_shared::snapshot::Role;
use sluice_shared::units::UnixMicros;
use sluice_shared::wire::control::Scope;

use super::{Author, NoRandom};
use crate::audit::AuditError;
use crate::identity::proof::name::{self, LoginError, NAME_BYTES_MAX};
use crate::store::StoreError;

/// How long a token lasts where nothing is said: 90 days.
pub(crate) const LIFETIME_DEFAULT: u64 = 90 * DAY;
/// How long a token may last: ten years.
pub(crate) const LIFETIME_MAX: u64 = 3_652 * DAY;
/// A day in microseconds.
pub(super) const DAY: u64 = 86_400_000_000;
/// Longest name, in bytes.
pub(crate) const TITLE_BYTES_MAX: usize = 128;
/// Most tags, groups and model globs of a token, each.
pub(crate) const LIST_MAX: usize = 64;
/// Tokens that can be in force at a time.
pub(crate) const TOKENS_MAX: usize = 10_000;

/// A token that somebody wants. By itself it grants nothing: grants of its login, tags and groups apply, within its scope.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct NewToken {
    /// For people, e.g. `ci of project x`.
    pub(crate) name: String,
    /// Whose it is; or `tags`.
    pub(crate) login: Option<String>,
    /// `tag:x`; the token then is a machine's, not a person's.
    pub(crate) tags: Vec<String>,
    /// `group:x`.
    pub(crate) groups: Vec<String>,
    /// Globs over `provider/model` that it is limited to.
    pub(crate) models: Option<Vec<String>>,
    /// Highest role, `user` or `admin`; `None`: whatever the principal has.
    pub(crate) role: Option<String>,
    /// End; by default [`LIFETIME_DEFAULT`] from now.
    pub(crate) expires_at: Option<UnixMicros>,
}

/// Why there is no such token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("a token needs a name")]
    NoName,
    #[error("the name is longer than {TITLE_BYTES_MAX} bytes")]
    NameTooLong,
    #[error("the name holds control characters or begins or ends with white space")]
    NameCharacters,
    #[error("a token needs either a login or tags")]
    Nobody,
    #[error("a token has a login or tags, not both: a tagged principal is no person")]
    Both,
    #[error("the login {0}")]
    Login(LoginError),
    #[error(
        "{0:?} is no tag: it must begin with \"tag:\", hold no comma and have at most {NAME_BYTES_MAX} bytes"
    )]
    Tag(String),
    #[error(
        "{0:?} is no group: it must begin with \"group:\", hold no comma and have at most {NAME_BYTES_MAX} bytes"
    )]
    Group(String),
    #[error("more than {LIST_MAX} {0}")]
    TooMany(&'static str),
    #[error(
        "the list of models is empty: the token could do nothing; leave it out to allow what the grants allow"
    )]
    NoModels,
    #[error("bad glob {glob:?}: {error}")]
    Glob { glob: String, error: GlobError },
    #[error("unknown role {0:?}; known are user and admin")]
    Role(String),
    #[error("the role admin is above your own")]
    RoleAboveAuthor,
    #[error("without the role admin you can only make tokens for your own login, without tags and groups")]
    NotYours,
    #[error("you come with a credential that is limited to some models; it cannot make tokens")]
    ScopedAuthor,
    #[error("the end lies in the past")]
    Past,
    #[error("the end is more than ten years away")]
    TooFar,
    #[error("there are {TOKENS_MAX} tokens in force already; revoke some first")]
    Full,
    #[error("the act could not be put on record")]
    Audit(#[source] AuditError),
    #[error("there is no token {0:?}")]
    Unknown(String),
    #[error(transparent)]
    NoRandom(#[from] NoRandom),
    #[error("cannot store the token")]
    Store(#[from] StoreError),
}

impl TokenError {
    /// Whether the request is at fault, not the gateway.
    pub(crate) const fn is_callers(&self) -> bool {
        !matches!(self, Self::Store(_) | Self::NoRandom(_) | Self::Audit(_))
    }
}

/// A wish that was checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Checked {
    pub(super) name: String,
    pub(super) login: String,
    pub(super) tags: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) scope: Scope,
    pub(super) expires_at: UnixMicros,
}

/// Checks what somebody wants at a moment.
pub(super) fn check(new: NewToken, author: &Author, now: UnixMicros) -> Result<Checked, TokenError> {
    if author.scoped {
        return Err(TokenError::ScopedAuthor);
    }
    if new.name.is_empty() {
        return Err(TokenError::NoName);
    }
    if new.name.len() > TITLE_BYTES_MAX {
        return Err(TokenError::NameTooLong);
    }
    if !name::printable(&new.name) {
        return Err(TokenError::NameCharacters);
    }
    let login = new.login.unwrap_or_default();
    match (login.is_empty(), new.tags.is_empty()) {
        (true, true) => return Err(TokenError::Nobody),
        (false, false) => return Err(TokenError::Both),
        (false, true) => name::login(&login).map_err(TokenError::Login)?,
        (true, false) => {}
    }
    let tags = list(new.tags, "tags", "tag:", TokenError::Tag)?;
    let groups = list(new.groups, "groups", "group:", TokenError::Group)?;
    let role = match new.role.as_deref() {
        None => None,
        Some("user") => Some(Role::User),
        Some("admin") => Some(Role::Admin),
        Some(other) => return Err(TokenError::Role(other.chars().take(64).collect())),
    };
    let role = match author.role {
        Role::Admin => role,
        Role::User if role == Some(Role::Admin) => return Err(TokenError::RoleAboveAuthor),
        Role::User if login != author.login || !groups.is_empty() => return Err(TokenError::NotYours),
        // The login may become an admin one day; what a user made stays a user's.
        Role::User => Some(Role::User),
    };
    if let Some(models) = &new.models {
        if models.is_empty() {
            return Err(TokenError::NoModels);
        }
        if models.len() > LIST_MAX {
            return Err(TokenError::TooMany("models"));
        }
        for glob in models {
            Glob::parse(glob).map_err(|error| TokenError::Glob {
                glob: glob.chars().take(64).collect(),
                error,
            })?;
        }
    }
    let expires_at = new
        .expires_at
        .unwrap_or_else(|| UnixMicros(now.0.saturating_add(LIFETIME_DEFAULT)));
    if expires_at <= now {
        return Err(TokenError::Past);
    }
    if expires_at.0 - now.0 > LIFETIME_MAX {
        return Err(TokenError::TooFar);
    }
    Ok(Checked {
        name: new.name,
        login,
        tags,
        groups,
        scope: Scope {
            models: new.models,
            role,
        },
        expires_at,
    })
}

fn list(
    mut items: Vec<String>,
    what: &'static str,
    prefix: &str,
    error: impl Fn(String) -> TokenError,
) -> Result<Vec<String>, TokenError> {
    if items.len() > LIST_MAX {
        return Err(TokenError::TooMany(what));
    }
    if let Some(bad) = items.iter().find(|item| !name::prefixed(item, prefix)) {
        return Err(error(bad.chars().take(64).collect()));
    }
    items.sort();
    items.dedup();
    Ok(items)
}
