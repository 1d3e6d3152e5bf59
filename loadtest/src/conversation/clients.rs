//! What each client sends: the headers and the members of the body that matter, as seen from the programs themselves.

use serde_json::{Value, json};

use super::script::{Conversation, Key, Sees, Turn};

const CLAUDE_SESSION: &str = "7c0f3a52-5d0e-4f0e-9f55-5a1c57a0b001";
const CODEX_SESSION: &str = "019aa0b2-1111-7000-8000-000000000001";
const CODEX_THREAD: &str = "019aa0b2-2222-7000-8000-000000000002";
const CODEX_DEEPER: &str = "019aa0b2-3333-7000-8000-000000000003";
const OPENCODE_SESSION: &str = "ses_4f1e0c9b2ffe";
const OPENCODE_CHILD: &str = "ses_4f1e0d0a1ffd";

/// All conversations.
pub(super) fn all() -> Vec<Conversation> {
    vec![
        claude_code(),
        codex(),
        opencode(),
        opencode_child(),
        gemini_router(),
        gemini_main(),
        sdk("sdk loop", "Which files are there?"),
        sdk("sdk loop, another question", "What is the weather like?"),
    ]
}

/// The marker that makes the mock call a tool.
fn call(tool: &str, input: &Value) -> String {
    format!("MOCK_TOOL{}", json!({"name": tool, "input": input}))
}

/// Main agent with two tool round trips, a sub-agent with one of its own that starts another, a cut stream and its
/// repetition without one.
fn claude_code() -> Conversation {
    let user_agent = "claude-cli/2.1.197 (external, cli)";
    let tools: Vec<Value> = ["Bash", "Grep", "Task"]
        .iter()
        .map(|name| json!({"name": name, "description": name, "input_schema": {"type": "object"}}))
        .collect();
    let user_id = json!({"device_id": "0".repeat(64), "account_uuid": "", "session_id": CLAUDE_SESSION});
    let turn = |what, model: &str, agent: &[(&'static str, &str)], stream: bool, messages: &[Value], sees| {
        let mut headers = vec![
            ("user-agent", user_agent.to_owned()),
            ("x-app", "cli".to_owned()),
            ("anthropic-version", "2023-06-01".to_owned()),
            ("x-api-key", "anything".to_owned()),
            ("x-claude-code-session-id", CLAUDE_SESSION.to_owned()),
        ];
        headers.extend(agent.iter().map(|(name, value)| (*name, (*value).to_owned())));
        if sees == Sees::Cut {
            headers.push(("x-mock-fault", "fin:3".to_owned()));
        }
        Turn {
            what,
            path: "/v1/messages?beta=true".into(),
            headers,
            body: json!({
                "model": model, "max_tokens": 64_000, "stream": stream, "tools": tools,
                "system": [{"type": "text", "text": "You are Claude Code.", "cache_control": {"type": "ephemeral"}}],
                "messages": messages, "metadata": {"user_id": user_id.to_string()},
            }),
            sees,
        }
    };
    let user = |text: &str| json!({"role": "user", "content": [{"type": "text", "text": text}]});
    let used = |tool: &str| {
        json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "toolu_01", "name": tool, "input": {"command": "ls"}}]})
    };
    let result = || {
        json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_01", "content": "src\nCargo.toml"}]})
    };
    let said = || json!({"role": "assistant", "content": [{"type": "text", "text": "There are two."}]});
    let (opus, haiku) = ("claude-opus-4-8", "claude-haiku-4-5-20251001");
    let explorer = [("x-claude-code-agent-id", "explore-1")];
    let deeper = [
        ("x-claude-code-agent-id", "explore-2"),
        ("x-claude-code-parent-agent-id", "explore-1"),
    ];
    let mut history = vec![user(&call("Bash", &json!({"command": "ls"})))];
    let mut turns = vec![turn("asks", opus, &[], true, &history, Sees::Call("Bash"))];
    history.extend([used("Bash"), result()]);
    turns.push(turn("tool result", opus, &[], true, &history, Sees::Answer));
    history.extend([said(), user(&call("Task", &json!({"prompt": "explore"})))]);
    turns.push(turn(
        "starts an agent",
        opus,
        &[],
        true,
        &history,
        Sees::Call("Task"),
    ));
    let mut inner = vec![user(&call("Grep", &json!({"pattern": "fn main"})))];
    turns.push(turn(
        "agent asks",
        haiku,
        &explorer,
        true,
        &inner,
        Sees::Call("Grep"),
    ));
    inner.extend([used("Grep"), result()]);
    turns.push(turn(
        "agent's tool result",
        haiku,
        &explorer,
        true,
        &inner,
        Sees::Answer,
    ));
    turns.push(turn(
        "agent of the agent",
        haiku,
        &deeper,
        true,
        &[user("Look deeper.")],
        Sees::Answer,
    ));
    history.extend([used("Task"), result()]);
    turns.push(turn("cut stream", opus, &[], true, &history, Sees::Cut));
    turns.push(turn(
        "again without a stream",
        opus,
        &[],
        false,
        &history,
        Sees::Answer,
    ));
    Conversation {
        name: "Claude Code",
        turns,
        key: Key::Header(CLAUDE_SESSION.into()),
        client: "claude-code",
        tree: "main(explore-1(explore-2))",
        starts: &[],
        models: vec![opus, haiku],
        user_agent: user_agent.into(),
    }
}

