//! Real clients through the real program. The clients are Python and Node programs, hence scripts in `tools/e2e`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::run::{run, works};
use crate::{cargo, target_dir};

/// The official client libraries from PyPI, in a venv below `target/`.
///
/// # Errors
/// If a check fails. A machine without Python gets a line instead.
pub(crate) fn libraries(root: &Path) -> Result<()> {
    let Some(python) = venv(root, "e2e-venv", "requirements.txt", "the client libraries")? else {
        return Ok(());
    };
    let sluice = build(root)?;
    run(Command::new(&python)
        .arg(root.join("tools/e2e/libraries.py"))
        .arg(&sluice))?;
    run(Command::new(&python)
        .arg(root.join("tools/e2e/sweep.py"))
        .arg(&sluice))
}

/// The admin API against its description, by Schemathesis from PyPI.
///
/// # Errors
/// If an answer is not as described. A machine without Python gets a line instead.
pub(crate) fn api(root: &Path) -> Result<()> {
    let Some(python) = venv(root, "openapi-venv", "schemathesis.txt", "the admin API")? else {
        return Ok(());
    };
    let sluice = build(root)?;
    run(Command::new(&python)
        .arg(root.join("tools/e2e/openapi.py"))
        .arg(&sluice))
}

/// The Python of a venv below `target/` that holds what a file of `tools/e2e` lists; `None`, and a line that says so, where
/// there is no Python.
fn venv(root: &Path, name: &str, requirements: &str, what: &str) -> Result<Option<PathBuf>> {
    let venv = target_dir(root).join(name);
    let python = venv.join("bin/python");
    let wanted = root.join("tools/e2e").join(requirements);
    let installed = venv.join("requirements.installed");
    if std::fs::read(&wanted).ok() != std::fs::read(&installed).ok() {
        if !works(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
            println!("SKIPPED: {what}; python3 with venv is missing (Debian: python3-venv)");
            return Ok(None);
        }
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
        run(Command::new(&python)
            .args(["-m", "pip", "install", "--quiet", "--requirement"])
            .arg(&wanted))?;
        std::fs::copy(&wanted, &installed)?;
    }
    Ok(Some(python))
}

/// Claude Code, Codex and Gemini CLI from npm, below `target/` unless they are elsewhere.
///
/// # Errors
/// If a check fails or the programs cannot be installed.
pub(crate) fn programs(root: &Path, node: Option<PathBuf>) -> Result<()> {
    let folder = node.unwrap_or_else(|| target_dir(root).join("clients"));
    run(Command::new("python3")
        .arg(root.join("tools/e2e/programs.py"))
        .arg("--node")
        .arg(folder)
        .arg(build(root)?))
}

/// Builds `sluice` and says where it is.
///
/// # Errors
/// If it cannot be built.
pub(crate) fn build(root: &Path) -> Result<PathBuf> {
    run(cargo(root).args(["build", "--quiet", "--package", "sluice"]))?;
    Ok(target_dir(root).join("debug/sluice"))
}
