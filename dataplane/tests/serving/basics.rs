//! One request after the other, on both drivers: what comes in goes out, what comes back goes back, once recorded.

use sluice_shared::usage::{Ended, Known};

use crate::support::client::{Framed, chat, chat_stream, get, post, post_with};
use crate::support::setup::{PROVIDER_KEY, plain};
use crate::support::upstream::{COMPLETION, Upstream};
use crate::support::{Driver, Gateway, Setup};

/// Runs each case on io_uring and on epoll.
macro_rules! on_both_drivers {
    ($($(#[$meta:meta])* fn $name:ident($driver:ident: Driver) $body:block)*) => {
        $($(#[$meta])* fn $name($driver: Driver) $body)*
        mod ring {
            $(#[test] fn $name() { super::$name(super::Driver::Ring); })*
        }
        mod epoll {
            $(#[test] fn $name() { super::$name(super::Driver::Epoll); })*
        }
    };
}

fn start(upstream: &Upstream, driver: Driver) -> Gateway {
    Gateway::start(Setup::new(plain(upstream.address)).driver(driver))
}

/// A stream of chat events with usage, in chunks of one event.
const EVENTS: &[&str] = &[
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":5,\"total_tokens\":8}}\n\n",
    "data: [DONE]\n\n",
];

on_both_drivers! {
    /// Red if a byte of the body is lost or added, the key is not put in, or no record or two are written.
    fn a_call_passes_and_leaves_one_record(driver: Driver) {
        let upstream = Upstream::plain();
        let gateway = start(&upstream, driver);
        let body = "{ \"messages\" : [ ] ,\r\n\t\"model\":\"m\" , \"unknown\": {\"\u{fc}\":1e9} }";
        let answer = gateway.call(post("/v1/chat/completions", body));
        assert_eq!((answer.status, answer.text().as_str()), (200, COMPLETION));
        let request = upstream.last();
        assert_eq!(request.line(), "POST /v1/chat/completions HTTP/1.1");
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.fields("host"), [upstream.address.to_string()]);
        assert_eq!(request.fields("authorization"), [format!("Bearer {PROVIDER_KEY}")]);
        assert_eq!(request.fields("content-length"), [body.len().to_string()]);
        let record = gateway.wait_records(1).remove(0);
        assert_eq!((record.ended, record.status, record.usage_known), (Ended::Complete, 200, Known::Reported));
        assert_eq!((record.usage.input, record.usage.output), (Some(3), Some(5)));
        assert_eq!((record.user.as_str(), record.provider.as_str(), record.model_asked.as_str()), ("(loopback)", "main", "m"));
        assert_eq!(String::from_utf8_lossy(&record.request_id.hex()), answer.field("x-sluice-request-id").unwrap());
    }

    /// Red if events are held back until the end, or if the record lacks the counts that stand in the stream.
    fn a_stream_passes_event_by_event(driver: Driver) {
        let (next, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let upstream = Upstream::scripted(move |exchange| {
            exchange.body();
            exchange.begin_events();
            for event in EVENTS {
                exchange.chunk(event);
                wait.lock().unwrap().recv().unwrap();
            }
            exchange.send("0\r\n\r\n");
        });
        let gateway = start(&upstream, driver);
        let mut client = gateway.client();
        client.send(chat_stream("m"));
        for event in EVENTS {
            // The next event is sent only when this one is here.
            client.wait_for(event.as_bytes());
            next.send(()).unwrap();
        }
        let answer = client.answer();
        assert_eq!((answer.framed, answer.text()), (Framed::Chunked, EVENTS.concat()));
        let record = gateway.wait_records(1).remove(0);
        assert_eq!((record.ended, record.stream, record.usage_known), (Ended::Complete, true, Known::Reported));
        assert_eq!((record.usage.input, record.usage.output), (Some(3), Some(5)));
    }

    /// Red if a second request on a connection is lost, or makes a second connection to the provider.
    fn connections_live_on_at_both_sides(driver: Driver) {
        let upstream = Upstream::plain();
        let gateway = start(&upstream, driver);
        let mut client = gateway.client();
        for _ in 0..20 {
            client.send(chat("m"));
            assert_eq!(client.answer().status, 200);
        }
        assert_eq!((upstream.requests().len(), upstream.connections()), (20, 1));
        gateway.wait_records(20);
    }

    /// Red if bytes behind a body are lost, answered out of order or taken for part of it.
    fn pipelined_requests_are_answered_in_order(driver: Driver) {
        let upstream = Upstream::scripted(|exchange| {
            let body = exchange.body().unwrap_or_default();
            exchange.json(&String::from_utf8_lossy(&body));
        });
        let gateway = start(&upstream, driver);
        let models = ["a", "b", "c", "d"];
        let all: Vec<u8> = models.iter().flat_map(|model| chat(model)).collect();
        let mut client = gateway.client();
        client.send(&all);
        for model in models {
            assert!(client.answer().text().contains(&format!("\"{model}\"")));
        }
        assert_eq!(upstream.requests().len(), models.len());
    }

    /// Red if the client's chunks reach the provider as chunks, or a chunk of the body is lost.
    fn a_chunked_request_gets_a_length(driver: Driver) {
        let upstream = Upstream::plain();
        let gateway = start(&upstream, driver);
        let mut client = gateway.client();
        client.send("POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n");
        let body = r#"{"model":"m","messages":[]}"#;
        for (index, piece) in body.as_bytes().chunks(4).enumerate() {
            let extension = if index % 2 == 0 { ";a=\"b\"" } else { "" };
            client.send(format!("{:X}{extension}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\nX-Trailer: dropped\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        let request = upstream.last();
        assert_eq!(request.body, body.as_bytes());
        assert_eq!(request.fields("content-length"), [body.len().to_string()]);
        assert!(request.fields("transfer-encoding").is_empty() && request.fields("x-trailer").is_empty());
        client.send(chat("m"));
        assert_eq!(client.answer().status, 200);
    }

    /// Red if a body is cut or doubled on its way through buffers smaller than it.
    fn large_bodies_pass_whole_in_both_directions(driver: Driver) {
        let answer = format!("{{\"pad\":\"{}\"}}", "y".repeat(3 << 20));
        let expected = answer.clone();
        let upstream = Upstream::scripted(move |exchange| {
            if exchange.body().is_some() {
                exchange.json(&answer);
            }
        });
        let gateway = start(&upstream, driver);
        let body = format!("{{\"model\":\"m\",\"pad\":\"{}\"}}", "x".repeat(3 << 20));
        let got = gateway.call(post("/v1/embeddings", &body));
        assert!(got.body == expected.as_bytes(), "the answer differs");
        assert!(upstream.last().body == body.as_bytes(), "the request differs");
    }

    /// Red if HEAD gets a body, which the next answer would then follow.
    fn head_and_get_of_the_root(driver: Driver) {
        let upstream = Upstream::plain();
        let gateway = start(&upstream, driver);
        let mut client = gateway.client();
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = client.answer_to_head();
        client.send(get("/"));
        let whole = client.answer();
        assert_eq!((head.status, whole.status), (200, 200));
        assert_eq!(head.field("content-length"), whole.field("content-length"));
        assert_eq!(whole.field("content-length").unwrap(), whole.body.len().to_string());
    }

    /// Red if an old client gets chunks, or its connection is kept without its wish.
    fn old_clients_are_served(driver: Driver) {
        let upstream = Upstream::scripted(|exchange| {
            exchange.body();
            exchange.begin_events();
            EVENTS.iter().for_each(|event| {
                exchange.chunk(event);
            });
            exchange.send("0\r\n\r\n");
        });
        let gateway = start(&upstream, driver);
        let body = r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#;
        let request = format!(
            "POST /v1/chat/completions HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut client = gateway.client();
        client.send(&request);
        let answer = client.answer();
        assert_eq!((answer.framed, answer.text()), (Framed::Close, EVENTS.concat()));
        assert!(upstream.last().line().ends_with("HTTP/1.1"));

        let mut client = gateway.client();
        for _ in 0..2 {
            client.send("GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
            assert_eq!(client.answer().field("connection"), Some("keep-alive"));
        }
        client.send("GET /healthz HTTP/1.0\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        client.expect_end();
    }

    /// Red if `close` is ignored in either direction.
    fn close_is_obeyed(driver: Driver) {
        let upstream = Upstream::answering(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        );
        let gateway = start(&upstream, driver);
        let mut client = gateway.client();
        client.send(chat("m"));
        let answer = client.answer();
        // The provider's wish is about its own connection.
        assert!(!answer.says_close());
        upstream.closed_at(0);
        client.send(post_with("/v1/chat/completions", "Connection: close\r\n", br#"{"model":"m"}"#));
        assert!(client.answer().says_close());
        client.expect_end();
        assert_eq!(upstream.connections(), 2);
    }

    /// Red if running requests are cut, or the process does not end, or ends with a failure, when it is told to drain.
    fn draining_finishes_what_runs(driver: Driver) {
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let upstream = Upstream::scripted(move |exchange| {
            exchange.body();
            exchange.begin_events();
            exchange.chunk(EVENTS[0]);
            wait.lock().unwrap().recv().unwrap();
            EVENTS[1..].iter().for_each(|event| {
                exchange.chunk(event);
            });
            exchange.send("0\r\n\r\n");
        });
        let mut gateway = start(&upstream, driver);
        let mut idle = gateway.client();
        idle.send(get("/healthz"));
        idle.answer();
        let mut client = gateway.client();
        client.send(chat_stream("m"));
        client.wait_for(EVENTS[0].as_bytes());
        gateway.terminate();
        // The idle connection is closed at once; the stream goes on.
        idle.expect_end();
        assert!(gateway.is_running());
        go.send(()).unwrap();
        assert_eq!(client.answer().text(), EVENTS.concat());
        assert!(gateway.ended().success());
        assert_eq!(gateway.wait_records(1)[0].ended, Ended::Complete);
    }
}
