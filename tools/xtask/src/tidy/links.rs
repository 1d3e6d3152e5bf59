//! Links in documents: the file must be there, and the heading in it.

use std::path::Path;

pub(super) fn check(root: &Path, files: &[String], complaints: &mut Vec<String>) {
    for file in files.iter().filter(|file| is_markdown(file)) {
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        let folder = root.join(file).parent().map(Path::to_owned).unwrap_or_default();
        for (n, link) in links(&text) {
            let (path, anchor) = link
                .split_once('#')
                .map_or((link, None), |(path, anchor)| (path, Some(anchor)));
            let target = if path.is_empty() {
                root.join(file)
            } else {
                folder.join(path)
            };
            if !target.exists() {
                complaints.push(format!("{file}:{n}: the link {link} leads nowhere"));
            } else if let (Some(anchor), true) = (anchor, is_markdown(&target.to_string_lossy())) {
                let there = std::fs::read_to_string(&target).unwrap_or_default();
                if !headings(&there).any(|heading| heading == anchor) {
                    complaints.push(format!("{file}:{n}: the link {link} names no heading"));
                }
            }
        }
    }
}

fn is_markdown(file: &str) -> bool {
    file.ends_with(".md")
}

/// Relative links outside code blocks, with their line.
fn links(text: &str) -> impl Iterator<Item = (usize, &str)> {
    prose(text).flat_map(|(n, line)| {
        line.split("](").skip(1).filter_map(move |rest| {
            let link = rest.split_once(')')?.0;
            (!link.contains("://") && !link.starts_with("mailto:")).then_some((n, link))
        })
    })
}

/// Headings as anchors, the way Git forges write them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    prose(text)
        .filter(|(_, line)| line.starts_with('#'))
        .map(|(_, line)| {
            let kept = line
                .trim_start_matches('#')
                .trim()
                .chars()
                .filter_map(|c| match c {
                    ' ' => Some('-'),
                    '-' | '_' => Some(c),
                    c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
                    _ => None,
                });
            kept.collect()
        })
}

/// Lines that stand in no code block, counted from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut code = false;
    text.lines().enumerate().filter_map(move |(n, line)| {
        if line.trim_start().starts_with("```") {
            code = !code;
            return None;
        }
        (!code).then_some((n + 1, line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_links_and_headings() {
        let text = "# One, two!\n[a](b.md) and [c](d.md#e)\n```\n[x](y)\n```\n[z](https://example.com)\n";
        assert_eq!(links(text).collect::<Vec<_>>(), [(2, "b.md"), (2, "d.md#e")]);
        assert_eq!(headings(text).collect::<Vec<_>>(), ["one-two"]);
    }
}
