import { describe, expect, test } from 'vitest';
import { clients, quote, usable } from './clients';
import { call, reason, words } from './try';

const setup = { base: 'http://gw.example:8080', model: 'claude-sonnet-4-5', token: false };

describe('what is copied', () => {
  test.each(clients.map(client => [client.id, client] as const))('%s', (_, client) => {
    const plain = client
      .steps(setup)
      .map(step => step.text)
      .join('\n');
    const joined = client
      .steps({ ...setup, token: true })
      .map(step => step.text)
      .join('\n');
    expect(plain).toContain('claude-sonnet-4-5'.slice(0, client.id === 'claude-code' ? 17 : 6));
    if (client.id !== 'ci') expect(plain + joined).toContain(setup.base);
    expect(plain).not.toContain('undefined');
    if (!['cursor', 'ci'].includes(client.id)) expect(joined).not.toBe(plain);
  });
  test('a model with odd characters does not leave its quotes', () => {
    const odd = { ...setup, model: `a'; rm -rf "$HOME` };
    const shell = clients.find(client => client.id === 'claude-code')?.steps(odd)[0]?.text;
    expect(shell).toContain(`claude --model 'a'\\''; rm -rf "$HOME'`);
    expect(clients.find(client => client.id === 'openai-python')?.steps(odd)[0]?.text).toContain(
      `model="a'; rm -rf \\"$HOME"`,
    );
  });
  test('quotes', () => {
    expect([quote('a/b:c'), quote(''), quote('a b')]).toEqual(['a/b:c', "''", "'a b'"]);
  });
});

test('a client sees the models that it can speak to', () => {
  const models = [
    { model: 'a', flags: ['openai_chat'] },
    { model: 'b', flags: ['anthropic_messages'] },
  ];
  const codex = clients.find(client => client.id === 'codex');
  const claude = clients.find(client => client.id === 'claude-code');
  expect(codex && usable(codex, models)).toEqual([]);
  expect(claude && usable(claude, models).map(model => model.model)).toEqual(['b']);
});

describe('trying it', () => {
  test('each family has its path', () => {
    expect(call('openai_chat', 'm').path).toBe('/v1/chat/completions');
    expect(call('gemini_generate_content', 'a/b').path).toBe('/v1beta/models/a%2Fb:generateContent');
  });
  test.each([
    [{ choices: [{ message: { content: 'ready' } }] }, 'ready'],
    [{ content: [{ type: 'thinking' }, { type: 'text', text: 'ready' }] }, 'ready'],
    [{ output: [{ type: 'reasoning' }, { content: [{ type: 'output_text', text: 'ready' }] }] }, 'ready'],
    [{ candidates: [{ content: { parts: [{ text: 'rea' }, { text: 'dy' }] } }] }, 'ready'],
    [null, ''],
    [{ choices: 'x', content: 3 }, ''],
  ])('words of %j', (answer, expected) => expect(words(answer)).toBe(expected));
  test.each([
    [{ error: { message: 'no' } }, 'no'],
    [{ error: 'no' }, 'no'],
    [{ detail: 'no' }, 'no'],
    [[1], null],
  ])('reason of %j', (answer, expected) => expect(reason(answer)).toBe(expected));
});
