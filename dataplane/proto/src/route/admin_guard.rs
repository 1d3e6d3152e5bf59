//! Who may even knock at `/ui`, `/api` and `/aperture`: no page of another site, no name that somebody pointed at us.
//!
//! A browser on the machine of a person with a role is that person, as far as identity goes. So before anybody is
//! identified, a request for these paths must name a host that is this gateway's (which ends DNS rebinding), and where
//! the browser says which page sent it, that page must be ours (which ends forged requests). Programs send neither
//! `Origin` nor `Sec-Fetch-Site` and are not concerned. Sources: RFC 6454, Fetch §3.1 and §2.2.2 (simple requests),
//! W3C Fetch Metadata.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::http1::{Headers, Method};

/// What the listener that took the connection goes by.
#[derive(Clone, Copy, Debug)]
pub struct AdminHosts<'a> {
    /// `listeners[].hosts`, in lower case, without port.
    pub names: &'a [String],
    /// The tailnet gives names to this machine: single labels and those below `.ts.net` are ours.
    pub tailnet: bool,
    /// The listener speaks TLS.
    pub tls: bool,
    /// TLS may end before us (`tailscale serve`): a page of ours may also be an https one.
    pub behind_tls: bool,
}

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminRefusal {
    /// No `Host`, or not exactly one.
    HostCount,
    /// The name is not one of this gateway's.
    ForeignHost,
    /// The page that sends this is of another origin, or hides which.
    ForeignOrigin,
    /// The browser says that another site sends this.
    CrossSite,
    /// A body type that a plain HTML form can send.
    FormBody,
}

impl AdminRefusal {
    /// One sentence for whoever reads the answer.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::HostCount => "this page needs exactly one Host",
            Self::ForeignHost => {
                "the Host is not a name of this gateway; use its address, or list the name in listeners[].hosts"
            }
            Self::ForeignOrigin => "pages of another origin may not use this",
            Self::CrossSite => "pages of another site may not use this",
            Self::FormBody => "send JSON; what a plain form can send is not accepted here",
        }
    }
}

/// Whether a request for an admin path may go on to be identified.
///
/// # Errors
/// The first reason against it.
pub fn admin_guard(
    method: Method,
    headers: &Headers,
    head: &[u8],
    ours: AdminHosts<'_>,
) -> Result<(), AdminRefusal> {
    let host = one(headers, head, "host")
        .map_err(|()| AdminRefusal::HostCount)?
        .ok_or(AdminRefusal::HostCount)?;
    let (host_name, host_port) = split_port(host).ok_or(AdminRefusal::ForeignHost)?;
    if !is_ours(host_name, ours) {
        return Err(AdminRefusal::ForeignHost);
    }
    if let Some(origin) = one(headers, head, "origin").map_err(|()| AdminRefusal::ForeignOrigin)? {
        let same = |scheme: &str, default: &[u8]| {
            let rest = origin
                .split_at_checked(scheme.len())
                .filter(|(found, _)| found.eq_ignore_ascii_case(scheme.as_bytes()))
                .map(|(_, rest)| rest);
            rest.and_then(split_port).is_some_and(|(name, port)| {
                name.eq_ignore_ascii_case(host_name)
                    && port.unwrap_or(default) == host_port.unwrap_or(default)
            })
        };
        let same_https = (ours.tls || ours.behind_tls) && same("https://", b"443");
        let same_http = !ours.tls && same("http://", b"80");
        if !same_https && !same_http {
            return Err(AdminRefusal::ForeignOrigin);
        }
    }
    match one(headers, head, "sec-fetch-site").map_err(|()| AdminRefusal::CrossSite)? {
        None | Some(b"same-origin" | b"none") => {}
        Some(_) => return Err(AdminRefusal::CrossSite),
    }
    if !matches!(method, Method::Get | Method::Head | Method::Options) {
        let form = headers.find_all(head, "content-type").any(is_form_type);
        if form {
            return Err(AdminRefusal::FormBody);
        }
    }
    Ok(())
}

/// The value of a field that may stand once; `Err` if it stands more often.
fn one<'h>(headers: &'h Headers, head: &'h [u8], name: &'h str) -> Result<Option<&'h [u8]>, ()> {
    let mut values = headers.find_all(head, name);
    let first = values.next();
    match values.next() {
        None => Ok(first),
        Some(_) => Err(()),
    }
}

