//! The gate of literals: all fixed beginnings of keys at once, vectorised, and what verifies each.

use std::sync::LazyLock;

use aho_corasick::packed::{self, MatchKind, Searcher};

use super::{Detector, Mask, Sink, View, cloud, jwt, pem, tokens};

/// Detectors that are found by literals.
pub(super) const LITERALS: Mask = Detector::PrivateKey.bit()
    | Detector::AwsAccessKey.bit()
    | Detector::AwsSecretKey.bit()
    | Detector::GoogleApiKey.bit()
    | Detector::GcpServiceAccount.bit()
    | Detector::AzureKey.bit()
    | Detector::AzureSas.bit()
    | Detector::OpenAiKey.bit()
    | Detector::AnthropicKey.bit()
    | Detector::GroqKey.bit()
    | Detector::HuggingFaceToken.bit()
    | Detector::ReplicateToken.bit()
    | Detector::XaiKey.bit()
    | Detector::GitHubToken.bit()
    | Detector::GitLabToken.bit()
    | Detector::SlackToken.bit()
    | Detector::StripeKey.bit()
    | Detector::SendGridKey.bit()
    | Detector::NpmToken.bit()
    | Detector::PypiToken.bit()
    | Detector::DigitalOceanToken.bit()
    | Detector::DatabricksToken.bit()
    | Detector::Jwt.bit();

/// What a literal may be the beginning of. None is shorter than three bytes, which keeps the vectorised search sharp.
const TABLE: &[(&str, Kind)] = &[
    ("sk-", Kind::Token),
    ("gsk_", Kind::Token),
    ("hf_", Kind::Token),
    ("r8_", Kind::Token),
    ("xai-", Kind::Token),
    ("ghp_", Kind::Token),
    ("gho_", Kind::Token),
    ("ghu_", Kind::Token),
    ("ghs_", Kind::Token),
    ("ghr_", Kind::Token),
    ("github_pat_", Kind::Token),
    ("glpat-", Kind::Token),
    ("xox", Kind::Token),
    ("xapp-", Kind::Token),
    ("sk_live_", Kind::Token),
    ("rk_live_", Kind::Token),
    ("SG.", Kind::Token),
    ("npm_", Kind::Token),
    ("pypi-", Kind::Token),
    ("AKIA", Kind::Token),
    ("ASIA", Kind::Token),
    ("AIza", Kind::Token),
    ("dop_v1_", Kind::Token),
    ("doo_v1_", Kind::Token),
    ("dor_v1_", Kind::Token),
    ("dapi", Kind::Token),
    ("eyJ", Kind::Jwt),
    ("-----BEGIN ", Kind::Pem),
    ("AccountKey=", Kind::Cloud),
    ("AccessKey=", Kind::Cloud),
    ("sig=", Kind::Cloud),
    ("private_key_id", Kind::Cloud),
    ("secret", Kind::Cloud),
    ("Secret", Kind::Cloud),
    ("SECRET", Kind::Cloud),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Token,
    Jwt,
    Pem,
    Cloud,
}

/// Longest literal.
const LONGEST: usize = 16;

static SEARCHER: LazyLock<Option<Searcher>> = LazyLock::new(|| {
    packed::Config::new()
        .match_kind(MatchKind::LeftmostFirst)
        .builder()
        .extend(TABLE.iter().map(|(literal, _)| literal))
        .build()
});

/// For processors without the instructions that the vectorised search needs.
static FALLBACK: LazyLock<Option<aho_corasick::AhoCorasick>> = LazyLock::new(|| {
    let literals = TABLE.iter().map(|(literal, _)| literal);
    aho_corasick::AhoCorasick::builder()
        .match_kind(aho_corasick::MatchKind::LeftmostFirst)
        .build(literals)
        .ok()
});

pub(super) fn literals(view: View<'_>, sink: &mut Sink<'_>) {
    match (&*SEARCHER, &*FALLBACK) {
        (Some(searcher), _) => {
            for found in searcher.find_iter(view.text) {
                verify(view, found.start(), found.pattern().as_usize(), sink);
            }
        }
        (None, Some(automaton)) => {
            for found in automaton.find_iter(view.text) {
                verify(view, found.start(), found.pattern().as_usize(), sink);
            }
        }
        (None, None) => {}
    }
    if !view.ended {
        unfinished(view, sink);
    }
}

fn verify(view: View<'_>, at: usize, literal: usize, sink: &mut Sink<'_>) {
    let Some((literal, kind)) = TABLE.get(literal).filter(|_| at >= sink.walked) else {
        return;
    };
    match kind {
        Kind::Token => tokens::token(view, at, sink),
        Kind::Jwt => jwt::token(view, at, sink),
        Kind::Pem => pem::key(view, at, sink),
        Kind::Cloud => cloud::keyword(view, at, literal.as_bytes(), sink),
    }
}

/// A literal that the end of the text cuts. Those that only announce what is looked for can be handed on: they are still in
/// sight when it comes.
fn unfinished(view: View<'_>, sink: &mut Sink<'_>) {
    let len = view.text.len();
    for at in len.saturating_sub(LONGEST)..len {
        let rest = view.rest(at);
        let cut = |literal: &str| literal.len() > rest.len() && literal.as_bytes().starts_with(rest);
        let mut kinds = TABLE.iter().filter(|(_, kind)| *kind != Kind::Cloud);
        if kinds.any(|(literal, kind)| cut(literal) && (*kind == Kind::Pem || view.begins(at))) {
            return sink.more(at);
        }
    }
}
