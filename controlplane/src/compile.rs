//! From the checked document to the snapshot that the data plane reads. Pure: no clock, no file, no network.

use sluice_shared::ids::Epoch;
use sluice_shared::snapshot::{Alias, Captures, Identity, Provider, Snapshot};

use crate::config::domain::{self, Document, Keep};

/// Compiles a document. Providers come highest preference first, equal ones by id; disabled ones are left out.
pub(crate) fn compile(document: &Document, epoch: Epoch) -> Snapshot {
    let mut providers: Vec<Provider> = document
        .providers
        .iter()
        .filter(|p| !p.disabled)
        .map(provider)
        .collect();
    providers.sort_by(|a, b| b.preference.cmp(&a.preference).then_with(|| a.id.cmp(&b.id)));
    let mut aliases: Vec<Alias> = document.aliases.clone();
    aliases.sort_by(|a, b| a.from.cmp(&b.from));
    let mut hooks = document.hooks.clone();
    hooks.sort_by(|a, b| b.preference.cmp(&a.preference).then_with(|| a.name.cmp(&b.name)));
    Snapshot {
        epoch,
        providers,
        aliases,
        grants: document.grants.clone(),
        identity: Identity {
            age_ms_max: document.identity.age_ms_max,
            sources: document.identity.sources.clone(),
            bearer: document.identity.bearer,
            certificates: document.identity.certificates.clone(),
        },
        listeners: document.listeners.clone(),
        limits: document.limits.clone(),
        quotas: document.quotas.clone(),
        prices: document.prices.clone(),
        hooks,
        guardrails: document.guardrails.clone(),
        captures: Captures {
            enabled: document.captures.enabled && document.retention.keep != Keep::Nothing,
            ..document.captures.clone()
        },
    }
}

fn provider(p: &domain::Provider) -> Provider {
    Provider {
        id: p.id.clone(),
        name: p.name.clone(),
        description: p.description.clone(),
        base: p.base.clone(),
        models: p.models.clone(),
        flags: p.flags.iter().fold(0, |flags, flag| {
            flags | 1u16.checked_shl(u32::from(*flag)).unwrap_or(0)
        }),
        authorization: p.authorization,
        auth_mode: p.auth_mode,
        key: p.key.clone(),
        add_headers: p.add_headers.clone(),
        preference: p.preference,
        weight: p.weight,
        timeouts: p.timeouts,
        connections_max: p.connections_max,
        ca_pem: p.ca_pem.clone(),
        cost_basis: p.cost_basis.clone(),
        cost_map: p.cost_map.clone(),
        capture_share: p.capture_share,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sluice_shared::api::Flag;
    use sluice_shared::snapshot::Quota;

    use super::*;

    #[test]
    fn providers_and_aliases_stand_in_their_order() {
        let p = |id: &str, preference: i32, disabled: bool| domain::Provider {
            id: id.into(),
            preference,
            disabled,
            flags: BTreeSet::from([Flag::Ollama as u8, Flag::OpenAiChat as u8]),
            ..domain::Provider::default()
        };
        let alias = |from: &str| Alias {
            from: from.into(),
            to: "x".into(),
        };
        let document = Document {
            providers: vec![
                p("b", 0, false),
                p("off", 9, true),
                p("z", 5, false),
                p("a", 0, false),
                p("low", -1, false),
            ],
            aliases: vec![alias("b"), alias("a")],
            quotas: vec![Quota {
                name: "daily:<user>".into(),
                deny_status: 403,
                ..Quota::default()
            }],
            ..Document::default()
        };
        let snapshot = compile(&document, Epoch(3));
        let ids: Vec<&str> = snapshot.providers.iter().map(|p| p.id.as_str()).collect();
        assert_eq!(ids, ["z", "a", "b", "low"]);
        let from: Vec<&str> = snapshot.aliases.iter().map(|a| a.from.as_str()).collect();
        assert_eq!(from, ["a", "b"]);
        assert_eq!(snapshot.epoch, Epoch(3));
        assert_eq!(
            snapshot.quotas, document.quotas,
            "one that cannot be read stays, without limits"
        );
        for flag in Flag::ALL {
            let expected = matches!(flag, Flag::Ollama | Flag::OpenAiChat);
            assert_eq!(snapshot.providers[0].serves(*flag), expected, "{flag:?}");
        }
    }
}
