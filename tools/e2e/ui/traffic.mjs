// What people do in a working day, small: enough that every page of the dashboard has something to show.

import { createHash } from "node:crypto";

import { ADMIN, MACHINE, POOR, USER } from "./gateway.mjs";

const marker = (name, input) => `MOCK_TOOL${JSON.stringify({ name, input })}`;
const tools = ["Bash", "Grep", "Task"].map((name) => ({ name, description: name, input_schema: { type: "object" } }));

/// What looks like a provider's key, and is none.
const key = () => `sk-ant-api03-${createHash("sha512").update("no key").digest("base64url").padEnd(93, "x4Rt9")}AA`;

/// A coding agent's conversation: a question, a tool, its result, a sub-agent, an end.
async function coding(gateway, login, session, question) {
  const ask = (messages, more = {}, agent = {}) =>
    gateway.call(
      login,
      "/v1/messages?beta=true",
      { model: "claude-opus-4-5", max_tokens: 4_000, stream: true, tools, system: "You are Claude Code.", messages, ...more },
      {
        "user-agent": "claude-cli/2.1.197 (external, cli)",
        "anthropic-version": "2023-06-01",
        "x-claude-code-session-id": session,
        ...agent,
      },
    );
  const user = (text) => ({ role: "user", content: [{ type: "text", text }] });
  const used = (name, input) => ({ role: "assistant", content: [{ type: "tool_use", id: "toolu_01", name, input }] });
  const result = (content) => ({ role: "user", content: [{ type: "tool_result", tool_use_id: "toolu_01", content }] });
  const listing = { command: "git diff --stat HEAD~1" };
  const history = [user(`${question}\n${marker("Bash", listing)}`)];
  await ask(history);
  history.push(used("Bash", listing), result(" src/invoice.rs | 42 +++++++++++++++++++++++++----\n 1 file changed"));
  await ask(history);
  const agent = { "x-claude-code-agent-id": "explore-1" };
  await ask([user(`Where are invoices rounded?\n${marker("Grep", { pattern: "round\\(" })}`)], { model: "claude-haiku-4-5" }, agent);
  history.push({ role: "assistant", content: [{ type: "text", text: "The change rounds once, at the end." }] }, user("Then add a test for it."));
  return ask(history, { stream: false });
}

/// Makes the calls, and says which of them tests come back to.
export async function work(gateway) {
  const known = {};
  known.coding = await coding(gateway, USER, "7c0f3a52-5d0e-4f0e-9f55-5a1c57a0b001", "Why does the invoice total differ by a cent?");
  await coding(gateway, ADMIN, "7c0f3a52-5d0e-4f0e-9f55-5a1c57a0b002", "Review the retry logic of the uploader.");
  const chat = (login, content, more = {}, headers = {}) =>
    gateway.call(login, "/v1/chat/completions", { model: "gpt-5.5", messages: [{ role: "user", content }], ...more }, headers);
  const sdk = { "user-agent": "OpenAI/Python 2.8.1" };
  for (let turn = 0; turn < 6; turn += 1) {
    await chat("dave@example.com", `Summarise ticket ${1_400 + turn} in two sentences.`, { model: "gpt-5-mini" }, sdk);
    await chat("erin@example.com", `Translate release note ${turn} into Portuguese.`, { stream: true }, sdk);
    await chat(MACHINE, `Name the failing test in build ${9_310 + turn}.`, { model: "gpt-5-mini" }, sdk);
  }
  await gateway.call(
    "erin@example.com",
    "/v1beta/models/gemini-2.5-pro:generateContent",
    { contents: [{ role: "user", parts: [{ text: "Which of these three names is taken?" }] }] },
    { "user-agent": "GeminiCLI/0.61.0/gemini-2.5-pro (linux; x64)" },
  );
  known.redacted = await chat(USER, `Why is this key refused: ${key()} ?`, {}, sdk);
  known.shadowed = await chat(USER, "Write to bob.builder@example.org that the build is green.", {}, sdk);
  for (const status of [429, 500, 400]) await chat("dave@example.com", "Try again.", {}, { ...sdk, "x-mock-status": String(status) });
  known.unpriced = await chat(ADMIN, "Hello?", { model: "in-house-7b" }, sdk);
  // The third call finds the budget used up.
  for (let turn = 0; turn < 3; turn += 1) known.refused = await chat(POOR, "One more.", {}, sdk);
  known.records = 8 + 18 + 1 + 2 + 3 + 1 + 3;
  await gateway.eventually("/api/requests?limit=1000", (answer) => answer.requests.length >= known.records);
  await gateway.eventually("/api/captures?limit=1000", (answer) => answer.captures.length >= known.records - 1);
  return known;
}
