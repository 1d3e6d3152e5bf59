//! A node of the tailnet, and how the daemon writes it.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::{Value, json};

/// A person of the tailnet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Number that never changes.
    pub id: i64,
    /// Login; may change.
    pub login: String,
    /// Groups as the control server reports them.
    #[serde(default)]
    pub groups: Vec<String>,
}

impl User {
    /// Without groups.
    #[must_use]
    pub fn new(id: i64, login: &str) -> Self {
        Self {
            id,
            login: login.into(),
            groups: Vec::new(),
        }
    }

    pub(super) fn to_json(&self) -> Value {
        let mut out = json!({ "ID": self.id, "LoginName": self.login, "DisplayName": self.login });
        if !self.groups.is_empty() {
            out["Groups"] = json!(self.groups);
        }
        out
    }
}

/// A node of the tailnet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Number; what `PeersRemoved` names.
    pub id: i64,
    /// Name that never changes, e.g. `nA1`.
    pub stable_id: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its key; may be rotated.
    pub key: String,
    /// RFC 3339; empty: never.
    pub key_expiry: String,
    /// Whose it is.
    pub user: User,
    /// Not empty: a machine's, and the user is a placeholder.
    pub tags: Vec<String>,
    /// Shared in from another tailnet.
    pub shared: bool,
    /// Its key has run out.
    pub expired: bool,
    /// Networks behind it.
    pub primary_routes: Vec<String>,
    /// What the grants of the flow from it to us give; null if nothing.
    pub cap_map: Value,
    /// Attributes of the node itself, which grant nothing.
    pub node_cap_map: Value,
}

impl Node {
    /// A person's machine at one address.
    #[must_use]
    pub fn person(id: i64, address: &str, user: User) -> Self {
        Self {
            id,
            stable_id: format!("n{id}"),
            addresses: address.parse().into_iter().collect(),
            key: format!("nodekey:{id:064x}"),
            user,
            ..Self::default()
        }
    }

    /// A machine with tags at one address.
    #[must_use]
    pub fn tagged(id: i64, address: &str, tags: &[&str]) -> Self {
        Self {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            ..Self::person(id, address, User::new(1, "tagged-devices"))
        }
    }

    /// The node as it stands in `whois` answers and on the bus. Like the daemon, much is left out where it is empty.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let widths = self
            .addresses
            .iter()
            .map(|ip| format!("{ip}/{}", if ip.is_ipv4() { 32 } else { 128 }));
        let addresses: Vec<String> = widths.collect();
        let mut out = json!({
            "ID": self.id, "StableID": self.stable_id, "Name": format!("{}.tail1234.ts.net.", self.stable_id),
            "User": self.user.id, "Key": self.key, "Machine": "mkey:00", "DiscoKey": "discokey:00",
            "KeyExpiry": if self.key_expiry.is_empty() { "0001-01-01T00:00:00Z" } else { &self.key_expiry },
            "Addresses": addresses, "AllowedIPs": addresses, "HomeDERP": 1, "Created": "2026-01-01T00:00:00Z", "Cap": 120,
            "Hostinfo": {"OS": "linux", "Hostname": self.stable_id}, "ComputedName": self.stable_id,
            "ComputedNameWithHost": self.stable_id, "MachineAuthorized": true,
        });
        if self.shared {
            out["Hostinfo"]["ShareeNode"] = true.into();
        }
        if !self.tags.is_empty() {
            out["Tags"] = json!(self.tags);
        }
        if self.expired {
            out["Expired"] = true.into();
        }
        if !self.primary_routes.is_empty() {
            out["PrimaryRoutes"] = json!(self.primary_routes);
        }
        if !self.node_cap_map.is_null() {
            out["CapMap"] = self.node_cap_map.clone();
        }
        out
    }

    pub(super) fn whois(&self) -> Value {
        json!({ "Node": self.to_json(), "UserProfile": self.user.to_json(), "CapMap": self.cap_map })
    }
}
