//! What the daemon says about a peer, made into a principal.
//!
//! Only what is needed is read; unknown fields pass. What is needed and does not hold makes the whole answer unusable
//! ([`Malformed`]), which counts as no answer; it never lets somebody in. Two maps are called `CapMap`: the one beside
//! `Node` holds the grants of this flow, the one within `Node` attributes of the node. Only the first is read.
//!
//! **Keys of ledgers.** Logins change, node keys rotate, addresses are used again. So the node of a person's principal is
//! `USER/NODE`: the number of the user profile and the stable id of the node, e.g. `45/nXyz1`. The node of a tagged
//! device is the stable id alone. The login is for display and for grants.

use std::net::IpAddr;
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;
use sluice_shared::snapshot::{AppValue, Capability};
use sluice_shared::wire::control::Principal;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::capabilities_of_policy;
use crate::identity::proof::name;

/// The capability key of grants for this gateway; its name is that of the system whose documents are read too.
pub(crate) const CAPABILITY_KEY: &str = "tailscale.com/cap/aperture";
/// Values under other capability keys, and their bytes in sum.
const APP_VALUES_MAX: usize = 256;
const APP_BYTES_MAX: usize = 64 << 10;
/// Groups and tags, each.
const NAMES_MAX: usize = 1_024;

/// What cannot be used, for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unusable answer: {0}")]
pub(crate) struct Malformed(String);

/// Who a node is, beside the principal: what the bus calls it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct NodeIds {
    pub(super) id: i64,
    pub(super) stable_id: String,
    pub(super) user: i64,
    pub(super) tags: Vec<String>,
}

/// A usable answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) ids: NodeIds,
    /// Who it is, or why the node is not let in.
    pub(super) who: Result<Principal, &'static str>,
    /// When the node's key runs out.
    pub(super) expires: Option<SystemTime>,
    /// What was left out, for the log.
    pub(super) complaints: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Whois {
    node: Node,
    user_profile: UserProfile,
    #[serde(default)]
    cap_map: Value,
}

/// A node as it stands in answers and on the bus.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node {
    #[serde(rename = "ID")]
    id: i64,
    #[serde(rename = "StableID")]
    stable_id: String,
    #[serde(default)]
    user: i64,
    #[serde(default)]
    key_expiry: Option<String>,
    #[serde(default)]
    addresses: Option<Vec<String>>,
    #[serde(default)]
    hostinfo: Option<Hostinfo>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    primary_routes: Option<Vec<String>>,
    #[serde(default)]
    expired: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Hostinfo {
    #[serde(default)]
    sharee_node: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UserProfile {
    #[serde(rename = "ID", default)]
    id: i64,
    #[serde(default)]
    login_name: String,
    #[serde(default)]
    groups: Option<Vec<Value>>,
}

impl Node {
    pub(super) fn ids(&self) -> NodeIds {
        let mut tags = self.tags.clone().unwrap_or_default();
        tags.sort();
        tags.dedup();
        NodeIds {
            id: self.id,
            stable_id: self.stable_id.clone(),
            user: self.user,
            tags,
        }
    }

    /// Its addresses, without the width.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let texts = self.addresses.iter().flatten();
        texts.filter_map(|text| {
            text.split_once('/')
                .map_or(text.as_str(), |(ip, _)| ip)
                .parse()
                .ok()
        })
    }

    pub(super) const fn is_expired(&self) -> bool {
        self.expired
    }

    /// When its key runs out; `None`: never. The zero time of Go means never.
    fn expiry(&self) -> Result<Option<SystemTime>, Malformed> {
        let Some(text) = self.key_expiry.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let time =
            OffsetDateTime::parse(text, &Rfc3339).map_err(|_| Malformed("KeyExpiry is no time".into()))?;
        Ok((time.unix_timestamp() > 0).then(|| SystemTime::from(time)))
    }
}

