import { describe, expect, it } from 'vitest';
import { type Block, conversation, firstWords, type Turn } from './conversation';

/** A turn in a line: `assistant: text "Hi" | call ls({"a":1}) = text "x"`. */
function shown({ role, blocks, answered, stop }: Turn): string {
  const line = (block: Block): string => {
    switch (block.kind) {
      case 'text':
        return `text "${block.text}"`;
      case 'thinking':
        return block.hidden ? 'thinking hidden' : `thinking "${block.text}"`;
      case 'call': {
        const input = block.arguments.replace(/\s+/g, '');
        const result = block.result;
        const gave =
          result === null ? '' : ` ${result.error ? '≠' : '='} ${result.blocks.map(line).join(' + ')}`;
        return `${block.hosted ? 'hosted ' : ''}call ${block.name}(${input})${gave}`;
      }
      case 'result':
        return `result ${block.name || block.id}: ${block.result.blocks.map(line).join(' + ')}`;
      case 'media':
        return `${block.media} [${block.label}] ${block.bytes}`;
      case 'error':
        return `error ${block.code}: ${block.text}`;
      case 'data':
        return `data ${block.label}`;
    }
  };
  const mark = answered ? `>${stop}` : '';
  return `${role}${mark}: ${blocks.map(line).join(' | ')}`;
}

const check = (api: string, request: unknown, answer: unknown, expected: string[]) =>
  expect(conversation(api, request, answer).turns.map(shown)).toEqual(expected);

