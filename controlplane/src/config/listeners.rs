//! `listeners`: where clients connect, and what a listener may believe.

use std::net::SocketAddr;

use sluice_shared::snapshot::{ClientAuth, Listener, ListenerTls, NetworkPrefix, Secret};

use super::domain::network;
use super::keys;
use super::message::Messages;
use super::pem::{self, PairError};
use super::reader::Field;
use super::secret::{CA_BYTES_MAX, FILE_BYTES_MAX, Sources};

/// Where Sluice listens if the document does not say.
pub(crate) const LISTEN_DEFAULT: &str = "127.0.0.1:8080";
/// Entries of `proxy_protocol` and of `hosts`.
const ENTRIES_MAX: usize = 256;

/// Where Sluice listens if nothing else is said.
pub(crate) fn default() -> Vec<Listener> {
    vec![Listener {
        address: LISTEN_DEFAULT.to_owned(),
        llm: true,
        admin: true,
        ..Listener::default()
    }]
}

/// A listener and where it says what the identity sources must agree with.
pub(super) struct Read<'a> {
    pub(super) listener: Listener,
    pub(super) serve_headers: Option<Field<'a>>,
    pub(super) client: Option<Field<'a>>,
}

/// Reads `listeners`; if none is left, the default.
pub(super) fn read<'a>(
    field: &Field<'a>,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Vec<Read<'a>> {
    let mut out: Vec<Read<'a>> = Vec::new();
    for item in field.array(messages).unwrap_or_default() {
        if let Some(read) = listener(&item, secrets, messages) {
            let address = &read.listener.address;
            if out.iter().any(|other| other.listener.address == *address) {
                item.warn(messages, format!("address {address} stands twice"));
            } else {
                out.push(read);
            }
        }
    }
    if out.is_empty() {
        field.warn(messages, format!("no listener is left; {LISTEN_DEFAULT} is used"));
        return default()
            .into_iter()
            .map(|listener| Read {
                listener,
                serve_headers: None,
                client: None,
            })
            .collect();
    }
    out
}

fn listener<'a>(field: &Field<'a>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Option<Read<'a>> {
    let fields = field.open(&keys::LISTENER, messages)?;
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

    let mut client = None;
    match fields.field("tls") {
        Some(field) => (listener.tls, client) = tls(&field, secrets, messages),
        None if !parsed.ip().to_canonical().is_loopback() => messages.notice(
            address.node.at,
            &address.path,
            "listens beyond this machine without tls: whoever is on the path reads every call, unless the network encrypts",
        ),
        None => {}
    }

    let serve_headers = fields
        .field("serve_headers")
        .filter(|f| f.boolean(messages) == Some(true));
    if let Some(field) = &serve_headers {
        if parsed.ip().to_canonical().is_loopback() {
            listener.serve_headers = true;
        } else {
            messages.error(
                field.node.at,
                &field.path,
                format!("serve_headers is for loopback addresses only: on {parsed} anybody could forge them"),
            );
        }
    }
    if let Some(field) = fields.field("proxy_protocol") {
        listener.proxy_senders = senders(&field, messages);
    }
    if let Some(field) = fields.field("hosts") {
        listener.hosts = hosts(&field, messages);
    }
    Some(Read {
        listener,
        serve_headers,
        client,
    })
}

/// What is wrong with certificate or key makes the document unusable: a listener without TLS, or none at all, is not
/// what was asked for, and the last good document has a certificate that works.
fn tls<'a>(
    field: &Field<'a>,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> (Option<ListenerTls>, Option<Field<'a>>) {
    let Some(fields) = field.open(&keys::LISTENER_TLS, messages) else {
        messages.error(field.node.at, &field.path, "tls cannot be read");
        return (None, None);
    };
    let mut file = |key: &str, bytes_max: u64| {
        let Some(file) = fields.field(key) else {
            messages.error(field.node.at, &field.path, format!("tls without {key}"));
            return None;
        };
        let Some(path) = file.text(messages) else {
            messages.error(file.node.at, &file.path, format!("tls without {key}"));
            return None;
        };
        match secrets.file(path, bytes_max) {
            Ok(text) => Some((file, path, Secret(text))),
            Err(error) => {
                messages.error(file.node.at, &file.path, format!("cannot read {path}: {error}"));
                None
            }
        }
    };
    let cert = file("cert_file", CA_BYTES_MAX);
    let key = file("key_file", FILE_BYTES_MAX);
    let shown = fields.field("client");
    let client = match shown.as_ref().map(|f| f.word("", messages)) {
        Some(Some("optional")) => ClientAuth::Optional,
        Some(Some("required")) => ClientAuth::Required,
        Some(Some(_)) | None => ClientAuth::None,
        Some(None) => {
            messages.error(
                field.node.at,
                &field.path,
                "tls without a usable client: nobody knows whether certificates are asked for",
            );
            return (None, None);
        }
    };
    let (Some((cert_field, cert_path, mut cert)), Some((key_field, key_path, key_pem))) = (cert, key) else {
        return (None, None);
    };
    let (at, path, error) = match pem::check_pair(&cert.0, &key_pem.0) {
        Ok(()) => {
            let tls = ListenerTls {
                cert_pem: std::mem::take(&mut cert.0),
                key_pem,
                client,
            };
            return (Some(tls), shown.filter(|_| client != ClientAuth::None));
        }
        Err(PairError::Certificate(error)) => (cert_field, cert_path, error),
        Err(PairError::Key(error)) => (key_field, key_path, error),
    };
    messages.error(at.node.at, &at.path, format!("{path} {error}"));
    (None, None)
}

fn senders(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<NetworkPrefix> {
    let mut out = Vec::new();
    for (item, text) in field.texts(messages).unwrap_or_default() {
        let Some((address, prefix)) = network(text) else {
            item.warn(messages, "is no network, e.g. \"10.0.0.0/8\"; it is left out");
            continue;
        };
        if prefix == 0 || (prefix == 96 && text.contains('.')) {
            item.warn(
                messages,
                "lets every address say who it speaks for; name the balancers",
            );
        }
        let sender = NetworkPrefix { address, prefix };
        if out.len() >= ENTRIES_MAX {
            field.warn(
                messages,
                format!("more than {ENTRIES_MAX} networks; the rest is left out"),
            );
            break;
        }
        if !out.contains(&sender) {
            out.push(sender);
        }
    }
    out
}

fn hosts(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<String> {
    let mut out = Vec::new();
    for (item, text) in field.texts(messages).unwrap_or_default() {
        let name = text.to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.len() > 253 || !name.split('.').all(label) {
            item.warn(
                messages,
                "is no host name without port, e.g. \"gateway.example.com\"; it is left out",
            );
        } else if out.len() >= ENTRIES_MAX {
            field.warn(
                messages,
                format!("more than {ENTRIES_MAX} names; the rest is left out"),
            );
            break;
        } else if !out.contains(&name) {
            out.push(name);
        }
    }
    out
}
