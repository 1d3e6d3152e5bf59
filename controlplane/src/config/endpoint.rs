//! What hooks, exporters and providers have in common: how a web service is addressed, paid with a key, and trusted.

use sluice_shared::snapshot::{Authorization, Header};

use super::hujson::Value;
use super::keys;
use super::message::Messages;
use super::reader::{Field, Fields};
use super::secret::{CA_BYTES_MAX, Sources};
use super::{header, pem};

/// Fills in the placeholders of a value. One that cannot be resolved is an error, or a warning if the part is switched off.
pub(super) fn expand(
    field: &Field<'_>,
    text: &str,
    disabled: bool,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<String> {
    match secrets.expand(text) {
        Ok(value) => Some(value),
        Err(error) => {
            if disabled {
                field.warn(messages, error);
            } else {
                messages.error(field.node.at, &field.path, error);
            }
            None
        }
    }
}

/// A key: what is between spaces in a header. `None` if it cannot be used, which is reported; `left_out` says what becomes
/// of the part.
pub(super) fn key(
    field: &Field<'_>,
    left_out: &str,
    disabled: bool,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<String> {
    let text = field.text(messages)?;
    let key = expand(field, text, disabled, secrets, messages)?;
    if key.bytes().any(|b| !(0x21..=0x7e).contains(&b)) {
        field.warn(
            messages,
            format!("holds spaces, line breaks or other characters that no key has{left_out}"),
        );
        return None;
    }
    Some(key)
}

/// The header that carries a key.
pub(super) fn authorization(
    fields: &Fields<'_>,
    left_out: &str,
    messages: &mut Messages<'_>,
) -> Option<Authorization> {
    Some(match fields.field("authorization") {
        None => Authorization::Bearer,
        Some(field) => match field.word(left_out, messages)? {
            "x-api-key" => Authorization::XApiKey,
            "x-goog-api-key" => Authorization::XGoogApiKey,
            _ => Authorization::Bearer,
        },
    })
}

/// `add_headers`; what is no header is reported and left out.
pub(super) fn add_headers(
    fields: &Fields<'_>,
    disabled: bool,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Vec<Header> {
    let mut out = Vec::new();
    for (item, text) in fields
        .field("add_headers")
        .and_then(|f| f.texts(messages))
        .unwrap_or_default()
    {
        let Some(expanded) = expand(&item, text, disabled, secrets, messages) else {
            continue;
        };
        match header::parse(&expanded) {
            Ok(header) => out.push(header),
            Err(error) => item.warn(
                messages,
                format!("bad add_headers entry: {error}; it is left out"),
            ),
        }
    }
    out
}

/// `tls.ca_file`. `None` if the part must be left out: trusting the public roots instead would weaken what was asked for.
pub(super) fn ca_pem(
    fields: &Fields<'_>,
    left_out: &str,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<Option<String>> {
    let Some(tls) = fields.field("tls") else {
        return Some(None);
    };
    let fields = tls.open(&keys::PROVIDER_TLS, messages)?;
    let Some(file) = fields.field("ca_file") else {
        return Some(None);
    };
    let path = file.text(messages)?;
    let read = secrets
        .file(path, CA_BYTES_MAX)
        .map_err(|error| format!("cannot read {path}: {error}"))
        .and_then(|text| match pem::check_authorities(&text) {
            Ok(()) => Ok(text),
            Err(error) => Err(format!("{path} {error}")),
        });
    match read {
        Ok(text) => Some(Some(text)),
        Err(error) => {
            file.warn(messages, format!("{error}{left_out}"));
            None
        }
    }
}

/// What is wrong with a URL; where it came from a placeholder, that alone is said.
pub(super) fn wrong_url(field: &Field<'_>, expanded: String, error: String) -> String {
    if field.node.value == Value::Text(expanded) {
        error
    } else {
        "is none once its placeholder is filled in".into()
    }
}
