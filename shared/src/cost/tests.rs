use super::*;

/// Cost of `basis`/`model` for uncached, read, written 5m, written 1h and output tokens, by hand in `want`.
#[track_caller]
fn check(basis: &str, model: &str, tokens: [u64; 5], want: u64) {
    let [uncached, read, write_5m, write_1h, output] = tokens;
    let usage = Usage {
        input: Some(uncached + read + write_5m + write_1h),
        input_uncached: Some(uncached),
        cached_read: Some(read),
        cache_write: Some(write_5m + write_1h),
        cache_write_5m: Some(write_5m),
        cache_write_1h: Some(write_1h),
        output: Some(output),
        ..Usage::default()
    };
    let price = price_for(basis, model).unwrap_or_else(|| panic!("{basis} {model} has no price"));
    assert_eq!(cost(&price, &usage), Some(NanoUsd(want)), "{basis} {model}");
}

#[test]
fn hand_computed_costs() {
    // 1,000 × 3 + 10,000 × 0.3 + 2,000 × 3.75 + 400 × 6 + 500 × 15 = 23,400 millionths of a dollar
    check(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        [1000, 10_000, 2000, 400, 500],
        23_400_000,
    );
    // A US profile costs 110 percent.
    check(
        "bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        [1000, 10_000, 2000, 400, 500],
        25_740_000,
    );
    check(
        "bedrock",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        [1000, 10_000, 2000, 400, 500],
        23_400_000,
    );
    check(
        "bedrock",
        "global.anthropic.claude-sonnet-4-5-20250929-v1:0",
        [1000, 0, 0, 0, 0],
        3_000_000,
    );
    // 17 × 0.15 + 5 × 0.6 = 5.55 millionths
    check("openai", "gpt-4o-mini-2024-07-18", [17, 0, 0, 0, 5], 5_550);
    check("azure", "gpt-4o-mini", [17, 0, 0, 0, 5], 5_550);
    check("openrouter", "openai/gpt-4o-mini", [17, 0, 0, 0, 5], 5_550);
    check("", "gpt-4o-mini", [17, 0, 0, 0, 5], 5_550);
    // gpt-5.6 bills writes: 8 × 4 + 4,012 × 5 + 5 × 20 = 20,192
    check("openai", "gpt-5.6-sol", [8, 0, 4012, 0, 5], 20_192_000);
    check("openai", "gpt-4.1", [100, 300, 0, 0, 10], 430_000);
    // 202 in, 74 of them uncached: 74 × 1.25 + 128 × 0.2 + 205 × 2.5 = 630.6: what xAI itself stated
    check("xai", "grok-4.3", [74, 128, 0, 0, 205], 630_600);
    check("gemini", "models/gemini-2.5-flash", [1000, 0, 0, 0, 100], 550_000);
    check("vertex", "gemini-2.5-pro", [1000, 0, 0, 0, 100], 2_250_000);
    // 8 × 1 + 15 × 1 for the tokens and half a cent for the request
    check("perplexity", "sonar", [8, 0, 0, 0, 15], 5_023_000);
    check("groq", "openai/gpt-oss-120b", [1000, 0, 0, 0, 100], 210_000);
    check("bedrock", "amazon.nova-lite-v1:0", [1000, 0, 0, 0, 1000], 300_000);
}

#[test]
fn the_whole_input_decides_the_long_context_rate() {
    // 2.5 and 15 instead of 1.25 and 10, and for cached tokens 0.25 instead of 0.125
    check("gemini", "gemini-2.5-pro", [200_000, 0, 0, 0, 1], 250_010_000);
    check("gemini", "gemini-2.5-pro", [200_001, 0, 0, 0, 1], 500_017_500);
    check("gemini", "gemini-2.5-pro", [1, 200_000, 0, 0, 0], 50_002_500);
}