/// A tool round trip, a thread of its own, and one of that.
fn codex() -> Conversation {
    let user_agent = "codex_exec/0.169.0 (Debian 13.0.0; x86_64) unknown (codex_exec; 0.169.0)";
    let turn = |what, thread: &str, parent: Option<&str>, input: &[Value], sees| {
        let mut headers = vec![
            ("user-agent", user_agent.to_owned()),
            ("originator", "codex_exec".to_owned()),
            ("authorization", "Bearer anything".to_owned()),
            ("accept", "text/event-stream".to_owned()),
            ("session-id", CODEX_SESSION.to_owned()),
            ("thread-id", thread.to_owned()),
            ("x-client-request-id", thread.to_owned()),
        ];
        headers.extend(parent.map(|parent| ("x-codex-parent-thread-id", parent.to_owned())));
        Turn {
            what,
            path: "/v1/responses".into(),
            headers,
            body: json!({
                "model": "gpt-5.4", "stream": true, "store": false, "input": input,
                "include": ["reasoning.encrypted_content"], "prompt_cache_key": thread, "parallel_tool_calls": true,
                "tools": [{"type": "function", "name": "exec_command", "parameters": {"type": "object"}},
                          {"type": "web_search"}],
                "client_metadata": {"session_id": CODEX_SESSION, "thread_id": thread, "turn_id": "1"},
            }),
            sees,
        }
    };
    let user = |text: &str| json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
    let ask = user(&call("exec_command", &json!({"cmd": "ls"})));
    let done = [
        ask.clone(),
        json!({"type": "function_call", "call_id": "call_1", "name": "exec_command", "arguments": "{\"cmd\":\"ls\"}"}),
        json!({"type": "function_call_output", "call_id": "call_1", "output": "src"}),
    ];
    Conversation {
        name: "Codex",
        turns: vec![
            turn("asks", CODEX_SESSION, None, &[ask], Sees::Call("exec_command")),
            turn("tool result", CODEX_SESSION, None, &done, Sees::Answer),
            turn(
                "thread",
                CODEX_THREAD,
                Some(CODEX_SESSION),
                &[user("Review it.")],
                Sees::Answer,
            ),
            turn(
                "thread's thread",
                CODEX_DEEPER,
                Some(CODEX_THREAD),
                &[user("Test it.")],
                Sees::Answer,
            ),
        ],
        key: Key::Header(CODEX_SESSION.into()),
        client: "codex",
        tree: "main(019aa0b2-2222-7000-8000-000000000002(019aa0b2-3333-7000-8000-000000000003))",
        starts: &[],
        models: vec!["gpt-5.4"],
        user_agent: user_agent.into(),
    }
}

