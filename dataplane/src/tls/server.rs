//! TLS towards clients: the listener's certificate, what is asked of the client's, and why a handshake failed.
//!
//! Nothing is resumed: no tickets, no sessions kept. So each connection's client certificate is checked against the
//! bundles and the time of that connection, and a reloaded certificate is what every new connection gets.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{CertificateError, Error, InvalidMessage, OtherError, ServerConfig};
use sluice_shared::snapshot::{ClientAuth, ListenerTls, TrustBundle};

use crate::certificate::{Refused, Trust};
use crate::metrics::entrance::TlsFailure;

/// How a listener terminates TLS, compiled.
pub(crate) struct ServerTls {
    pub(crate) config: Arc<ServerConfig>,
    /// Whom client certificates are believed from; `None` if none are asked for.
    pub(crate) trust: Option<Arc<Trust>>,
    /// What it was compiled from.
    spec: ListenerTls,
    bundles: Vec<TrustBundle>,
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Compiles a listener's settings.
    ///
    /// # Errors
    /// Why they cannot be used, without anything of the key.
    pub(crate) fn compile(spec: &ListenerTls, bundles: &[TrustBundle]) -> Result<Self, String> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = match spec.client {
            ClientAuth::None => None,
            ClientAuth::Optional => Some(Trust::compile(bundles, false, &provider)?),
            ClientAuth::Required => Some(Trust::compile(bundles, true, &provider)?),
        };
        let chain = CertificateDer::pem_slice_iter(spec.cert_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("certificate: {error}"))?;
        let key = PrivateKeyDer::from_pem_slice(spec.key_pem.0.as_bytes())
            .map_err(|_| "key: no private key in the PEM text".to_owned())?;
        let builder = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .map_err(|error| error.to_string())?;
        let builder = match &trust {
            None => builder.with_no_client_auth(),
            Some(trust) => builder.with_client_cert_verifier(trust.clone()),
        };
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|error| format!("certificate and key: {error}"))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Early data could be replayed: a prompt would be paid for twice.
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            trust,
            spec: spec.clone(),
            bundles: relevant(spec, bundles).to_vec(),
        })
    }

    /// Whether compiling these settings would give the same.
    pub(crate) fn is_of(&self, spec: &ListenerTls, bundles: &[TrustBundle]) -> bool {
        self.spec == *spec && self.bundles == relevant(spec, bundles)
    }
}

/// The bundles that matter to a listener.
fn relevant<'a>(spec: &ListenerTls, bundles: &'a [TrustBundle]) -> &'a [TrustBundle] {
    match spec.client {
        ClientAuth::None => &[],
        ClientAuth::Optional | ClientAuth::Required => bundles,
    }
}

/// The reason under which an error is counted.
pub(crate) fn failure(error: &Error) -> TlsFailure {
    match error {
        Error::NoCertificatesPresented => TlsFailure::NoCertificate,
        Error::InvalidCertificate(error) => certificate_failure(error),
        Error::InvalidCertRevocationList(_) => TlsFailure::Revoked,
        Error::AlertReceived(_) => TlsFailure::Closed,
        Error::InvalidMessage(
            InvalidMessage::CertificatePayloadTooLarge | InvalidMessage::HandshakePayloadTooLarge,
        ) => TlsFailure::TooLarge,
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TlsFailure::NotTls,
        _ => TlsFailure::Protocol,
    }
}

fn certificate_failure(error: &CertificateError) -> TlsFailure {
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFailure::NotYetValid
        }
        CertificateError::UnknownIssuer => TlsFailure::UnknownCa,
        CertificateError::Revoked
        | CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => TlsFailure::Revoked,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TlsFailure::WrongUsage
        }
        CertificateError::Other(OtherError(inner)) => {
            if let Some(Refused(reason)) = inner.downcast_ref::<Refused>() {
                *reason
            } else if let Some(error) = inner.downcast_ref::<webpki::Error>() {
                path_failure(error)
            } else {
                TlsFailure::Malformed
            }
        }
        _ => TlsFailure::Malformed,
    }
}

/// What webpki says and rustls has no word for.
fn path_failure(error: &webpki::Error) -> TlsFailure {
    match error {
        webpki::Error::CaUsedAsEndEntity => TlsFailure::CaLeaf,
        // An intermediate that may not sign vouches for nobody.
        webpki::Error::EndEntityUsedAsCa | webpki::Error::PathLenConstraintViolated => TlsFailure::UnknownCa,
        webpki::Error::NameConstraintViolation
        | webpki::Error::MalformedNameConstraint
        | webpki::Error::InvalidNetworkMaskConstraint
        | webpki::Error::MaximumNameConstraintComparisonsExceeded => TlsFailure::NameConstraints,
        webpki::Error::MaximumPathDepthExceeded
        | webpki::Error::MaximumPathBuildCallsExceeded
        | webpki::Error::MaximumSignatureChecksExceeded => TlsFailure::ChainTooLong,
        _ => TlsFailure::Malformed,
    }
}
