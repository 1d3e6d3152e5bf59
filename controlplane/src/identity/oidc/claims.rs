//! What the claims of a verified token say: for whom, until when, who (RFC 7519 §4.1, OpenID Connect Core §2 and §5.1).

use std::time::Duration;

use serde_json::{Map, Value};
use sluice_shared::wire::control::Principal;

use crate::config::domain;
use crate::identity::proof::name;

/// Clocks may differ this much, in seconds.
const LEEWAY_S: f64 = 60.0;

/// Checks claims at a moment, in Unix seconds: the principal, and how long it may be used.
///
/// # Errors
/// What is wrong, in words for the caller.
pub(super) fn check(
    claims: &Map<String, Value>,
    issuer: &domain::Issuer,
    now: f64,
) -> Result<(Principal, Duration), &'static str> {
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.issuer) {
        return Err("token of another issuer");
    }
    if !audience(claims.get("aud"), &issuer.audiences) {
        return Err("token is for another audience");
    }
    let expires = time(claims, "exp")?.ok_or("token has no end")?;
    if expires + LEEWAY_S <= now {
        return Err("token has expired");
    }
    if time(claims, "nbf")?.is_some_and(|begin| begin - LEEWAY_S > now) {
        return Err("token is not valid yet");
    }
    if time(claims, "iat")?.is_some_and(|issued| issued - LEEWAY_S > now) {
        return Err("token was issued in the future");
    }
    // Within the leeway after its end a token counts a second at a time.
    let remaining = Duration::from_secs_f64((expires - now).clamp(1.0, 86_400.0));
    Ok((principal(claims, issuer)?, remaining))
}

/// A time in Unix seconds, maybe with a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, &'static str> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => value
            .as_f64()
            // Up to the year 9999; beyond that a clock is wrong or somebody plays.
            .filter(|seconds| (0.0..=253_402_300_799.0).contains(seconds))
            .map(Some)
            .ok_or("malformed time in the token"),
    }
}

fn audience(claim: Option<&Value>, ours: &[String]) -> bool {
    let is_ours = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| ours.iter().any(|our| our == text))
    };
    match claim {
        Some(Value::Array(list)) => list.iter().all(Value::is_string) && list.iter().any(is_ours),
        Some(value) => is_ours(value),
        None => false,
    }
}

fn principal(claims: &Map<String, Value>, issuer: &domain::Issuer) -> Result<Principal, &'static str> {
    let tags = match claims
        .get(&issuer.tags_claim)
        .filter(|_| !issuer.tags_claim.is_empty())
    {
        None | Some(Value::Null) => Vec::new(),
        Some(value) => tags(value)?,
    };
    let login = if tags.is_empty() {
        login(claims, issuer)?
    } else {
        tags.join(",")
    };
    let mut groups: Vec<String> = claims
        .get(&issuer.groups_claim)
        .filter(|_| !issuer.groups_claim.is_empty())
        .map(texts)
        .unwrap_or_default()
        .into_iter()
        .map(|group| format!("group:{group}"))
        // Groups only ever add: one that cannot be written is one less.
        .filter(|group| name::prefixed(group, "group:"))
        .collect();
    groups.sort();
    groups.dedup();
    let subject = claims
        .get("sub")
        .and_then(Value::as_str)
        .filter(|sub| !sub.is_empty() && name::printable(sub) && sub.len() <= name::NAME_BYTES_MAX)
        .unwrap_or(&login);
    Ok(Principal {
        source: "oidc".into(),
        // `iss` and `sub` together name a subject for ever (OpenID Connect Core §5.7).
        node: format!("{}#{subject}", issuer.issuer),
        login,
        tags,
        groups,
        ..Principal::default()
    })
}

fn login(claims: &Map<String, Value>, issuer: &domain::Issuer) -> Result<String, &'static str> {
    let claim = match issuer.login_claim.as_str() {
        "" => "sub",
        claim => claim,
    };
    let text = claims
        .get(claim)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty() && name::printable(text))
        .ok_or("token names nobody")?;
    if claim == "email" {
        // Whoever may choose an address freely at the issuer would choose somebody else's. Some issuers write texts.
        match claims.get("email_verified") {
            None | Some(Value::Bool(true)) => {}
            Some(Value::String(text)) if text == "true" => {}
            Some(_) => return Err("e-mail address is not verified"),
        }
    }
    let login = format!("{}{text}", issuer.login_prefix);
    name::login(&login).map_err(|_| "token names nobody that could be a login")?;
    Ok(login)
}

/// A malformed list must not make a person of a machine.
fn tags(value: &Value) -> Result<Vec<String>, &'static str> {
    let all = match value {
        Value::Array(list) if list.iter().all(Value::is_string) => texts(value),
        Value::String(_) => texts(value),
        _ => return Err("malformed tags in the token"),
    };
    let mut tags: Vec<String> = all
        .into_iter()
        .map(|tag| match tag.strip_prefix("tag:") {
            Some(_) => tag,
            None => format!("tag:{tag}"),
        })
        .collect();
    if !tags.iter().all(|tag| name::prefixed(tag, "tag:")) {
        return Err("malformed tags in the token");
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
}

