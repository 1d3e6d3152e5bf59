//! Tokens that somebody forged, each with its trick, and tokens that hold.

use ring::hmac;
use serde_json::{Value, json};
use sluice_shared::wire::control::IdentityAnswer;

use super::lab::{ISSUER, Says, Server, Signer, b64, claims, now, with};
use crate::identity::proof::tests::{Bench, bearer};

/// What must be said about a forged token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Refused,
    Foreign,
}
use Is::{Foreign, Refused};

struct Lab {
    rsa: Signer,
    thief: Signer,
    thief_p256: Signer,
    p256: Signer,
    p384: Signer,
    ed: Signer,
    other: Signer,
}

impl Lab {
    fn new() -> Self {
        Self {
            rsa: Signer::rsa(0),
            thief: Signer::rsa(1),
            thief_p256: Signer::p256(),
            p256: Signer::p256(),
            p384: Signer::p384(),
            ed: Signer::ed(),
            other: Signer::ed(),
        }
    }

    /// The key set of the issuer: good keys, and keys that must not be used.
    fn publish(&self, server: &Server) {
        let changed = |mut key: Value, name: &str, value: Value| {
            key[name] = value;
            key
        };
        server.publish(&[
            self.rsa.jwk("rsa"),
            changed(self.rsa.jwk("rs256-only"), "alg", json!("RS256")),
            self.p256.jwk("p256"),
            self.p384.jwk("p384"),
            self.ed.jwk("ed"),
            changed(self.ed.jwk("for-encryption"), "use", json!("enc")),
            changed(self.ed.jwk("for-signing"), "key_ops", json!(["sign"])),
            changed(self.ed.jwk("with-private-half"), "d", json!("AA")),
            changed(self.ed.jwk("other-curve"), "crv", json!("Ed448")),
            changed(self.rsa.jwk("short"), "n", json!(b64([0xff; 128]))),
            changed(self.rsa.jwk("exponent-one"), "e", json!(b64([1]))),
            json!({"kty": "oct", "kid": "oct", "k": b64("secret"), "alg": "HS256"}),
            json!({"kty": "EC", "crv": "P-256", "kid": "infinity", "x": b64([0; 32]), "y": b64([0; 32])}),
            json!("not even an object"),
        ]);
    }

    fn good(&self) -> String {
        self.rsa.token(&json!({"alg": "RS256", "kid": "rsa"}), &claims())
    }
}

fn hs(alg: &str, kid: &str, secret: &[u8]) -> String {
    let signed = format!(
        "{}.{}",
        b64(json!({"alg": alg, "kid": kid}).to_string()),
        b64(claims().to_string())
    );
    let kind = match alg {
        "HS384" => hmac::HMAC_SHA384,
        "HS512" => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let tag = hmac::sign(&hmac::Key::new(kind, secret), signed.as_bytes());
    format!("{signed}.{}", b64(tag))
}

/// A token with another signature.
fn resigned(token: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}", token.rsplit_once('.').unwrap().0, b64(signature))
}

fn signature(token: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(token.rsplit_once('.').unwrap().1)
        .unwrap()
}

/// r and s in ASN.1, as other formats have it.
fn asn1(fixed: &[u8]) -> Vec<u8> {
    let integer = |bytes: &[u8]| {
        let mut out = vec![2, 33, 0];
        out.extend_from_slice(bytes);
        out
    };
    let both = [integer(&fixed[..32]), integer(&fixed[32..])].concat();
    [vec![0x30, u8::try_from(both.len()).unwrap()], both].concat()
}

/// S plus the order of the group: the same point equation, another signature.
fn ed_malleable(signature: &[u8]) -> Vec<u8> {
    let order: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let mut out = signature.to_vec();
    let mut carry = 0;
    for (byte, add) in out[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = u8::try_from(sum & 0xff).unwrap();
        carry = sum >> 8;
    }
    out
}

