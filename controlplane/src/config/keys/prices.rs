//! Keys of `prices`.

use super::{Object, Shape, key, object};

/// Dollars, exactly.
const DOLLARS: Shape = Shape::AnyOf(&[Shape::Pattern("^\\$?[0-9]+(\\.[0-9]+)?$", "1.25"), Shape::Factor]);

/// An object that begins with the rates.
macro_rules! rates {
    ($name:literal, $about:literal, $($more:expr),* $(,)?) => {
        object($name, $about, &[
            key("input", DOLLARS, "", "Prompt tokens not cached, US dollars a million."),
            key("output", DOLLARS, "", "Generated tokens, a million."),
            key("cache_read", DOLLARS, "", "Tokens read from the provider's cache, a million."),
            key("cache_write_5m", DOLLARS, "", "Tokens written to the cache for five minutes, a million."),
            key("cache_write_1h", DOLLARS, "", "Tokens written to the cache for an hour, a million."),
            key("reasoning", DOLLARS, "", "Reasoning tokens, where they cost something else than output."),
            key("audio_input", DOLLARS, "", "Audio tokens of the prompt, a million."),
            key("audio_output", DOLLARS, "", "Generated audio tokens, a million."),
            key("image_input", DOLLARS, "", "Image tokens of the prompt, a million."),
            key("image_output", DOLLARS, "", "Generated image tokens, a million."),
            $($more),*
        ])
    };
}

pub(crate) static PRICE: Object = rates!(
    "price",
    "What a model costs; what is not said is as in the built-in table.",
    key(
        "table",
        Shape::Bool,
        "true",
        "Whether the built-in table says what is not said here; otherwise caching costs what input costs, and the rest nothing.",
    ),
    key(
        "above",
        Shape::Object(&PRICE_ABOVE),
        "",
        "Rates of the whole request where its prompt is long.",
    ),
    key(
        "batch",
        Shape::Object(&PRICE_TIER),
        "",
        "Rates of answers in the tier batch."
    ),
    key(
        "flex",
        Shape::Object(&PRICE_TIER),
        "",
        "Rates of answers in the tier flex."
    ),
    key(
        "priority",
        Shape::Object(&PRICE_TIER),
        "",
        "Rates of answers in the tier priority.",
    ),
    key("request", DOLLARS, "", "Every request, US dollars."),
    key("search", DOLLARS, "", "One hosted web search, US dollars."),
    key(
        "file_search",
        DOLLARS,
        "",
        "One search in uploaded files, US dollars."
    ),
    key(
        "code_session",
        DOLLARS,
        "",
        "One session of a hosted code interpreter, US dollars."
    ),
    key(
        "image",
        DOLLARS,
        "",
        "One image, US dollars, where the answer states no tokens."
    ),
    key(
        "second",
        DOLLARS,
        "",
        "One second of audio, US dollars, where the answer states no tokens."
    ),
    key(
        "context",
        Shape::Integer(1, 1_000_000_000),
        "",
        "Most tokens of prompt and answer together."
    ),
    key(
        "max_output",
        Shape::Integer(1, 1_000_000_000),
        "",
        "Most generated tokens."
    ),
);

pub(crate) static PRICE_ABOVE: Object = rates!(
    "price_above",
    "Rates of the whole request where its prompt, cached tokens included, is longer than a number of tokens; those not said are the ordinary ones.",
    key(
        "tokens",
        Shape::Integer(0, 1_000_000_000),
        "",
        "The number of tokens; 0: there are no such rates."
    ),
);

pub(crate) static PRICE_TIER: Object = rates!(
    "price_tier",
    "Rates of a service tier; those not said are as in the table, or else the ordinary ones.",
);