const OPENCODE: &str = "opencode/1.18.33 ai-sdk/provider-utils/3.0.0 runtime/bun/1.4.0";

fn opencode_turn(
    what: &'static str,
    session: &str,
    parent: Option<&str>,
    model: &str,
    messages: &Value,
    sees: Sees,
) -> Turn {
    let mut headers = vec![
        ("user-agent", OPENCODE.to_owned()),
        ("authorization", "Bearer anything".to_owned()),
        ("x-session-id", session.to_owned()),
        ("x-session-affinity", session.to_owned()),
    ];
    headers.extend(parent.map(|parent| ("x-parent-session-id", parent.to_owned())));
    let mut body = json!({
        "model": model, "stream": true, "stream_options": {"include_usage": true}, "messages": messages,
    });
    if let (Some(body), false) = (body.as_object_mut(), what == "title") {
        let tools =
            json!([{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}]);
        body.insert("tools".into(), tools);
    }
    Turn {
        what,
        path: "/v1/chat/completions".into(),
        headers,
        body,
        sees,
    }
}

/// A title, and the conversation itself with a tool round trip, under one id.
fn opencode() -> Conversation {
    let ask = json!({"role": "user", "content": call("bash", &json!({"command": "ls"}))});
    let system = json!({"role": "system", "content": "You are opencode."});
    let done = json!([
        system, ask,
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "bash", "arguments": "{\"command\":\"ls\"}"}}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "src"},
    ]);
    let title =
        json!([{"role": "system", "content": "Make a title."}, {"role": "user", "content": "List files"}]);
    let turn = |what, model, messages: &Value, sees| {
        opencode_turn(what, OPENCODE_SESSION, None, model, messages, sees)
    };
    Conversation {
        name: "opencode",
        turns: vec![
            turn("title", "gpt-5-nano", &title, Sees::Answer),
            turn("asks", "gpt-5.4", &json!([system, ask]), Sees::Call("bash")),
            turn("tool result", "gpt-5.4", &done, Sees::Answer),
        ],
        key: Key::Header(OPENCODE_SESSION.into()),
        client: "opencode",
        tree: "main",
        starts: &[OPENCODE_CHILD],
        models: vec!["gpt-5.4", "gpt-5-nano"],
        user_agent: OPENCODE.into(),
    }
}

/// A sub-agent of it has a session of its own.
fn opencode_child() -> Conversation {
    let messages = json!([{"role": "user", "content": "Search the web."}]);
    Conversation {
        name: "opencode, started session",
        turns: vec![opencode_turn(
            "task",
            OPENCODE_CHILD,
            Some(OPENCODE_SESSION),
            "gpt-5.4",
            &messages,
            Sees::Answer,
        )],
        key: Key::Header(OPENCODE_CHILD.into()),
        client: "opencode",
        tree: "main",
        starts: &[],
        models: vec!["gpt-5.4"],
        user_agent: OPENCODE.into(),
    }
}

fn gemini_turn(what: &'static str, user_agent: &str, target: &str, body: Value, sees: Sees) -> Turn {
    Turn {
        what,
        path: format!("/v1beta/models/{target}"),
        headers: vec![
            ("user-agent", user_agent.to_owned()),
            ("x-goog-api-key", "anything".to_owned()),
        ],
        body,
        sees,
    }
}

