//! Frames of the control socket between the planes.
//!
//! A frame is a 16-byte header and an rkyv payload:
//!
//! ```text
//! 0       4         6      8             12       16
//! | magic | version | zero | payload len | crc32c | payload … |
//! ```
//!
//! The checksum covers version, length and payload. A frame that does not hold ends the connection: both sides
//! then start over with a hello, the data plane serving on meanwhile.

#![allow(missing_docs, reason = "rkyv derives undocumented twins of documented fields")]

use rkyv::util::AlignedVec;
use rkyv::{Archive, Deserialize, Serialize, rancor};
use zeroize::Zeroize as _;

use crate::ids::Epoch;
use crate::quota::Unit;
use crate::quota::ledger::{Ask, Grant};
use crate::snapshot::{AppValue, Capability, Role, Secret};

/// Version of the frames. The sides must agree exactly.
pub const VERSION: u16 = 4;
/// Bytes of a frame header.
pub const HEADER_BYTES: usize = 16;
/// Largest payload, in bytes. Snapshots do not travel in frames but as sealed memory files beside them.
pub const PAYLOAD_BYTES_MAX: usize = 1 << 20;

const MAGIC: &[u8; 4] = b"SLCF";

/// What the data plane says.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ToControl {
    /// First frame of a connection.
    Hello {
        /// Process id, for people who read logs.
        pid: u32,
        /// Generation of this data plane's journal directory.
        incarnation: u64,
        /// Epoch it runs on; 0 if none.
        epoch: Epoch,
    },
    /// Who is the peer at this address?
    WhoIs {
        /// Chosen by the asker, returned in the answer.
        ticket: u64,
        /// Address of the peer; IPv4 mapped into IPv6.
        address: [u8; 16],
        /// Port of the peer.
        port: u16,
    },
    /// Whose credential is this? Answered by [`ToData::Identity`], too.
    Prove {
        /// Chosen by the asker, returned in the answer; one series with those of `WhoIs`.
        ticket: u64,
        /// The credential.
        proof: Proof,
    },
    /// The snapshot that was sent could not be used; the old one stays.
    SnapshotRefused {
        /// Epoch announced with it.
        epoch: Epoch,
        /// Why, for the log.
        reason: String,
    },
    /// The snapshot is in use from now on.
    SnapshotApplied {
        /// Its epoch.
        epoch: Epoch,
    },
    /// What is there for me in this bucket? Also reports what was given back. Answered by [`ToData::Leased`].
    Lease {
        /// Chosen by the asker, returned in the answer; the same for every question about this bucket.
        ticket: u64,
        /// Which bucket.
        bucket: BucketRef,
        /// The question.
        ask: Ask,
    },
    /// Answer to [`ToData::Stand`].
    Standing(Standing),
}

/// What runs in a data plane at one moment.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requests that run.
    pub running: u64,
    /// Of these: answers that are being streamed.
    pub streams: u64,
    /// Connections to providers, one entry a provider.
    pub pools: Vec<PoolStanding>,
}

/// Connections to a provider at one moment.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolStanding {
    /// Id of the provider.
    pub provider: String,
    /// Connections that are open.
    pub open: u64,
    /// Of these: carry no request.
    pub idle: u64,
}

impl Standing {
    /// Adds what runs elsewhere.
    pub fn merge(&mut self, other: &Self) {
        self.running = self.running.saturating_add(other.running);
        self.streams = self.streams.saturating_add(other.streams);
        for pool in &other.pools {
            match self
                .pools
                .iter_mut()
                .find(|known| known.provider == pool.provider)
            {
                Some(known) => {
                    known.open = known.open.saturating_add(pool.open);
                    known.idle = known.idle.saturating_add(pool.idle);
                }
                None => self.pools.push(pool.clone()),
            }
        }
    }
}

