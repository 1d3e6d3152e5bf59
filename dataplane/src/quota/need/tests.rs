use std::cell::OnceCell;

use sluice_proto::json::{BodyScan, Facts, JsonLimits, KeyTable};
use sluice_proto::meter::Counts;
use sluice_proto::splice::Edits;
use sluice_shared::api::ApiKind;
use sluice_shared::cost::{self, Price, price_for};
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::quota::estimate::{Estimates, OUTPUT_DEFAULT, Sample};
use sluice_shared::quota::{AMOUNT_MAX, Terms, Unit};
use sluice_shared::snapshot::{Admission, Quota, QuotaLimit};
use sluice_shared::units::{NanoUsd, UnixMicros};
use sluice_shared::usage::{Ended, Known, Usage, UsageRecord};

use super::*;

mod recordings;

/// A call with its body, so that a test can own both.
struct Asked {
    kind: ApiKind,
    model: String,
    basis: &'static str,
    facts: Facts,
    chunks: Vec<Vec<u8>>,
}

impl Asked {
    fn new(kind: ApiKind, basis: &'static str, model: &str, body: &str) -> Self {
        let mut scan = BodyScan::new(KeyTable::for_kind(kind), JsonLimits::DEFAULT);
        scan.feed(body.as_bytes()).unwrap();
        Self {
            kind,
            model: model.to_owned(),
            basis,
            facts: scan.finish().unwrap(),
            // In pieces, as bodies come.
            chunks: body.as_bytes().chunks(11).map(<[u8]>::to_vec).collect(),
        }
    }

    fn call(&self) -> Call<'_> {
        Call {
            kind: self.kind,
            provider: "p",
            model: &self.model,
            basis: self.basis,
            facts: &self.facts,
            is_form: false,
            body_bytes: self.facts.bytes,
            chunks: &self.chunks,
            lowered: None,
            outside: OnceCell::new(),
        }
    }

    /// The body after edits.
    fn edited(&self, edits: &[sluice_proto::splice::Edit]) -> String {
        let edits = Edits::new(edits.to_vec()).unwrap();
        String::from_utf8(edits.pieces(&self.chunks).collect::<Vec<_>>().concat()).unwrap()
    }
}

fn limit(unit: Unit) -> QuotaLimit {
    QuotaLimit {
        unit,
        terms: Terms::default(),
    }
}

fn quota(admission: Admission) -> Quota {
    Quota {
        admission,
        ..Quota::default()
    }
}

/// Sonnet 4.5: 3 dollars a million in, 15 out; what was written for an hour 6.
fn sonnet() -> Price {
    Price {
        context: Some(200_000),
        max_output: Some(64_000),
        ..price_for("anthropic", "claude-sonnet-4-5").unwrap()
    }
}

/// The same without what is known of the model.
fn unknown_size() -> Price {
    Price {
        context: None,
        max_output: None,
        ..sonnet()
    }
}

const CHAT: &str = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"max_tokens":100}"#;

#[test]
fn every_admission_in_every_unit() {
    let asked = Asked::new(ApiKind::OpenAiChat, "", "m", CHAT);
    let (call, estimates, price) = (asked.call(), Estimates::new(), unknown_size());
    let check = |unit, admission, price: Option<&Price>, expected: Result<u64, &'static str>| {
        let found = need(&limit(unit), &quota(admission), &call, &estimates, price);
        let found = found.map(|need| need.amount).map_err(|error| error.what);
        assert_eq!(found, expected, "{unit:?} {admission:?}");
    };
    use Admission::{Estimate, Positive, Strict};
    for admission in [Estimate, Strict, Positive] {
        check(Unit::Requests, admission, Some(&price), Ok(1));
        check(Unit::Concurrency, admission, Some(&price), Ok(1));
        check(Unit::Usd, admission, None, Ok(0));
    }
    check(Unit::Tokens, Positive, Some(&price), Ok(1));
    check(Unit::Usd, Positive, Some(&price), Ok(1));
    // 74 bytes: 19 tokens; and 100, since no more are asked for than the 1,024 that are expected.
    assert_eq!(asked.facts.bytes, 74);
    check(Unit::Tokens, Estimate, None, Ok(119));
    check(Unit::Usd, Estimate, Some(&price), Ok(19 * 3_000 + 100 * 15_000));
    // 12 keys and values (the document is one) at 4 tokens each.
    assert_eq!(asked.facts.tokens, 12);
    let input = 74 + 12 * 4 + 2_048;
    check(Unit::Tokens, Strict, None, Ok(input + 100));
    check(Unit::Usd, Strict, Some(&price), Ok(input * 6_000 + 100 * 15_000));
}

