//! Who calls, as the data plane says in headers of the relayed request. Values are percent-encoded UTF-8.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use sluice_shared::wire::control;

use super::problem::Problem;

/// What the caller may see.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Role {
    /// Own data.
    #[default]
    User,
    /// Everything.
    Admin,
}

/// Login of whoever asks over the socket of the data directory: the kernel says that it is our own user, or root.
pub(super) const LOCAL: &str = "(local)";

/// A caller with a role; without one there is no principal but a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Principal {
    pub(super) login: String,
    pub(super) role: Role,
    pub(super) tags: Vec<String>,
    pub(super) groups: Vec<String>,
    /// Stable id of the node; its address where the source knows no nodes.
    pub(super) node: String,
    /// Identity source that proved it; empty if that was not said.
    pub(super) source: String,
    /// Came with a credential that is limited to some models or to a role.
    pub(super) scoped: bool,
    /// Address of the peer, IPv4 mapped into IPv6.
    pub(super) address: Option<[u8; 16]>,
}

impl Principal {
    /// The login whose records may be seen, if not everybody's; `asked` is what the caller filters by.
    pub(super) fn only(&self, asked: Option<String>) -> Option<String> {
        match self.role {
            Role::Admin => asked,
            Role::User => Some(self.login.clone()),
        }
    }

    /// Whether the caller asks for somebody else's records without the right to.
    pub(super) fn may_ask_for(&self, user: Option<&str>) -> bool {
        self.role == Role::Admin || user.is_none_or(|user| user == self.login)
    }
}

/// What the guard of the route has read. Behind no guard there is no principal.
impl<S: Sync> FromRequestParts<S> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get().cloned().ok_or_else(Problem::bad_principal)
    }
}

impl Principal {
    /// Reads the headers of the data plane.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, Problem> {
        let role = match one(headers, "x-sluice-role")?.as_deref() {
            Some("admin") => Role::Admin,
            Some("user") => Role::User,
            Some("none") | None => return Err(Problem::no_role()),
            Some(_) => return Err(Problem::bad_principal()),
        };
        let login = one(headers, "x-sluice-login")?.filter(|login| !login.is_empty());
        let list = |name: &str| -> Result<Vec<String>, Problem> {
            let text = one(headers, name)?.unwrap_or_default();
            let words = text.split(',').filter(|word| !word.is_empty());
            Ok(words.map(str::to_owned).collect())
        };
        let address = match one(headers, "x-sluice-address")?.filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => {
                let address: IpAddr = text.parse().map_err(|_| Problem::bad_principal())?;
                Some(sluice_shared::snapshot::address_bits(address))
            }
        };
        Ok(Self {
            login: login.ok_or_else(Problem::bad_principal)?,
            role,
            tags: list("x-sluice-tags")?,
            groups: list("x-sluice-groups")?,
            node: one(headers, "x-sluice-node")?.unwrap_or_default(),
            source: one(headers, "x-sluice-source")?.unwrap_or_default(),
            scoped: one(headers, "x-sluice-scoped")?.is_some_and(|text| !text.is_empty()),
            address,
        })
    }
}

impl Principal {
    /// The principal as grants see it, and its address: the node's where the data plane did not say another.
    pub(super) fn proven(&self) -> (control::Principal, [u8; 16]) {
        let node = self.node.parse().ok().map(sluice_shared::snapshot::address_bits);
        let principal = control::Principal {
            source: source_of(&self.source, &self.login),
            login: self.login.clone(),
            node: self.node.clone(),
            tags: self.tags.clone(),
            groups: self.groups.clone(),
            ..control::Principal::default()
        };
        (principal, self.address.or(node).unwrap_or_default())
    }
}

/// The source of a principal, where only its login is known: that of loopback belongs to nobody else.
pub(super) fn source_of(source: &str, login: &str) -> String {
    if source.is_empty() && login == "(loopback)" {
        "loopback".to_owned()
    } else {
        source.to_owned()
    }
}

/// A header that stands at most once.
fn one(headers: &HeaderMap, name: &str) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => decode(value.as_bytes())
            .map(Some)
            .ok_or_else(Problem::bad_principal),
        (Some(_), Some(_)) => Err(Problem::bad_principal()),
    }
}

/// Decodes percent-encoded UTF-8.
pub(super) fn decode(bytes: &[u8]) -> Option<String> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = (rest.next().and_then(digit)?, rest.next().and_then(digit)?);
            out.push(high << 4 | low);
        } else {
            out.push(*byte);
        }
    }
    String::from_utf8(out).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn principals_are_read_or_refused() {
        let check = |rows: &[(&'static str, &str)], expected: Result<(&str, Role), Problem>| {
            let mut headers = HeaderMap::new();
            for (name, value) in rows {
                headers.append(*name, value.parse().unwrap());
            }
            let expected = expected.map(|(login, role)| Principal {
                login: login.into(),
                role,
                ..Principal::default()
            });
            assert_eq!(Principal::read(&headers), expected, "{rows:?}");
        };
        let admin = ("x-sluice-role", "admin");
        check(
            &[admin, ("x-sluice-login", "alice%40example.com")],
            Ok(("alice@example.com", Role::Admin)),
        );
        check(
            &[("x-sluice-role", "user"), ("x-sluice-login", "%28loopback%29")],
            Ok(("(loopback)", Role::User)),
        );
        check(
            &[admin, ("x-sluice-login", "J%C3%BCrg")],
            Ok(("Jürg", Role::Admin)),
        );
        check(&[], Err(Problem::no_role()));
        check(
            &[("x-sluice-role", "none"), ("x-sluice-login", "a")],
            Err(Problem::no_role()),
        );
        check(&[("x-sluice-login", "a")], Err(Problem::no_role()));
        check(
            &[("x-sluice-role", "root"), ("x-sluice-login", "a")],
            Err(Problem::bad_principal()),
        );
        check(&[admin], Err(Problem::bad_principal()));
        check(&[admin, ("x-sluice-login", "")], Err(Problem::bad_principal()));
        check(
            &[admin, admin, ("x-sluice-login", "a")],
            Err(Problem::bad_principal()),
        );
        check(
            &[admin, ("x-sluice-login", "a"), ("x-sluice-address", "nowhere")],
            Err(Problem::bad_principal()),
        );
        for broken in ["%", "%4", "%zz", "%ff"] {
            check(
                &[admin, ("x-sluice-login", broken)],
                Err(Problem::bad_principal()),
            );
        }
    }
}
