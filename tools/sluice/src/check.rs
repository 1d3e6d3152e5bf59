//! `sluice check`: every problem of a configuration, with its place.

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use sluice_controlplane::config;

use crate::cli::CheckOptions;
use crate::environment;

/// Prints one line a problem, in the form compilers use, and a line that sums up.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn run(options: &CheckOptions) -> Result<ExitCode> {
    let from_stdin = options.file == Path::new("-");
    let (name, text) = if from_stdin {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("cannot read standard input")?;
        ("-".to_owned(), text)
    } else {
        let name = options.file.display().to_string();
        let text = std::fs::read_to_string(&options.file).with_context(|| format!("cannot read {name}"))?;
        (name, text)
    };
    let folder = options
        .file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let report = config::check_in(&text, &environment::readable(), folder);
    for (kind, messages) in [
        ("error", &report.errors),
        ("warning", &report.warnings),
        ("note", &report.notices),
    ] {
        for message in messages {
            println!("{kind}: {name}:{message}");
        }
    }
    println!(
        "{name}: {} ({} errors, {} warnings)",
        report.summary,
        report.errors.len(),
        report.warnings.len()
    );
    let clean = report.errors.is_empty() && report.warnings.is_empty();
    Ok(if clean {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