/// The texts of a list, or a single one.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn issuer() -> domain::Issuer {
        domain::Issuer {
            issuer: "i".into(),
            audiences: vec!["a".into()],
            ..domain::Issuer::default()
        }
    }

    fn ask(
        changes: &Value,
        issuer: &domain::Issuer,
        now: f64,
    ) -> Result<(Principal, Duration), &'static str> {
        let mut claims = json!({"iss": "i", "aud": "a", "sub": "alice", "exp": 1_000});
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        check(claims.as_object().unwrap(), issuer, now)
    }

    #[test]
    fn times_have_a_minute_of_leeway() {
        let check = |changes: Value, now: f64, expected: Result<u64, &str>| {
            let found = ask(&changes, &issuer(), now).map(|(_, remaining)| remaining.as_secs());
            assert_eq!(found, expected, "{changes} at {now}");
        };
        check(json!({}), 900.0, Ok(100));
        check(json!({}), 1_000.0, Ok(1));
        check(json!({}), 1_059.9, Ok(1));
        check(json!({}), 1_060.0, Err("token has expired"));
        check(json!({"nbf": 960}), 900.0, Ok(100));
        check(json!({"nbf": 960.1}), 900.0, Err("token is not valid yet"));
        check(json!({"iat": 960}), 900.0, Ok(100));
        check(json!({"iat": 961}), 900.0, Err("token was issued in the future"));
        check(json!({"exp": 1e12}), 900.0, Err("malformed time in the token"));
        check(json!({"exp": 253_402_300_799_u64}), 900.0, Ok(86_400));
    }

    #[test]
    fn logins_come_from_the_claim_that_the_document_names() {
        let check = |claim: &str, prefix: &str, changes: Value, expected: Result<&str, &str>| {
            let issuer = domain::Issuer {
                login_claim: claim.into(),
                login_prefix: prefix.into(),
                ..issuer()
            };
            let found = ask(&changes, &issuer, 900.0).map(|(principal, _)| principal);
            let login = found.as_ref().map(|principal| principal.login.as_str());
            assert_eq!(login.map_err(|error| *error), expected, "{claim} {changes}");
            if let Ok(principal) = found {
                assert_eq!(principal.node, "i#alice");
                assert_eq!(principal.source, "oidc");
                assert_eq!(principal.scope, None);
            }
        };
        let mail = |verified: Value| json!({"email": "a@x.example", "email_verified": verified});
        check("", "", json!({}), Ok("alice"));
        check("sub", "corp:", json!({}), Ok("corp:alice"));
        check("email", "", json!({"email": "a@x.example"}), Ok("a@x.example"));
        check("email", "", mail(json!(true)), Ok("a@x.example"));
        check("email", "", mail(json!("true")), Ok("a@x.example"));
        let unverified = Err("e-mail address is not verified");
        for verified in [json!(false), json!("false"), json!(null), json!(1), json!("yes")] {
            check("email", "", mail(verified), unverified);
        }
        check("email", "", json!({}), Err("token names nobody"));
        check("upn", "", json!({"upn": "u", "email_verified": false}), Ok("u"));
        // A prefix makes no tag of a name.
        check(
            "sub",
            "tag:",
            json!({}),
            Err("token names nobody that could be a login"),
        );
        check("sub", "x:", json!({"sub": ""}), Err("token names nobody"));
    }

    #[test]
    fn groups_and_tags() {
        let named = domain::Issuer {
            groups_claim: "groups".into(),
            tags_claim: "tags".into(),
            login_prefix: "p:".into(),
            ..issuer()
        };
        let principal = |changes: Value| ask(&changes, &named, 900.0).unwrap().0;
        let groups = |value: Value| principal(json!({"groups": value})).groups;
        assert_eq!(groups(json!(["b", "a", "b"])), ["group:a", "group:b"]);
        assert_eq!(groups(json!("one")), ["group:one"]);
        assert_eq!(groups(json!(["a,b", "", 7, "ok", "x\n"])), ["group:ok"]);
        assert_eq!(groups(json!({"a": 1})), Vec::<String>::new());
        let tagged = principal(json!({"tags": ["ci", "tag:build"], "groups": ["g"]}));
        assert_eq!(tagged.login, "tag:build,tag:ci");
        assert_eq!(tagged.tags, ["tag:build", "tag:ci"]);
        assert_eq!(tagged.groups, ["group:g"]);
        // Claims that the document does not name are nothing.
        let (plain, _) = ask(
            &json!({"groups": ["g"], "tags": ["t"], "": ["x"]}),
            &issuer(),
            900.0,
        )
        .unwrap();
        assert_eq!((plain.groups.len(), plain.tags.len()), (0, 0));
    }
}