/// Before each prompt a small model chooses a model: its instruction differs, and so does its fingerprint.
fn gemini_router() -> Conversation {
    let user_agent = "GeminiCLI-tui/0.61.0/gemini-3.5-flash-lite (linux; x64; terminal)";
    let body = json!({
        "contents": [{"role": "user", "parts": [{"text": "List the files here."}]}],
        "systemInstruction": {"parts": [{"text": "You are a task router."}]},
        "generationConfig": {"responseMimeType": "application/json"},
    });
    Conversation {
        name: "Gemini CLI, router",
        turns: vec![gemini_turn(
            "router",
            user_agent,
            "gemini-3.5-flash-lite:generateContent",
            body,
            Sees::Answer,
        )],
        key: Key::Fingerprint,
        client: "gemini-cli",
        tree: "main",
        starts: &[],
        models: vec!["gemini-3.5-flash-lite"],
        user_agent: user_agent.into(),
    }
}

/// The conversation itself: a tool round trip and another question.
fn gemini_main() -> Conversation {
    let user_agent = "GeminiCLI-tui/0.61.0/gemini-3.8-flash (linux; x64; terminal)";
    let user = |text: &str| json!({"role": "user", "parts": [{"text": text}]});
    let mut contents = vec![user(&call("run_shell_command", &json!({"command": "ls"})))];
    let turn = |what, contents: &[Value], sees| {
        let body = json!({
            "contents": contents,
            "systemInstruction": {"parts": [{"text": "You are Gemini CLI."}]},
            "tools": [{"functionDeclarations": [{"name": "run_shell_command"}]}],
        });
        let target = "gemini-3.8-flash:streamGenerateContent?alt=sse";
        gemini_turn(what, user_agent, target, body, sees)
    };
    let mut turns = vec![turn("asks", &contents, Sees::Call("run_shell_command"))];
    contents.extend([
        json!({"role": "model", "parts": [{"functionCall": {"name": "run_shell_command", "args": {"command": "ls"}}}]}),
        json!({"role": "user", "parts": [
            {"functionResponse": {"name": "run_shell_command", "response": {"output": "src"}}}]}),
    ]);
    turns.push(turn("tool result", &contents, Sees::Answer));
    contents.extend([
        json!({"role": "model", "parts": [{"text": "One."}]}),
        user("And now?"),
    ]);
    turns.push(turn("asks again", &contents, Sees::Answer));
    Conversation {
        name: "Gemini CLI",
        turns,
        key: Key::Fingerprint,
        client: "gemini-cli",
        tree: "main",
        starts: &[],
        models: vec!["gemini-3.8-flash"],
        user_agent: user_agent.into(),
    }
}

/// A program's own loop: the whole conversation with every turn, and no id anywhere.
fn sdk(name: &'static str, question: &str) -> Conversation {
    let user_agent = "OpenAI/Python 2.54.0";
    let turn = |what, messages: &[Value], sees| Turn {
        what,
        path: "/v1/chat/completions".into(),
        headers: vec![
            ("user-agent", user_agent.to_owned()),
            ("authorization", "Bearer anything".to_owned()),
            ("x-stainless-lang", "python".to_owned()),
        ],
        body: json!({
            "model": "gpt-5.4-mini", "messages": messages,
            "tools": [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}],
        }),
        sees,
    };
    let ask = format!("{question} {}", call("lookup", &json!({"about": "it"})));
    let mut messages = vec![
        json!({"role": "system", "content": "You are a helper."}),
        json!({"role": "user", "content": ask}),
    ];
    let mut turns = vec![turn("asks", &messages, Sees::Call("lookup"))];
    messages.extend([
        json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}]}),
        json!({"role": "tool", "tool_call_id": "call_1", "content": "It is."}),
    ]);
    turns.push(turn("tool result", &messages, Sees::Answer));
    messages.extend([
        json!({"role": "assistant", "content": "It is."}),
        json!({"role": "user", "content": "Are you sure?"}),
    ]);
    turns.push(turn("asks again", &messages, Sees::Answer));
    Conversation {
        name,
        turns,
        key: Key::Fingerprint,
        client: "openai-sdk",
        tree: "main",
        starts: &[],
        models: vec!["gpt-5.4-mini"],
        user_agent: user_agent.into(),
    }
}
