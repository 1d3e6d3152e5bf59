/**
 * A call as a conversation: request and answer of any API as a list of turns.
 *
 * The bodies are what somebody else wrote. Nothing here throws: what is said in a way that is not known becomes a block of
 * data, and what is missing is left out. Pieces of messages are told apart by their shape and not by the API, since
 * gateways, compatible servers and Bedrock mix the shapes; the API decides only where the shapes would be ambiguous.
 */

import { has, items, type Json, type JsonObject, members, word } from './conversation/json';
import { itemTurns, joined, message, system, turn } from './conversation/messages';
import type { Block, Conversation, OfferedTool, Turn } from './conversation/model';
import { blocksOf, failure } from './conversation/parts';

export type * from './conversation/model';

/** Members of a request that are talk or tools, and so no settings. */
const TALK = new Set([
  ...[
    'messages',
    'input',
    'contents',
    'content',
    'prompt',
    'inputText',
    'message',
    'query',
    'documents',
    'requests',
  ],
  ...[
    'system',
    'systemInstruction',
    'system_instruction',
    'instructions',
    'tools',
    'toolConfig',
    'functions',
    'instances',
  ],
  ...['suffix', 'texts', 'chat_history'],
]);

/** The conversation of a call; either body may be missing or anything. */
export function conversation(api: string, request: unknown, answer: unknown): Conversation {
  const asked = unwrapped(request, ['request', 'generateContentRequest', 'generate_content_request']);
  const turns = [...requestTurns(api, asked), ...answerTurns(api, answer)];
  return { turns: joined(turns), tools: offered(asked), settings: settings(asked) };
}

/** Code Assist and token counting wrap the request; the answer may be wrapped as well. */
function unwrapped(value: unknown, names: string[]): JsonObject {
  const outer = members(value);
  const name = names.find(name => Object.keys(members(outer[name])).length > 0);
  return name === undefined ? outer : members(outer[name]);
}

function requestTurns(api: string, asked: JsonObject): Turn[] {
  const turns = [
    ...system(asked.system ?? asked.systemInstruction ?? asked.system_instruction ?? asked.instructions),
  ];
  if (Array.isArray(asked.chat_history)) turns.push(...asked.chat_history.map(one => message(one, 'user')));
  for (const name of [
    'messages',
    'contents',
    'input',
    'prompt',
    'inputText',
    'message',
    'content',
    'query',
  ] as const) {
    if (!has(asked, name)) continue;
    turns.push(...talk(api, name, asked[name] ?? null));
    if (name === 'messages' || name === 'contents') break;
  }
  for (const name of ['documents', 'texts', 'requests', 'instances'] as const) {
    if (items(asked[name]).length > 0) turns.push(turn('user', [list(name, items(asked[name]))]));
  }
  const images = items(asked.images).length;
  if (images > 0 && !has(asked, 'messages')) {
    const image: Block = { kind: 'media', media: 'image', label: '', bytes: null };
    turns.push(turn('user', Array<Block>(Math.min(images, 100)).fill(image)));
  }
  return turns;
}

function talk(api: string, name: string, value: Json): Turn[] {
  if (typeof value === 'string') return [turn('user', blocksOf(value))];
  if (!Array.isArray(value)) return [message(value, 'user')];
  if (name === 'messages' || name === 'contents') {
    // Parts directly in the list are one message.
    if (value.length > 0 && value.every(one => typeof one === 'string' || has(members(one), 'text'))) {
      return [turn('user', blocksOf(value))];
    }
    return value.map(one => message(one, 'user'));
  }
  if (name === 'input' && api === 'openai_responses') return itemTurns(value, 'user');
  if (value.every(one => typeof one === 'string')) return value.map(one => turn('user', blocksOf(one)));
  if (value.every(one => typeof one === 'number' || Array.isArray(one))) {
    return [turn('user', [list('token ids', value)])];
  }
  return itemTurns(value, 'user');
}

const list = (label: string, value: Json[]): Block => ({
  kind: 'data',
  label: `${value.length} ${label}`,
  value,
});

function answerTurns(api: string, value: unknown): Turn[] {
  if (Array.isArray(value)) return value.slice(0, 1000).flatMap(one => answerTurns(api, one));
  const answer = unwrapped(value, ['response']);
  if (typeof value === 'string') return [said(blocksOf(value))];
  if (Object.keys(answer).length === 0) return [];
  const turns = spoken(answer);
  if (turns.length === 0 && !has(answer, 'error')) turns.push(...results(answer));
  const blocked = word(members(answer.promptFeedback).blockReason);
  if (blocked !== undefined)
    turns.push(said([{ kind: 'error', code: blocked, text: 'The prompt was blocked.' }]));
  if (has(answer, 'error')) turns.push(said([failure(answer.error)]));
  return turns;
}

const said = (blocks: Block[], stop?: unknown): Turn =>
  turn('assistant', blocks, {
    answered: true,
    stop: typeof stop === 'number' ? String(stop) : (word(stop) ?? ''),
  });

const answered = (one: Turn, stop: unknown): Turn => ({
  ...said(one.blocks, stop),
  role: one.role === 'user' ? 'assistant' : one.role,
});

