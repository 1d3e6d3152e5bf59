//! The recordings that are answers to calls.

use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;
use sluice_proto::meter::BedrockCounts;
use sluice_shared::api::ApiKind;

pub(crate) struct Recording {
    pub(crate) name: String,
    pub(crate) kind: ApiKind,
    pub(crate) framing: String,
    pub(crate) status: u64,
    pub(crate) sidecar: Value,
    pub(crate) body: Vec<u8>,
}

fn folder() -> PathBuf {
    match std::env::var_os("SLUICE_FIXTURES") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures"),
    }
}

/// All of them; WebSocket conversations and the results of batches are not one answer and left out.
pub(crate) fn recordings() -> &'static [Recording] {
    static ALL: OnceLock<Vec<Recording>> = OnceLock::new();
    ALL.get_or_init(|| {
        let (mut all, mut left_out) = (Vec::new(), 0);
        let Ok(folders) = std::fs::read_dir(folder()) else {
            eprintln!(
                "SKIPPED: no recordings at {} (set SLUICE_FIXTURES)",
                folder().display()
            );
            return all;
        };
        for path in folders
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
        {
            let api = path.file_name().unwrap().to_string_lossy().into_owned();
            for file in std::fs::read_dir(&path)
                .unwrap()
                .flatten()
                .map(|entry| entry.path())
            {
                let Ok(body) = std::fs::read(file.with_extension("body")) else {
                    continue;
                };
                if file.extension().is_none_or(|extension| extension != "json") {
                    continue;
                }
                let Some(kind) = ApiKind::parse(&api) else {
                    left_out += 1;
                    continue;
                };
                let sidecar: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
                let is_embedding = sidecar["expected"]["kind"] == "embedding";
                all.push(Recording {
                    name: format!("{api}/{}", file.file_stem().unwrap().to_string_lossy()),
                    kind: if kind == ApiKind::OllamaChat && is_embedding {
                        ApiKind::OllamaEmbed
                    } else {
                        kind
                    },
                    framing: sidecar["framing"].as_str().unwrap().to_owned(),
                    status: sidecar["response"]["status"].as_u64().unwrap_or(200),
                    sidecar,
                    body,
                });
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        eprintln!("{} recordings; {left_out} are no answers to one call", all.len());
        all
    })
}

impl Recording {
    pub(crate) fn streamed(&self) -> bool {
        self.framing != "json"
    }

    pub(crate) fn complete(&self) -> bool {
        self.sidecar["expected"]["complete"].as_bool().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.sidecar["response"]["headers"].as_object()?;
        headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?
            .1
            .as_str()
    }

    pub(crate) fn content_type(&self) -> Option<&str> {
        self.header("content-type")
    }

    pub(crate) fn bedrock_counts(&self) -> BedrockCounts {
        let count = |name: &str| self.header(name).and_then(|text| text.parse().ok());
        BedrockCounts {
            input: count("x-amzn-bedrock-input-token-count"),
            output: count("x-amzn-bedrock-output-token-count"),
            cache_read: count("x-amzn-bedrock-cache-read-input-token-count"),
            cache_write: count("x-amzn-bedrock-cache-write-input-token-count"),
        }
    }

    pub(crate) fn body_has(&self, word: &str) -> bool {
        String::from_utf8_lossy(&self.body).contains(word)
    }
}
