//! A usage record as a row: a few columns that lists are filtered by, and a compact `detail` with the rest.
//!
//! `detail` is a run of variable-length integers (seven bits a byte, lowest first, the top bit set on all but the last;
//! at most ten bytes):
//!
//! ```text
//! api  ended  usage_known  stream|priced<<1  shard  epoch  node  path  tool_calls  duration_us  request_bytes
//! response_bytes  mask  then for each bit set in mask, from the lowest: its value
//! ```
//!
//! Bits 0 to 20 of the mask are the counts in the order of [`counts`]; then come stop reason, error, user agent, tags
//! (a JSON array), session and side usage (JSON) as texts. Bits 27 to 30 are the counts in the order of [`later_counts`],
//! bit 31 the charges: how many, then bucket, unit and amount of each. Bit 32 is where the session comes from, 33 and 34 are
//! agent and parent (texts), bit 35 is the capture, bit 36 the verdicts: how many, then of each judge, action,
//! shadow|on_answer<<1, count, microseconds, name and what (texts). Bits 37 and 38 are when a provider had the request and how many
//! were tried. What is not there is as in a draft. A text is either `number << 1`, of the table `texts`, or
//! `length << 1 | 1` with its bytes behind: short texts that repeat are numbers, the rest stands where it is.
//! Enumerations are written as their index: their order is part of the file's layout, which a test holds.

use std::collections::HashMap;

use serde_json::{Value, json};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::{Charge, Unit};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{
    Action, Capture, Ended, Judge, Known, ServiceTier, SessionSource, SideUsage, Usage, UsageRecord, Verdict,
};

use super::StoreError;

/// Number of a text in the table `texts`.
pub(super) type TextId = i64;
/// Longest text that is given a number, in bytes; filters and sums number theirs whatever their length.
pub(super) const SHARED_MAX: usize = 96;
/// Optional counts of a record.
const COUNTS: usize = 21;

/// Bit of the first of [`later_counts`].
const LATER_COUNTS_AT: usize = COUNTS + 6;
/// Counts that came with a later version.
const LATER_COUNTS: usize = 4;
/// Bit of the charges.
const CHARGES_AT: usize = LATER_COUNTS_AT + LATER_COUNTS;
/// Bit of where the session comes from; then agent, parent, capture, verdicts.
const TRAIL_AT: usize = CHARGES_AT + 1;

/// Bit of when a provider had the request; then how many were tried.
const TIMELINE_AT: usize = TRAIL_AT + 5;

/// The columns of `requests`, in the order of [`Row`].
pub(super) const COLUMNS: &str = "time,request_id,user,provider,model_asked,model_answered,status,detail";

/// A record that waits for its texts.
#[derive(Debug)]
pub(super) struct Row {
    /// Everything but the texts that are numbers.
    record: UsageRecord,
    user: TextId,
    provider: TextId,
    model_asked: TextId,
    model_answered: Option<TextId>,
    node: Option<TextId>,
    path: Option<TextId>,
    stop_reason: Option<TextId>,
    error: Option<TextId>,
    user_agent: Option<TextId>,
    tags: Option<TextId>,
    /// Names of the verdicts that are numbers.
    judges: Vec<Option<TextId>>,
}

/// A count as the database holds it: 63 bits.
pub(super) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn counts(r: &UsageRecord) -> [Option<u64>; COUNTS] {
    let u = &r.usage;
    [
        u.input,
        u.input_uncached,
        u.cached_read,
        u.cache_write,
        u.cache_write_5m,
        u.cache_write_1h,
        u.output,
        u.reasoning,
        u.total,
        u.input_audio,
        u.input_image,
        u.cached_audio,
        u.output_audio,
        u.output_image,
        u.audio_ms,
        u.web_searches,
        u.web_fetches,
        u.hosted_tools,
        u.stated_cost.map(|cost| cost.0),
        r.cost.map(|cost| cost.0),
        r.ttft_us,
    ]
}

/// Counts that stand behind the texts, because rows of earlier versions have none of them.
fn later_counts(r: &UsageRecord) -> [Option<u64>; LATER_COUNTS] {
    let u = &r.usage;
    [
        u.images,
        u.file_searches,
        u.code_sessions,
        u.tier.map(|tier| tier as u64),
    ]
}

/// Puts the variable-length integer behind `out`.
fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push((value & 0x7f) as u8);
}

