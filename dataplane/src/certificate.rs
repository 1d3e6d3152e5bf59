//! Client certificates: whom they are believed from, and who is proven by one.
//!
//! A certificate is looked at before it is validated, only to choose the bundle that it must hold against: one SPIFFE
//! id chooses the bundle of its trust domain and no other, so that the authority of one domain can never vouch for
//! names of another; without a URI name the bundles without a domain are tried. The validation itself (chain,
//! times, usage, name constraints, revocation lists) is webpki's. Nothing of a certificate is ever logged.
//!
//! Revocation: a list counts for the authority that signed it; for an authority without one nothing is known
//! to be revoked. A list past its own time still counts: an old list is better than none, and refusing everybody
//! because a list was not renewed in time would be an outage.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
};
use sluice_shared::snapshot::{SourceKind, TrustBundle};
use sluice_shared::units::MonoMicros;
use sluice_shared::wire::control::Principal;

use crate::clock;
use crate::metrics::entrance::TlsFailure;
use crate::tls::server;

mod names;
pub(crate) mod recheck;

use names::Leaf;

/// Certificates of a chain, the client's own included.
const CHAIN_MAX: usize = 8;
/// Bytes of one certificate.
const CERTIFICATE_BYTES_MAX: usize = 64 << 10;
/// Bytes of the list of authorities that clients are told; a longer one is not sent, which means "any".
const HINT_BYTES_MAX: usize = 16 << 10;
/// Hexadecimal digits of the certificate's hash that are the node's id.
const NODE_DIGITS: usize = 32;

/// Who is proven by a client certificate.
#[derive(Clone, Debug)]
pub(crate) struct Certified {
    pub(crate) principal: Arc<Principal>,
    /// From then on a certificate of the chain is past its time, and nothing is proven any more.
    pub(crate) until: MonoMicros,
}

/// A reason that webpki does not have, on its way through rustls.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) TlsFailure);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl std::error::Error for Refused {}

fn refused(reason: TlsFailure) -> Error {
    CertificateError::Other(OtherError(Arc::new(Refused(reason)))).into()
}

/// Whom client certificates are believed from.
pub(crate) struct Trust {
    bundles: Vec<Bundle>,
    hints: Vec<DistinguishedName>,
    provider: Arc<CryptoProvider>,
    mandatory: bool,
}

struct Bundle {
    spec: TrustBundle,
    verifier: Arc<dyn ClientCertVerifier>,
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trust")
            .field("bundles", &self.bundles.len())
            .field("mandatory", &self.mandatory)
            .finish_non_exhaustive()
    }
}