/// What the control plane says.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum ToData {
    /// A sealed memory file with a snapshot travels with this frame (one descriptor, `SCM_RIGHTS`).
    Snapshot {
        /// Its epoch, larger than every earlier one.
        epoch: Epoch,
        /// Its length in bytes.
        bytes: u64,
    },
    /// Answer to [`ToControl::WhoIs`].
    Identity {
        /// Ticket of the question.
        ticket: u64,
        /// What is known.
        answer: IdentityAnswer,
    },
    /// Forget what was said about somebody, so that it is asked for again.
    Forget {
        /// About whom.
        whom: Whom,
        /// Also end what runs: the principal is gone or has become another.
        cut: bool,
    },
    /// Answer to [`ToControl::Lease`]. A question older than the last is not answered.
    Leased {
        /// Ticket of the question.
        ticket: u64,
        /// What was found.
        answer: LeaseAnswer,
    },
    /// More may be there now than the last answer said, or the terms are others: ask again if it matters.
    BucketChanged {
        /// Number of the bucket.
        bucket: u64,
    },
    /// Somebody else is short: give back what lies idle, by a question with `need: 0`.
    RecallBucket {
        /// Number of the bucket.
        bucket: u64,
    },
    /// A bucket has been used up to one of its marks; for the metrics.
    QuotaMark {
        /// Name of the quota, with its templates.
        quota: String,
        /// 50, 80 or 100 percent.
        percent: u8,
    },
    /// What runs? Answered by [`ToControl::Standing`] when every shard has said, at most one answer at a time.
    Stand,
}

/// A bucket that is asked about. Only the first question of a stint names it; names are long, and a bucket that was
/// removed and defined anew in between is another one, with another number.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum BucketRef {
    /// By name; opened if it is defined and not there yet.
    Named(Bucket),
    /// By the number that the first answer told; [`LeaseAnswer::Undefined`] if there is none of that number any more.
    Numbered(u64),
}

/// Names a bucket.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Bucket {
    /// Name of the quota, with its templates.
    pub quota: String,
    /// The name with the templates filled in.
    pub name: String,
    /// What it counts.
    pub unit: Unit,
}

/// What the ledger says about a bucket.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum LeaseAnswer {
    /// The bucket is there.
    Granted {
        /// Its number, for charges.
        bucket: u64,
        /// What the holder has of it.
        grant: Grant,
    },
    /// No such limit is defined: refused until a configuration defines it.
    Undefined {
        /// Of the question.
        seq: u64,
    },
    /// The ledger cannot be read or written now.
    Unavailable {
        /// Of the question.
        seq: u64,
    },
}

/// About whom something is to be forgotten.
#[derive(Archive, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whom {
    /// Everything that was ever said.
    Everyone,
    /// A peer address, all ports of it; IPv4 mapped into IPv6.
    Address([u8; 16]),
    /// A credential, by SHA-256 of [`Proof::canonical`].
    Proof([u8; 32]),
}

/// A credential of a request that says who calls.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A bearer token: one of this gateway, or a JSON web token.
    Bearer {
        /// The whole token, at most [`BEARER_BYTES_MAX`] bytes.
        token: Secret,
    },
    /// The headers of `tailscale serve`, from a listener marked for it.
    Served {
        /// `Tailscale-User-Login`, decoded.
        login: String,
        /// `Tailscale-App-Capabilities`: JSON; empty if absent.
        capabilities: String,
    },
}

/// Longest bearer token that is looked at, in bytes; a longer one is refused.
pub const BEARER_BYTES_MAX: usize = 16 << 10;

impl Proof {
    /// The bytes whose SHA-256 names the credential in caches and revocations: a token as it is (so that the stored hash
    /// of a gateway token is the name), headers behind a mark that no token begins with.
    #[must_use]
    pub fn canonical(&self) -> zeroize::Zeroizing<Vec<u8>> {
        let mut out = zeroize::Zeroizing::new(Vec::new());
        match self {
            Self::Bearer { token } => out.extend_from_slice(token.0.as_bytes()),
            Self::Served { login, capabilities } => {
                out.extend_from_slice(b"\0served\0");
                out.extend_from_slice(&(login.len() as u64).to_le_bytes());
                out.extend_from_slice(login.as_bytes());
                out.extend_from_slice(capabilities.as_bytes());
            }
        }
        out
    }
}