#[test]
fn models_without_a_price_are_refused_where_the_quota_says_so() {
    let asked = Asked::new(ApiKind::OpenAiChat, "", "m", CHAT);
    let estimates = Estimates::new();
    for admission in [Admission::Estimate, Admission::Strict, Admission::Positive] {
        let quota = Quota {
            refuse_unpriced: true,
            ..quota(admission)
        };
        let refused = need(&limit(Unit::Usd), &quota, &asked.call(), &estimates, None);
        assert_eq!(
            refused,
            Err(Unbounded {
                what: "the model has no price"
            })
        );
        let tokens = need(&limit(Unit::Tokens), &quota, &asked.call(), &estimates, None);
        assert!(tokens.is_ok_and(|need| need.amount > 0));
    }
}

#[test]
fn what_is_learnt_is_used() {
    let mut estimates = Estimates::new();
    for _ in 0..20 {
        estimates.learn(
            "p",
            "m",
            &Sample {
                request_bytes: 780,
                input: Some(390),
                response_bytes: 1_000,
                output: Some(15),
                stream: false,
            },
        );
    }
    let check = |body: &str, expected: u64| {
        let asked = Asked::new(ApiKind::OpenAiChat, "", "m", body);
        let need = need(
            &limit(Unit::Tokens),
            &quota(Admission::Estimate),
            &asked.call(),
            &estimates,
            None,
        );
        assert_eq!(need, Ok(Need { amount: expected }), "{body}");
    };
    // Two bytes a token; answers of 15.
    check(CHAT, 37 + 15);
    check(r#"{"messages":[],"max_tokens":7}"#, 15 + 7);
    check(r#"{"messages":[],"max_tokens":7,"n":2}"#, 18 + 14);
    check(r#"{"messages":[]}"#, 8 + 15);
}

#[test]
fn answers_that_are_not_generated_need_their_input_alone() {
    let estimates = Estimates::new();
    let check = |kind, model: &str, body: &str, admission, expected: Option<u64>| {
        let asked = Asked::new(kind, "", model, body);
        let need = need(
            &limit(Unit::Tokens),
            &quota(admission),
            &asked.call(),
            &estimates,
            None,
        );
        assert_eq!(
            need.ok().map(|need| need.amount),
            expected,
            "{kind:?} {model} {admission:?}"
        );
    };
    let body = r#"{"input":"a"}"#;
    let tokens = 13 + 3 * 4 + 2_048;
    for kind in [
        ApiKind::OpenAiEmbeddings,
        ApiKind::OpenAiRerank,
        ApiKind::OpenAiModerations,
        ApiKind::GeminiEmbed,
        ApiKind::OllamaEmbed,
    ] {
        check(kind, "m", body, Admission::Estimate, Some(4));
        check(kind, "m", body, Admission::Strict, Some(tokens));
    }
    let predict = ApiKind::VertexPredict;
    check(
        predict,
        "text-embedding-005",
        body,
        Admission::Strict,
        Some(tokens),
    );
    check(predict, "imagen-4", body, Admission::Strict, None);
    for kind in [
        ApiKind::AnthropicCountTokens,
        ApiKind::GeminiCountTokens,
        ApiKind::VertexCountTokens,
        ApiKind::BedrockCountTokens,
    ] {
        for admission in [Admission::Estimate, Admission::Strict, Admission::Positive] {
            check(kind, "m", "{}", admission, Some(0));
        }
    }
}

#[test]
fn pictures_and_sound_are_estimated_by_the_piece() {
    let estimates = Estimates::new();
    let each = Price {
        per_image: Some(40_000_000),
        per_second: Some(100_000),
        ..Price::default()
    };
    let amount = |call: &Call<'_>, admission| {
        let need = need(
            &limit(Unit::Usd),
            &quota(admission),
            call,
            &estimates,
            Some(&each),
        );
        need.ok().map(|need| need.amount)
    };
    let images = Asked::new(ApiKind::OpenAiImages, "", "m", r#"{"prompt":"cat","n":3}"#);
    assert_eq!(amount(&images.call(), Admission::Estimate), Some(120_000_000));
    assert_eq!(amount(&images.call(), Admission::Strict), Some(120_000_000));
    let speech = Asked::new(ApiKind::OpenAiAudio, "", "m", "{}");
    let file = Call {
        is_form: true,
        body_bytes: 40_001,
        ..speech.call()
    };
    assert_eq!(amount(&file, Admission::Estimate), Some(1_100_000));
    assert_eq!(amount(&file, Admission::Strict), None);
    assert_eq!(amount(&speech.call(), Admission::Strict), None);
    let form = Call {
        is_form: true,
        ..images.call()
    };
    assert_eq!(amount(&form, Admission::Strict), None);
    // In tokens nobody knows, unless the model has a limit.
    let strict = quota(Admission::Strict);
    let tokens = |price: &Price| {
        need(
            &limit(Unit::Tokens),
            &strict,
            &images.call(),
            &estimates,
            Some(price),
        )
    };
    assert!(tokens(&each).is_err());
    let limited = Price {
        max_output: Some(10_000),
        ..each.clone()
    };
    assert!(tokens(&limited).is_ok_and(|need| need.amount > 30_000));
}

#[test]
fn what_strict_cannot_bound_it_refuses() {
    use ApiKind as K;
    let estimates = Estimates::new();
    let check = |kind, basis, model: &str, body: &str, price: &Price, expected: Option<&str>| {
        let asked = Asked::new(kind, basis, model, body);
        for unit in [Unit::Usd, Unit::Tokens] {
            let found = need(
                &limit(unit),
                &quota(Admission::Strict),
                &asked.call(),
                &estimates,
                Some(price),
            );
            match (&found, expected) {
                (Ok(_), None) => {}
                (Err(error), Some(part)) if error.what.contains(part) => {}
                _ => panic!("{kind:?} {model} {body} in {unit:?}: {found:?}"),
            }
            // What is only estimated goes on.
            let estimated = need(
                &limit(unit),
                &quota(Admission::Estimate),
                &asked.call(),
                &estimates,
                Some(price),
            );
            assert!(estimated.is_ok());
        }
    };
    let (known, unknown) = (&sonnet(), &unknown_size());
    let chat = |body: &str, price: &Price, expected: Option<&str>| {
        check(K::OpenAiChat, "", "m", body, price, expected);
    };
    chat(r#"{"max_tokens":5}"#, unknown, None);
    chat("{}", known, None);
    chat("{}", unknown, Some("max_tokens"));
    chat(r#"{"max_tokens":null}"#, unknown, Some("max_tokens"));
    chat(r#"{"max_output_tokens":5}"#, unknown, Some("max_tokens"));
    chat(
        r#"{"max_tokens":5,"x":{"file_id":"f"}}"#,
        unknown,
        Some("other content"),
    );
    chat(r#"{"max_tokens":5,"x":{"file_id":"f"}}"#, known, None);
    chat(
        r#"{"max_tokens":5,"web_search_options":{}}"#,
        known,
        Some("tools"),
    );
    chat(r#"{"max_tokens":5,"models":["a"]}"#, known, None);
    check(
        K::OpenAiChat,
        "openrouter",
        "m",
        r#"{"max_tokens":5,"models":["a"]}"#,
        known,
        Some("another model"),
    );
    for model in [
        "sonar-pro",
        "gpt-4o-search-preview",
        "groq/compound",
        "x:online",
        "openrouter/auto",
    ] {
        check(
            K::OpenAiChat,
            "",
            model,
            r#"{"max_tokens":5}"#,
            known,
            Some("tools"),
        );
    }
    check(
        K::OpenAiEmbeddings,
        "",
        "text-search-ada",
        r#"{"input":"a"}"#,
        unknown,
        None,
    );
    let responses = |body: &str, price: &Price, expected: Option<&str>| {
        check(K::OpenAiResponses, "openai", "m", body, price, expected);
    };
    responses(r#"{"max_output_tokens":5}"#, unknown, None);
    responses(
        r#"{"max_output_tokens":5,"background":true}"#,
        known,
        Some("background"),
    );
    responses(
        r#"{"max_output_tokens":5,"previous_response_id":"r"}"#,
        unknown,
        Some("other content"),
    );
    responses(
        r#"{"max_output_tokens":5,"previous_response_id":"r"}"#,
        known,
        None,
    );
    responses(r#"{"tools":[{"type":"code_interpreter"}]}"#, known, Some("tools"));
    check(
        K::BedrockConverse,
        "bedrock",
        "m",
        r#"{"inferenceConfig":{"maxTokens":5},"additionalModelRequestFields":{"max_tokens":500}}"#,
        known,
        Some("not looked for"),
    );
    check(
        K::OllamaChat,
        "",
        "m",
        r#"{"options":{"num_predict":-1}}"#,
        unknown,
        Some("max_tokens"),
    );
}

#[test]
fn strict_bounds() {
    let estimates = Estimates::new();
    let check = |kind, body: &str, price: &Price, expected: u64| {
        let asked = Asked::new(kind, "", "m", body);
        let found = need(
            &limit(Unit::Tokens),
            &quota(Admission::Strict),
            &asked.call(),
            &estimates,
            Some(price),
        );
        assert_eq!(found, Ok(Need { amount: expected }), "{body:.80}");
    };
    use ApiKind as K;
    let (known, unknown) = (&sonnet(), &unknown_size());
    // Bytes, 4 for each key and value, 2,048; and the output.
    check(K::OpenAiChat, r#"{"max_tokens":5}"#, unknown, 16 + 12 + 2_048 + 5);
    check(
        K::OpenAiChat,
        r#"{"max_tokens":5,"n":3}"#,
        unknown,
        22 + 20 + 2_048 + 15,
    );
    // As many answers as there may be prompts, each as often as `best_of`.
    check(
        K::OpenAiCompletions,
        r#"{"max_tokens":5,"prompt":["a","b"],"n":1,"best_of":3}"#,
        unknown,
        53 + 44 + 2_048 + 30,
    );
    // The model writes no more than it can, and reads no more.
    check(
        K::OpenAiChat,
        r#"{"max_tokens":900000}"#,
        known,
        21 + 12 + 2_048 + 64_000,
    );
    check(
        K::OpenAiChat,
        r#"{"x":{"file_id":""},"n":2}"#,
        known,
        200_000 + 128_000,
    );
    let long = format!(r#"{{"max_tokens":5,"x":"{}"}}"#, "x".repeat(300_000));
    check(K::OpenAiChat, &long, known, 200_005);
    check(K::OpenAiChat, &long, unknown, 300_023 + 20 + 2_048 + 5);
    // A picture is more than its bytes.
    check(
        K::AnthropicMessages,
        r#"{"max_tokens":5,"source":1,"y":{"source":2}}"#,
        unknown,
        44 + 9 * 4 + 2_048 + 2 * 16_384 + 5,
    );
}

#[test]
fn the_limit_is_lowered_to_what_is_left() {
    let estimates = Estimates::new();
    let price = unknown_size();
    let strict = Quota {
        clamp_max_tokens: true,
        ..quota(Admission::Strict)
    };
    let asked = Asked::new(
        ApiKind::AnthropicMessages,
        "anthropic",
        "m",
        r#"{"max_tokens":64000,"messages":[]}"#,
    );
    let clamp = |quota: &Quota, unit, call: &Call<'_>, free: u64| {
        clamp_max_tokens(&limit(unit), quota, call, &estimates, Some(&price), free)
    };
    let input = 34 + 5 * 4 + 2_048;
    // In tokens: what is left after the prompt.
    let lowered = clamp(&strict, Unit::Tokens, &asked.call(), input + 500).unwrap();
    assert_eq!((lowered.max_tokens, lowered.amount), (500, input + 500));
    assert_eq!(
        asked.edited(&lowered.edits),
        r#"{"max_tokens":500,"messages":[]}"#
    );
    // In dollars: rounded so that it fits.
    let free = input * 6_000 + 20 * 15_000 - 1;
    let lowered = clamp(&strict, Unit::Usd, &asked.call(), free).unwrap();
    assert_eq!(lowered.max_tokens, 19);
    assert!(lowered.amount <= free);
    // Fewer than 16 are not worth it.
    let floor = input * 6_000 + 16 * 15_000;
    assert_eq!(
        clamp(&strict, Unit::Usd, &asked.call(), floor)
            .unwrap()
            .max_tokens,
        16
    );
    assert_eq!(clamp(&strict, Unit::Usd, &asked.call(), floor - 1), None);
    assert_eq!(clamp(&strict, Unit::Usd, &asked.call(), 0), None);
    // All that was asked for fits.
    let all = clamp(&strict, Unit::Tokens, &asked.call(), 1 << 40).unwrap();
    assert_eq!((all.max_tokens, all.edits.is_empty()), (64_000, true));
    // What another bucket has left goes first.
    let second = Call {
        lowered: Some(100),
        ..asked.call()
    };
    let lowered = clamp(&strict, Unit::Tokens, &second, input + 500).unwrap();
    assert_eq!((lowered.max_tokens, lowered.amount), (100, input + 100));
    assert_eq!(
        asked.edited(&lowered.edits),
        r#"{"max_tokens":100,"messages":[]}"#
    );
    // A need with the lower limit is the lower need.
    assert_eq!(
        need(&limit(Unit::Tokens), &strict, &second, &estimates, Some(&price)),
        Ok(Need { amount: input + 100 })
    );
    // Where nothing is to be lowered, or the limit is not the matter.
    let refused = |quota: &Quota, unit| {
        assert_eq!(clamp(quota, unit, &asked.call(), 1 << 40), None, "{unit:?}");
    };
    refused(&quota(Admission::Strict), Unit::Tokens);
    refused(&strict, Unit::Requests);
    refused(&strict, Unit::Concurrency);
    let positive = Quota {
        admission: Admission::Positive,
        ..strict.clone()
    };
    refused(&positive, Unit::Tokens);
}

#[test]
fn a_limit_is_put_in_where_there_is_none() {
    let estimates = Estimates::new();
    let price = unknown_size();
    let strict = Quota {
        clamp_max_tokens: true,
        ..quota(Admission::Strict)
    };
    let asked = Asked::new(ApiKind::OpenAiResponses, "openai", "m", r#"{"input":"a"}"#);
    let tokens = limit(Unit::Tokens);
    // More than any bucket has: so it comes to the lowering.
    assert_eq!(
        need(&tokens, &strict, &asked.call(), &estimates, Some(&price)),
        Ok(Need { amount: AMOUNT_MAX })
    );
    let input = 13 + 12 + 2_048;
    let lowered = clamp_max_tokens(
        &tokens,
        &strict,
        &asked.call(),
        &estimates,
        Some(&price),
        input + 77,
    )
    .unwrap();
    assert_eq!((lowered.max_tokens, lowered.amount), (77, input + 77));
    assert_eq!(
        asked.edited(&lowered.edits),
        r#"{"max_output_tokens":77,"input":"a"}"#
    );
    // What has no bound at all stays refused.
    let hosted = Asked::new(
        ApiKind::OpenAiResponses,
        "openai",
        "m",
        r#"{"tools":[{"type":"web_search"}]}"#,
    );
    assert!(need(&tokens, &strict, &hosted.call(), &estimates, Some(&price)).is_err());
    let lowered = clamp_max_tokens(
        &tokens,
        &strict,
        &hosted.call(),
        &estimates,
        Some(&price),
        1 << 50,
    );
    assert_eq!(lowered, None);
    // An estimate is lowered, too: the 1,024 that are expected do not fit.
    let estimate = Quota {
        clamp_max_tokens: true,
        ..quota(Admission::Estimate)
    };
    let lowered = clamp_max_tokens(&tokens, &estimate, &asked.call(), &estimates, Some(&price), 104).unwrap();
    assert_eq!((lowered.max_tokens, lowered.amount), (100, 104));
    assert_eq!(
        need(&tokens, &estimate, &asked.call(), &estimates, Some(&price)),
        Ok(Need {
            amount: 4 + OUTPUT_DEFAULT
        })
    );
}

/// A deterministic source of numbers (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound.max(1)
    }
}

#[test]
fn no_usage_within_the_bounds_costs_more_than_strict_reserves() {
    let mut numbers = Numbers(42);
    let estimates = Estimates::new();
    let rows = cost::all();
    assert!(rows.len() > 50);
    for round in 0..4_000usize {
        let price = &rows[round % rows.len()];
        let max_tokens = 1 + numbers.below(100_000);
        let choices = 1 + numbers.below(3);
        let pad = "x".repeat(usize::try_from(numbers.below(3_000)).unwrap());
        let body = format!(r#"{{"max_tokens":{max_tokens},"n":{choices},"messages":"{pad}"}}"#);
        let asked = Asked::new(ApiKind::OpenAiChat, "", "m", &body);
        let bound = |unit| {
            let found = need(
                &limit(unit),
                &quota(Admission::Strict),
                &asked.call(),
                &estimates,
                Some(price),
            );
            found.unwrap().amount
        };
        let most = strict::input(&asked.call(), Some(price)).unwrap();
        let input = if numbers.below(2) == 0 {
            most
        } else {
            numbers.below(most + 1)
        };
        let output = max_tokens.min(price.max_output.unwrap_or(u64::MAX)) * choices;
        let output = if numbers.below(2) == 0 {
            output
        } else {
            numbers.below(output + 1)
        };
        let cached_read = numbers.below(input + 1);
        let cache_write = numbers.below(input - cached_read + 1);
        let tiers = [
            None,
            Some(sluice_shared::usage::ServiceTier::Batch),
            Some(sluice_shared::usage::ServiceTier::Flex),
            Some(sluice_shared::usage::ServiceTier::Priority),
        ];
        let some =
            |numbers: &mut Numbers, most: u64| (numbers.below(2) == 0).then(|| numbers.below(most + 1));
        let usage = Usage {
            input: Some(input),
            input_uncached: Some(input - cached_read - cache_write),
            cached_read: Some(cached_read),
            cache_write: Some(cache_write),
            cache_write_1h: Some(numbers.below(cache_write + 1)),
            output: Some(output),
            reasoning: some(&mut numbers, output),
            input_audio: some(&mut numbers, input),
            input_image: some(&mut numbers, input),
            output_audio: some(&mut numbers, output),
            output_image: some(&mut numbers, output),
            tier: tiers[usize::try_from(numbers.below(4)).unwrap()],
            ..Usage::default()
        };
        let stated = cost::cost(price, &usage).unwrap().0;
        let reserved = bound(Unit::Usd);
        assert!(
            stated <= reserved,
            "{} {}: {usage:?} costs {stated}, reserved {reserved}",
            price.basis,
            price.model
        );
        assert!(input + output <= bound(Unit::Tokens));
    }
}

/// A record of a request that was sent, of 400 bytes, answered with 200 and 1,200 bytes.
fn record(api: ApiKind, known: Known, ended: Ended) -> UsageRecord {
    UsageRecord {
        provider: "p".into(),
        model_asked: "m".into(),
        status: 200,
        ended,
        usage_known: known,
        request_bytes: 400,
        response_bytes: 1_200,
        ..UsageRecord::draft(
            RequestId::new(0, ShardId(0), 0, 0),
            UnixMicros(0),
            ShardId(0),
            Epoch(0),
            api,
        )
    }
}

#[test]
fn what_a_settled_request_takes() {
    let check = |unit, record: &UsageRecord, expected: u64| {
        assert_eq!(used(unit, record), expected, "{unit:?}");
    };
    let mut good = record(ApiKind::OpenAiChat, Known::Reported, Ended::Complete);
    good.usage.input = Some(30);
    good.usage.cached_read = Some(20);
    good.usage.output = Some(5);
    good.usage.total = Some(36);
    good.cost = Some(NanoUsd(700));
    check(Unit::Usd, &good, 700);
    check(Unit::Tokens, &good, 35);
    check(Unit::Requests, &good, 1);
    check(Unit::Concurrency, &good, 0);
    // Unpriced: no dollars, but tokens.
    good.cost = None;
    check(Unit::Usd, &good, 0);
    // One count alone, and a total alone.
    good.usage.output = None;
    check(Unit::Tokens, &good, 30);
    good.usage.input = None;
    check(Unit::Tokens, &good, 36);
    // Nobody knows.
    good.usage = Usage::default();
    check(Unit::Tokens, &good, 0);
    good.usage.input = Some(u64::MAX);
    good.usage.output = Some(u64::MAX);
    good.cost = Some(NanoUsd(u64::MAX));
    check(Unit::Tokens, &good, AMOUNT_MAX);
    check(Unit::Usd, &good, AMOUNT_MAX);
    for kind in ApiKind::ALL.iter().filter(|kind| !kind.billed()) {
        let mut free = record(*kind, Known::Reported, Ended::Complete);
        free.usage.input = Some(9);
        for unit in Unit::ALL {
            check(*unit, &free, 0);
        }
    }
}

#[test]
fn usage_that_nobody_stated() {
    use ApiKind as K;
    let estimates = Estimates::new();
    let check = |record: &UsageRecord, sent: bool, began: bool, expected: Option<(u64, u64)>| {
        let found = estimate_unstated(record, &record.model_asked, &estimates, sent, began);
        let found = found.map(|usage| (usage.input.unwrap(), usage.output.unwrap()));
        assert_eq!(
            found, expected,
            "{:?} {:?} {:?} sent {sent} began {began}",
            record.api, record.usage_known, record.ended
        );
    };
    // Every kind: 400 bytes are 100 tokens; 1,200 bytes of a whole answer 200.
    for kind in ApiKind::ALL {
        let expected = match kind {
            K::OpenAiChat
            | K::OpenAiCompletions
            | K::OpenAiResponses
            | K::AnthropicMessages
            | K::GeminiGenerate
            | K::VertexGenerate
            | K::VertexRawPredict
            | K::BedrockInvoke
            | K::BedrockConverse
            | K::OllamaChat => Some((100, 200)),
            K::OpenAiEmbeddings | K::OpenAiRerank | K::GeminiEmbed | K::OllamaEmbed => Some((100, 0)),
            K::OpenAiImages
            | K::OpenAiAudio
            | K::OpenAiModerations
            | K::VertexPredict
            | K::AnthropicCountTokens
            | K::GeminiCountTokens
            | K::VertexCountTokens
            | K::BedrockCountTokens => None,
        };
        check(
            &record(*kind, Known::Unknown, Ended::Complete),
            true,
            true,
            expected,
        );
        check(
            &record(*kind, Known::Unknown, Ended::Complete),
            false,
            false,
            None,
        );
        check(&record(*kind, Known::Reported, Ended::Complete), true, true, None);
    }
    // Every end: began, sent only, not even sent.
    for (ended, began, sent) in [
        (Ended::Complete, Some((100, 200)), Some((100, 0))),
        (Ended::ClientGone, Some((100, 200)), Some((100, 0))),
        (Ended::CutByQuota, Some((100, 200)), Some((100, 0))),
        (Ended::Aborted, Some((100, 200)), Some((100, 0))),
        (Ended::UpstreamFailed, Some((100, 200)), None),
        (Ended::Blocked, None, None),
    ] {
        let mut record = record(K::OpenAiChat, Known::Unknown, ended);
        check(&record, true, true, began);
        record.status = 0;
        check(&record, true, false, sent);
        check(&record, false, false, None);
    }
    // What a provider refuses costs nothing.
    for status in [400, 401, 429, 500, 529] {
        let mut refused = record(K::OpenAiChat, Known::Unknown, Ended::Complete);
        refused.status = status;
        check(&refused, true, true, None);
        check(&refused, true, false, None);
    }
    // Streams spend more bytes on a token.
    let mut stream = record(K::AnthropicMessages, Known::Unknown, Ended::ClientGone);
    stream.stream = true;
    check(&stream, true, true, Some((100, 40)));
    // What a cut answer had stated stays, unless the bytes say more.
    stream.usage_known = Known::Partial;
    stream.usage.input = Some(77);
    stream.usage.cached_read = Some(70);
    stream.usage.input_uncached = Some(7);
    stream.usage.output = Some(1);
    check(&stream, true, true, Some((77, 40)));
    stream.usage.output = Some(50);
    check(&stream, true, true, None);
    let mut partial = stream.clone();
    partial.usage.output = None;
    let usage = estimate_unstated(&partial, "m", &estimates, true, true).unwrap();
    assert_eq!((usage.cached_read, usage.input_uncached), (Some(70), Some(7)));
    // A vendor's own body may hold anything; the model says what.
    let mut invoke = record(K::BedrockInvoke, Known::Unknown, Ended::Complete);
    for (model, expected) in [
        ("amazon.titan-embed-text-v2:0", Some((100, 0))),
        ("cohere.rerank-v3-5:0", Some((100, 0))),
        ("amazon.nova-canvas-v1:0", None),
        ("stability.sd3-5-large-v1:0", None),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", Some((100, 200))),
    ] {
        model.clone_into(&mut invoke.model_asked);
        check(&invoke, true, true, expected);
    }
}

#[test]
fn what_runs_has_used_what_is_stated_or_what_its_bytes_say() {
    let estimates = Estimates::new();
    let learnt = estimates.of("p", "m");
    let mut record = record(ApiKind::AnthropicMessages, Known::Unknown, Ended::Aborted);
    record.stream = true;
    let check = |so_far: Counts, bytes: u64, expected: (u64, u64)| {
        let used = running(&record, so_far, bytes, learnt);
        assert_eq!((used.input, used.output), expected, "{so_far:?} {bytes}");
        assert_eq!(used.amount(Unit::Tokens, None), expected.0 + expected.1);
    };
    let stated = |input, output| Counts {
        input,
        output,
        ..Counts::default()
    };
    check(Counts::default(), 0, (100, 0));
    check(Counts::default(), 30_000, (100, 1_000));
    check(stated(Some(20), Some(1)), 30_000, (20, 1_000));
    check(stated(Some(20), Some(5_000)), 30_000, (20, 5_000));
    // 20 of them read from the cache.
    let counts = Counts {
        input: Some(20),
        cached_read: Some(20),
        ..Counts::default()
    };
    let price = sonnet();
    let used = running(&record, counts, 0, learnt);
    assert_eq!(used.amount(Unit::Usd, Some(&price)), 20 * 300);
    assert_eq!(used.amount(Unit::Usd, None), 0);
    assert_eq!(used.amount(Unit::Requests, None), 1);
    assert_eq!(used.amount(Unit::Concurrency, None), 0);
    // Pictures: bytes say nothing.
    let images = UsageRecord {
        api: ApiKind::OpenAiImages,
        ..record.clone()
    };
    assert_eq!(
        running(&images, Counts::default(), 1 << 20, learnt),
        Use::default()
    );
}
