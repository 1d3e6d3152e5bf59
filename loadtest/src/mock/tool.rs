//! Scripted tool calls: a marker in the prompt makes the mock call a tool, a tool's result makes it speak of it.

use serde_json::{Value, json};

use super::ask::Ask;
use super::route::Kind;

/// What a prompt holds to get a tool call.
const MARKER: &str = "MOCK_TOOL";
/// Characters of a tool's result that the answer quotes; Codex puts some 100 before what the command printed.
const QUOTED_CHARS: usize = 400;

/// A call of a tool that the client offered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ToolCall {
    pub(super) name: String,
    pub(super) input: Value,
    /// Codex groups some tools; the call must then name the group.
    pub(super) namespace: Option<String>,
    /// A free-form tool of the Responses API: its input is a text.
    pub(super) custom: bool,
}

/// What the script says about a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Scripted {
    /// Nothing: answer as usual.
    Nothing,
    /// Call this tool.
    Call(ToolCall),
    /// Say this.
    Say(String),
}

/// A tool that the request offers.
struct Offer {
    name: String,
    namespace: Option<String>,
    custom: bool,
}

/// Reads the script in a request.
pub(super) fn scripted(ask: &Ask) -> Scripted {
    let turn = last_turn(ask);
    if let Some(result) = turn.result {
        let quoted: String = result.chars().take(QUOTED_CHARS).collect();
        return Scripted::Say(format!("The tool answered: {quoted}"));
    }
    let marked = match &ask.tool {
        Some(header) => Some(serde_json::from_str(header).unwrap_or(Value::Null)),
        None => turn.text.split_once(MARKER).map(|(_, rest)| leading_json(rest)),
    };
    let Some(wanted) = marked else {
        return Scripted::Nothing;
    };
    let offers = offers(&ask.body);
    if offers.is_empty() {
        return Scripted::Nothing;
    }
    match wanted.get("name").and_then(Value::as_str) {
        Some(name) => match offers.iter().find(|offer| offer.name == name) {
            Some(offer) => {
                let input = wanted.get("input").cloned().unwrap_or_else(|| json!({}));
                Scripted::Call(call(offer, input))
            }
            None => {
                let names: Vec<&str> = offers.iter().map(|offer| offer.name.as_str()).collect();
                Scripted::Say(format!(
                    "The tool {name} is not offered. Offered are: {}",
                    names.join(", ")
                ))
            }
        },
        None => usual(&offers).map_or(Scripted::Nothing, Scripted::Call),
    }
}

fn call(offer: &Offer, input: Value) -> ToolCall {
    ToolCall {
        name: offer.name.clone(),
        input,
        namespace: offer.namespace.clone(),
        custom: offer.custom,
    }
}

/// A harmless call of the shell tool of the client at hand.
fn usual(offers: &[Offer]) -> Option<ToolCall> {
    let echo = "echo sluice-mock";
    let usual = [
        ("Bash", json!({"command": echo, "description": "Say hello"})),
        ("exec_command", json!({"cmd": echo})),
        ("shell", json!({"command": ["bash", "-lc", echo]})),
        (
            "run_shell_command",
            json!({"command": echo, "description": "Say hello"}),
        ),
        ("bash", json!({"command": echo, "description": "Say hello"})),
        ("list_directory", json!({"dir_path": "."})),
    ];
    let known = usual.into_iter().find_map(|(name, input)| {
        offers
            .iter()
            .find(|offer| offer.name == name)
            .map(|offer| call(offer, input))
    });
    known.or_else(|| offers.first().map(|offer| call(offer, json!({}))))
}

/// The JSON value at the beginning of a text; null if there is none.
fn leading_json(text: &str) -> Value {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    match values.next() {
        Some(Ok(value)) if value.is_object() => value,
        _ => Value::Null,
    }
}

