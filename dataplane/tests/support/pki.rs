//! Authorities, certificates and TLS configurations for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use sluice_shared::snapshot::{ClientAuth, Listener, ListenerTls, Secret};
use time::OffsetDateTime;

/// An authority of the test's own, with a name that no other has.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
    /// Certificates that a client must show besides its own: this authority's and those above, without the root.
    above: Vec<CertificateDer<'static>>,
    root: CertificateDer<'static>,
}

/// A certificate with its key and chain.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub cert_pem: String,
    pub key_pem: String,
    key: Vec<u8>,
}

fn authority_params(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    params
        .distinguished_name
        .push(DnType::CommonName, format!("authority {number}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    params
}

impl Authority {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = authority_params(change);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            root: certificate.der().clone(),
            issuer: Issuer::new(params, key),
            above: Vec::new(),
        }
    }

    /// An authority that this one vouches for.
    pub fn intermediate(&self, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let params = authority_params(change);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut above = vec![certificate.der().clone()];
        above.extend_from_slice(&self.above);
        Self {
            pem: certificate.pem(),
            root: self.root.clone(),
            issuer: Issuer::new(params, key),
            above,
        }
    }

    /// A certificate, changed by the test before it is signed.
    pub fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let mut chain = vec![certificate.der().clone()];
        chain.extend_from_slice(&self.above);
        Identity {
            cert_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            key: key.serialize_der(),
            chain,
        }
    }

    /// A client's certificate with these names.
    pub fn client(&self, names: &[SanType]) -> Identity {
        self.sign(|params| params.subject_alt_names = names.to_vec())
    }

    /// The certificate of a gateway.
    pub fn gateway(&self) -> Identity {
        self.sign(|params| {
            params.subject_alt_names = vec![dns("gateway.test")];
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        })
    }

    /// A list that revokes this serial number.
    pub fn revocation_list(&self, serial: u64) -> String {
        let now = OffsetDateTime::now_utc();
        let params = CertificateRevocationListParams {
            this_update: now - time::Duration::days(1),
            next_update: now + time::Duration::days(1),
            crl_number: SerialNumber::from(1u64),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: now - time::Duration::hours(1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).unwrap().pem().unwrap()
    }

    /// A client's TLS that trusts this authority and shows this certificate.
    pub fn config(&self, client: Option<&Identity>) -> Arc<ClientConfig> {
        self.config_of(client, rustls::ALL_VERSIONS)
    }

    pub fn config_of(
        &self,
        client: Option<&Identity>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match client {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                // Not looked at on this side, however bad it is.
                let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.clone()));
                let key = rustls::crypto::ring::sign::any_supported_type(&der).unwrap();
                let shown = CertifiedKey::new(identity.chain.clone(), key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(shown)))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl Identity {
    /// A listener that shows this certificate.
    pub fn listener(&self, client: ClientAuth) -> Listener {
        Listener {
            llm: true,
            admin: true,
            tls: Some(self.tls(client)),
            ..Listener::default()
        }
    }

    pub fn tls(&self, client: ClientAuth) -> ListenerTls {
        ListenerTls {
            cert_pem: self.cert_pem.clone(),
            key_pem: Secret(self.key_pem.clone()),
            client,
        }
    }
}

pub fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub fn email(name: &str) -> SanType {
    SanType::Rfc822Name(name.try_into().unwrap())
}

pub fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// The value of a counter in a metrics text.
pub fn counter(text: &str, sample: &str) -> u64 {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in {text}"))
        .parse()
        .unwrap()
}