impl Trust {
    /// Compiles bundles; with `mandatory` nobody comes in without a certificate.
    ///
    /// # Errors
    /// A bundle holds no authority, or something that cannot be read.
    pub(crate) fn compile(
        bundles: &[TrustBundle],
        mandatory: bool,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<Self>, String> {
        let bundles: Vec<Bundle> = bundles
            .iter()
            .map(|spec| Bundle::compile(spec, provider))
            .collect::<Result<_, _>>()?;
        let mut hints: Vec<DistinguishedName> = Vec::new();
        for name in bundles
            .iter()
            .flat_map(|bundle| bundle.verifier.root_hint_subjects())
        {
            if !hints.iter().any(|known| known.as_ref() == name.as_ref()) {
                hints.push(name.clone());
            }
        }
        if hints.iter().map(|name| name.as_ref().len() + 2).sum::<usize>() > HINT_BYTES_MAX {
            hints.clear();
        }
        Ok(Arc::new(Self {
            bundles,
            hints,
            provider: Arc::clone(provider),
            mandatory,
        }))
    }

    /// Whether compiling these bundles would give the same.
    pub(crate) fn is_of(&self, bundles: &[TrustBundle]) -> bool {
        self.bundles.iter().map(|bundle| &bundle.spec).eq(bundles)
    }

    /// Who is proven by a chain that nobody has looked at yet, the leaf first.
    ///
    /// # Errors
    /// Why nobody is.
    pub(crate) fn admit(&self, chain: &[CertificateDer<'_>]) -> Result<Certified, TlsFailure> {
        let (leaf, intermediates) = chain.split_first().ok_or(TlsFailure::NoCertificate)?;
        self.verify_client_cert(leaf, intermediates, UnixTime::now())
            .map_err(|error| server::failure(&error))?;
        self.certify(chain)
    }

    /// Who is proven by a chain that [`ClientCertVerifier::verify_client_cert`] has accepted, the leaf first.
    ///
    /// # Errors
    /// The reason, which can only be one that has come about since.
    pub(crate) fn certify(&self, chain: &[CertificateDer<'_>]) -> Result<Certified, TlsFailure> {
        let (leaf, intermediates) = chain.split_first().ok_or(TlsFailure::NoCertificate)?;
        let names = Leaf::parse(leaf)?;
        let mut candidates = self.candidates(&names);
        let bundle = match (candidates.next(), candidates.next()) {
            (Some(only), None) => only,
            // More than one may vouch for such names; which one did is found by asking again.
            _ => self
                .validate(leaf, intermediates, UnixTime::now(), &names)
                .map_err(|error| server::failure(&error))?,
        };
        let login = bundle.login(&names)?;
        let mut not_after_s = names.not_after_s;
        for certificate in intermediates {
            not_after_s = not_after_s.min(names::not_after_s(certificate)?);
        }
        let hash = digest(&SHA256, leaf);
        let mut node: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        node.truncate(NODE_DIGITS);
        Ok(Certified {
            principal: Arc::new(Principal {
                source: SourceKind::Mtls.name().into(),
                login,
                node,
                tags: bundle.spec.tags.clone(),
                groups: bundle.spec.groups.clone(),
                ..Principal::default()
            }),
            // The last second of its time belongs to it (RFC 5280 §4.1.2.5).
            until: mono_at(not_after_s.saturating_add(1)),
        })
    }

    /// The bundles that may vouch for such names.
    fn candidates<'a, 'n>(&'a self, names: &'n Leaf<'n>) -> impl Iterator<Item = &'a Bundle> + use<'a, 'n> {
        let domain = names.spiffe.map(|id| id.trust_domain);
        self.bundles
            .iter()
            .filter(move |bundle| bundle.spec.trust_domain.as_deref() == domain)
    }

    fn validate(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        names: &Leaf<'_>,
    ) -> Result<&Bundle, Error> {
        let mut error = refused(TlsFailure::UnknownDomain);
        for bundle in self.candidates(names) {
            match bundle.verifier.verify_client_cert(leaf, intermediates, now) {
                Ok(_) => return Ok(bundle),
                // What is wrong with a certificate of one's own says more than another's "not mine".
                Err(found) => match server::failure(&error) {
                    TlsFailure::UnknownDomain | TlsFailure::UnknownCa => error = found,
                    _ => {}
                },
            }
        }
        Err(error)
    }
}

impl Bundle {
    fn compile(spec: &TrustBundle, provider: &Arc<CryptoProvider>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(spec.ca_pem.as_bytes()) {
            let certificate = certificate.map_err(|error| format!("authorities: {error}"))?;
            roots
                .add(certificate)
                .map_err(|error| format!("authorities: {error}"))?;
        }
        let lists = CertificateRevocationListDer::pem_slice_iter(spec.crl_pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| format!("revocation lists: {error}"))?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .with_crls(lists)
            .allow_unknown_revocation_status()
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self {
            spec: spec.clone(),
            verifier,
        })
    }

    /// The login that a certificate of this bundle proves.
    fn login(&self, names: &Leaf<'_>) -> Result<String, TlsFailure> {
        if !self.spec.tags.is_empty() {
            return Ok(self.spec.tags.join(","));
        }
        if let Some(id) = names.spiffe {
            return Ok(id.uri.to_owned());
        }
        let names = match (names.emails.as_slice(), names.hosts.as_slice()) {
            (emails @ [_, ..], _) if self.spec.email => (emails, names::is_email as fn(&str) -> bool),
            (_, hosts) if self.spec.dns => (hosts, names::is_host as fn(&str) -> bool),
            _ => return Err(TlsFailure::NoLogin),
        };
        match names {
            ([name], holds) if holds(name) => Ok((*name).to_owned()),
            _ => Err(TlsFailure::NoLogin),
        }
    }
}

/// The monotonic time at which the wall clock shows this second.
fn mono_at(unix_s: i64) -> MonoMicros {
    let unix_us = u64::try_from(unix_s).unwrap_or(0).saturating_mul(1_000_000);
    let left = unix_us.saturating_sub(clock::unix_now().0);
    MonoMicros(clock::mono_now().0.saturating_add(left))
}

impl ClientCertVerifier for Trust {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if intermediates.len() >= CHAIN_MAX {
            return Err(refused(TlsFailure::ChainTooLong));
        }
        let mut all = std::iter::once(end_entity).chain(intermediates);
        if all.any(|certificate| certificate.len() > CERTIFICATE_BYTES_MAX) {
            return Err(refused(TlsFailure::TooLarge));
        }
        let names = Leaf::parse(end_entity).map_err(refused)?;
        let bundle = self.validate(end_entity, intermediates, now, &names)?;
        bundle.login(&names).map_err(refused)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

#[cfg(test)]
mod tests;
