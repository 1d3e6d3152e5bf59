//! Whether a refusal was right: what could have been taken from the bucket at that moment at the very most.
//!
//! Of every other request it is known when its client asked and when it was over. While it may have been running, it may
//! have held what it could use at most; once it was surely settled, what it was charged; before it was asked, nothing.
//! If what is left of the bucket even then would have sufficed, the refusal was false.

/// A request as far as it bears on refusals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    pub(super) number: u64,
    pub(super) begun_us: u64,
    pub(super) ended_us: u64,
    /// From when on nothing of it is reserved any more.
    pub(super) settled_us: u64,
    /// What it needs at most to be let in, and holds at most.
    pub(super) need: u64,
    /// What its record charges.
    pub(super) charged: u64,
    pub(super) refused: bool,
}

/// The numbers of those that were refused although `supply`, all that there ever was, would have sufficed.
pub(super) fn false_refusals(supply: u64, asks: &[Ask]) -> Vec<u64> {
    let refused = asks.iter().filter(|ask| ask.refused);
    refused
        .filter(|ask| free_at_least(supply, asks, ask) >= u128::from(ask.need))
        .map(|ask| ask.number)
        .collect()
}

/// What was free all the time while this one waited, if everybody else had taken as much as they could.
fn free_at_least(supply: u64, asks: &[Ask], refused: &Ask) -> u128 {
    let taken = asks.iter().filter(|other| !other.refused).map(|other| {
        u128::from(if other.settled_us < refused.begun_us {
            other.charged
        } else if other.begun_us > refused.ended_us {
            0
        } else {
            other.charged.max(other.need)
        })
    });
    u128::from(supply).saturating_sub(taken.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(number: u64, times: (u64, u64), charged: u64, refused: bool) -> Ask {
        Ask {
            number,
            begun_us: times.0,
            ended_us: times.1,
            settled_us: times.1,
            need: 50,
            charged,
            refused,
        }
    }

    #[test]
    fn a_refusal_is_false_only_if_nothing_can_explain_it() {
        let check = |others: &[Ask], expected: &[u64]| {
            let mut asks = others.to_vec();
            asks.push(ask(9, (100, 110), 0, true));
            assert_eq!(false_refusals(100, &asks), expected, "{others:?}");
        };
        check(&[], &[9]);
        // One that was settled before with little, one that had not begun.
        check(
            &[ask(1, (10, 50), 20, false), ask(2, (111, 120), 40, false)],
            &[9],
        );
        // Two that may have held 50 each.
        check(
            &[ask(1, (10, 105), 20, false), ask(2, (109, 120), 40, false)],
            &[],
        );
        // One that was settled with all of it.
        check(&[ask(1, (10, 50), 51, false)], &[]);
        // One that used more than it reserved.
        check(&[ask(1, (10, 105), 51, false)], &[]);
        // Another refused one holds nothing.
        check(
            &[ask(1, (10, 105), 0, true), ask(2, (10, 105), 50, false)],
            &[1, 9],
        );
    }
}
