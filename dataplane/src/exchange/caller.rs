//! Who calls, and the gate: whether an endpoint's declared rule lets them in.

use std::rc::Rc;

use sluice_proto::error_body::{ErrorAnswer, ErrorCode};
use sluice_proto::http1::credential::{self, CredentialError, Shapes};
use sluice_proto::http1::{is_identity_header, served};
use sluice_proto::route::Access;
use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::Role;

use super::Head;
use crate::clock;
use crate::config::Config;
use crate::downstream::Downstream;
use crate::identity::facts::{Basis, Facts, Hash, Rules, Served, Token, is_loopback};
use crate::identity::known::{Caller, Resolved};
use crate::policy::Policy;

/// Who called last on a connection, and what that was concluded from.
pub(crate) struct LastCaller {
    caller: Caller,
    epoch: Epoch,
    forgotten: u64,
    served: Option<Hash>,
    bearer: Option<Hash>,
}

/// Lets a caller pass by the rule of an endpoint, or says why not. `None` where nobody is asked who they are.
pub(super) async fn admit(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
    access: Access,
) -> Result<Option<Caller>, ErrorAnswer> {
    if access == Access::Public {
        return Ok(None);
    }
    let caller = identify(conn, config, head).await?;
    permit(&caller.policy, access)?;
    Ok(Some(caller))
}

/// The rule itself, for a caller that is known. Whether a model is granted shows only when the model is known: that part
/// of [`Access::RoleAndModel`] and [`Access::RoleAndAnyModel`] is `Policy::verdict` and `Policy::any`.
pub(super) fn permit(policy: &Policy, access: Access) -> Result<(), ErrorAnswer> {
    match access {
        Access::Public | Access::RelayWithPrincipal => {}
        Access::ReadMetrics => {
            if !policy.read_metrics && policy.role != Some(Role::Admin) {
                let message = "access denied: reading metrics needs the grant read_metrics";
                return Err(ErrorAnswer::new(ErrorCode::Forbidden, message));
            }
        }
        Access::Role | Access::RoleAndModel | Access::RoleAndAnyModel => {
            if policy.role.is_none() {
                let message =
                    "access denied: no role granted; ask the administrator of this gateway for a grant";
                return Err(ErrorAnswer::new(ErrorCode::NoRole, message));
            }
        }
    }
    Ok(())
}

/// The caller of this request.
pub(super) async fn identify(
    conn: &mut Downstream,
    config: &Rc<Config>,
    head: &Head,
) -> Result<Caller, ErrorAnswer> {
    conn.watch.rests_on(Basis::address_only());
    let rules = Rules::of(&config.identity);
    let shapes = Shapes {
        token: rules.token,
        jwt: rules.oidc,
    };
    let bearer = credential::find(&head.parsed, &head.bytes, shapes).map_err(|error| {
        let code = match error {
            CredentialError::Ambiguous => ErrorCode::CredentialAmbiguous,
            CredentialError::TooLong => ErrorCode::CredentialRefused,
        };
        ErrorAnswer::new(code, error.to_string())
    })?;
    let bearer = bearer.and_then(Token::new);
    let served = served_by(conn, config, rules, head);
    let (served_hash, bearer_hash) = (served.hash(), bearer.as_ref().map(|token| token.hash));
    if let Some(last) = &conn.last
        && last.epoch == config.epoch
        && last.forgotten == conn.shard.forgotten()
        && (last.served, last.bearer) == (served_hash, bearer_hash)
        && !matches!(served, Served::Refused(_))
        && last.caller.valid_until > clock::mono_now()
    {
        conn.watch.rests_on(last.caller.basis);
        return Ok(last.caller.clone());
    }
    let facts = Facts {
        address: conn.address,
        port: conn.port,
        certificate: conn
            .certificate
            .as_ref()
            .map(|certified| (&certified.principal, certified.until)),
        served,
        bearer,
    };
    let (resolved, forgotten) = conn.shard.clone().identify(config, &facts).await;
    match resolved {
        Resolved::Known(caller) => {
            conn.watch.rests_on(caller.basis);
            conn.last = Some(LastCaller {
                caller: caller.clone(),
                epoch: config.epoch,
                forgotten,
                served: served_hash,
                bearer: bearer_hash,
            });
            Ok(caller)
        }
        other => Err(refusal(conn, other)),
    }
}