describe('each API', () => {
  it('Anthropic messages', () => {
    check(
      'anthropic_messages',
      {
        system: [{ type: 'text', text: 'Be brief.' }],
        messages: [
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Look' },
              { type: 'image', source: { type: 'base64', media_type: 'image/png', data: 'AAAA' } },
            ],
          },
          {
            role: 'assistant',
            content: [
              { type: 'thinking', thinking: 'Hm', signature: 's' },
              { type: 'redacted_thinking', data: 'x' },
              { type: 'tool_use', id: 't1', name: 'ls', input: { path: '/' } },
            ],
          },
          {
            role: 'user',
            content: [
              {
                type: 'tool_result',
                tool_use_id: 't1',
                content: [{ type: 'text', text: 'a b' }],
                is_error: true,
              },
              { type: 'text', text: 'And?' },
            ],
          },
        ],
      },
      {
        type: 'message',
        content: [
          { type: 'server_tool_use', id: 's1', name: 'web_search', input: { query: 'q' } },
          {
            type: 'web_search_tool_result',
            tool_use_id: 's1',
            content: [{ type: 'web_search_result', url: 'u' }],
          },
          { type: 'text', text: 'Done' },
        ],
        stop_reason: 'end_turn',
      },
      [
        'system: text "Be brief."',
        'user: text "Look" | image [image/png] 3',
        'assistant: thinking "Hm" | thinking hidden | call ls({"path":"/"}) ≠ text "a b"',
        'user: text "And?"',
        'assistant>end_turn: hosted call web_search({"query":"q"}) = data web_search_result | text "Done"',
      ],
    );
  });

  it('an error of Anthropic', () => {
    check(
      'anthropic_messages',
      { messages: [] },
      { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } },
      ['assistant>: error overloaded_error: Overloaded'],
    );
  });

  it('OpenAI chat', () => {
    check(
      'openai_chat',
      {
        messages: [
          { role: 'developer', content: 'Be kind.' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Hi' },
              { type: 'image_url', image_url: { url: 'data:image/jpeg;base64,AAAAAAAA' } },
              { type: 'input_audio', input_audio: { data: 'AAAA', format: 'wav' } },
            ],
          },
          {
            role: 'assistant',
            content: null,
            tool_calls: [{ id: 'c1', type: 'function', function: { name: 'f', arguments: '{"a":1}' } }],
          },
          { role: 'tool', tool_call_id: 'c1', content: 'ok' },
          { role: 'tool', tool_call_id: 'gone', content: 'lost' },
        ],
      },
      {
        choices: [
          { message: { role: 'assistant', content: 'Hello', reasoning_content: 'R' }, finish_reason: 'stop' },
          { message: { role: 'assistant', content: null, refusal: 'No' }, finish_reason: 'stop' },
        ],
      },
      [
        'system: text "Be kind."',
        'user: text "Hi" | image [image/jpeg] 6 | audio [wav] 3',
        'assistant: call f({"a":1}) = text "ok"',
        'tool: result gone: text "lost"',
        'assistant>stop: thinking "R" | text "Hello"',
        'assistant>stop: text "No"',
      ],
    );
  });

  it('OpenAI responses', () => {
    check(
      'openai_responses',
      {
        instructions: 'Act.',
        input: [
          {
            role: 'user',
            content: [
              { type: 'input_text', text: 'Go' },
              { type: 'input_file', filename: 'a.pdf', file_data: 'data:application/pdf;base64,AAAA' },
            ],
          },
          { type: 'reasoning', summary: [{ type: 'summary_text', text: 'S' }], encrypted_content: 'e' },
          { type: 'function_call', call_id: 'c', name: 'run', arguments: '{}' },
          { type: 'function_call_output', call_id: 'c', output: 'out' },
          { type: 'mystery', role: 'user' },
        ],
      },
      {
        status: 'completed',
        output: [
          { type: 'reasoning', summary: [] },
          { type: 'web_search_call', id: 'w', action: { type: 'search', query: 'q' } },
          { type: 'mcp_call', id: 'm', name: 'ask', arguments: '{}', error: 'broken' },
          { type: 'message', role: 'assistant', content: [{ type: 'output_text', text: 'Done' }] },
        ],
      },
      [
        'system: text "Act."',
        'user: text "Go" | file [a.pdf · application/pdf] 3',
        'assistant: thinking "S" | call run({}) = text "out"',
        'user: data mystery',
        'assistant>completed: thinking hidden | hosted call web_search({"type":"search","query":"q"}) | hosted call ask({}) ≠ error : broken | text "Done"',
      ],
    );
    check('openai_responses', { input: 'Hi' }, null, ['user: text "Hi"']);
  });

  it('Gemini', () => {
    check(
      'gemini_generate_content',
      {
        systemInstruction: { parts: [{ text: 'Sys' }] },
        contents: [
          {
            role: 'user',
            parts: [
              { text: 'Hi' },
              { inlineData: { mimeType: 'audio/mp3', data: 'AAAA' } },
              { fileData: { mimeType: 'video/mp4', fileUri: 'gs://b' } },
            ],
          },
          { role: 'model', parts: [{ functionCall: { name: 'f', args: { a: 1 } } }] },
          { role: 'user', parts: [{ functionResponse: { name: 'f', response: { output: 2 } } }] },
        ],
      },
      {
        candidates: [
          {
            content: {
              role: 'model',
              parts: [
                { text: 'T', thought: true },
                { text: 'Yes' },
                { executableCode: { code: '1+1' } },
                { codeExecutionResult: { outcome: 'OUTCOME_OK', output: '2' } },
              ],
            },
            finishReason: 'STOP',
          },
        ],
      },
      [
        'system: text "Sys"',
        'user: text "Hi" | audio [audio/mp3] 3 | video [video/mp4 · gs://b] null',
        'assistant: call f({"a":1}) = data result',
        'assistant>STOP: thinking "T" | text "Yes" | hosted call code_execution(1+1) = text "2"',
      ],
    );
    check(
      'gemini_generate_content',
      { request: { contents: 'Hi' } },
      { response: { promptFeedback: { blockReason: 'SAFETY' } } },
      ['user: text "Hi"', 'assistant>: error SAFETY: The prompt was blocked.'],
    );
  });

  it('Bedrock Converse', () => {
    check(
      'bedrock_converse',
      {
        system: [{ text: 'Sys' }, { cachePoint: { type: 'default' } }],
        messages: [
          {
            role: 'user',
            content: [{ text: 'Hi' }, { document: { name: 'd', format: 'pdf', source: { bytes: 'AAAA' } } }],
          },
          { role: 'assistant', content: [{ toolUse: { toolUseId: 't', name: 'f', input: {} } }] },
          {
            role: 'user',
            content: [{ toolResult: { toolUseId: 't', content: [{ json: { a: 1 } }], status: 'error' } }],
          },
        ],
      },
      {
        output: {
          message: {
            role: 'assistant',
            content: [{ reasoningContent: { reasoningText: { text: 'R' } } }, { text: 'Ok' }],
          },
        },
        stopReason: 'end_turn',
      },
      [
        'system: text "Sys"',
        'user: text "Hi" | file [d · pdf] 3',
        'assistant: call f({}) ≠ data json',
        'assistant>end_turn: thinking "R" | text "Ok"',
      ],
    );
  });

  it('Bedrock invoke, of several vendors', () => {
    check(
      'bedrock_model_invoke',
      { anthropic_version: 'x', messages: [{ role: 'user', content: 'Hi' }] },
      { content: [{ type: 'text', text: 'Yo' }], stop_reason: 'end_turn' },
      ['user: text "Hi"', 'assistant>end_turn: text "Yo"'],
    );
    check('bedrock_model_invoke', { inputText: 'Hi' }, { results: [{ outputText: 'Yo' }] }, [
      'user: text "Hi"',
      'assistant>: text "Yo"',
    ]);
    check('bedrock_model_invoke', { prompt: 'Hi' }, { generation: 'Yo', stop_reason: 'stop' }, [
      'user: text "Hi"',
      'assistant>stop: text "Yo"',
    ]);
    check('bedrock_model_invoke', { prompt: 'Hi' }, { outputs: [{ text: 'Yo', stop_reason: 'stop' }] }, [
      'user: text "Hi"',
      'assistant>: text "Yo"',
    ]);
    check(
      'bedrock_model_invoke',
      { message: 'Hi', chat_history: [{ role: 'CHATBOT', message: 'Hey' }] },
      { text: 'Yo', finish_reason: 'COMPLETE' },
      ['assistant: text "Hey"', 'user: text "Hi"', 'assistant>COMPLETE: text "Yo"'],
    );
  });

  it('Ollama', () => {
    check(
      'ollama_chat',
      {
        messages: [
          { role: 'user', content: 'Hi', images: ['AAAA'] },
          { role: 'tool', tool_name: 'f', content: 'r' },
        ],
      },
      {
        message: {
          role: 'assistant',
          content: 'Yo',
          thinking: 'T',
          tool_calls: [{ function: { name: 'f', arguments: { a: 1 } } }],
        },
        done_reason: 'stop',
      },
      [
        'user: text "Hi" | image [] 3',
        'assistant>stop: thinking "T" | text "Yo" | call f({"a":1}) = text "r"',
      ],
    );
    check('ollama_chat', { prompt: 'Hi', system: 'S' }, { response: 'Yo' }, [
      'system: text "S"',
      'user: text "Hi"',
      'assistant>: text "Yo"',
    ]);
  });

  it('completions, embeddings, images, counts', () => {
    check(
      'openai_completions',
      { prompt: ['a', 'b'] },
      { choices: [{ text: 'c', finish_reason: 'length' }] },
      ['user: text "a"', 'user: text "b"', 'assistant>length: text "c"'],
    );
    check(
      'openai_embeddings',
      { input: 'Hi' },
      { data: [{ embedding: [1, 2, 3] }, { embedding: [1, 2, 3] }] },
      ['user: text "Hi"', 'assistant>: data 2 vectors of 3 numbers'],
    );
    check('openai_embeddings', { input: [1, 2] }, { data: [{ embedding: 'AAAA' }] }, [
      'user: data 2 token ids',
      'assistant>: data 1 vector',
    ]);
    check('ollama_embed', { input: ['a'] }, { embeddings: [[1, 2]] }, [
      'user: text "a"',
      'assistant>: data 1 vector of 2 numbers',
    ]);
    check('gemini_embed_content', { content: { parts: [{ text: 'Hi' }] } }, { embedding: { values: [1] } }, [
      'user: text "Hi"',
      'assistant>: data 1 vector of 1 numbers',
    ]);
    check('openai_images', { prompt: 'A cat' }, { data: [{ b64_json: 'AAAA' }] }, [
      'user: text "A cat"',
      'assistant>: image [] 3',
    ]);
    check('anthropic_count_tokens', { messages: [{ role: 'user', content: 'Hi' }] }, { input_tokens: 8 }, [
      'user: text "Hi"',
      'assistant>: text "8 tokens"',
    ]);
    check('openai_rerank', { query: 'q', documents: ['a', 'b'] }, { results: [{ index: 0 }] }, [
      'user: text "q"',
      'user: data 2 documents',
      'assistant>: data 1 results',
    ]);
  });

  it('an error in any shape', () => {
    check('openai_chat', {}, { error: { message: 'No', type: 'invalid_request_error', code: null } }, [
      'assistant>: error invalid_request_error: No',
    ]);
    check('ollama_chat', {}, { error: 'No' }, ['assistant>: error : No']);
    check(
      'gemini_generate_content',
      {},
      [{ error: { code: 400, message: 'Bad' } }],
      ['assistant>: error 400: Bad'],
    );
  });
});

