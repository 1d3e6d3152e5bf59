//! A key set as issuers publish it (RFC 7517): what cannot be used is left out, what is too much is refused.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;
use crate::identity::token::hash;

/// Most keys of a set.
pub(super) const KEYS_MAX: usize = 100;
/// Keys that a token without `kid` is tried with.
const TRIED_MAX: usize = 8;

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Material {
    /// Modulus and exponent, big-endian without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// Uncompressed point.
    P256(Vec<u8>),
    /// Uncompressed point.
    P384(Vec<u8>),
    /// Compressed point.
    Ed25519(Vec<u8>),
}

/// A key with what its set says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) kid: Option<String>,
    /// The only algorithm it is for, if the set says so.
    pub(super) algorithm: Option<Algorithm>,
    pub(super) material: Material,
    /// Hash of the material: the same key under another name has the same.
    pub(super) print: [u8; 32],
}

/// The keys of an issuer that can be used.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    prints: HashSet<[u8; 32]>,
}

/// Why a document is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("is no key set: JSON with a list \"keys\" was expected")]
    Shape,
    #[error("holds more than {KEYS_MAX} keys")]
    TooMany,
    #[error("holds no key that can be used")]
    Empty,
}

impl KeySet {
    /// Reads a key set.
    ///
    /// # Errors
    /// It is none, is too long, or holds nothing of use: then it must not take the place of one that does.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let set = json::object(bytes).ok_or(KeySetError::Shape)?;
        let Some(Value::Array(list)) = set.get("keys") else {
            return Err(KeySetError::Shape);
        };
        if list.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<Key> = list.iter().filter_map(Value::as_object).filter_map(key).collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        let prints = keys.iter().map(|key| key.print).collect();
        Ok(Self { keys, prints })
    }

    /// Keys that a signature may have been made with: of that name if there is one, of the right kind, for the algorithm.
    pub(super) fn candidates(&self, kid: Option<&str>, algorithm: Algorithm) -> Vec<&Key> {
        self.keys
            .iter()
            .filter(|key| kid.is_none() || key.kid.as_deref() == kid)
            .filter(|key| key.algorithm.is_none_or(|only| only == algorithm))
            .filter(|key| algorithm.takes(&key.material))
            .take(TRIED_MAX)
            .collect()
    }

    /// Whether some key has the name, of whatever kind.
    pub(super) fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    /// Whether a key is still among them.
    pub(super) fn holds(&self, print: &[u8; 32]) -> bool {
        self.prints.contains(print)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

fn key(members: &Map<String, Value>) -> Option<Key> {
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    // For signatures only, and never one whose private half was published.
    if members.contains_key("use") && text("use") != Some("sig") {
        return None;
    }
    if let Some(operations) = members.get("key_ops")
        && !operations
            .as_array()
            .is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    {
        return None;
    }
    if members.contains_key("d") {
        return None;
    }
    let algorithm = match members.get("alg") {
        None => None,
        Some(name) => Some(Algorithm::parse(name.as_str()?)?),
    };
    let kid = match members.get("kid") {
        None => None,
        Some(kid) => Some(kid.as_str()?.to_owned()),
    };
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    let point = |length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        if x.len() != length || y.len() != length {
            return None;
        }
        let mut out = vec![4];
        out.extend(x);
        out.extend(y);
        Some(out)
    };
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => {
            let (n, e) = (natural(bytes("n")?), natural(bytes("e")?));
            // What verifying would refuse anyway: too short to trust, too long to compute, or a useless exponent.
            if !(256..=1_024).contains(&n.len()) || e.len() > 4 || e.last().is_none_or(|low| low % 2 == 0) {
                return None;
            }
            if e == [1] {
                return None;
            }
            Material::Rsa { n, e }
        }
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
        _ => return None,
    };
    let print = match &material {
        Material::Rsa { n, e } => hash(&[n.as_slice(), b"\0", e.as_slice()].concat()),
        Material::P256(point) | Material::P384(point) | Material::Ed25519(point) => hash(point),
    };
    Some(Key {
        kid,
        algorithm,
        material,
        print,
    })
}

/// Some issuers put a zero before the number.
fn natural(bytes: Vec<u8>) -> Vec<u8> {
    bytes.into_iter().skip_while(|byte| *byte == 0).collect()
}