/// The tools of a request in any format.
fn offers(body: &Value) -> Vec<Offer> {
    let mut found = Vec::new();
    let tools = body.get("tools").or_else(|| body.pointer("/toolConfig/tools"));
    for tool in array(tools) {
        let name = |value: Option<&Value>| {
            value
                .and_then(|v| v.get("name"))
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let kind = tool.get("type").and_then(Value::as_str);
        if kind == Some("namespace") {
            let namespace = name(Some(tool));
            for inner in array(tool.get("tools")) {
                if let Some(name) = name(Some(inner)) {
                    let custom = inner.get("type").and_then(Value::as_str) == Some("custom");
                    found.push(Offer {
                        name,
                        namespace: namespace.clone(),
                        custom,
                    });
                }
            }
            continue;
        }
        let declared = tool
            .get("functionDeclarations")
            .or_else(|| tool.get("function_declarations"));
        for declaration in array(declared) {
            found.extend(name(Some(declaration)).map(|name| Offer {
                name,
                namespace: None,
                custom: false,
            }));
        }
        let plain = name(tool.get("function"))
            .or_else(|| name(tool.get("toolSpec")))
            .or_else(|| name(Some(tool)));
        found.extend(plain.map(|name| Offer {
            name,
            namespace: None,
            custom: kind == Some("custom"),
        }));
    }
    found
}

/// The user's last word: its text, and the tool result if it is one.
#[derive(Default)]
struct Turn {
    text: String,
    result: Option<String>,
}

fn last_turn(ask: &Ask) -> Turn {
    let body = &ask.body;
    match ask.kind {
        Kind::Chat | Kind::OllamaChat => {
            let last = array(body.get("messages")).rfind(|m| role_in(m, &["user", "tool", "function"]));
            let Some(message) = last else {
                return Turn::default();
            };
            let text = plain_text(message.get("content"));
            match role_in(message, &["user"]) {
                true => Turn { text, result: None },
                false => Turn {
                    text: String::new(),
                    result: Some(text),
                },
            }
        }
        Kind::Completions | Kind::OllamaGenerate => Turn {
            text: plain_text(body.get("prompt")),
            result: None,
        },
        Kind::Responses => responses_turn(body.get("input")),
        Kind::Messages
        | Kind::VertexRaw
        | Kind::VertexRawStream
        | Kind::BedrockInvoke
        | Kind::BedrockInvokeStream => {
            let last = array(body.get("messages")).rfind(|m| role_in(m, &["user"]));
            blocks_turn(last.and_then(|m| m.get("content")), |block| {
                (block.get("type")?.as_str()? == "tool_result").then(|| plain_text(block.get("content")))
            })
        }
        Kind::BedrockConverse | Kind::BedrockConverseStream => {
            let last = array(body.get("messages")).rfind(|m| role_in(m, &["user"]));
            blocks_turn(last.and_then(|m| m.get("content")), |block| {
                block
                    .get("toolResult")
                    .map(|result| plain_text(result.get("content")))
            })
        }
        Kind::GeminiGenerate | Kind::GeminiStream => {
            let last = array(body.get("contents"))
                .rfind(|m| m.get("role").is_none() || role_in(m, &["user", "function", "tool"]));
            blocks_turn(last.and_then(|m| m.get("parts")), |part| {
                let answer = part
                    .get("functionResponse")
                    .or_else(|| part.get("function_response"))?;
                let response = answer.get("response");
                let output = response.and_then(|r| r.get("output").or_else(|| r.get("result")));
                Some(plain_text(output.or(response)))
            })
        }
        _ => Turn::default(),
    }
}

/// Content that may be a text or a list of blocks, some of which are tool results.
fn blocks_turn(content: Option<&Value>, result: impl Fn(&Value) -> Option<String>) -> Turn {
    let found = array(content).find_map(result);
    match found {
        Some(result) => Turn {
            text: String::new(),
            result: Some(result),
        },
        None => Turn {
            text: plain_text(content),
            result: None,
        },
    }
}

/// Items of the Responses API: the last one decides.
fn responses_turn(input: Option<&Value>) -> Turn {
    if let Some(text) = input.and_then(Value::as_str) {
        return Turn {
            text: text.to_owned(),
            result: None,
        };
    }
    for item in array(input).rev() {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or("message");
        if kind.ends_with("_output") {
            return Turn {
                text: String::new(),
                result: Some(plain_text(item.get("output"))),
            };
        }
        if kind == "message" && role_in(item, &["user"]) {
            return Turn {
                text: plain_text(item.get("content")),
                result: None,
            };
        }
    }
    Turn::default()
}

fn role_in(message: &Value, roles: &[&str]) -> bool {
    message
        .get("role")
        .and_then(Value::as_str)
        .is_some_and(|role| roles.contains(&role))
}

/// The text of a value: of a string itself, of blocks their texts, of anything else its JSON.
fn plain_text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => blocks
            .iter()
            .map(|block| plain_text(Some(block)))
            .collect::<Vec<_>>()
            .join("\n"),
        Some(object) => match object.get("text").and_then(Value::as_str) {
            Some(text) => text.to_owned(),
            None if object
                .get("type")
                .and_then(Value::as_str)
                .is_some_and(|kind| kind.contains("image")) =>
            {
                String::new()
            }
            None => object.to_string(),
        },
    }
}

