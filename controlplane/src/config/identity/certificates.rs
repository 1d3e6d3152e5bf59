//! `identity.mtls`: authorities of client certificates, one bundle for each SPIFFE trust domain and one for certificates
//! without a URI name.
//!
//! A file that cannot be used makes the document unusable: a missing bundle locks people out, a missing revocation list
//! lets revoked ones in, and the last good document has both.

use sluice_shared::snapshot::TrustBundle;

use super::super::message::Messages;
use super::super::reader::Field;
use super::super::secret::{CA_BYTES_MAX, CRL_BYTES_MAX, Sources};
use super::super::{keys, pem};
use super::prefixed;

/// Bundles of a document.
const BUNDLES_MAX: usize = 64;

/// Reads `identity.mtls`.
pub(super) fn read(list: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Vec<TrustBundle> {
    let mut out: Vec<TrustBundle> = Vec::new();
    for item in list.array(messages).unwrap_or_default() {
        let Some(bundle) = bundle(&item, secrets, messages) else {
            continue;
        };
        if out.len() >= BUNDLES_MAX {
            list.warn(
                messages,
                format!("more than {BUNDLES_MAX} bundles; the rest is left out"),
            );
            break;
        }
        if out.iter().any(|known| known.trust_domain == bundle.trust_domain) {
            let which = bundle.trust_domain.as_ref().map_or_else(
                || "without a trust domain".to_owned(),
                |domain| format!("of the trust domain {domain}"),
            );
            messages.error(
                item.node.at,
                &item.path,
                format!("two bundles {which}: put their certificates into one file"),
            );
            continue;
        }
        out.push(bundle);
    }
    out
}

fn bundle(field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Option<TrustBundle> {
    let fields = field.open(&keys::BUNDLE, messages)?;
    let trust_domain = match fields.field("trust_domain") {
        None => None,
        Some(f) => Some(trust_domain(&f, messages)?),
    };
    let Some(file) = fields.field("ca_file") else {
        field.warn(messages, "bundle without ca_file; it is left out");
        return None;
    };
    let ca_pem = pem_file(&file, CA_BYTES_MAX, secrets, messages, pem::check_authorities)?;
    let crl_pem = match fields.field("crl_file") {
        None => String::new(),
        Some(file) => pem_file(&file, CRL_BYTES_MAX, secrets, messages, |text| {
            pem::check_revocations(&ca_pem, text)
        })?,
    };
    let mut bundle = TrustBundle {
        trust_domain,
        ca_pem,
        crl_pem,
        email: false,
        dns: false,
        groups: prefixed(fields.field("groups"), "group:", "bundle", messages)?,
        tags: prefixed(fields.field("tags"), "tag:", "bundle", messages)?,
    };
    if let Some(accept) = fields.field("accept") {
        for (item, text) in accept.texts(messages)? {
            match text {
                "email" => bundle.email = true,
                "dns" => bundle.dns = true,
                _ => item.warn(
                    messages,
                    format!("cannot accept {text:?}; known are email and dns"),
                ),
            }
        }
        if bundle.trust_domain.is_some() && (bundle.email || bundle.dns) {
            accept.warn(
                messages,
                "has no effect: in a trust domain the URI name is the login",
            );
            (bundle.email, bundle.dns) = (false, false);
        }
    }
    if bundle.trust_domain.is_none() && !bundle.email && !bundle.dns {
        field.warn(
            messages,
            "bundle proves nobody: it has neither a trust_domain nor names to accept",
        );
    }
    Some(bundle)
}

/// A SPIFFE trust domain name (SPIFFE-ID, 2.1): lower-case letters, digits, dots, dashes, underscores.
fn trust_domain(field: &Field<'_>, messages: &mut Messages<'_>) -> Option<String> {
    let text = field.text(messages)?;
    let name = text.strip_prefix("spiffe://").unwrap_or(text);
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(valid) {
        field.warn(
            messages,
            "is no trust domain, e.g. \"prod.example.com\" in lower case; the bundle is left out",
        );
        return None;
    }
    Some(name.to_owned())
}

fn pem_file(
    field: &Field<'_>,
    bytes_max: u64,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Option<String> {
    let path = field.text(messages)?;
    let read = secrets
        .file(path, bytes_max)
        .map_err(|error| format!("cannot read {path}: {error}"))
        .and_then(|text| match check(&text) {
            Ok(()) => Ok(text),
            Err(error) => Err(format!("{path} {error}")),
        });
    match read {
        Ok(text) => Some(text),
        Err(error) => {
            messages.error(field.node.at, &field.path, error);
            None
        }
    }
}
