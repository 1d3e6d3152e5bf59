//! The known name that somebody probably meant.

/// The nearest of `known`, if it is near enough to be worth naming: at most a third of its letters differ.
pub(crate) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|candidate| (distance(word, candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, removals, replacements and swaps of neighbours that turn `a` into `b` (optimal string alignment), without
/// regard to case. Words over 64 characters are infinitely far.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(65).flat_map(char::to_lowercase).collect();
    let b: Vec<char> = b.chars().take(65).flat_map(char::to_lowercase).collect();
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replace = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            next[j] = replace.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                next[j] = next[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_find_their_word() {
        let known = ["baseurl", "models", "apikey", "authorization", "name"];
        let check =
            |word: &str, expected: Option<&str>| assert_eq!(nearest(word, &known), expected, "{word}");
        check("basurl", Some("baseurl"));
        check("BaseURL", Some("baseurl"));
        check("model", Some("models"));
        check("modles", Some("models"));
        check("autorisation", Some("authorization"));
        check("api_key", Some("apikey"));
        check("color", None);
        check("", None);
        check(&"x".repeat(1_000), None);
    }
}
