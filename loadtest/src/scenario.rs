//! The rows of the budget table as data: what is sent, how, and what one unit of work is.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use crate::generator::check::Expect;
use crate::generator::drive::Load;

/// Model that all scenarios ask for; a gateway under test serves `mock-*`.
pub(crate) const MODEL: &str = "mock-gpt";

/// How load is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drive {
    /// N connections back to back, started over the ramp.
    Closed { connections: usize, ramp: Duration },
    /// Requests due at a fixed rate.
    Open { rate: u32, threads: u32 },
    /// N streams that stay open.
    Held { streams: usize },
}

/// What cost is counted per.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Request,
    Event,
    Stream,
}

/// One row.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// One line for people.
    pub(crate) about: &'static str,
    pub(crate) drive: Drive,
    pub(crate) unit: Unit,
    /// Bytes of the request's body.
    body_bytes: usize,
    stream: bool,
    include_usage: bool,
    settings: &'static [(&'static str, &'static str)],
    contents: u32,
}

/// Every scenario, in the order of the table.
pub(crate) fn all() -> Vec<Scenario> {
    let closed = |connections, ramp_ms| Drive::Closed {
        connections,
        ramp: Duration::from_millis(ramp_ms),
    };
    let unpaced = Scenario {
        name: "sse-unpaced",
        about: "SSE, 200 content events a response without pauses, include_usage set",
        drive: closed(16, 0),
        unit: Unit::Event,
        body_bytes: 1024,
        stream: true,
        include_usage: true,
        settings: &[("events", "200")],
        contents: 200,
    };
    let paced = Scenario {
        name: "sse-paced",
        about: "SSE, 1,000 streams, 50 content events 20 ms apart, include_usage set",
        drive: closed(1000, 1100),
        settings: &[("events", "50"), ("gap-ms", "20")],
        contents: 50,
        ..unpaced.clone()
    };
    vec![
        Scenario {
            name: "json-1k",
            about: "JSON, 1 KB request and 1 KB answer, 32 connections",
            drive: closed(32, 0),
            unit: Unit::Request,
            body_bytes: 1024,
            stream: false,
            include_usage: false,
            settings: &[("text-bytes", "400")],
            contents: 0,
        },
        Scenario {
            name: "sse-unpaced-plain",
            about: "as sse-unpaced without include_usage: the gateway asks for it and takes it out again",
            include_usage: false,
            ..unpaced.clone()
        },
        Scenario {
            name: "sse-unpaced-each",
            about: "as sse-unpaced, the mock writes each event by itself",
            settings: &[("events", "200"), ("write-each", "1")],
            ..unpaced.clone()
        },
        Scenario {
            name: "big-request",
            about: "256 KB JSON request, 100 content events without pauses",
            drive: closed(8, 0),
            unit: Unit::Request,
            body_bytes: 256 << 10,
            settings: &[("events", "100")],
            contents: 100,
            ..unpaced.clone()
        },
        Scenario {
            name: "sse-paced-plain",
            about: "as sse-paced without include_usage",
            include_usage: false,
            ..paced.clone()
        },
        unpaced,
        paced,
        Scenario {
            name: "open-streams",
            about: "3,000 open streams, one event every 2 s each: memory",
            drive: Drive::Held { streams: 3000 },
            unit: Unit::Stream,
            body_bytes: 1024,
            stream: true,
            include_usage: true,
            settings: &[("events", "60"), ("gap-ms", "2000")],
            contents: 60,
        },
        Scenario {
            name: "latency-200",
            about: "open loop, 200 requests a second of json-1k: latency added",
            drive: Drive::Open {
                rate: 200,
                threads: 8,
            },
            unit: Unit::Request,
            body_bytes: 1024,
            stream: false,
            include_usage: false,
            settings: &[("text-bytes", "400")],
            contents: 0,
        },
    ]
}

/// What captures are measured with: large bodies both ways, whole and streamed, at a fixed rate.
pub(crate) fn captured() -> Vec<Scenario> {
    let whole = Scenario {
        name: "json-64k",
        about: "JSON, 64 KB request and 64 KB answer, 200 requests a second",
        drive: Drive::Open {
            rate: 200,
            threads: 8,
        },
        unit: Unit::Request,
        body_bytes: 64 << 10,
        stream: false,
        include_usage: false,
        settings: &[("text-bytes", "65000")],
        contents: 0,
    };
    let streamed = Scenario {
        name: "sse-64k",
        about: "64 KB request, SSE of 300 content events without pauses, 200 requests a second",
        stream: true,
        include_usage: true,
        settings: &[("events", "300")],
        contents: 300,
        ..whole.clone()
    };
    vec![whole, streamed]
}

