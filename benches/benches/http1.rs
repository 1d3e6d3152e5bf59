//! The HTTP/1.1 codec: request heads and chunked bodies, against bare httparse (the floor: it finds fields and decides
//! nothing) and, with the feature `monoio-http`, against that crate's codec.

use criterion::{Criterion, criterion_group, criterion_main};
use sluice_benches::{Case, Engine, compare, criterion, inputs};
use sluice_proto::http1::{BodyDecoder, Framing, HeadLimits, HeadScanner, Kind, parse_request};

fn heads(criterion: &mut Criterion) {
    let input = inputs::request_head();
    let cases = [Case {
        name: "17 fields",
        expected: 17,
        input,
    }];
    #[allow(unused_mut, reason = "a feature adds one")]
    let mut engines: Vec<Engine<usize>> = vec![("ours", ours), ("httparse alone", bare)];
    #[cfg(feature = "monoio-http")]
    engines.push(("monoio-http", other::head));
    compare(criterion, "request head", &cases, &engines);
}

/// As a shard does it: find the end, then parse.
fn ours(bytes: &[u8]) -> usize {
    let limits = HeadLimits::default();
    let end = HeadScanner::new(Kind::Request, limits)
        .scan(bytes)
        .ok()
        .flatten()
        .unwrap_or_default();
    bytes
        .get(..end)
        .and_then(|head| parse_request(head, &limits).ok())
        .map_or(0, |head| head.headers.len())
}

fn bare(bytes: &[u8]) -> usize {
    let mut fields = [httparse::EMPTY_HEADER; 100];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(bytes).map_or(0, |_| request.headers.len())
}

fn chunks(criterion: &mut Criterion) {
    let body = inputs::chat_stream(200);
    let cases = [
        Case {
            name: "300-byte chunks",
            expected: body.len(),
            input: inputs::chunked(&body, 300),
        },
        Case {
            name: "8 KiB chunks",
            expected: body.len(),
            input: inputs::chunked(&body, 8 << 10),
        },
    ];
    #[allow(unused_mut, reason = "a feature adds one")]
    let mut engines: Vec<Engine<usize>> = vec![("ours", decoded), ("parse sizes, skip data", naive)];
    #[cfg(feature = "monoio-http")]
    engines.push(("monoio-http", other::chunks));
    compare(criterion, "chunked body", &cases, &engines);
}

fn decoded(bytes: &[u8]) -> usize {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut rest, mut total) = (bytes, 0);
    while !decoder.is_done() {
        let Ok(piece) = decoder.decode(rest) else { return 0 };
        total += piece.data.len();
        rest = rest.get(piece.consumed..).unwrap_or_default();
    }
    total
}

/// What a chunked body costs at least: httparse reads each size line, nothing is checked.
fn naive(bytes: &[u8]) -> usize {
    let (mut rest, mut total) = (bytes, 0);
    while let Ok(httparse::Status::Complete((line, size))) = httparse::parse_chunk_size(rest) {
        let size = usize::try_from(size).unwrap_or_default();
        if size == 0 {
            return total;
        }
        total += size;
        rest = rest.get(line + size + 2..).unwrap_or_default();
    }
    0
}

#[cfg(feature = "monoio-http")]
mod other {
    use bytes::BytesMut;
    use monoio_codec::{Decoded, Decoder};
    use monoio_http::h1::codec::decoder::{ChunkedBodyDecoder, RequestHeadDecoder};

    pub(super) fn head(bytes: &[u8]) -> usize {
        match RequestHeadDecoder.decode(&mut BytesMut::from(bytes)) {
            Ok(Decoded::Some(head)) => head.headers.len(),
            _ => 0,
        }
    }

    pub(super) fn chunks(bytes: &[u8]) -> usize {
        let mut bytes = BytesMut::from(bytes);
        let mut decoder = ChunkedBodyDecoder::default();
        let mut total = 0;
        while let Ok(Decoded::Some(piece)) = decoder.decode(&mut bytes) {
            match piece {
                Some(data) => total += data.len(),
                None => return total,
            }
        }
        0
    }
}

criterion_group! { name = benches; config = criterion(); targets = heads, chunks }
criterion_main!(benches);
