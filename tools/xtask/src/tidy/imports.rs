//! The import wall: which package may name which.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// What touches a clock, a socket or a thread of its own: never below a sans-IO package, not even indirectly.
const RUNTIMES: &[&str] = &[
    "async-std",
    "hyper",
    "mio",
    "monoio",
    "polling",
    "reqwest",
    "smol",
    "socket2",
    "rusqlite",
    "sqlx",
    "tokio",
];

/// Packages of this project that each may name directly (tests may name more).
const MAY_NAME: &[(&str, &[&str])] = &[
    ("sluice-shared", &[]),
    ("sluice-proto", &["sluice-shared"]),
    ("sluice-dataplane", &["sluice-proto", "sluice-shared"]),
    (
        "sluice-controlplane",
        &["sluice-proto", "sluice-shared", "sluice-ui"],
    ),
    ("sluice-ui", &[]),
    ("sluice-loadtest", &["sluice-shared", "sluice-proto"]),
    (
        "sluice-benches",
        &["sluice-shared", "sluice-proto", "sluice-dataplane"],
    ),
    (
        "sluice",
        &[
            "sluice-controlplane",
            "sluice-dataplane",
            "sluice-loadtest",
            "sluice-proto",
            "sluice-shared",
        ],
    ),
    ("xtask", &[]),
];

/// Each plane has its runtime, and only its own.
const NEVER: &[(&str, &[&str])] = &[
    ("sluice-shared", RUNTIMES),
    ("sluice-proto", RUNTIMES),
    (
        "sluice-dataplane",
        &["axum", "hyper", "rusqlite", "sqlx", "tokio"],
    ),
    ("sluice-controlplane", &["monoio"]),
];

pub(super) fn check(root: &Path, metadata: &Value, complaints: &mut Vec<String>) -> Result<()> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")?;
    let members = metadata["workspace_members"]
        .as_array()
        .context("cargo metadata without members")?;
    let ours: Vec<&Value> = packages
        .iter()
        .filter(|package| members.contains(&package["id"]))
        .collect();
    let names: HashSet<&str> = ours
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    for package in &ours {
        let name = package["name"].as_str().context("a package without name")?;
        let Some((_, allowed)) = MAY_NAME.iter().find(|(known, _)| *known == name) else {
            complaints.push(format!(
                "tools/xtask/src/tidy/imports.rs: the package {name} has no line in MAY_NAME"
            ));
            continue;
        };
        for dependency in normal_dependencies(package) {
            if names.contains(dependency) && !allowed.contains(&dependency) {
                complaints.push(format!("{name} must not depend on {dependency}"));
            }
        }
        let manifest = package["manifest_path"]
            .as_str()
            .context("a package without manifest")?;
        let manifest = Path::new(manifest);
        let text = std::fs::read_to_string(manifest)
            .with_context(|| format!("cannot read {}", manifest.display()))?;
        if !text.contains("[lints]\nworkspace = true") {
            let short = manifest.strip_prefix(root).unwrap_or(manifest);
            complaints.push(format!(
                "{}: the workspace's lints are not inherited",
                short.display()
            ));
        }
    }
    let tree = tree(metadata)?;
    for (name, never) in NEVER {
        for reached in reachable(&tree, name) {
            if never.contains(&reached) {
                complaints.push(format!(
                    "{name} must not reach {reached}, not even through another package"
                ));
            }
        }
    }
    Ok(())
}

fn normal_dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let all = package["dependencies"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    all.iter()
        .filter(|dependency| dependency["kind"] != "dev")
        .filter_map(|dependency| dependency["name"].as_str())
}

/// Package name → names of what it is built with; tests aside.
fn tree(metadata: &Value) -> Result<HashMap<&str, HashSet<&str>>> {
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata without packages")?;
    let names: HashMap<&str, &str> = packages
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
        .collect();
    let nodes = metadata["resolve"]["nodes"]
        .as_array()
        .context("cargo metadata without a resolution")?;
    let mut tree: HashMap<&str, HashSet<&str>> = HashMap::new();
    for node in nodes {
        let from = node["id"]
            .as_str()
            .and_then(|id| names.get(id))
            .context("an unknown package")?;
        for dependency in node["deps"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let kinds = dependency["dep_kinds"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let built_in = kinds.iter().any(|kind| kind["kind"].is_null());
            if let Some(to) = dependency["pkg"]
                .as_str()
                .and_then(|id| names.get(id))
                .filter(|_| built_in)
            {
                tree.entry(from).or_default().insert(to);
            }
        }
    }
    Ok(tree)
}

fn reachable<'a>(tree: &HashMap<&'a str, HashSet<&'a str>>, from: &str) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    let mut waiting: Vec<&'a str> = tree.get(from).into_iter().flatten().copied().collect();
    while let Some(name) = waiting.pop() {
        if seen.insert(name) {
            waiting.extend(tree.get(name).into_iter().flatten());
        }
    }
    let mut seen: Vec<&str> = seen.into_iter().collect();
    seen.sort_unstable();
    seen
}