it('names the tools that are offered', () => {
  const names = (request: unknown) => conversation('', request, null).tools.map(tool => tool.name);
  expect(
    names({ tools: [{ name: 'a' }, { type: 'function', function: { name: 'b' } }, { type: 'web_search' }] }),
  ).toEqual(['a', 'b', 'web_search']);
  expect(
    names({ tools: [{ functionDeclarations: [{ name: 'c' }, { name: 'd' }] }, { googleSearch: {} }] }),
  ).toEqual(['c', 'd', 'googleSearch']);
  expect(names({ toolConfig: { tools: [{ toolSpec: { name: 'e' } }] } })).toEqual(['e']);
});

it('keeps what is no talk as settings', () => {
  const { settings } = conversation('openai_chat', { model: 'm', messages: [], temperature: 0.5 }, null);
  expect(settings).toEqual([
    ['model', 'm'],
    ['temperature', 0.5],
  ]);
});

it('makes a title of the first words', () => {
  const title = (content: string) =>
    firstWords(conversation('', { messages: [{ role: 'user', content }] }, null).turns, 10);
  expect(title('<system-reminder>x</system-reminder>\n Hello  you')).toBe('Hello you');
  expect(title('Hello everybody')).toBe('Hello eve…');
  expect(title('')).toBeUndefined();
});

