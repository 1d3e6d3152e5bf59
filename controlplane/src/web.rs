//! Web services that the control plane talks to: one kind of client, with every bound that a receiver could want to test.
//!
//! It follows no redirect (a body or a key would go where nobody wrote it down), takes no proxy from the environment, and
//! trusts the built-in roots unless the document names others.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// How long connecting may take, TLS included.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(30);
/// Idle connections that are kept for one host.
const IDLE_MAX: usize = 4;
/// Longest text of an error that is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 400;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebError {
    #[error("certificates to trust: {0}")]
    Roots(String),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot make a web client: {0}")]
    Client(String),
}

/// Makes ring the process's provider of cryptography, for those libraries that take whatever there is. Safe to call
/// again; a provider that somebody else has chosen stays.
pub(crate) fn install_crypto() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// A client for one service. `timeout`: for a whole request, its answer included.
///
/// # Errors
/// The certificates cannot be read.
pub(crate) fn client(ca_pem: Option<&str>, timeout: Duration) -> Result<reqwest::Client, WebError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots(ca_pem)?)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .http1_only()
        .connect_timeout(CONNECT)
        .timeout(timeout)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_MAX)
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| WebError::Client(shown(&error)))
}

fn roots(ca_pem: Option<&str>) -> Result<RootCertStore, WebError> {
    let mut store = RootCertStore::empty();
    let Some(pem) = ca_pem else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(store);
    };
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|error| WebError::Roots(error.to_string()))?;
        store.add(certificate)?;
    }
    if store.is_empty() {
        return Err(WebError::Roots("there is none".to_owned()));
    }
    Ok(store)
}

/// An error with its causes in one line, for logs and states: without any URL's query or user part, where credentials
/// could stand, without control characters, and not longer than a line may be.
pub(crate) fn shown(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Many an error prints its cause itself.
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    tidy(&text)
}

/// Makes foreign text fit for logs and states, see [`shown`].
pub(crate) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(SHOWN_BYTES_MAX));
    for (at, word) in text.split_ascii_whitespace().enumerate() {
        if at > 0 {
            out.push(' ');
        }
        match word.split_once("://") {
            Some((scheme, rest)) => {
                out.push_str(scheme);
                out.push_str("://");
                let end = rest.find(['?', '#']).unwrap_or(rest.len());
                let (place, query) = rest.split_at(end);
                let authority = place.find('/').unwrap_or(place.len());
                let (authority, path) = place.split_at(authority);
                out.push_str(authority.rsplit_once('@').map_or(authority, |(_, host)| host));
                out.push_str(path);
                if !query.is_empty() {
                    out.push_str("?…");
                }
            }
            None => out.extend(word.chars().filter(|c| !c.is_control())),
        }
        if out.len() > SHOWN_BYTES_MAX {
            break;
        }
    }
    if out.len() > SHOWN_BYTES_MAX {
        let end = out.floor_char_boundary(SHOWN_BYTES_MAX);
        out.truncate(end);
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_show_no_credentials_and_stay_short() {
        let check = |text: &str, expected: &str| assert_eq!(tidy(text), expected);
        check(
            "error sending request for url (https://user:pw@host:1/a?key=secret)",
            "error sending request for url (https://host:1/a?…",
        );
        check("a\n b\tc\u{7}d", "a b cd");
        check("https://h/#secret", "https://h/?…");
        check("", "");
        assert_eq!(tidy(&"é".repeat(1_000)).len(), SHOWN_BYTES_MAX + "…".len());
    }

    #[test]
    fn certificates_to_trust_must_be_some() {
        let second = Duration::from_secs(1);
        assert!(client(None, second).is_ok());
        for pem in [
            "",
            "nothing",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(client(Some(pem), second).is_err(), "{pem}");
        }
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        assert!(client(Some(&own.pem()), second).is_ok());
    }
}
