//! `exporters`: where records are sent.

use std::collections::BTreeSet;

use sluice_shared::snapshot::Secret;

use super::domain::{Endpoint, Exported, Exporter, S3, S3Format, Sink};
use super::hooks::{plain_name, words};
use super::keys;
use super::message::Messages;
use super::reader::{Field, Fields};
use super::secret::Sources;
use super::{base_url, endpoint, limits};

const LEFT_OUT: &str = "; the exporter is left out";
/// Seconds between exports to object storage, and to everything else.
const EVERY_S: (u64, u64) = (3_600, 10);
/// Records of one object or message.
const LIMIT: u64 = 1_000;
/// How long one message may take, in milliseconds.
const TIMEOUT_MS: u64 = 30_000;

/// Reads `exporters`; those that cannot be used are reported and left out.
pub(super) fn read(field: &Field<'_>, secrets: Sources<'_>, messages: &mut Messages<'_>) -> Vec<Exporter> {
    let Some(fields) = field.open_names(messages) else {
        return Vec::new();
    };
    fields
        .all()
        .filter_map(|(name, field)| exporter(name, &field, secrets, messages))
        .collect()
}

fn exporter(
    name: &str,
    field: &Field<'_>,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<Exporter> {
    if !plain_name(name) {
        messages.warn(field.key_at, &field.path, format!("is no usable name{LEFT_OUT}"));
        return None;
    }
    let fields = field.open(&keys::EXPORTER, messages)?;
    let disabled = fields
        .field("disabled")
        .and_then(|f| f.boolean(messages))
        .unwrap_or(false);
    let kind = match fields.field("type") {
        Some(kind) => kind.word(LEFT_OUT, messages)?,
        None if name == "s3" || fields.field("bucket_name").is_some() => "s3",
        None => {
            messages.warn(
                field.key_at,
                &field.path,
                format!("exporter without type: s3, webhook, hec or otlp{LEFT_OUT}"),
            );
            return None;
        }
    };
    let sink = match kind {
        "s3" => {
            let format = match fields.field("format") {
                None => S3Format::Jsonl,
                Some(format) => match format.word(LEFT_OUT, messages)? {
                    "cbor" => S3Format::Cbor,
                    "parquet" => S3Format::Parquet,
                    _ => S3Format::Jsonl,
                },
            };
            let target = bucket(field, &fields, LEFT_OUT, disabled, secrets, messages)?;
            Sink::S3 { target, format }
        }
        "webhook" => Sink::Webhook(receiver(field, &fields, disabled, secrets, messages)?),
        "hec" => {
            let text = |key: &str, default: &str, messages: &mut Messages<'_>| {
                let text = fields.field(key).and_then(|f| f.text(messages));
                text.unwrap_or(default).to_owned()
            };
            Sink::Hec {
                endpoint: receiver(field, &fields, disabled, secrets, messages)?,
                index: text("index", "", messages),
                source: text("source", "sluice", messages),
                sourcetype: text("sourcetype", "_json", messages),
            }
        }
        _ => {
            let signals = words(&fields, "signals", &keys::SIGNALS, messages);
            let all = fields.field("signals").is_none();
            let sends = |signal: &str| all || signals.contains(&signal);
            Sink::Otlp {
                endpoint: receiver(field, &fields, disabled, secrets, messages)?,
                logs: sends("logs"),
                traces: sends("traces"),
                metrics: sends("metrics"),
            }
        }
    };
    let objects = matches!(sink, Sink::S3 { .. });
    let number = |key: &str, default: u64, messages: &mut Messages<'_>| {
        let number = fields.field(key).and_then(|f| f.integer(messages));
        number.and_then(|v| u64::try_from(v).ok()).unwrap_or(default)
    };
    Some(Exporter {
        name: name.to_owned(),
        every_s: number("every", if objects { EVERY_S.0 } else { EVERY_S.1 }, messages),
        limit: number("limit", LIMIT, messages),
        what: what(&fields, &sink, messages),
        sink,
        disabled,
    })
}

