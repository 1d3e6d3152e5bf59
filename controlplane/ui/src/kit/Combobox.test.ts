import { expect, test } from 'vitest';
import { matchOptions } from './Combobox';

const options = [
  { value: 'my-gpt' },
  { value: 'gpt-5' },
  { value: 'x', label: 'GPT old' },
  { value: 'claude' },
];

test.each([
  ['', ['my-gpt', 'gpt-5', 'x', 'claude']],
  ['gpt', ['gpt-5', 'x', 'my-gpt']],
  [' CLA ', ['claude']],
  ['zz', []],
])('%j proposes those that begin with it first', (query, expected) => {
  expect(matchOptions(options, query).map(option => option.value)).toEqual(expected);
});

test('proposals are bounded', () => {
  const many = Array.from({ length: 1000 }, (_, index) => ({ value: `m${index}` }));
  expect(matchOptions(many, 'm')).toHaveLength(50);
  expect(matchOptions(many, '')).toHaveLength(50);
});
