//! `guardrails`: what is wrong with one makes the document unusable. A guardrail that is quietly not there is worse than a
//! document that is refused.

use sluice_proto::guard::check;
use sluice_shared::snapshot::{GuardAction, GuardCaps, GuardPattern, Guardrail, ToolRule};

use super::hooks::plain_name;
use super::hujson::Value;
use super::keys;
use super::limits;
use super::message::Messages;
use super::providers::model_name;
use super::reader::{Field, Fields};

/// What an answer's text may be held back by, in bytes and milliseconds.
const HOLD_BACK: (u64, u64) = (1 << 10, 1_000);

/// Reads `guardrails`, by name.
pub(super) fn read(field: &Field<'_>, messages: &mut Messages<'_>) -> Vec<Guardrail> {
    let Some(fields) = field.open_names(messages) else {
        wrong(field, "guardrails must be an object", messages);
        return Vec::new();
    };
    let mut out: Vec<Guardrail> = fields
        .all()
        .filter_map(|(name, field)| guardrail(name, &field, messages))
        .collect();
    out.sort_by(|a, b| a.name.cmp(&b.name));
    out
}

fn wrong(field: &Field<'_>, text: impl Into<String>, messages: &mut Messages<'_>) {
    messages.error(field.node.at, &field.path, text.into());
}

fn guardrail(name: &str, field: &Field<'_>, messages: &mut Messages<'_>) -> Option<Guardrail> {
    if !plain_name(name) {
        wrong(field, "is no usable name", messages);
        return None;
    }
    if !matches!(field.node.value, Value::Object(_)) {
        wrong(field, "a guardrail is an object", messages);
        return None;
    }
    let warned = messages.warnings.len();
    let fields = field.open(&keys::GUARDRAIL, messages)?;
    let list = |key: &str, messages: &mut Messages<'_>| texts(&fields, key, messages);
    let flag = |key: &str, messages: &mut Messages<'_>| {
        fields
            .field(key)
            .and_then(|f| f.boolean(messages))
            .unwrap_or(false)
    };
    let text = |key: &str, messages: &mut Messages<'_>| {
        let text = fields.field(key).and_then(|f| f.text(messages));
        text.unwrap_or_default().to_owned()
    };
    let number = |key: &str, default: u64, messages: &mut Messages<'_>| {
        let number = fields.field(key).and_then(|f| limits::quantity(&f, messages));
        u32::try_from(number.unwrap_or(default)).unwrap_or(u32::MAX)
    };
    let places = fields.field("on").is_some();
    let on = list("on", messages);
    let out = Guardrail {
        name: name.to_owned(),
        everyone: fields
            .field("apply")
            .is_none_or(|f| f.word("", messages) != Some("granted")),
        models: fields.field("models").and_then(|f| {
            let globs = f.one_or_many(messages)?.into_iter();
            Some(globs.map(|(_, text)| text.to_owned()).collect())
        }),
        on_requests: !places || on.iter().any(|place| place == "requests"),
        on_answers: on.iter().any(|place| place == "answers"),
        action: fields
            .field("action")
            .and_then(|f| f.word("", messages))
            .and_then(GuardAction::parse)
            .unwrap_or_default(),
        shadow: flag("shadow", messages),
        detectors: list("detectors", messages),
        patterns: patterns(&fields, messages),
        phrases: list("phrases", messages),
        prompt_injection: flag("prompt_injection", messages),
        tools: fields
            .field("tools")
            .map(|f| tools(&f, messages))
            .unwrap_or_default(),
        caps: fields
            .field("caps")
            .map(|f| caps(&f, messages))
            .unwrap_or_default(),
        require: list("require", messages),
        forbid: list("forbid", messages),
        replacement: text("replacement", messages),
        message: text("message", messages),
        hold_back_bytes: number("hold_back_bytes", HOLD_BACK.0, messages),
        hold_back_ms: number("hold_back_ms", HOLD_BACK.1, messages),
    };
    if places && on.is_empty() {
        wrong(field, "on names neither requests nor answers", messages);
    }
    for place in on.iter().filter(|place| !keys::WHERE.contains(&place.as_str())) {
        wrong(
            field,
            format!("on: unknown word {place:?}; known are requests and answers"),
            messages,
        );
    }
    for glob in out.models.iter().flatten().filter(|glob| !model_name(glob)) {
        wrong(
            field,
            format!("models: {glob:?} is no glob over provider/model"),
            messages,
        );
    }
    if does_nothing(&out) {
        wrong(
            field,
            "looks for nothing: name detectors, patterns, phrases, tools, caps or fields",
            messages,
        );
    }
    for mut problem in check(&out) {
        // An expression's error is a drawing of several lines; the last one says it.
        if let Some((_, last)) = problem.message.trim_end().rsplit_once('\n') {
            problem.message = last.trim_start_matches("error: ").to_owned();
        }
        let part = fields.field(&problem.part);
        let item = part.as_ref().and_then(|part| match &part.node.value {
            Value::Array(items) => items.get(problem.index?),
            _ => None,
        });
        let path = part
            .as_ref()
            .map_or_else(|| field.path.clone(), |part| part.path.clone());
        match (item, problem.index, &part) {
            (Some(item), Some(index), _) => {
                messages.error(item.at, &format!("{path}[{index}]"), problem.message);
            }
            (_, _, Some(part)) => messages.error(part.node.at, &path, problem.message),
            _ => messages.error(
                field.node.at,
                &path,
                format!("{}: {}", problem.part, problem.message),
            ),
        }
    }
    // What could not be read was a warning until here.
    let unread: Vec<_> = messages.warnings.drain(warned..).collect();
    messages.errors.extend(unread);
    Some(out)
}

