//! Retention gives space back: of segments, and of the index.

use super::*;

/// Megabytes of request bodies, unless `SLUICE_PURGE_MEGABYTES` says otherwise.
const MEGABYTES: usize = 24;
/// Bytes of each.
const BODY_BYTES: usize = 12 << 10;

fn bytes(data: &Path) -> (u64, u64) {
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    let folder = folder(data);
    let segments = crate::ingest::names(&folder).unwrap();
    let segments = segments.iter().map(|name| size(&folder.join(name))).sum();
    (segments, size(&data.join(crate::store::FILE)))
}

/// Text that is neither all alike nor noise.
fn text(seed: u64) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut out = String::with_capacity(BODY_BYTES + 16);
    while out.len() < BODY_BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out += &format!("{:x} ", state & 0xffff);
    }
    out
}

#[allow(clippy::print_stdout, reason = "the figures are part of what the run shows")]
#[test]
fn purging_gives_back_the_space_of_bodies_and_of_rows() {
    let data = tempfile::tempdir().unwrap();
    let mut plane = Plane::new(data.path(), 1);
    let settings = Settings {
        roll_bytes: 2 << 20,
        batch_captures: 256,
        ..Settings::default()
    };
    let mut reader = Reader::new(data.path(), &settings);
    let megabytes = std::env::var("SLUICE_PURGE_MEGABYTES").ok();
    let megabytes = megabytes.and_then(|text| text.parse().ok()).unwrap_or(MEGABYTES);
    let count = megabytes * (1 << 20) / BODY_BYTES;
    let mut n = 0;
    while n < count {
        for _ in 0..200 {
            let mut one = told(u32::try_from(n).unwrap());
            one.request = text(n as u64).into_bytes();
            plane.whole(0, n as u64, &one);
            n += 1;
        }
        reader.ingest.pass(NOW).unwrap();
    }
    assert_eq!(reader.all().len(), n);
    // So that even what is young is old enough: everything but the open segment.
    let checkpoint = |data: &Path| {
        let other = rusqlite::Connection::open(data.join(crate::store::FILE)).unwrap();
        other
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .unwrap();
    };
    checkpoint(data.path());
    let before = bytes(data.path());
    let policy = Policy {
        retention: Retention {
            keep: Keep::Millis(1),
            purge_tools: true,
            ..Retention::default()
        },
        bucket: None,
    };
    reader.runtime.block_on(reader.care.turn(&policy, NOW)).unwrap();
    checkpoint(data.path());
    let after = bytes(data.path());
    let left = reader.all().len();
    println!(
        "{n} captures with {} bytes of bodies: segments {} -> {} bytes, store {} -> {} bytes, {left} captures left",
        n * (BODY_BYTES + told(0).answer.len()),
        before.0,
        after.0,
        before.1,
        after.1
    );
    let rows = reader.runtime.block_on(reader.store.segments()).unwrap();
    let open: u64 = rows.iter().map(|row| row.captures).sum();
    assert!(
        left as u64 == open && left < n / 4,
        "the open segment stays: {left}"
    );
    assert!(after.0 * 3 < before.0, "{before:?} {after:?}");
    assert!(after.1 * 2 < before.1, "{before:?} {after:?}");
    reader.agrees(data.path());
}

#[test]
fn a_store_of_an_earlier_version_learns_to_give_space_back() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().join(crate::store::FILE);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../store/schema/0001.sql"))
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let mode = |path: &Path| {
        let other = rusqlite::Connection::open(path).unwrap();
        other
            .pragma_query_value(None, "auto_vacuum", |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(mode(&path), 0);
    let reader = Reader::new(data.path(), &settings());
    assert_eq!(mode(&path), 2);
    drop(reader);
    let fresh = tempfile::tempdir().unwrap();
    let _reader = Reader::new(fresh.path(), &settings());
    assert_eq!(mode(&fresh.path().join(crate::store::FILE)), 2);
}
