//! Ollama's own API: lines of JSON (its default) or one JSON object.

use serde_json::{Value, json};

use super::answer::Draft;
use super::ask::Ask;
use super::openai_other::{inputs, vector};
use super::reply::Reply;
use super::route::Kind;

/// Time stamp of every answer; the mock's answers do not depend on when they are given.
const CREATED_AT: &str = "2026-01-01T00:00:00.000000000Z";

/// Answers chat, generate, embed and the old embeddings.
pub(super) fn answer(ask: &Ask, reply: &Reply) -> Draft {
    match ask.kind {
        Kind::OllamaEmbed => {
            let vectors: Vec<Value> = (0..inputs(ask.body.get("input")))
                .map(|at| json!(vector(at, 8)))
                .collect();
            let body = json!({
                "model": reply.model, "embeddings": vectors, "total_duration": 1000, "load_duration": 0,
                "prompt_eval_count": reply.input,
            });
            return Draft::json(&body).counted(reply.input, 0);
        }
        Kind::OllamaEmbeddings => return Draft::json(&json!({"embedding": vector(0, 8)})),
        _ => {}
    }
    let draft = if ask.stream {
        let mut lines: Vec<Vec<u8>> = match &reply.tool {
            Some(_) => vec![line(&content(ask, reply, "", false))],
            None => reply
                .pieces
                .iter()
                .map(|piece| line(&content(ask, reply, piece, false)))
                .collect(),
        };
        lines.push(line(&finish(content(ask, reply, "", true), reply)));
        Draft::events(
            "application/x-ndjson",
            lines,
            b"{\"error\":\"the mock was told to fail here\"}\n".to_vec(),
        )
    } else {
        Draft::json(&finish(content(ask, reply, &reply.text(), false), reply))
    };
    draft.counted(reply.input, reply.output)
}

fn line(value: &Value) -> Vec<u8> {
    format!("{value}\n").into_bytes()
}

fn content(ask: &Ask, reply: &Reply, text: &str, last: bool) -> Value {
    let mut body = json!({"model": reply.model, "created_at": CREATED_AT});
    if ask.kind == Kind::OllamaGenerate {
        body["response"] = json!(text);
    } else {
        body["message"] = json!({"role": "assistant", "content": text});
        if let Some(call) = reply.tool.as_ref().filter(|_| !last) {
            body["message"]["tool_calls"] =
                json!([{"function": {"name": call.name, "arguments": call.input}}]);
        }
    }
    body["done"] = json!(false);
    body
}

fn finish(mut body: Value, reply: &Reply) -> Value {
    body["done"] = json!(true);
    body["done_reason"] = json!("stop");
    body["total_duration"] = json!(3000);
    body["load_duration"] = json!(1000);
    body["prompt_eval_count"] = json!(reply.input);
    body["prompt_eval_duration"] = json!(1000);
    body["eval_count"] = json!(reply.output);
    body["eval_duration"] = json!(1000);
    body
}
