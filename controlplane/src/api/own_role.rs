//! Whether a new document would shut out the admin who saves it.

use sluice_shared::policy::applies;
use sluice_shared::snapshot::{Grant, Role, SourceKind};

use super::principal::{LOCAL, Principal};
use crate::config::Message;
use crate::config::domain::Document;

/// A message if the saver is admin by the present document and would not be by the new one. Who is admin by something
/// else (the tailnet's policy, the socket of this machine) cannot lose that by a document.
pub(super) fn lost(saver: &Principal, present: &Document, new: &Document) -> Option<Message> {
    if saver.login == LOCAL {
        return None;
    }
    let known = |document: &Document| match SourceKind::ALL.iter().find(|k| k.name() == saver.source) {
        Some(kind) => document.identity.sources.contains(kind),
        None => true,
    };
    let text = if known(present) && !known(new) {
        format!(
            "you are known by the identity source {:?}, which is not among the sources any more: you would lose the role admin",
            saver.source
        )
    } else if is_admin(saver, &present.grants) && !is_admin(saver, &new.grants) {
        format!(
            "no grant would give {:?} the role admin any more: you would shut yourself out",
            saver.login
        )
    } else {
        return None;
    };
    Some(Message {
        path: "grants".into(),
        line: 1,
        column: 1,
        text,
    })
}

fn is_admin(saver: &Principal, grants: &[Grant]) -> bool {
    let (principal, address) = saver.proven();
    grants.iter().any(|grant| {
        grant.capabilities.iter().any(|c| c.role == Some(Role::Admin))
            && grant
                .sources
                .iter()
                .any(|source| applies(source, &principal, address))
    })
}
