//! What a shard does per request in the journal allocates nothing, once its buffers have their size.
#![allow(unsafe_code, reason = "counting allocations takes an allocator")]
#![allow(
    clippy::unwrap_used,
    reason = "helpers of a test fail by panic, as the test does"
)]

use sluice_dataplane::journal::{Journal, JournalOptions, SEGMENT_BYTES_MIN};
use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Ended, UsageRecord};
use sluice_shared::wire::inflight::Counter;
use sluice_shared::wire::journal::Entry;

#[path = "support/alloc.rs"]
mod alloc;

fn allocations(run: impl FnOnce()) -> u64 {
    alloc::counted(run).0
}

#[test]
fn a_request_allocates_nothing_in_the_journal() {
    let data = tempfile::tempdir().unwrap();
    let options = JournalOptions {
        segment_bytes: 8 * SEGMENT_BYTES_MIN,
        in_flight_slots: 64,
        ..JournalOptions::default()
    };
    let (mut shards, _service) = Journal::create(data.path(), &options).unwrap();
    let files = &mut shards[0];
    let mut record = UsageRecord::draft(
        RequestId([1; 16]),
        UnixMicros(1),
        ShardId(0),
        Epoch(1),
        ApiKind::OpenAiChat,
    );
    record.user = "alice@example.com".into();
    record.tags = vec!["tag:ci".into()];
    record.user_agent = Some("client/1.0".into());
    let amend = Entry::Amend {
        request_id: record.request_id,
        ended: Ended::ClientGone,
        duration_us: 5,
    };
    let usage = Entry::Usage(Box::new(record.clone()));
    let mut request = || {
        let slot = files.in_flight.take(&record).unwrap();
        files.in_flight.update(&slot, Counter::Output, 7);
        files.journal.append(&usage).unwrap();
        files.journal.append(&amend).unwrap();
        files.in_flight.free(slot);
    };
    let first = allocations(&mut request);
    assert!(
        first > 0,
        "the buffers come to be with the first request, which shows that counting works"
    );
    for n in 0..500 {
        assert_eq!(allocations(&mut request), 0, "request {n}");
    }
}
