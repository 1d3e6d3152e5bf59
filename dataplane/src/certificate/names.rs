//! The names in a client's own certificate, read strictly: what could be read in two ways is refused.
//!
//! A URI name is a SPIFFE id or nothing (SPIFFE-ID §2, X509-SVID §2–§4): exactly one, lower-case trust domain, a path
//! of plain segments; its certificate must not be able to sign others. E-mail and host names become logins as they
//! are, if they consist of the characters that such names have.

use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::metrics::entrance::TlsFailure;

/// Longest SPIFFE id, in bytes (SPIFFE-ID §2.3).
const SPIFFE_BYTES_MAX: usize = 2_048;
/// Longest trust domain, e-mail or host name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// What a client's own certificate says about its holder.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) spiffe: Option<SpiffeId<'a>>,
    pub(super) emails: Vec<&'a str>,
    pub(super) hosts: Vec<&'a str>,
    /// End of its time, in Unix seconds.
    pub(super) not_after_s: i64,
}

/// `spiffe://trust-domain/path`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SpiffeId<'a> {
    pub(super) uri: &'a str,
    pub(super) trust_domain: &'a str,
}

impl<'a> SpiffeId<'a> {
    /// Reads an id of a workload.
    pub(super) fn parse(uri: &'a str) -> Option<Self> {
        if uri.len() > SPIFFE_BYTES_MAX {
            return None;
        }
        let (trust_domain, path) = uri.strip_prefix("spiffe://")?.split_once('/')?;
        let domain_byte =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._".contains(&byte);
        let path_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let domain_holds = !trust_domain.is_empty()
            && trust_domain.len() <= NAME_BYTES_MAX
            && trust_domain.bytes().all(domain_byte);
        let path_holds = path.split('/').all(|segment| {
            !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(path_byte)
        });
        (domain_holds && path_holds).then_some(Self { uri, trust_domain })
    }
}

impl<'a> Leaf<'a> {
    /// Reads a certificate in DER.
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, TlsFailure> {
        let certificate = read(der)?;
        let mut leaf = Leaf {
            spiffe: None,
            emails: Vec::new(),
            hosts: Vec::new(),
            not_after_s: certificate.validity().not_after.timestamp(),
        };
        let mut uris: Vec<&'a str> = Vec::new();
        let mut signs = false;
        let mut seen = Vec::new();
        for extension in certificate.extensions() {
            if seen.contains(&&extension.oid) {
                return Err(TlsFailure::Malformed);
            }
            seen.push(&extension.oid);
            match extension.parsed_extension() {
                ParsedExtension::ParseError { .. } => return Err(TlsFailure::Malformed),
                ParsedExtension::BasicConstraints(constraints) if constraints.ca => {
                    return Err(TlsFailure::CaLeaf);
                }
                ParsedExtension::KeyUsage(usage) => signs = usage.key_cert_sign() || usage.crl_sign(),
                ParsedExtension::SubjectAlternativeName(names) => {
                    for name in &names.general_names {
                        match *name {
                            GeneralName::URI(uri) => uris.push(uri),
                            GeneralName::RFC822Name(email) => leaf.emails.push(email),
                            GeneralName::DNSName(host) => leaf.hosts.push(host),
                            GeneralName::Invalid(..) => return Err(TlsFailure::Malformed),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        if signs {
            return Err(TlsFailure::CaLeaf);
        }
        leaf.spiffe = match *uris.as_slice() {
            [] => None,
            [uri] => Some(SpiffeId::parse(uri).ok_or(TlsFailure::UriName)?),
            _ => return Err(TlsFailure::UriName),
        };
        Ok(leaf)
    }
}

/// End of a certificate's time, in Unix seconds.
pub(super) fn not_after_s(der: &[u8]) -> Result<i64, TlsFailure> {
    Ok(read(der)?.validity().not_after.timestamp())
}

fn read(der: &[u8]) -> Result<X509Certificate<'_>, TlsFailure> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(TlsFailure::Malformed),
    }
}

/// A host name as it may be a login: labels of letters, digits, `-` and `_`, no wildcard.
pub(super) fn is_host(host: &str) -> bool {
    let label_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    host.len() <= NAME_BYTES_MAX
        && host
            .split('.')
            .all(|label| !label.is_empty() && label.bytes().all(label_byte))
}

/// An e-mail name as it may be a login: no quoting, no comments.
pub(super) fn is_email(email: &str) -> bool {
    let local_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&byte);
    email.len() <= NAME_BYTES_MAX
        && email
            .split_once('@')
            .is_some_and(|(local, host)| !local.is_empty() && local.bytes().all(local_byte) && is_host(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spiffe_ids_are_read_strictly() {
        let check = |uri: &str, expected: Option<&str>| {
            let found = SpiffeId::parse(uri);
            assert_eq!(found.map(|id| id.trust_domain), expected, "{uri}");
            assert!(found.is_none_or(|id| id.uri == uri));
        };
        check("spiffe://prod.example/ns/a/sa/b", Some("prod.example"));
        check("spiffe://a/b", Some("a"));
        check("spiffe://a_b-c.1/X.y-z_9", Some("a_b-c.1"));
        for uri in [
            "",
            "spiffe://",
            "spiffe:///a",
            "spiffe://prod.example",
            "spiffe://prod.example/",
            "spiffe://prod.example/a/",
            "spiffe://prod.example//a",
            "spiffe://prod.example/./a",
            "spiffe://prod.example/a/..",
            "spiffe://Prod.example/a",
            "SPIFFE://prod.example/a",
            "spiffe://prod.example:443/a",
            "spiffe://user@prod.example/a",
            "spiffe://prod.example/a?b",
            "spiffe://prod.example/a#b",
            "spiffe://prod.example/a%2fb",
            "spiffe://prod.example/a b",
            "spiffe://prod.example/ü",
            "spiffe://[::1]/a",
            "https://prod.example/a",
        ] {
            check(uri, None);
        }
        let long = format!("spiffe://a/{}", "b".repeat(SPIFFE_BYTES_MAX - 11));
        check(&long, Some("a"));
        check(&format!("{long}b"), None);
        let domain = "d".repeat(NAME_BYTES_MAX);
        check(&format!("spiffe://{domain}/a"), Some(&domain));
        check(&format!("spiffe://{domain}d/a"), None);
    }

    #[test]
    fn logins_consist_of_plain_characters() {
        for (email, holds) in [
            ("alice@example.com", true),
            ("a.b+c@x", true),
            ("alice", false),
            ("@example.com", false),
            ("alice@", false),
            ("a@b@c", false),
            ("a b@example.com", false),
            ("\"a\"@example.com", false),
            ("tag:x,tag:y@example.com", false),
            ("a@example..com", false),
            ("ü@example.com", false),
            ("a\r\n@example.com", false),
        ] {
            assert_eq!(is_email(email), holds, "{email}");
        }
        for (host, holds) in [
            ("agent.example.com", true),
            ("a_b-c", true),
            ("", false),
            (".", false),
            ("a.", false),
            ("*.example.com", false),
            ("tag:prod", false),
            ("(loopback)", false),
            ("a\0b", false),
        ] {
            assert_eq!(is_host(host), holds, "{host}");
        }
        assert!(is_host(&"a".repeat(NAME_BYTES_MAX)));
        assert!(!is_host(&"a".repeat(NAME_BYTES_MAX + 1)));
    }
}
