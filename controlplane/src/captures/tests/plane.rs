//! A data plane's side of captures, written by hand after the layout's description.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sluice_shared::api::ApiKind;
use sluice_shared::ids::{Epoch, RequestId, ShardId};
use sluice_shared::units::UnixMicros;
use sluice_shared::usage::{Capture, Ended, UsageRecord};
use sluice_shared::wire::capture::{
    AnswerHead, Closed, Kind, Opened, SegmentHeader, encode_answer_head, encode_closed, encode_opened,
    frame_tail, tag,
};
use sluice_shared::wire::journal::{END_OF_SEGMENT, SEGMENT_HEADER_BYTES, record_bytes};

/// Bytes of a segment.
pub(crate) const SEGMENT_BYTES: u64 = 16 << 10;

/// The captures of one incarnation.
pub(crate) struct Plane {
    pub(crate) directory: PathBuf,
    number: u64,
    lock: Option<File>,
    rows: BTreeMap<u16, (u64, u64)>,
}

impl Plane {
    pub(crate) fn new(data: &Path, number: u64) -> Self {
        let directory = data.join("journal").join(format!("{number:08}"));
        std::fs::create_dir_all(&directory).unwrap();
        let lock = File::create(directory.join("lock")).unwrap();
        lock.try_lock().unwrap();
        Self {
            directory,
            number,
            lock: Some(lock),
            rows: BTreeMap::new(),
        }
    }

    pub(crate) fn path(&self, shard: u16, number: u64) -> PathBuf {
        self.directory.join(format!("{shard:03}-{number:08}.cap"))
    }

    pub(crate) fn place(&self, shard: u16) -> (u64, u64) {
        self.rows[&shard]
    }

    fn make(&self, shard: u16, number: u64) {
        let path = self.path(shard, number);
        if path.exists() {
            return;
        }
        let file = File::create(&path).unwrap();
        file.set_len(SEGMENT_BYTES).unwrap();
        let header = SegmentHeader {
            incarnation: self.number,
            shard: ShardId(shard),
            number,
        };
        file.write_all_at(&header.encode(), 0).unwrap();
    }

    fn frame(&mut self, shard: u16, number: u64, kind: Kind, first: &[u8], rest: &[u8]) {
        let payload = first.len() + rest.len();
        let bytes = record_bytes(payload) as u64;
        if !self.rows.contains_key(&shard) {
            self.make(shard, 0);
            self.make(shard, 1);
            self.rows.insert(shard, (0, SEGMENT_HEADER_BYTES as u64));
        }
        let (mut segment, mut at) = self.rows[&shard];
        let open = |path: PathBuf| File::options().write(true).open(path).unwrap();
        if at + bytes + 16 > SEGMENT_BYTES {
            let file = open(self.path(shard, segment));
            file.write_all_at(&END_OF_SEGMENT.to_le_bytes(), at).unwrap();
            (segment, at) = (segment + 1, SEGMENT_HEADER_BYTES as u64);
            self.make(shard, segment + 1);
        }
        let file = open(self.path(shard, segment));
        let content = [&frame_tail(tag(number, kind), first, rest), first, rest].concat();
        file.write_all_at(&content, at + 4).unwrap();
        let length = u32::try_from(payload).unwrap();
        file.write_all_at(&length.to_le_bytes(), at).unwrap();
        self.rows.insert(shard, (segment, at + bytes));
    }

    pub(crate) fn open(&mut self, shard: u16, number: u64, opened: &Opened) {
        self.frame(shard, number, Kind::Open, &[], &encode_opened(opened).unwrap());
    }

    pub(crate) fn request(&mut self, shard: u16, number: u64, offset: u64, bytes: &[u8]) {
        self.frame(shard, number, Kind::RequestBody, &offset.to_le_bytes(), bytes);
    }

    pub(crate) fn head(&mut self, shard: u16, number: u64, head: &AnswerHead) {
        self.frame(
            shard,
            number,
            Kind::AnswerHead,
            &[],
            &encode_answer_head(head).unwrap(),
        );
    }

    pub(crate) fn answer(&mut self, shard: u16, number: u64, offset: u64, bytes: &[u8]) {
        self.frame(shard, number, Kind::AnswerBody, &offset.to_le_bytes(), bytes);
    }

    pub(crate) fn close(&mut self, shard: u16, number: u64, closed: &Closed) {
        self.frame(shard, number, Kind::Close, &[], &encode_closed(closed).unwrap());
    }

