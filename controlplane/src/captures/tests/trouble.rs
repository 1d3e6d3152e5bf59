//! Disks that are full or may not be written, object stores that do not answer: nothing is lost, and everything goes on.

use std::process::Command;

use super::*;
use crate::captures::care::CareError;
use crate::config::domain::S3;

/// A small file system of its own; `None` where that is not permitted.
struct Small(PathBuf);

impl Small {
    #[allow(clippy::print_stdout, reason = "a skipped test says so")]
    fn mount(path: &Path, size: &str) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"])
            .arg(path)
            .output();
        if mount.is_ok_and(|out| out.status.success()) {
            return Some(Self(path.to_owned()));
        }
        println!("SKIPPED: no permission to mount a tmpfs");
        None
    }

    fn remount(&self, options: &str) {
        let out = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .output()
            .unwrap();
        assert!(out.status.success(), "{out:?}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn a_full_disk_and_one_that_cannot_be_written_delay_and_lose_nothing() {
    let data = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(&folder(data.path()), "64k") else {
        return;
    };
    let mut plane = Plane::new(data.path(), 1);
    let mut reader = Reader::new(data.path(), &settings());
    let mut expected = Vec::new();
    let mut failed = false;
    let mut n = 0;
    while !failed {
        let mut one = told(n);
        // Noise is not compressed away.
        let noise: String = (0..6_000u32)
            .map(|i| i.wrapping_mul(2_654_435_761).wrapping_add(n * 77).to_le_bytes()[2])
            .map(|byte| char::from(33 + byte % 90))
            .collect();
        one.request = noise.into_bytes();
        plane.whole(0, u64::from(n), &one);
        expected.push(one);
        n += 1;
        failed = reader.ingest.pass(NOW).is_err();
        assert!(n < 200, "the disk never filled up");
    }
    let stored = reader.all().len();
    assert!(stored > 0 && stored < expected.len());
    assert!(reader.ingest.pass(NOW).is_err(), "still full");
    small.remount("size=4m");
    reader.ingest.pass(NOW).unwrap();
    assert_eq!(reader.all().len(), expected.len());
    // Nothing may be open for writing.
    drop(reader);
    small.remount("ro");
    let mut reader = Reader::new(data.path(), &settings());
    plane.whole(0, 1_000, &told(1_000));
    assert!(reader.ingest.pass(NOW).is_err());
    small.remount("rw");
    reader.ingest.pass(NOW).unwrap();
    let all = reader.all();
    assert_eq!(all.len(), expected.len() + 1);
    for (capture, told) in all.iter().zip(&expected) {
        assert_eq!(reader.part(capture, Part::Request), told.request);
    }
    reader.agrees(data.path());
    drop(reader);
    drop(small);
}

#[test]
fn an_object_store_that_does_not_answer_is_waited_for_and_then_takes_everything() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let settings = Settings {
        local_bytes_max: 6_000,
        ..settings()
    };
    let mut reader = Reader::new(data.path(), &settings);
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    crate::objects::prepare(&std::collections::HashMap::new());
    let down = Bucket {
        objects: crate::objects::open(&S3 {
            endpoint: format!("http://127.0.0.1:{port}"),
            bucket: "b".into(),
            access_key_id: "k".into(),
            access_secret: sluice_shared::snapshot::Secret("s".into()),
            ..S3::default()
        })
        .unwrap(),
        prefix: "p".into(),
    };
    let mut expected = Vec::new();
    for n in 0..24u32 {
        plane.whole(0, u64::from(n), &told(n));
        expected.push(told(n));
    }
    reader.ingest.pass(NOW).unwrap();
    let failed = reader.turn(Keep::Forever, Some(&down));
    assert!(matches!(failed, Err(CareError::Upload(_))), "{failed:?}");
    reader.holds(&expected);
    // More would fill the disk: it stays with the data plane.
    plane.whole(0, 100, &told(100));
    assert!(matches!(
        reader.ingest.pass(NOW),
        Err(ingest::IngestError::Full(_))
    ));
    reader.holds(&expected);
    let bucket = bucket();
    reader.care = Care::new(
        reader.store.clone(),
        reader.captures.clone(),
        reader.status.clone(),
        settings,
    );
    reader.turn(Keep::Forever, Some(&bucket)).unwrap();
    let rows = reader.runtime.block_on(reader.store.segments()).unwrap();
    let remote = rows
        .iter()
        .filter(|row| row.state == SegmentState::Remote)
        .count();
    assert!(remote >= 2, "{rows:#?}");
    assert_eq!(objects(&reader, &bucket).len(), remote);
    reader.ingest.pass(NOW).unwrap();
    expected.push(told(100));
    // Read from wherever they are.
    reader.holds(&expected);
    reader.agrees(data.path());
    // Without a bucket, what is in it cannot be read, and is not purged either.
    reader.captures.set_bucket(None);
    let first = reader.all().remove(0);
    let read = reader.captures.part(&first, Part::Answer);
    assert!(matches!(reader.runtime.block_on(read), Err(ReadError::NoBucket)));
    assert!(matches!(
        reader.turn(Keep::Millis(1), None),
        Err(CareError::NoBucket)
    ));
    reader.turn(Keep::Millis(1), Some(&bucket)).unwrap();
    assert_eq!(objects(&reader, &bucket), [] as [String; 0]);
}