fn signatures(lab: &Lab) -> Vec<(&'static str, String, Is)> {
    let good = lab.good();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let (header, payload) = signed.split_once('.').unwrap();
    let rsa = |header: Value| lab.rsa.token(&header, &claims());
    let unsigned = |alg: &str| {
        format!(
            "{}.{}.",
            b64(json!({"alg": alg}).to_string()),
            b64(claims().to_string())
        )
    };
    let modulus = lab.rsa.jwk("rsa")["n"].as_str().unwrap().to_owned();
    let es = lab.p256.token(&json!({"alg": "ES256", "kid": "p256"}), &claims());
    let es_bytes = signature(&es);
    let ed = lab.ed.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims());
    let mut flipped = signature(&good);
    flipped[100] ^= 1;
    let longer = [es_bytes.clone(), vec![0]].concat();
    let half_zero = [vec![0; 32], es_bytes[32..].to_vec()].concat();
    let other_claims = b64(with(json!({"sub": "root"})).to_string());
    let other_header = b64(json!({"alg": "RS256", "kid": "rsa", "typ": "JWT"}).to_string());
    let other_signature = signature(
        &lab.rsa
            .token(&json!({"alg": "RS256", "kid": "rsa"}), &with(json!({"sub": "x"}))),
    );
    vec![
        ("alg none", unsigned("none"), Refused),
        ("alg None", unsigned("None"), Refused),
        ("alg NONE", unsigned("NONE"), Refused),
        ("alg nOnE", unsigned("nOnE"), Refused),
        (
            "alg none with a signature",
            format!("{}.{payload}.{}", b64(r#"{"alg":"none"}"#), b64(&flipped)),
            Refused,
        ),
        ("signature torn off", format!("{signed}."), Refused),
        (
            "HS256 with the public modulus",
            hs("HS256", "rsa", modulus.as_bytes()),
            Refused,
        ),
        (
            "HS256 with the public key as JSON",
            hs("HS256", "rsa", lab.rsa.jwk("rsa").to_string().as_bytes()),
            Refused,
        ),
        (
            "HS256 with a published secret",
            hs("HS256", "oct", b"secret"),
            Refused,
        ),
        ("HS256 with an empty secret", hs("HS256", "rsa", b""), Refused),
        ("HS384", hs("HS384", "oct", b"secret"), Refused),
        ("HS512", hs("HS512", "oct", b"secret"), Refused),
        ("no alg", rsa(json!({"kid": "rsa"})), Refused),
        ("alg is a number", rsa(json!({"alg": 256, "kid": "rsa"})), Refused),
        (
            "alg is a list",
            rsa(json!({"alg": ["RS256"], "kid": "rsa"})),
            Refused,
        ),
        (
            "alg in another case",
            rsa(json!({"alg": "rs256", "kid": "rsa"})),
            Refused,
        ),
        (
            "alg with a space",
            rsa(json!({"alg": "RS256 ", "kid": "rsa"})),
            Refused,
        ),
        (
            "good signature, algorithm not pinned",
            rsa(json!({"alg": "RS512", "kid": "rsa"})),
            Refused,
        ),
        (
            "good signature, key for another algorithm",
            rsa(json!({"alg": "PS256", "kid": "rs256-only"})),
            Refused,
        ),
        (
            "ES256 of a thief under the RSA key",
            lab.thief_p256
                .token(&json!({"alg": "ES256", "kid": "rsa"}), &claims()),
            Refused,
        ),
        (
            "RS256 of a thief under an EC key",
            lab.thief
                .token(&json!({"alg": "RS256", "kid": "p256"}), &claims()),
            Refused,
        ),
        (
            "ES384 said, P-256 key",
            lab.p256.token(&json!({"alg": "ES384", "kid": "p256"}), &claims()),
            Refused,
        ),
        (
            "ES256 said, P-384 key",
            lab.p384.token(&json!({"alg": "ES256", "kid": "p384"}), &claims()),
            Refused,
        ),
        (
            "EdDSA said, RSA signature",
            rsa(json!({"alg": "EdDSA", "kid": "rsa"})),
            Refused,
        ),
        (
            "PS256 said, RS256 signature",
            resigned(&rsa(json!({"alg": "PS256", "kid": "rsa"})), signature(&good)),
            Refused,
        ),
        (
            "ES256 signature in ASN.1",
            resigned(&es, asn1(&es_bytes)),
            Refused,
        ),
        ("ES256 with r = s = 0", resigned(&es, [0; 64]), Refused),
        ("ES256 with r = 0", resigned(&es, half_zero), Refused),
        ("ES256 with r = s = order", resigned(&es, [0xff; 64]), Refused),
        ("ES256 signature cut", resigned(&es, &es_bytes[..63]), Refused),
        ("ES256 signature longer", resigned(&es, longer), Refused),
        (
            "EdDSA signature plus the order",
            resigned(&ed, ed_malleable(&signature(&ed))),
            Refused,
        ),
        ("EdDSA signature of zeros", resigned(&ed, [0; 64]), Refused),
        ("one bit of the signature", resigned(&good, flipped), Refused),
        ("RSA signature of zeros", resigned(&good, [0; 256]), Refused),
        (
            "RSA signature cut",
            resigned(&good, &signature(&good)[..255]),
            Refused,
        ),
        (
            "claims exchanged",
            format!("{header}.{other_claims}.{}", b64(signature(&good))),
            Refused,
        ),
        (
            "header exchanged",
            format!("{other_header}.{payload}.{}", b64(signature(&good))),
            Refused,
        ),
        (
            "signature of another token",
            resigned(&good, other_signature),
            Refused,
        ),
        (
            "signature in another spelling",
            {
                let mut t = good.clone();
                let last = t.pop().unwrap();
                t.push(char::from(u8::try_from(u32::from(last)).unwrap() + 1));
                t
            },
            Refused,
        ),
        (
            "signed by a thief under a good kid",
            lab.thief.token(&json!({"alg": "RS256", "kid": "rsa"}), &claims()),
            Refused,
        ),
        (
            "signed by the key of another issuer",
            lab.other.token(&json!({"alg": "EdDSA", "kid": "ed"}), &claims()),
            Refused,
        ),
        (
            "signed by another issuer's key under its kid",
            lab.other
                .token(&json!({"alg": "EdDSA", "kid": "other"}), &claims()),
            Refused,
        ),
    ]
}

fn headers(lab: &Lab) -> Vec<(&'static str, String, Is)> {
    let rsa = |header: Value| lab.rsa.token(&header, &claims());
    let thief = |header: Value| lab.thief.token(&header, &claims());
    let ed = |kid: &str| lab.ed.token(&json!({"alg": "EdDSA", "kid": kid}), &claims());
    let raw = |header: &str| lab.rsa.raw(header, &claims().to_string());
    vec![
        (
            "brings its own key",
            thief(json!({"alg": "RS256", "jwk": lab.thief.jwk("x"), "kid": "x"})),
            Refused,
        ),
        (
            "brings its own key under a good kid",
            thief(json!({"alg": "RS256", "jwk": lab.thief.jwk("rsa"), "kid": "rsa"})),
            Refused,
        ),
        (
            "brings the address of its keys",
            thief(json!({"alg": "RS256", "jku": "http://127.0.0.1:1/keys", "kid": "rsa"})),
            Refused,
        ),
        (
            "brings the address of a certificate",
            thief(json!({"alg": "RS256", "x5u": "http://127.0.0.1:1/", "kid": "rsa"})),
            Refused,
        ),
        (
            "brings a certificate",
            thief(json!({"alg": "RS256", "x5c": ["AAAA"], "kid": "rsa"})),
            Refused,
        ),
        (
            "unknown kid",
            thief(json!({"alg": "RS256", "kid": "mine"})),
            Refused,
        ),
        (
            "kid is a path",
            thief(json!({"alg": "RS256", "kid": "../../../../dev/null"})),
            Refused,
        ),
        (
            "kid is SQL",
            thief(json!({"alg": "RS256", "kid": "x' UNION SELECT 'AA"})),
            Refused,
        ),
        (
            "kid is a command",
            thief(json!({"alg": "RS256", "kid": "| touch /tmp/x"})),
            Refused,
        ),
        ("kid is empty", rsa(json!({"alg": "RS256", "kid": ""})), Refused),
        ("kid is a number", rsa(json!({"alg": "RS256", "kid": 1})), Refused),
        ("kid is null", rsa(json!({"alg": "RS256", "kid": null})), Refused),
        (
            "kid is endless",
            rsa(json!({"alg": "RS256", "kid": "x".repeat(2_000)})),
            Refused,
        ),
        (
            "no kid, signed by a thief",
            thief(json!({"alg": "RS256"})),
            Refused,
        ),
        (
            "crit names what we know",
            rsa(json!({"alg": "RS256", "kid": "rsa", "crit": ["exp"]})),
            Refused,
        ),
        (
            "crit is empty",
            rsa(json!({"alg": "RS256", "kid": "rsa", "crit": []})),
            Refused,
        ),
        (
            "crit is null",
            rsa(json!({"alg": "RS256", "kid": "rsa", "crit": null})),
            Refused,
        ),
        (
            "payload not encoded, said so",
            rsa(json!({"alg": "RS256", "kid": "rsa", "b64": false, "crit": ["b64"]})),
            Refused,
        ),
        (
            "payload not encoded, not said so",
            rsa(json!({"alg": "RS256", "kid": "rsa", "b64": false})),
            Refused,
        ),
        (
            "a proof of possession",
            rsa(json!({"alg": "RS256", "kid": "rsa", "typ": "dpop+jwt"})),
            Refused,
        ),
        (
            "a logout token",
            rsa(json!({"alg": "RS256", "kid": "rsa", "typ": "logout+jwt"})),
            Refused,
        ),
        (
            "a security event",
            rsa(json!({"alg": "RS256", "kid": "rsa", "typ": "secevent+jwt"})),
            Refused,
        ),
        (
            "typ is a number",
            rsa(json!({"alg": "RS256", "kid": "rsa", "typ": 1})),
            Refused,
        ),
        (
            "alg stands twice",
            raw(r#"{"alg":"RS256","alg":"none","kid":"rsa"}"#),
            Refused,
        ),
        (
            "kid stands twice",
            raw(r#"{"alg":"RS256","kid":"x","kid":"rsa"}"#),
            Refused,
        ),
        (
            "something behind the header",
            raw(r#"{"alg":"RS256","kid":"rsa"} {}"#),
            Refused,
        ),
        (
            "a comment in the header",
            raw(r#"{"alg":"RS256",/**/"kid":"rsa"}"#),
            Refused,
        ),
        ("key is for encryption", ed("for-encryption"), Refused),
        ("key is not for verifying", ed("for-signing"), Refused),
        ("private half is published", ed("with-private-half"), Refused),
        ("key of another curve", ed("other-curve"), Refused),
        (
            "short RSA key",
            rsa(json!({"alg": "RS256", "kid": "short"})),
            Refused,
        ),
        (
            "RSA exponent of one",
            rsa(json!({"alg": "RS256", "kid": "exponent-one"})),
            Refused,
        ),
        (
            "point at infinity",
            lab.thief_p256
                .token(&json!({"alg": "ES256", "kid": "infinity"}), &claims()),
            Refused,
        ),
    ]
}

fn contents(lab: &Lab) -> Vec<(&'static str, String, Is)> {
    let head = json!({"alg": "RS256", "kid": "rsa"});
    let has = |changes: Value| lab.rsa.token(&head, &with(changes));
    let raw = |claims: &str| lab.rsa.raw(&head.to_string(), claims);
    let text = claims().to_string();
    let inside = text.strip_prefix('{').unwrap();
    let before = |member: &str| raw(&format!("{{{member},{inside}"));
    let after = |member: &str| raw(&format!("{},{member}}}", text.strip_suffix('}').unwrap()));
    vec![
        ("ended", has(json!({"exp": now() - 61})), Refused),
        ("ended long ago", has(json!({"exp": 0})), Refused),
        ("no end", has(json!({"exp": null})), Refused),
        (
            "end is a text",
            has(json!({"exp": (now() + 600).to_string()})),
            Refused,
        ),
        ("end is negative", has(json!({"exp": -1})), Refused),
        ("end is beyond all time", has(json!({"exp": 1e300})), Refused),
        ("end is true", has(json!({"exp": true})), Refused),
        ("end is a list", has(json!({"exp": [now() + 600]})), Refused),
        (
            "end is no number of JSON",
            raw(&text.replace("\"exp\":", "\"exp\":1e999,\"x\":")),
            Refused,
        ),
        ("not yet", has(json!({"nbf": now() + 120})), Refused),
        ("not yet, as a text", has(json!({"nbf": "0"})), Refused),
        ("from the future", has(json!({"iat": now() + 120})), Refused),
        ("no audience", has(json!({"aud": null})), Refused),
        ("another audience", has(json!({"aud": "elsewhere"})), Refused),
        ("audience begins alike", has(json!({"aud": "sluice2"})), Refused),
        ("audience is a beginning", has(json!({"aud": "sluic"})), Refused),
        ("audience in another case", has(json!({"aud": "Sluice"})), Refused),
        ("empty audience", has(json!({"aud": ""})), Refused),
        ("empty list of audiences", has(json!({"aud": []})), Refused),
        (
            "list of other audiences",
            has(json!({"aud": ["a", "b"]})),
            Refused,
        ),
        (
            "ours beside a number",
            has(json!({"aud": ["sluice", 7]})),
            Refused,
        ),
        (
            "audiences in a list in a list",
            has(json!({"aud": [["sluice"]]})),
            Refused,
        ),
        (
            "audience is an object",
            has(json!({"aud": {"sluice": true}})),
            Refused,
        ),
        (
            "issuer twice, ours first",
            after(r#""iss":"https://evil.example""#),
            Refused,
        ),
        (
            "issuer twice, ours last",
            before(r#""iss":"https://evil.example""#),
            Refused,
        ),
        ("subject twice", after(r#""sub":"root""#), Refused),
        ("subject twice, escaped", after(r#""\u0073ub":"root""#), Refused),
        ("end twice", before(r#""exp":99999999999"#), Refused),
        ("audience twice", after(r#""aud":"elsewhere""#), Refused),
        ("doubled inside", after(r#""x":{"a":1,"a":2}"#), Refused),
        ("nobody", has(json!({"sub": null})), Refused),
        ("empty subject", has(json!({"sub": ""})), Refused),
        ("subject is a number", has(json!({"sub": 1})), Refused),
        ("subject is a list", has(json!({"sub": ["alice"]})), Refused),
        (
            "subject with a line end",
            has(json!({"sub": "alice\nroot"})),
            Refused,
        ),
        ("subject with a zero", has(json!({"sub": "alice\0"})), Refused),
        (
            "subject that is turned",
            has(json!({"sub": "al\u{202e}ice"})),
            Refused,
        ),
        ("subject with white space", has(json!({"sub": " alice"})), Refused),
        ("subject is a tag", has(json!({"sub": "tag:admin"})), Refused),
        ("subject is a group", has(json!({"sub": "group:admins"})), Refused),
        ("subject is a source", has(json!({"sub": "(loopback)"})), Refused),
        ("subject is everybody", has(json!({"sub": "*"})), Refused),
        (
            "subject is endless",
            has(json!({"sub": "x".repeat(300)})),
            Refused,
        ),
        ("tags that are no list", has(json!({"tags": {"a": 1}})), Refused),
        ("tags with a number", has(json!({"tags": ["ci", 1]})), Refused),
        ("two tags in one", has(json!({"tags": ["ci,tag:prod"]})), Refused),
        ("empty tag", has(json!({"tags": [""]})), Refused),
        (
            "issuer is not ours",
            has(json!({"iss": "https://evil.example"})),
            Foreign,
        ),
        (
            "issuer with a slash more",
            has(json!({"iss": format!("{ISSUER}/")})),
            Foreign,
        ),
        (
            "issuer in another case",
            has(json!({"iss": ISSUER.to_uppercase()})),
            Foreign,
        ),
        (
            "issuer with a zero",
            has(json!({"iss": format!("{ISSUER}\0")})),
            Foreign,
        ),
        (
            "issuer is a beginning",
            has(json!({"iss": "https://issuer.example"})),
            Foreign,
        ),
        ("issuer in a list", has(json!({"iss": [ISSUER]})), Foreign),
        ("no issuer", has(json!({"iss": null})), Foreign),
        ("claims are a list", raw("[1]"), Foreign),
        ("claims are no JSON", raw("iss"), Foreign),
        (
            "something behind the claims",
            raw(&format!("{text}{{}}")),
            Foreign,
        ),
        ("cut claims", raw(&text[..text.len() - 1]), Foreign),
    ]
}

fn shapes(lab: &Lab) -> Vec<(&'static str, String, Is)> {
    let good = lab.good();
    vec![
        ("padded base64", format!("{good}="), Foreign),
        ("white space before", format!(" {good}"), Foreign),
        ("a line end behind", format!("{good}\n"), Foreign),
        ("two parts", good.rsplit_once('.').unwrap().0.to_owned(), Foreign),
        ("four parts", format!("{good}.x"), Foreign),
        ("encrypted, five parts", format!("{good}.x.y"), Foreign),
        (
            "longer than any token",
            format!("{good}{}", "A".repeat(16 << 10)),
            Refused,
        ),
    ]
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let lab = Lab::new();
    let server = Server::new().await;
    lab.publish(&server);
    server.say(
        "/other",
        Says::Json(json!({"keys": [lab.other.jwk("other")]}).to_string()),
    );
    let mut second = server.issuer();
    second.issuer = "https://other.example".into();
    second.jwks_url = server.url("/other");
    let bench = Bench::new(&[server.issuer(), second.clone()]).await;
    // The other issuer's keys are known, too.
    let others = lab.other.token(
        &json!({"alg": "EdDSA", "kid": "other"}),
        &with(json!({"iss": second.issuer})),
    );
    assert!(matches!(bench.prove(&others).await, IdentityAnswer::Known { .. }));

    let all = [signatures(&lab), headers(&lab), contents(&lab), shapes(&lab)].concat();
    assert!(all.len() >= 140, "{}", all.len());
    let names: std::collections::HashSet<&str> = all.iter().map(|(name, ..)| *name).collect();
    assert_eq!(names.len(), all.len());
    for (name, token, expected) in &all {
        // Twice: what is remembered is no better.
        for _ in 0..2 {
            let answer = bench.proofs.prove(&bearer(token)).await;
            let found = match &answer {
                IdentityAnswer::Refused { .. } => Refused,
                IdentityAnswer::Foreign { .. } => Foreign,
                other => panic!("{name}: {other:?}"),
            };
            assert_eq!(found, *expected, "{name}: {answer:?}");
        }
    }
    // All that took one look at each key set, and every key is still good.
    assert_eq!(server.asked().len(), 2);
    assert!(matches!(
        bench.prove(&lab.good()).await,
        IdentityAnswer::Known { .. }
    ));
}

#[tokio::test]
async fn tokens_that_hold_are_known() {
    let lab = Lab::new();
    let server = Server::new().await;
    lab.publish(&server);
    let bench = Bench::new(&[server.issuer()]).await;
    let check = async |signer: &Signer, header: Value, claims: Value, login: &str| match bench
        .prove(&signer.token(&header, &claims))
        .await
    {
        IdentityAnswer::Known { principal, .. } => assert_eq!(principal.login, login, "{header} {claims}"),
        other => panic!("{header} {claims}: {other:?}"),
    };
    let head = |alg: &str, kid: &str| json!({"alg": alg, "kid": kid});
    check(&lab.rsa, head("RS256", "rsa"), claims(), "alice").await;
    check(&lab.rsa, head("RS256", "rs256-only"), claims(), "alice").await;
    check(&lab.rsa, head("PS256", "rsa"), claims(), "alice").await;
    check(&lab.p256, head("ES256", "p256"), claims(), "alice").await;
    check(&lab.p384, head("ES384", "p384"), claims(), "alice").await;
    check(&lab.ed, head("EdDSA", "ed"), claims(), "alice").await;
    check(&lab.ed, head("Ed25519", "ed"), claims(), "alice").await;
    // The kind of key alone says which.
    check(&lab.p384, json!({"alg": "ES384"}), claims(), "alice").await;
    check(&lab.rsa, json!({"alg": "RS256"}), claims(), "alice").await;
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        check(
            &lab.ed,
            json!({"alg": "EdDSA", "kid": "ed", "typ": typ}),
            claims(),
            "alice",
        )
        .await;
    }
    // Keys that a token brings are not looked at, and do no harm.
    let own = json!({"alg": "EdDSA", "kid": "ed", "jwk": lab.thief.jwk("ed"), "jku": "https://evil.example"});
    check(&lab.ed, own, claims(), "alice").await;
    let ed = head("EdDSA", "ed");
    check(
        &lab.ed,
        ed.clone(),
        with(json!({"aud": ["x", "other-of-ours"]})),
        "alice",
    )
    .await;
    check(&lab.ed, ed.clone(), with(json!({"exp": now() - 30})), "alice").await;
    check(
        &lab.ed,
        ed.clone(),
        with(json!({"nbf": now() + 30, "iat": now() + 30})),
        "alice",
    )
    .await;
    check(
        &lab.ed,
        ed.clone(),
        with(json!({"exp": 99_999_999_999.5})),
        "alice",
    )
    .await;
    check(
        &lab.ed,
        ed.clone(),
        with(json!({"tags": ["b", "tag:a"]})),
        "tag:a,tag:b",
    )
    .await;
    check(&lab.ed, ed.clone(), with(json!({"tags": []})), "alice").await;
    assert_eq!(server.asked(), ["/keys"]);
}
