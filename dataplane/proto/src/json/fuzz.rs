//! Entry of the fuzz target for the scanner; a unit test calls it, so it cannot rot.

use sluice_shared::api::ApiKind;

use super::{BodyScan, Facts, JsonLimits, JsonReject, KeyTable, Outside};
use crate::splice::{Edits, OutputKey};

/// Scans `data` whole, in small pieces and cut at a place that the data chooses: the outcomes must be the same, and
/// what is accepted must be JSON to another parser, with the same model. What is accepted can be given a lower limit on
/// output, and is accepted then, too.
pub fn fuzz_json(data: &[u8]) {
    let kind = data
        .first()
        .and_then(|first| ApiKind::from_index(first % 22))
        .unwrap_or(ApiKind::OpenAiChat);
    let body = data.get(1..).unwrap_or_default();
    let scan = |pieces: &mut dyn Iterator<Item = &[u8]>| -> Result<Facts, JsonReject> {
        let mut scan = BodyScan::new(KeyTable::for_kind(kind), JsonLimits::DEFAULT);
        for piece in pieces {
            scan.feed(piece)?;
        }
        scan.finish()
    };
    let whole = scan(&mut std::iter::once(body));
    let size = usize::from(data.last().copied().unwrap_or(0) % 7) + 1;
    assert_eq!(whole, scan(&mut body.chunks(size)), "pieces of {size}");
    let (left, right) = body.split_at(body.len() / 2);
    assert_eq!(whole, scan(&mut [left, right].into_iter()), "two halves");
    if let Ok(facts) = whole {
        assert!(
            std::str::from_utf8(body).is_ok(),
            "accepted bytes that are not UTF-8"
        );
        if let Some(model) = &facts.model {
            let from = usize::try_from(model.span.start).unwrap_or(usize::MAX);
            let to = usize::try_from(model.span.end).unwrap_or(usize::MAX);
            let quoted = body.get(from..to).unwrap_or_default();
            assert!(
                quoted.len() >= 2 && quoted.starts_with(b"\"") && quoted.ends_with(b"\""),
                "span of the model"
            );
        }
        let whole = Outside::find(kind, &[body]);
        let pieces: Vec<&[u8]> = body.chunks(size).collect();
        assert_eq!(whole, Outside::find(kind, &pieces), "pieces of {size}");
        lower(kind, body, &facts, &scan);
    }
}

type Scan<'a> = &'a dyn Fn(&mut dyn Iterator<Item = &[u8]>) -> Result<Facts, JsonReject>;

fn lower(kind: ApiKind, body: &[u8], facts: &Facts, scan: Scan<'_>) {
    const MOST: u64 = 17;
    let key = OutputKey::of(kind, "openai", "anthropic.claude");
    let Some((key, edits)) = key.and_then(|key| Some((key, key.lower(facts, MOST)?))) else {
        return;
    };
    let Ok(edits) = Edits::new(edits.into_vec()) else {
        panic!("edits that overlap")
    };
    let chunks = [body];
    let lowered = edits.pieces(&chunks).collect::<Vec<_>>().concat();
    let again = match scan(&mut std::iter::once(lowered.as_slice())) {
        Ok(again) => again,
        Err(reject) => panic!("no longer accepted: {reject}"),
    };
    let before = key.limit(facts).unwrap_or(MOST);
    assert_eq!(key.limit(&again), Some(before.min(MOST)), "the limit in force");
    assert!(
        again.max_tokens <= facts.max_tokens.max(Some(MOST)),
        "no other limit grew"
    );
    let name = |facts: &Facts| facts.model.as_ref().map(|model| model.value.clone());
    assert_eq!(name(&again), name(facts));
}

#[cfg(test)]
mod tests {
    use super::fuzz_json;

    #[test]
    fn the_fuzz_entry_holds_on_a_few_inputs() {
        let inputs: &[&[u8]] = &[
            b"",
            b"\x00{}",
            b"\x00{\"model\":\"a\\u0062c\",\"stream\":true,\"stream_options\":{\"include_usage\":false}}",
            b"\x01{\"model\":\"\xf0\x9f\x98\x80\"}",
            b"\x00{\"model\":\"a\",\"model\":\"b\"}",
            b"\x02{\"a\":[1,2.5e-3,null,{\"b\":\"\\ud83d\\ude00\"}]}",
            b"\x00{\"a\":\"\xc3",
            b"\x00{\"a\":\"\xc3(\x01\"}",
            b"\x00{\"max_tokens\":100,\"max_completion_tokens\":null,\"file_id\":\"x\"}",
            b"\x00{\"max_tokens\":null}",
            b"\x0a{\"generation_config\":{\"maxOutputTokens\":null}}",
            b"\x0a{\"generationConfig\":null }",
            b"\x0a{\"generationConfig\":{}}",
            b"\x0a{}",
            b"\x12{\"inferenceConfig\":{\"a\":{}}}",
            b"\x14{\"options\":{\"num_predict\":-1}}",
        ];
        for input in inputs {
            fuzz_json(input);
        }
    }
}
