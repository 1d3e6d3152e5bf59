//! `identity` and `listeners`: where principals come from, and where clients connect.

use std::net::SocketAddr;

use sluice_shared::snapshot::{Listener, SourceKind};

use super::domain::{Identity, Network, network};
use super::limits;
use super::message::Messages;
use super::reader::{Field, Unknown};

/// Entries of the `static` source.
const NETWORKS_MAX: usize = 65_536;
/// Where Sluice listens if the document does not say.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:8080";

/// Reads `identity`.
pub(crate) fn read(field: &Field<'_>, messages: &mut Messages<'_>) -> Identity {
    let mut identity = Identity::default();
    let Some(fields) = field.open(&["sources", "static", "max_age"], Unknown::ConfigKey, messages) else {
        return identity;
    };
    if let Some(items) = fields.field("sources").and_then(|f| f.texts(messages)) {
        identity.sources.clear();
        for (item, text) in items {
            let source = match text {
                "loopback" => SourceKind::Loopback,
                "static" => SourceKind::Static,
                "tailscale" | "mtls" | "oidc" | "token" | "serve_headers" => {
                    item.warn(
                        messages,
                        format!("identity source {text:?} needs a later version; it is left out"),
                    );
                    continue;
                }
                _ => {
                    item.warn(
                        messages,
                        format!("unknown identity source {text:?}; known are loopback and static"),
                    );
                    continue;
                }
            };
            if !identity.sources.contains(&source) {
                identity.sources.push(source);
            }
        }
        if identity.sources.is_empty() {
            messages.warn(
                fields.at,
                &fields.path,
                "no identity source is left: nobody is let in",
            );
        }
    }
    if let Some(list) = fields.field("static") {
        let items = list.array(messages).unwrap_or_default();
        if items.len() > NETWORKS_MAX {
            list.warn(
                messages,
                format!("more than {NETWORKS_MAX} networks; the rest is left out"),
            );
        }
        identity.networks = items
            .iter()
            .take(NETWORKS_MAX)
            .filter_map(|item| read_network(item, messages))
            .collect();
        if !identity.networks.is_empty() && !identity.sources.contains(&SourceKind::Static) {
            list.warn(messages, "has no effect: \"static\" is not among the sources");
        }
    }
    if let Some(age) = fields
        .field("max_age")
        .and_then(|f| limits::duration(&f, 1_000, messages))
    {
        identity.age_ms_max = age;
    }
    identity
}

fn read_network(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<Network> {
    let fields = field.open(&["cidr", "login", "tags", "groups"], Unknown::ConfigKey, messages)?;
    let Some(cidr) = fields.field("cidr") else {
        field.warn(messages, "network without cidr; it is left out");
        return None;
    };
    let Some((address, prefix)) = network(cidr.text(messages)?) else {
        cidr.warn(messages, "is no network, e.g. \"10.0.0.0/8\"; it is left out");
        return None;
    };
    let login = fields
        .field("login")
        .and_then(|f| f.text(messages))
        .unwrap_or_default()
        .to_owned();
    let tags = prefixed(fields.field("tags"), "tag:", messages)?;
    let groups = prefixed(fields.field("groups"), "group:", messages)?;
    if login.is_empty() == tags.is_empty() {
        field.warn(
            messages,
            "needs either a login or tags (a tagged device is no person); it is left out",
        );
        return None;
    }
    if login.starts_with('(') || login.starts_with("tag:") || login.chars().any(char::is_control) {
        field.warn(
            messages,
            "has a login that looks like a tag or a source; it is left out",
        );
        return None;
    }
    Some(Network {
        address,
        prefix,
        login,
        tags,
        groups,
    })
}

fn prefixed(field: Option<Field<'_>>, prefix: &str, messages: &mut Messages<'_>) -> Option<Vec<String>> {
    let Some(field) = field else {
        return Some(Vec::new());
    };
    let mut out = Vec::new();
    for (item, text) in field.texts(messages)? {
        let well = text.strip_prefix(prefix).is_some_and(|name| !name.is_empty())
            && !text.contains(',')
            && !text.chars().any(char::is_control);
        if !well {
            item.warn(
                messages,
                format!("must begin with {prefix:?} and hold no comma; the network is left out"),
            );
            return None;
        }
        out.push(text.to_owned());
    }
    out.sort();
    out.dedup();
    Some(out)
}

/// Where Sluice listens if nothing else is said.
pub(crate) fn listeners_default() -> Vec<Listener> {
    vec![Listener {
        address: LISTEN_DEFAULT.to_owned(),
        llm: true,
        admin: true,
        ..Listener::default()
    }]
}

/// Reads `listeners`; if none is left, the default.
pub(crate) fn listeners(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<Listener> {
    let mut out: Vec<Listener> = Vec::new();
    for item in field.array(messages).unwrap_or_default() {
        if let Some(listener) = listener(&item, messages) {
            if out.iter().any(|other| other.address == listener.address) {
                item.warn(messages, format!("address {} stands twice", listener.address));
            } else {
                out.push(listener);
            }
        }
    }
    if out.is_empty() {
        field.warn(messages, format!("no listener is left; {LISTEN_DEFAULT} is used"));
        return listeners_default();
    }
    out
}

fn listener(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<Listener> {
    let fields = field.open(&["address", "serves"], Unknown::ConfigKey, messages)?;
    let Some(address) = fields.field("address") else {
        field.warn(messages, "listener without address; it is left out");
        return None;
    };
    let text = address.text(messages)?;
    let Ok(parsed) = text.parse::<SocketAddr>() else {
        address.warn(
            messages,
            "expected IP:port, e.g. \"127.0.0.1:8080\" or \"[::]:8080\"; it is left out",
        );
        return None;
    };
    let mut listener = Listener {
        address: parsed.to_string(),
        llm: true,
        admin: true,
        ..Listener::default()
    };
    if let Some(serves) = fields.field("serves") {
        (listener.llm, listener.admin) = (false, false);
        for (item, text) in serves.texts(messages)? {
            match text {
                "llm" => listener.llm = true,
                "admin" => listener.admin = true,
                _ => item.warn(
                    messages,
                    format!("a listener cannot serve {text:?}; known are llm and admin"),
                ),
            }
        }
        if !listener.llm && !listener.admin {
            serves.warn(messages, "listener serves nothing; it is left out");
            return None;
        }
    }
    Some(listener)
}
