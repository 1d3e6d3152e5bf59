//! The dashboard: its sources by their own checks, and its pages in a real browser against a real gateway.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::e2e;
use crate::run::{output, run, works};

/// The oldest Node that the dashboard's build runs on.
const NODE_MIN: (u32, u32) = (20, 19);
/// Names of a browser that is looked for.
const BROWSERS: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// Format, lints, types and unit tests of the sources.
///
/// # Errors
/// If one of them complains. A machine without npm gets a line instead.
pub(crate) fn sources(root: &Path) -> Result<()> {
    if !has_node() {
        println!("SKIPPED: the dashboard's sources; npm with Node 20.19 or newer is missing");
        return Ok(());
    }
    let folder = root.join("controlplane/ui");
    install(&folder)?;
    for script in ["typecheck", "lint", "test"] {
        run(npm(&folder).args(["run", "--silent", script]))?;
    }
    Ok(())
}

/// Every page and every main action in Chromium.
///
/// # Errors
/// If a test fails. A machine without npm or Chromium gets a line instead.
pub(crate) fn pages(root: &Path) -> Result<()> {
    if !has_browser() {
        return Ok(());
    }
    let folder = root.join("tools/e2e/ui");
    install(&folder)?;
    let sluice = e2e::build(root)?;
    let mut tests: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    tests.sort();
    ensure!(!tests.is_empty(), "there are no tests in {}", folder.display());
    let mut node = Command::new("node");
    node.current_dir(root)
        .args(["--test", "--test-concurrency=1", "--test-reporter=spec"])
        .args(tests)
        .env("SLUICE", sluice);
    run(&mut node)
}

/// A picture of every page of a made-up organisation, light, dark and narrow, in a folder.
///
/// # Errors
/// If a page cannot be opened. A machine without npm or Chromium gets a line instead.
pub(crate) fn pictures(root: &Path, folder: &Path) -> Result<()> {
    if !has_browser() {
        return Ok(());
    }
    let scripts = root.join("tools/e2e/ui");
    install(&scripts)?;
    let sluice = e2e::build(root)?;
    let mut build = Command::new("cargo");
    run(build
        .current_dir(root)
        .args(["build", "-p", "sluice-controlplane", "--example", "seed"]))?;
    let seed = sluice.with_file_name("examples").join("seed");
    run(Command::new("node")
        .current_dir(root)
        .arg(scripts.join("pictures.mjs"))
        .env("SLUICE", sluice)
        .env("SEED", seed)
        .env("PICTURES", std::path::absolute(folder)?))
}

/// Whether pages can be opened; says what is missing.
fn has_browser() -> bool {
    if !has_node() {
        println!("SKIPPED: the dashboard in a browser; npm with Node 20.19 or newer is missing");
        return false;
    }
    if std::env::var_os("CHROMIUM").is_none() && !BROWSERS.iter().any(|name| on_path(name)) {
        println!("SKIPPED: the dashboard in a browser; Chromium is missing (Debian: chromium)");
        return false;
    }
    true
}

/// What the lock file names, unless it is there already.
fn install(folder: &Path) -> Result<()> {
    let lock = folder.join("package-lock.json");
    let wanted = std::fs::read(&lock).with_context(|| format!("{} is missing", lock.display()))?;
    let stamp = folder.join("node_modules/.sluice-installed");
    if std::fs::read(&stamp).ok().as_ref() == Some(&wanted) {
        return Ok(());
    }
    run(npm(folder).args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    std::fs::write(stamp, wanted)?;
    Ok(())
}

fn npm(folder: &Path) -> Command {
    let mut command = Command::new("npm");
    command.current_dir(folder);
    command
}

fn has_node() -> bool {
    let version = output(Command::new("node").arg("--version")).unwrap_or_default();
    let mut parts = version.trim().trim_start_matches('v').split('.');
    let mut part = || {
        parts
            .next()
            .and_then(|text| text.parse::<u32>().ok())
            .unwrap_or(0)
    };
    let found = (part(), part());
    found >= NODE_MIN && works(Command::new("npm").arg("--version"))
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}
