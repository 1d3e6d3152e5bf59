//! `identity`: where principals come from. Doubt lets nobody in: a part that cannot be read proves nothing.

mod certificates;
mod issuers;

use std::path::PathBuf;

use sluice_shared::snapshot::{BearerMode, ClientAuth, SourceKind};

use super::domain::{Identity, Network, Tailscale, network};
use super::message::Messages;
use super::nearest::nearest;
use super::reader::{Field, shown};
use super::secret::Sources;
use super::{keys, limits, listeners};

/// Entries of the `static` source.
const NETWORKS_MAX: usize = 65_536;

/// Reads `identity` and compares it with the listeners.
pub(super) fn read(
    field: Option<&Field<'_>>,
    listeners: &[listeners::Read<'_>],
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Identity {
    let mut identity = Identity {
        // A document brought from a tailnet's gateway says nothing about identity and means the tailnet.
        sources: vec![SourceKind::Tailscale, SourceKind::Loopback],
        ..Identity::default()
    };
    if let Some(fields) = field.and_then(|f| f.open(&keys::IDENTITY, messages)) {
        let mut named: Vec<(SourceKind, Field<'_>)> = Vec::new();
        if let Some(items) = fields.field("sources").and_then(|f| f.texts(messages)) {
            identity.sources.clear();
            for (item, text) in items {
                match source(text) {
                    Ok(kind) if identity.sources.contains(&kind) => {
                        item.warn(messages, format!("source {text:?} stands twice"));
                    }
                    Ok(kind) => {
                        identity.sources.push(kind);
                        named.push((kind, item));
                    }
                    Err(error) => item.warn(messages, error),
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
            identity.networks = networks(&list, messages);
        }
        if let Some(age) = fields
            .field("max_age")
            .and_then(|f| limits::duration(&f, 1_000, messages))
        {
            identity.age_ms_max = age;
        }
        if let Some("replace") = fields
            .field("bearer")
            .and_then(|f| f.word("; narrow is used", messages))
        {
            identity.bearer = BearerMode::Replace;
        }
        if let Some(tailscale) = fields.field("tailscale") {
            identity.tailscale = read_tailscale(&tailscale, messages);
        }
        if let Some(list) = fields.field("oidc") {
            identity.issuers = issuers::read(&list, secrets, messages);
        }
        if let Some(list) = fields.field("mtls") {
            identity.certificates = certificates::read(&list, secrets, messages);
        }

        // A source without its settings proves nobody, and settings without their source do nothing.
        let settings = [
            ("static", SourceKind::Static, identity.networks.is_empty(), true),
            ("oidc", SourceKind::Oidc, identity.issuers.is_empty(), true),
            ("mtls", SourceKind::Mtls, identity.certificates.is_empty(), true),
            ("tailscale", SourceKind::Tailscale, false, false),
        ];
        for (key, kind, empty, needed) in settings {
            let (setting, item) = (
                fields.field(key),
                named.iter().find(|(k, _)| *k == kind).map(|(_, item)| item),
            );
            match (setting, item) {
                (None, Some(item)) if needed => item.warn(
                    messages,
                    format!("source {key:?} is listed without identity.{key}: it proves nobody"),
                ),
                (Some(setting), Some(_)) if empty => {
                    setting.warn(messages, "has no usable entry: the source proves nobody");
                }
                (Some(setting), None) if !identity.sources.contains(&kind) => {
                    setting.warn(
                        messages,
                        format!("has no effect: {key:?} is not among the sources"),
                    );
                }
                _ => {}
            }
        }
        if fields.field("bearer").is_some() && !identity.sources.iter().any(|kind| kind.by_bearer()) {
            fields.field("bearer").inspect(|f| {
                f.warn(
                    messages,
                    "has no effect: neither \"oidc\" nor \"token\" is among the sources",
                );
            });
        }
        for (kind, item) in &named {
            if *kind == SourceKind::ServeHeaders && !listeners.iter().any(|l| l.listener.serve_headers) {
                item.warn(
                    messages,
                    "no listener is marked with serve_headers: the source proves nobody",
                );
            }
            let asked = |l: &listeners::Read<'_>| {
                l.listener
                    .tls
                    .as_ref()
                    .is_some_and(|tls| tls.client != ClientAuth::None)
            };
            if *kind == SourceKind::Mtls && !listeners.iter().any(asked) {
                item.warn(
                    messages,
                    "no listener asks for client certificates (tls.client): the source proves nobody",
                );
            }
        }
    }
    for read in listeners {
        let missing = |kind: SourceKind| !identity.sources.contains(&kind);
        if let Some(field) = read
            .serve_headers
            .as_ref()
            .filter(|_| missing(SourceKind::ServeHeaders))
        {
            field.warn(
                messages,
                "has no effect: \"serve_headers\" is not among the identity sources",
            );
        }
        if let Some(field) = read.client.as_ref().filter(|_| missing(SourceKind::Mtls)) {
            field.warn(
                messages,
                "certificates are asked for and believed by nobody: \"mtls\" is not among the identity sources",
            );
        }
    }
    identity
}

fn source(text: &str) -> Result<SourceKind, String> {
    if let Some(kind) = SourceKind::ALL.into_iter().find(|kind| kind.name() == text) {
        return Ok(kind);
    }
    let known = SourceKind::ALL.map(SourceKind::name);
    Err(match nearest(text, &known) {
        // What is that near to a known word is no secret.
        Some(near) => format!("unknown identity source {text:?}; did you mean {near:?}?"),
        None => format!(
            "unknown identity source {}; known are {}",
            shown(text),
            known.join(", ")
        ),
    })
}

fn read_tailscale(field: &Field<'_>, messages: &mut Messages<'_>) -> Tailscale {
    let mut out = Tailscale::default();
    let Some(fields) = field.open(&keys::TAILSCALE, messages) else {
        return out;
    };
    if let Some(socket) = fields.field("socket")
        && let Some(path) = socket.text(messages)
    {
        // A Unix socket's path is bounded by the operating system, 108 bytes with the closing zero on Linux.
        if path.starts_with('/') && path.len() < 108 && !path.contains('\0') {
            out.socket = PathBuf::from(path);
        } else {
            socket.warn(
                messages,
                format!(
                    "expected an absolute path of at most 107 bytes; {} is used",
                    out.socket.display()
                ),
            );
        }
    }
    let boolean = |key: &str, messages: &mut Messages<'_>| {
        fields
            .field(key)
            .and_then(|f| f.boolean(messages))
            .unwrap_or(false)
    };
    out.userspace = boolean("userspace", messages);
    out.allow_shared = boolean("allow_shared", messages);
    out.owner = fields
        .field("owner")
        .and_then(|f| f.integer(messages))
        .and_then(|uid| u32::try_from(uid).ok());
    out
}

fn networks(list: &Field<'_>, messages: &mut Messages<'_>) -> Vec<Network> {
    let items = list.array(messages).unwrap_or_default();
    if items.len() > NETWORKS_MAX {
        list.warn(
            messages,
            format!("more than {NETWORKS_MAX} networks; the rest is left out"),
        );
    }
    items
        .iter()
        .take(NETWORKS_MAX)
        .filter_map(|item| read_network(item, messages))
        .collect()
}

fn read_network(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<Network> {
    let fields = field.open(&keys::NETWORK, messages)?;
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
    let tags = prefixed(fields.field("tags"), "tag:", "network", messages)?;
    let groups = prefixed(fields.field("groups"), "group:", "network", messages)?;
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

/// Tags or groups, sorted, each once. `None` if one of them is none: then whatever bears them is left out.
fn prefixed(
    field: Option<Field<'_>>,
    prefix: &str,
    bearer: &str,
    messages: &mut Messages<'_>,
) -> Option<Vec<String>> {
    let Some(field) = field else {
        return Some(Vec::new());
    };
    let mut out = Vec::new();
    let mut whole = true;
    for item in field.array(messages)? {
        let text = item.text(messages).unwrap_or_default();
        let well = text.strip_prefix(prefix).is_some_and(|name| !name.is_empty())
            && !text.contains(',')
            && !text.chars().any(char::is_control);
        if !well {
            item.warn(
                messages,
                format!("must begin with {prefix:?} and hold no comma; the {bearer} is left out"),
            );
            whole = false;
        }
        out.push(text.to_owned());
    }
    out.sort();
    out.dedup();
    Some(out).filter(|_| whole)
}
