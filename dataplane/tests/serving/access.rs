//! Every row of the path table for every kind of caller: the rule that the row declares, and what is answered.

use std::fmt::Write as _;

use sluice_proto::route::{Access, Sample, samples};
use sluice_shared::snapshot::{BearerMode, Capability, Grant, Role, Source, SourceKind};
use sluice_shared::wire::control::IdentityAnswer;

use crate::support::control::{Who, known, person};
use crate::support::setup::plain;
use crate::support::upstream::Upstream;
use crate::support::{Gateway, Setup};

const MODEL: &str = "wanted";
const TOKEN: &str = "slt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// Kinds of callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    UnknownPeer,
    WithoutRole,
    User,
    UserWithoutTheModel,
    Admin,
    MetricsOnly,
    IdentityDown,
    RefusedToken,
    Conflict,
}

const CALLERS: [Caller; 9] = [
    Caller::UnknownPeer,
    Caller::WithoutRole,
    Caller::User,
    Caller::UserWithoutTheModel,
    Caller::Admin,
    Caller::MetricsOnly,
    Caller::IdentityDown,
    Caller::RefusedToken,
    Caller::Conflict,
];

/// Status and code by the declared rule: the whole policy of the data plane once more, as small as it can be said.
fn expected(access: Access, caller: Caller) -> (u16, Option<&'static str>) {
    if access == Access::Public {
        return (200, None);
    }
    let user = matches!(caller, Caller::User | Caller::UserWithoutTheModel | Caller::Admin);
    match (caller, access) {
        (Caller::UnknownPeer, _) => (403, Some("identity_unknown")),
        (Caller::IdentityDown, _) => (503, Some("identity_unavailable")),
        (Caller::RefusedToken, _) => (401, Some("credential_refused")),
        (Caller::Conflict, _) => (403, Some("identity_conflict")),
        (_, Access::RelayWithPrincipal) | (Caller::Admin | Caller::MetricsOnly, Access::ReadMetrics) => {
            (200, None)
        }
        (_, Access::ReadMetrics) => (403, Some("forbidden")),
        _ if !user => (403, Some("no_role")),
        (Caller::UserWithoutTheModel, Access::RoleAndModel) => (403, Some("model_not_granted")),
        _ => (200, None),
    }
}

/// A list that names one model and one provider's, in the three formats: its rule is the role, so the one without the
/// model gets an answer, but not about this model.
fn listed(sample: &Sample, caller: Caller) -> Option<(u16, Option<&'static str>)> {
    let one = sample.route.endpoint == sluice_proto::route::Endpoint::ModelsOne;
    (one && caller == Caller::UserWithoutTheModel).then_some((404, Some("model_not_found")))
}

fn grant(login: &str, role: Option<Role>, model: Option<&str>, read_metrics: bool) -> Grant {
    Grant {
        sources: vec![Source::Login(login.into())],
        capabilities: vec![Capability {
            role,
            models: model.map(|model| vec![format!("main/{model}")]),
            grants_models: model.is_some() || role.is_some(),
            add_headers: Vec::new(),
            read_metrics,
            quotas: Vec::new(),
            ..Capability::default()
        }],
        ..Grant::default()
    }
}

fn request(sample: &Sample, token: bool) -> Vec<u8> {
    let path = &sample.path;
    let content = if path.contains("/images/edits") || path.contains("/audio/") {
        "multipart/form-data; boundary=b"
    } else {
        "application/json"
    };
    let mut body = String::new();
    if sample.method == "POST" {
        if content.starts_with("multipart") {
            body =
                format!("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n{MODEL}\r\n--b--\r\n");
        } else if sample.route.model.is_some() && !path.contains("/openai/deployments/") {
            body = "{}".to_owned();
        } else {
            body = format!(r#"{{"model":"{MODEL}","messages":[]}}"#);
        }
    }
    let mut out = format!(
        "{} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content}\r\n",
        sample.method
    );
    if token {
        let _ = write!(out, "Authorization: Bearer {TOKEN}\r\n");
    }
    let _ = write!(out, "Content-Length: {}\r\n\r\n{body}", body.len());
    out.into_bytes()
}

/// Red if a row answers a caller otherwise than its rule declares; or if the table has a row that is not tried.
#[test]
fn every_row_answers_every_caller_by_its_declared_rule() {
    let upstream = Upstream::scripted(|exchange| {
        if exchange.body().is_some() {
            exchange.json("{}");
        }
    });
    let mut setup = Setup::new(plain(upstream.address));
    setup.snapshot.providers[0].models = vec![MODEL.into(), "other".into()];
    setup.snapshot.identity.sources = vec![SourceKind::Static, SourceKind::Token];
    setup.snapshot.identity.bearer = BearerMode::Narrow;
    setup.snapshot.grants = vec![
        grant("user", Some(Role::User), Some(MODEL), false),
        grant("no-model", Some(Role::User), Some("other"), false),
        grant("admin", Some(Role::Admin), Some(MODEL), false),
        grant("metrics", None, None, true),
    ];
    let gateway = Gateway::start(setup);
    let samples = samples(MODEL);
    let mut table = String::new();
    let mut cells = 0;
    for caller in CALLERS {
        let (who, token) = match caller {
            Caller::UnknownPeer => (Who::Unknown, None),
            Caller::WithoutRole => (Who::somebody("nobody-special"), None),
            Caller::User => (Who::somebody("user"), None),
            Caller::UserWithoutTheModel => (Who::somebody("no-model"), None),
            Caller::Admin => (Who::somebody("admin"), None),
            Caller::MetricsOnly => (Who::somebody("metrics"), None),
            Caller::IdentityDown => (Who::Unavailable { retry_after_s: 3 }, None),
            Caller::RefusedToken => {
                let reason = "revoked".into();
                let refused = IdentityAnswer::Refused {
                    reason,
                    age_ms_max: 60_000,
                };
                (Who::somebody("admin"), Some(refused))
            }
            Caller::Conflict => (Who::somebody("admin"), Some(known(person("user")))),
        };
        gateway.control.set_who(who);
        let shows = token.is_some();
        gateway.control.set_proof(TOKEN, token);
        gateway.revoke_all();
        let mut statuses: Vec<(u16, usize)> = Vec::new();
        for sample in &samples {
            let access = sample.route.endpoint.access();
            let expected = listed(sample, caller).unwrap_or_else(|| expected(access, caller));
            let answer = gateway.call(request(sample, shows));
            assert_eq!(
                (answer.status, answer.field("x-sluice-error")),
                expected,
                "{caller:?}: {} {} ({access:?}): {}",
                sample.method,
                sample.path,
                answer.text()
            );
            cells += 1;
            match statuses.iter_mut().find(|(status, _)| *status == answer.status) {
                Some((_, count)) => *count += 1,
                None => statuses.push((answer.status, 1)),
            }
        }
        let _ = writeln!(table, "  {caller:?}: {statuses:?}");
    }
    assert_eq!(cells, samples.len() * CALLERS.len());
    println!(
        "route x caller: {} rows x {} callers = {cells} cells, all as declared\n{table}",
        samples.len(),
        CALLERS.len()
    );
}