fn refusal(conn: &Downstream, resolved: Resolved) -> ErrorAnswer {
    match resolved {
        Resolved::Known(_) | Resolved::Unknown => ErrorAnswer::new(
            ErrorCode::IdentityUnknown,
            "access denied: this network address belongs to nobody that the gateway knows",
        ),
        Resolved::ConnectionRefused(why) => {
            ErrorAnswer::new(ErrorCode::IdentityUnknown, format!("access denied: {why}"))
        }
        Resolved::CredentialRefused(why) => {
            let message = if why.is_empty() {
                "the credential is refused".to_owned()
            } else {
                format!("the credential is refused: {why}")
            };
            ErrorAnswer::new(ErrorCode::CredentialRefused, message)
        }
        Resolved::Conflict { connection, bearer } => {
            conn.shard.metrics.borrow_mut().counts.identity_conflicts += 1;
            tracing::warn!(
                connection = %connection.login,
                connection_source = %connection.source,
                credential = %bearer.login,
                credential_source = %bearer.source,
                "connection and credential prove different principals: refused"
            );
            let message = "access denied: the connection and the credential belong to different principals";
            ErrorAnswer::new(ErrorCode::IdentityConflict, message)
        }
        Resolved::Unavailable { retry_after_s } => ErrorAnswer::new(
            ErrorCode::IdentityUnavailable,
            "the gateway cannot find out who is calling at the moment; try again shortly",
        )
        .retry_after(retry_after_s),
    }
}

/// Whether this connection comes from `tailscale serve` on this machine, as far as its listener and address say.
fn behind_serve(conn: &Downstream, config: &Config) -> bool {
    is_loopback(conn.address)
        && config
            .listeners
            .iter()
            .any(|listener| listener.serve_headers && *listener.address == *conn.listener)
}

fn served_by<'a>(conn: &Downstream, config: &Config, rules: Rules, head: &'a Head) -> Served<'a> {
    if !behind_serve(conn, config) {
        return Served::NotHere;
    }
    if !rules.served {
        return Served::Nobody;
    }
    match served::served(&head.parsed, &head.bytes) {
        Ok(served::Served::Nobody) => Served::Nobody,
        Ok(served::Served::User { login, capabilities }) => Served::user(login, capabilities),
        Err(served::ServedError::Funnel) => {
            Served::Refused("requests through Funnel come from nobody that is known")
        }
        Err(served::ServedError::Ambiguous) => Served::Refused("the identity headers are ambiguous"),
        Err(served::ServedError::Value) => Served::Refused("the identity headers cannot be read"),
    }
}

/// Counts the fields that claim an identity, which will be removed wherever the request goes. What `tailscale serve` is
/// meant to set is not counted where it is believed.
pub(super) fn count_claims(conn: &Downstream, config: &Config, head: &Head) {
    let claims = head
        .parsed
        .headers
        .pairs(&head.bytes)
        .filter(|(name, _)| is_identity_header(name));
    let count = claims.clone().count();
    if count == 0 {
        return;
    }
    let expected = if behind_serve(conn, config) {
        claims.filter(|(name, _)| set_by_serve(name)).count()
    } else {
        0
    };
    let mut metrics = conn.shard.metrics.borrow_mut();
    let counts = &mut metrics.counts;
    counts.identity_headers_stripped += count.saturating_sub(expected) as u64;
}

/// The fields of `tailscale serve`, in its own spelling.
fn set_by_serve(name: &[u8]) -> bool {
    const NAMES: [&str; 7] = [
        "tailscale-user-login",
        "tailscale-user-name",
        "tailscale-user-profile-pic",
        "tailscale-app-capabilities",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
    ];
    NAMES
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}
