//! Relaying `/ui`, `/api` and `/aperture` to the control plane, with the principal in headers that only we can set.

use std::net::IpAddr;
use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode, ErrorFamily};
use sluice_proto::http1::{Framing, emit, is_client_credential, is_identity_header};
use sluice_proto::route::{AdminHosts, admin_guard};
use sluice_proto::splice::Edits;
use sluice_shared::snapshot::{Role, SourceKind};

use super::{Head, Live, Prepared};
use crate::answer::{Answer, Expect};
use crate::body::{self, BodyFail, Scan};
use crate::config::Config;
use crate::downstream::{Downstream, Next};
use crate::policy::Policy;
use crate::shard::Held;
use crate::upstream::{Read, connect_unix};
use crate::wait::{unless_gone, watch_gone};

/// The control plane answers within this time, or is taken for dead, in milliseconds.
const PATIENCE_MS: u64 = 30_000;

pub(super) async fn relay(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    policy: &Policy,
) -> Prepared {
    let framing = if matches!(head.parsed.framing, Framing::None) {
        Framing::Length(0)
    } else {
        head.parsed.framing
    };
    let bytes_max = config.limits.body_bytes;
    let read = body::read(
        conn,
        config,
        framing,
        head.parsed.expect_continue,
        bytes_max,
        &mut Scan::Nobody,
    )
    .await;
    let body = match read {
        Ok(body) => body,
        Err(BodyFail::Gone) => return Prepared::Done(Next::Close),
        Err(BodyFail::Refuse(answer)) => {
            return Prepared::Done(
                conn.refuse(ErrorFamily::Plain, &answer, None, head.parsed.version)
                    .await,
            );
        }
    };
    let request_id = conn.shard.next_request_id();
    let mut message = Vec::with_capacity(1_024);
    write_head(
        head,
        policy,
        conn.address,
        &request_id.hex(),
        body.bytes,
        &mut message,
    );
    let edits = Edits::default();
    edits
        .pieces(&body.chunks)
        .for_each(|piece| message.extend_from_slice(piece));
    let unavailable = || {
        let message = "the control plane does not answer; model calls go on, this page will be back shortly";
        ErrorAnswer::new(ErrorCode::ControlPlaneUnavailable, message)
    };
    let Ok(mut upstream) = connect_unix(&conn.shard.process.api_socket) else {
        return Prepared::Done(refuse_after_body(conn, head, &unavailable()).await);
    };
    conn.watch.arm_whole(
        upstream.sock.fd(),
        crate::shard::Shard::now_ms().saturating_add(PATIENCE_MS),
    );
    let first = {
        let mut gone = watch_gone(&conn.sock, &conn.watch);
        let exchange = async {
            upstream.sock.send_all(&message).await?;
            loop {
                let read = {
                    let mut scratch = conn.shard.scratch.borrow_mut();
                    let mut cipher = conn.shard.cipher.borrow_mut();
                    upstream.read(&mut scratch, &mut cipher)?
                };
                match read {
                    Read::Bytes(n) => return Ok(n),
                    Read::End => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    Read::Nothing => upstream.sock.readable().await?,
                }
            }
        };
        unless_gone(exchange, &mut gone).await
    };
    conn.watch.disarm();
    match first {
        None => Prepared::Done(Next::Close),
        Some(Err::<usize, std::io::Error>(_)) => {
            Prepared::Done(refuse_after_body(conn, head, &unavailable()).await)
        }
        Some(Ok(first_bytes)) => {
            let expect = Expect {
                method: head.parsed.method,
                version: head.parsed.version,
                keep_alive: head.parsed.keep_alive,
                meter: None,
                stream: false,
                withhold_usage: false,
                may_cut: false,
                guard: None,
                request_id: request_id.hex(),
            };
            Prepared::Live(Box::new(Live {
                upstream,
                answer: Answer::new(expect, config.head_limits),
                tally: None,
                provider: None,
                sent_whole: true,
                first_bytes,
                pool_idle_ms: 0,
                pool_idle_count: 0,
                first_byte_ms: PATIENCE_MS,
                idle_ms: PATIENCE_MS,
                held: Held::none(&conn.shard.process),
                held_bytes_max: u64::MAX,
            }))
        }
    }
}

