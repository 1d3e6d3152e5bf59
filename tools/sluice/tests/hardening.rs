//! What the kernel says about the processes of `sluice up`: who they are, what they may, what they show, where they
//! listen, what others may read. Nothing here is taken from the program's own word.

#![allow(clippy::print_stdout, reason = "a skipped part says so")]

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use gateway::{Gateway, until};
use serde_json::json;

const NAMES: [&str; 4] = ["supervisor", "controlplane", "dataplane", "mock"];

/// A variable with a value that no process may show.
const CANARY: (&str, &str) = ("SOME_VENDOR_KEY", "canary-in-the-environment-7316");

fn is_root() -> bool {
    fs::metadata("/proc/self").expect("a process").uid() == 0
}

/// Processes of a gateway: name and id.
fn processes(gateway: &Gateway) -> Vec<(&'static str, i32)> {
    NAMES.map(|name| (name, gateway.pid(name))).to_vec()
}

/// The value of a line `Name:\tvalue` of every thread's status.
fn of_all_threads(pid: i32, name: &str) -> BTreeSet<String> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a running process");
    tasks
        .map(|task| {
            let status =
                fs::read_to_string(task.expect("a thread").path().join("status")).unwrap_or_default();
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.unwrap_or("gone").trim().to_owned()
        })
        .filter(|value| value != "gone")
        .collect()
}

fn only(values: &BTreeSet<String>) -> &str {
    assert_eq!(values.len(), 1, "{values:?}");
    values.iter().next().expect("one value")
}

/// Checks what holds whoever the gateway runs as.
fn closed(gateway: &Gateway) {
    for (name, pid) in processes(gateway) {
        assert_eq!(only(&of_all_threads(pid, "NoNewPrivs")), "1", "{name}");
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("a running process");
        let core: Vec<&str> = limits
            .lines()
            .find_map(|line| line.strip_prefix("Max core file size"))
            .expect("a limit of cores")
            .split_whitespace()
            .collect();
        assert_eq!(core[..2], ["0", "0"], "{name}");
        let command = fs::read(format!("/proc/{pid}/cmdline")).expect("a running process");
        assert!(!String::from_utf8_lossy(&command).contains("canary"), "{name}");
        // Root reads it; for all others, our own user included, not being dumpable closes it, which is as good.
        match fs::read(format!("/proc/{pid}/environ")) {
            Ok(environment) => {
                assert!(is_root(), "{name} lets its own user look into its environment");
                let text = String::from_utf8_lossy(&environment);
                assert!(!text.contains("canary"), "{name}: {text}");
                assert!(text.contains("PATH=/"), "{name} keeps what it needs: {text}");
            }
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{name}"),
        }
        // The kernel gives the files of a process that is not dumpable to root.
        let owner = fs::metadata(format!("/proc/{pid}/environ"))
            .expect("a running process")
            .uid();
        assert_eq!(owner, 0, "{name} is dumpable");
    }
    private(Path::new(&gateway.data()));
}

/// Directories 0700, everything else 0600, all of one owner.
fn private(dir: &Path) {
    let owner = fs::metadata(dir).expect("a data directory").uid();
    let mut folders = vec![dir.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let mode = fs::metadata(&folder).expect("a folder").permissions().mode() & 0o7777;
        assert_eq!(mode, 0o700, "{}", folder.display());
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            // A file that is just being replaced may be gone.
            let Ok(meta) = fs::symlink_metadata(&path) else {
                continue;
            };
            assert_eq!(meta.uid(), owner, "{}", path.display());
            if meta.is_dir() {
                folders.push(path);
            } else {
                seen += 1;
                assert_eq!(meta.permissions().mode() & 0o7777, 0o600, "{}", path.display());
            }
        }
    }
    assert!(seen >= 8, "only {seen} files seen");
}

/// Addresses that a process listens on, from the sockets among its descriptors; `None` if those may not be read.
fn listening(pid: i32) -> Option<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).ok()? {
        let target = fs::read_link(entry.ok()?.path()).unwrap_or_default();
        let text = target.to_string_lossy().into_owned();
        if let Some(inode) = text
            .strip_prefix("socket:[")
            .and_then(|rest| rest.strip_suffix(']'))
        {
            inodes.insert(inode.to_owned());
        }
    }
    let mut found = BTreeSet::new();
    for table in ["tcp", "tcp6"] {
        let text = fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            // 0A is LISTEN.
            if fields[3] == "0A" && inodes.contains(fields[9]) {
                found.insert(fields[1].to_owned());
            }
        }
    }
    Some(found)
}

