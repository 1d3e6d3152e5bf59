//! A provider key that was replaced is gone: from the memory of every process of ours, not only from use.

#![allow(clippy::print_stdout, reason = "a skipped part says so")]

#[path = "up/gateway.rs"]
#[allow(dead_code, reason = "shared with the other tests of the program")]
mod gateway;

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use gateway::{Answer, Gateway, until};
use serde_json::json;

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(20);
const PAGE: u64 = 4_096;
/// Pages that are read at once.
const PAGES_AT_ONCE: u64 = 256;
/// In an entry of `/proc/PID/pagemap`: the page is in memory, or in swap.
const THERE: u64 = 0b11 << 62;

/// Where a text stands in the memory of a process: a line for each place. `None` if it may not be read.
fn places(pid: i32, text: &[u8]) -> Option<Vec<String>> {
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let pages = File::open(format!("/proc/{pid}/pagemap")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut found = Vec::new();
    let mut looked_at = 0_u64;
    for line in maps.lines() {
        let (range, rest) = line.split_once(' ').expect("a mapping");
        let (from, to) = range.split_once('-').expect("a range");
        let number = |text| u64::from_str_radix(text, 16).expect("an address");
        let (from, to) = (number(from), number(to));
        // What the kernel maps for itself cannot be read.
        if !rest.starts_with('r') || rest.ends_with("[vvar]") || rest.ends_with("[vsyscall]") {
            continue;
        }
        let mut at = from;
        // The end of the piece before: a text may lie across two pieces.
        let mut tail: Vec<u8> = Vec::new();
        while at < to {
            let count = ((to - at) / PAGE).min(PAGES_AT_ONCE);
            let mut entries = vec![0; usize::try_from(count * 8).expect("a size")];
            let there = pages.read_exact_at(&mut entries, at / PAGE * 8).is_err()
                || entries
                    .chunks_exact(8)
                    .any(|entry| u64::from_ne_bytes(entry.try_into().expect("eight bytes")) & THERE != 0);
            let mut piece = std::mem::take(&mut tail);
            let begins_at = at - piece.len() as u64;
            if there {
                let mut bytes = vec![0; usize::try_from(count * PAGE).expect("a size")];
                if memory.read_exact_at(&mut bytes, at).is_ok() {
                    looked_at += bytes.len() as u64;
                    piece.extend_from_slice(&bytes);
                    for hit in memchr::memmem::find_iter(&piece, text) {
                        let around = &piece[hit.saturating_sub(48)..(hit + text.len() + 16).min(piece.len())];
                        found.push(format!(
                            "{:x} of {line}: {}",
                            begins_at + hit as u64,
                            around.escape_ascii()
                        ));
                    }
                    tail = bytes.split_off(bytes.len() - (text.len() - 1));
                }
            }
            at += count * PAGE;
        }
    }
    assert!(
        looked_at > 1 << 20,
        "only {looked_at} bytes of process {pid} could be read"
    );
    Some(found)
}

#[test]
fn a_key_that_was_replaced_is_gone_from_memory() {
    let mock = Gateway::start(&[]);
    let folder = gateway::folder(true);
    let file = folder.path().join("sluice.hujson");
    let key = |version: u32| format!("canary-{version}-of-process-{}-{version}", std::process::id());
    let write = |version: u32| {
        fs::write(folder.path().join("key"), format!("{}\n", key(version))).expect("a key");
        let document = json!({
            "providers": { "p": {
                "baseurl": mock.mock_url(),
                "models": [format!("model-{version}")],
                "apikey": "${file:key}",
                "add_headers": ["x-copy: ${file:key}"],
            } },
            "grants": [{ "src": ["*"], "capabilities": [
                { "role": "admin", "models": "**", "add_headers": ["x-grant-copy: ${file:key}"] },
            ] }],
        });
        fs::write(folder.path().join("fresh"), document.to_string()).expect("a document");
        fs::rename(folder.path().join("fresh"), &file).expect("a document in its place");
    };
    write(1);
    let gateway = Gateway::start(&["--config", &file.to_string_lossy()]);
    let call = |version: u32, padding: usize, stream: bool| {
        let body = json!({ "model": format!("model-{version}"), "stream": stream,
            "messages": [{ "role": "user", "content": "x".repeat(padding) }] });
        Answer::read(gateway.send("/v1/chat/completions", &body, "")).status
    };
    let calls = |version: u32| {
        for padding in [0, 900, 9_000, 90_000, 900_000] {
            for stream in [false, true] {
                assert_eq!(call(version, padding, stream), 200);
            }
        }
    };
    calls(1);
    let names = ["supervisor", "controlplane", "dataplane"];
    let Some(before) = places(gateway.pid("dataplane"), key(1).as_bytes()) else {
        println!("SKIPPED: the search in memory; the memory of these processes is closed to all but root");
        gateway.stop();
        mock.stop();
        return;
    };
    assert!(
        !before.is_empty(),
        "the search does not find the key that is in use"
    );

    for version in [2, 3] {
        write(version);
        until("the new document", || {
            (call(version, 0, false) == 200).then_some(())
        });
        calls(version);
        assert_eq!(call(version - 1, 0, false), 404);
        let used = places(gateway.pid("dataplane"), key(version).as_bytes()).expect("its memory");
        assert!(
            !used.is_empty(),
            "the search does not find the key that is in use"
        );
        for old in 1..version {
            for name in names {
                // A shard lets go of what it used before within moments of the change.
                let mut found = Vec::new();
                let begin = Instant::now();
                while begin.elapsed() < PATIENCE {
                    found = places(gateway.pid(name), key(old).as_bytes()).expect("its memory");
                    if found.is_empty() {
                        break;
                    }
                }
                assert!(
                    found.is_empty(),
                    "version {version}: key {old} is still in {} places of {name}:\n{}",
                    found.len(),
                    found.join("\n")
                );
            }
        }
    }
    gateway.stop();
    mock.stop();
}