/// Writes the detail of a record over `out`; `number` gives a text its number, which may fail.
pub(super) fn pack<E>(
    out: &mut Vec<u8>,
    r: &UsageRecord,
    mut number: impl FnMut(&str) -> Result<TextId, E>,
) -> Result<(), E> {
    let mut text = |out: &mut Vec<u8>, text: &str, shared: bool| {
        if shared && text.len() <= SHARED_MAX {
            put(out, number(text)?.unsigned_abs() << 1);
        } else {
            put(out, (text.len() as u64) << 1 | 1);
            out.extend_from_slice(text.as_bytes());
        }
        Ok(())
    };
    out.clear();
    for value in [
        r.api as u64,
        r.ended as u64,
        r.usage_known as u64,
        u64::from(r.stream) | u64::from(r.priced) << 1,
        u64::from(r.shard.0),
        r.epoch.0,
    ] {
        put(out, value);
    }
    text(out, &r.node, true)?;
    text(out, &r.path, true)?;
    for value in [
        u64::from(r.tool_calls),
        r.duration_us,
        r.request_bytes,
        r.response_bytes,
    ] {
        put(out, value);
    }
    let counts = counts(r);
    let tags = (!r.tags.is_empty()).then(|| json!(r.tags).to_string());
    let side = (!r.usage.side.is_empty()).then(|| side_json(&r.usage.side).to_string());
    let texts = [
        (r.stop_reason.as_deref(), true),
        (r.error.as_deref(), true),
        (r.user_agent.as_deref(), true),
        (tags.as_deref(), true),
        (r.session.as_deref(), false),
        (side.as_deref(), false),
    ];
    let later = later_counts(r);
    let trail = [
        r.session_source != SessionSource::None,
        r.agent.is_some(),
        r.parent.is_some(),
        r.capture != Capture::Off,
        !r.verdicts.is_empty(),
        r.queued_us.is_some(),
        r.attempts > 0,
    ];
    let present = counts
        .iter()
        .map(Option::is_some)
        .chain(texts.iter().map(|(text, _)| text.is_some()))
        .chain(later.iter().map(Option::is_some))
        .chain([!r.charges.is_empty()])
        .chain(trail);
    put(
        out,
        present.enumerate().map(|(bit, is)| u64::from(is) << bit).sum(),
    );
    counts.into_iter().flatten().for_each(|count| put(out, count));
    for (value, shared) in texts {
        if let Some(value) = value {
            text(out, value, shared)?;
        }
    }
    later.into_iter().flatten().for_each(|count| put(out, count));
    if !r.charges.is_empty() {
        put(out, r.charges.len() as u64);
        for charge in &r.charges {
            put(out, charge.bucket);
            put(out, charge.unit as u64);
            put(out, charge.amount);
        }
    }
    if r.session_source != SessionSource::None {
        put(out, r.session_source as u64);
    }
    for value in [&r.agent, &r.parent].into_iter().flatten() {
        text(out, value, false)?;
    }
    if r.capture != Capture::Off {
        put(out, r.capture as u64);
    }
    if !r.verdicts.is_empty() {
        put(out, r.verdicts.len() as u64);
        for verdict in &r.verdicts {
            put(out, verdict.judge as u64);
            put(out, verdict.action as u64);
            put(out, u64::from(verdict.shadow) | u64::from(verdict.on_answer) << 1);
            put(out, u64::from(verdict.count));
            put(out, verdict.took_us);
            text(out, &verdict.name, true)?;
            text(out, &verdict.what, false)?;
        }
    }
    if let Some(queued_us) = r.queued_us {
        put(out, queued_us);
    }
    if r.attempts > 0 {
        put(out, u64::from(r.attempts));
    }
    Ok(())
}

/// A detail with another end and duration; `None` if it is not what [`pack`] writes.
pub(super) fn amended(detail: &[u8], ended: Ended, duration_us: u64) -> Option<Vec<u8>> {
    let mut from = Reader(detail);
    let api = from.number()?;
    from.number()?;
    let behind = from.0;
    // How usage is known, flags, shard, epoch; node, path; tool calls.
    for _ in 0..4 {
        from.number()?;
    }
    from.text()?;
    from.text()?;
    from.number()?;
    let between = behind.get(..behind.len() - from.0.len())?;
    from.number()?;
    let mut out = Vec::with_capacity(detail.len() + 10);
    put(&mut out, api);
    put(&mut out, ended as u64);
    out.extend_from_slice(between);
    put(&mut out, duration_us);
    out.extend_from_slice(from.0);
    Some(out)
}

/// Reads a detail from its start.
struct Reader<'a>(&'a [u8]);

