//! Writes first inputs for every target into `corpus/`, so that a minute of fuzzing is spent behind the first
//! checks. `seeds CORPUS [FIXTURES]`: recordings of provider answers serve as well, where they are at hand.

use std::fs;
use std::path::Path;

use sluice_proto::proxy_v2::SIGNATURE;
use sluice_shared::api::ApiKind;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{self, Alias, BaseUrl, Capability, Grant, Provider, Secret, Snapshot, Source};
use sluice_shared::wire::control::{IdentityAnswer, Principal, ToControl, ToData, Whom};

/// Recordings longer than this slow a fuzzer down more than they teach it.
const RECORDING_BYTES_MAX: u64 = 16 << 10;
/// Recordings of one kind.
const RECORDINGS_MAX: usize = 25;

/// An answer of the tailnet's daemon.
const WHOIS: &str = r#"{"Node":{"ID":1,"StableID":"n1","User":45,"KeyExpiry":"2999-01-01T00:00:00Z","Addresses":["100.64.0.1/32"],
"Hostinfo":{"ShareeNode":false},"Tags":[],"PrimaryRoutes":[],"Expired":false},"UserProfile":{"ID":45,"LoginName":"a@example.com",
"Groups":["group:eng"]},"CapMap":{"tailscale.com/cap/aperture":[{"role":"user"},{"models":"anthropic/**"}],"x":[1]}}"#;

fn main() -> std::io::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let corpus = args.next().expect("usage: seeds CORPUS [FIXTURES]");
    let corpus = Path::new(&corpus);
    for (target, seeds) in [
        ("head", heads()),
        (
            "chunked",
            texts(&[
                "5\r\nhello\r\n0\r\n\r\n",
                "1;a=b\r\nx\r\n0\r\nt: v\r\n\r\n",
                "ffffffffffffffff\r\n",
            ]),
        ),
        (
            "sse",
            texts(&[
                "\x05data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\ndata: [DONE]\n\n",
                "\x11event: a\r\ndata: b\r\nid: 1\r\n\r\n: c\r\n\r\n",
                "\x02\u{feff}data:x\rdata:y\r\r",
            ]),
        ),
        ("json", documents()),
        (
            "eventstream",
            vec![
                [&[7][..], &message(b"{\"a\":1}")].concat(),
                [&[1][..], &message(b"")].concat(),
            ],
        ),
        ("meter", meters()),
        (
            "localapi",
            texts(&[
                WHOIS,
                r#"{"State":6,"InitialStatus":{},"PeersChanged":[{"ID":1,"StableID":"n1","Tags":["tag:a"]}]}"#,
                r#"{"PeersRemoved":[1],"UserProfiles":{"45":{"ID":45}},"NetMap":{"Peers":[]}}"#,
            ]),
        ),
        (
            "hujson",
            texts(&[
                CONFIG,
                "{\"providers\":{}}",
                "// c\n{\"grants\":[{\"src\":[\"*\"],},],}",
            ]),
        ),
        (
            "snapshot",
            vec![
                snapshot::seal(&sample()).expect("memory").to_vec(),
                snapshot::seal(&Snapshot::default()).expect("memory").to_vec(),
            ],
        ),
        ("frames", frames()),
        ("proxy_v2", proxy_headers()),
    ] {
        let folder = corpus.join(target);
        fs::create_dir_all(&folder)?;
        for (n, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{n}")), seed)?;
        }
    }
    if let Some(fixtures) = args.next() {
        recordings(corpus, Path::new(&fixtures))?;
    }
    Ok(())
}

fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fn heads() -> Vec<Vec<u8>> {
    texts(&[
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST /v1/messages?beta=true HTTP/1.1\r\nHost: a:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        "POST /v1/chat/completions HTTP/1.1\r\nhost: [::1]\r\ntransfer-encoding: chunked\r\nconnection: x, close\r\n\r\n",
        "GET /x?key=a&b=c HTTP/1.0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nlink: a\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.0 429 \r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
    ])
}

/// Headers of a health check, of IPv4 and IPv6 clients, of one with a TLV behind it.
fn proxy_headers() -> Vec<Vec<u8>> {
    let header = |command: u8, family: u8, block: &[u8]| {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX).to_be_bytes();
        [&SIGNATURE[..], &[0x20 | command, family], &length, block].concat()
    };
    vec![
        header(0, 0, &[]),
        header(1, 0x11, &[192, 0, 2, 7, 10, 0, 0, 1, 0x1f, 0x90, 0, 80]),
        header(1, 0x21, &[7; 36]),
        header(1, 0x11, &[&[7; 12][..], &[4, 0, 2, 1, 2]].concat()),
        header(1, 0, &[1, 2, 3]),
    ]
}

fn documents() -> Vec<Vec<u8>> {
    let bodies = [
        "{\"model\":\"m\",\"stream\":true,\"stream_options\":{\"include_usage\":false},\"max_tokens\":5,\"n\":2}",
        " { \"mod\\u0065l\" : \"\\ud83d\\ude00\" , \"x\" : [ 1e9 , -0.5 , null , { } ] } ",
        "{\"metadata\":{\"user_id\":\"{}\"},\"prompt_cache_key\":\"k\",\"generationConfig\":{\"maxOutputTokens\":7}}",
    ];
    let kinds = u8::try_from(ApiKind::ALL.len()).unwrap_or(u8::MAX);
    bodies
        .iter()
        .flat_map(|body| {
            (0..kinds)
                .step_by(3)
                .map(|kind| [&[kind][..], body.as_bytes()].concat())
        })
        .collect()
}