fn array(value: Option<&Value>) -> std::slice::Iter<'_, Value> {
    value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default()
        .iter()
}

/// An instance of the JSON schema that the request demands of the answer, if it does.
pub(super) fn demanded_json(body: &Value) -> Option<String> {
    let schema = [
        "/response_format/json_schema/schema",
        "/text/format/schema",
        "/output_config/format/schema",
        "/output_format/schema",
        "/generationConfig/responseJsonSchema",
        "/generationConfig/responseSchema",
        "/generation_config/response_json_schema",
        "/generation_config/response_schema",
        "/format",
    ]
    .iter()
    .find_map(|path| body.pointer(path))
    .filter(|schema| schema.is_object());
    if let Some(schema) = schema {
        return Some(instance(schema, schema, 0).to_string());
    }
    let json_asked = body.pointer("/response_format/type").and_then(Value::as_str) == Some("json_object")
        || body
            .pointer("/generationConfig/responseMimeType")
            .and_then(Value::as_str)
            == Some("application/json")
        || body.get("format").and_then(Value::as_str) == Some("json");
    json_asked.then(|| json!({"answer": "from the mock"}).to_string())
}

/// The plainest value that a schema allows; recursion ends at depth 16.
fn instance(schema: &Value, root: &Value, depth: u8) -> Value {
    if depth >= 16 {
        return Value::Null;
    }
    if let Some(target) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|r| r.strip_prefix('#'))
    {
        return root
            .pointer(target)
            .map_or(Value::Null, |target| instance(target, root, depth + 1));
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    if let Some(first) = array(schema.get("enum")).next() {
        return first.clone();
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = array(schema.get(key)).next() {
            return instance(first, root, depth + 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or(""),
        Some(kind) => kind.as_str().unwrap_or(""),
        None if schema.get("properties").is_some() => "object",
        None => "",
    };
    match kind.to_ascii_lowercase().as_str() {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let fields = properties.into_iter().flatten();
            Value::Object(
                fields
                    .map(|(name, inner)| (name.clone(), instance(inner, root, depth + 1)))
                    .collect(),
            )
        }
        "array" => {
            let least = schema
                .get("minItems")
                .and_then(Value::as_u64)
                .unwrap_or(1)
                .min(16);
            let item = schema
                .get("items")
                .map_or(Value::Null, |items| instance(items, root, depth + 1));
            Value::Array((0..least).map(|_| item.clone()).collect())
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!("mock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock::settings::Settings;

    fn ask(kind: Kind, body: Value) -> Ask {
        Ask {
            kind,
            model: "m".into(),
            stream: false,
            usage_asked: false,
            raw: body.to_string().into(),
            body,
            target: "/".into(),
            tool: None,
            settings: Settings::default(),
        }
    }

    const PROMPT: &str = r#"please MOCK_TOOL{"name":"T","input":{"a":1}} now"#;

    #[test]
    fn the_marker_calls_the_tool_in_every_format() {
        let rows = [
            (
                Kind::Chat,
                json!({"tools":[{"type":"function","function":{"name":"T"}}],"messages":[{"role":"user","content":PROMPT}]}),
            ),
            (
                Kind::Responses,
                json!({"tools":[{"type":"function","name":"T"}],
                    "input":[{"role":"user","content":[{"type":"input_text","text":PROMPT}]}]}),
            ),
            (
                Kind::Messages,
                json!({"tools":[{"name":"T"}],"messages":[{"role":"user","content":[{"type":"text","text":"x"},
                    {"type":"text","text":PROMPT}]},{"role":"system","content":"s"}]}),
            ),
            (
                Kind::GeminiStream,
                json!({"tools":[{"functionDeclarations":[{"name":"T"}]}],"contents":[{"role":"user","parts":[{"text":PROMPT}]}]}),
            ),
            (
                Kind::BedrockConverse,
                json!({"toolConfig":{"tools":[{"toolSpec":{"name":"T"}}]},"messages":[{"role":"user","content":[{"text":PROMPT}]}]}),
            ),
            (
                Kind::OllamaChat,
                json!({"tools":[{"type":"function","function":{"name":"T"}}],"messages":[{"role":"user","content":PROMPT}]}),
            ),
        ];
        for (kind, body) in rows {
            let expected = ToolCall {
                name: "T".into(),
                input: json!({"a": 1}),
                namespace: None,
                custom: false,
            };
            assert_eq!(
                scripted(&ask(kind, body.clone())),
                Scripted::Call(expected),
                "{kind:?}"
            );
            let mut without = body;
            without["tools"] = Value::Null;
            without["toolConfig"] = Value::Null;
            assert_eq!(
                scripted(&ask(kind, without)),
                Scripted::Nothing,
                "{kind:?} without tools"
            );
        }
    }

    #[test]
    fn a_tool_result_is_quoted_in_every_format() {
        let rows = [
            (
                Kind::Chat,
                json!({"messages":[{"role":"user","content":PROMPT},{"role":"tool","content":"hi\n"}]}),
            ),
            (
                Kind::Responses,
                json!({"input":[{"role":"user","content":PROMPT},{"type":"function_call_output","output":"hi\n"}]}),
            ),
            (
                Kind::Messages,
                json!({"messages":[{"role":"user","content":[{"type":"tool_result","content":[{"type":"text","text":"hi\n"}]}]}]}),
            ),
            (
                Kind::GeminiGenerate,
                json!({"contents":[{"role":"user","parts":[{"functionResponse":{"name":"T","response":{"output":"hi\n"}}}]}]}),
            ),
            (
                Kind::BedrockConverse,
                json!({"messages":[{"role":"user","content":[{"toolResult":{"content":[{"text":"hi\n"}]}}]}]}),
            ),
        ];
        for (kind, body) in rows {
            assert_eq!(
                scripted(&ask(kind, body)),
                Scripted::Say("The tool answered: hi\n".into()),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_bare_marker_finds_the_shell_and_an_unknown_tool_is_told() {
        let body = json!({"tools":[{"type":"function","name":"other"},{"type":"function","name":"exec_command"}],
            "input":"MOCK_TOOL"});
        let Scripted::Call(call) = scripted(&ask(Kind::Responses, body)) else {
            panic!("no call")
        };
        assert_eq!(
            (call.name.as_str(), &call.input),
            ("exec_command", &json!({"cmd":"echo sluice-mock"}))
        );
        let body = json!({"tools":[{"type":"namespace","name":"n","tools":[{"type":"function","name":"x"}]}],
            "input":"MOCK_TOOL{\"name\":\"y\"}"});
        let said = Scripted::Say("The tool y is not offered. Offered are: x".into());
        assert_eq!(scripted(&ask(Kind::Responses, body)), said);
    }

    #[test]
    fn schemas_get_an_instance() {
        let schema = json!({"type":"object","properties":{"a":{"type":"integer","minimum":3},"b":{"$ref":"#/$defs/x"},
            "c":{"type":"ARRAY","items":{"enum":["e"]}}},"$defs":{"x":{"type":["string","null"]}}});
        let body = json!({"generationConfig":{"responseJsonSchema":schema}});
        assert_eq!(
            demanded_json(&body).as_deref(),
            Some(r#"{"a":3,"b":"mock","c":["e"]}"#)
        );
        let endless = json!({"text":{"format":{"schema":{"$ref":"#"}}}});
        assert_eq!(demanded_json(&endless).as_deref(), Some("null"));
        assert_eq!(demanded_json(&json!({"messages":[]})), None);
    }
}
