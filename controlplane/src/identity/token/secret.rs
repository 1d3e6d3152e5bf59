//! What a gateway token looks like: `slt_` and 32 random bytes in base64url, 43 characters.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use sluice_shared::snapshot::Secret;
use zeroize::Zeroizing;

/// How every gateway token begins, so that it is recognised, also by scanners for leaked secrets.
pub(crate) const PREFIX: &str = "slt_";
/// Random bytes in a token.
const RANDOM_BYTES: usize = 32;
/// Characters of an id.
const ID_CHARS: usize = 8;
/// Without letters and digits that people mix up.
const ID_ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz023456789";

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random bytes")]
pub(crate) struct NoRandom;

/// A new token. 256 random bits need no slow hash: they cannot be guessed.
pub(super) fn generate() -> Result<Secret, NoRandom> {
    let mut random = Zeroizing::new([0; RANDOM_BYTES]);
    SystemRandom::new().fill(random.as_mut()).map_err(|_| NoRandom)?;
    let mut text = String::with_capacity(PREFIX.len() + RANDOM_BYTES * 4 / 3 + 4);
    text.push_str(PREFIX);
    URL_SAFE_NO_PAD.encode_string(random.as_slice(), &mut text);
    Ok(Secret(text))
}

/// A new id; random by itself, so that it says nothing about the secret.
pub(super) fn id() -> Result<String, NoRandom> {
    let mut random = [0; ID_CHARS];
    SystemRandom::new().fill(&mut random).map_err(|_| NoRandom)?;
    let letter = |byte: &u8| {
        ID_ALPHABET
            .get(usize::from(byte % 32))
            .map_or('a', |b| char::from(*b))
    };
    Ok(random.iter().map(letter).collect())
}

/// Whether a text that begins with [`PREFIX`] can be a token at all: right length, right alphabet, one spelling only
/// (the unused bits of the last character are zero).
pub(super) fn well_formed(token: &str) -> bool {
    let Some(rest) = token.strip_prefix(PREFIX) else {
        return false;
    };
    let mut bytes = Zeroizing::new([0; RANDOM_BYTES + 3]);
    rest.len() == 43 && URL_SAFE_NO_PAD.decode_slice(rest, bytes.as_mut()).ok() == Some(RANDOM_BYTES)
}

/// What the store keeps and caches are keyed by.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_tokens_are_well_formed_and_differ() {
        let all: std::collections::HashSet<String> = (0..1_000)
            .map(|_| {
                let token = generate().unwrap();
                assert_eq!(token.0.len(), 47);
                assert!(well_formed(&token.0));
                token.0.clone()
            })
            .collect();
        assert_eq!(all.len(), 1_000);
        assert!(id().unwrap().bytes().all(|b| ID_ALPHABET.contains(&b)));
        assert_eq!(id().unwrap().len(), 8);
    }

    #[test]
    fn malformed_tokens_are_told_apart() {
        let good = format!("{PREFIX}{}", "A".repeat(43));
        assert!(well_formed(&good));
        for cut in 0..good.len() {
            assert!(!well_formed(&good[..cut]), "{cut}");
        }
        let check = |text: String| assert!(!well_formed(&text), "{text}");
        check(format!("{good}A"));
        check(format!("{good}="));
        check(format!("SLT_{}", "A".repeat(43)));
        check(format!("slt-{}", "A".repeat(43)));
        check(format!("{PREFIX}{}+", "A".repeat(42)));
        check(format!("{PREFIX}{}/", "A".repeat(42)));
        check(format!("{PREFIX}{} ", "A".repeat(42)));
        check(format!("{PREFIX}{}é", "A".repeat(41)));
        check(format!("{PREFIX}{}=", "A".repeat(42)));
        // The same bytes in another spelling.
        check(format!("{PREFIX}{}B", "A".repeat(42)));
    }
}