enum Text {
    Number(TextId),
    Here(String),
}

impl Reader<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn small<T: TryFrom<u64>>(&mut self) -> Option<T> {
        T::try_from(self.number()?).ok()
    }

    fn text(&mut self) -> Option<Text> {
        let word = self.number()?;
        if word & 1 == 0 {
            return Some(Text::Number(i64::try_from(word >> 1).ok()?));
        }
        let (text, rest) = self.0.split_at_checked(usize::try_from(word >> 1).ok()?)?;
        self.0 = rest;
        Some(Text::Here(std::str::from_utf8(text).ok()?.to_owned()))
    }

    fn charges(&mut self) -> Option<Vec<Charge>> {
        let mut charges = Vec::new();
        for _ in 0..self.number()? {
            charges.push(Charge {
                bucket: self.number()?,
                unit: Unit::from_index(self.small()?)?,
                amount: self.number()?,
            });
        }
        Some(charges)
    }

    /// Verdicts, and the numbers of their names.
    fn verdicts(&mut self) -> Option<(Vec<Verdict>, Vec<Option<TextId>>)> {
        let count: usize = self.small()?;
        let (mut verdicts, mut names) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let judge = Judge::from_index(self.small()?)?;
            let action = Action::from_index(self.small()?)?;
            let flags = self.number()?;
            let mut verdict = Verdict {
                judge,
                name: String::new(),
                action,
                shadow: flags & 1 != 0,
                on_answer: flags & 2 != 0,
                what: String::new(),
                count: self.small()?,
                took_us: self.number()?,
            };
            names.push(self.text_into(&mut verdict.name)?);
            self.here_into(&mut verdict.what)?;
            verdicts.push(verdict);
        }
        Some((verdicts, names))
    }

    /// A text that is never a number into its place.
    fn here_into(&mut self, place: &mut String) -> Option<()> {
        self.text_into(place)?.is_none().then_some(())
    }

    /// A text into its place if it is here, its number if not.
    fn text_into(&mut self, place: &mut String) -> Option<Option<TextId>> {
        Some(match self.text()? {
            Text::Number(number) => Some(number),
            Text::Here(text) => {
                *place = text;
                None
            }
        })
    }

    fn maybe_text_into(&mut self, present: bool, place: &mut Option<String>) -> Option<Option<TextId>> {
        if !present {
            return Some(None);
        }
        self.text_into(place.get_or_insert_default())
    }
}

/// What the columns beside `detail` say.
pub(super) struct Columns {
    pub(super) time: u64,
    pub(super) request_id: RequestId,
    pub(super) user: TextId,
    pub(super) provider: TextId,
    pub(super) model_asked: TextId,
    pub(super) model_answered: Option<TextId>,
    pub(super) status: u16,
}

/// Texts that sums are taken by.
pub(super) struct Grouped {
    pub(super) user: TextId,
    pub(super) provider: TextId,
    pub(super) model_asked: TextId,
}

