//! Everybody who has sent requests. To a user, others do not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use serde_json::{Map, Value, json};
use sluice_shared::units::UnixMicros;

use super::Shown;
use super::parameters::{Parameters, show_time};
use super::principal::{LOCAL, Principal, Role};
use super::problem::Problem;
use super::segment;
use super::sorted::{Sort, Wanted};
use super::usage::totals;
use crate::store::people::{PersonDetail, PersonRow};
use crate::store::sessions::{SessionQuery, client};
use crate::store::{Filter, RequestQuery, Totals, UsageGroup};

/// Sorts of the list.
const SORTS: [Sort; 7] = [
    Sort::Cost,
    Sort::Requests,
    Sort::Tokens,
    Sort::Errors,
    Sort::First,
    Sort::Last,
    Sort::Login,
];
/// Latest requests, and latest sessions, whose clients and nodes are shown.
const LATEST: u32 = 200;

/// `GET /api/people`.
pub(super) async fn list(
    State(shown): State<Arc<Shown>>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    let parameters = Parameters::read(&uri, &Wanted::PARAMETERS)?;
    let wanted = Wanted::read(&parameters, &SORTS, Sort::Last)?;
    let only = principal.only(None);
    let people = wanted.all(shown.store.people(only.as_deref()).await?);
    let (page, next) = wanted.page(&people);
    let kinds = Kinds::of(&shown);
    let page: Vec<Value> = page.iter().map(|row| kinds.person(row).into()).collect();
    Ok(Json(
        json!({ "people": page, "total": people.len(), "next_cursor": next }),
    ))
}

/// `GET /api/people/{login}`.
pub(super) async fn show(
    State(shown): State<Arc<Shown>>,
    Path(login): Path<String>,
    principal: Principal,
    uri: Uri,
) -> Result<Json<Value>, Problem> {
    Parameters::read(&uri, &[])?;
    let login = segment::name("login", login)?;
    let nobody = || Problem::not_found("nobody of this login has sent a request");
    if !principal.may_ask_for(Some(&login)) {
        return Err(nobody());
    }
    let kinds = Kinds::of(&shown);
    let found = shown.store.person(&login).await?;
    let (mut out, models, providers) = match &found {
        Some(PersonDetail {
            person,
            models,
            providers,
        }) => {
            let mut out = kinds.person(person);
            out.insert("totals".into(), totals(&person.totals).into());
            (out, groups(models), groups(providers))
        }
        None if principal.role == Role::User || login == principal.login => {
            let mut out = kinds.fresh(&login);
            out.insert("totals".into(), totals(&Totals::default()).into());
            (out, json!([]), json!([]))
        }
        None => return Err(nobody()),
    };
    let sessions = SessionQuery {
        user: Some(login.clone()),
        limit: LATEST,
        ..SessionQuery::default()
    };
    let sessions = shown.store.sessions(&sessions).await?;
    let requests = RequestQuery {
        filter: Filter::of(Some(login.clone())),
        limit: LATEST,
        ..RequestQuery::default()
    };
    let requests = shown.store.requests(&requests).await?.records;
    let used = requests
        .iter()
        .map(|r| (r.user_agent.as_deref(), r.node.as_str(), r.time))
        .chain(
            sessions
                .iter()
                .map(|s| (s.user_agent.as_deref(), s.node.as_str(), s.last)),
        );
    let (mut clients, mut nodes) = (BTreeMap::new(), BTreeMap::new());
    for (agent, node, time) in used {
        later(&mut clients, agent, time);
        if !node.is_empty() {
            later(&mut nodes, node, time);
        }
    }
    let clients: Vec<Value> = latest(clients)
        .map(|(agent, last)| {
            json!({ "user_agent": agent, "client": client(agent).name(), "last": show_time(last) })
        })
        .collect();
    let nodes: Vec<Value> = latest(nodes)
        .map(|(node, last)| json!({ "node": node, "last": show_time(last) }))
        .collect();
    let last_session = sessions.first().map(|session| {
        json!({ "id": session.id.to_string(), "key": session.key, "last": show_time(session.last) })
    });
    for (name, value) in [
        ("models", models),
        ("providers", providers),
        ("clients", clients.into()),
        ("nodes", nodes.into()),
        ("tokens", kinds.in_force(&login).into()),
        ("last_session", last_session.into()),
    ] {
        out.insert(name.into(), value);
    }
    Ok(Json(out.into()))
}

/// Notes when something occurred last.
fn later<K: Ord>(seen: &mut BTreeMap<K, UnixMicros>, key: K, time: UnixMicros) {
    let last = seen.entry(key).or_insert(time);
    *last = time.max(*last);
}

/// What occurred last comes first.
fn latest<K>(seen: BTreeMap<K, UnixMicros>) -> impl Iterator<Item = (K, UnixMicros)> {
    let mut all: Vec<(K, UnixMicros)> = seen.into_iter().collect();
    all.sort_by_key(|(_, last)| std::cmp::Reverse(*last));
    all.into_iter()
}

fn groups(groups: &[UsageGroup]) -> Value {
    groups
        .iter()
        .map(|group| {
            let mut out = Map::new();
            out.insert("key".into(), group.key.clone().into());
            out.extend(totals(&group.totals));
            Value::Object(out)
        })
        .collect()
}

/// What is known of logins beside their requests.
struct Kinds {
    /// Logins that tokens carry or have carried.
    carried: BTreeSet<String>,
    /// Tokens in force, by login.
    in_force: BTreeMap<String, u64>,
}

impl Kinds {
    fn of(shown: &Shown) -> Self {
        let now = shown.ledger.now();
        let (mut carried, mut in_force) = (BTreeSet::new(), BTreeMap::new());
        for token in shown.tokens.list() {
            let login = if token.tags.is_empty() {
                token.login.clone()
            } else {
                token.tags.join(",")
            };
            if token.revoked_at.is_none() && token.expires_at > now {
                *in_force.entry(login.clone()).or_default() += 1;
            }
            carried.insert(login);
        }
        Self { carried, in_force }
    }

    fn in_force(&self, login: &str) -> u64 {
        self.in_force.get(login).copied().unwrap_or(0)
    }

    /// What a login is, by its looks and by the tokens there are.
    fn kind(&self, login: &str) -> &'static str {
        if login == LOCAL || login == "(loopback)" {
            "local"
        } else if login.starts_with("tag:") {
            "device"
        } else if !login.contains('@') && self.carried.contains(login) {
            "token"
        } else {
            "person"
        }
    }

    fn person(&self, row: &PersonRow) -> Map<String, Value> {
        let mut out = self.fresh(&row.login);
        out.insert("first".into(), show_time(row.first).into());
        out.insert("last".into(), show_time(row.last).into());
        let sums = &row.totals;
        for (name, value) in [
            ("requests", sums.requests),
            ("errors", sums.errors),
            ("input", sums.input),
            ("output", sums.output),
            ("cost_nanousd", sums.cost_nanousd),
            ("unpriced", sums.unpriced),
            ("unknown", sums.unknown),
        ] {
            out.insert(name.into(), value.into());
        }
        out
    }

    /// Somebody who has not sent a request.
    fn fresh(&self, login: &str) -> Map<String, Value> {
        let fresh = json!({
            "login": login,
            "kind": self.kind(login),
            "first": null,
            "last": null,
            "requests": 0,
            "errors": 0,
            "input": 0,
            "output": 0,
            "cost_nanousd": 0,
            "unpriced": 0,
            "unknown": 0,
        });
        match fresh {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }
}
