//! The path table, row by row, and the tricks that must not pass.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that breaks here fails, as it should; bodies of tests are small"
)]

use sluice_proto::route::{ApiKind, Endpoint, Method, PathError, classify, upstream_path};

/// What a classified path is, in short.
type Short = (Endpoint, Option<String>, Option<bool>);

fn short(method: Method, path: &str) -> Result<Short, PathError> {
    classify(method, path.as_bytes()).map(|route| {
        if let Some(model) = &route.model {
            assert!(model.range().end <= path.len(), "place of the model in {path}");
        }
        (
            route.endpoint,
            route.model.map(|model| model.name),
            route.stream_by_path,
        )
    })
}

#[test]
fn calls_with_the_model_in_the_body() {
    let check = |path: &str, kind: ApiKind| {
        assert_eq!(
            short(Method::Post, path).map(|s| (s.0, s.1)),
            Ok((Endpoint::Api(kind), None)),
            "{path}"
        );
    };
    for (suffix, kind) in [
        ("/chat/completions", ApiKind::OpenAiChat),
        ("/completions", ApiKind::OpenAiCompletions),
        ("/responses", ApiKind::OpenAiResponses),
        ("/responses/compact", ApiKind::OpenAiResponses),
        ("/responses/input_tokens", ApiKind::OpenAiResponses),
        ("/embeddings", ApiKind::OpenAiEmbeddings),
        ("/images/generations", ApiKind::OpenAiImages),
        ("/images/edits", ApiKind::OpenAiImages),
        ("/images/variations", ApiKind::OpenAiImages),
        ("/audio/speech", ApiKind::OpenAiAudio),
        ("/audio/transcriptions", ApiKind::OpenAiAudio),
        ("/audio/translations", ApiKind::OpenAiAudio),
        ("/moderations", ApiKind::OpenAiModerations),
        ("/rerank", ApiKind::OpenAiRerank),
        ("/messages", ApiKind::AnthropicMessages),
        ("/messages/count_tokens", ApiKind::AnthropicCountTokens),
    ] {
        for prefix in [
            "/v1",
            "",
            "/openai/v1",
            "/openai",
            "/team-a/x.y/v1",
            "/v1beta/openai",
        ] {
            check(&format!("{prefix}{suffix}"), kind);
        }
    }
    for (path, kind) in [
        ("/v2/rerank", ApiKind::OpenAiRerank),
        ("/paas/v4/chat/completions", ApiKind::OpenAiChat),
        ("/ollama/api/chat", ApiKind::OllamaChat),
        ("/ollama/api/generate", ApiKind::OllamaChat),
        ("/ollama/api/embed", ApiKind::OllamaEmbed),
        ("/x/ollama/api/embeddings", ApiKind::OllamaEmbed),
        (
            "/v1/projects/p/locations/us-east5/publishers/anthropic/models/count-tokens:rawPredict",
            ApiKind::VertexRawPredict,
        ),
    ] {
        check(path, kind);
    }
}

