//! A GET with every bound that an issuer's server could want to test: one deadline for all of it, a cap on what is read,
//! HTTPS unless the server is this machine, redirects only within the origin that was asked.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, HOST, LOCATION, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Largest answer, in bytes.
pub(super) const BODY_BYTES_MAX: usize = 256 << 10;
/// Largest answer head, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Redirects that are followed.
const REDIRECTS_MAX: usize = 3;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{0:?} is no URL that can be asked: https is needed, or http to this machine")]
    Url(String),
    #[error("cannot connect")]
    Connect(#[source] std::io::Error),
    #[error("TLS")]
    Tls(#[source] std::io::Error),
    #[error("certificates to trust: {0}")]
    Roots(String),
    #[error("HTTP")]
    Http(#[from] hyper::Error),
    #[error("answer cannot be read, or is longer than {BODY_BYTES_MAX} bytes")]
    Body,
    #[error("answered with status {0}")]
    Status(u16),
    #[error("redirects to another origin, or without end")]
    Redirect,
    #[error("took too long")]
    Timeout,
}

/// Where to go, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    path: String,
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let uri: Uri = text.parse().ok()?;
        let authority = uri.authority()?.as_str();
        if authority.contains('@') || text.contains('#') {
            return None;
        }
        let host = uri
            .host()?
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let tls = match uri.scheme_str()? {
            "https" => true,
            "http" if is_this_machine(&host) => false,
            _ => return None,
        };
        Some(Self {
            tls,
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_owned(),
            path: uri.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
            host,
        })
    }

    /// Where a redirect leads, if that is the same origin.
    fn redirected(&self, location: &str) -> Option<Self> {
        let to = if location.starts_with('/') && !location.starts_with("//") {
            let scheme = if self.tls { "https" } else { "http" };
            Self::parse(&format!("{scheme}://{}{location}", self.authority))?
        } else {
            Self::parse(location)?
        };
        let same = (to.tls, to.port) == (self.tls, self.port) && to.host.eq_ignore_ascii_case(&self.host);
        same.then_some(to)
    }
}

/// Whether a URL is one that can be asked.
pub(super) fn can_be_asked(url: &str) -> bool {
    Target::parse(url).is_some()
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Asks for a document.
///
/// # Errors
/// There is none, or not in time.
pub(super) async fn get(url: &str, ca_pem: Option<&str>, patience: Duration) -> Result<Vec<u8>, FetchError> {
    tokio::time::timeout(patience, follow(url, ca_pem))
        .await
        .map_err(|_| FetchError::Timeout)?
}

enum Answer {
    Body(Vec<u8>),
    Elsewhere(String),
}

async fn follow(url: &str, ca_pem: Option<&str>) -> Result<Vec<u8>, FetchError> {
    let mut target = Target::parse(url).ok_or_else(|| FetchError::Url(url.to_owned()))?;
    for _ in 0..=REDIRECTS_MAX {
        match ask(&target, ca_pem).await? {
            Answer::Body(body) => return Ok(body),
            Answer::Elsewhere(location) => {
                target = target.redirected(&location).ok_or(FetchError::Redirect)?;
            }
        }
    }
    Err(FetchError::Redirect)
}

async fn ask(target: &Target, ca_pem: Option<&str>) -> Result<Answer, FetchError> {
    let stream = TcpStream::connect((target.host.as_str(), target.port))
        .await
        .map_err(FetchError::Connect)?;
    if !target.tls {
        // A name may have been turned elsewhere.
        let here = stream
            .peer_addr()
            .is_ok_and(|peer| peer.ip().to_canonical().is_loopback());
        if !here {
            return Err(FetchError::Url(target.authority.clone()));
        }
        return exchange(stream, target).await;
    }
    let ca_pem = ca_pem.map(str::to_owned);
    // The system's roots are files.
    let config = tokio::task::spawn_blocking(move || tls_config(ca_pem.as_deref()))
        .await
        .map_err(|error| FetchError::Roots(error.to_string()))??;
    let name = ServerName::try_from(target.host.clone()).map_err(|_| FetchError::Url(target.host.clone()))?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .map_err(FetchError::Tls)?;
    exchange(stream, target).await
}

fn tls_config(ca_pem: Option<&str>) -> Result<ClientConfig, FetchError> {
    let roots = |error: &dyn std::fmt::Display| FetchError::Roots(error.to_string());
    let mut store = RootCertStore::empty();
    if let Some(pem) = ca_pem {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| roots(&error))?;
            store.add(certificate).map_err(|error| roots(&error))?;
        }
    } else {
        store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(|error| roots(&error))?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn exchange<S>(stream: S, target: &Target) -> Result<Answer, FetchError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await?;
    let request = Request::get(target.path.as_str())
        .header(HOST, target.authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, "sluice")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url(target.path.clone()))?;
    let mut work = pin!(async move {
        let answer = sender.send_request(request).await?;
        match answer.status().as_u16() {
            200 => {
                let body = Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await;
                let body = body.map_err(|_| FetchError::Body)?;
                Ok(Answer::Body(body.to_bytes().into()))
            }
            301 | 302 | 303 | 307 | 308 => {
                let location = answer
                    .headers()
                    .get(LOCATION)
                    .and_then(|value| value.to_str().ok());
                location
                    .map(|location| Answer::Elsewhere(location.to_owned()))
                    .ok_or(FetchError::Redirect)
            }
            status => Err(FetchError::Status(status)),
        }
    });
    // The connection lives no longer than the exchange, however that ends.
    let mut connection = pin!(connection);
    tokio::select! {
        biased;
        done = &mut work => return done,
        _ = &mut connection => {}
    }
    // Closed by the server; the answer may be complete.
    work.await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_machine_are_asked() {
        let check = |url: &str, expected: bool| assert_eq!(can_be_asked(url), expected, "{url}");
        check("https://issuer.example/keys?p=1", true);
        check("https://issuer.example:8443", true);
        check("http://127.0.0.1:1/keys", true);
        check("http://localhost/keys", true);
        check("http://[::1]:8/keys", true);
        check("http://issuer.example/keys", false);
        check("http://127.0.0.1.example/keys", false);
        check("http://localhost.example/keys", false);
        check("https://user@issuer.example/keys", false);
        check("http://issuer.example@127.0.0.1/", false);
        check("ftp://127.0.0.1/", false);
        check("file:///etc/passwd", false);
        check("/keys", false);
        check("", false);
    }

    #[test]
    fn redirects_stay_within_the_origin() {
        let from = Target::parse("https://issuer.example/a").unwrap();
        let check = |location: &str, expected: Option<&str>| {
            assert_eq!(
                from.redirected(location).map(|to| to.path).as_deref(),
                expected,
                "{location}"
            );
        };
        check("/b?c", Some("/b?c"));
        check("https://issuer.example/b", Some("/b"));
        check("https://ISSUER.example:443/b", Some("/b"));
        check("https://issuer.example:444/b", None);
        check("http://issuer.example/b", None);
        check("https://evil.example/b", None);
        check("//evil.example/b", None);
        check("https://issuer.example@evil.example/b", None);
        check("http://127.0.0.1/b", None);
        check("b", None);
    }
}
