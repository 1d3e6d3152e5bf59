//! Words that have no place in the project: paths of one machine, hosts of package registries, things left over.

use std::path::Path;

/// What must not stand in any file, and why. Written in two halves, so that this file may stand among them.
const FORBIDDEN: &[(&str, &str, &str)] = &[
    ("/wor", "k/", "a path of one machine"),
    ("/ro", "ot/", "a path of one machine"),
    ("/home", "/", "a path of one machine"),
    (
        "registry.",
        "npmjs.org",
        "a registry's host: name the package only",
    ),
    ("index.", "crates.io", "a registry's host: name the package only"),
    ("pypi", ".org", "a registry's host: name the package only"),
    ("deb.", "debian.org", "a registry's host: name the package only"),
    ("<<<<", "<<< ", "a conflict mark"),
    (">>>>", ">>> ", "a conflict mark"),
    ("FIX", "ME", "do it or open an issue"),
    ("XX", "X:", "do it or open an issue"),
];

pub(super) fn check(root: &Path, files: &[String], complaints: &mut Vec<String>) {
    for file in files {
        // Not text: not ours to read.
        let Ok(text) = std::fs::read_to_string(root.join(file)) else {
            continue;
        };
        for (n, line) in text.lines().enumerate() {
            for (first, second, why) in FORBIDDEN {
                if line.contains(&format!("{first}{second}")) {
                    complaints.push(format!("{file}:{}: {first}{second}: {why}", n + 1));
                }
            }
        }
    }
}
