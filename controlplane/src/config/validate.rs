//! The document as a whole: from text to checked values and messages.
//!
//! Errors make a document unusable: it does not parse, it is empty, a secret in it cannot be resolved. Everything else
//! is a warning: the part concerned is left out or has its default, and the rest applies.

use sluice_shared::snapshot::{Alias, Role, SourceKind};

use super::domain::Document;
use super::grants::{self, Around, Names};
use super::hujson::{self, Value};
use super::message::Messages;
use super::reader::Field;
use super::secret::Sources;
use super::{
    captures, exporters, guardrails, hooks, identity, keys, later, limits, listeners, prices, providers,
    quotas,
};

/// Reads a document. `None` if it holds nothing to read; otherwise what can be used of it, beside the messages.
pub(crate) fn read(text: &str, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Option<Document> {
    let root = match hujson::parse(text) {
        Ok(Some(root)) => root,
        Ok(None) => {
            messages.error(0, "", "the document is empty");
            return None;
        }
        Err(error) => {
            messages.error(
                error.at,
                "",
                format!("the document does not parse: {}", error.text),
            );
            return None;
        }
    };
    let root = Field::root(&root);
    match &root.node.value {
        Value::Object(members) if members.is_empty() => {
            messages.error(root.node.at, "", "the document is empty");
            return None;
        }
        Value::Object(_) => {}
        other => {
            messages.error(
                root.node.at,
                "",
                format!("the document must be an object, found {}", other.kind()),
            );
            return None;
        }
    }
    let fields = root.open(&keys::DOCUMENT, messages)?;

    let infer_cost_basis = fields
        .field("auto_cost_basis")
        .and_then(|f| f.boolean(messages))
        .unwrap_or(true);
    let mut document = Document::default();
    let provider_field = fields.field("providers");
    match &provider_field {
        Some(field) => document.providers = providers::read(field, secrets, infer_cost_basis, messages),
        None => messages.warn(root.node.at, "", "no providers: no model can be served"),
    }

    let (quotas, hooks, mcp) = (fields.field("quotas"), fields.field("hooks"), fields.field("mcp"));
    let guardrails = fields.field("guardrails");
    let names = Names {
        // A provider that is left out for another reason is still a name that the operator knows.
        providers: provider_field.as_ref().map(names_of).unwrap_or_default(),
        quotas: quotas.as_ref().map(names_of).unwrap_or_default(),
        hooks: hooks.as_ref().map(names_of).unwrap_or_default(),
        guardrails: guardrails.as_ref().map(names_of).unwrap_or_default(),
        mcp_servers: later::mcp_servers(mcp.as_ref()),
    };
    if let Some(field) = fields.field("$schema") {
        field.text(messages);
    }
    let around = Around {
        names: &names,
        secrets,
    };
    let grants = fields.field("grants");
    if let Some(field) = &grants {
        document.grants = grants::read(field, around, messages);
    }
    if let Some(field) = fields.field("temp_grants") {
        messages.warn(
            field.key_at,
            &field.path,
            "temp_grants is deprecated; move its entries to grants, which mean the same",
        );
        document.grants.extend(grants::read(&field, around, messages));
    }
    let (at, path) = grants
        .as_ref()
        .map_or((root.node.at, ""), |f| (f.key_at, "grants"));
    let admin = document.grants.iter().any(|grant| {
        !grant.sources.is_empty() && grant.capabilities.iter().any(|c| c.role == Some(Role::Admin))
    });
    if document.grants.is_empty() {
        let text = if document.providers.is_empty() {
            "no grants"
        } else {
            "providers but no grants"
        };
        messages.warn(at, path, format!("{text}: nobody may call a model"));
    }
    if !admin {
        messages.warn(at, path, "no grant gives the role admin");
    }

    if let Some(field) = fields.field("model_aliases") {
        document.aliases = aliases(&field, messages);
    }
    let read = match fields.field("listeners") {
        Some(field) => listeners::read(&field, secrets, messages),
        None => Vec::new(),
    };
    document.identity = identity::read(fields.field("identity").as_ref(), &read, secrets, messages);
    document.listeners = if read.is_empty() {
        listeners::default()
    } else {
        read.into_iter().map(|read| read.listener).collect()
    };
    if let Some(field) = fields.field("limits") {
        (document.limits, document.api_rates) = limits::read(&field, messages);
    }

    if let Some(field) = quotas {
        let named: Vec<&str> = document
            .grants
            .iter()
            .flat_map(|grant| &grant.capabilities)
            .flat_map(|capability| &capability.quotas)
            .map(String::as_str)
            .collect();
        let sources = &document.identity.sources;
        let policy = [SourceKind::Tailscale, SourceKind::ServeHeaders];
        let naming = quotas::Naming {
            named: &named,
            policy: policy.iter().any(|source| sources.contains(source)),
        };
        document.quotas = quotas::read(&field, naming, messages);
    }
    if let Some(field) = hooks {
        document.hooks = hooks::read(&field, secrets, messages);
    }
    if let Some(field) = guardrails {
        document.guardrails = guardrails::read(&field, messages);
    }
    if let Some(field) = fields.field("captures") {
        (document.captures, document.capture_store, document.no_full_text) =
            captures::read(&field, secrets, messages);
    }
    if let Some(field) = fields.field("database") {
        document.retention = captures::database(&field, messages);
    }
    if let Some(field) = fields.field("exporters") {
        document.exporters = exporters::read(&field, secrets, messages);
    }
    if let Some(field) = mcp {
        later::mcp(&field, messages);
    }
    if let Some(field) = fields.field("prices") {
        document.prices = prices::read(&field, messages);
    }
    Some(document)
}

fn names_of<'a>(field: &Field<'a>) -> Vec<&'a str> {
    match &field.node.value {
        Value::Object(members) => members.iter().map(|member| member.key.as_str()).collect(),
        _ => Vec::new(),
    }
}

fn aliases(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<Alias> {
    let Some(fields) = field.open_names(messages) else {
        return Vec::new();
    };
    let mut out = Vec::new();
    for (from, field) in fields.all() {
        let Some(to) = field.text(messages) else { continue };
        if !providers::model_name(from) || !providers::model_name(to) {
            field.warn(
                messages,
                "alias and target must be model names; the alias is left out",
            );
        } else if from == to {
            field.warn(messages, "alias stands for itself; it is left out");
        } else {
            out.push(Alias {
                from: from.to_owned(),
                to: to.to_owned(),
            });
        }
    }
    out
}
