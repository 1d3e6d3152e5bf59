//! What is left of a principal within the scope of a credential.

use std::sync::Arc;

use sluice_shared::snapshot::Role;
use sluice_shared::wire::control::{Principal, Scope};

/// The connection's principal within the scope of the credential as well as its own: takes away, never adds.
pub(crate) fn narrowed(connection: &Arc<Principal>, bearer: &Arc<Principal>) -> Arc<Principal> {
    let Some(scope) = &bearer.scope else {
        return connection.clone();
    };
    let scope = match &connection.scope {
        None => scope.clone(),
        Some(own) => both(own, scope),
    };
    let mut principal = Principal::clone(connection);
    principal.scope = Some(scope);
    Arc::new(principal)
}

/// Two scopes as one that is no wider than either. Globs have no common part that could be written down, so two
/// different lists leave nothing.
fn both(one: &Scope, other: &Scope) -> Scope {
    let models = match (&one.models, &other.models) {
        (None, models) | (models, None) => models.clone(),
        (Some(one), Some(other)) if one == other => Some(one.clone()),
        (Some(_), Some(_)) => Some(Vec::new()),
    };
    let role: Option<Role> = match (one.role, other.role) {
        (None, role) | (role, None) => role,
        (Some(one), Some(other)) => Some(one.min(other)),
    };
    Scope { models, role }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(models: Option<&[&str]>, role: Option<Role>) -> Option<Scope> {
        let models = models.map(|models| models.iter().map(|model| (*model).to_owned()).collect());
        Some(Scope { models, role })
    }

    /// Red if a credential adds anything, or takes away less than it says.
    #[test]
    fn a_scope_only_takes_away() {
        let check = |connection: Option<Scope>, bearer: Option<Scope>, expected: Option<Scope>| {
            let of = |scope: &Option<Scope>, groups: &[&str]| {
                Arc::new(Principal {
                    login: "alice".into(),
                    groups: groups.iter().map(|group| (*group).to_owned()).collect(),
                    scope: scope.clone(),
                    ..Principal::default()
                })
            };
            let (ours, theirs) = (of(&connection, &["group:a"]), of(&bearer, &["group:root"]));
            let narrowed = narrowed(&ours, &theirs);
            assert_eq!(narrowed.groups, ["group:a"]);
            assert_eq!(narrowed.scope, expected, "{connection:?} {bearer:?}");
        };
        let user = Some(Role::User);
        let admin = Some(Role::Admin);
        check(None, None, None);
        check(None, scope(None, user), scope(None, user));
        check(None, scope(Some(&["a/*"]), None), scope(Some(&["a/*"]), None));
        check(scope(None, user), None, scope(None, user));
        check(scope(None, user), scope(None, admin), scope(None, user));
        check(
            scope(None, admin),
            scope(Some(&["a"]), user),
            scope(Some(&["a"]), user),
        );
        check(
            scope(Some(&["a"]), None),
            scope(None, None),
            scope(Some(&["a"]), None),
        );
        check(
            scope(Some(&["a"]), None),
            scope(Some(&["a"]), None),
            scope(Some(&["a"]), None),
        );
        check(
            scope(Some(&["a"]), None),
            scope(Some(&["b"]), admin),
            scope(Some(&[]), admin),
        );
    }
}