    /// A whole capture.
    pub(crate) fn whole(&mut self, shard: u16, number: u64, told: &Told) {
        self.begin(shard, number, told);
        self.end(shard, number, told);
    }

    /// Everything but the last half of the answer and the end.
    pub(crate) fn begin(&mut self, shard: u16, number: u64, told: &Told) {
        self.open(shard, number, &told.opened);
        for (at, piece) in told.request.chunks(700).enumerate() {
            self.request(shard, number, at as u64 * 700, piece);
        }
        self.head(shard, number, &told.head);
        let half = told.answer.len() / 2;
        self.answer(shard, number, 0, &told.answer[..half]);
    }

    pub(crate) fn end(&mut self, shard: u16, number: u64, told: &Told) {
        let half = told.answer.len() / 2;
        self.answer(shard, number, half as u64, &told.answer[half..]);
        self.close(shard, number, &told.closed());
    }

    /// What a kill does: the lock is free, the files stay.
    pub(crate) fn die(&mut self) {
        self.lock = None;
    }

    /// Flips a bit in a segment.
    pub(crate) fn damage(&self, shard: u16, segment: u64, at: u64) {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.path(shard, segment))
            .unwrap();
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
    }

    pub(crate) fn files(&self, end: &str) -> usize {
        let names = crate::ingest::names(&self.directory).unwrap();
        names.iter().filter(|name| name.ends_with(end)).count()
    }
}

/// What is captured.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) opened: Opened,
    pub(crate) request: Vec<u8>,
    pub(crate) head: AnswerHead,
    pub(crate) answer: Vec<u8>,
}

/// The answer to a chat as a stream that calls a tool.
pub(crate) fn told(number: u32) -> Told {
    let id = RequestId::new(1_795_341_600_000, ShardId(0), number, 9);
    let event = |text: &str| {
        format!(
            "data: {{\"id\":\"c{number}\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-5\",\"choices\":[{text}]}}\n\n"
        )
    };
    let mut answer = event(r#"{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}"#);
    for word in ["all ", "work ", "and ", "no ", "play "].iter().cycle().take(20) {
        answer += &event(&format!(
            r#"{{"index":0,"delta":{{"content":"{word}"}},"finish_reason":null}}"#
        ));
    }
    answer += &event(
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"read","arguments":"{\"path\":\"x\"}"}}]},"finish_reason":null}"#,
    );
    answer += &event(r#"{"index":0,"delta":{},"finish_reason":"tool_calls"}"#);
    answer += "data: [DONE]\n\n";
    let text = format!("text {number} ").repeat(100);
    let request =
        format!(r#"{{"model":"gpt-5","stream":true,"messages":[{{"role":"user","content":"{text}"}}]}}"#);
    Told {
        opened: Opened {
            request_id: id,
            time: UnixMicros(1_795_341_600_000_000 + u64::from(number)),
            epoch: Epoch(1),
            api: ApiKind::OpenAiChat,
            stream: true,
            user: format!("user{}", number % 3),
            node: "n1".into(),
            method: "POST".into(),
            target: "/v1/chat/completions".into(),
            provider: "openai".into(),
            model: "gpt-5".into(),
            headers: vec![
                ("authorization".into(), b"***".to_vec()),
                ("content-type".into(), b"application/json".to_vec()),
            ],
            keep: true,
            events: Vec::new(),
        },
        request: request.into_bytes(),
        head: AnswerHead {
            status: 200,
            headers: vec![("content-type".into(), b"text/event-stream".to_vec())],
        },
        answer: answer.into_bytes(),
    }
}

impl Told {
    pub(crate) fn record(&self) -> UsageRecord {
        let opened = &self.opened;
        let mut record = UsageRecord::draft(
            opened.request_id,
            opened.time,
            ShardId(0),
            opened.epoch,
            opened.api,
        );
        record.user.clone_from(&opened.user);
        record.provider.clone_from(&opened.provider);
        record.model_asked.clone_from(&opened.model);
        record.status = self.head.status;
        record.ended = Ended::Complete;
        record.capture = Capture::Written;
        record.session = Some(format!("s-{}", opened.user));
        record
    }

    pub(crate) fn closed(&self) -> Closed {
        Closed {
            record: self.record(),
            request_bytes: self.request.len() as u64,
            answer_bytes: self.answer.len() as u64,
        }
    }
}
