//! Keys of `quotas`.

use sluice_shared::quota::AMOUNT_MAX;

use super::{Object, Shape, key, object, required};

#[allow(clippy::cast_possible_wrap, reason = "2^60")]
const COUNT_MAX: i64 = AMOUNT_MAX as i64;
/// A number: the capacity, without refill. A text with a time: what is refilled in it.
const COUNT: Shape = Shape::AnyOf(&[
    Shape::Integer(0, COUNT_MAX),
    Shape::Pattern(
        "^[0-9]+(\\.[0-9]+)?[kMB]?(/(sec|min|hour|day|week|month))?$",
        "1M/day",
    ),
    Shape::Object(&QUOTA_LIMIT),
]);

pub(crate) static QUOTA: Object = object(
    "quota",
    "A budget: up to four limits, each a bucket that is refilled continuously. It counts where a grant's capability names it.",
    &[
        key(
            "capacity",
            Shape::Pattern("^\\$[0-9]+(\\.[0-9]{1,9})?$", "$10.00"),
            "",
            "The ceiling and the starting balance, in US dollars.",
        ),
        key(
            "rate",
            Shape::Pattern(
                "^\\$[0-9]+(\\.[0-9]{1,9})?/(sec|min|hour|day|week|month)$",
                "$5.00/day",
            ),
            "",
            "What is refilled per sec, min, hour, day, week or month (30 days); without it nothing is.",
        ),
        key(
            "tokens",
            COUNT,
            "",
            "Limit in model tokens, prompt and answer (Sluice): a number that is never refilled, a number per time, or both apart.",
        ),
        key(
            "requests",
            COUNT,
            "",
            "Limit in requests that are sent to a provider (Sluice), written like tokens.",
        ),
        key(
            "concurrency",
            Shape::Integer(1, COUNT_MAX),
            "",
            "Requests that run at one time (Sluice).",
        ),
        key(
            "admission",
            Shape::Word(&["estimate", "strict", "positive"]),
            r#""estimate""#,
            "What a request must find in the bucket (Sluice): what such requests have used so far, the most it can use, or anything at all.",
        ),
        key(
            "clamp_max_tokens",
            Shape::Bool,
            "false",
            "A request that may answer with more than is left is sent with a lower limit instead of being refused (Sluice).",
        ),
        key(
            "on_exhausted",
            Shape::Word(&["finish", "cut"]),
            r#""finish""#,
            "What happens to a stream that uses the bucket up: it goes on to its end, or is ended with an error event (Sluice).",
        ),
        key(
            "unpriced",
            Shape::Word(&["allow", "refuse"]),
            r#""allow""#,
            "What happens, under a limit in dollars, to models without a price (Sluice).",
        ),
        key(
            "on_exceed",
            Shape::Word(&["reject"]),
            r#""reject""#,
            "What happens to requests when the bucket is empty.",
        ),
        key(
            "deny_status",
            Shape::AnyOf(&[
                Shape::Integer(400, 400),
                Shape::Integer(403, 403),
                Shape::Integer(429, 429),
            ]),
            "429",
            "Status of a refusal: 400, 403 or 429 (Sluice).",
        ),
        key("description", Shape::Text, r#""""#, "For people (Sluice)."),
        key(
            "disabled",
            Shape::Bool,
            "false",
            "As if no grant named it (Sluice).",
        ),
    ],
);

pub(crate) static QUOTA_LIMIT: Object = object(
    "quota_limit",
    "A limit in tokens or requests.",
    &[
        required(
            "capacity",
            Shape::AnyOf(&[
                Shape::Integer(0, COUNT_MAX),
                Shape::Pattern("^[0-9]+(\\.[0-9]+)?[kMB]?$", "200k"),
            ]),
            "The ceiling and the starting balance.",
        ),
        key(
            "rate",
            Shape::Pattern(
                "^[0-9]+(\\.[0-9]+)?[kMB]?/(sec|min|hour|day|week|month)$",
                "50k/hour",
            ),
            "",
            "What is refilled; without it nothing is.",
        ),
    ],
);
