//! Decoding of `content-encoding` for the meter; the client gets the bytes as they came.
//!
//! Bounds: what one small piece decodes to ([`BURST_BYTES_MAX`]), and the ratio over the whole body
//! ([`RATIO_MAX`], once [`RATIO_FLOOR_BYTES`] are out). Beyond them decoding stops and the meter reads no further.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

/// Input is decoded in pieces of this size, in bytes.
const PIECE_BYTES: usize = 1024;
/// Most that one piece may decode to, in bytes.
const BURST_BYTES_MAX: usize = 4 << 20;
/// Highest ratio of decoded to encoded bytes.
const RATIO_MAX: u64 = 100;
/// Decoded bytes below which the ratio is not looked at.
const RATIO_FLOOR_BYTES: u64 = 1 << 20;
/// Largest zstd window, as a power of two: 8 MiB, which RFC 9659 sets for HTTP.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;

/// What a body is encoded with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Identity,
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    /// An encoding that is not known, or several.
    Other,
}

impl Encoding {
    pub(crate) fn of(header: Option<&str>) -> Self {
        let mut found = Self::Identity;
        for token in header
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
            .filter(|token| !token.is_empty())
        {
            let this = match token.to_ascii_lowercase().as_str() {
                "identity" => continue,
                "gzip" | "x-gzip" => Self::Gzip,
                "deflate" => Self::Deflate,
                "br" => Self::Brotli,
                "zstd" => Self::Zstd,
                _ => Self::Other,
            };
            found = if found == Self::Identity {
                this
            } else {
                Self::Other
            };
        }
        found
    }
}

/// Takes decoded bytes until one piece has given too many.
#[derive(Default)]
struct Burst(Vec<u8>);

impl Write for Burst {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > BURST_BYTES_MAX {
            return Err(io::Error::other("too many decoded bytes"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Engine {
    Gzip(MultiGzDecoder<Burst>),
    Zlib(ZlibDecoder<Burst>),
    Deflate(DeflateDecoder<Burst>),
    Brotli(Box<DecompressorWriter<Burst>>),
    Zstd(zstd::stream::write::Decoder<'static, Burst>),
    /// `deflate`, before its first two bytes tell zlib (RFC 1950) from raw (RFC 1951).
    Undecided(Vec<u8>),
}

impl Engine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(engine) => push(engine, bytes),
            Self::Zlib(engine) => push(engine, bytes),
            Self::Deflate(engine) => push(engine, bytes),
            Self::Brotli(engine) => push(engine.as_mut(), bytes),
            Self::Zstd(engine) => push(engine, bytes),
            Self::Undecided(head) => {
                head.extend_from_slice(bytes);
                let [first, second, ..] = head.as_slice() else {
                    return Ok(());
                };
                let check = u16::from_be_bytes([*first, *second]);
                let mut engine = if first & 0x0F == 8 && check.is_multiple_of(31) {
                    Self::Zlib(ZlibDecoder::new(Burst::default()))
                } else {
                    Self::Deflate(DeflateDecoder::new(Burst::default()))
                };
                engine.write(head)?;
                *self = engine;
                Ok(())
            }
        }
    }

    fn burst(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Gzip(engine) => Some(&mut engine.get_mut().0),
            Self::Zlib(engine) => Some(&mut engine.get_mut().0),
            Self::Deflate(engine) => Some(&mut engine.get_mut().0),
            Self::Brotli(engine) => Some(&mut engine.get_mut().0),
            Self::Zstd(engine) => Some(&mut engine.get_mut().0),
            Self::Undecided(_) => None,
        }
    }
}

/// Decodes a piece and makes all of it visible: events flushed by the provider must not wait for later bytes.
fn push(engine: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    engine.write_all(bytes)?;
    engine.flush()
}

/// A decoder with its bounds.
pub(crate) struct Decoder {
    engine: Engine,
    encoded: u64,
    decoded: u64,
}

impl Decoder {
    /// A decoder, or `None` where the encoding cannot be read.
    pub(crate) fn new(encoding: Encoding) -> Option<Self> {
        let engine = match encoding {
            Encoding::Gzip => Engine::Gzip(MultiGzDecoder::new(Burst::default())),
            Encoding::Deflate => Engine::Undecided(Vec::new()),
            Encoding::Brotli => Engine::Brotli(Box::new(DecompressorWriter::new(Burst::default(), 4096))),
            Encoding::Zstd => {
                let mut engine = zstd::stream::write::Decoder::new(Burst::default()).ok()?;
                engine.window_log_max(ZSTD_WINDOW_LOG_MAX).ok()?;
                Engine::Zstd(engine)
            }
            Encoding::Identity | Encoding::Other => return None,
        };
        Some(Self {
            engine,
            encoded: 0,
            decoded: 0,
        })
    }

