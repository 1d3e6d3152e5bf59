//! AWS event streams (`application/vnd.amazon.eventstream`), read only.
//!
//! ```text
//! total length u32 | headers length u32 | CRC-32 of those 8 | headers | payload | CRC-32 of all before
//! ```
//!
//! Both checksums are the CRC-32 of IEEE 802.3. Numbers are big-endian. A message over [`MESSAGE_BYTES_MAX`] is
//! passed over, a wrong checksum or an impossible length ends the reading: nothing after it can be trusted.

/// Longest message read, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Lengths above this are taken for damage.
const MESSAGE_BYTES_POSSIBLE: usize = 32 << 20;
const PRELUDE_BYTES: usize = 12;
const MESSAGE_BYTES_MIN: usize = PRELUDE_BYTES + 4;

/// One message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Message<'a> {
    /// `:message-type`: `event`, `exception` or `error`.
    pub message_type: &'a [u8],
    /// `:event-type`.
    pub event_type: &'a [u8],
    /// `:exception-type`, or `:error-code`.
    pub error_type: &'a [u8],
    /// `:error-message`.
    pub error_message: &'a [u8],
    /// The payload.
    pub payload: &'a [u8],
}

/// What a scanner met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// A whole message with right checksums.
    Message(Message<'a>),
    /// A message that is too long; its bytes are passed over.
    TooLong,
    /// Damage; nothing more is read.
    Damaged,
}

/// Cuts a body into messages, whatever pieces it comes in.
#[derive(Debug, Default)]
pub struct EventStream {
    carry: Vec<u8>,
    /// Bytes of a long message still to pass over.
    skip: usize,
    damaged: bool,
}

impl EventStream {
    /// Whether the body stands between two messages.
    #[must_use]
    pub fn at_boundary(&self) -> bool {
        self.carry.is_empty() && self.skip == 0 && !self.damaged
    }

    /// Takes the next bytes.
    pub fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(Found<'_>)) {
        let mut rest = bytes;
        while !rest.is_empty() && !self.damaged {
            if self.skip > 0 {
                let take = self.skip.min(rest.len());
                self.skip -= take;
                rest = rest.get(take..).unwrap_or_default();
            } else if self.carry.is_empty() {
                rest = self.read_in_place(rest, &mut sink);
            } else {
                rest = self.read_kept(rest, &mut sink);
            }
        }
    }

