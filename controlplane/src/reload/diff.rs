//! What changed between two texts, line by line.

/// Changed regions are compared exactly up to this many pairs of lines; a larger one is shown as replaced.
const PAIRS_MAX: usize = 4_000_000;
/// Lines around a change.
const CONTEXT: usize = 3;

/// A line of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line<'a> {
    Same(&'a str),
    Removed(&'a str),
    Added(&'a str),
}

/// Every line of both texts, in order.
pub(crate) fn lines<'a>(before: &'a str, after: &'a str) -> Vec<Line<'a>> {
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let (old_rest, new_rest) = (
        old.get(head..).unwrap_or_default(),
        new.get(head..).unwrap_or_default(),
    );
    let tail = old_rest
        .iter()
        .rev()
        .zip(new_rest.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    let old_mid = old_rest.get(..old_rest.len() - tail).unwrap_or_default();
    let new_mid = new_rest.get(..new_rest.len() - tail).unwrap_or_default();
    let mut out: Vec<Line<'a>> = old.iter().take(head).map(|line| Line::Same(line)).collect();
    middle(old_mid, new_mid, &mut out);
    out.extend(old.iter().skip(old.len() - tail).map(|line| Line::Same(line)));
    out
}

/// Longest common subsequence, by the table of its lengths from each pair of places to the ends.
fn middle<'a>(old: &[&'a str], new: &[&'a str], out: &mut Vec<Line<'a>>) {
    let width = new.len() + 1;
    let pairs = (old.len() + 1).saturating_mul(width);
    if old.is_empty() || new.is_empty() || pairs > PAIRS_MAX {
        out.extend(old.iter().map(|line| Line::Removed(line)));
        out.extend(new.iter().map(|line| Line::Added(line)));
        return;
    }
    let mut table = vec![0_u32; pairs];
    let at = |table: &[u32], i: usize, j: usize| table.get(i * width + j).copied().unwrap_or(0);
    for (i, a) in old.iter().enumerate().rev() {
        for (j, b) in new.iter().enumerate().rev() {
            let best = if a == b {
                at(&table, i + 1, j + 1) + 1
            } else {
                at(&table, i + 1, j).max(at(&table, i, j + 1))
            };
            if let Some(cell) = table.get_mut(i * width + j) {
                *cell = best;
            }
        }
    }
    let (mut i, mut j) = (0, 0);
    loop {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => {
                out.push(Line::Same(a));
                (i, j) = (i + 1, j + 1);
            }
            (Some(a), Some(_)) if at(&table, i + 1, j) >= at(&table, i, j + 1) => {
                out.push(Line::Removed(a));
                i += 1;
            }
            (_, Some(b)) => {
                out.push(Line::Added(b));
                j += 1;
            }
            (Some(a), None) => {
                out.push(Line::Removed(a));
                i += 1;
            }
            (None, None) => return,
        }
    }
}

/// Lines added and removed.
pub(crate) fn counts(lines: &[Line<'_>]) -> (usize, usize) {
    let count = |wanted: fn(&Line<'_>) -> bool| lines.iter().filter(|line| wanted(line)).count();
    (
        count(|line| matches!(line, Line::Added(_))),
        count(|line| matches!(line, Line::Removed(_))),
    )
}

/// The changes with three lines around each, marked `+`, `-` and with a space; `…` where lines are left out.
pub(crate) fn show(lines: &[Line<'_>]) -> String {
    let near: Vec<bool> = {
        let mut near = vec![false; lines.len()];
        for (at, line) in lines.iter().enumerate() {
            if !matches!(line, Line::Same(_)) {
                let end = (at + CONTEXT + 1).min(lines.len());
                near.iter_mut()
                    .take(end)
                    .skip(at.saturating_sub(CONTEXT))
                    .for_each(|n| *n = true);
            }
        }
        near
    };
    let mut out = String::new();
    let mut left_out = false;
    for (line, near) in lines.iter().zip(near) {
        if !near {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            out.push_str("…\n");
        }
        let (mark, text) = match line {
            Line::Same(text) => (' ', text),
            Line::Removed(text) => ('-', text),
            Line::Added(text) => ('+', text),
        };
        out.push(mark);
        out.push_str(text);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_minimal_and_hold_both_texts() {
        let check = |before: &str, after: &str, expected: (usize, usize)| {
            let found = lines(before, after);
            assert_eq!(counts(&found), expected, "{before:?} {after:?}");
            let side = |wanted: fn(&Line<'_>) -> bool| -> Vec<String> {
                let of = |line: &Line<'_>| match line {
                    Line::Same(t) | Line::Removed(t) | Line::Added(t) => (*t).to_owned(),
                };
                found.iter().filter(|l| wanted(l)).map(of).collect()
            };
            let old: Vec<&str> = before.lines().collect();
            let new: Vec<&str> = after.lines().collect();
            assert_eq!(side(|l| !matches!(l, Line::Added(_))), old);
            assert_eq!(side(|l| !matches!(l, Line::Removed(_))), new);
        };
        check("", "", (0, 0));
        check("a\nb", "a\nb", (0, 0));
        check("", "a", (1, 0));
        check("a", "", (0, 1));
        check("a\nb\nc", "a\nc", (0, 1));
        check("a\nc", "a\nb\nc", (1, 0));
        check("a\nb\nc\nd", "x\nb\ny\nd", (2, 2));
        check("a\na\nb", "a\nb\nb", (1, 1));
        check("1\n2\n3\n4\n5", "5\n4\n3\n2\n1", (4, 4));
    }

    #[test]
    fn a_change_is_shown_with_its_surroundings() {
        let before = "1\n2\n3\n4\n5\n6\n7\n8\n9";
        let after = "1\n2\n3\n4\nfive\n6\n7\n8\n9";
        assert_eq!(
            show(&lines(before, after)),
            "…\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n"
        );
        assert_eq!(show(&lines(before, before)), "");
    }

    #[test]
    fn a_change_too_large_to_compare_is_a_replacement() {
        let text = |mark: char| (0..2_500).map(|n| format!("{mark}{n}\n")).collect::<String>();
        assert_eq!(counts(&lines(&text('a'), &text('b'))), (2_500, 2_500));
    }
}