impl Row {
    /// Reads a row; `None` if `detail` is not what [`pack`] writes.
    pub(super) fn unpack(columns: &Columns, detail: &[u8]) -> Option<Self> {
        let mut from = Reader(detail);
        let api = ApiKind::from_index(from.small()?)?;
        let ended = Ended::from_index(from.small()?)?;
        let known = Known::from_index(from.small()?)?;
        let flags = from.number()?;
        let shard = ShardId(from.small()?);
        let epoch = Epoch(from.number()?);
        let mut r = UsageRecord::draft(columns.request_id, UnixMicros(columns.time), shard, epoch, api);
        (r.ended, r.usage_known, r.status) = (ended, known, columns.status);
        (r.stream, r.priced) = (flags & 1 != 0, flags & 2 != 0);
        let node = from.text_into(&mut r.node)?;
        let path = from.text_into(&mut r.path)?;
        r.tool_calls = from.small()?;
        r.duration_us = from.number()?;
        r.request_bytes = from.number()?;
        r.response_bytes = from.number()?;
        let mask = from.number()?;
        let has = |bit: usize| mask >> bit & 1 != 0;
        let mut counts = [None; COUNTS];
        for (bit, count) in counts.iter_mut().enumerate() {
            if has(bit) {
                *count = Some(from.number()?);
            }
        }
        let [
            input,
            input_uncached,
            cached_read,
            cache_write,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            total,
            input_audio,
            input_image,
            cached_audio,
            output_audio,
            output_image,
            audio_ms,
            web_searches,
            web_fetches,
            hosted_tools,
            stated_cost,
            cost,
            ttft_us,
        ] = counts;
        r.usage = Usage {
            input,
            input_uncached,
            cached_read,
            cache_write,
            cache_write_5m,
            cache_write_1h,
            output,
            reasoning,
            total,
            input_audio,
            input_image,
            cached_audio,
            output_audio,
            output_image,
            audio_ms,
            web_searches,
            web_fetches,
            hosted_tools,
            stated_cost: stated_cost.map(NanoUsd),
            file_searches: None,
            code_sessions: None,
            images: None,
            tier: None,
            side: Vec::new(),
        };
        (r.cost, r.ttft_us) = (cost.map(NanoUsd), ttft_us);
        let stop_reason = from.maybe_text_into(has(COUNTS), &mut r.stop_reason)?;
        let error = from.maybe_text_into(has(COUNTS + 1), &mut r.error)?;
        let user_agent = from.maybe_text_into(has(COUNTS + 2), &mut r.user_agent)?;
        let (mut tags_here, mut side) = (None, None);
        let tags = from.maybe_text_into(has(COUNTS + 3), &mut tags_here)?;
        if let Some(text) = tags_here.filter(|_| tags.is_none()) {
            r.tags = serde_json::from_str(&text).ok()?;
        }
        let mut here = |bit: usize, place: &mut Option<String>| {
            let number = from.maybe_text_into(has(bit), place)?;
            number.is_none().then_some(())
        };
        here(COUNTS + 4, &mut r.session)?;
        here(COUNTS + 5, &mut side)?;
        if let Some(text) = side {
            r.usage.side = side_of(&serde_json::from_str(&text).ok()?);
        }
        let mut later = [None; LATER_COUNTS];
        for (bit, count) in (LATER_COUNTS_AT..).zip(&mut later) {
            if has(bit) {
                *count = Some(from.number()?);
            }
        }
        let [images, file_searches, code_sessions, tier] = later;
        let tier = tier.map(|index| ServiceTier::from_index(u8::try_from(index).ok()?));
        (r.usage.images, r.usage.file_searches) = (images, file_searches);
        (r.usage.code_sessions, r.usage.tier) =
            (code_sessions, tier.map_or(Some(None), |tier| tier.map(Some))?);
        if has(CHARGES_AT) {
            r.charges = from.charges()?;
        }
        if has(TRAIL_AT) {
            r.session_source = SessionSource::from_index(from.small()?)?;
        }
        for (bit, place) in (TRAIL_AT + 1..).zip([&mut r.agent, &mut r.parent]) {
            if has(bit) {
                from.here_into(place.get_or_insert_default())?;
            }
        }
        if has(TRAIL_AT + 3) {
            r.capture = Capture::from_index(from.small()?)?;
        }
        let mut judges = Vec::new();
        if has(TRAIL_AT + 4) {
            (r.verdicts, judges) = from.verdicts()?;
        }
        if has(TIMELINE_AT) {
            r.queued_us = Some(from.number()?);
        }
        if has(TIMELINE_AT + 1) {
            r.attempts = from.small()?;
        }
        from.0.is_empty().then_some(Self {
            record: r,
            user: columns.user,
            provider: columns.provider,
            model_asked: columns.model_asked,
            model_answered: columns.model_answered,
            node,
            path,
            stop_reason,
            error,
            user_agent,
            tags,
            judges,
        })
    }

    /// What can be had without texts: everything but them.
    pub(super) const fn bare(&self) -> &UsageRecord {
        &self.record
    }

    /// What sums are taken by.
    pub(super) const fn grouped(&self) -> Grouped {
        Grouped {
            user: self.user,
            provider: self.provider,
            model_asked: self.model_asked,
        }
    }

    /// Whether its error has this code.
    pub(super) fn has_error(&self, number: Option<TextId>, text: &str) -> bool {
        match self.error {
            Some(error) => Some(error) == number,
            None => self.record.error.as_deref() == Some(text),
        }
    }

    /// Whether somebody of this name gave a verdict.
    pub(super) fn has_judge(&self, number: Option<TextId>, text: &str) -> bool {
        let mut all = self.record.verdicts.iter().zip(&self.judges);
        all.any(|(verdict, judge)| match judge {
            Some(judge) => Some(*judge) == number,
            None => verdict.name == text,
        })
    }

    /// Whether it asked for a model or was answered by it.
    pub(super) fn has_model(&self, number: TextId) -> bool {
        self.model_asked == number || self.model_answered == Some(number)
    }

