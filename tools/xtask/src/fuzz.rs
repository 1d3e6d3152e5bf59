//! Fuzzing, one target after the other, with a table of what was seen at the end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run::{output, run, works};

/// Runs every target for so many seconds.
///
/// # Errors
/// If a target finds something, or `cargo-fuzz` is missing.
pub(crate) fn fuzz(root: &Path, seconds: u64, only: &[String]) -> Result<()> {
    if !works(Command::new("cargo").args(["fuzz", "--version"])) {
        bail!("cargo-fuzz is missing: cargo install cargo-fuzz");
    }
    seed(root)?;
    let list = output(cargo_fuzz(root).args(["list", "--fuzz-dir", "tools/fuzz"]))?;
    let targets: Vec<&str> = list
        .lines()
        .filter(|name| only.is_empty() || only.iter().any(|only| only == name))
        .collect();
    let mut table = vec!["| target | seconds | runs | coverage (edges) | corpus |".to_owned()];
    table.push("| --- | --- | --- | --- | --- |".to_owned());
    for target in targets {
        println!("── {target}");
        let last = one(root, target, seconds)?;
        let word = |name: &str| after(&last, name).unwrap_or("?").to_owned();
        let runs = last
            .split_whitespace()
            .next()
            .unwrap_or("?")
            .trim_start_matches('#')
            .to_owned();
        table.push(format!(
            "| {target} | {seconds} | {runs} | {} | {} |",
            word("cov:"),
            word("corp:")
        ));
    }
    println!("{}", table.join("\n"));
    Ok(())
}

/// Writes the first inputs; recordings of provider answers serve too, where they are.
fn seed(root: &Path) -> Result<()> {
    let fixtures =
        std::env::var_os("SLUICE_FIXTURES").map_or_else(|| root.join("../shared/fixtures"), PathBuf::from);
    let mut command = Command::new("cargo");
    command.current_dir(root.join("tools/fuzz")).args([
        "run",
        "--quiet",
        "--example",
        "seeds",
        "--",
        "corpus",
    ]);
    if fixtures.is_dir() {
        command.arg(fixtures.canonicalize()?);
    } else {
        println!("no recordings at {}: fuzzing without them", fixtures.display());
    }
    run(&mut command)
}

/// Runs one target and hands back libFuzzer's last line of figures.
fn one(root: &Path, target: &str, seconds: u64) -> Result<String> {
    let mut child = cargo_fuzz(root)
        .args(["run", "--fuzz-dir", "tools/fuzz", target, "--"])
        .args([
            format!("-max_total_time={seconds}"),
            "-print_final_stats=0".to_owned(),
        ])
        .args([
            "-timeout=10",
            "-rss_limit_mb=2048",
            "-max_len=65536",
            "-verbosity=1",
        ])
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo fuzz")?;
    let lines = BufReader::new(child.stderr.take().context("no standard error")?);
    let mut last = String::new();
    for line in lines.lines() {
        let line = line?;
        if line.starts_with('#') && line.contains("cov:") {
            last = line;
        } else if !line.trim_start().starts_with("NEW_FUNC") {
            eprintln!("{line}");
        }
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{target} found something ({status}); the input lies below tools/fuzz/artifacts/{target}");
    }
    println!("{last}");
    Ok(last)
}

/// `cargo fuzz` on a stable compiler: the sanitizer flags are unstable, nothing else is.
fn cargo_fuzz(root: &Path) -> Command {
    let mut command = Command::new("cargo");
    command
        .arg("fuzz")
        .current_dir(root)
        .env("RUSTC_BOOTSTRAP", "1")
        .env_remove("CARGO_TARGET_DIR");
    command
}

fn after<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_once(name)?.1.split_whitespace().next()
}
