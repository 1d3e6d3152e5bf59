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
    assert_eq!(azure.rates.input, 150_000_000);
}

#[test]
fn the_tier_that_the_answer_names_has_its_own_rates() {
    let check = |model: &str, tier: Option<ServiceTier>, tokens: [u64; 3], want: u64| {
        let [uncached, read, output] = tokens;
        let usage = Usage {
            input: Some(uncached + read),
            input_uncached: Some(uncached),
            cached_read: Some(read),
            output: Some(output),
            tier,
            ..Usage::default()
        };
        let price = price_for("", model).unwrap();
        assert_eq!(cost(&price, &usage), Some(NanoUsd(want)), "{model} {tier:?}");
    };
    let (batch, flex, priority) = (
        Some(ServiceTier::Batch),
        Some(ServiceTier::Flex),
        Some(ServiceTier::Priority),
    );
    // 1,000 × 1.25 + 1,000 × 0.125 + 100 × 10 = 2,375 millionths; half; double
    check("gpt-5", None, [1_000, 1_000, 100], 2_375_000);
    check("gpt-5", batch, [1_000, 1_000, 100], 1_187_500);
    check("gpt-5", flex, [1_000, 1_000, 100], 1_187_500);
    check("gpt-5", priority, [1_000, 1_000, 100], 4_750_000);
    // No discount for cached tokens in a batch of this model: 2,000 × 1 + 100 × 4
    check("gpt-4.1", batch, [1_000, 1_000, 100], 2_400_000);
    // 1,000 × 3.5 + 1,000 × 0.875 + 100 × 14
    check("gpt-4.1", priority, [1_000, 1_000, 100], 5_775_000);
    // It has no flex tier: 1,000 × 2 + 1,000 × 0.5 + 100 × 8
    check("gpt-4.1", flex, [1_000, 1_000, 100], 3_300_000);
    check("claude-opus-4-8", batch, [1_000, 1_000, 100], 4_000_000);
    // Google's cached tokens keep the ordinary rate in a batch: 1,000 × 0.15 + 1,000 × 0.03 + 100 × 1.25
    check("gemini-2.5-flash", batch, [1_000, 1_000, 100], 305_000);
    // Long inputs in a tier, in proportion: 300,000 × 4 × 2 + 100 × 15 × 2
    check("gpt-6-sol", priority, [300_000, 0, 100], 2_403_000_000);
    check("gpt-6-sol", batch, [300_000, 0, 100], 600_750_000);
}

#[test]
fn images_and_seconds_are_billed_by_the_piece_where_no_tokens_are_stated() {
    let price = Price {
        per_image: Some(40_000_000),
        per_second: Some(100_000),
        rates: Rates {
            input: 1_000_000_000,
            ..Rates::default()
        },
        ..Price::default()
    };
    let usage = Usage {
        images: Some(3),
        ..Usage::default()
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(120_000_000)));
    let usage = Usage {
        audio_ms: Some(9_500),
        ..Usage::default()
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(950_000)));
    let usage = Usage {
        input: Some(10),
        images: Some(3),
        audio_ms: Some(9_500),
        ..Usage::default()
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(10_000)));
    // Nobody knows what a piece costs.
    let by_token = price_for("openai", "gpt-5").unwrap();
    let usage = Usage {
        images: Some(3),
        audio_ms: Some(1),
        ..Usage::default()
    };
    assert_eq!(cost(&by_token, &usage), None);
    // 9 s × 0.0001
    let transcribe = price_for("openai", "gpt-4o-transcribe").unwrap();
    let usage = Usage {
        audio_ms: Some(9_000),
        ..Usage::default()
    };
    assert_eq!(cost(&transcribe, &usage), Some(NanoUsd(900_000)));
}

#[test]
fn hosted_tools_are_billed_apart() {
    let price = price_for("openai", "gpt-5").unwrap();
    let usage = Usage {
        input: Some(1_000),
        output: Some(100),
        web_searches: Some(2),
        file_searches: Some(3),
        code_sessions: Some(1),
        hosted_tools: Some(4),
        ..Usage::default()
    };
    // 1,250 + 1,000 millionths, 2 × 1 cent, 3 × 0.25 cents, 3 cents
    let want = 2_250_000 + 20_000_000 + 7_500_000 + 30_000_000;
    assert_eq!(cost(&price, &usage), Some(NanoUsd(want)));
    // A tool without a price adds nothing.
    let price = price_for("groq", "openai/gpt-oss-120b").unwrap();
    // 150 + 60, and 2 searches at half a cent
    assert_eq!(cost(&price, &usage), Some(NanoUsd(210_000 + 10_000_000)));
}

#[test]
fn no_more_is_billed_than_the_prompt_held() {
    let price = price_for("", "gemini-2.5-flash").unwrap();
    let usage = Usage {
        input: Some(10),
        input_uncached: Some(0),
        cached_read: Some(161),
        output: Some(0),
        ..Usage::default()
    };
    assert_eq!(cost(&price, &usage), Some(NanoUsd(300)));
}

#[test]
fn lines_add_up_to_the_cost() {
    let price = price_for("anthropic", "claude-sonnet-4-6").unwrap();
    let usage = Usage {
        input: Some(1_700),
        input_uncached: Some(1_000),
        cached_read: Some(400),
        cache_write: Some(300),
        cache_write_1h: Some(100),
        output: Some(50),
        web_searches: Some(1),
        ..Usage::default()
    };
    let lines = lines(&price, &usage);
    let names: Vec<_> = lines.iter().map(|line| (line.what, line.count)).collect();
    let want = [
        ("input", 1_000),
        ("cache read", 400),
        ("cache write 5m", 200),
        ("cache write 1h", 100),
        ("output", 50),
        ("web searches", 1),
    ];
    assert_eq!(names, want);
    let sum: u64 = lines
        .iter()
        .map(|line| line.count * line.rate * (1_000_000 / line.per) / 1_000_000)
        .sum();
    assert_eq!(cost(&price, &usage), Some(NanoUsd(sum)));
    assert_eq!(lines.iter().map(|line| line.rate).max(), Some(15_000_000_000));
}

#[test]
fn a_factor_changes_every_rate_and_fee() {
    let price = price_for("openai", "gpt-6-sol").unwrap();
    let half = price.scaled(500_000).unwrap();
    assert_eq!(half.rates.output * 2, price.rates.output);
    let above = |price: &Price| price.above.unwrap().rates.cache_write_5m;
    assert_eq!(above(&half) * 2, above(&price));
    assert_eq!(half.tiers.len(), price.tiers.len());
    assert_eq!(half.tiers[0].rates.input * 2, price.tiers[0].rates.input);
    assert_eq!(half.search.unwrap() * 2, price.search.unwrap());
    assert_eq!(half.code_session.unwrap() * 2, price.code_session.unwrap());
    assert_eq!((half.context, half.max_output), (price.context, price.max_output));
    // Half a nanodollar is rounded up.
    assert_eq!(scale(3, 1, 2), Some(2));
    assert_eq!(scale(1, 1, 3), Some(0));
    assert_eq!(scale(u64::MAX, 2, 1), None);
    assert_eq!(scale(1, 1, 0), None);
    assert_eq!(price.scaled(u64::MAX), None);
}
