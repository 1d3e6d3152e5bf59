//! The head that a provider gets: the client's, less what is not its business, plus the key.

use sluice_proto::http1::credential::{Shapes, credential, has_shape};
use sluice_proto::http1::{emit, is_client_credential, is_identity_header};
use sluice_proto::route::{Route, upstream_path};
use sluice_shared::snapshot::AuthMode;

use super::{Head, forwarded_query};
use crate::policy::Candidate;

/// More bytes than [`write`] writes.
pub(super) fn bytes_max(head: &Head, candidate: &Candidate) -> usize {
    let base = &candidate.provider.spec.base;
    // Paths and models may be percent-encoded on the way; the rest is our own few fields.
    [
        head.bytes.len(),
        base.path.len(),
        candidate.model.len() * 3,
        base.authority.len(),
        candidate.provider.added_lines.len(),
        candidate.added_lines.len(),
        512,
    ]
    .into_iter()
    .fold(0, usize::saturating_add)
}

/// Writes the head of a request with a body of `body_bytes` for a candidate.
pub(super) fn write(
    head: &Head,
    route: &Route,
    asked: &str,
    candidate: &Candidate,
    plain_answer: bool,
    own_credential: bool,
    body_bytes: Option<u64>,
    out: &mut Vec<u8>,
) {
    let provider = &candidate.provider;
    let base = &provider.spec.base;
    let mut target = Vec::with_capacity(256);
    let renamed = (route.model.is_some() && candidate.model != asked).then_some(candidate.model.as_str());
    upstream_path(
        &base.path,
        route,
        head.parsed.path(&head.bytes),
        renamed,
        &mut target,
    );
    let passthrough = provider.spec.auth_mode == AuthMode::Passthrough;
    forwarded_query(head, passthrough && !own_credential, &mut target);
    emit::request_line(out, head.parsed.method, &target);
    emit::field(out, b"host", base.authority.as_bytes());
    let replaced = |name: &[u8]| {
        let same = |ours: &String| ours.as_bytes().eq_ignore_ascii_case(name);
        provider.added_names.iter().any(same) || candidate.added_names.iter().any(same)
    };
    for (name, value) in head.parsed.end_to_end(&head.bytes) {
        if is_identity_header(name)
            || (is_client_credential(name) && !passthrough)
            || (own_credential && shows_own_credential(name, value))
            || replaced(name)
            || (plain_answer && name.eq_ignore_ascii_case(b"accept-encoding"))
        {
            continue;
        }
        emit::field(out, name, value);
    }
    if plain_answer {
        // The usage chunk that is to be held back must be readable.
        emit::field(out, b"accept-encoding", b"identity");
    }
    out.extend_from_slice(&provider.added_lines);
    out.extend_from_slice(&candidate.added_lines);
    if let Some(length) = body_bytes {
        emit::content_length(out, length);
    }
    emit::end_head(out);
}

/// A credential of ours is for us alone, also where those for the provider pass.
fn shows_own_credential(name: &[u8], value: &[u8]) -> bool {
    let shapes = Shapes {
        token: true,
        jwt: true,
    };
    credential(name, value).is_some_and(|shown| has_shape(shown, shapes))
}