/// What is known about a peer.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub enum IdentityAnswer {
    /// A principal.
    Known {
        /// Who.
        principal: Principal,
        /// Holds for every connection from this address, not just for this port.
        whole_address: bool,
        /// How long it may be used without asking again, in milliseconds.
        age_ms_max: u64,
    },
    /// No source knows the peer: 403.
    Unknown {
        /// How long that may be remembered, in milliseconds.
        age_ms_max: u64,
    },
    /// The credential claims to be one of ours and does not hold (forged, expired, revoked): 401.
    Refused {
        /// Why, in a few words for the caller; never holds any part of the credential.
        reason: String,
        /// How long that may be remembered, in milliseconds.
        age_ms_max: u64,
    },
    /// The credential is none of ours (a provider's key, a token of an issuer that is not configured): as if it were
    /// not there.
    Foreign {
        /// How long that may be remembered, in milliseconds.
        age_ms_max: u64,
    },
    /// A source that would have to be asked is down: 503, never "allow".
    Unavailable {
        /// Seconds after which a client should try again.
        retry_after_s: u32,
    },
}

/// Who calls, as proven by the network.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Principal {
    /// Source that proved it, e.g. `loopback`, `static`.
    pub source: String,
    /// Login; for a tagged device its tags, sorted, joined by `,`.
    pub login: String,
    /// Stable id of the node; the address where the source knows no nodes.
    pub node: String,
    /// Tags, sorted.
    pub tags: Vec<String>,
    /// Groups, `group:x`, sorted.
    pub groups: Vec<String>,
    /// Granted by the network's own policy, beside the grants of the document.
    pub capabilities: Vec<Capability>,
    /// Values under other capability keys of the network's policy, for hooks.
    pub app: Vec<AppValue>,
    /// What a scoped credential is limited to; takes away, never adds.
    pub scope: Option<Scope>,
}

/// A limit that a credential carries.
#[derive(Archive, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// Globs over `provider/model`; `None`: every model that the principal is granted.
    pub models: Option<Vec<String>>,
    /// The highest role; `None`: whatever the principal has.
    pub role: Option<Role>,
}

/// Why a frame was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a frame.
    #[error("not a control frame")]
    Magic,
    /// The other side is of another version.
    #[error("control frame has version {0}, this build speaks {VERSION}")]
    Version(u16),
    /// Longer than [`PAYLOAD_BYTES_MAX`].
    #[error("control frame of {0} bytes is too long")]
    TooLong(u32),
    /// Bytes were changed.
    #[error("control frame checksum does not match")]
    Checksum,
    /// The checksum holds and the structure does not.
    #[error("control frame structure is invalid")]
    Structure,
}