#[test]
fn calls_with_the_model_in_the_path() {
    let check = |path: &str, kind: ApiKind, model: &str, stream: Option<bool>| {
        let expected = Ok((Endpoint::Api(kind), Some(model.to_owned()), stream));
        assert_eq!(short(Method::Post, path), expected, "{path}");
    };
    for prefix in ["/v1beta", "/v1", "", "/gemini/v1beta", "/gemini", "/v1alpha"] {
        let gemini = |rest: &str, kind, stream| {
            check(
                &format!("{prefix}/models/{rest}"),
                kind,
                "gemini-3.8-flash",
                stream,
            );
        };
        gemini(
            "gemini-3.8-flash:generateContent",
            ApiKind::GeminiGenerate,
            Some(false),
        );
        gemini(
            "gemini-3.8-flash:streamGenerateContent",
            ApiKind::GeminiGenerate,
            Some(true),
        );
        gemini(
            "gemini-3.8-flash:countTokens",
            ApiKind::GeminiCountTokens,
            Some(false),
        );
        gemini("gemini-3.8-flash:embedContent", ApiKind::GeminiEmbed, Some(false));
        gemini(
            "gemini-3.8-flash:batchEmbedContents",
            ApiKind::GeminiEmbed,
            Some(false),
        );
    }
    check(
        "/v1beta/models/google%2Fgemini-2:generateContent",
        ApiKind::GeminiGenerate,
        "google/gemini-2",
        Some(false),
    );
    for version in ["/v1", "/v1beta1", ""] {
        let google = format!("{version}/projects/p-1/locations/europe-west1/publishers/google/models");
        check(
            &format!("{google}/gemini-2:generateContent"),
            ApiKind::VertexGenerate,
            "gemini-2",
            Some(false),
        );
        check(
            &format!("{google}/gemini-2:streamGenerateContent"),
            ApiKind::VertexGenerate,
            "gemini-2",
            Some(true),
        );
        check(
            &format!("{google}/gemini-2:countTokens"),
            ApiKind::VertexCountTokens,
            "gemini-2",
            Some(false),
        );
        check(
            &format!("{google}/emb-5:predict"),
            ApiKind::VertexPredict,
            "emb-5",
            Some(false),
        );
        let claude = format!("{version}/projects/p-1/locations/global/publishers/anthropic/models");
        check(
            &format!("{claude}/claude-4@20250514:rawPredict"),
            ApiKind::VertexRawPredict,
            "claude-4@20250514",
            None,
        );
        check(
            &format!("{claude}/claude-4@20250514:streamRawPredict"),
            ApiKind::VertexRawPredict,
            "claude-4@20250514",
            Some(true),
        );
    }
    check(
        "/v1/projects/_aperture_auto_vertex_project_id_/locations/_aperture_auto_vertex_region_/publishers/google/models/g:generateContent",
        ApiKind::VertexGenerate,
        "g",
        Some(false),
    );
    check(
        "/v1/publishers/google/models/g-2:generateContent",
        ApiKind::VertexGenerate,
        "g-2",
        Some(false),
    );
    for prefix in ["/bedrock", "", "/aws/bedrock"] {
        let bedrock = |model: &str, verb: &str, kind, name: &str, stream| {
            check(
                &format!("{prefix}/model/{model}/{verb}"),
                kind,
                name,
                Some(stream),
            );
        };
        let nova = "us.amazon.nova-lite-v1%3A0";
        bedrock(
            nova,
            "invoke",
            ApiKind::BedrockInvoke,
            "us.amazon.nova-lite-v1:0",
            false,
        );
        bedrock(
            nova,
            "invoke-with-response-stream",
            ApiKind::BedrockInvoke,
            "us.amazon.nova-lite-v1:0",
            true,
        );
        bedrock(
            nova,
            "converse",
            ApiKind::BedrockConverse,
            "us.amazon.nova-lite-v1:0",
            false,
        );
        bedrock(
            "a.b-v1:0",
            "converse-stream",
            ApiKind::BedrockConverse,
            "a.b-v1:0",
            true,
        );
        bedrock(
            nova,
            "count-tokens",
            ApiKind::BedrockCountTokens,
            "us.amazon.nova-lite-v1:0",
            false,
        );
        bedrock(
            "arn%3Aaws%3Abedrock%3Aus-east-1%3A12%3Ainference-profile%2fus.x",
            "converse",
            ApiKind::BedrockConverse,
            "arn:aws:bedrock:us-east-1:12:inference-profile/us.x",
            false,
        );
    }
    check(
        "/openai/deployments/my-gpt/chat/completions",
        ApiKind::OpenAiChat,
        "my-gpt",
        None,
    );
    check(
        "/azure/openai/deployments/my-gpt/embeddings",
        ApiKind::OpenAiEmbeddings,
        "my-gpt",
        None,
    );
}

#[test]
fn counting_is_free_and_lists_name_their_format() {
    let free = |path: &str, expected: bool| {
        assert_eq!(
            classify(Method::Post, path.as_bytes()).map(|route| route.free),
            Ok(expected),
            "{path}"
        );
    };
    free("/v1/messages/count_tokens", true);
    free("/v1/responses/input_tokens", true);
    free("/v1beta/models/g:countTokens", true);
    free("/model/m/count-tokens", true);
    free(
        "/v1/projects/p/locations/l/publishers/anthropic/models/count-tokens:rawPredict",
        true,
    );
    free("/v1/messages", false);
    free("/model/m/converse", false);
    let gemini = |path: &str, expected: bool| {
        assert_eq!(
            classify(Method::Get, path.as_bytes()).map(|route| route.gemini_style),
            Ok(expected),
            "{path}"
        );
    };
    gemini("/v1beta/models", true);
    gemini("/v1beta/models/gemini-3", true);
    gemini("/v1/models", false);
    gemini("/models", false);
}

