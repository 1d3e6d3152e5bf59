//! `cargo xtask tidy`: what no compiler checks.
//!
//! It is a ratchet: it stops good from worsening. Every complaint names the file.

mod imports;
mod links;
mod modules;
mod words;

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::output;

/// Runs every check and reports all complaints at once.
///
/// # Errors
/// If there is a complaint.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let metadata = output(crate::cargo(root).args(["metadata", "--format-version", "1"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let files = tracked(root)?;
    let mut complaints = Vec::new();
    imports::check(root, &metadata, &mut complaints)?;
    modules::check(root, &metadata, &files, &mut complaints)?;
    words::check(root, &files, &mut complaints);
    links::check(root, &files, &mut complaints);
    if complaints.is_empty() {
        println!("tidy: {} files, nothing to say", files.len());
        return Ok(());
    }
    for complaint in &complaints {
        eprintln!("{complaint}");
    }
    bail!("{} complaints", complaints.len())
}

/// Files under version control or about to be, relative to the root, sorted.
fn tracked(root: &Path) -> Result<Vec<String>> {
    let list = output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(root),
    )?;
    let mut files: Vec<String> = list
        .lines()
        .filter(|file| root.join(file).is_file())
        .map(str::to_owned)
        .collect();
    files.sort();
    files.dedup();
    Ok(files)
}
