//! Unreferenced Rust files: nobody compiles them, so nobody knows whether they still hold.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

pub(super) fn check(
    root: &Path,
    metadata: &Value,
    files: &[String],
    complaints: &mut Vec<String>,
) -> Result<()> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")?;
    let mut waiting: Vec<(PathBuf, PathBuf)> = Vec::new();
    for package in packages {
        for target in package["targets"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default()
        {
            let path = Path::new(target["src_path"].as_str().unwrap_or_default());
            if let (true, Some(folder)) = (path.starts_with(root), path.parent()) {
                waiting.push((path.to_owned(), folder.to_owned()));
            }
        }
    }
    // The fuzz targets are a workspace of their own, each file a program.
    for file in files.iter().filter(|file| file.starts_with("tools/fuzz/")) {
        waiting.push((root.join(file), root.join("tools/fuzz")));
    }
    let mut reached = BTreeSet::new();
    while let Some((file, folder)) = waiting.pop() {
        if !reached.insert(file.clone()) {
            continue;
        }
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        for name in declared(&text) {
            for candidate in [
                folder.join(format!("{name}.rs")),
                folder.join(&name).join("mod.rs"),
            ] {
                if candidate.is_file() {
                    waiting.push((candidate, folder.join(&name)));
                }
            }
        }
        let beside = |path: &str| file.parent().unwrap_or(root).join(path).canonicalize();
        for included in quoted_after(&text, "include!(").filter_map(|path| beside(path).ok()) {
            waiting.push((included, folder.clone()));
        }
        // A module at a path of its own has its submodules beside it.
        for named in quoted_after(&text, "#[path = ").filter_map(|path| beside(path).ok()) {
            let folder = named.parent().unwrap_or(root).to_owned();
            waiting.push((named, folder));
        }
    }
    for file in files
        .iter()
        .filter(|file| Path::new(file).extension().is_some_and(|kind| kind == "rs"))
    {
        if !reached.contains(&root.join(file)) {
            complaints.push(format!("{file}: no `mod` names this file"));
        }
    }
    Ok(())
}

/// The names of `mod name;` lines, whatever their visibility.
fn declared(text: &str) -> Vec<String> {
    let names = text.lines().filter_map(|line| {
        let line = line.trim().strip_suffix(';')?;
        let (visibility, name) = line.rsplit_once("mod ")?;
        let visible = visibility.is_empty() || (visibility.starts_with("pub") && visibility.ends_with(' '));
        let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (visible && plain).then(|| name.to_owned())
    });
    names.collect()
}

fn quoted_after<'a>(text: &'a str, lead: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(lead)
        .skip(1)
        .filter_map(|rest| rest.strip_prefix('"')?.split_once('"').map(|(path, _)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mod_lines() {
        let text =
            "mod a;\npub mod b;\n    pub(crate) mod c;\nmod d { }\n// the mod e;\nuse mod_f;\nmod tests {\n";
        assert_eq!(declared(text), ["a", "b", "c"]);
    }
}
