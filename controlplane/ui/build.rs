//! Builds the dashboard with npm, if there is one, and writes the table of its files for `include!`.
//!
//! Nothing here fails the cargo build: a machine without npm or network gets a gateway without dashboard, and the table's
//! `MISSING` says why. The source tree is not written to, but for `node_modules`.

use std::error::Error;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the web build reads; `node_modules` is not among it.
const SOURCES: [&str; 8] = [
    "build.rs",
    "index.html",
    "package.json",
    "package-lock.json",
    "scripts",
    "src",
    "tsconfig.json",
    "vite.config.ts",
];

/// The oldest Node that the bundler runs on.
const NODE_MIN: (u32, u32) = (20, 19);

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=SLUICE_UI");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo sets CARGO_MANIFEST_DIR")?);
    let table = match build(&here, &out) {
        Ok(packed) => table(&packed)?,
        Err(missing) => {
            if let Missing::Failed(reason) = &missing {
                println!("cargo::warning=the dashboard is not embedded: {reason}");
            }
            let (Missing::Skipped(reason) | Missing::Failed(reason)) = missing;
            format!("const REASON: Option<&str> = Some({reason:?});\nstatic TABLE: &[Asset] = &[];\n")
        }
    };
    fs::write(out.join("table.rs"), table)?;
    Ok(())
}

/// Why there is no dashboard.
enum Missing {
    /// It was asked for.
    Skipped(String),
    /// It was not.
    Failed(String),
}

/// Installs what the lock file names if that is due, builds and compresses. Returns the folder of the compressed files.
fn build(here: &Path, out: &Path) -> Result<PathBuf, Missing> {
    if std::env::var("SLUICE_UI").is_ok_and(|value| value == "skip") {
        return Err(Missing::Skipped("it was built with SLUICE_UI=skip".to_owned()));
    }
    node()?;
    // Held to the end: nobody else removes what the bundler reads.
    let _lock = install(here)?;
    let (dist, packed) = (out.join("dist"), out.join("packed"));
    let mut bundle = npm(here);
    bundle.args(["run", "--silent", "bundle", "--", "--emptyOutDir", "--outDir"]);
    run(bundle.arg(&dist))?;
    let mut pack = Command::new("node");
    pack.current_dir(here).arg("scripts/pack.mjs");
    run(pack.args([&dist, &packed]))?;
    Ok(packed)
}

/// Whether there is a Node that is new enough.
fn node() -> Result<(), Missing> {
    let missing = || Missing::Failed("npm was not there when it was built".to_owned());
    let output = Command::new("node")
        .arg("--version")
        .output()
        .map_err(|_| missing())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text
        .trim()
        .trim_start_matches('v')
        .split('.')
        .map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Err(missing());
    };
    if (major, minor) < NODE_MIN {
        return Err(Missing::Failed(format!(
            "Node {major}.{minor} was there when it was built, {}.{} is the oldest that will do",
            NODE_MIN.0, NODE_MIN.1
        )));
    }
    Ok(())
}

/// `npm ci`, unless `node_modules` was installed from this very lock file. One at a time, since several cargo builds may
/// share the source tree: the lock that is returned is held on the lock file itself.
fn install(here: &Path) -> Result<File, Missing> {
    let failed = |error: std::io::Error| Missing::Failed(format!("package-lock.json: {error}"));
    let lock_path = here.join("package-lock.json");
    let lock_file = File::open(&lock_path).map_err(failed)?;
    lock_file.lock().map_err(failed)?;
    let wanted = fs::read(&lock_path).map_err(failed)?;
    let installed = here.join("node_modules/.sluice-installed");
    if fs::read(&installed).is_ok_and(|installed| installed == wanted) {
        return Ok(lock_file);
    }
    let mut ci = npm(here);
    run(ci.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]))?;
    fs::write(installed, wanted).map_err(failed)?;
    Ok(lock_file)
}

fn npm(here: &Path) -> Command {
    let mut npm = Command::new("npm");
    npm.current_dir(here);
    npm
}

/// Runs a command; what it said comes with the reason if it fails.
fn run(command: &mut Command) -> Result<(), Missing> {
    let what = format!(
        "{} {}",
        command.get_program().display(),
        command
            .get_args()
            .take(3)
            .map(|word| word.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ")
    );
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Missing::Failed(format!("{what}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let lines = said.lines().filter(|line| !line.trim().is_empty());
    let said = lines.take(12).collect::<Vec<_>>().join(" | ");
    Err(Missing::Failed(format!("{what} failed: {said}")))
}

/// The Rust source of the table.
fn table(packed: &Path) -> Result<String, Box<dyn Error>> {
    let mut rust = "const REASON: Option<&str> = None;\nstatic TABLE: &[Asset] = &[\n".to_owned();
    for line in fs::read_to_string(packed.join("table.tsv"))?.lines() {
        let [number, path, mime, etag, hashed] = line.split('\t').collect::<Vec<_>>()[..] else {
            return Err(format!("table.tsv: {line:?}").into());
        };
        let bytes = |end: &str| packed.join(format!("{number}.{end}"));
        let (raw, gzip, brotli) = (bytes("raw"), bytes("gz"), bytes("br"));
        // A small file is kept as it is; of others the compressed forms will do.
        let identity = if fs::metadata(&raw)?.len() <= 4096 {
            format!("Some(include_bytes!({raw:?}))")
        } else {
            "None".to_owned()
        };
        writeln!(
            rust,
            "    Asset {{ path: {path:?}, mime: {mime:?}, etag: {:?}, hashed: {hashed}, identity: {identity}, \
             gzip: include_bytes!({gzip:?}), brotli: include_bytes!({brotli:?}) }},",
            format!("\"{etag}\""),
        )?;
    }
    rust.push_str("];\n");
    Ok(rust)
}
