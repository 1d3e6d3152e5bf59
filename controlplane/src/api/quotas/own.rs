//! Which buckets a caller may see.
//!
//! To admins, all. To a user, a quota's buckets whose names hold the user's own login, node or session; and of the quotas
//! that the user's grants name, also those that are shared.

use sluice_shared::policy::Rules;
use sluice_shared::quota::name::{Template, Values};
use sluice_shared::snapshot::Snapshot;
use sluice_shared::wire::control::Bucket;

use super::super::Shown;
use super::super::principal::{Principal, Role};
use super::super::problem::Problem;
use super::LIMIT;
use crate::store::Among;

/// Longest beginning that names are looked for by: longer names may have been cut.
const PREFIX_BYTES_MAX: usize = 128;
/// Stands for what differs between requests. It cannot be part of a login.
const ANY: &str = "\0";

/// What a caller may see.
pub(super) enum View {
    All,
    Own(Vec<Own>),
}

/// Buckets of a quota.
#[derive(Debug, PartialEq)]
pub(super) struct Own {
    quota: String,
    template: Template,
    user: String,
    node: String,
    /// Empty: none.
    group: String,
}

impl View {
    pub(super) fn of(principal: &Principal, shown: &Shown) -> Result<Self, Problem> {
        if principal.role == Role::Admin {
            return Ok(Self::All);
        }
        let published = shown.publisher.current().ok_or_else(Problem::internal)?;
        Ok(Self::Own(own(principal, &published.snapshot)?))
    }

    /// For the store; it may find more than may be seen.
    pub(super) fn among(&self) -> Option<Vec<Among>> {
        match self {
            Self::All => None,
            Self::Own(list) => Some(list.iter().map(Own::among).collect()),
        }
    }

    /// How many entries are read for a page of `limit`, at a time: one more says that there is a next page.
    pub(super) fn reads(&self, limit: u32) -> u32 {
        match self {
            Self::All => limit.saturating_add(1),
            Self::Own(_) => LIMIT.1.saturating_add(1),
        }
    }

    pub(super) fn shows(&self, bucket: &Bucket) -> bool {
        match self {
            Self::All => true,
            Self::Own(list) => list
                .iter()
                .any(|own| own.quota == bucket.quota && own.template.fits(&bucket.name, &own.values())),
        }
    }
}

fn own(principal: &Principal, snapshot: &Snapshot) -> Result<Vec<Own>, Problem> {
    let rules = Rules::compile(snapshot).map_err(|error| {
        tracing::error!(%error, "the document in use cannot be explained");
        Problem::internal()
    })?;
    let (proven, address) = principal.proven();
    let explained = rules.explain(&proven, address, None, None);
    let named = |name: &String| {
        let mut capabilities = explained.grants.iter().flat_map(|grant| &grant.capabilities);
        capabilities.any(|capability| capability.quotas.contains(name))
    };
    let mut out = Vec::new();
    for quota in &snapshot.quotas {
        let Ok(template) = Template::parse(&quota.name) else {
            continue;
        };
        if !template.is_personal() && !named(&quota.name) {
            continue;
        }
        let groups = match (template.of_group(), proven.groups.is_empty()) {
            (true, false) => proven.groups.clone(),
            _ => vec![String::new()],
        };
        out.extend(groups.into_iter().map(|group| Own {
            quota: quota.name.clone(),
            template: template.clone(),
            user: proven.login.clone(),
            node: proven.node.clone(),
            group,
        }));
    }
    Ok(out)
}