#[test]
fn every_process_is_closed_and_listens_on_loopback_only() {
    let gateway = Gateway::start_with(&["--mock"], &[CANARY]);
    closed(&gateway);
    let port: u16 = gateway
        .address()
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .expect("a port");
    let mut all = BTreeSet::new();
    for (name, pid) in processes(&gateway) {
        match listening(pid) {
            None => println!("SKIPPED: the sockets of {name}; its descriptors may be read by root only"),
            Some(found) => {
                for address in &found {
                    assert!(address.starts_with("0100007F:"), "{name} listens on {address}");
                }
                all.extend(found);
            }
        }
    }
    if is_root() {
        assert!(all.contains(&format!("0100007F:{port:04X}")), "{all:?}");
        assert_eq!(all.len(), 2, "the gateway's and the mock provider's: {all:?}");
    }
    gateway.stop();
}

#[test]
fn started_as_root_it_runs_as_somebody_else() {
    if !is_root() {
        println!("SKIPPED: becoming another user; only root can");
        return;
    }
    for user in ["nobody", "12345", "12345:54321"] {
        let gateway = Gateway::start_reachable(true, &["--mock", "--user", user], &[CANARY]);
        closed(&gateway);
        let uid = if user == "nobody" { "65534" } else { "12345" };
        for (name, pid) in processes(&gateway) {
            let uids = of_all_threads(pid, "Uid");
            assert_eq!(
                only(&uids).split_whitespace().collect::<Vec<_>>(),
                [uid; 4],
                "{name}"
            );
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                assert_eq!(
                    only(&of_all_threads(pid, set)),
                    "0000000000000000",
                    "{name} {set}"
                );
            }
            if user == "12345:54321" {
                assert_eq!(only(&of_all_threads(pid, "Groups")), "54321", "{name}");
            }
        }
        // Another start of each plane, and root's own questions, go on working.
        for name in ["controlplane", "dataplane"] {
            let before = gateway.pid(name);
            gateway.kill(before);
            until("another process", || {
                gateway.try_pid(name).filter(|pid| *pid != before)
            });
        }
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] });
        assert_eq!(gateway.post("/v1/chat/completions", &body).status, 200);
        assert_eq!(gateway.records(1).len(), 1);
        let usage = gateway::run(&["usage", "--json", "--data", &gateway.data()]);
        assert_eq!(usage.status, Some(0), "{}", usage.out);
        closed(&gateway);
        gateway.stop();
    }
}

#[test]
fn root_gives_way_by_default_and_stays_where_it_must() {
    if !is_root() {
        println!("SKIPPED: what root does by default; only root can");
        return;
    }
    let open = Gateway::start_reachable(true, &["--mock"], &[CANARY]);
    let uid = of_all_threads(open.pid("dataplane"), "Uid");
    assert!(!only(&uid).starts_with('0'), "{uid:?}");
    assert!(!open.log().contains("running as root"), "{}", open.log());
    open.stop();

    // As in the home directory of root: nobody else gets there.
    let closed_place = Gateway::start_reachable(false, &["--mock"], &[CANARY]);
    let log = closed_place.log();
    assert_eq!(log.matches("running as root").count(), 1, "{log}");
    assert!(log.contains("remedy: "), "{log}");
    for (name, pid) in processes(&closed_place) {
        assert_eq!(only(&of_all_threads(pid, "Uid")), "0\t0\t0\t0", "{name}");
        // To read and write files, whoever owns them.
        let effective = of_all_threads(pid, "CapEff");
        assert_eq!(only(&effective), "0000000000000002", "{name}");
    }
    closed(&closed_place);
    closed_place.stop();

    let folder = gateway::folder(false);
    let data = folder.path().join("data").display().to_string();
    let start = [
        "up",
        "--mock",
        "--listen",
        "127.0.0.1:0",
        "--data",
        &data,
        "--user",
    ];
    let refused = gateway::once(&[&start[..], &["nobody"]].concat());
    assert!(
        refused
            .err
            .starts_with("sluice: cannot run as user 65534: it cannot reach"),
        "{}",
        refused.err
    );
    let refused = gateway::once(&[
        "up",
        "--mock",
        "--listen",
        "127.0.0.1:0",
        "--user",
        "no-such-user",
    ]);
    assert_eq!(refused.err, "sluice: there is no user \"no-such-user\"\n");
}
