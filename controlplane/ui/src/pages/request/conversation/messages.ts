// Messages with a role: chat, Anthropic, Gemini, Converse, Ollama; and the items of OpenAI's responses.

import { has, items, type Json, type JsonObject, members, word } from './json';
import type { Block, Role, Turn } from './model';
import { blocksOf, call, failure, result, resultOf, textsOf, thinking } from './parts';

const ROLES: Record<string, Role> = {
  system: 'system',
  developer: 'system',
  user: 'user',
  human: 'user',
  assistant: 'assistant',
  model: 'assistant',
  ai: 'assistant',
  chatbot: 'assistant',
  tool: 'tool',
  function: 'tool',
};

export function turn(role: unknown, blocks: Block[], more: Partial<Turn> = {}): Turn {
  const named = word(role)?.toLowerCase() ?? '';
  const known = Object.hasOwn(ROLES, named) ? ROLES[named] : undefined;
  const name = known === undefined || named === 'developer' ? (word(role) ?? '') : '';
  return { role: known ?? 'other', name, blocks, answered: false, stop: '', ...more };
}

/** One message. `fallback` is the role of a message that does not state one. */
export function message(value: Json, fallback: Role): Turn {
  if (typeof value === 'string') return turn(fallback, blocksOf(value));
  const fields = members(value);
  const said = turn(word(fields.role) ?? fallback, []);
  const speaker = word(fields.name);
  if (speaker !== undefined && said.role !== 'tool') said.name = speaker;
  const reasoning = word(fields.reasoning_content) ?? word(fields.reasoning) ?? word(fields.thinking);
  if (reasoning !== undefined) said.blocks.push(thinking(reasoning));
  const content = blocksOf(fields.content ?? fields.parts ?? fields.message);
  if (said.role === 'tool' && !content.some(block => block.kind === 'result')) {
    const error = fields.is_error === true || fields.status === 'error';
    said.blocks.push({
      kind: 'result',
      id: word(fields.tool_call_id) ?? '',
      name: speaker ?? word(fields.tool_name) ?? '',
      result: { blocks: content, error },
    });
  } else {
    said.blocks.push(...content);
  }
  const refusal = word(fields.refusal);
  if (refusal !== undefined) said.blocks.push({ kind: 'text', text: refusal });
  for (const image of items(fields.images)) {
    const data = word(image) ?? word(members(members(image).image_url).url);
    const bytes = data === undefined ? null : Math.floor((data.length * 3) / 4);
    said.blocks.push({ kind: 'media', media: 'image', label: '', bytes });
  }
  if (has(fields, 'audio')) said.blocks.push(spoken(members(fields.audio)));
  said.blocks.push(...functions(fields));
  return said;
}

function spoken(audio: JsonObject): Block {
  const data = word(audio.data);
  return {
    kind: 'media',
    media: 'audio',
    label: word(audio.transcript) ?? word(audio.id) ?? '',
    bytes: data === undefined ? null : Math.floor((data.length * 3) / 4),
  };
}

/** `tool_calls` of a message, and the `function_call` that was before them. */
function functions(fields: JsonObject): Block[] {
  const calls = items(fields.tool_calls).map(one => {
    const asked = members(one);
    const custom = has(asked, 'custom');
    const what = members(asked.function ?? asked.custom ?? one);
    return call(asked.id, what.name, custom ? what.input : (what.arguments ?? what.parameters), false);
  });
  const old = members(fields.function_call);
  return word(old.name) === undefined ? calls : [...calls, call('', old.name, old.arguments, false)];
}

/** Items of OpenAI's responses as turns: what the assistant does one after the other is one turn. */
export function itemTurns(list: Json[], fallback: Role): Turn[] {
  const turns: Turn[] = [];
  for (const value of list) {
    const next = item(value, fallback);
    const last = turns.at(-1);
    if (
      last !== undefined &&
      last.role === next.role &&
      last.name === next.name &&
      next.role === 'assistant'
    ) {
      last.blocks.push(...next.blocks);
    } else {
      turns.push(next);
    }
  }
  return turns;
}

function item(value: Json, fallback: Role): Turn {
  const fields = members(value);
  const type = word(fields.type);
  if (type === undefined || type === 'message') return message(value, fallback);
  if (type === 'input_text' || type === 'input_image' || type === 'input_file' || type === 'input_audio') {
    return turn('user', blocksOf(value));
  }
  if (type === 'reasoning') {
    const said = textsOf(fields.summary) || textsOf(fields.content);
    return turn('assistant', [thinking(said)]);
  }
  if (type.endsWith('_output')) {
    const failed = fields.status === 'failed' || fields.status === 'incomplete';
    return turn('tool', [result(fields.call_id ?? fields.id, '', fields.output, failed)]);
  }
  if (type === 'image_generation_call') {
    const data = word(fields.result);
    const bytes = data === undefined ? null : Math.floor((data.length * 3) / 4);
    return turn('assistant', [{ kind: 'media', media: 'image', label: 'generated', bytes }]);
  }
  if (type.endsWith('_call')) return turn('assistant', [calledItem(type, fields)]);
  if (type === 'error') return turn('assistant', [failure(value)]);
  return turn(word(fields.role) ?? 'other', [{ kind: 'data', label: type, value }], { name: '' });
}

/** A call, run by the client or by the provider; of the latter the result may stand in it. */
function calledItem(type: string, fields: JsonObject): Block {
  const plain = type.slice(0, -'_call'.length);
  const own = ['function', 'custom_tool', 'local_shell', 'shell', 'computer', 'apply_patch'].includes(plain);
  const input =
    fields.arguments ??
    fields.input ??
    fields.action ??
    fields.actions ??
    fields.operation ??
    fields.code ??
    fields.queries;
  const made = call(fields.call_id ?? fields.id, word(fields.name) ?? plain, input, !own);
  const gave = fields.output ?? fields.outputs ?? fields.results;
  const error = fields.error ?? null;
  if (error !== null) made.result = { blocks: [failure(error)], error: true };
  else if (gave !== undefined && gave !== null) made.result = resultOf(gave, fields.status === 'failed');
  return made;
}

/** Puts results to their calls: by id, else by name in order. What has no call stays where it is. */
export function joined(turns: Turn[]): Turn[] {
  const calls = turns.flatMap(({ blocks }) => blocks.filter(block => block.kind === 'call'));
  const byId = new Map<string, (typeof calls)[number][]>();
  for (const made of calls) {
    if (made.id !== '') byId.set(made.id, [...(byId.get(made.id) ?? []), made]);
  }
  const open = calls.filter(made => made.id === '' && made.result === null);
  const put = (block: Block): boolean => {
    if (block.kind !== 'result') return false;
    const wanted =
      block.id !== ''
        ? byId.get(block.id)?.find(made => made.result === null)
        : open.find(made => made.result === null && (block.name === '' || made.name === block.name));
    if (wanted === undefined) return false;
    wanted.result = block.result;
    return true;
  };
  return turns
    .map(turn => ({ ...turn, blocks: turn.blocks.filter(block => !put(block)) }))
    .filter(turn => turn.blocks.length > 0 || turn.answered);
}

/** A system prompt: a text, pieces, or a message with parts. */
export function system(value: unknown): Turn[] {
  const fields = members(value);
  const blocks = blocksOf(has(fields, 'parts') ? fields.parts : value);
  return blocks.length === 0 ? [] : [turn('system', blocks)];
}
