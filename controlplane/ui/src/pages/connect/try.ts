// The shortest call of a model in each family of endpoints, and what of its answer is worth showing.
import type { Flag } from './clients';

export interface Call {
  path: string;
  headers: Record<string, string>;
  body: unknown;
}

const QUESTION = 'Answer with the single word: ready';
/** Enough for models that think first; the answer is one word. */
const TOKENS = 256;

/** A call that costs next to nothing. */
export function call(flag: Flag, model: string): Call {
  const headers = { 'content-type': 'application/json' };
  switch (flag) {
    case 'anthropic_messages':
      return {
        path: '/v1/messages',
        headers: { ...headers, 'anthropic-version': '2023-06-01' },
        body: { model, max_tokens: TOKENS, messages: [{ role: 'user', content: QUESTION }] },
      };
    case 'openai_responses':
      return {
        path: '/v1/responses',
        headers,
        body: { model, input: QUESTION, max_output_tokens: TOKENS, store: false },
      };
    case 'gemini_generate_content':
      return {
        path: `/v1beta/models/${encodeURIComponent(model)}:generateContent`,
        headers,
        body: {
          contents: [{ role: 'user', parts: [{ text: QUESTION }] }],
          generationConfig: { maxOutputTokens: TOKENS },
        },
      };
    default:
      return {
        path: '/v1/chat/completions',
        headers,
        body: { model, messages: [{ role: 'user', content: QUESTION }] },
      };
  }
}

const pick = (value: unknown, ...path: (string | number)[]): unknown =>
  path.reduce<unknown>(
    (found, step) =>
      found !== null && typeof found === 'object'
        ? (found as Record<string | number, unknown>)[step]
        : undefined,
    value,
  );

const list = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);

/** The words of an answer in any of the formats; empty if there are none. */
export function words(answer: unknown): string {
  const found = [
    pick(answer, 'choices', 0, 'message', 'content'),
    ...list(pick(answer, 'content')).map(block => pick(block, 'text')),
    ...list(pick(answer, 'output')).flatMap(item =>
      list(pick(item, 'content')).map(part => pick(part, 'text')),
    ),
    ...list(pick(answer, 'candidates', 0, 'content', 'parts')).map(part => pick(part, 'text')),
  ];
  return found.filter(text => typeof text === 'string').join('');
}

/** What an error answer says, in the format of any provider. */
export function reason(answer: unknown): string | null {
  const said = [
    pick(answer, 'error', 'message'),
    pick(answer, 'message'),
    pick(answer, 'detail'),
    pick(answer, 'error'),
  ];
  return (said.find(text => typeof text === 'string') as string | undefined) ?? null;
}
