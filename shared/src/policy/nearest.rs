//! The name in a grant that somebody probably meant.

/// Longer names are not compared, so that the work is bounded.
const CHARS_MAX: usize = 64;

/// How many characters must be inserted, removed or replaced to turn one name into the other, without regard to
/// case; `None` if that is more than a third of the name, so that it is not worth telling.
pub(super) fn distance(meant: &str, written: &str) -> Option<usize> {
    let meant = lower(meant)?;
    let written = lower(written)?;
    let limit = (meant.len() / 3).max(1);
    if meant.len().abs_diff(written.len()) > limit {
        return None;
    }
    let mut row: Vec<usize> = (0..=written.len()).collect();
    for (i, a) in meant.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, b) in row.iter_mut().skip(1).zip(&written) {
            let above = *cell;
            left = (diagonal + usize::from(a != b)).min(above + 1).min(left + 1);
            *cell = left;
            diagonal = above;
        }
    }
    let distance = row.last().copied()?;
    (distance <= limit).then_some(distance)
}

fn lower(name: &str) -> Option<Vec<char>> {
    let name: Vec<char> = name
        .chars()
        .flat_map(char::to_lowercase)
        .take(CHARS_MAX + 1)
        .collect();
    (name.len() <= CHARS_MAX).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_near_and_other_names_are_not() {
        let check = |a: &str, b: &str, expected: Option<usize>| {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        };
        check("alice@example.com", "alice@example.com", Some(0));
        check("alice@example.com", "Alice@Example.com", Some(0));
        check("alice@example.com", "alice@example.con", Some(1));
        check("alice@example.com", "alce@example.com", Some(1));
        check("tag:ci", "tag:cd", Some(1));
        check("tag:ci", "group:engineering", None);
        check(&"a".repeat(65), &"a".repeat(65), None);
        check("", "", Some(0));
    }
}
