//! Which program a session comes from, by what it says about itself.

use super::Client;

/// Beginnings of user agents, in lower case; the longer of two that fit stands first. Seen from the programs themselves.
const BEGINNINGS: [(&str, Client); 22] = [
    ("claude-cli/", Client::ClaudeCode),
    ("claude-code/", Client::ClaudeCode),
    ("codex_", Client::Codex),
    ("codex-", Client::Codex),
    ("codex/", Client::Codex),
    ("geminicli", Client::GeminiCli),
    ("opencode/", Client::Opencode),
    ("aider", Client::Aider),
    ("litellm", Client::LiteLlm),
    ("githubcopilot", Client::Copilot),
    ("copilot", Client::Copilot),
    ("openai/", Client::OpenAiSdk),
    ("asyncopenai/", Client::OpenAiSdk),
    ("azureopenai/", Client::OpenAiSdk),
    ("anthropic/", Client::AnthropicSdk),
    ("asyncanthropic/", Client::AnthropicSdk),
    ("google-genai-sdk/", Client::GoogleSdk),
    ("groq/", Client::GroqSdk),
    ("mistral-client", Client::MistralSdk),
    ("ai/", Client::VercelSdk),
    ("ai-sdk/", Client::VercelSdk),
    ("curl/", Client::Curl),
];

/// The program of a user agent.
pub(crate) fn client(user_agent: Option<&str>) -> Client {
    let Some(text) = user_agent.map(str::trim_start).filter(|text| !text.is_empty()) else {
        return Client::Unknown;
    };
    let begins = |with: &str| {
        text.as_bytes()
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
    };
    let found = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning));
    found.map_or(Client::Other, |(_, client)| *client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_beginnings() {
        let check = |user_agent: &str, expected: Client| {
            assert_eq!(client(Some(user_agent)), expected, "{user_agent}");
        };
        check("claude-cli/2.1.197 (external, sdk-cli)", Client::ClaudeCode);
        check("codex_exec/0.169.0 (Debian 13.0.0; x86_64)", Client::Codex);
        check("codex_cli_rs/0.169.0", Client::Codex);
        check(
            "GeminiCLI-tui/0.61.0/gemini-3.8-flash (linux; x64; terminal)",
            Client::GeminiCli,
        );
        check(
            "opencode/1.18.33 ai-sdk/provider-utils/3.0 runtime/bun/1.4",
            Client::Opencode,
        );
        check("OpenAI/Python 2.54.0", Client::OpenAiSdk);
        check("AsyncOpenAI/Python 2.54.0", Client::OpenAiSdk);
        check("Anthropic/JS 1.12.0", Client::AnthropicSdk);
        check("google-genai-sdk/3.4.0 gl-python/3.13", Client::GoogleSdk);
        check("Groq/Python 1.0.0", Client::GroqSdk);
        check("mistral-client-python/3.7.0", Client::MistralSdk);
        check("ai/6.0.326 ai-sdk/provider-utils/4.0", Client::VercelSdk);
        check("litellm/1.80.0", Client::LiteLlm);
        check("curl/8.14.1", Client::Curl);
        check("Mozilla/5.0 claude-cli/2", Client::Other);
        check("ä", Client::Other);
        check("  ", Client::Unknown);
        assert_eq!(client(None), Client::Unknown);
    }

    #[test]
    fn the_numbers_of_programs_stay() {
        let names: Vec<&str> = Client::ALL.iter().map(|client| client.name()).collect();
        assert_eq!(
            names.join(" "),
            "unknown other claude-code codex gemini-cli opencode aider litellm copilot openai-sdk anthropic-sdk \
             google-sdk groq-sdk mistral-sdk vercel-sdk curl"
        );
    }
}
