//! The journal from outside: processes that are killed, disks that are full, segments that follow each other.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]
#![allow(clippy::print_stdout, reason = "the kill test reports what it met")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use sluice_dataplane::journal::{Full, Journal, JournalOptions, SEGMENT_BYTES_MIN};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, SideUsage, UsageRecord};
use sluice_shared::wire::inflight::{self, Counter, SLOT_BYTES};
use sluice_shared::wire::journal::{Entry, SEGMENT_HEADER_BYTES, SegmentHeader, Slot, decode};

const CHILD: &str = "SLUICE_JOURNAL_TEST_CHILD";

fn record(number: u32) -> UsageRecord {
    let id = RequestId::new(1, ShardId(0), number, 7);
    let mut record = UsageRecord::draft(
        id,
        UnixMicros(5),
        ShardId(0),
        Epoch(1),
        ApiKind::AnthropicMessages,
    );
    record.user = "alice@example.com".repeat(1 + number as usize % 5);
    record.ended = Ended::Complete;
    record.usage.input = Some(u64::from(number));
    record
}

fn small(shards: u16) -> JournalOptions {
    JournalOptions {
        shards,
        segment_bytes: SEGMENT_BYTES_MIN,
        in_flight_slots: 64,
        ..JournalOptions::default()
    }
}

/// Every entry of an incarnation, in order, read as the control plane reads; panics on damage.
fn entries(directory: &Path, shard: u16) -> Vec<Entry> {
    let mut out = Vec::new();
    for number in 0.. {
        let Ok(bytes) = fs::read(directory.join(format!("{shard:03}-{number:08}.seg"))) else {
            break;
        };
        let header =
            SegmentHeader::decode(&bytes).expect("a segment bears its name only when its header stands");
        assert_eq!((header.shard, header.number), (ShardId(shard), number));
        let mut at = SEGMENT_HEADER_BYTES;
        loop {
            match decode(&bytes[at..]) {
                Slot::Entry(entry, len) => {
                    out.push(*entry);
                    at += len;
                }
                Slot::End => break,
                Slot::Empty => return out,
                bad => panic!("segment {number} at {at}: {bad:?}"),
            }
        }
    }
    out
}

fn recovered(directory: &Path, shard: u16) -> Vec<UsageRecord> {
    let bytes = fs::read(directory.join(format!("{shard:03}.inflight"))).unwrap();
    bytes.chunks(SLOT_BYTES).filter_map(inflight::recover).collect()
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !done() {
        assert!(start.elapsed().as_secs() < 20, "{what} did not come");
        std::thread::yield_now();
    }
}

#[test]
fn records_follow_each_other_through_many_segments() {
    let data = tempfile::tempdir().unwrap();
    let (mut shards, service) = Journal::create(data.path(), &small(2)).unwrap();
    let journal = &mut shards[1].journal;
    for number in 0..2_000 {
        let entry = Entry::Usage(Box::new(record(number)));
        // The writer may be faster than the disk; nothing is written then.
        wait_until("room", || journal.append(&entry) == Ok(()));
    }
    assert_eq!(journal.appended(), 2_000);
    let directory = data.path().join("journal/00000001");
    let read: Vec<_> = entries(&directory, 1);
    assert_eq!(read.len(), 2_000);
    for (number, entry) in read.iter().enumerate() {
        assert_eq!(
            entry,
            &Entry::Usage(Box::new(record(u32::try_from(number).unwrap())))
        );
    }
    assert_eq!(entries(&directory, 0), []);
    assert!(
        directory.join("001-00000003.seg").exists(),
        "several segments were needed"
    );
    assert_eq!(service.incarnation(), 1);
    service.stop();
}

#[test]
fn a_record_too_long_for_the_format_loses_texts_and_no_counts() {
    let data = tempfile::tempdir().unwrap();
    let (mut shards, _service) = Journal::create(data.path(), &small(1)).unwrap();
    let mut long = record(9);
    long.path = "ü".repeat(40_000);
    long.tags = vec!["tag:x".repeat(1_000); 1_000];
    long.usage.side = vec![
        SideUsage {
            kind: "compaction".repeat(100),
            model: Some("m".repeat(10_000)),
            output: Some(3),
            ..SideUsage::default()
        };
        1_000
    ];
    shards[0]
        .journal
        .append(&Entry::Usage(Box::new(long.clone())))
        .unwrap();
    let read = entries(&data.path().join("journal/00000001"), 0);
    let [Entry::Usage(short)] = &read[..] else {
        panic!("{read:?}")
    };
    assert_eq!((short.request_id, short.usage.input), (long.request_id, Some(9)));
    assert!(long.path.starts_with(&short.path) && short.path.len() > 1_000);
}

