//! Signature algorithms that are accepted, and which keys each takes (RFC 7518 §3.1, RFC 8037 §3.1). All are asymmetric:
//! a key set is public, so a shared secret in it would be none.

use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::key_set::Material;

/// A signature algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    /// Reads the name; case counts. `Ed25519` is the newer name of what `EdDSA` means here (RFC 9864).
    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" | "Ed25519" => Self::EdDsa,
            _ => return None,
        })
    }

    /// Whether a key is of the kind that the algorithm takes.
    pub(super) const fn takes(self, key: &Material) -> bool {
        matches!(
            (self, key),
            (
                Self::Rs256 | Self::Rs384 | Self::Rs512 | Self::Ps256 | Self::Ps384 | Self::Ps512,
                Material::Rsa { .. }
            ) | (Self::Es256, Material::P256(_))
                | (Self::Es384, Material::P384(_))
                | (Self::EdDsa, Material::Ed25519(_))
        )
    }

    /// Whether the signature holds. A key of another kind never does.
    pub(super) fn verify(self, key: &Material, signed: &[u8], signature: &[u8]) -> bool {
        let rsa = |n: &Vec<u8>, e: &Vec<u8>| {
            let parameters = match self {
                Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
                Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
                Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
                Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
                Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
                Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
                Self::Es256 | Self::Es384 | Self::EdDsa => return false,
            };
            RsaPublicKeyComponents { n, e }
                .verify(parameters, signed, signature)
                .is_ok()
        };
        match (self, key) {
            (_, Material::Rsa { n, e }) => rsa(n, e),
            (Self::Es256, Material::P256(point)) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            (Self::Es384, Material::P384(point)) => UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point)
                .verify(signed, signature)
                .is_ok(),
            (Self::EdDsa, Material::Ed25519(point)) => UnparsedPublicKey::new(&ED25519, point)
                .verify(signed, signature)
                .is_ok(),
            _ => false,
        }
    }
}
