//! The S3-compatible server that tests of object storage start: moto's, from PyPI, below `target/`.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::run::{run, works};
use crate::target_dir;

/// Installs it where the tests look for it, unless it is there already.
///
/// # Errors
/// If the folder cannot be written. A machine without Python or without a way to PyPI gets a line instead.
pub(crate) fn install(root: &Path) -> Result<()> {
    let venv = target_dir(root).join("s3-server");
    let wanted = root.join("tools/e2e/s3-server.txt");
    let installed = venv.join("requirements.installed");
    if std::fs::read(&wanted).ok() == std::fs::read(&installed).ok() {
        return Ok(());
    }
    if !works(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        println!(
            "SKIPPED: tests against an S3-compatible server; python3 with venv is missing (Debian: python3-venv)"
        );
        return Ok(());
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let install = run(Command::new(venv.join("bin/python"))
        .args(["-m", "pip", "install", "--quiet", "--requirement"])
        .arg(&wanted));
    if let Err(error) = install {
        println!("SKIPPED: tests against an S3-compatible server; it cannot be installed: {error:#}");
        // Half of it would look like all of it.
        std::fs::remove_dir_all(&venv)?;
        return Ok(());
    }
    std::fs::copy(&wanted, &installed)?;
    Ok(())
}