/// Whether the request may come from where it says it does. Before anybody is identified: whoever shows somebody else's
/// browser a page must not even learn whether that somebody is known here.
pub(super) fn guard(conn: &Downstream, config: &Config, head: &Head) -> Result<(), ErrorAnswer> {
    let listener = config
        .listeners
        .iter()
        .find(|listener| *listener.address == *conn.listener);
    let sources = &config.identity.sources;
    let served = listener.is_some_and(|listener| listener.serve_headers);
    let ours = AdminHosts {
        names: listener
            .map(|listener| listener.hosts.as_slice())
            .unwrap_or_default(),
        tailnet: served || sources.contains(&SourceKind::Tailscale),
        tls: listener.is_some_and(|listener| listener.tls.is_some()),
        behind_tls: served,
    };
    admin_guard(head.parsed.method, &head.parsed.headers, &head.bytes, ours).map_err(|refusal| {
        tracing::debug!(
            reason = refusal.reason(),
            "a request for an admin page was turned away"
        );
        ErrorAnswer::new(ErrorCode::ForeignOrigin, refusal.reason())
    })
}

async fn refuse_after_body(conn: &mut Downstream, head: &Head, answer: &ErrorAnswer) -> Next {
    let id = conn.shard.next_request_id();
    let keep_alive = head.parsed.keep_alive;
    let bytes =
        crate::downstream::error_bytes(ErrorFamily::Plain, answer, id, head.parsed.version, keep_alive);
    match (conn.write(&bytes).await, keep_alive) {
        (true, true) => Next::KeepAlive,
        _ => Next::Close,
    }
}

fn write_head(
    head: &Head,
    policy: &Policy,
    address: [u8; 16],
    request_id: &[u8],
    body_bytes: u64,
    out: &mut Vec<u8>,
) {
    emit::request_line(out, head.parsed.method, head.parsed.target.of(&head.bytes));
    for (name, value) in head.parsed.end_to_end(&head.bytes) {
        if !is_identity_header(name) && !is_client_credential(name) {
            emit::field(out, name, value);
        }
    }
    let principal = &policy.principal;
    let role = match policy.role {
        Some(Role::Admin) => "admin",
        Some(Role::User) => "user",
        None => "none",
    };
    if let Some(host) = head.parsed.host {
        emit::field(out, b"host", host.of(&head.bytes));
    } else {
        emit::field(out, b"host", b"localhost");
    }
    // What an answer about the caller's own rights depends on beside the names.
    let address = IpAddr::from(address).to_canonical().to_string();
    let scoped = if principal.scope.is_some() { "1" } else { "" };
    let mut text = Vec::new();
    for (name, value) in [
        (&b"x-sluice-source"[..], principal.source.as_str()),
        (b"x-sluice-address", address.as_str()),
        (b"x-sluice-scoped", scoped),
        (b"x-sluice-login", principal.login.as_str()),
        (b"x-sluice-node", principal.node.as_str()),
        (b"x-sluice-tags", &principal.tags.join(",")),
        (b"x-sluice-groups", &principal.groups.join(",")),
        (b"x-sluice-role", role),
    ] {
        text.clear();
        percent_encode(value, &mut text);
        emit::field(out, name, &text);
    }
    emit::field(out, b"x-sluice-request-id", request_id);
    emit::field(out, b"connection", b"close");
    emit::content_length(out, body_bytes);
    emit::end_head(out);
}

/// Keeps a name from becoming anything but a value: everything except letters, digits and a few marks is encoded.
fn percent_encode(text: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@:,()+/".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::percent_encode;

    #[test]
    fn a_name_cannot_leave_its_header() {
        let check = |text: &str, expected: &str| {
            let mut out = Vec::new();
            percent_encode(text, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        };
        check("alice@example.com", "alice@example.com");
        check("(loopback)", "(loopback)");
        check("a\r\nx-sluice-role: admin", "a%0D%0Ax-sluice-role:%20admin");
        check("ü%\"", "%C3%BC%25%22");
    }
}
