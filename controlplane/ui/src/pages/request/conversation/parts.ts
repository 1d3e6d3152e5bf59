// One piece of a message, of any API: they can be told apart by their `type` or by the member that they have.

import { base64Bytes, has, items, type Json, type JsonObject, members, word, written } from './json';
import type { Block, CallBlock, MediaBlock, ToolResult } from './model';

/** Results in results: deeper ones are shown as data. */
const DEPTH_MAX = 6;

/** The blocks of a message's content: a text, a list of pieces, or one piece. */
export function blocksOf(content: unknown, depth = 0): Block[] {
  if (content === null || content === undefined) return [];
  if (typeof content === 'string') return content === '' ? [] : [{ kind: 'text', text: content }];
  if (Array.isArray(content)) return content.flatMap(one => part(one, depth));
  return part(content as Json, depth);
}

/** The blocks of one piece. */
function part(value: Json, depth: number): Block[] {
  if (typeof value === 'string') return value === '' ? [] : [{ kind: 'text', text: value }];
  if (typeof value !== 'object' || value === null) {
    return value === null ? [] : [{ kind: 'data', label: typeof value, value }];
  }
  if (Array.isArray(value)) return value.length === 0 ? [] : [{ kind: 'data', label: 'list', value }];
  const type = word(value.type);
  if (depth > DEPTH_MAX) return unknown(value, type);
  return (
    (type === undefined ? undefined : typed(type, value, depth)) ??
    named(value, depth) ??
    unknown(value, type)
  );
}

const unknown = (value: JsonObject, type: string | undefined): Block[] =>
  Object.keys(value).length === 0 ? [] : [{ kind: 'data', label: type ?? 'part', value }];

/** Pieces that say what they are: Anthropic's and OpenAI's. */
function typed(type: string, value: JsonObject, depth: number): Block[] | undefined {
  switch (type) {
    case 'text':
    case 'input_text':
    case 'output_text':
    case 'summary_text':
      return typeof value.text === 'string' ? text(value.text) : undefined;
    case 'refusal':
      return typeof value.refusal === 'string' ? text(value.refusal) : undefined;
    case 'thinking':
    case 'reasoning_text':
      return [thinking(word(value.thinking) ?? written(value.text))];
    case 'redacted_thinking':
      return [{ kind: 'thinking', text: '', hidden: true }];
    case 'tool_use':
      return [call(value.id, value.name, value.input, false)];
    case 'server_tool_use':
    case 'mcp_tool_use':
      return [call(value.id, value.name, value.input, true)];
    case 'tool_result':
    case 'mcp_tool_result':
      return [result(value.tool_use_id, '', value.content, value.is_error === true, depth)];
    case 'image':
    case 'document':
    case 'input_image':
    case 'input_file':
    case 'input_audio':
    case 'image_url':
    case 'audio_url':
    case 'video_url':
    case 'file':
      return [media(type, value)];
    case 'error':
      return has(value, 'error') || has(value, 'message') ? [failure(value.error ?? value)] : undefined;
    default:
      return type.endsWith('_tool_result')
        ? [
            result(
              value.tool_use_id,
              type.slice(0, -'_tool_result'.length),
              value.content,
              isError(value.content),
              depth,
            ),
          ]
        : undefined;
  }
}

const isError = (content: Json | undefined): boolean =>
  word(members(content).type)?.endsWith('_error') === true || has(members(content), 'error_code');

/** Pieces that are what their member is called: Gemini's and Bedrock's, in either way of writing names. */
function named(value: JsonObject, depth: number): Block[] | undefined {
  if (typeof value.text === 'string') {
    return value.thought === true ? [thinking(value.text)] : text(value.text);
  }
  const one = (...names: string[]): JsonObject | undefined => {
    const name = names.find(name => typeof value[name] === 'object' && value[name] !== null);
    return name === undefined ? undefined : members(value[name]);
  };
  const asked = one('functionCall', 'function_call');
  if (asked !== undefined) return [call(asked.id, asked.name, asked.args, false)];
  const gave = one('functionResponse', 'function_response');
  if (gave !== undefined)
    return [result(gave.id, gave.name, gave.response, has(members(gave.response), 'error'), depth)];
  const use = one('toolUse');
  if (use !== undefined) {
    return [call(use.toolUseId, use.name, use.input, use.type === 'server_tool_use')];
  }
  const used = one('toolResult');
  if (used !== undefined) return [result(used.toolUseId, '', used.content, used.status === 'error', depth)];
  const code = one('executableCode', 'executable_code');
  if (code !== undefined) return [call(code.id, 'code_execution', code.code ?? code, true)];
  const ran = one('codeExecutionResult', 'code_execution_result');
  if (ran !== undefined) {
    return [
      result(ran.id, 'code_execution', ran.output, word(ran.outcome)?.endsWith('FAILED') === true, depth),
    ];
  }
  const hosted = one('toolCall', 'tool_call');
  if (hosted !== undefined) return [call(hosted.id, hosted.toolType, hosted.args, true)];
  const answered = one('toolResponse', 'tool_response');
  if (answered !== undefined)
    return [result(answered.id, answered.toolType, answered.response, false, depth)];
  const reasoning = one('reasoningContent');
  if (reasoning !== undefined) {
    const said = word(members(reasoning.reasoningText).text);
    return [said === undefined ? { kind: 'thinking', text: '', hidden: true } : thinking(said)];
  }
  const inline = one('inlineData', 'inline_data');
  if (inline !== undefined) {
    return [
      mediaOf(word(inline.mimeType) ?? word(inline.mime_type) ?? '', '', base64Bytes(word(inline.data))),
    ];
  }
  const file = one('fileData', 'file_data');
  if (file !== undefined) {
    const mime = word(file.mimeType) ?? word(file.mime_type) ?? '';
    return [mediaOf(mime, word(file.fileUri) ?? word(file.file_uri) ?? '', null)];
  }
  for (const name of ['image', 'audio', 'video', 'document'] as const) {
    const found = one(name);
    if (found !== undefined) return [bedrockMedia(name, found)];
  }
  if (has(value, 'json')) return [{ kind: 'data', label: 'json', value: value.json }];
  const guarded = members(one('guardContent')?.text).text;
  if (typeof guarded === 'string') return text(guarded);
  if (has(value, 'cachePoint')) return [];
  return undefined;
}