/// Name and port of `name[:port]`; brackets stay with the name, an empty port is none. No user information, no path.
fn split_port(authority: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let at = match authority.first() {
        Some(b'[') => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (name, rest) = authority.split_at_checked(at)?;
    let port = match rest.split_first() {
        None => None,
        Some((b':', digits)) if digits.iter().all(u8::is_ascii_digit) => {
            Some(digits).filter(|d| !d.is_empty())
        }
        Some(_) => return None,
    };
    Some((name, port))
}

fn is_ours(name: &[u8], ours: AdminHosts<'_>) -> bool {
    let Ok(text) = std::str::from_utf8(name) else {
        return false;
    };
    if let Some(inside) = text.strip_prefix('[') {
        return inside
            .strip_suffix(']')
            .is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok());
    }
    // A final dot is the same name to DNS; browsers keep it.
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.parse::<Ipv4Addr>().is_ok() || text.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if ours.names.iter().any(|ours| ours.eq_ignore_ascii_case(text)) {
        return true;
    }
    let label = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            // Browsers read "1" and "0x7f000001" as addresses.
            && !text.bytes().next().is_some_and(|b| b.is_ascii_digit())
    };
    let below_ts_net = || {
        let at = text.len().checked_sub(".ts.net".len())?;
        let (front, back) = text.split_at_checked(at)?;
        (back.eq_ignore_ascii_case(".ts.net") && front.split('.').all(|part| !part.is_empty())).then_some(())
    };
    ours.tailnet && (label(text) || below_ts_net().is_some())
}