    /// Numbers of the texts that [`Self::with_texts`] needs.
    pub(super) fn numbers(&self) -> impl Iterator<Item = TextId> {
        let maybe = [
            self.model_answered,
            self.node,
            self.path,
            self.stop_reason,
            self.error,
            self.user_agent,
            self.tags,
        ];
        [self.user, self.provider, self.model_asked]
            .into_iter()
            .chain(maybe.into_iter().flatten())
            .chain(self.judges.iter().copied().flatten())
    }

    /// The whole record.
    pub(super) fn with_texts(self, texts: &HashMap<TextId, String>) -> Result<UsageRecord, StoreError> {
        let get = |number: TextId| texts.get(&number).cloned().ok_or(StoreError::Column("text"));
        let mut r = self.record;
        r.user = get(self.user)?;
        r.provider = get(self.provider)?;
        r.model_asked = get(self.model_asked)?;
        r.model_answered = self.model_answered.map(get).transpose()?;
        for (place, number) in [(&mut r.node, self.node), (&mut r.path, self.path)] {
            if let Some(number) = number {
                *place = get(number)?;
            }
        }
        for (place, number) in [
            (&mut r.stop_reason, self.stop_reason),
            (&mut r.error, self.error),
            (&mut r.user_agent, self.user_agent),
        ] {
            if let Some(number) = number {
                *place = Some(get(number)?);
            }
        }
        for (verdict, number) in r.verdicts.iter_mut().zip(&self.judges) {
            if let Some(number) = number {
                verdict.name = get(*number)?;
            }
        }
        if let Some(number) = self.tags {
            r.tags = serde_json::from_str(&get(number)?).map_err(|_| StoreError::Column("tags"))?;
        }
        Ok(r)
    }
}

/// Side usage as it is stored and as it stands in answers.
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