#[test]
fn at_its_largest_size_the_journal_is_full_until_somebody_stores_it() {
    let data = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        bytes_max: 3 * SEGMENT_BYTES_MIN as u64,
        ..small(1)
    };
    let (mut shards, service) = Journal::create(data.path(), &options).unwrap();
    let journal = &mut shards[0].journal;
    let mut written = 0;
    let entry = |n| Entry::Usage(Box::new(record(n)));
    let monitor = service.status();
    wait_until("the limit", || {
        if journal.append(&entry(written)).is_ok() {
            written += 1;
        }
        monitor().failures > 0 && journal.append(&entry(written)).inspect(|()| written += 1) == Err(Full)
    });
    assert_eq!(monitor().bytes, 3 * SEGMENT_BYTES_MIN as u64);
    let directory = data.path().join("journal/00000001");
    let mut kept = entries(&directory, 0);
    assert_eq!(
        kept.len() as u64,
        journal.appended(),
        "what was refused left nothing"
    );
    fs::remove_file(directory.join("000-00000000.seg")).unwrap();
    wait_until("room", || journal.append(&entry(written)) == Ok(()));
    // The row now begins with the second segment.
    fs::rename(directory.join("000-00000003.seg"), data.path().join("last")).unwrap();
    let bytes = fs::read(data.path().join("last")).unwrap();
    let Slot::Entry(last, _) = decode(&bytes[SEGMENT_HEADER_BYTES..]) else {
        panic!("the record after the gap")
    };
    kept.push(*last);
    let numbers: Vec<_> = kept
        .iter()
        .map(|entry| match entry {
            Entry::Usage(record) => record.usage.input.unwrap(),
            Entry::Amend { .. } => panic!("none was written"),
        })
        .collect();
    assert_eq!(numbers, (0..=u64::from(written)).collect::<Vec<_>>());
}

#[test]
fn slots_are_reused_last_first_and_a_full_table_says_so() {
    let data = tempfile::tempdir().unwrap();
    let (mut shards, _service) = Journal::create(data.path(), &small(1)).unwrap();
    let table = &mut shards[0].in_flight;
    let mut taken: Vec<_> = (0..64).map(|n| table.take(&record(n)).unwrap()).collect();
    assert_eq!((table.take(&record(64)), table.running()), (None, 64));
    table.update(&taken[63], Counter::Output, 42);
    let last = taken.pop().unwrap();
    let directory = data.path().join("journal/00000001");
    let output = recovered(&directory, 0)
        .into_iter()
        .find(|r| r.usage.output.is_some());
    assert_eq!(output.unwrap().request_id, record(63).request_id);
    table.free(last);
    let again = table.take(&record(99)).unwrap();
    let found = recovered(&directory, 0);
    assert_eq!(found.len(), 64);
    let renewed = found
        .iter()
        .find(|r| r.request_id == record(99).request_id)
        .unwrap();
    assert_eq!(
        renewed.usage.output, None,
        "counters of the earlier request are gone"
    );
    table.free(again);
    for slot in taken {
        table.free(slot);
    }
    assert_eq!((table.running(), recovered(&directory, 0)), (0, Vec::new()));
}

#[test]
fn odd_options_and_places_are_refused_with_a_reason() {
    let data = tempfile::tempdir().unwrap();
    let check = |options: JournalOptions| {
        let error = Journal::create(data.path(), &options).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{options:?}");
    };
    check(small(0));
    check(JournalOptions {
        segment_bytes: SEGMENT_BYTES_MIN - 4_096,
        ..small(1)
    });
    check(JournalOptions {
        segment_bytes: SEGMENT_BYTES_MIN + 1,
        ..small(1)
    });
    check(JournalOptions {
        in_flight_slots: 0,
        ..small(1)
    });
    fs::write(data.path().join("journal"), "a file").unwrap();
    let error = Journal::create(data.path(), &small(1)).unwrap_err().to_string();
    assert!(error.contains("journal in ") && error.contains("MiB"), "{error}");
}