#[test]
fn other_endpoints() {
    let check = |method: Method, path: &str, endpoint: Endpoint, model: Option<&str>| {
        assert_eq!(
            short(method, path),
            Ok((endpoint, model.map(str::to_owned), None)),
            "{method:?} {path}"
        );
    };
    check(Method::Get, "/", Endpoint::Root, None);
    check(Method::Head, "/", Endpoint::Root, None);
    check(Method::Get, "/healthz", Endpoint::Healthz, None);
    check(Method::Head, "/readyz", Endpoint::Readyz, None);
    check(Method::Get, "/metrics", Endpoint::Metrics, None);
    check(Method::Get, "/v1/models", Endpoint::ModelsList, None);
    check(Method::Get, "/openai/models", Endpoint::ModelsList, None);
    check(
        Method::Get,
        "/v1/models/gpt-5",
        Endpoint::ModelsOne,
        Some("gpt-5"),
    );
    check(
        Method::Get,
        "/v1/models/meta/llama-3:8b",
        Endpoint::ModelsOne,
        Some("meta/llama-3:8b"),
    );
    check(
        Method::Get,
        "/v1/models/meta%2Fllama",
        Endpoint::ModelsOne,
        Some("meta/llama"),
    );
    check(
        Method::Get,
        "/v1/models/models/x",
        Endpoint::ModelsOne,
        Some("models/x"),
    );
    for (method, path) in [
        (Method::Get, "/v1/responses/resp_1"),
        (Method::Delete, "/v1/responses/resp_1"),
        (Method::Get, "/v1/responses/resp_1/input_items"),
        (Method::Post, "/openai/v1/responses/resp_1/cancel"),
    ] {
        check(method, path, Endpoint::ResponsesById, None);
    }
    for path in [
        "/ui",
        "/ui/",
        "/ui/index.html",
        "/api/requests",
        "/aperture/config:validate",
        "/api/users/alice%40example.com",
        "/api/v1/chat/completions",
        "/ui/v1/messages",
        "/aperture/model/m/invoke",
    ] {
        for method in [Method::Get, Method::Post, Method::Put] {
            check(method, path, Endpoint::ControlPlane, None);
        }
    }
}

#[test]
fn wrong_methods_say_what_is_allowed() {
    let check = |method: Method, path: &str, allow: &'static str| {
        assert_eq!(
            short(method, path),
            Err(PathError::MethodNotAllowed { allow }),
            "{method:?} {path}"
        );
    };
    check(Method::Get, "/v1/chat/completions", "POST");
    check(Method::Put, "/v1/messages", "POST");
    check(Method::Get, "/v1/responses", "POST");
    check(Method::Options, "/v1/embeddings", "POST");
    check(Method::Other, "/v1/chat/completions", "POST");
    check(Method::Get, "/v1beta/models/g:generateContent", "POST");
    check(Method::Delete, "/model/m/invoke", "POST");
    check(Method::Post, "/v1/models", "GET, HEAD");
    check(Method::Delete, "/v1/models/gpt-5", "GET, HEAD");
    check(Method::Post, "/", "GET, HEAD");
    check(Method::Post, "/metrics", "GET, HEAD");
    check(Method::Put, "/v1/responses/resp_1", "GET, HEAD, POST, DELETE");
}

#[test]
fn unknown_paths_are_not_found() {
    for path in [
        "/admin",
        "/v1",
        "/v1/",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v1/Chat/Completions",
        "/V1x/chat/completion",
        "/v1/chat/completions/x",
        "/v1/chat/completions.",
        "/v1/threads/t/messages",
        "/v1/threads/t/runs",
        "/UI/v1/chat/completions",
        "/Api/v1/chat/completions",
        "/apiary",
        "/v1beta/models/g:unknownMethod",
        "/v1beta/models/:generateContent/x",
        "/v1/projects/p/locations/l/publishers/meta/models/llama:generateContent",
        "/projects/p/locations/l/publishers/anthropic/models/c:generateContent",
        "/v1/publishers/anthropic/models/c:rawPredict",
        "/model/a/b/invoke",
        "/healthz/x",
        "/x/healthz",
        "/ollama/api/tags",
        "/a@b/v1/chat/completions",
    ] {
        assert_eq!(short(Method::Post, path), Err(PathError::NotFound), "{path}");
    }
    assert_eq!(short(Method::Head, "/some/prefix"), Err(PathError::NotFound));
}

