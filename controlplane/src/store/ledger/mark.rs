//! Marks of use: when a bucket has been used up to one, that is told once, until its use falls clearly below it.

use sluice_shared::quota::ledger::Account;

/// Percentages that are told.
pub(super) const MARKS: [u8; 3] = [50, 80, 100];
/// Percentage points below a mark at which it counts anew.
const REARM: u128 = 5;

/// Percent of the ceiling that is used, rounded down; `None` where there is no ceiling to measure by.
fn used(account: &Account) -> Option<u128> {
    let ceiling = account.terms.ceiling();
    let used = u128::from(ceiling.abs_diff(account.balance.min(ceiling)));
    used.saturating_mul(100)
        .checked_div(u128::from(ceiling.unsigned_abs()))
}

/// The highest mark that still counts as told, after use has fallen.
pub(super) fn rearmed(told: u8, account: &Account) -> u8 {
    let Some(used) = used(account) else { return 0 };
    let holds = |mark: &&u8| **mark <= told && used.saturating_add(REARM) > u128::from(**mark);
    MARKS.iter().rfind(holds).copied().unwrap_or(0)
}

/// The highest mark that is reached.
pub(super) fn reached(account: &Account) -> u8 {
    let Some(used) = used(account) else { return 0 };
    MARKS
        .iter()
        .rfind(|mark| u128::from(**mark) <= used)
        .copied()
        .unwrap_or(0)
}

/// Marks that have been reached beyond the one that was told, lowest first.
pub(super) fn crossed(told: u8, account: &Account) -> impl Iterator<Item = u8> + use<> {
    let reached = reached(account);
    MARKS
        .into_iter()
        .filter(move |mark| told < *mark && *mark <= reached)
}

#[cfg(test)]
mod tests {
    use sluice_shared::quota::{Rate, Terms};
    use sluice_shared::units::UnixMicros;

    use super::*;

    fn account(capacity: u64, balance: i64) -> Account {
        let terms = Terms {
            capacity,
            rate: Rate::NONE,
        };
        Account {
            balance,
            ..Account::open(terms, UnixMicros(0))
        }
    }

    #[test]
    fn marks_are_told_once_and_again_after_use_fell_by_five_points() {
        // Balance of 1000 → told before, still told, newly crossed.
        let check = |balance: i64, told: u8, still: u8, new: &[u8]| {
            let account = account(1_000, balance);
            let kept = rearmed(told, &account);
            assert_eq!(kept, still, "{balance} {told}");
            assert_eq!(
                crossed(kept, &account).collect::<Vec<_>>(),
                new,
                "{balance} {told}"
            );
        };
        check(1_000, 0, 0, &[]);
        check(501, 0, 0, &[]);
        check(500, 0, 0, &[50]);
        check(500, 50, 50, &[]);
        check(540, 50, 50, &[]);
        check(550, 50, 0, &[]);
        check(200, 50, 50, &[80]);
        check(0, 0, 0, &[50, 80, 100]);
        check(-5_000, 80, 80, &[100]);
        check(40, 100, 100, &[]);
        check(50, 100, 80, &[]);
        check(1_000, 100, 0, &[]);
        check(i64::MIN, 0, 0, &[50, 80, 100]);
    }

    #[test]
    fn what_has_no_ceiling_has_no_marks() {
        let none = account(0, -5);
        assert_eq!((rearmed(100, &none), reached(&none)), (0, 0));
        let largest = account(u64::MAX, i64::MIN);
        assert_eq!(reached(&largest), 100);
    }
}
