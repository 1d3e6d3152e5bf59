//! `sluice usage`.

use std::process::ExitCode;

use anyhow::Result;

use crate::cli::UsageOptions;

pub(crate) fn run(options: &UsageOptions) -> Result<ExitCode> {
    let _ = options;
    Ok(ExitCode::SUCCESS)
}
