import { expect, test } from 'vitest';
import { outline } from './outline';

test.each([
  [
    { baseurl: 'https://api.openai.com/v1', apikey: '***', name: 'OpenAI', models: ['a', 'b'] },
    'OpenAI · https://api.openai.com/v1 · 2 models',
  ],
  [{ src: ['*', 'group:all'], capabilities: [{}] }, '*, group:all · 1 capability'],
  [{ capacity: '$40.00', rate: '$20.00/day' }, '$40.00 · $20.00/day'],
  ['openai/gpt-5-mini', 'openai/gpt-5-mini'],
  [['a'], '1 entry'],
  [{}, ''],
  [undefined, ''],
  [{ name: '', models: [] }, '0 models'],
])('%j', (entry, text) => expect(outline(entry)).toBe(text));

test('a long text is cut', () => expect(outline({ url: 'x'.repeat(500) }).length).toBe(60));