    /// Reads one message that begins at the start of `rest`, or keeps its beginning.
    fn read_in_place<'a>(&mut self, rest: &'a [u8], sink: &mut impl FnMut(Found<'_>)) -> &'a [u8] {
        let Some(total) = self.total_len(rest, sink) else {
            if !self.damaged {
                self.carry.extend_from_slice(rest);
            }
            return &[];
        };
        if total > MESSAGE_BYTES_MAX {
            sink(Found::TooLong);
            self.skip = total;
            return rest;
        }
        match rest.get(..total) {
            Some(message) => {
                self.deliver(message, sink);
                rest.get(total..).unwrap_or_default()
            }
            None => {
                self.carry.extend_from_slice(rest);
                &[]
            }
        }
    }

    /// Completes the message whose beginning is kept.
    fn read_kept<'a>(&mut self, rest: &'a [u8], sink: &mut impl FnMut(Found<'_>)) -> &'a [u8] {
        let carry = std::mem::take(&mut self.carry);
        let want = if carry.len() < PRELUDE_BYTES {
            PRELUDE_BYTES
        } else {
            match self.total_len(&carry, sink) {
                Some(total) => total,
                None => return &[],
            }
        };
        let take = want.saturating_sub(carry.len()).min(rest.len());
        let (head, tail) = rest.split_at(take);
        self.carry = carry;
        self.carry.extend_from_slice(head);
        if self.carry.len() < want {
            return tail;
        }
        let carry = std::mem::take(&mut self.carry);
        match self.total_len(&carry, sink) {
            Some(total) if total > MESSAGE_BYTES_MAX => {
                sink(Found::TooLong);
                self.skip = total.saturating_sub(carry.len());
            }
            Some(total) if total == carry.len() => {
                self.deliver(&carry, sink);
                self.carry = carry;
                self.carry.clear();
            }
            Some(_) => self.carry = carry,
            None => {}
        }
        tail
    }

    /// Length of the message that begins here; `None` where the prelude is not whole or is damaged.
    fn total_len(&mut self, bytes: &[u8], sink: &mut impl FnMut(Found<'_>)) -> Option<usize> {
        let prelude = bytes.get(..PRELUDE_BYTES)?;
        let total = number(prelude, 0)?;
        let headers = number(prelude, 4)?;
        let sum = number(prelude, 8)?;
        let right = prelude.get(..8).is_some_and(|part| checksum(part) == sum)
            && (MESSAGE_BYTES_MIN..=MESSAGE_BYTES_POSSIBLE).contains(&total)
            && headers <= total - MESSAGE_BYTES_MIN;
        if right {
            return Some(total);
        }
        self.damaged = true;
        sink(Found::Damaged);
        None
    }

    fn deliver(&mut self, bytes: &[u8], sink: &mut impl FnMut(Found<'_>)) {
        match parse(bytes) {
            Some(message) => sink(Found::Message(message)),
            None => {
                self.damaged = true;
                sink(Found::Damaged);
            }
        }
    }
}

/// No message of an event stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoMessage;

/// Length of the message that begins here; `None` where its prelude is not whole yet.
pub(crate) fn message_len(bytes: &[u8]) -> Result<Option<usize>, NoMessage> {
    let (Some(total), Some(headers), Some(_)) = (number(bytes, 0), number(bytes, 4), number(bytes, 8)) else {
        return Ok(None);
    };
    let right = looks_like(bytes)
        && (MESSAGE_BYTES_MIN..=MESSAGE_BYTES_POSSIBLE).contains(&total)
        && headers <= total - MESSAGE_BYTES_MIN;
    if right { Ok(Some(total)) } else { Err(NoMessage) }
}

/// The same message with another payload.
pub(crate) fn with_payload(message: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let headers_bytes = number(message, 4)?;
    let headers = message.get(PRELUDE_BYTES..PRELUDE_BYTES.checked_add(headers_bytes)?)?;
    let total = MESSAGE_BYTES_MIN
        .checked_add(headers.len())?
        .checked_add(payload.len())?;
    let mut out = Vec::with_capacity(total);
    out.extend_from_slice(&u32::try_from(total).ok()?.to_be_bytes());
    out.extend_from_slice(message.get(4..8)?);
    push_checksum(&mut out);
    out.extend_from_slice(headers);
    out.extend_from_slice(payload);
    push_checksum(&mut out);
    Some(out)
}

/// Whether these bytes, at least 12 of them, begin a message.
#[must_use]
pub fn looks_like(bytes: &[u8]) -> bool {
    let Some(sum) = number(bytes, 8) else { return false };
    bytes.get(..8).is_some_and(|part| checksum(part) == sum)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four: [u8; 4] = bytes.get(at..at.checked_add(4)?)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(four)).ok()
}

fn checksum(bytes: &[u8]) -> usize {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    usize::try_from(crc.sum()).unwrap_or(usize::MAX)
}

/// Reads a whole message; `None` where its checksum or its headers are wrong.
pub(crate) fn parse(bytes: &[u8]) -> Option<Message<'_>> {
    let body_end = bytes.len().checked_sub(4)?;
    if checksum(bytes.get(..body_end)?) != number(bytes, body_end)? {
        return None;
    }
    let headers_end = PRELUDE_BYTES.checked_add(number(bytes, 4)?)?;
    let mut headers = bytes.get(PRELUDE_BYTES..headers_end)?;
    let mut message = Message {
        payload: bytes.get(headers_end..body_end)?,
        ..Message::default()
    };
    while let Some((&name_len, rest)) = headers.split_first() {
        let (name, rest) = rest.split_at_checked(usize::from(name_len))?;
        let (&kind, rest) = rest.split_first()?;
        let (len, rest) = match kind {
            0 | 1 => (0, rest),
            2 => (1, rest),
            3 => (2, rest),
            4 => (4, rest),
            5 | 8 => (8, rest),
            9 => (16, rest),
            6 | 7 => {
                let (len, rest) = rest.split_at_checked(2)?;
                (usize::from(u16::from_be_bytes(len.try_into().ok()?)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(len)?;
        if kind == 7 {
            match name {
                b":message-type" => message.message_type = value,
                b":event-type" => message.event_type = value,
                b":exception-type" | b":error-code" => message.error_type = value,
                b":error-message" => message.error_message = value,
                _ => {}
            }
        }
        headers = rest;
    }
    Some(message)
}

/// Writes a message: for tests and for the mock provider.
#[must_use]
pub fn write(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = u32::try_from(MESSAGE_BYTES_MIN + head.len() + payload.len()).unwrap_or(u32::MAX);
    let mut out = Vec::new();
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&u32::try_from(head.len()).unwrap_or(u32::MAX).to_be_bytes());
    push_checksum(&mut out);
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    push_checksum(&mut out);
    out
}

fn push_checksum(out: &mut Vec<u8>) {
    let sum = u32::try_from(checksum(out)).unwrap_or(u32::MAX);
    out.extend_from_slice(&sum.to_be_bytes());
}