fn meters() -> Vec<Vec<u8>> {
    let kinds = u8::try_from(ApiKind::ALL.len()).unwrap_or(u8::MAX);
    let bodies = [
        "data: {\"id\":\"a\",\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}],\
         \"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2,\"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\n\
         data: [DONE]\n\n",
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\",\"usage\":{\"input_tokens\":3,\
         \"cache_read_input_tokens\":2}}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\
         \"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\nevent: message_stop\ndata: {\"type\":\
         \"message_stop\"}\n\n",
        "[{\"candidates\":[{\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1}},\n{}]",
        "{\"model\":\"m\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2,\"total_tokens\":3}}",
        "{\"done\":false}\n{\"done\":true,\"prompt_eval_count\":4,\"eval_count\":5}\n",
    ];
    let all = (0..kinds).flat_map(|kind| {
        bodies
            .iter()
            .map(move |body| [&[kind, 4, 0][..], body.as_bytes()].concat())
    });
    all.collect()
}

fn frames() -> Vec<Vec<u8>> {
    let principal = Principal {
        source: "static".into(),
        login: "a@b".into(),
        ..Principal::default()
    };
    let known = IdentityAnswer::Known {
        principal,
        whole_address: true,
        age_ms_max: 5,
    };
    let to_control = [
        ToControl::Hello {
            pid: 1,
            incarnation: 2,
            epoch: Epoch(3),
        },
        ToControl::WhoIs {
            ticket: 1,
            address: [1; 16],
            port: 5,
        },
        ToControl::SnapshotRefused {
            epoch: Epoch(1),
            reason: "no".into(),
        },
    ];
    let to_data = [
        ToData::Snapshot {
            epoch: Epoch(9),
            bytes: 100,
        },
        ToData::Identity {
            ticket: 1,
            answer: known,
        },
        ToData::Forget {
            whom: Whom::Proof([2; 32]),
            cut: true,
        },
    ];
    let to_control = to_control.iter().map(|frame| frame.encode().expect("short"));
    to_control
        .chain(to_data.iter().map(|frame| frame.encode().expect("short")))
        .collect()
}

fn sample() -> Snapshot {
    let base = BaseUrl {
        tls: true,
        host: "a".into(),
        port: 443,
        path: "/v1".into(),
        authority: "a".into(),
    };
    let key = Secret("k".into());
    let provider = Provider {
        id: "p".into(),
        base,
        key,
        models: vec!["**".into()],
        ..Provider::default()
    };
    let grant = Grant {
        sources: vec![Source::Any],
        capabilities: vec![Capability::default()],
        ..Grant::default()
    };
    Snapshot {
        epoch: Epoch(7),
        providers: vec![provider],
        aliases: vec![Alias {
            from: "a".into(),
            to: "b".into(),
        }],
        grants: vec![grant],
        ..Snapshot::default()
    }
}

/// One event stream message with a single header, as the AWS documentation lays it out.
fn message(payload: &[u8]) -> Vec<u8> {
    let header = b"\x0b:event-type\x07\x00\x08metadata";
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_be_bytes();
    let mut out = [length(16 + header.len() + payload.len()), length(header.len())].concat();
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out.extend_from_slice(header);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out).to_be_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

fn recordings(corpus: &Path, fixtures: &Path) -> std::io::Result<()> {
    for folder in fs::read_dir(fixtures)? {
        let folder = folder?.path();
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let Some(kind) = ApiKind::parse(&name) else {
            continue;
        };
        let bodies = fs::read_dir(&folder)?.flatten().filter(|entry| {
            let short = entry
                .metadata()
                .is_ok_and(|file| file.len() <= RECORDING_BYTES_MAX);
            short && entry.path().extension().is_some_and(|kind| kind == "body")
        });
        for (n, entry) in bodies.take(RECORDINGS_MAX).enumerate() {
            let body = fs::read(entry.path())?;
            let name = format!("{name}-{n}");
            fs::write(
                corpus.join("meter").join(&name),
                [&[kind as u8, 4, 0][..], &body].concat(),
            )?;
            let other = if name.starts_with("bedrock") {
                "eventstream"
            } else {
                "sse"
            };
            fs::write(corpus.join(other).join(&name), [&[5][..], &body].concat())?;
        }
    }
    Ok(())
}

const CONFIG: &str = r#"{
  // every part once
  "providers": { "p": { "baseurl": "https://a/v1", "apikey": "k", "authorization": "x-api-key", "models": ["m-*"],
      "compatibility": { "anthropic_messages": true }, "add_headers": ["a: b"], "preference": -1, "weight": 2,
      "timeouts": { "connect": "5s" }, "model_cost_map": [ { "match": "m", "as": "n", "adjustment": 1.5 } ] } },
  "model_aliases": { "a": "p/b" },
  "grants": [ { "src": ["(loopback)", "10.0.0.0/8"], "app": { "tailscale.com/cap/aperture": [
      { "role": "admin", "models": ["**"], "add_headers": ["x: y"], "read_metrics": true } ] } } ],
  "identity": { "sources": ["loopback", "static"], "static": [ { "cidr": "10.0.0.0/8", "login": "a@b" } ] },
  "listeners": [ { "address": "127.0.0.1:8080" } ],
  "limits": { "body_bytes": "32MiB" },
}
"#;
