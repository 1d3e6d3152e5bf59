//! A usage record as a row, and back. [`COLUMNS`] names the order that [`bind`] and [`read`] keep.

use serde_json::{Value, json};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Ended, Known, SideUsage, Usage, UsageRecord};
use sqlx::Row as _;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};

use super::StoreError;

/// Columns of `requests`.
pub(super) const COLUMNS: [&str; 47] = [
    "time",
    "request_id",
    "shard",
    "epoch",
    "user",
    "node",
    "tags",
    "api",
    "path",
    "provider",
    "model_asked",
    "model_answered",
    "status",
    "stream",
    "ended",
    "usage_known",
    "input",
    "input_uncached",
    "cached_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "output",
    "reasoning",
    "total",
    "input_audio",
    "input_image",
    "cached_audio",
    "output_audio",
    "output_image",
    "audio_ms",
    "web_searches",
    "web_fetches",
    "hosted_tools",
    "stated_cost",
    "side",
    "cost",
    "priced",
    "stop_reason",
    "tool_calls",
    "error",
    "ttft_us",
    "duration_us",
    "session",
    "user_agent",
    "request_bytes",
    "response_bytes",
];

type Bound<'q> = Query<'q, Sqlite, SqliteArguments<'q>>;

/// A count as the database holds it: 63 bits.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn maybe(value: Option<u64>) -> Option<i64> {
    value.map(int)
}

/// Binds a record, in the order of [`COLUMNS`].
pub(super) fn bind<'q>(query: Bound<'q>, r: &'q UsageRecord) -> Bound<'q> {
    let u = &r.usage;
    let tags = (!r.tags.is_empty()).then(|| json!(r.tags).to_string());
    query
        .bind(int(r.time.0))
        .bind(r.request_id.0.as_slice())
        .bind(i64::from(r.shard.0))
        .bind(int(r.epoch.0))
        .bind(r.user.as_str())
        .bind(r.node.as_str())
        .bind(tags)
        .bind(r.api.name())
        .bind(r.path.as_str())
        .bind(r.provider.as_str())
        .bind(r.model_asked.as_str())
        .bind(r.model_answered.as_deref())
        .bind(i64::from(r.status))
        .bind(r.stream)
        .bind(r.ended.name())
        .bind(r.usage_known.name())
        .bind(maybe(u.input))
        .bind(maybe(u.input_uncached))
        .bind(maybe(u.cached_read))
        .bind(maybe(u.cache_write))
        .bind(maybe(u.cache_write_5m))
        .bind(maybe(u.cache_write_1h))
        .bind(maybe(u.output))
        .bind(maybe(u.reasoning))
        .bind(maybe(u.total))
        .bind(maybe(u.input_audio))
        .bind(maybe(u.input_image))
        .bind(maybe(u.cached_audio))
        .bind(maybe(u.output_audio))
        .bind(maybe(u.output_image))
        .bind(maybe(u.audio_ms))
        .bind(maybe(u.web_searches))
        .bind(maybe(u.web_fetches))
        .bind(maybe(u.hosted_tools))
        .bind(maybe(u.stated_cost.map(|cost| cost.0)))
        .bind((!u.side.is_empty()).then(|| side_json(&u.side).to_string()))
        .bind(maybe(r.cost.map(|cost| cost.0)))
        .bind(r.priced)
        .bind(r.stop_reason.as_deref())
        .bind(i64::from(r.tool_calls))
        .bind(r.error.as_deref())
        .bind(maybe(r.ttft_us))
        .bind(int(r.duration_us))
        .bind(r.session.as_deref())
        .bind(r.user_agent.as_deref())
        .bind(int(r.request_bytes))
        .bind(int(r.response_bytes))
}