    /// Decodes the next bytes into `sink`. `false`: reading is over, by damage, by a bound or by trailing bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8], mut sink: impl FnMut(&[u8])) -> bool {
        for piece in bytes.chunks(PIECE_BYTES) {
            let written = self.engine.write(piece);
            self.encoded = self.encoded.saturating_add(piece.len() as u64);
            if let Some(burst) = self.engine.burst() {
                self.decoded = self.decoded.saturating_add(burst.len() as u64);
                sink(burst);
                if burst.capacity() > 64 * 1024 {
                    *burst = Vec::new();
                } else {
                    burst.clear();
                }
            }
            let exploded = self.decoded > RATIO_FLOOR_BYTES && self.decoded / RATIO_MAX > self.encoded;
            if written.is_err() || exploded {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(encoding: &str, plain: &[u8]) -> Vec<u8> {
        match encoding {
            "gzip" => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "zlib" => {
                let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "raw" => {
                let mut encoder =
                    flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            "br" => {
                let mut out = Vec::new();
                brotli::CompressorWriter::new(&mut out, 4096, 5, 20)
                    .write_all(plain)
                    .unwrap();
                out
            }
            _ => zstd::encode_all(plain, 3).unwrap(),
        }
    }

    fn decode(encoding: Encoding, bytes: &[u8], step: usize) -> (Vec<u8>, bool) {
        let mut decoder = Decoder::new(encoding).unwrap();
        let mut out = Vec::new();
        let mut open = true;
        for piece in bytes.chunks(step) {
            open = open && decoder.feed(piece, |decoded| out.extend_from_slice(decoded));
        }
        (out, open)
    }

    const ALL: [(&str, Encoding); 5] = [
        ("gzip", Encoding::Gzip),
        ("zlib", Encoding::Deflate),
        ("raw", Encoding::Deflate),
        ("br", Encoding::Brotli),
        ("zstd", Encoding::Zstd),
    ];

    #[test]
    fn every_encoding_in_any_cuts() {
        let plain: Vec<u8> = (0..20_000_u32)
            .flat_map(|n| format!("data: {}\n\n", n.wrapping_mul(2_654_435_761)).into_bytes())
            .collect();
        for (name, encoding) in ALL {
            let encoded = encode(name, &plain);
            for step in [1, 3, 1000, encoded.len()] {
                let (out, open) = decode(encoding, &encoded, step);
                assert!(
                    out == plain && open,
                    "{name} {step}: {} of {}, {open}",
                    out.len(),
                    plain.len()
                );
            }
        }
    }

    #[test]
    fn a_flushed_event_is_seen_at_once() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let mut zstd = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        let mut decoders = [Encoding::Gzip, Encoding::Zstd, Encoding::Brotli]
            .map(|encoding| Decoder::new(encoding).unwrap());
        for round in 0..5 {
            let event = format!("data: {{\"n\":{round}}}\n\n");
            gzip.write_all(event.as_bytes()).unwrap();
            gzip.flush().unwrap();
            zstd.write_all(event.as_bytes()).unwrap();
            zstd.flush().unwrap();
            brotli.write_all(event.as_bytes()).unwrap();
            brotli.flush().unwrap();
            let pieces = [
                std::mem::take(gzip.get_mut()),
                std::mem::take(zstd.get_mut()),
                std::mem::take(brotli.get_mut()),
            ];
            for (decoder, piece) in decoders.iter_mut().zip(pieces) {
                let mut out = Vec::new();
                assert!(decoder.feed(&piece, |decoded| out.extend_from_slice(decoded)));
                assert_eq!(String::from_utf8(out).unwrap(), event);
            }
        }
    }

    #[test]
    fn bombs_and_damage_stop_the_reading() {
        let zeros = vec![b'0'; 64 << 20];
        for (name, encoding) in ALL {
            let encoded = encode(name, &zeros);
            let (out, open) = decode(encoding, &encoded, encoded.len());
            assert!(
                !open && out.len() <= 8 << 20,
                "{name}: {} of {}",
                out.len(),
                encoded.len()
            );
            let (_, open) = decode(encoding, &[b'?'; 5000], 5000);
            assert!(!open, "{name}");
        }
        assert!(Decoder::new(Encoding::of(Some("gzip, br"))).is_none());
        assert!(Decoder::new(Encoding::of(Some("snappy"))).is_none());
        assert_eq!(Encoding::of(Some("identity")), Encoding::Identity);
        assert_eq!(Encoding::of(Some("GZIP")), Encoding::Gzip);
    }
}