describe('whatever the bodies hold', () => {
  // A generator with a seed: a failure can be repeated.
  const random = (seed: number) => () => {
    seed = (seed * 1_664_525 + 1_013_904_223) >>> 0;
    return seed / 2 ** 32;
  };
  const NAMES =
    'role content parts type text tool_calls function name arguments id input output messages contents system choices candidates message error tools result output results data embedding tool_use_id call_id functionCall toolUse reasoningContent image source summary images audio file image_url url __proto__ constructor toString'.split(
      ' ',
    );
  const WORDS =
    'user assistant system tool text tool_use tool_result thinking message reasoning function_call function_call_output image document error web_search_call constructor __proto__ hasOwnProperty'.split(
      ' ',
    );
  const json = (next: () => number, depth: number): unknown => {
    const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
    const kind = Math.floor(next() * (depth <= 0 ? 5 : 9));
    if (kind === 0) return null;
    if (kind === 1) return next() < 0.5;
    if (kind === 2) return Math.floor(next() * 1e6) - 5e5;
    if (kind <= 4) return next() < 0.8 ? pick(WORDS) : '\ud800\u202e<b>';
    if (kind <= 6) return Array.from({ length: Math.floor(next() * 4) }, () => json(next, depth - 1));
    return JSON.parse(
      `{${Array.from({ length: Math.floor(next() * 6) }, () => `${JSON.stringify(pick(NAMES))}:${JSON.stringify(json(next, depth - 1))}`).join(',')}}`,
    );
  };
  const APIS = [
    'openai_chat',
    'openai_responses',
    'anthropic_messages',
    'gemini_generate_content',
    'bedrock_converse',
    'ollama_chat',
    'openai_embeddings',
    '',
  ];

  it('survives results in results without end', () => {
    let deep: unknown = 'x';
    for (let depth = 0; depth < 5000; depth += 1)
      deep = [{ type: 'tool_result', tool_use_id: 'a', content: deep }];
    const talk = conversation('anthropic_messages', { messages: [{ role: 'user', content: deep }] }, null);
    expect(talk.turns).toHaveLength(1);
  });

  it('gives turns of known roles with blocks of known kinds, and never throws', () => {
    for (let seed = 1; seed <= 1500; seed += 1) {
      const next = random(seed);
      const talk = conversation(APIS[seed % APIS.length] ?? '', json(next, 6), json(next, 6));
      for (const turn of talk.turns) {
        expect(['system', 'user', 'assistant', 'tool', 'other']).toContain(turn.role);
        expect(() => shown(turn)).not.toThrow();
        expect(shown(turn)).not.toContain('undefined');
      }
      firstWords(talk.turns);
    }
  });
});
