//! PEM files: whether they hold what the document says. No error text holds anything of a file.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

/// Most certificates or lists in one file.
const ITEMS_MAX: usize = 1_024;

/// Checks a chain and its key: both are there, both can be used, and they belong together.
pub(crate) fn check_pair(cert_pem: &str, key_pem: &str) -> Result<(), PairError> {
    let chain = certificates(cert_pem).map_err(PairError::Certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key_pem.as_bytes())
        .map_err(|_| PairError::Key("holds no PEM private key".into()))?;
    let key = rustls::crypto::ring::sign::any_supported_type(&key)
        .map_err(|_| PairError::Key("holds a private key of a kind that is not supported".into()))?;
    match CertifiedKey::new(chain, key).keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(()),
        Err(Error::InconsistentKeys(_)) => Err(PairError::Key("is not the key of the certificate".into())),
        Err(_) => Err(PairError::Certificate(
            "holds a certificate that cannot be read".into(),
        )),
    }
}

/// Which of the two files is at fault.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PairError {
    Certificate(String),
    Key(String),
}

/// Checks certificates of authorities: at least one, and every one can be trusted as an anchor.
pub(crate) fn check_authorities(pem: &str) -> Result<(), String> {
    roots(pem).map(|_| ())
}

/// Checks revocation lists that go with authorities.
pub(crate) fn check_revocations(ca_pem: &str, crl_pem: &str) -> Result<(), String> {
    let lists: Vec<_> = CertificateRevocationListDer::pem_slice_iter(crl_pem.as_bytes())
        .take(ITEMS_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| "is no PEM".to_owned())?;
    if lists.is_empty() {
        return Err("holds no PEM revocation list".into());
    }
    if lists.len() > ITEMS_MAX {
        return Err(format!("holds more than {ITEMS_MAX} revocation lists"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots(ca_pem)?), provider)
        .with_crls(lists)
        .build()
        .map(|_| ())
        .map_err(|_| "holds a revocation list that cannot be read".into())
}

fn roots(pem: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots
            .add(certificate)
            .map_err(|_| "holds a certificate that cannot be read")?;
    }
    Ok(roots)
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let list: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes())
        .take(ITEMS_MAX + 1)
        .collect::<Result<_, _>>()
        .map_err(|_| "is no PEM".to_owned())?;
    if list.is_empty() {
        return Err("holds no PEM certificate".into());
    }
    if list.len() > ITEMS_MAX {
        return Err(format!("holds more than {ITEMS_MAX} certificates"));
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_chain_and_its_key_belong_together() {
        let ((cert, key), (other, _)) = (pair(), pair());
        assert_eq!(check_pair(&cert, &key), Ok(()));
        assert_eq!(check_pair(&format!("{cert}{other}"), &key), Ok(()));
        assert_eq!(
            check_pair(&other, &key),
            Err(PairError::Key("is not the key of the certificate".into()))
        );
        assert_eq!(
            check_pair(&key, &key),
            Err(PairError::Certificate("holds no PEM certificate".into()))
        );
        assert_eq!(
            check_pair(&cert, &cert),
            Err(PairError::Key("holds no PEM private key".into()))
        );
        let cut = &cert[..cert.len() / 2];
        assert!(matches!(check_pair(cut, &key), Err(PairError::Certificate(_))));
        let hollow = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(
            check_pair(hollow, &key),
            Err(PairError::Certificate(
                "holds a certificate that cannot be read".into()
            ))
        );
        assert!(check_authorities(hollow).is_err());
        assert_eq!(check_authorities(&cert), Ok(()));
        assert!(check_revocations(&cert, &cert).is_err());
        assert!(check_revocations(&cert, "").is_err());
    }
}