/// Runs a test of this file again in a process of its own.
fn child(test: &str, data: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(CHILD, data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A small generator of test moments; the seed is printed on failure by the caller.
fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

const ROUNDS: u64 = 40;
const SHARDS: u16 = 2;

#[test]
fn killed_at_any_moment_no_acknowledged_record_is_lost_or_doubled() {
    if let Some(data) = std::env::var_os(CHILD) {
        write_until_killed(Path::new(&data));
    }
    let data = tempfile::tempdir().unwrap();
    let mut seed = 0x5eed_0bad_cafe_f00d;
    let (mut records, mut aborted) = (0, 0);
    for round in 1..=ROUNDS {
        let mut child = child(
            "killed_at_any_moment_no_acknowledged_record_is_lost_or_doubled",
            data.path(),
        );
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut acknowledged = Vec::new();
        // The journal stands with the first request. While more is read, the child goes on: the kill meets it at
        // any instruction.
        let mut more = 1 + next(&mut seed) % 400;
        while more > 0 {
            let line = lines.next().unwrap().unwrap();
            if line.starts_with("started") || !acknowledged.is_empty() {
                acknowledged.push(line);
                more -= 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok));
        let directory = data.path().join(format!("journal/{round:08}"));
        let (found, slots) = verify(&directory, &acknowledged);
        records += found;
        aborted += slots;
    }
    println!("{ROUNDS} kills: {records} records, {aborted} aborted requests");
    assert!(records > 0, "seed {seed}");
}

/// A line is `started N` or `done N`; a torn last line is none.
fn verify(directory: &Path, lines: &[String]) -> (usize, usize) {
    let mut records = HashMap::new();
    let mut slots = HashMap::new();
    for shard in 0..SHARDS {
        for entry in entries(directory, shard) {
            let Entry::Usage(record) = entry else {
                panic!("{entry:?}")
            };
            assert_eq!(record.ended, Ended::Complete);
            *records.entry(record.request_id.to_string()).or_insert(0) += 1;
        }
        for record in recovered(directory, shard) {
            let output = record.usage.output;
            let earlier = slots.insert(record.request_id.to_string(), output);
            assert_eq!(earlier, None, "two slots for one request");
        }
    }
    assert!(records.values().all(|times| *times == 1), "a record stands twice");
    let running = slots.keys().filter(|id| !records.contains_key(*id)).count();
    assert!(
        running <= usize::from(SHARDS) * 4,
        "{running} slots for 4 requests a shard"
    );
    for line in lines {
        match line.split_once(' ') {
            // The counter was stored before the request was told of.
            Some(("started", id)) if id.len() == 32 => match slots.get(id) {
                Some(output) => assert_eq!(*output, Some(11), "the counter of {id} is lost"),
                None => assert!(records.contains_key(id), "request {id} is forgotten"),
            },
            Some(("done", id)) if id.len() == 32 => assert!(records.contains_key(id), "record {id} is lost"),
            _ => {}
        }
    }
    (records.len(), running)
}

/// Two shards, four requests at a time each, for ever.
fn write_until_killed(data: &Path) -> ! {
    let (shards, _service) = Journal::create(data, &small(SHARDS)).unwrap();
    std::thread::scope(|scope| {
        for (shard, mut files) in (0u16..).zip(shards) {
            scope.spawn(move || {
                for batch in 0u32.. {
                    let numbers = batch * 4..batch * 4 + 4;
                    let running: Vec<_> = numbers
                        .map(|number| {
                            let mut draft = record(number);
                            draft.request_id = RequestId::new(1, ShardId(shard), number, 7);
                            let slot = files.in_flight.take(&draft).unwrap();
                            files.in_flight.update(&slot, Counter::Output, 11);
                            say("started", draft.request_id);
                            (slot, draft)
                        })
                        .collect();
                    for (slot, mut done) in running {
                        let id = done.request_id;
                        done.ended = Ended::Complete;
                        let entry = Entry::Usage(Box::new(done));
                        while files.journal.append(&entry).is_err() {
                            std::thread::yield_now();
                        }
                        say("done", id);
                        files.in_flight.free(slot);
                    }
                }
            });
        }
    });
    unreachable!("both threads write for ever")
}

/// One write, so that lines of two threads do not mix.
fn say(what: &str, id: RequestId) {
    let line = format!("{what} {id}\n");
    // Unlocked and unbuffered: what was said is out before the next step.
    let _ = fs::File::from(
        std::os::fd::AsFd::as_fd(&std::io::stdout())
            .try_clone_to_owned()
            .unwrap(),
    )
    .write_all(line.as_bytes());
}

#[test]
fn a_full_disk_is_told_at_the_start_and_survived_later() {
    if let Some(data) = std::env::var_os(CHILD) {
        let result = meet_a_full_disk(Path::new(&data));
        std::process::exit(i32::from(result.is_none()));
    }
    let data = tempfile::tempdir().unwrap();
    let mut child = child("a_full_disk_is_told_at_the_start_and_survived_later", data.path());
    let mut said = String::new();
    child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
    assert!(child.wait().unwrap().success(), "{said}");
}

/// A limit of this process on the size of files stands in for a disk without room: allocation fails just so.
fn meet_a_full_disk(data: &Path) -> Option<()> {
    #[allow(unsafe_code, reason = "limits of the process have no safe interface")]
    fn limit(bytes: u64) {
        let limit = libc::rlimit {
            rlim_cur: bytes,
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: sets one limit from a valid struct, and ignores a signal.
        unsafe {
            libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
            assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
        }
    }
    limit(SEGMENT_BYTES_MIN as u64 / 2);
    let error = Journal::create(data, &small(1)).unwrap_err();
    assert!(error.to_string().contains("MiB"), "{error}");
    limit(libc::RLIM_INFINITY);
    let (mut shards, service) = Journal::create(data, &small(1)).unwrap();
    let journal = &mut shards[0].journal;
    limit(SEGMENT_BYTES_MIN as u64 / 2);
    let mut number = 0;
    let monitor = service.status();
    while monitor().failures == 0 {
        if journal.append(&Entry::Usage(Box::new(record(number)))).is_ok() {
            number += 1;
        }
    }
    while journal.append(&Entry::Usage(Box::new(record(number)))).is_ok() {
        number += 1;
    }
    limit(libc::RLIM_INFINITY);
    wait_until("recovery", || {
        journal.append(&Entry::Usage(Box::new(record(number)))) == Ok(())
    });
    let read = entries(&data.join(format!("journal/{:08}", service.incarnation())), 0);
    (read.len() as u64 == journal.appended() && read.len() == number as usize + 1).then_some(())
}