/** What models say, in every shape that an answer has. */
function spoken(answer: JsonObject): Turn[] {
  const turns: Turn[] = [];
  for (const choice of items(answer.choices)) {
    const fields = members(choice);
    const stop = fields.finish_reason ?? fields.stop_reason;
    const blocks = has(fields, 'message')
      ? message(fields.message ?? null, 'assistant').blocks
      : blocksOf(fields.text);
    turns.push(said(blocks, stop));
  }
  for (const candidate of items(answer.candidates)) {
    const fields = members(candidate);
    const one = message(fields.content ?? null, 'assistant');
    turns.push(answered(one, fields.finishReason ?? fields.finish_reason));
  }
  if (Array.isArray(answer.output)) {
    const why = members(answer.incomplete_details).reason ?? answer.status;
    turns.push(...itemTurns(answer.output, 'assistant').map(one => answered(one, why)));
  } else if (has(members(answer.output), 'message')) {
    const fields = members(answer.output);
    turns.push(answered(message(fields.message ?? null, 'assistant'), answer.stopReason));
  } else if (typeof answer.output === 'string') {
    turns.push(said(blocksOf(answer.output)));
  }
  if (turns.length > 0) return turns;
  const stop = answer.stop_reason ?? answer.done_reason ?? answer.finish_reason;
  if (has(answer, 'message') && typeof answer.message === 'object') {
    return [answered(message(answer.message ?? null, 'assistant'), stop)];
  }
  if (has(answer, 'content'))
    return [answered(message({ content: answer.content ?? null }, 'assistant'), stop)];
  for (const name of ['response', 'generation', 'completion', 'text', 'transcript'] as const) {
    if (typeof answer[name] !== 'string') continue;
    return [
      answered(message({ content: answer[name], thinking: answer.thinking ?? null }, 'assistant'), stop),
    ];
  }
  for (const name of ['outputs', 'results', 'completions', 'generations'] as const) {
    const texts = items(answer[name]).map(one => {
      const fields = members(one);
      return word(fields.text) ?? word(fields.outputText) ?? word(members(fields.data).text);
    });
    if (texts.length > 0 && texts.every(found => found !== undefined)) {
      return texts.map(found => said(blocksOf(found)));
    }
  }
  return [];
}

/** Answers that are no talk: vectors, pictures, judgements. */
function results(answer: JsonObject): Turn[] {
  const pictures = items(answer.data).filter(
    one => has(members(one), 'b64_json') || has(members(one), 'url'),
  );
  if (pictures.length > 0) {
    return [
      said(
        pictures.map(one => {
          const { b64_json: data, url, revised_prompt: prompt } = members(one);
          const bytes = word(data) === undefined ? null : Math.floor((String(data).length * 3) / 4);
          return { kind: 'media', media: 'image', label: word(prompt) ?? word(url) ?? '', bytes };
        }),
      ),
    ];
  }
  const vectors = [
    ...items(answer.data).map(one => members(one).embedding),
    ...items(answer.embeddings).map(one => members(one).values ?? one),
    members(answer.embedding).values ?? answer.embedding,
  ].filter(found => Array.isArray(found) || typeof found === 'string');
  if (vectors.length > 0) {
    const size = items(vectors[0]).length;
    const label = `${vectors.length} ${vectors.length === 1 ? 'vector' : 'vectors'}${size > 0 ? ` of ${size} numbers` : ''}`;
    return [said([{ kind: 'data', label, value: vectors }])];
  }
  for (const name of ['results', 'predictions', 'data'] as const) {
    if (items(answer[name]).length > 0) return [said([list(name, items(answer[name]))])];
  }
  const tokens = answer.input_tokens ?? answer.totalTokens ?? answer.inputTokens;
  return typeof tokens === 'number' ? [said([{ kind: 'text', text: `${tokens} tokens` }])] : [];
}

/** The tools that a request offers. */
function offered(asked: JsonObject): OfferedTool[] {
  const tools = [...items(asked.tools), ...items(members(asked.toolConfig).tools), ...items(asked.functions)];
  return tools.flatMap(tool => {
    const fields = members(tool);
    const declared = items(fields.functionDeclarations ?? fields.function_declarations);
    return (declared.length > 0 ? declared : [tool]).map(one => {
      const inner = members(one);
      const what = members(inner.function ?? inner.custom ?? inner.toolSpec ?? one);
      const name = word(what.name) ?? word(inner.type) ?? Object.keys(inner)[0] ?? '';
      return { name, description: word(what.description) ?? '', value: one };
    });
  });
}

const settings = (asked: JsonObject): [string, unknown][] =>
  Object.entries(asked).filter(([name]) => !TALK.has(name));

/** The first words of the user, as a title; `undefined` if nothing is said. */
export function firstWords(turns: readonly Turn[], length = 90): string | undefined {
  for (const { role, blocks } of turns) {
    if (role !== 'user') continue;
    for (const block of blocks) {
      if (block.kind !== 'text') continue;
      // What clients put in front of a question is no title.
      const plain = block.text
        .slice(0, 20_000)
        .replace(/<([a-z-]+)>[\s\S]*?<\/\1>/g, ' ')
        .replace(/\s+/g, ' ')
        .trim();
      if (plain !== '') return plain.length > length ? `${plain.slice(0, length - 1).trimEnd()}…` : plain;
    }
  }
  return undefined;
}