#[test]
fn rounding_happens_once_and_half_up() {
    let price = Price {
        rates: Rates {
            input: 500_000,
            output: 400_000,
            cache_read: 0,
            cache_write_5m: 0,
            cache_write_1h: 0,
            ..Rates::default()
        },
        above: None,
        tiers: Vec::new(),
        ..price_for("openai", "gpt-4o").unwrap()
    };
    let usage = |input, output| Usage {
        input: Some(input),
        output: Some(output),
        ..Usage::default()
    };
    assert_eq!(cost(&price, &usage(1, 0)), Some(NanoUsd(1)));
    assert_eq!(cost(&price, &usage(0, 1)), Some(NanoUsd(0)));
    assert_eq!(cost(&price, &usage(1, 1)), Some(NanoUsd(1)));
    assert_eq!(cost(&price, &usage(1, 2)), Some(NanoUsd(1)));
    assert_eq!(cost(&price, &usage(1, 3)), Some(NanoUsd(2)));
    assert_eq!(
        cost(&price, &usage(u64::MAX, u64::MAX)),
        Some(NanoUsd(16_602_069_666_338_596_454))
    );
    let dear = Price {
        rates: Rates {
            input: u64::MAX,
            ..price.rates
        },
        ..price
    };
    assert_eq!(cost(&dear, &usage(u64::MAX, 0)), None);
    assert_eq!(cost(&dear, &Usage::default()), None);
}

#[test]
fn audio_images_and_searches_are_priced_apart() {
    let price = price_for("openai", "gpt-4o-audio-preview-2024-12-17").unwrap();
    let usage = Usage {
        input: Some(64),
        input_uncached: Some(64),
        output: Some(9),
        input_audio: Some(44),
        output_audio: Some(4),
        ..Usage::default()
    };
    // 20 × 2.5 + 44 × 40 + 5 × 10 + 4 × 80 = 2,180
    assert_eq!(cost(&price, &usage), Some(NanoUsd(2_180_000)));
    // A share larger than the whole is cut to it.
    let usage = Usage {
        input_audio: Some(9999),
        output_audio: Some(9999),
        ..usage
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(64 * 40_000 + 9 * 80_000)));

    let price = price_for("anthropic", "claude-sonnet-4-6").unwrap();
    let usage = Usage {
        input: Some(1000),
        output: Some(10),
        web_searches: Some(3),
        ..Usage::default()
    };
    assert_eq!(
        cost(&price, &usage),
        Some(NanoUsd(3_000_000 + 150_000 + 30_000_000))
    );
}

#[test]
fn side_work_is_priced_at_its_own_model() {
    let price = price_for("anthropic", "claude-sonnet-5").unwrap();
    let side = |model: Option<&str>| SideUsage {
        kind: "advisor_message".to_owned(),
        model: model.map(str::to_owned),
        input: Some(1000),
        input_uncached: Some(1000),
        output: Some(100),
        ..SideUsage::default()
    };
    let with = |side: SideUsage| Usage {
        input: Some(10),
        output: Some(1),
        side: vec![side],
        ..Usage::default()
    };
    // 10 × 2 + 1 × 10 = 30; the advisor 1,000 × 5 + 100 × 25 = 7,500; at its own model 1,000 × 2 + 100 × 10 = 3,000
    assert_eq!(
        cost(&price, &with(side(Some("claude-opus-4-8")))),
        Some(NanoUsd(7_530_000))
    );
    assert_eq!(cost(&price, &with(side(None))), Some(NanoUsd(3_030_000)));
    assert_eq!(cost(&price, &with(side(Some("claude-nobody-knows")))), None);
}

#[test]
fn the_rest_of_a_write_is_5_minutes() {
    let price = price_for("anthropic", "claude-sonnet-4-6").unwrap();
    let usage = Usage {
        input: Some(300),
        input_uncached: Some(0),
        cache_write: Some(300),
        cache_write_1h: Some(100),
        ..Usage::default()
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(200 * 3750 + 100 * 6000)));
    let usage = Usage {
        cache_write_1h: None,
        ..usage
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(300 * 3750)));
}

#[test]
fn bedrock_prices_by_the_region_asked_for() {
    let price = |asked, answered| price_of_call("bedrock", asked, answered).unwrap().rates.input;
    let us = price(
        "us.anthropic.claude-haiku-4-5-20251001-v1:0",
        Some("claude-haiku-4-5-20251001"),
    );
    assert_eq!(us, 1_100_000_000);
    assert_eq!(
        price("global.anthropic.claude-haiku-4-5-20251001-v1:0", None),
        1_000_000_000
    );
    let azure = price_of_call("azure", "my-deployment", Some("gpt-4o-mini-2024-07-18")).unwrap();
    assert_eq!(azure.model, "gpt-4o-mini");
}