fn side_of(value: &Value) -> Vec<SideUsage> {
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

#[cfg(test)]
mod tests {
    use super::super::tests::{full, record};
    use super::*;

    /// Packs with texts numbered as they come; gives the row's parts and the texts.
    fn packed(r: &UsageRecord) -> (Columns, Vec<u8>, HashMap<TextId, String>) {
        let mut texts: Vec<String> = vec![String::new()];
        let mut number = |text: &str| {
            let at = texts.iter().position(|known| known == text).unwrap_or_else(|| {
                texts.push(text.to_owned());
                texts.len() - 1
            });
            Ok::<_, std::convert::Infallible>(TextId::try_from(at).unwrap())
        };
        let columns = Columns {
            time: r.time.0,
            request_id: r.request_id,
            user: number(&r.user).unwrap(),
            provider: number(&r.provider).unwrap(),
            model_asked: number(&r.model_asked).unwrap(),
            model_answered: r.model_answered.as_deref().map(|text| number(text).unwrap()),
            status: r.status,
        };
        let mut out = vec![9; 3];
        let Ok(()) = pack(&mut out, r, number);
        (columns, out, (0..).zip(texts).collect())
    }

    #[test]
    fn records_read_back_and_a_cut_or_longer_detail_is_refused() {
        let mut long = full();
        long.path = "/p".repeat(SHARED_MAX);
        long.user_agent = Some("ä".repeat(SHARED_MAX));
        long.tags = vec!["tag:long".repeat(SHARED_MAX)];
        long.error = None;
        long.usage.input = Some(u64::MAX);
        long.usage.side.clear();
        let mut charged = record(2, 6);
        charged.charges = full().charges;
        let mut tier = record(3, 7);
        tier.usage.tier = Some(ServiceTier::Batch);
        let mut trail = record(4, 8);
        trail.session_source = SessionSource::Fingerprint;
        trail.parent = Some("p".into());
        let mut captured = record(5, 9);
        (captured.capture, captured.agent) = (Capture::Dropped, Some(String::new()));
        let mut timeline = record(6, 10);
        (timeline.queued_us, timeline.attempts) = (Some(0), 3);
        for r in [
            full(),
            record(1, 5),
            long,
            charged,
            tier,
            trail,
            captured,
            timeline,
        ] {
            let (columns, detail, texts) = packed(&r);
            let row = Row::unpack(&columns, &detail).unwrap();
            assert!(row.numbers().all(|number| texts.contains_key(&number)));
            assert_eq!(row.with_texts(&texts).unwrap(), r);
            for cut in 0..detail.len() {
                assert!(Row::unpack(&columns, &detail[..cut]).is_none(), "cut at {cut}");
            }
            let changed = amended(&detail, Ended::ClientGone, 1 << 40).unwrap();
            let changed = Row::unpack(&columns, &changed)
                .unwrap()
                .with_texts(&texts)
                .unwrap();
            let mut expected = r.clone();
            (expected.ended, expected.duration_us) = (Ended::ClientGone, 1 << 40);
            assert_eq!(changed, expected);
            let longer = [detail.as_slice(), &[0]].concat();
            assert!(Row::unpack(&columns, &longer).is_none());
        }
        let (columns, detail, _) = packed(&full());
        let row = Row::unpack(&columns, &detail).unwrap();
        assert!(matches!(
            row.with_texts(&HashMap::new()),
            Err(StoreError::Column("text"))
        ));
    }

    #[test]
    fn integers_read_back_and_wider_ones_are_refused() {
        for value in (0..64).flat_map(|bit| [(1u64 << bit) - 1, 1 << bit, u64::MAX >> bit]) {
            let mut out = Vec::new();
            put(&mut out, value);
            assert!(out.len() <= 10);
            assert_eq!(Reader(&out).number(), Some(value));
        }
        let wide = [0xff; 9];
        for (last, expected) in [(1, Some(u64::MAX)), (2, None), (0x81, None)] {
            let bytes = [wide.as_slice(), &[last]].concat();
            assert_eq!(Reader(&bytes).number(), expected);
        }
    }

    #[test]
    fn rows_of_earlier_versions_read_back() {
        // What the first version wrote of `record(1, 5)`.
        let mut old = record(1, 5);
        let (columns, detail, texts) = packed(&old);
        let mut from = Reader(&detail);
        for _ in 0..6 {
            from.number().unwrap();
        }
        from.text().unwrap();
        from.text().unwrap();
        for _ in 0..4 {
            from.number().unwrap();
        }
        let mask = from.number().unwrap();
        assert!(
            mask < 1 << LATER_COUNTS_AT,
            "nothing new, no new bits: the bytes are the same"
        );
        // With something new, what was there before stands where it stood.
        let tail = from.0;
        old.charges = full().charges;
        let (_, longer, _) = packed(&old);
        assert!(longer.windows(tail.len()).any(|part| part == tail));
        (old.agent, old.verdicts) = (full().agent, full().verdicts);
        let (_, longest, _) = packed(&old);
        assert!(longest.windows(tail.len()).any(|part| part == tail));
        let charges = longer.len() - tail.len();
        assert!(charges > 20 && longest.len() > longer.len());
        assert_eq!(
            Row::unpack(&columns, &detail)
                .unwrap()
                .with_texts(&texts)
                .unwrap(),
            record(1, 5)
        );
    }

    #[test]
    fn the_numbers_of_enumerations_stay() {
        let names = |all: Vec<&'static str>| all.join(" ");
        assert_eq!(
            names(Ended::ALL.iter().map(|e| e.name()).collect()),
            "complete client_gone upstream_failed cut_by_quota blocked aborted"
        );
        assert_eq!(
            names(Known::ALL.iter().map(|k| k.name()).collect()),
            "reported partial estimated unknown"
        );
        assert_eq!(
            names(ServiceTier::ALL.iter().map(|t| t.name()).collect()),
            "batch flex priority"
        );
        assert_eq!(
            names(SessionSource::ALL.iter().map(|s| s.name()).collect()),
            "none header body fingerprint"
        );
        assert_eq!(
            names(Capture::ALL.iter().map(|c| c.name()).collect()),
            "off written dropped"
        );
        assert_eq!(
            names(Judge::ALL.iter().map(|j| j.name()).collect()),
            "hook guardrail"
        );
        assert_eq!(
            names(Action::ALL.iter().map(|a| a.name()).collect()),
            "allow log redact modify block failed"
        );
        assert_eq!(
            names(Unit::ALL.iter().map(|u| u.name()).collect()),
            "usd tokens requests concurrency"
        );
        assert_eq!(
            names(ApiKind::ALL.iter().map(|a| a.name()).collect()),
            "openai_chat openai_completions openai_responses openai_embeddings openai_images \
             openai_audio openai_moderations openai_rerank anthropic_messages \
             anthropic_count_tokens gemini_generate_content gemini_count_tokens \
             gemini_embed_content google_generate_content google_count_tokens google_predict \
             google_raw_predict bedrock_model_invoke bedrock_converse bedrock_count_tokens \
             ollama_chat ollama_embed"
        );
    }
}