/// The types that a page can send anywhere without asking first; no type at all is one, for a body of unknown type.
fn is_form_type(value: &[u8]) -> bool {
    let end = memchr::memchr2(b';', b',', value).unwrap_or(value.len());
    let kind = value.get(..end).unwrap_or_default().trim_ascii();
    [
        &b"application/x-www-form-urlencoded"[..],
        b"multipart/form-data",
        b"text/plain",
    ]
    .iter()
    .any(|form| form.eq_ignore_ascii_case(kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{HeadLimits, parse_request};

    /// What a request made of these lines comes to, at a plain listener that also goes by `gate.example`.
    fn judge(method: &str, lines: &[&str], change: impl Fn(&mut AdminHosts<'_>)) -> Option<AdminRefusal> {
        let names = ["gate.example".to_owned()];
        let mut ours = AdminHosts {
            names: &names,
            tailnet: false,
            tls: false,
            behind_tls: false,
        };
        change(&mut ours);
        let length = if method == "GET" {
            ""
        } else {
            "content-length: 0\r\n"
        };
        let head = format!(
            "{method} /api/config HTTP/1.0\r\n{length}{}\r\n\r\n",
            lines.join("\r\n")
        );
        let head = head.replace("\r\n\r\n\r\n", "\r\n\r\n");
        let parsed = parse_request(head.as_bytes(), &HeadLimits::default()).expect("a head");
        admin_guard(parsed.method, &parsed.headers, head.as_bytes(), ours).err()
    }

    #[test]
    fn hosts() {
        let check = |host: &str, tailnet: bool, good: bool| {
            let found = judge("GET", &[&format!("Host: {host}")], |ours| ours.tailnet = tailnet);
            assert_eq!(
                found,
                (!good).then_some(AdminRefusal::ForeignHost),
                "{host} {tailnet}"
            );
        };
        for good in [
            "127.0.0.1",
            "127.0.0.1:8080",
            "192.168.0.7",
            "[::1]",
            "[::1]:8080",
            "[fd7a:115c:a1e0::1]",
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "gate.example",
            "Gate.Example:443",
            "gate.example.",
        ] {
            check(good, false, true);
            check(good, true, true);
        }
        for tailnet in [
            "gate",
            "gate-2:8080",
            "gate.tail1234.ts.net",
            "gate.tail1234.ts.net.:80",
            "a.TS.NET",
        ] {
            check(tailnet, true, true);
            check(tailnet, false, false);
        }
        for foreign in [
            "evil.example",
            "xgate.example",
            "gate.example.evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1.",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "ts.net",
            ".ts.net",
            "a..ts.net",
            "evilts.net",
            "a.ts.net.evil.example",
            "gate%2eexample",
            "-._~",
        ] {
            let dotted_address = foreign == "127.0.0.1.";
            check(foreign, false, dotted_address);
            check(foreign, true, dotted_address);
        }
        assert_eq!(judge("GET", &[], |_| ()), Some(AdminRefusal::HostCount));
    }

    #[test]
    fn origins() {
        let check = |host: &str, origin: &str, change: fn(&mut AdminHosts<'_>), good: bool| {
            let lines = [format!("Host: {host}"), format!("Origin: {origin}")];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            for method in ["GET", "POST", "PUT", "DELETE"] {
                let expected = (!good).then_some(AdminRefusal::ForeignOrigin);
                assert_eq!(
                    judge(method, &lines, change),
                    expected,
                    "{method} {host} {origin}"
                );
            }
        };
        let plain: fn(&mut AdminHosts<'_>) = |_| ();
        let tls: fn(&mut AdminHosts<'_>) = |ours| ours.tls = true;
        let behind: fn(&mut AdminHosts<'_>) = |ours| ours.behind_tls = true;
        check("localhost:8080", "http://localhost:8080", plain, true);
        check("localhost:8080", "HTTP://LOCALHOST:8080", plain, true);
        check("localhost", "http://localhost:80", plain, true);
        check("localhost:80", "http://localhost", plain, true);
        check("[::1]:8080", "http://[::1]:8080", plain, true);
        check("gate.example", "https://gate.example", tls, true);
        check("gate.example:443", "https://gate.example", tls, true);
        check("gate.example", "https://gate.example", behind, true);
        check("gate.example", "http://gate.example", behind, true);
        for (host, origin, change) in [
            ("localhost:8080", "null", plain),
            ("localhost:8080", "", plain),
            ("localhost:8080", "http://localhost", plain),
            ("localhost:8080", "http://localhost:8081", plain),
            ("localhost:8080", "http://127.0.0.1:8080", plain),
            ("localhost:8080", "https://localhost:8080", plain),
            ("localhost:8080", "http://localhost:8080/", plain),
            ("localhost:8080", "http://localhost:8080.evil.example", plain),
            ("localhost:8080", "http://localhost:8080@evil.example", plain),
            ("localhost:8080", "http://evil.example", plain),
            ("localhost:8080", "//localhost:8080", plain),
            ("localhost:8080", "localhost:8080", plain),
            ("localhost:8080", "file://", plain),
            ("gate.example", "http://gate.example", tls),
            ("gate.example:80", "https://gate.example", tls),
            ("gate.example", "https://gate.example", plain),
        ] {
            check(host, origin, change, false);
        }
        let twice = [
            "Host: localhost",
            "Origin: http://localhost",
            "Origin: http://localhost",
        ];
        assert_eq!(judge("GET", &twice, |_| ()), Some(AdminRefusal::ForeignOrigin));
    }

    #[test]
    fn fetch_metadata() {
        let check = |value: &str, good: bool| {
            let line = format!("Sec-Fetch-Site: {value}");
            let found = judge("GET", &["Host: localhost", &line], |_| ());
            assert_eq!(found, (!good).then_some(AdminRefusal::CrossSite), "{value}");
        };
        check("same-origin", true);
        check("none", true);
        for bad in [
            "cross-site",
            "same-site",
            "",
            "SAME-ORIGIN",
            "none, cross-site",
            "new-word",
        ] {
            check(bad, false);
        }
        let twice = ["Host: localhost", "Sec-Fetch-Site: none", "sec-fetch-site: none"];
        assert_eq!(judge("GET", &twice, |_| ()), Some(AdminRefusal::CrossSite));
    }

    #[test]
    fn forms() {
        let check = |method: &str, kind: &str, good: bool| {
            let line = format!("Content-Type: {kind}");
            let found = judge(method, &["Host: localhost", &line], |_| ());
            assert_eq!(
                found,
                (!good).then_some(AdminRefusal::FormBody),
                "{method} {kind}"
            );
        };
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            for form in [
                "application/x-www-form-urlencoded",
                "Application/X-WWW-Form-Urlencoded ; charset=utf-8",
                "multipart/form-data; boundary=x",
                "text/plain",
                "TEXT/PLAIN;charset=utf-8",
                "text/plain, application/json",
            ] {
                check(method, form, false);
                check("GET", form, true);
            }
            for good in [
                "application/json",
                "application/hujson; charset=utf-8",
                "application/problem+json",
            ] {
                check(method, good, true);
            }
        }
        let twice = [
            "Host: localhost",
            "Content-Type: application/json",
            "Content-Type: text/plain",
        ];
        assert_eq!(judge("POST", &twice, |_| ()), Some(AdminRefusal::FormBody));
    }
}
