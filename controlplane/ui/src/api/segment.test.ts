import { expect, test } from 'vitest';
import { filled, nameOf, segment } from './segment';

test.each([
  ['alice@example.com', 'alice@example.com'],
  ['a~b', 'a~b'],
  ['CORP\\x', '~Q09SUFx4'],
  ['~alice', '~fmFsaWNl'],
  ['..', '~Li4'],
  ['ä/日', '~w6Qv5pel'],
  ['50%', '~NTAl'],
  ['a;b', '~YTti'],
  ['a\nb', '~YQpi'],
  ['...', '...'],
])('%j is %j in a path, and back', (name, part) => {
  expect(segment(name)).toBe(part);
  expect(nameOf(part)).toBe(name);
});

test.each(['~alice', '~_w', '~*', '~'])('%j of an address never fails', part =>
  expect(typeof nameOf(part)).toBe('string'),
);

test('paths hold nothing that the gateway refuses', () => {
  expect(filled('/api/people/{login}', { login: 'a b@c' })).toBe('/api/people/a%20b%40c');
  expect(filled('/api/people/{login}', { login: '<b>/' })).toBe('/api/people/~PGI-Lw');
  expect(filled('/api/models/{model}', { model: 'openai/gpt 5' })).toBe('/api/models/openai/gpt%205');
  expect(filled('/api/quotas/{id}/history', { id: 7 })).toBe('/api/quotas/7/history');
});
