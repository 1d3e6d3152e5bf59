import { shellWord } from '../overview/snippets';

/** Families of endpoints that a call can be shown for, the simplest first. */
const SHOWN = ['openai_chat', 'anthropic_messages', 'openai_responses', 'gemini_generate_content'] as const;

/** A call of a model with curl, in a format that one of its providers speaks; `null`: none that can be shown. */
export function callOf(origin: string, model: string, endpoints: Iterable<string>): string | null {
  const served = new Set(endpoints);
  const format = SHOWN.find(name => served.has(name));
  if (format === undefined) return null;
  const ask = 'Say hello.';
  const [path, body] = {
    openai_chat: ['/v1/chat/completions', { model, messages: [{ role: 'user', content: ask }] }],
    anthropic_messages: [
      '/v1/messages',
      { model, max_tokens: 200, messages: [{ role: 'user', content: ask }] },
    ],
    openai_responses: ['/v1/responses', { model, input: ask }],
    gemini_generate_content: [
      `/v1beta/models/${encodeURIComponent(model)}:generateContent`,
      { contents: [{ parts: [{ text: ask }] }] },
    ],
  }[format] as [string, object];
  return `curl ${shellWord(origin + path)} \\\n  -H 'content-type: application/json' \\\n  -d ${shellWord(JSON.stringify(body))}`;
}
