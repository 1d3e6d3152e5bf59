//! What an answer must be, byte by byte, and the comparison as it arrives.

use memchr::memmem;

/// What is expected of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// Any body whose CRC-32C is the one the mock states.
    Whole,
    /// A chat completion stream with `contents` numbered content events.
    Chat {
        contents: u32,
        /// The extra chunk with the usage must be there (true) or must not (false).
        usage: bool,
        /// Whether the checksum the mock states is that of what must arrive. It is not where a gateway takes the
        /// usage chunk out again.
        checksum: bool,
    },
}

/// What is wrong with a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// The mock's checksum is not the body's.
    Checksum { stated: u32, got: u32 },
    /// No checksum was stated, though one was asked for.
    NoChecksum,
    /// An event that is not the expected one.
    Event { number: u64, text: String },
    /// The body ended too early.
    Short { events: u64 },
}

/// Where a chat stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Role,
    Contents(u32),
    Usage,
    Done,
    After,
}

/// The comparison of one body.
#[derive(Debug)]
pub(crate) struct Check {
    expect: Expect,
    stage: Stage,
    stated: Option<u32>,
    crc: u32,
    /// The beginning of an event whose end has not come.
    held: Vec<u8>,
    events: u64,
}

/// Longest event that is waited for.
const EVENT_BYTES_MAX: usize = 1 << 20;

impl Check {
    pub(crate) fn new(expect: Expect) -> Self {
        Self {
            expect,
            stage: Stage::Role,
            stated: None,
            crc: 0,
            held: Vec::new(),
            events: 0,
        }
    }

    /// Starts over for the next body.
    pub(crate) fn reset(&mut self) {
        self.stage = Stage::Role;
        self.stated = None;
        self.crc = 0;
        self.held.clear();
        self.events = 0;
    }

    /// The checksum in the answer's head.
    pub(crate) fn state(&mut self, crc: Option<u32>) {
        self.stated = crc;
    }

    /// Events so far; a body that is no stream has none.
    pub(crate) fn events(&self) -> u64 {
        self.events
    }

