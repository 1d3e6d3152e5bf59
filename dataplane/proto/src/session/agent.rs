//! Sub-agents and who started them.
//!
//! | client | agent | parent |
//! | --- | --- | --- |
//! | Claude Code | `x-claude-code-agent-id` | `x-claude-code-parent-agent-id` |
//! | Codex | `thread-id` where it is not the session's own, else `x-openai-subagent` | `x-codex-parent-thread-id` |
//! | opencode | – (a sub-agent has a session of its own) | `x-parent-session-id` |
//! | GitHub Copilot | `x-agent-task-id` | – |

use super::by_header;

/// Agent and parent.
pub(super) fn agent<'a>(header: &impl Fn(&str) -> Option<&'a [u8]>) -> (Option<String>, Option<String>) {
    let one = |names: &[&str]| by_header(header, names);
    // A Codex session begins with a thread of the same id; threads started later have ids of their own.
    let thread = || {
        let session = one(&["session-id", "session_id"])?;
        one(&["thread-id", "conversation_id"]).filter(|thread| *thread != session)
    };
    let agent = one(&["x-claude-code-agent-id"])
        .or_else(thread)
        .or_else(|| one(&["x-openai-subagent"]))
        .or_else(|| one(&["x-agent-task-id"]));
    let parent = one(&[
        "x-claude-code-parent-agent-id",
        "x-codex-parent-thread-id",
        "x-parent-session-id",
    ]);
    (agent, parent)
}