const text = (said: string): Block[] => (said === '' ? [] : [{ kind: 'text', text: said }]);

export const thinking = (said: string): Block => ({ kind: 'thinking', text: said, hidden: said === '' });

export function call(id: unknown, name: unknown, input: unknown, hosted: boolean): CallBlock {
  return {
    kind: 'call',
    id: word(id) ?? '',
    name: word(name) ?? '',
    arguments: written(input),
    hosted,
    result: null,
  };
}

export function result(id: unknown, name: unknown, content: unknown, error: boolean, depth = 0): Block {
  return {
    kind: 'result',
    id: word(id) ?? '',
    name: word(name) ?? '',
    result: resultOf(content, error, depth + 1),
  };
}

/** What a tool gave back: text, pieces, or any object. */
export function resultOf(content: unknown, error: boolean, depth = 1): ToolResult {
  const list =
    Array.isArray(content) || typeof content === 'string' || content === null || content === undefined;
  const blocks: Block[] = list
    ? blocksOf(content, depth)
    : Object.keys(members(content)).length === 0
      ? []
      : [{ kind: 'data', label: 'result', value: content }];
  return { blocks, error };
}

/** An error as any API states it. */
export function failure(error: unknown): Block {
  if (typeof error === 'string') return { kind: 'error', code: '', text: error };
  const fields = members(error);
  const code = [fields.type, fields.code, fields.status].find(
    value => typeof value === 'string' || typeof value === 'number',
  );
  return {
    kind: 'error',
    code: code === undefined ? '' : String(code),
    text: word(fields.message) ?? word(fields.detail) ?? written(error),
  };
}

/** Anthropic's and OpenAI's images, files and sounds. */
function media(type: string, value: JsonObject): MediaBlock {
  const kind = type.includes('image')
    ? 'image'
    : type.includes('audio')
      ? 'audio'
      : type.includes('video')
        ? 'video'
        : 'file';
  const source = members(value.source);
  const inner = members(value[type]);
  const nested = { ...members(value.file), ...inner, ...source };
  const address = [nested.url, value.image_url, value.file_url, value.file_data, nested.file_data, value.url]
    .map(word)
    .find(found => found !== undefined);
  const data = dataUrl(address);
  const name = [value.title, value.filename, nested.filename, value.name]
    .map(word)
    .find(found => found !== undefined);
  const id = [nested.file_id, value.file_id].map(word).find(found => found !== undefined);
  const mime = word(nested.media_type) ?? word(nested.format) ?? data?.mime;
  const label = [name, mime, data === undefined ? address : undefined, id].filter(
    found => found !== undefined,
  );
  return {
    kind: 'media',
    media: kind,
    label: label.join(' · '),
    bytes: data?.bytes ?? base64Bytes(word(nested.data)),
  };
}

function bedrockMedia(media: 'image' | 'audio' | 'video' | 'document', value: JsonObject): MediaBlock {
  const source = members(value.source);
  const label = [word(value.name), word(value.format), word(members(source.s3Location).uri)];
  return {
    kind: 'media',
    media: media === 'document' ? 'file' : media,
    label: label.filter(found => found !== undefined).join(' · '),
    bytes: base64Bytes(word(source.bytes)),
  };
}

function mediaOf(mime: string, address: string, bytes: number | null): MediaBlock {
  const kind = (['image', 'audio', 'video'] as const).find(kind => mime.startsWith(`${kind}/`)) ?? 'file';
  return { kind: 'media', media: kind, label: [mime, address].filter(Boolean).join(' · '), bytes };
}

/** Type and size of what a `data:` address holds. */
function dataUrl(address: string | undefined): { mime: string; bytes: number | null } | undefined {
  if (address === undefined || !address.startsWith('data:')) return undefined;
  const comma = address.indexOf(',');
  const head = address.slice(5, comma === -1 ? 5 : comma);
  return { mime: head.split(';')[0] ?? '', bytes: base64Bytes(address.slice(comma + 1)) };
}

/** The text of items, of a list whose order is the speaker's. */
export const textsOf = (list: unknown): string =>
  items(list)
    .map(item => (typeof item === 'string' ? item : (word(members(item).text) ?? '')))
    .filter(Boolean)
    .join('\n\n');