fn does_nothing(rule: &Guardrail) -> bool {
    rule.detectors.is_empty()
        && rule.patterns.is_empty()
        && rule.phrases.is_empty()
        && !rule.prompt_injection
        && rule.tools == ToolRule::default()
        && rule.caps == GuardCaps::default()
        && rule.require.is_empty()
        && rule.forbid.is_empty()
}

fn texts(fields: &Fields<'_>, key: &str, messages: &mut Messages<'_>) -> Vec<String> {
    let items = fields.field(key).and_then(|f| f.texts(messages));
    items
        .unwrap_or_default()
        .into_iter()
        .map(|(_, text)| text.to_owned())
        .collect()
}

fn patterns(fields: &Fields<'_>, messages: &mut Messages<'_>) -> Vec<GuardPattern> {
    let mut out = Vec::new();
    for item in fields
        .field("patterns")
        .and_then(|f| f.array(messages))
        .unwrap_or_default()
    {
        let Some(parts) = item.open(&keys::GUARD_PATTERN, messages) else {
            continue;
        };
        let text = |key: &str, messages: &mut Messages<'_>| {
            parts.field(key).and_then(|f| f.text(messages)).map(str::to_owned)
        };
        match (text("name", messages), text("regex", messages)) {
            (Some(name), Some(regex)) if plain_name(&name) => out.push(GuardPattern { name, regex }),
            _ => item.warn(messages, "a pattern needs a name and a regex"),
        }
    }
    out
}

fn tools(field: &Field<'_>, messages: &mut Messages<'_>) -> ToolRule {
    let Some(fields) = field.open(&keys::GUARD_TOOLS, messages) else {
        return ToolRule::default();
    };
    ToolRule {
        allow: texts(&fields, "allow", messages),
        deny: texts(&fields, "deny", messages),
        allow_servers: texts(&fields, "allow_servers", messages),
        deny_servers: texts(&fields, "deny_servers", messages),
    }
}

fn caps(field: &Field<'_>, messages: &mut Messages<'_>) -> GuardCaps {
    let Some(fields) = field.open(&keys::GUARD_CAPS, messages) else {
        return GuardCaps::default();
    };
    let number = |key: &str, messages: &mut Messages<'_>| {
        let number = fields.field(key).and_then(|f| f.integer(messages));
        number.and_then(|v| u64::try_from(v).ok())
    };
    GuardCaps {
        max_tokens: number("max_tokens", messages),
        messages: number("messages", messages),
        images: number("images", messages),
    }
}
