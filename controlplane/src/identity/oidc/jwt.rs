//! A signed JSON web token taken apart, nothing of it believed yet (RFC 7515 §7.1, compact form).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::algorithm::Algorithm;
use super::json;

/// Longest `kid` that is looked up, in bytes.
const KID_BYTES_MAX: usize = 1_024;

/// Whether a text looks like a token: three parts of base64url, the first of which begins like an object. The last may be
/// empty: a token that has its signature torn off is still a token, and refused.
pub(crate) fn shaped(text: &str) -> bool {
    let part = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let mut parts = text.split('.');
    let (header, claims, signature, rest) = (parts.next(), parts.next(), parts.next(), parts.next());
    header.is_some_and(|header| header.starts_with("eyJ") && part(header))
        && claims.is_some_and(|claims| !claims.is_empty() && part(claims))
        && signature.is_some_and(part)
        && rest.is_none()
}

/// The claims as bytes; `None` if they are not base64url.
pub(super) fn claims_of(token: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()
}

/// The parts of a token.
#[derive(Debug)]
pub(super) struct Jwt<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) kid: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What was signed: header and claims as they came.
    pub(super) signed: &'a [u8],
    pub(super) signature: Vec<u8>,
}

impl<'a> Jwt<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// What is wrong with it, in words for the caller.
    pub(super) fn parse(token: &'a str) -> Result<Self, &'static str> {
        let (signed, signature) = token.rsplit_once('.').ok_or("malformed token")?;
        let (header, claims) = signed.split_once('.').ok_or("malformed token")?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| "malformed token");
        let (header, claims, signature) = (decode(header)?, decode(claims)?, decode(signature)?);
        let header = json::object(&header).ok_or("malformed token header")?;
        let claims = json::object(&claims).ok_or("malformed token claims")?;
        // An extension that must be understood (RFC 7515 §4.1.11): none is. Unencoded payloads (RFC 7797) would be one.
        if header.contains_key("crit") || header.get("b64").is_some_and(|b64| b64 != true) {
            return Err("token needs an extension");
        }
        // Tokens for other purposes by the same issuer say so here (RFC 8725 §3.11).
        match header.get("typ") {
            None => {}
            Some(Value::String(typ)) => {
                let lower = typ.to_ascii_lowercase();
                let bare = lower.strip_prefix("application/").unwrap_or(&lower);
                if !matches!(bare, "jwt" | "at+jwt") {
                    return Err("token of another type");
                }
            }
            Some(_) => return Err("malformed token header"),
        }
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::parse)
            .ok_or("signature algorithm is not accepted")?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.clone()),
            Some(_) => return Err("malformed token header"),
        };
        // `jwk`, `jku`, `x5c`, `x5u` and the like would have the token bring its own key: never looked at.
        Ok(Self {
            algorithm,
            kid,
            claims,
            signed: signed.as_bytes(),
            signature,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let check = |text: &str, expected: bool| assert_eq!(shaped(text), expected, "{text}");
        check("eyJh.eyJp.c2ln", true);
        check("eyJh.eyJp.", true);
        check("eyJh.x.c2ln", true);
        check("eyJh..c2ln", false);
        check("eyJh.eyJp", false);
        check("eyJh.eyJp.c2ln.x", false);
        check("eyJh.eyJp.x.y.z", false);
        check("eyJh.eyJp.c2l=", false);
        check("eyJh.ey+p.c2ln", false);
        check("eyJ h.eyJp.c2ln", false);
        check("fyJh.eyJp.c2ln", false);
        check("sk-ant-api03.x.y", false);
        check("", false);
        check("..", false);
    }
}