#[test]
fn the_admin_api_takes_models_with_encoded_slashes_and_nothing_else() {
    for path in [
        "/api/models/openai%2Fgpt-5",
        "/api/models/openai/gpt-5",
        "/api/models/a%2fb%2Fc:free",
        "/aperture/pricing/openai%2Fgpt-5",
    ] {
        let route = classify(Method::Get, path.as_bytes()).unwrap();
        assert_eq!(route.endpoint, Endpoint::ControlPlane, "{path}");
    }
    for path in [
        "/api/models/%2Fgpt-5",
        "/api/models/gpt-5%2F",
        "/api/models/a%2F%2Fb",
        "/api/models/a%2F..%2Fb",
        "/api/models/..%2Fhealth",
        "/api/models/a%2Fb%3B",
        "/api/models%2Fa",
        "/api/people/a%2Fb",
        "/api/modelsx/a%2Fb",
        "/ui/models/a%2Fb",
        "/aperture/config%2Fx",
    ] {
        assert_eq!(short(Method::Get, path), Err(PathError::BadPath), "{path}");
    }
}

#[test]
fn ambiguous_paths_are_refused() {
    for suffix in [
        "/v1/chat/completions",
        "/v1beta/models/g:generateContent",
        "/model/m/invoke",
        "/api/keys",
        "/admin",
    ] {
        for trick in [
            "//",
            "/./",
            "/../",
            "/%2e/",
            "/%2E%2e/",
            "/.%2e/",
            "/a%2f",
            "/a%2F..%2F",
            "/%5c",
            "/\\",
            "/;x",
            "/a;v=1",
            "/%3b",
            "/%00",
            "/\0",
            "/a\u{1}",
            "/\u{7f}",
            "/%7f",
            "/%0a",
            "/%252e",
            "/%25",
            "/%zz",
            "/%4g",
            "/ü",
            "/a b",
            "/a?b",
            "/a#b",
        ] {
            for path in [
                format!("{}{suffix}", trick.trim_end_matches('/')),
                format!("{trick}{}", suffix.trim_start_matches('/')),
                format!("/x{trick}{}", suffix.trim_start_matches('/')),
                format!("/api{trick}{}", suffix.trim_start_matches('/')),
                format!("{suffix}{trick}"),
            ] {
                // A trick whose closing slash was cut away can be a plain prefix: then it must not reach the admin pages.
                let got = short(Method::Post, &path);
                assert!(
                    got == Err(PathError::BadPath) || (trick == "//" && path.starts_with(suffix)),
                    "{path:?}: {got:?}"
                );
            }
        }
    }
    for path in [
        "",
        "x",
        "*",
        "/v1/%",
        "/v1/%4",
        "http://h/v1/chat/completions",
        "/..",
        "/v1/..",
        "/%2e%2e",
    ] {
        assert_eq!(short(Method::Get, path), Err(PathError::BadPath), "{path}");
    }
    assert_eq!(
        short(Method::Post, &format!("/{}v1/chat/completions", "p/".repeat(9))),
        Err(PathError::BadPath)
    );
    assert!(short(Method::Post, &format!("/{}v1/chat/completions", "p/".repeat(8))).is_ok());
    assert_eq!(
        short(Method::Post, &format!("/{}", "p".repeat(9000))),
        Err(PathError::BadPath)
    );
}

#[test]
fn bad_models_in_paths_are_refused() {
    for model in [
        "..%2fx",
        "a%2f..%2fb",
        "%2e%2e",
        "a%20b",
        "gpt%2d4%c3%bc",
        "a%2541",
        "a,b",
        "a%0d",
        &"m".repeat(257),
    ] {
        for path in [
            format!("/v1beta/models/{model}:generateContent"),
            format!("/model/{model}/invoke"),
            format!("/openai/deployments/{model}/chat/completions"),
        ] {
            assert_eq!(short(Method::Post, &path), Err(PathError::BadPath), "{path}");
        }
        let path = format!("/v1/models/{model}");
        assert_eq!(short(Method::Get, &path), Err(PathError::BadPath), "{path}");
    }
    assert_eq!(
        short(Method::Post, "/v1beta/models/:generateContent"),
        Err(PathError::BadPath)
    );
}

