//! Whom a source means, by definition and by index.
//!
//! A principal with tags is a device and never a person, whatever its login says: names that begin with `tag:` are
//! compared with tags alone, all other names with the logins of persons alone. So neither can a person take a login
//! that reads like a tag, nor a device one that reads like somebody's.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv6Addr;

use crate::snapshot::{Source, in_network};
use crate::wire::control::Principal;

const TAG: &str = "tag:";

/// Whether a source means this principal at this address. The definition: [`Index`] finds the same without asking
/// every source.
#[must_use]
pub fn applies(source: &Source, principal: &Principal, address: [u8; 16]) -> bool {
    match source {
        Source::Any => true,
        Source::Login(name) if name.starts_with(TAG) => {
            tags(principal).any(|tag| tag == name) || joined(principal).is_some_and(|all| all == *name)
        }
        Source::Login(name) => person(principal) == Some(name.as_str()),
        Source::Group(name) => principal.groups.contains(name),
        Source::Network { address: net, prefix } => in_network(address, *net, *prefix),
        Source::Loopback => principal.source == "loopback",
        Source::Member => principal.tags.is_empty(),
        Source::Tagged => !principal.tags.is_empty(),
    }
}

/// Login of a person; `None` for a device and for logins that read like tags.
fn person(principal: &Principal) -> Option<&str> {
    let login = principal.login.as_str();
    (principal.tags.is_empty() && !login.is_empty() && !login.starts_with(TAG)).then_some(login)
}

/// Tags of a device. One with a comma would read like several and is none.
fn tags(principal: &Principal) -> impl Iterator<Item = &str> {
    let tags = principal.tags.iter().map(String::as_str);
    tags.filter(|tag| is_tag(tag))
}

/// All tags of a device as one name; `None` if it has fewer than two or one that is no tag.
fn joined(principal: &Principal) -> Option<String> {
    (principal.tags.len() > 1 && principal.tags.iter().all(|tag| is_tag(tag)))
        .then(|| principal.tags.join(","))
}

fn is_tag(tag: &str) -> bool {
    tag.starts_with(TAG) && !tag.contains(',')
}

/// Every name that the principal has: login or tags, and groups.
pub(super) fn names(principal: &Principal) -> impl Iterator<Item = &str> {
    let groups = principal.groups.iter().map(String::as_str);
    person(principal).into_iter().chain(tags(principal)).chain(groups)
}

/// Grants by their sources. Lists hold indices of grants, ascending.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: Vec<u32>,
    loopback: Vec<u32>,
    member: Vec<u32>,
    tagged: Vec<u32>,
    /// By login, by tag or joined tags: the two never begin alike.
    names: HashMap<Box<str>, Vec<u32>>,
    groups: HashMap<Box<str>, Vec<u32>>,
    /// One table for each prefix length in use, by the leading bits.
    networks: Vec<(u8, HashMap<u128, Vec<u32>>)>,
}

impl Index {
    /// Indexes grants, each given by its sources.
    pub(super) fn new<'a>(grants: impl Iterator<Item = &'a [Source]>) -> Self {
        let mut index = Self::default();
        for (number, sources) in (0u32..).zip(grants) {
            for source in sources {
                index.list(source).push(number);
            }
        }
        index
    }

    fn list(&mut self, source: &Source) -> &mut Vec<u32> {
        match source {
            Source::Any => &mut self.any,
            Source::Loopback => &mut self.loopback,
            Source::Member => &mut self.member,
            Source::Tagged => &mut self.tagged,
            Source::Login(name) => self.names.entry(name.as_str().into()).or_default(),
            Source::Group(name) => self.groups.entry(name.as_str().into()).or_default(),
            Source::Network { address, prefix } => {
                let length = (*prefix).min(128);
                let at = match self.networks.binary_search_by_key(&length, |(length, _)| *length) {
                    Ok(at) => at,
                    Err(at) => {
                        self.networks.insert(at, (length, HashMap::new()));
                        at
                    }
                };
                let bits = leading(*address, length);
                self.networks[at].1.entry(bits).or_default()
            }
        }
    }

    /// Indices of the grants that match, ascending.
    pub(super) fn matching(&self, principal: &Principal, address: [u8; 16]) -> Vec<u32> {
        let mut out = self.any.clone();
        let mut take = |list: Option<&Vec<u32>>| out.extend(list.into_iter().flatten());
        if principal.source == "loopback" {
            take(Some(&self.loopback));
        }
        if principal.tags.is_empty() {
            take(Some(&self.member));
            take(person(principal).and_then(|login| self.names.get(login)));
        } else {
            take(Some(&self.tagged));
            for tag in tags(principal) {
                take(self.names.get(tag));
            }
            take(joined(principal).and_then(|all| self.names.get(all.as_str())));
        }
        for group in &principal.groups {
            take(self.groups.get(group.as_str()));
        }
        for (length, table) in &self.networks {
            take(table.get(&leading(address, *length)));
        }
        out.sort_unstable();
        out.dedup();
        out
    }
}

/// The first `length` bits, the rest zero.
fn leading(address: [u8; 16], length: u8) -> u128 {
    let mask = u128::MAX
        .checked_shl(128 - u32::from(length.min(128)))
        .unwrap_or_default();
    u128::from_be_bytes(address) & mask
}

/// As in the document.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Login(name) | Self::Group(name) => f.write_str(name),
            Self::Network { address, prefix } => {
                let address = Ipv6Addr::from(*address);
                match (address.to_ipv4_mapped(), prefix.checked_sub(96)) {
                    (Some(v4), Some(prefix)) => write!(f, "{v4}/{prefix}"),
                    _ => write!(f, "{address}/{prefix}"),
                }
            }
            Self::Loopback => f.write_str("(loopback)"),
            Self::Member => f.write_str("autogroup:member"),
            Self::Tagged => f.write_str("autogroup:tagged"),
        }
    }
}