impl Own {
    fn values(&self) -> Values<'_> {
        Values {
            user: &self.user,
            node: &self.node,
            group: &self.group,
            model: ANY,
            provider: ANY,
            session: Some(ANY),
        }
    }

    fn among(&self) -> Among {
        let quota = self.quota.clone();
        let mut name = String::new();
        self.template.fill(&self.values(), &mut name);
        if !self.template.of_request() {
            return Among::Name { quota, name };
        }
        let fixed = name.split(ANY).next().unwrap_or_default();
        let end = (0..=fixed.len().min(PREFIX_BYTES_MAX))
            .rev()
            .find(|at| fixed.is_char_boundary(*at));
        Among::Prefix {
            quota,
            prefix: fixed.get(..end.unwrap_or(0)).unwrap_or_default().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use sluice_shared::ids::Epoch;
    use sluice_shared::quota::Unit;

    use super::*;
    use crate::compile::compile;
    use crate::config;

    const DOCUMENT: &str = r#"{
      "providers": {"p": {"baseurl": "http://x", "models": ["m"]}},
      "grants": [
        {"src": ["alice"], "capabilities": [{"role": "user", "models": "**", "quotas": [{"bucket": "shared"}, {"bucket": "team:<group>"}, {"bucket": "m:<model>"}]}]},
        {"src": ["*"], "capabilities": [{"role": "user", "models": "p/n", "quotas": [{"bucket": "all"}]}]},
      ],
      "quotas": {
        "all": {"requests": 1}, "shared": {"requests": 1}, "secret": {"requests": 1}, "secret:<group>": {"requests": 1},
        "daily:<user>": {"requests": 1}, "<user>/<model>": {"requests": 1}, "<model>/<user>": {"requests": 1},
        "n:<node>": {"requests": 1}, "s:<session>": {"requests": 1}, "team:<group>": {"requests": 1}, "m:<model>": {"requests": 1},
      },
    }"#;

    fn list(login: &str, groups: &[&str]) -> View {
        let (document, _) = config::load(DOCUMENT, &HashMap::new(), None);
        let principal = Principal {
            login: login.into(),
            node: format!("node-of-{login}"),
            groups: groups.iter().map(|group| (*group).to_owned()).collect(),
            ..Principal::default()
        };
        View::Own(own(&principal, &compile(&document.unwrap(), Epoch(1))).unwrap())
    }

    #[test]
    fn users_see_what_is_theirs_and_what_their_grants_name() {
        let (alice, bob) = (list("alice", &["group:a", "group:b"]), list("bob", &["group:a"]));
        let check = |quota: &str, name: &str, of_alice: bool, of_bob: bool| {
            let bucket = Bucket {
                quota: quota.into(),
                name: name.into(),
                unit: Unit::Requests,
            };
            assert_eq!(
                (alice.shows(&bucket), bob.shows(&bucket)),
                (of_alice, of_bob),
                "{name}"
            );
        };
        check("all", "all", true, true);
        check("shared", "shared", true, false);
        check("secret", "secret", false, false);
        check("secret:<group>", "secret:group:a", false, false);
        check("daily:<user>", "daily:alice", true, false);
        check("daily:<user>", "daily:bob", false, true);
        check("daily:<user>", "daily:bobby", false, false);
        check("<user>/<model>", "alice/gpt/5", true, false);
        check("<user>/<model>", "alicex/gpt", false, false);
        check("<model>/<user>", "gpt/5/bob", false, true);
        check("n:<node>", "n:node-of-bob", false, true);
        check("s:<session>", "s:alice/1", true, false);
        check("s:<session>", "s:alice/(none)", true, false);
        check("s:<session>", "s:alicea/1", false, false);
        check("team:<group>", "team:group:a", true, false);
        check("team:<group>", "team:group:b", true, false);
        check("team:<group>", "team:group:c", false, false);
        check("m:<model>", "m:gpt", true, false);
        check("daily:<usr>", "daily:alice", false, false);
    }

    #[test]
    fn the_store_is_asked_for_stretches_that_hold_them() {
        let View::Own(of_alice) = list("alice", &[]) else {
            panic!("a user is no admin")
        };
        let mut found: Vec<(String, String)> = of_alice
            .iter()
            .map(|own| match own.among() {
                Among::Name { quota, name } => (quota, format!("={name}")),
                Among::Prefix { quota, prefix } => (quota, format!("{prefix}…")),
            })
            .collect();
        found.sort();
        let expected = [
            ("<model>/<user>", "…"),
            ("<user>/<model>", "alice/…"),
            ("all", "=all"),
            ("daily:<user>", "=daily:alice"),
            ("m:<model>", "m:…"),
            ("n:<node>", "=n:node-of-alice"),
            ("s:<session>", "s:alice/…"),
            ("shared", "=shared"),
            ("team:<group>", "=team:(none)"),
        ];
        let found: Vec<(&str, &str)> = found.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(found, expected);
        // A name that would be cut is looked for by what is left of it.
        let long = "é".repeat(200);
        let View::Own(list) = list(&long, &[]) else {
            panic!("a user is no admin")
        };
        let sessions = list.iter().find(|own| own.quota == "s:<session>").map(Own::among);
        let Some(Among::Prefix { prefix, .. }) = sessions else {
            panic!("sessions differ between requests")
        };
        assert_eq!(prefix, format!("s:{}", "é".repeat(63)));
    }
}
