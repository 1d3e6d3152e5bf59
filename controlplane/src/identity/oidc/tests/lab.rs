//! A laboratory for tokens: signers of every kind, and an issuer's server that behaves as it is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::rsa::PublicKeyComponents;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::config::domain;

/// The issuer of the laboratory; its keys are on a server of this machine.
pub(in crate::identity) const ISSUER: &str = "https://issuer.example/realm";

pub(in crate::identity) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A private key.
pub(in crate::identity) enum Signer {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl Signer {
    /// One of two keys that were made for these tests and are used nowhere else.
    pub(in crate::identity) fn rsa(number: usize) -> Self {
        let keys: [&[u8]; 2] = [
            include_bytes!("test_only_rsa_1.pk8"),
            include_bytes!("test_only_rsa_2.pk8"),
        ];
        Self::Rsa(Box::new(RsaKeyPair::from_pkcs8(keys[number]).unwrap()))
    }

    pub(in crate::identity) fn p256() -> Self {
        let (kind, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self::P256(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap())
    }

    pub(in crate::identity) fn p384() -> Self {
        let (kind, random) = (&ECDSA_P384_SHA384_FIXED_SIGNING, SystemRandom::new());
        let key = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self::P384(EcdsaKeyPair::from_pkcs8(kind, key.as_ref(), &random).unwrap())
    }

    pub(in crate::identity) fn ed() -> Self {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::Ed(Ed25519KeyPair::from_pkcs8(key.as_ref()).unwrap())
    }

    /// The public half as it stands in a key set.
    pub(in crate::identity) fn jwk(&self, kid: &str) -> Value {
        let point = |bytes: &[u8], crv: &str| {
            let (x, y) = bytes[1..].split_at(bytes.len() / 2);
            json!({"kty": "EC", "crv": crv, "kid": kid, "use": "sig", "x": b64(x), "y": b64(y)})
        };
        match self {
            Self::Rsa(key) => {
                let parts: PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "kid": kid, "use": "sig", "n": b64(parts.n), "e": b64(parts.e)})
            }
            Self::P256(key) => point(key.public_key().as_ref(), "P-256"),
            Self::P384(key) => point(key.public_key().as_ref(), "P-384"),
            Self::Ed(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": b64(key.public_key().as_ref())})
            }
        }
    }

    /// Signs as `alg` says where the key can, else as the key can.
    pub(in crate::identity) fn sign(&self, alg: &str, input: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let mut out = vec![0; key.public().modulus_len()];
                let padding: &'static dyn ring::signature::RsaEncoding = match alg {
                    "PS256" => &RSA_PSS_SHA256,
                    "RS512" => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                key.sign(padding, &random, input, &mut out).unwrap();
                out
            }
            Self::P256(key) | Self::P384(key) => key.sign(&random, input).unwrap().as_ref().to_vec(),
            Self::Ed(key) => key.sign(input).as_ref().to_vec(),
        }
    }

    /// A token with any header and any claims, as bytes.
    pub(in crate::identity) fn raw(&self, header: &str, claims: &str) -> String {
        let alg = serde_json::from_str::<Value>(header).map_or_else(
            |_| String::new(),
            |header| header["alg"].as_str().unwrap_or_default().to_owned(),
        );
        let signed = format!("{}.{}", b64(header), b64(claims));
        let signature = self.sign(&alg, signed.as_bytes());
        format!("{signed}.{}", b64(signature))
    }

    pub(in crate::identity) fn token(&self, header: &Value, claims: &Value) -> String {
        self.raw(&header.to_string(), &claims.to_string())
    }
}

pub(in crate::identity) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// Claims that hold.
pub(in crate::identity) fn claims() -> Value {
    json!({"iss": ISSUER, "sub": "alice", "aud": "sluice", "iat": now(), "exp": now() + 600})
}

/// Claims with some changed; `null` removes one.
pub(in crate::identity) fn with(changes: Value) -> Value {
    let mut out = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            out.as_object_mut().unwrap().remove(name);
        } else {
            out[name] = value.clone();
        }
    }
    out
}

/// What the server answers on a path.
#[derive(Clone)]
pub(in crate::identity) enum Says {
    Json(String),
    Status(u16),
    Redirect(String),
    /// Takes the request and says nothing.
    Silence,
    /// Waits for a permit before it says this.
    Held(Arc<tokio::sync::Semaphore>, String),
    /// A body without end.
    Endless,
    /// These bytes, and closes.
    Bytes(Vec<u8>),
}

/// An issuer's server.
pub(in crate::identity) struct Server {
    pub(in crate::identity) address: SocketAddr,
    says: Arc<Mutex<HashMap<String, Says>>>,
    asked: Arc<Mutex<Vec<String>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Server {
    pub(in crate::identity) async fn new() -> Self {
        Self::start(None).await
    }

    /// With TLS if there is a configuration for it.
    pub(in crate::identity) async fn start(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let says: Arc<Mutex<HashMap<String, Says>>> = Arc::default();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (answers, log) = (says.clone(), asked.clone());
        let serving = tokio::spawn(async move {
            // Connections end with the server.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answers, log, tls) = (answers.clone(), log.clone(), tls.clone());
                connections.spawn(async move {
                    match tls {
                        None => serve(stream, &answers, &log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answers, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            says,
            asked,
            serving,
        }
    }

    pub(in crate::identity) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(in crate::identity) fn say(&self, path: &str, says: Says) {
        self.says.lock().unwrap().insert(path.into(), says);
    }

    /// Publishes keys.
    pub(in crate::identity) fn publish(&self, keys: &[Value]) {
        self.say("/keys", Says::Json(json!({"keys": keys}).to_string()));
    }

    /// Paths that were asked for.
    pub(in crate::identity) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Stops listening; the port refuses from now on.
    pub(in crate::identity) async fn stop(mut self) {
        self.serving.abort();
        let _ = (&mut self.serving).await;
    }

    /// The laboratory's issuer with its keys on this server.
    pub(in crate::identity) fn issuer(&self) -> domain::Issuer {
        domain::Issuer {
            issuer: ISSUER.into(),
            audiences: vec!["sluice".into(), "other-of-ours".into()],
            algorithms: ["RS256", "PS256", "ES256", "ES384", "EdDSA"]
                .map(Into::into)
                .to_vec(),
            jwks_url: self.url("/keys"),
            login_claim: "sub".into(),
            groups_claim: "groups".into(),
            tags_claim: "tags".into(),
            ..domain::Issuer::default()
        }
    }
}

async fn serve(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    says: &Mutex<HashMap<String, Says>>,
    asked: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => head.extend_from_slice(&piece[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().unwrap().push(path.clone());
    let answer = says.lock().unwrap().get(&path).cloned();
    let answer = match answer.unwrap_or(Says::Status(404)) {
        Says::Held(gate, text) => {
            gate.acquire().await.unwrap().forget();
            Says::Json(text)
        }
        answer => answer,
    };
    let bytes = match answer {
        Says::Json(text) => format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
            text.len()
        )
        .into_bytes(),
        Says::Status(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n").into_bytes(),
        Says::Redirect(to) => {
            format!("HTTP/1.1 302 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }
        Says::Silence | Says::Held(..) => std::future::pending().await,
        Says::Endless => {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"keys\":[").await;
            while stream.write_all(&[b' '; 8192]).await.is_ok() {}
            return;
        }
        Says::Bytes(bytes) => bytes,
    };
    let _ = stream.write_all(&bytes).await;
    let _ = stream.shutdown().await;
}
