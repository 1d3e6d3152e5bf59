//! Pages of other sites at the admin routes, over real sockets: turned away before anybody is identified, on every prefix
//! and in every spelling of the path; what a person's own page and a program send goes through.

#![allow(clippy::print_stdout, reason = "the count of a matrix is worth a line")]

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use gateway::{Answer, Gateway};

const JSON: &str = "content-type: application/json";

/// Sends a request as it stands; gives status and `x-sluice-error`.
fn send(gateway: &Gateway, method: &str, target: &str, lines: &[&str]) -> (u16, String) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let body = if method == "GET" {
        ""
    } else {
        "content-length: 2\r\n"
    };
    let content = if method == "GET" { "" } else { "{}" };
    let request = format!("{method} {target} HTTP/1.1\r\n{lines}{body}connection: close\r\n\r\n{content}");
    let answer = Answer::read(gateway.exchange(&request));
    let error = answer.header("x-sluice-error").unwrap_or_default().to_owned();
    (answer.status, error)
}

#[test]
fn other_sites_are_turned_away_from_every_admin_route() {
    let gateway = Gateway::start(&["--mock"]);
    let host = format!("host: {}", gateway.address());
    let origin = format!("origin: http://{}", gateway.address());
    let port = gateway.address().rsplit(':').next().expect("a port").to_owned();
    let near = format!("origin: http://localhost:{port}");
    let foreign: Vec<(&str, Vec<&str>)> = vec![
        ("GET", vec!["host: evil.example"]),
        ("GET", vec!["host: gateway"]),
        ("GET", vec!["host: a.ts.net"]),
        ("GET", vec!["host: localhost.evil.example"]),
        ("GET", vec![&host, "origin: http://evil.example"]),
        ("GET", vec![&host, "origin: null"]),
        ("GET", vec![&host, &near]),
        ("GET", vec![&host, &origin, &origin]),
        ("GET", vec![&host, "sec-fetch-site: cross-site"]),
        ("GET", vec![&host, "sec-fetch-site: same-site"]),
        ("GET", vec![&host, "sec-fetch-site: none", "sec-fetch-site: none"]),
        ("POST", vec![&host, "content-type: text/plain"]),
        (
            "POST",
            vec![&host, "content-type: application/x-www-form-urlencoded"],
        ),
        (
            "PUT",
            vec![&host, "content-type: multipart/form-data; boundary=x"],
        ),
        ("POST", vec![&host, JSON, "origin: http://evil.example"]),
        ("PUT", vec![&host, JSON, "origin: null"]),
        ("DELETE", vec!["host: evil.example", JSON]),
        (
            "GET",
            vec![
                &host,
                "origin: http://evil.example",
                "connection: upgrade",
                "upgrade: websocket",
            ],
        ),
    ];
    // Paths that the control plane gets, and near misses, which nobody may get through with.
    let plain = [
        "/ui",
        "/ui/",
        "/ui/x",
        "/api/requests",
        "/api/config",
        "/api/",
        "/aperture/config",
        "/aperture/x",
    ];
    let spelled = [
        "//api/config",
        "/./api/config",
        "/x/../api/config",
        "/api/./config",
        "/api//config",
        "/api/../api/config",
        "/%61pi/config",
        "/api%2fconfig",
        "/api%2Fconfig",
        "/API/config",
        "/Ui/",
        "/api;x/config",
        "/api/config;x",
        "/aperture\\config",
        "/api/config%00",
        "/api/config?x=/v1/models",
        "/ui/../v1/models",
        "/openai/api/config",
    ];
    let mut turned_away = 0;
    for (method, lines) in &foreign {
        for target in plain {
            let (status, error) = send(&gateway, method, target, lines);
            let by_method = status == 405;
            assert!(
                (status, error.as_str()) == (403, "foreign_origin") || by_method,
                "{method} {target} {lines:?}: {status} {error}"
            );
            turned_away += usize::from(!by_method);
        }
        for target in spelled {
            let (status, error) = send(&gateway, method, target, lines);
            assert!(
                matches!(status, 400 | 403 | 404 | 405) && !error.is_empty(),
                "{method} {target} {lines:?}: {status} {error}"
            );
        }
    }
    assert!(turned_away >= 100, "{turned_away}");
    println!(
        "{turned_away} turned away, {} spellings",
        foreign.len() * spelled.len()
    );

    let own: Vec<(&str, Vec<&str>)> = vec![
        ("GET", vec![&host]),
        ("GET", vec!["host: localhost"]),
        ("GET", vec!["host: 127.0.0.1"]),
        ("GET", vec!["host: [::1]:8080"]),
        ("GET", vec![&host, &origin]),
        ("GET", vec![&host, &origin, "sec-fetch-site: same-origin"]),
        ("GET", vec![&host, "sec-fetch-site: none"]),
    ];
    for (method, lines) in &own {
        let (status, error) = send(&gateway, method, "/api/requests", lines);
        assert_eq!((status, error.as_str()), (200, ""), "{method} {lines:?}");
    }
    // Model calls are not concerned: their clients go by any name.
    let answer = send(
        &gateway,
        "GET",
        "/v1/models",
        &["host: any.example", "origin: http://any.example"],
    );
    assert_eq!(answer.0, 200);
    gateway.stop();
}