/// Reads a row whose columns are named as in [`COLUMNS`].
pub(super) fn read(row: &SqliteRow) -> Result<UsageRecord, StoreError> {
    let number = |name: &'static str| -> Result<u64, StoreError> {
        u64::try_from(row.try_get::<i64, _>(name)?).map_err(|_| StoreError::Column(name))
    };
    let optional = |name: &'static str| -> Result<Option<u64>, StoreError> {
        row.try_get::<Option<i64>, _>(name)?
            .map(|value| u64::try_from(value).map_err(|_| StoreError::Column(name)))
            .transpose()
    };
    let text = |name: &'static str| row.try_get::<String, _>(name);
    let maybe_text = |name: &'static str| row.try_get::<Option<String>, _>(name);
    let json = |name: &'static str| -> Result<Option<Value>, StoreError> {
        maybe_text(name)?
            .map(|text| serde_json::from_str(&text).map_err(|_| StoreError::Column(name)))
            .transpose()
    };
    let id: Vec<u8> = row.try_get("request_id")?;
    Ok(UsageRecord {
        request_id: RequestId(id.try_into().map_err(|_| StoreError::Column("request_id"))?),
        time: UnixMicros(number("time")?),
        shard: ShardId(u16::try_from(number("shard")?).map_err(|_| StoreError::Column("shard"))?),
        epoch: Epoch(number("epoch")?),
        user: text("user")?,
        node: text("node")?,
        tags: json("tags")?.as_ref().map(texts).unwrap_or_default(),
        api: ApiKind::parse(&text("api")?).ok_or(StoreError::Column("api"))?,
        path: text("path")?,
        provider: text("provider")?,
        model_asked: text("model_asked")?,
        model_answered: maybe_text("model_answered")?,
        status: u16::try_from(number("status")?).map_err(|_| StoreError::Column("status"))?,
        stream: row.try_get("stream")?,
        ended: Ended::parse(&text("ended")?).ok_or(StoreError::Column("ended"))?,
        usage_known: Known::parse(&text("usage_known")?).ok_or(StoreError::Column("usage_known"))?,
        usage: Usage {
            input: optional("input")?,
            input_uncached: optional("input_uncached")?,
            cached_read: optional("cached_read")?,
            cache_write: optional("cache_write")?,
            cache_write_5m: optional("cache_write_5m")?,
            cache_write_1h: optional("cache_write_1h")?,
            output: optional("output")?,
            reasoning: optional("reasoning")?,
            total: optional("total")?,
            input_audio: optional("input_audio")?,
            input_image: optional("input_image")?,
            cached_audio: optional("cached_audio")?,
            output_audio: optional("output_audio")?,
            output_image: optional("output_image")?,
            audio_ms: optional("audio_ms")?,
            web_searches: optional("web_searches")?,
            web_fetches: optional("web_fetches")?,
            hosted_tools: optional("hosted_tools")?,
            stated_cost: optional("stated_cost")?.map(NanoUsd),
            side: json("side")?.as_ref().map(side).unwrap_or_default(),
        },
        cost: optional("cost")?.map(NanoUsd),
        priced: row.try_get("priced")?,
        stop_reason: maybe_text("stop_reason")?,
        tool_calls: u32::try_from(number("tool_calls")?).map_err(|_| StoreError::Column("tool_calls"))?,
        error: maybe_text("error")?,
        ttft_us: optional("ttft_us")?,
        duration_us: number("duration_us")?,
        session: maybe_text("session")?,
        user_agent: maybe_text("user_agent")?,
        request_bytes: number("request_bytes")?,
        response_bytes: number("response_bytes")?,
    })
}

fn texts(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|item| item.as_str().map(str::to_owned))
        .collect()
}

/// Side usage as it stands in a column and in answers.
pub(crate) fn side_json(side: &[SideUsage]) -> Value {
    let item = |s: &SideUsage| {
        json!({
            "kind": s.kind, "model": s.model, "input": s.input, "input_uncached": s.input_uncached,
            "cached_read": s.cached_read, "cache_write": s.cache_write, "cache_write_5m": s.cache_write_5m,
            "cache_write_1h": s.cache_write_1h, "output": s.output,
        })
    };
    side.iter().map(item).collect()
}

fn side(value: &Value) -> Vec<SideUsage> {
    let item = |v: &Value| {
        let count = |key: &str| v.get(key).and_then(Value::as_u64);
        SideUsage {
            kind: v
                .get("kind")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            model: v.get("model").and_then(Value::as_str).map(str::to_owned),
            input: count("input"),
            input_uncached: count("input_uncached"),
            cached_read: count("cached_read"),
            cache_write: count("cache_write"),
            cache_write_5m: count("cache_write_5m"),
            cache_write_1h: count("cache_write_1h"),
            output: count("output"),
        }
    };
    value.as_array().into_iter().flatten().map(item).collect()
}