/// A checked header: what is still to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow.
    pub payload_bytes: usize,
    crc: u32,
}

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// Magic, version or length do not fit.
    pub fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let [m0, m1, m2, m3, v0, v1, z0, z1, l0, l1, l2, l3, c0, c1, c2, c3] = *bytes;
        if &[m0, m1, m2, m3] != MAGIC || [z0, z1] != [0, 0] {
            return Err(FrameError::Magic);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        match usize::try_from(length) {
            Ok(payload_bytes) if payload_bytes <= PAYLOAD_BYTES_MAX => Ok(Self {
                payload_bytes,
                crc: u32::from_le_bytes([c0, c1, c2, c3]),
            }),
            _ => Err(FrameError::TooLong(length)),
        }
    }

    fn check(&self, payload: &[u8]) -> Result<AlignedVec, FrameError> {
        if payload.len() != self.payload_bytes || checksum(payload) != self.crc {
            return Err(FrameError::Checksum);
        }
        let mut aligned = AlignedVec::with_capacity(payload.len());
        aligned.extend_from_slice(payload);
        Ok(aligned)
    }

    /// Reads the payload of a frame that the data plane sent.
    ///
    /// # Errors
    /// Checksum or structure do not hold.
    pub fn to_control(&self, payload: &[u8]) -> Result<ToControl, FrameError> {
        rkyv::from_bytes::<ToControl, rancor::Error>(&self.check(payload)?).map_err(|_| FrameError::Structure)
    }

    /// Reads the payload of a frame that the control plane sent.
    ///
    /// # Errors
    /// Checksum or structure do not hold.
    pub fn to_data(&self, payload: &[u8]) -> Result<ToData, FrameError> {
        rkyv::from_bytes::<ToData, rancor::Error>(&self.check(payload)?).map_err(|_| FrameError::Structure)
    }
}

fn checksum(payload: &[u8]) -> u32 {
    let head = crc32c::crc32c(&VERSION.to_le_bytes());
    let length = crc32c::crc32c_append(head, &(payload.len() as u64).to_le_bytes());
    crc32c::crc32c_append(length, payload)
}

fn frame(payload: &[u8]) -> Result<Vec<u8>, FrameError> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut out = Vec::with_capacity(HEADER_BYTES + payload.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0, 0]);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(payload).to_le_bytes());
    out.extend_from_slice(payload);
    Ok(out)
}

impl ToControl {
    /// The whole frame, ready to be sent.
    ///
    /// # Errors
    /// The payload would be longer than [`PAYLOAD_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let mut payload = rkyv::to_bytes::<rancor::Error>(self).map_err(|_| FrameError::Structure)?;
        let encoded = frame(&payload);
        // It may hold a credential.
        payload.as_mut_slice().zeroize();
        encoded
    }
}

impl ToData {
    /// The whole frame, ready to be sent.
    ///
    /// # Errors
    /// The payload would be longer than [`PAYLOAD_BYTES_MAX`].
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        frame(&rkyv::to_bytes::<rancor::Error>(self).map_err(|_| FrameError::Structure)?)
    }
}