impl Scenario {
    /// The same, driven otherwise.
    pub(crate) fn driven(self, drive: Drive) -> Self {
        Self { drive, ..self }
    }

    /// The load on `target`. `rewritten`: whether the target may ask for usage by itself and take it out again, so
    /// that the mock's checksum is not that of what arrives.
    pub(crate) fn load(&self, target: SocketAddr, rewritten: bool) -> Load {
        let expect = match self.stream {
            true => Expect::Chat {
                contents: self.contents,
                usage: self.include_usage,
                checksum: self.include_usage || !rewritten,
            },
            false => Expect::Whole,
        };
        Load {
            target,
            request: self.request(target).into(),
            expect,
        }
    }

    /// The request as an SDK sends it, `model` first in the body.
    fn request(&self, target: SocketAddr) -> Vec<u8> {
        let body = self.body();
        let mut head = format!(
            "POST /v1/chat/completions HTTP/1.1\r\n\
             Host: {target}\r\n\
             Accept: application/json\r\n\
             Content-Type: application/json\r\n\
             User-Agent: OpenAI/Python 2.54.0\r\n\
             X-Stainless-Lang: python\r\n\
             X-Stainless-Package-Version: 2.54.0\r\n\
             X-Stainless-OS: Linux\r\n\
             X-Stainless-Arch: x64\r\n\
             X-Stainless-Runtime: CPython\r\n\
             X-Stainless-Runtime-Version: 3.12.4\r\n\
             Authorization: Bearer none-needed\r\n\
             X-Stainless-Async: false\r\n\
             x-stainless-retry-count: 0\r\n\
             x-stainless-read-timeout: 600\r\n\
             x-mock-numbered: 1\r\n\
             x-mock-verify: 1\r\n"
        );
        for (name, value) in self.settings {
            let _infallible = write!(head, "x-mock-{name}: {value}\r\n");
        }
        let _infallible = write!(head, "Content-Length: {}\r\n\r\n", body.len());
        let mut request = head.into_bytes();
        request.extend_from_slice(&body);
        request
    }

    /// Exactly `body_bytes` long: a conversation of turns of up to 2,000 characters.
    fn body(&self) -> Vec<u8> {
        const TURN: usize = 2000;
        let mut body = json!({
            "model": MODEL,
            "messages": [{"role": "system", "content": "You are a careful assistant. Answer in short sentences."}],
            "temperature": 0.7,
            "max_completion_tokens": 1024,
        });
        if self.stream {
            body["stream"] = json!(true);
            if self.include_usage {
                body["stream_options"] = json!({"include_usage": true});
            }
        }
        let length = |body: &serde_json::Value| body.to_string().len();
        let turn = |n: usize, text: String| {
            let role = if n.is_multiple_of(2) { "user" } else { "assistant" };
            json!({"role": role, "content": text})
        };
        for n in 0.. {
            let left = self.body_bytes.saturating_sub(length(&body));
            let frame = turn(n, String::new()).to_string().len() + 1;
            // The last turn fills what is left exactly; no turn leaves less behind than another one needs.
            let last = left < frame + TURN + 100;
            let text = filler(if last {
                left.saturating_sub(frame)
            } else {
                TURN - frame
            });
            if let Some(messages) = body["messages"].as_array_mut() {
                messages.push(turn(n, text));
            }
            if last {
                break;
            }
        }
        body.to_string().into_bytes()
    }
}

/// Text like a conversation's: words, and now and then something JSON has to escape.
fn filler(bytes: usize) -> String {
    const WORDS: &str = "please look at the second function and tell me why the result is not what \\\"the test\\\" expects; ";
    let mut text: String = WORDS.replace('\\', "").chars().cycle().take(bytes).collect();
    // Escapes lengthen the JSON text: cut until it fits, then fill up.
    let mut escaped = json!(text).to_string().len() - 2;
    while escaped > bytes {
        text.pop();
        escaped = json!(text).to_string().len() - 2;
    }
    text.extend(std::iter::repeat_n('x', bytes - escaped));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_stated_length_and_begin_with_the_model() {
        for scenario in all().into_iter().chain(captured()) {
            let body = scenario.body();
            assert_eq!(body.len(), scenario.body_bytes, "{}", scenario.name);
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(body.starts_with(b"{\"model\":\"mock-gpt\""));
            assert_eq!(
                value.pointer("/stream_options/include_usage").is_some(),
                scenario.include_usage
            );
        }
    }

    #[test]
    fn names_are_unique() {
        let mut names: Vec<&str> = all().iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all().len());
    }
}