/// Reads an answer of `whois`.
pub(super) fn read(body: &[u8], allow_shared: bool, now: SystemTime) -> Result<Said, Malformed> {
    // The message of the parser may quote the answer; where it stands is enough.
    let whois: Whois = serde_json::from_slice(body)
        .map_err(|error| Malformed(format!("line {} column {}", error.line(), error.column())))?;
    let node = &whois.node;
    let mut ids = node.ids();
    let stable = &ids.stable_id;
    if stable.is_empty() || stable.len() > name::NAME_BYTES_MAX || !name::printable(stable) {
        return Err(Malformed("StableID is missing".into()));
    }
    // A placeholder profile stands for tagged nodes; the node's own number is the one that events name.
    ids.user = if ids.tags.is_empty() {
        whois.user_profile.id
    } else {
        node.user
    };
    let expires = node.expiry()?;
    let mut complaints = Vec::new();
    let denied = if node.expired || expires.is_some_and(|expires| expires <= now) {
        Some("its key has expired")
    } else if node.hostinfo.as_ref().is_some_and(|info| info.sharee_node) && !allow_shared {
        Some("it is shared in from another tailnet")
    } else if ids.tags.is_empty()
        && node
            .primary_routes
            .as_ref()
            .is_some_and(|routes| !routes.is_empty())
    {
        Some("it routes for a network, so it is not one person's")
    } else {
        None
    };
    let who = match denied {
        Some(why) => Err(why),
        None => Ok(principal(&ids, &whois, &mut complaints)?),
    };
    Ok(Said {
        ids,
        who,
        expires,
        complaints,
    })
}

fn principal(ids: &NodeIds, whois: &Whois, complaints: &mut Vec<String>) -> Result<Principal, Malformed> {
    let mut principal = Principal {
        source: "tailscale".into(),
        ..Principal::default()
    };
    if ids.tags.is_empty() {
        let login = &whois.user_profile.login_name;
        if let Err(why) = name::login(login) {
            return Err(Malformed(format!("LoginName {why}")));
        }
        principal.login.clone_from(login);
        principal.node = format!("{}/{}", ids.user, ids.stable_id);
        principal.groups = groups(
            whois.user_profile.groups.as_deref().unwrap_or_default(),
            complaints,
        );
    } else {
        if ids.tags.len() > NAMES_MAX || !ids.tags.iter().all(|tag| name::prefixed(tag, "tag:")) {
            return Err(Malformed("Tags hold what is no tag".into()));
        }
        principal.login = ids.tags.join(",");
        principal.node.clone_from(&ids.stable_id);
        principal.tags.clone_from(&ids.tags);
    }
    (principal.capabilities, principal.app) = cap_map(&whois.cap_map, complaints);
    Ok(principal)
}

/// Groups as grants spell them: `group:x`, sorted.
fn groups(values: &[Value], complaints: &mut Vec<String>) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for value in values.iter().take(NAMES_MAX) {
        let group = value
            .as_str()
            .map(|text| format!("group:{}", text.strip_prefix("group:").unwrap_or(text)))
            .filter(|group| name::prefixed(group, "group:"));
        match group {
            Some(group) => out.push(group),
            None => complaints.push("a group is no name; it is left out".into()),
        }
    }
    out.sort();
    out.dedup();
    out
}

/// Reads a map of capability keys to lists of values: ours become capabilities, the others are kept as they are. What
/// does not hold is left out with a complaint: it takes away, it never adds.
pub(crate) fn cap_map(map: &Value, complaints: &mut Vec<String>) -> (Vec<Capability>, Vec<AppValue>) {
    let (mut capabilities, mut app) = (Vec::new(), Vec::new());
    let map = match map {
        Value::Null => return (capabilities, app),
        Value::Object(map) => map,
        _ => {
            complaints.push("CapMap is no object; it is left out".into());
            return (capabilities, app);
        }
    };
    for (key, values) in map {
        let mut values = match values {
            Value::Null => continue,
            Value::Array(values) => values.clone(),
            _ => {
                complaints.push(format!("{key:?} holds no list; it is left out"));
                continue;
            }
        };
        // Values of several grants come without order; in ours, equal answers are equal.
        values.sort_by_cached_key(Value::to_string);
        if key == CAPABILITY_KEY {
            let read = capabilities_of_policy(&values);
            capabilities = read.capabilities;
            complaints.extend(read.complaints);
        } else {
            app.push(AppValue {
                key: key.clone(),
                json: Value::Array(values).to_string(),
            });
        }
    }
    app.sort_by(|a, b| a.key.cmp(&b.key));
    let mut bytes = 0_usize;
    let before = app.len();
    app.truncate(APP_VALUES_MAX);
    app.retain(|value| {
        bytes = bytes
            .saturating_add(value.key.len())
            .saturating_add(value.json.len());
        bytes <= APP_BYTES_MAX
    });
    if app.len() < before {
        complaints.push("more values under other keys than are kept; the rest is left out".into());
    }
    complaints.truncate(16);
    (capabilities, app)
}