    /// Takes the next bytes of the body.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Wrong> {
        self.crc = crc32c::crc32c_append(self.crc, bytes);
        if self.expect == Expect::Whole {
            return Ok(());
        }
        if !self.held.is_empty() {
            // Only the bytes around the seam and what follows can hold the delimiter.
            let seam = self.held.len().saturating_sub(1);
            self.held.extend_from_slice(bytes);
            let held = std::mem::take(&mut self.held);
            let Some(at) = memmem::find(held.get(seam..).unwrap_or_default(), b"\n\n") else {
                if held.len() > EVENT_BYTES_MAX {
                    return Err(self.wrong(&held));
                }
                self.held = held;
                return Ok(());
            };
            let end = seam + at;
            self.event(held.get(..end).unwrap_or_default())?;
            let used = held.len() - bytes.len();
            bytes = bytes.get(end + 2 - used..).unwrap_or_default();
        }
        let mut start = 0;
        for at in memmem::find_iter(bytes, b"\n\n") {
            if at < start {
                continue;
            }
            self.event(bytes.get(start..at).unwrap_or_default())?;
            start = at + 2;
        }
        self.held
            .extend_from_slice(bytes.get(start..).unwrap_or_default());
        Ok(())
    }

    /// The body has ended.
    pub(crate) fn end(&mut self) -> Result<(), Wrong> {
        let checksum = match self.expect {
            Expect::Whole => true,
            Expect::Chat { checksum, .. } => {
                if self.stage != Stage::After || !self.held.is_empty() {
                    return Err(Wrong::Short { events: self.events });
                }
                checksum
            }
        };
        match self.stated {
            Some(stated) if checksum && stated != self.crc => Err(Wrong::Checksum {
                stated,
                got: self.crc,
            }),
            None if checksum => Err(Wrong::NoChecksum),
            _ => Ok(()),
        }
    }

    /// One event of a chat stream, without its delimiter.
    fn event(&mut self, event: &[u8]) -> Result<(), Wrong> {
        let Expect::Chat { contents, usage, .. } = self.expect else {
            return Ok(());
        };
        self.events += 1;
        let Some(data) = event.strip_prefix(b"data: ") else {
            return Err(self.wrong(event));
        };
        let has = |needle: &[u8]| memmem::find(data, needle).is_some();
        let (right, next) = match self.stage {
            Stage::Role => (has(br#""role":"assistant""#), Stage::Contents(0)),
            Stage::Contents(n) if n < contents => (number(data) == Some(n), Stage::Contents(n + 1)),
            Stage::Contents(_) => {
                let next = if usage { Stage::Usage } else { Stage::Done };
                (has(br#""finish_reason":"stop""#), next)
            }
            Stage::Usage => (has(br#""choices":[]"#) && has(br#""usage":{"#), Stage::Done),
            Stage::Done => (data == b"[DONE]", Stage::After),
            Stage::After => (false, Stage::After),
        };
        if !right {
            return Err(self.wrong(event));
        }
        self.stage = next;
        Ok(())
    }

    fn wrong(&self, event: &[u8]) -> Wrong {
        let text =
            String::from_utf8_lossy(event.get(..event.len().min(200)).unwrap_or_default()).into_owned();
        Wrong::Event {
            number: self.events,
            text,
        }
    }
}

/// The six digits that a numbered content begins with.
fn number(data: &[u8]) -> Option<u32> {
    const KEY: &[u8] = br#""content":""#;
    let at = memmem::find(data, KEY)? + KEY.len();
    let digits = data.get(at..at + 6)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(contents: u32, usage: bool) -> Vec<u8> {
        let mut text =
            r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#.to_owned() + "\n\n";
        for n in 0..contents {
            text += &format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{n:06} the\"}}}}]}}\n\n");
        }
        text += "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
        if usage {
            text += "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}\n\n";
        }
        (text + "data: [DONE]\n\n").into_bytes()
    }

    fn run(body: &[u8], cut: usize, expect: Expect) -> Result<u64, Wrong> {
        let mut check = Check::new(expect);
        check.state(Some(crc32c::crc32c(&stream(3, true))));
        check.feed(&body[..cut])?;
        check.feed(&body[cut..])?;
        check.end().map(|()| check.events())
    }

    const EXPECT: Expect = Expect::Chat {
        contents: 3,
        usage: true,
        checksum: true,
    };

    #[test]
    fn the_right_stream_passes_at_every_split() {
        let body = stream(3, true);
        for cut in 0..=body.len() {
            assert_eq!(run(&body, cut, EXPECT), Ok(7), "cut {cut}");
        }
        let mut check = Check::new(EXPECT);
        check.state(Some(crc32c::crc32c(&body)));
        for byte in &body {
            check.feed(&[*byte]).unwrap();
        }
        assert_eq!(check.end(), Ok(()));
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let body = stream(3, true);
        for at in 0..body.len() {
            let mut bad = body.clone();
            bad[at] ^= 1;
            assert!(run(&bad, bad.len() / 2, EXPECT).is_err(), "byte {at}");
        }
        for cut in 0..body.len() {
            assert!(run(&body[..cut], cut / 2, EXPECT).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn lost_doubled_and_swapped_events_are_noticed_without_a_checksum() {
        let expect = Expect::Chat {
            contents: 3,
            usage: false,
            checksum: false,
        };
        let body = stream(3, false);
        assert_eq!(run(&body, 10, expect.clone()), Ok(6));
        let events: Vec<&[u8]> = body.split_inclusive(|b| *b == b'\n').collect();
        // Lines in pairs: the event and its empty line.
        let event = |n: usize| [events[2 * n], events[2 * n + 1]].concat();
        for order in [
            vec![0, 1, 3, 4, 5],
            vec![0, 1, 1, 2, 3, 4, 5],
            vec![0, 2, 1, 3, 4, 5],
            vec![0, 1, 2, 3, 4],
        ] {
            let bad: Vec<u8> = order.into_iter().flat_map(event).collect();
            assert!(run(&bad, 5, expect.clone()).is_err());
        }
        assert!(
            run(&stream(3, true), 5, expect).is_err(),
            "a usage chunk nobody asked for"
        );
    }
}