/// Entry for fuzzing: whatever the bytes, an answer and no panic; what decodes encodes to the same bytes.
#[doc(hidden)]
pub fn fuzz_frames(data: &[u8]) {
    let Some((head, payload)) = data.split_first_chunk::<HEADER_BYTES>() else {
        return;
    };
    let Ok(header) = Header::parse(head) else { return };
    let Some(payload) = payload.get(..header.payload_bytes) else {
        return;
    };
    if let Ok(frame) = header.to_control(payload) {
        assert!(frame.encode().is_ok());
    }
    if let Ok(frame) = header.to_data(payload) {
        assert!(frame.encode().is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8]) -> Result<ToControl, FrameError> {
        let (head, payload) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(FrameError::Magic)?;
        Header::parse(head)?.to_control(payload)
    }

    #[test]
    fn frames_survive_the_wire_and_nothing_else_does() {
        let hello = ToControl::Hello {
            pid: 1,
            incarnation: 2,
            epoch: Epoch(3),
        };
        let bytes = hello.encode().unwrap();
        assert_eq!(decode(&bytes), Ok(hello));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err());
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&flipped).is_err(), "bit {bit}");
            fuzz_frames(&flipped);
        }
    }

    /// One frame of every kind, both ways.
    fn frames() -> Vec<(Vec<u8>, bool)> {
        let principal = Principal {
            source: "oidc".into(),
            login: "alice@example.com".into(),
            node: "n1".into(),
            groups: vec!["group:eng".into()],
            capabilities: vec![Capability {
                role: Some(Role::User),
                models: Some(vec!["a/**".into()]),
                grants_models: true,
                ..Capability::default()
            }],
            app: vec![AppValue {
                key: "x".into(),
                json: "[1]".into(),
            }],
            scope: Some(Scope {
                models: Some(vec!["a/*".into()]),
                role: Some(Role::User),
            }),
            ..Principal::default()
        };
        let standing = Standing {
            running: 3,
            streams: 2,
            pools: vec![PoolStanding {
                provider: "p".into(),
                open: 4,
                idle: 1,
            }],
        };
        let answers = [
            IdentityAnswer::Known {
                principal,
                whole_address: true,
                age_ms_max: 1,
            },
            IdentityAnswer::Unknown { age_ms_max: 2 },
            IdentityAnswer::Refused {
                reason: "expired".into(),
                age_ms_max: 3,
            },
            IdentityAnswer::Foreign { age_ms_max: 4 },
            IdentityAnswer::Unavailable { retry_after_s: 5 },
        ];
        let to_control = [
            ToControl::Hello {
                pid: 1,
                incarnation: 2,
                epoch: Epoch(3),
            },
            ToControl::WhoIs {
                ticket: 1,
                address: [7; 16],
                port: 8,
            },
            ToControl::Prove {
                ticket: 2,
                proof: Proof::Bearer {
                    token: Secret("slt_x".into()),
                },
            },
            ToControl::Prove {
                ticket: 3,
                proof: Proof::Served {
                    login: "a@example.com".into(),
                    capabilities: "{}".into(),
                },
            },
            ToControl::SnapshotRefused {
                epoch: Epoch(4),
                reason: "no".into(),
            },
            ToControl::SnapshotApplied { epoch: Epoch(5) },
            ToControl::Lease {
                ticket: 4,
                bucket: BucketRef::Named(Bucket {
                    quota: "daily:<user>".into(),
                    name: "daily:alice".into(),
                    unit: Unit::Usd,
                }),
                ask: Ask {
                    seq: 1,
                    need: 2,
                    ..Ask::default()
                },
            },
            ToControl::Lease {
                ticket: 5,
                bucket: BucketRef::Numbered(7),
                ask: Ask {
                    seq: 2,
                    first: 1,
                    last: true,
                    ..Ask::default()
                },
            },
            ToControl::Standing(standing),
        ];
        let whoms = [Whom::Everyone, Whom::Address([1; 16]), Whom::Proof([2; 32])];
        let mut to_data = vec![ToData::Snapshot {
            epoch: Epoch(6),
            bytes: 7,
        }];
        to_data.extend(
            answers
                .into_iter()
                .map(|answer| ToData::Identity { ticket: 1, answer }),
        );
        let grant = Grant {
            seq: 1,
            granted: 2,
            ..Grant::default()
        };
        let leases = [
            LeaseAnswer::Granted { bucket: 1, grant },
            LeaseAnswer::Undefined { seq: 2 },
            LeaseAnswer::Unavailable { seq: 3 },
        ];
        to_data.extend(
            leases
                .into_iter()
                .map(|answer| ToData::Leased { ticket: 1, answer }),
        );
        to_data.extend([
            ToData::BucketChanged { bucket: 1 },
            ToData::RecallBucket { bucket: 1 },
            ToData::QuotaMark {
                quota: "daily:<user>".into(),
                percent: 80,
            },
            ToData::Stand,
        ]);
        to_data.extend(whoms.into_iter().map(|whom| ToData::Forget { whom, cut: true }));
        let control = to_control.iter().map(|frame| (frame.encode().unwrap(), true));
        let data = to_data.iter().map(|frame| (frame.encode().unwrap(), false));
        control.chain(data).collect()
    }

    fn accepted(bytes: &[u8], to_control: bool) -> Result<(), FrameError> {
        let (head, payload) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(FrameError::Magic)?;
        let header = Header::parse(head)?;
        if to_control {
            header.to_control(payload).map(drop)
        } else {
            header.to_data(payload).map(drop)
        }
    }

    #[test]
    #[allow(clippy::print_stdout, reason = "the run says how much it looked at")]
    fn every_frame_is_refused_cut_flipped_longer_or_of_another_version() {
        let (mut cuts, mut flips) = (0, 0);
        for (bytes, to_control) in frames() {
            assert_eq!(accepted(&bytes, to_control), Ok(()));
            for cut in 0..bytes.len() {
                assert!(accepted(&bytes[..cut], to_control).is_err(), "cut at {cut}");
                cuts += 1;
            }
            let mut changed = bytes.clone();
            for bit in 0..changed.len() * 8 {
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(accepted(&changed, to_control).is_err(), "bit {bit}");
                fuzz_frames(&changed);
                changed[bit / 8] ^= 1 << (bit % 8);
                flips += 1;
            }
            changed.push(0);
            assert_eq!(accepted(&changed, to_control), Err(FrameError::Checksum));
            changed.pop();
            for version in (0..=u16::MAX).filter(|version| *version != VERSION) {
                changed[4..6].copy_from_slice(&version.to_le_bytes());
                assert_eq!(accepted(&changed, to_control), Err(FrameError::Version(version)));
            }
            // Taken for a frame of the other direction it may be refused or read, and never more than that.
            let _ = accepted(&bytes, !to_control);
        }
        println!("{cuts} cuts, {flips} flipped bits, none accepted");
    }

    #[test]
    fn a_frame_is_as_long_as_it_may_be_and_not_a_byte_longer() {
        let reason = |bytes: usize| ToControl::SnapshotRefused {
            epoch: Epoch(1),
            reason: "x".repeat(bytes),
        };
        let around = PAYLOAD_BYTES_MAX - reason(0).encode().unwrap().len() + HEADER_BYTES;
        let longest = (around - 64..around + 64)
            .rev()
            .find_map(|bytes| reason(bytes).encode().ok());
        let longest = longest.unwrap();
        assert!(
            longest.len() > PAYLOAD_BYTES_MAX,
            "as long as it may be: {}",
            longest.len()
        );
        assert_eq!(accepted(&longest, true), Ok(()));
        assert!(matches!(
            reason(PAYLOAD_BYTES_MAX).encode(),
            Err(FrameError::TooLong(_))
        ));
        let mut head = [0; HEADER_BYTES];
        head.copy_from_slice(&longest[..HEADER_BYTES]);
        for (length, good) in [(PAYLOAD_BYTES_MAX, true), (PAYLOAD_BYTES_MAX + 1, false)] {
            head[8..12].copy_from_slice(&u32::try_from(length).unwrap().to_le_bytes());
            assert_eq!(Header::parse(&head).is_ok(), good, "{length}");
        }
    }

    #[test]
    fn what_runs_adds_up_by_provider() {
        let pool = |provider: &str, open, idle| PoolStanding {
            provider: provider.into(),
            open,
            idle,
        };
        let mut sum = Standing {
            running: 1,
            streams: 1,
            pools: vec![pool("a", 2, 1)],
        };
        sum.merge(&Standing {
            running: 2,
            streams: u64::MAX,
            pools: vec![pool("b", 1, 0), pool("a", 3, 2)],
        });
        let expected = Standing {
            running: 3,
            streams: u64::MAX,
            pools: vec![pool("a", 5, 3), pool("b", 1, 0)],
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn long_and_foreign_frames_are_refused_by_their_header() {
        let mut head = [0; HEADER_BYTES];
        assert_eq!(Header::parse(&head), Err(FrameError::Magic));
        head[..4].copy_from_slice(MAGIC);
        head[4..6].copy_from_slice(&9u16.to_le_bytes());
        assert_eq!(Header::parse(&head), Err(FrameError::Version(9)));
        head[4..6].copy_from_slice(&VERSION.to_le_bytes());
        head[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Header::parse(&head), Err(FrameError::TooLong(u32::MAX)));
    }
}
