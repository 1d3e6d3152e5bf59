//! The dashboard's files: in which form, how long they may be kept, what a page may do; and without a dashboard in the build,
//! what people are told.

use super::*;

/// Status, head and body as text.
fn get(api: &Api, target: &str, more: &str) -> (u16, String, Vec<u8>) {
    let request = format!("GET {target} HTTP/1.1\r\nhost: x\r\n{more}connection: close\r\n\r\n");
    let mut stream = std::os::unix::net::UnixStream::connect(&api.path).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, answer[end + 4..].to_vec())
}

const USER: &str = "x-sluice-role: user\r\nx-sluice-login: user1\r\n";

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_the_dashboard_is_the_page_and_runs_no_inline_script() {
    let api = Api::start().await;
    let (status, head, _) = get(&api, "/ui", USER);
    assert_eq!((status, header(&head, "location")), (308, Some("/ui/")));
    let mut nonces = std::collections::BTreeSet::new();
    for target in [
        "/ui/",
        "/ui/logs?tab=live",
        "/ui/people/a.b%40example.com",
        "/ui/models/x/y.z",
    ] {
        let (status, head, body) = get(&api, target, USER);
        let text = String::from_utf8(body).unwrap();
        assert!(
            header(&head, "content-type").unwrap().starts_with("text/html"),
            "{target}: {head}"
        );
        assert_eq!(header(&head, "cache-control"), Some("no-store"), "{target}");
        let policy = header(&head, "content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{policy}"
        );
        assert!(!policy.contains("unsafe"), "{policy}");
        if sluice_ui::MISSING.is_some() {
            assert_eq!(status, 404);
            assert!(text.contains("npm"), "{text}");
            continue;
        }
        assert_eq!(status, 200, "{target}");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert!(
            policy.contains("require-trusted-types-for 'script'; trusted-types 'none'"),
            "{policy}"
        );
        let nonce = policy
            .split("'nonce-")
            .nth(1)
            .unwrap()
            .split('\'')
            .next()
            .unwrap();
        assert!(nonce.len() >= 20 && text.contains(nonce), "{target}: {nonce}");
        assert!(!text.contains(sluice_ui::NONCE_PLACEHOLDER));
        assert!(nonces.insert(nonce.to_owned()), "a nonce came twice");
        assert!(
            text.split("<script")
                .skip(1)
                .all(|script| script.contains("src=")),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_come_compressed_and_are_kept_for_ever_if_their_names_change() {
    let api = Api::start().await;
    for asset in sluice_ui::assets()
        .iter()
        .filter(|asset| asset.path != sluice_ui::INDEX)
    {
        let target = format!("/ui/{}", asset.path);
        let check = |accepted: &str, coding: Option<&str>, bytes: &[u8]| {
            let (status, head, body) = get(&api, &target, &format!("{USER}accept-encoding: {accepted}\r\n"));
            assert_eq!(status, 200, "{target}");
            assert_eq!(header(&head, "content-encoding"), coding, "{target}: {accepted}");
            assert_eq!(body, bytes, "{target}: {accepted}");
            assert_eq!(header(&head, "content-type"), Some(asset.mime), "{target}");
            assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"));
            assert_eq!(
                header(&head, "cache-control").unwrap().contains("immutable"),
                asset.hashed
            );
            header(&head, "etag").unwrap().to_owned()
        };
        check("br, gzip", Some("br"), asset.brotli);
        check("gzip;q=0.5", Some("gzip"), asset.gzip);
        check("br;q=0, GZIP", Some("gzip"), asset.gzip);
        let etag = check("identity", None, &asset.identity());
        let (status, _, body) = get(
            &api,
            &target,
            &format!("{USER}if-none-match: \"x\", W/{etag}\r\n"),
        );
        assert_eq!((status, body.len()), (304, 0), "{target}");
    }
    let (status, head, _) = get(&api, "/ui/assets/none.js", USER);
    assert_eq!(status, 404);
    let missing = sluice_ui::MISSING.is_some();
    assert_eq!(
        header(&head, "content-type").unwrap().starts_with("text/html"),
        missing
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_role_is_told_in_words() {
    let api = Api::start().await;
    let nobody = "x-sluice-role: none\r\nx-sluice-login: %3Cb%3Emallory\r\n";
    let (status, head, body) = get(&api, "/ui/", &format!("{nobody}accept: text/html,*/*\r\n"));
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 403);
    assert!(header(&head, "content-type").unwrap().starts_with("text/html"));
    assert!(
        text.contains("&lt;b&gt;mallory") && !text.contains("<b>mallory"),
        "{text}"
    );
    for (target, accept) in [("/ui/", "*/*"), ("/api/usage", "text/html")] {
        let (status, head, _) = get(&api, target, &format!("{nobody}accept: {accept}\r\n"));
        assert_eq!(status, 403);
        assert_eq!(
            header(&head, "content-type"),
            Some("application/problem+json"),
            "{target}"
        );
    }
}
