//! The strict reading of a provider's base URL.
//!
//! Requests go to exactly what the operator wrote: no userinfo (a host in disguise), no query and no fragment (both would
//! swallow the path that is added), no dot segments, no percent-encoded separators.

use std::net::{Ipv4Addr, Ipv6Addr};

use sluice_shared::snapshot::BaseUrl;

/// Longest base URL, in bytes.
const URL_BYTES_MAX: usize = 2_048;

/// Takes a base URL apart; the error says what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<BaseUrl, String> {
    if text.len() > URL_BYTES_MAX {
        return Err(format!("is longer than {URL_BYTES_MAX} bytes"));
    }
    if let Some(bad) = text
        .chars()
        .find(|c| !c.is_ascii() || c.is_ascii_control() || *c == ' ' || *c == '\\')
    {
        return Err(format!("must not hold {bad:?}"));
    }
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("needs a scheme, http:// or https://")?;
    let tls = match scheme.to_ascii_lowercase().as_str() {
        "https" => true,
        "http" => false,
        other => {
            return Err(format!(
                "has the scheme {other:?}; only http and https are spoken"
            ));
        }
    };
    if rest.contains('#') {
        return Err("must not have a fragment (#)".into());
    }
    if rest.contains('?') {
        return Err("must not have a query (?)".into());
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("must not hold a user name or password (@); use apikey".into());
    }
    let (host, port) = split_port(authority)?;
    let default = if tls { 443 } else { 80 };
    let port = match port {
        None => default,
        Some(text) => {
            port_number(text).ok_or_else(|| format!("has the port {text:?}; a port is 1 to 65535"))?
        }
    };
    let (host, shown) = check_host(host)?;
    let authority = if port == default {
        shown
    } else {
        format!("{shown}:{port}")
    };
    Ok(BaseUrl {
        tls,
        host,
        port,
        path: check_path(path)?,
        authority,
    })
}

fn split_port(authority: &str) -> Result<(&str, Option<&str>), String> {
    if let Some(inside) = authority.strip_prefix('[') {
        let (_, after) = inside
            .split_once(']')
            .ok_or("has an IPv6 address without closing bracket")?;
        let host = authority
            .get(..authority.len() - after.len())
            .unwrap_or(authority);
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err("has something behind the closing bracket".into()),
        };
    }
    match authority.split_once(':') {
        Some((_, port)) if port.contains(':') => Err("needs brackets around an IPv6 address".into()),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((authority, None)),
    }
}

fn port_number(text: &str) -> Option<u16> {
    (!text.is_empty() && text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

/// The host as it is connected to, and as it is shown in a `host` header.
fn check_host(host: &str) -> Result<(String, String), String> {
    if host.is_empty() {
        return Err("has no host".into());
    }
    if let Some(inside) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let address: Ipv6Addr = inside
            .parse()
            .map_err(|_| format!("has no IPv6 address in {host:?}"))?;
        return Ok((address.to_string(), format!("[{address}]")));
    }
    let host = host.to_ascii_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > 253 || !host.split('.').all(label) {
        return Err(format!("has no valid host name in {host:?}"));
    }
    // A name whose last label is a number is read as an IPv4 address by resolvers, in many spellings; take only one.
    let last = host.rsplit('.').next().unwrap_or(&host);
    let numeric = last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x");
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err(format!("has no valid IPv4 address in {host:?}"));
    }
    Ok((host.clone(), host))
}

fn check_path(path: &str) -> Result<String, String> {
    let path = path.trim_end_matches('/');
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    if let Some(bad) = path.bytes().find(|b| !allowed(*b)) {
        return Err(format!("must not hold {:?} in its path", char::from(bad)));
    }
    let lower = path.to_ascii_lowercase();
    if ["%2e", "%2f", "%5c", "%00"]
        .iter()
        .any(|encoded| lower.contains(encoded))
    {
        return Err("must not hold encoded dots, slashes or zero bytes in its path".into());
    }
    let encoded_well = path.split('%').skip(1).all(|after| {
        after
            .as_bytes()
            .get(..2)
            .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    });
    if !encoded_well {
        return Err("holds a % that begins no escape".into());
    }
    if path
        .split('/')
        .skip(1)
        .any(|segment| segment.is_empty() || segment == "." || segment == "..")
    {
        return Err("must not hold empty or dot segments in its path".into());
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_that_are_taken() {
        let check = |text: &str, expected: (bool, &str, u16, &str, &str)| {
            let url = parse(text).unwrap();
            assert_eq!(
                (
                    url.tls,
                    url.host.as_str(),
                    url.port,
                    url.path.as_str(),
                    url.authority.as_str()
                ),
                expected,
                "{text}"
            );
        };
        check(
            "https://api.openai.com",
            (true, "api.openai.com", 443, "", "api.openai.com"),
        );
        check(
            "https://API.OpenAI.com/v1/",
            (true, "api.openai.com", 443, "/v1", "api.openai.com"),
        );
        check(
            "http://127.0.0.1:8000",
            (false, "127.0.0.1", 8000, "", "127.0.0.1:8000"),
        );
        check(
            "HTTP://vllm:80/openai/v1",
            (false, "vllm", 80, "/openai/v1", "vllm"),
        );
        check(
            "https://[fd7a::1]:8443/x",
            (true, "fd7a::1", 8443, "/x", "[fd7a::1]:8443"),
        );
        check("http://[::1]", (false, "::1", 80, "", "[::1]"));
        check(
            "https://gw_1.example/a%20b",
            (true, "gw_1.example", 443, "/a%20b", "gw_1.example"),
        );
    }

    #[test]
    fn base_urls_that_are_refused() {
        for text in [
            "",
            "api.openai.com",
            "ftp://x",
            "https://",
            "https:///v1",
            "https://user:pass@x",
            "https://x@y",
            "https://x?a=b",
            "https://x#f",
            "https://x/..",
            "https://x/a//b",
            "https://x/./a",
            "https://x/%2e%2e",
            "https://x/a%2Fb",
            "https://x/%zz",
            "https://x/%2",
            "https://x:0",
            "https://x:65536",
            "https://x:",
            "https://x:8a",
            "https://x:+80",
            "https://::1/",
            "https://[::1",
            "https://[::1]x",
            "https://[x]",
            "https://[]",
            "https://a b",
            "https://a\\b",
            "https://a\nb",
            "https://ü.example",
            "https://-a",
            "https://a-",
            "https://a..b",
            "https://x.",
            "https://0x7f.1",
            "https://1.2.3",
            "https://01.2.3.4",
            "https://1.2.3.256",
            "https://0x7f000001",
            "https://x/\"",
            "https://x/{a}",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&format!("https://x/{}", "a".repeat(2_048))).is_err());
        assert!(parse(&format!("https://{}", "a".repeat(64))).is_err());
    }
}