/// What is sent. Rows of a table have no bodies, and what OpenTelemetry has no words for is not sent to it.
fn what(fields: &Fields<'_>, sink: &Sink, messages: &mut Messages<'_>) -> BTreeSet<Exported> {
    let bodies = match sink {
        Sink::S3 { format, .. } => *format != S3Format::Parquet,
        Sink::Webhook(_) | Sink::Hec { .. } => true,
        Sink::Otlp { .. } => false,
    };
    let Some(field) = fields.field("what") else {
        return BTreeSet::from([match sink {
            Sink::S3 { .. } if bodies => Exported::Captures,
            _ => Exported::Requests,
        }]);
    };
    let mut out = BTreeSet::new();
    for word in words(fields, "what", &keys::WHAT, messages) {
        let exported = match word {
            "captures" => Exported::Captures,
            "audit" => Exported::Audit,
            "quota_events" => Exported::QuotaEvents,
            _ => Exported::Requests,
        };
        let only_usage = matches!(
            sink,
            Sink::S3 {
                format: S3Format::Parquet,
                ..
            }
        );
        if (exported == Exported::Captures && !bodies) || (only_usage && exported != Exported::Requests) {
            field.warn(
                messages,
                format!("this exporter cannot send {word}; it is left out"),
            );
        } else {
            out.insert(exported);
        }
    }
    if out.is_empty() {
        field.warn(messages, "names nothing: nothing is sent");
    }
    out
}

/// A bucket; `None` if it cannot be used, which is reported.
pub(super) fn bucket(
    field: &Field<'_>,
    parts: &Fields<'_>,
    left_out: &str,
    disabled: bool,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<S3> {
    let text = |key: &str, messages: &mut Messages<'_>| {
        let text = parts.field(key).and_then(|f| f.text(messages));
        text.unwrap_or_default().to_owned()
    };
    let mut out = S3 {
        endpoint: text("endpoint", messages),
        bucket: text("bucket_name", messages),
        region: text("region", messages),
        prefix: text("prefix", messages),
        access_key_id: text("access_key_id", messages),
        access_secret: Secret::default(),
    };
    let mut usable = true;
    if out.bucket.is_empty() {
        messages.warn(field.key_at, &field.path, format!("no bucket_name{left_out}"));
        usable = false;
    }
    if let Some(endpoint) = parts.field("endpoint")
        && let Err(error) = base_url::parse(&out.endpoint)
    {
        endpoint.warn(messages, format!("endpoint {error}{left_out}"));
        usable = false;
    }
    if let Some(prefix) = parts.field("prefix")
        && out.prefix.ends_with('/')
    {
        prefix.warn(messages, "prefix must not end in /");
        out.prefix = out.prefix.trim_end_matches('/').to_owned();
    }
    if let Some(secret) = parts.field("access_secret") {
        let expanded = secret
            .text(messages)
            .and_then(|text| endpoint::expand(&secret, text, disabled, secrets, messages))?;
        out.access_secret = Secret(expanded);
    }
    if out.access_key_id.is_empty() != out.access_secret.0.is_empty() {
        messages.warn(
            field.key_at,
            &field.path,
            format!("access_key_id and access_secret go together{left_out}"),
        );
        usable = false;
    }
    usable.then_some(out)
}

/// A web service that takes records; `None` if it cannot be used, which is reported.
fn receiver(
    field: &Field<'_>,
    fields: &Fields<'_>,
    disabled: bool,
    secrets: Sources<'_>,
    messages: &mut Messages<'_>,
) -> Option<Endpoint> {
    let Some(url) = fields.field("url") else {
        messages.warn(
            field.key_at,
            &field.path,
            format!("exporter without url{LEFT_OUT}"),
        );
        return None;
    };
    let text = url.text(messages)?;
    let expanded = endpoint::expand(&url, text, disabled, secrets, messages)?;
    let base = expanded
        .split_once('?')
        .map_or(expanded.as_str(), |(base, _)| base);
    if let Err(error) = base_url::parse(base) {
        let error = endpoint::wrong_url(&url, expanded.clone(), error);
        url.warn(messages, format!("url {error}{LEFT_OUT}"));
        return None;
    }
    let key = match fields.field("apikey") {
        Some(key) => endpoint::key(&key, LEFT_OUT, disabled, secrets, messages)?,
        None => String::new(),
    };
    Some(Endpoint {
        url: expanded,
        key: Secret(key),
        authorization: endpoint::authorization(fields, LEFT_OUT, messages)?,
        headers: endpoint::add_headers(fields, disabled, secrets, messages),
        timeout_ms: fields
            .field("timeout")
            .and_then(|f| limits::duration(&f, 1, messages))
            .unwrap_or(TIMEOUT_MS),
        ca_pem: endpoint::ca_pem(fields, LEFT_OUT, secrets, messages)?,
    })
}
