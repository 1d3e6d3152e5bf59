//! Keys that say by their first letters whose they are.

use super::{Detector, Sink, View};

/// Shape of a key behind its prefix.
struct Shape {
    prefix: &'static str,
    detector: Detector,
    class: fn(u8) -> bool,
    /// Bytes behind the prefix, at least and at most. A longer run is no key, unless the most is [`LONG`].
    len: (usize, usize),
}

/// Keys whose length nobody states: longer runs count with as much of them.
const LONG: usize = 500;

const fn alnum(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

const fn dashed(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

const fn under(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

const fn dotted(byte: u8) -> bool {
    dashed(byte) || byte == b'.'
}

const fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

const fn hex(byte: u8) -> bool {
    byte.is_ascii_digit() || matches!(byte, b'a'..=b'f')
}

const fn hex_dash(byte: u8) -> bool {
    hex(byte) || byte == b'-'
}

macro_rules! shapes {
    ($($prefix:literal $detector:ident $class:ident $least:literal..=$most:expr;)+) => {
        &[$(Shape { prefix: $prefix, detector: Detector::$detector, class: $class, len: ($least, $most) }),+]
    };
}

/// Lengths as the providers' documentation and secret-scanning pages give them (2025), with some room where they changed.
/// The first whose prefix fits decides.
const SHAPES: &[Shape] = shapes! {
    "sk-ant-" AnthropicKey dashed 20..=LONG;
    "sk-proj-" OpenAiKey dashed 20..=LONG;
    "sk-svcacct-" OpenAiKey dashed 20..=LONG;
    "sk-admin-" OpenAiKey dashed 20..=LONG;
    "sk-or-v1-" OpenAiKey dashed 20..=LONG;
    "sk-" OpenAiKey alnum 32..=LONG;
    "gsk_" GroqKey alnum 40..=64;
    "hf_" HuggingFaceToken alnum 30..=40;
    "r8_" ReplicateToken alnum 37..=40;
    "xai-" XaiKey alnum 60..=120;
    "ghp_" GitHubToken alnum 36..=251;
    "gho_" GitHubToken alnum 36..=251;
    "ghu_" GitHubToken alnum 36..=251;
    "ghs_" GitHubToken under 36..=251;
    "ghr_" GitHubToken alnum 36..=251;
    "github_pat_" GitHubToken under 60..=251;
    "glpat-" GitLabToken dotted 20..=300;
    "xoxb-" SlackToken dashed 20..=250;
    "xoxp-" SlackToken dashed 20..=250;
    "xoxa-" SlackToken dashed 20..=250;
    "xoxr-" SlackToken dashed 20..=250;
    "xoxs-" SlackToken dashed 20..=250;
    "xoxo-" SlackToken dashed 20..=250;
    "xoxc-" SlackToken dashed 20..=250;
    "xoxd-" SlackToken dashed 20..=250;
    "xoxe-" SlackToken dashed 20..=250;
    "xapp-" SlackToken dashed 20..=250;
    "sk_live_" StripeKey alnum 24..=250;
    "rk_live_" StripeKey alnum 24..=250;
    "SG." SendGridKey dotted 66..=66;
    "npm_" NpmToken alnum 36..=36;
    "pypi-" PypiToken dashed 50..=LONG;
    "AKIA" AwsAccessKey upper 16..=16;
    "ASIA" AwsAccessKey upper 16..=16;
    "AIza" GoogleApiKey dashed 35..=35;
    "dop_v1_" DigitalOceanToken hex 64..=64;
    "doo_v1_" DigitalOceanToken hex 64..=64;
    "dor_v1_" DigitalOceanToken hex 64..=64;
    "dapi" DatabricksToken hex_dash 32..=34;
};

/// A literal of a key stands at `at`.
pub(super) fn token(view: View<'_>, at: usize, sink: &mut Sink<'_>) {
    if !view.begins(at) {
        return;
    }
    let rest = view.rest(at);
    for shape in SHAPES {
        let prefix = shape.prefix.as_bytes();
        if !view.ended && prefix.len() > rest.len() && prefix.starts_with(rest) && sink.wants(shape.detector)
        {
            return sink.more(at);
        }
        if rest.starts_with(prefix) {
            return judge(view, at, shape, sink);
        }
    }
}

fn judge(view: View<'_>, at: usize, shape: &Shape, sink: &mut Sink<'_>) {
    if !sink.wants(shape.detector) {
        return;
    }
    let body = at + shape.prefix.len();
    let (least, most) = shape.len;
    let mut end = view.run(body, most.saturating_add(1), shape.class);
    if view.open_at(end) && end - body <= most {
        return sink.more(at);
    }
    // A sentence may end behind it.
    while end > body && matches!(view.at(end - 1), Some(b'.' | b'-')) {
        end -= 1;
    }
    let len = end - body;
    if len > most && most == LONG {
        end = body + most;
        sink.walked = end;
    } else if len < least || len > most || !view.ends(end) && !(shape.class)(b'-') {
        return;
    }
    if random(view.slice(body..end)) {
        sink.walked = end;
        sink.found(shape.detector, at..end);
    }
}

/// Whether a text looks drawn by lot: placeholders repeat a letter, or are words in small letters.
fn random(text: &[u8]) -> bool {
    let mut seen = 0_u128;
    for byte in text {
        seen |= 1 << (byte & 127);
    }
    let range = |first: u8, count: u32| seen & (((1_u128 << count) - 1) << first) != 0;
    seen.count_ones() >= 8 && (range(b'0', 10) || range(b'A', 26))
}
