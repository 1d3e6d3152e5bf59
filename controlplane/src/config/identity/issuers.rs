//! `identity.oidc`: issuers of JSON web tokens. Everything that decides whether a token holds is pinned here: issuer,
//! audience, algorithms (RFC 8725, 3.1 and 3.9).

use std::net::IpAddr;

use sluice_shared::snapshot::BaseUrl;

use super::super::domain::Issuer;
use super::super::message::Messages;
use super::super::nearest::nearest;
use super::super::reader::{Field, Fields, shown};
use super::super::secret::{CA_BYTES_MAX, Sources};
use super::super::{base_url, keys, pem};

/// Entries of the `oidc` source.
const ISSUERS_MAX: usize = 64;
/// Audiences of one issuer.
const AUDIENCES_MAX: usize = 64;
/// Longest claim name, prefix or audience, in bytes.
const TEXT_BYTES_MAX: usize = 512;
/// What most providers sign with. Both are safe; a document that wants to be strict names one.
const ALGORITHMS_DEFAULT: [&str; 2] = ["RS256", "ES256"];

/// Reads `identity.oidc`; an issuer that is not wholly understood is left out.
pub(super) fn read(list: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Vec<Issuer> {
    let mut out: Vec<Issuer> = Vec::new();
    for item in list.array(messages).unwrap_or_default() {
        let Some(issuer) = issuer(&item, secrets, messages) else {
            continue;
        };
        if out.len() >= ISSUERS_MAX {
            list.warn(
                messages,
                format!("more than {ISSUERS_MAX} issuers; the rest is left out"),
            );
            break;
        }
        if out.iter().any(|known| known.issuer == issuer.issuer) {
            item.warn(messages, "issuer stands twice; this one is left out");
            continue;
        }
        if let Some(known) = out.iter().find(|known| known.login_prefix == issuer.login_prefix) {
            messages.notice(
                item.node.at,
                &item.path,
                format!(
                    "has the login_prefix of {}: the same login of both is the same person",
                    known.issuer
                ),
            );
        }
        out.push(issuer);
    }
    out
}

fn issuer(field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Option<Issuer> {
    let fields = field.open(&keys::ISSUER, messages)?;
    let Some(named) = fields.field("issuer") else {
        field.warn(messages, "issuer without issuer; it is left out");
        return None;
    };
    let issuer = url(&named, messages)?;
    let audiences = audiences(field, &fields, messages)?;
    let algorithms = algorithms(&fields, messages)?;
    let jwks_url = match fields.field("jwks_url") {
        None => String::new(),
        Some(f) => url(&f, messages)?,
    };
    let ca_pem = match fields.field("ca_file") {
        None => None,
        Some(file) => {
            let path = file.text(messages)?;
            let read = secrets
                .file(path, CA_BYTES_MAX)
                .map_err(|error| format!("cannot read {path}: {error}"))
                .and_then(|text| match pem::check_authorities(&text) {
                    Ok(()) => Ok(text),
                    Err(error) => Err(format!("{path} {error}")),
                });
            match read {
                Ok(text) => Some(text),
                Err(error) => {
                    messages.error(file.node.at, &file.path, error);
                    return None;
                }
            }
        }
    };
    let text = |key: &str, default: &str, messages: &mut Messages<'_>| {
        let Some(f) = fields.field(key) else {
            return Some(default.to_owned());
        };
        let text = f.text(messages)?;
        if text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            f.warn(
                messages,
                format!("is longer than {TEXT_BYTES_MAX} bytes or holds control characters; the issuer is left out"),
            );
            return None;
        }
        Some(text.to_owned())
    };
    let mut login_claim = text("login_claim", "sub", messages)?;
    if login_claim.is_empty() {
        "sub".clone_into(&mut login_claim);
    }
    let login_prefix = text("login_prefix", "", messages)?;
    if ["(", "tag:", "group:"]
        .iter()
        .any(|mark| login_prefix.starts_with(mark))
    {
        fields.field("login_prefix").inspect(|f| {
            f.warn(
                messages,
                "looks like a tag, a group or a source; the issuer is left out",
            );
        });
        return None;
    }
    Some(Issuer {
        issuer,
        audiences,
        algorithms,
        jwks_url,
        ca_pem,
        login_claim,
        login_prefix,
        groups_claim: text("groups_claim", "", messages)?,
        tags_claim: text("tags_claim", "", messages)?,
    })
}

/// A URL whose answer decides who somebody is: https, or http where the way leads nowhere.
fn url(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<String> {
    let text = field.text(messages)?;
    match base_url::parse(text) {
        Ok(url) if url.tls || loopback(&url) => Some(text.to_owned()),
        Ok(_) => {
            field.warn(
                messages,
                "must be https, or http on loopback; the issuer is left out",
            );
            None
        }
        Err(error) => {
            field.warn(messages, format!("URL {error}; the issuer is left out"));
            None
        }
    }
}

fn loopback(url: &BaseUrl) -> bool {
    url.host == "localhost" || url.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn audiences(field: &Field<'_>, fields: &Fields<'_>, messages: &mut Messages<'_>) -> Option<Vec<String>> {
    let Some(audience) = fields.field("audience") else {
        field.warn(
            messages,
            "issuer without audience: it would take tokens meant for others; it is left out",
        );
        return None;
    };
    let mut out = Vec::new();
    for (item, text) in audience.one_or_many(messages)? {
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            item.warn(messages, "is no audience; it is left out");
        } else if !out.iter().any(|known| known == text) {
            out.push(text.to_owned());
        }
    }
    if out.is_empty() || out.len() > AUDIENCES_MAX {
        audience.warn(
            messages,
            format!("needs 1 to {AUDIENCES_MAX} audiences; the issuer is left out"),
        );
        return None;
    }
    Some(out)
}

fn algorithms(fields: &Fields<'_>, messages: &mut Messages<'_>) -> Option<Vec<String>> {
    let Some(list) = fields.field("algorithms") else {
        return Some(ALGORITHMS_DEFAULT.map(str::to_owned).to_vec());
    };
    let mut out: Vec<String> = Vec::new();
    for (item, text) in list.texts(messages)? {
        if keys::ALGORITHMS.contains(&text) {
            if !out.iter().any(|known| known == text) {
                out.push(text.to_owned());
            }
            continue;
        }
        let why = match text {
            "HS256" | "HS384" | "HS512" => {
                format!(
                    "algorithm {text} is symmetric: whoever can check such a token can forge it; it is left out"
                )
            }
            "none" => "algorithm none signs nothing; it is left out".to_owned(),
            "ES256K" | "ES512" => format!("algorithm {text} is not supported; it is left out"),
            _ => match nearest(text, &keys::ALGORITHMS) {
                Some(near) => format!("unknown algorithm {text:?}; did you mean {near:?}?"),
                None => format!(
                    "unknown algorithm {}; known are {}",
                    shown(text),
                    keys::ALGORITHMS.join(", ")
                ),
            },
        };
        item.warn(messages, why);
    }
    if out.is_empty() {
        list.warn(messages, "no algorithm is left; the issuer is left out");
        return None;
    }
    Some(out)
}