#[test]
fn the_body_may_only_repeat_the_model_of_the_path() {
    let route = classify(Method::Post, b"/v1beta/models/emb-1:embedContent").unwrap();
    assert!(route.body_model_agrees("emb-1"));
    assert!(route.body_model_agrees("models/emb-1"));
    assert!(!route.body_model_agrees("emb-2"));
    assert!(!route.body_model_agrees("models/models/emb-1"));
    let route = classify(Method::Post, b"/v1/messages").unwrap();
    assert!(route.body_model_agrees("anything"));
}

#[test]
fn upstream_paths() {
    let check = |base: &str, path: &str, model: Option<&str>, expected: &str| {
        let route = classify(Method::Post, path.as_bytes())
            .or_else(|_| classify(Method::Get, path.as_bytes()))
            .unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut out = Vec::new();
        upstream_path(base, &route, path.as_bytes(), model, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{base} + {path}");
    };
    let chat = "/v1/chat/completions";
    check("", chat, None, chat);
    check("/", chat, None, chat);
    check("/v1", chat, None, chat);
    check("/v1/", chat, None, chat);
    check("/openai/v1", chat, None, "/openai/v1/chat/completions");
    check("/openai", chat, None, "/openai/v1/chat/completions");
    check("/v1beta/openai", chat, None, "/v1beta/openai/chat/completions");
    check("/api/paas/v4", chat, None, "/api/paas/v4/chat/completions");
    check(
        "/inference",
        "/openai/v1/chat/completions",
        None,
        "/inference/v1/chat/completions",
    );
    check("", "/chat/completions", None, chat);
    check("/v1", "/team/chat/completions", None, chat);
    check("", "/team/messages", None, "/v1/messages");
    check("", "/v1/messages/count_tokens", None, "/v1/messages/count_tokens");
    check(
        "",
        "/models/g:generateContent",
        None,
        "/v1beta/models/g:generateContent",
    );
    check(
        "",
        "/v1/models/g:generateContent",
        None,
        "/v1/models/g:generateContent",
    );
    check(
        "/v1beta",
        "/v1/models/g:generateContent",
        None,
        "/v1beta/models/g:generateContent",
    );
    check(
        "",
        "/v1beta/models/p%2Fg:countTokens",
        Some("g"),
        "/v1beta/models/g:countTokens",
    );
    check(
        "",
        "/v1beta/models/x:countTokens",
        Some("a/b:c"),
        "/v1beta/models/a%2Fb%3Ac:countTokens",
    );
    check("", "/bedrock/model/a%3A0/invoke", None, "/model/a%3A0/invoke");
    check(
        "",
        "/model/alias/converse-stream",
        Some("us.x-v1:0"),
        "/model/us.x-v1%3A0/converse-stream",
    );
    check("/v1", "/model/a/invoke", None, "/v1/model/a/invoke");
    check("", "/ollama/api/chat", None, "/api/chat");
    check("/sub", "/ollama/api/embed", None, "/sub/api/embed");
    let vertex = "/projects/p/locations/l/publishers/anthropic/models/c@1:rawPredict";
    check("", vertex, None, &format!("/v1{vertex}"));
    check(
        "",
        &format!("/v1beta1{vertex}"),
        None,
        &format!("/v1beta1{vertex}"),
    );
    check(
        "/v1",
        &format!("/pre/v1{vertex}"),
        Some("d@2"),
        &format!("/v1{}", vertex.replace("c@1", "d@2")),
    );
    let azure = "/openai/deployments/d/chat/completions";
    check("", azure, None, azure);
    check(
        "/openai",
        azure,
        Some("e"),
        "/openai/deployments/e/chat/completions",
    );
    check("", "/v1/chat/completions", Some("ignored"), chat);
    check(
        "",
        "/v1/responses/resp_1/cancel",
        None,
        "/v1/responses/resp_1/cancel",
    );
}
