//! What a caller is told who has used a budget up: whose it is, what is left of it, what is needed, and when that will be
//! there.

use sluice_shared::quota::{AMOUNT_MAX, Terms, Unit, unsigned};

/// Nanodollars in a dollar.
const DOLLAR: u64 = 1_000_000_000;

pub(super) fn undefined(quota: &str) -> String {
    format!(
        "quota {quota} counts for this call and is not defined, or cannot be read; ask the administrator of this gateway"
    )
}

pub(super) fn unavailable(bucket: &str) -> String {
    format!("what is left of the budget {bucket} cannot be found out at the moment; try again shortly")
}

pub(super) fn unpriced(quota: &str, provider: &str, model: &str) -> String {
    format!(
        "access denied: model {model} of provider {provider} has no price, and quota {quota} admits no such model; ask the \
         administrator of this gateway"
    )
}

pub(super) fn unbounded(quota: &str, what: &str) -> String {
    format!("quota {quota} admits only requests of which is known what they use at most: {what}")
}

/// What a bucket has too little of. `free` may be a debt.
pub(super) fn exhausted(
    bucket: &str,
    unit: Unit,
    need: u64,
    free: i64,
    terms: Terms,
    retry_after_s: Option<u32>,
) -> String {
    if unit == Unit::Concurrency {
        return format!(
            "quota exceeded: as many requests run in {bucket} as may ({}); try again when one of them has ended",
            terms.capacity
        );
    }
    let left = if free < 0 {
        format!("is overdrawn by {}", amount(unit, free.unsigned_abs()))
    } else {
        format!("has {} left", amount(unit, unsigned(free)))
    };
    let when = if need > terms.capacity {
        format!(
            "it never holds more than {}; ask the administrator of this gateway",
            amount(unit, terms.capacity)
        )
    } else {
        match retry_after_s {
            Some(seconds) => format!("enough will be there in {}", duration(seconds)),
            None => "it is not refilled by itself; ask the administrator of this gateway".to_owned(),
        }
    };
    // What `positive` reserves says nothing about what the request would take.
    let needs = if need >= AMOUNT_MAX {
        "this request sets no limit on its answer".to_owned()
    } else if need <= 1 && unit != Unit::Requests {
        "nothing is sent until there is something".to_owned()
    } else {
        format!("this request needs {}", amount(unit, need))
    };
    format!("quota exceeded: {bucket} {left}, {needs}; {when}")
}

/// An amount in its unit: whole cents, or as many places as it takes.
fn amount(unit: Unit, amount: u64) -> String {
    let count = |word: &str| format!("{amount} {word}{}", if amount == 1 { "" } else { "s" });
    match unit {
        Unit::Usd => {
            let mut text = format!("${}.{:09}", amount / DOLLAR, amount % DOLLAR);
            let cents = text.len().saturating_sub(7);
            while text.len() > cents && text.ends_with('0') {
                text.pop();
            }
            text
        }
        Unit::Tokens => count("token"),
        Unit::Requests => count("request"),
        Unit::Concurrency => count("running request"),
    }
}

/// Two units at most, rounded up in the last.
fn duration(seconds: u32) -> String {
    let (minutes, hours, days) = (60, 3_600, 86_400);
    let two = |large: u32, large_word: &str, small: u32, small_word: &str| {
        let parts = seconds.div_ceil(small);
        let (whole, rest) = (parts / (large / small), parts % (large / small));
        if rest == 0 {
            format!("{whole} {large_word}")
        } else {
            format!("{whole} {large_word} {rest} {small_word}")
        }
    };
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..3_600 => format!("{} min", seconds.div_ceil(minutes)),
        3_600..86_400 => two(hours, "h", minutes, "min"),
        _ => two(days, "d", hours, "h"),
    }
}

#[cfg(test)]
mod tests {
    use sluice_shared::quota::Rate;

    use super::*;

    #[test]
    fn amounts() {
        for (nano, expected) in [
            (0, "$0.00"),
            (1, "$0.000000001"),
            (5_000_000_000, "$5.00"),
            (9_400_000_000, "$9.40"),
            (123_456_000, "$0.123456"),
            (10_000_000, "$0.01"),
            (12_345_678_900_000_000, "$12345678.90"),
        ] {
            assert_eq!(amount(Unit::Usd, nano), expected);
        }
        assert_eq!(amount(Unit::Tokens, 1), "1 token");
        assert_eq!(amount(Unit::Requests, 20), "20 requests");
    }

    #[test]
    fn durations() {
        for (seconds, expected) in [
            (1, "1 s"),
            (119, "119 s"),
            (120, "2 min"),
            (121, "3 min"),
            (3_600, "1 h"),
            (3_601, "1 h 1 min"),
            (7_140, "1 h 59 min"),
            (86_399, "24 h"),
            (86_400, "1 d"),
            (90_001, "1 d 2 h"),
            (u32::MAX, "49710 d 7 h"),
        ] {
            assert_eq!(duration(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn what_is_said() {
        let terms = Terms {
            capacity: 10 * DOLLAR,
            rate: Rate {
                amount: 5 * DOLLAR,
                per_us: 86_400_000_000,
            },
        };
        let say = |need, free, retry| exhausted("daily:alice", Unit::Usd, need, free, terms, retry);
        assert_eq!(
            say(2 * DOLLAR, 500_000_000, Some(25_920)),
            "quota exceeded: daily:alice has $0.50 left, this request needs $2.00; enough will be there in 7 h 12 min"
        );
        assert_eq!(
            say(1, -1_000_000_000, Some(17_281)),
            "quota exceeded: daily:alice is overdrawn by $1.00, nothing is sent until there is something; \
             enough will be there in 4 h 49 min"
        );
        assert_eq!(
            say(11 * DOLLAR, 10_000_000_000, None),
            "quota exceeded: daily:alice has $10.00 left, this request needs $11.00; it never holds more than $10.00; \
             ask the administrator of this gateway"
        );
        let terms = Terms {
            capacity: 2,
            rate: Rate::NONE,
        };
        assert_eq!(
            exhausted("r", Unit::Requests, 1, 0, terms, None),
            "quota exceeded: r has 0 requests left, this request needs 1 request; it is not refilled by itself; \
             ask the administrator of this gateway"
        );
        assert_eq!(
            exhausted("c", Unit::Concurrency, 1, 0, terms, Some(1)),
            "quota exceeded: as many requests run in c as may (2); try again when one of them has ended"
        );
    }
}
