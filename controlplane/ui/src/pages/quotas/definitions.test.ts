import { expect, test } from 'vitest';
import { defined, limits, quotasOf } from './definitions';

test('names are those of the document, comments and all', () => {
  expect(defined('{ // ours\n "quotas": { "company": {}, "person:<user>": {}, }, }')).toEqual([
    'company',
    'person:<user>',
  ]);
  expect([defined(undefined), defined('{}'), defined(''), defined('{ "quotas": 3 }')]).toEqual([
    [],
    [],
    [],
    [],
  ]);
});

test('shared quotas stand before those with a bucket for each', () =>
  expect(quotasOf(['a:<user>', 'all'], [])).toEqual(['all', 'a:<user>']));

test('a quota whose buckets outlived it stands last', () =>
  expect(quotasOf(['a', 'b'], [{ quota: 'old' }, { quota: 'a' }, { quota: 'old' }])).toEqual([
    'a',
    'b',
    'old',
  ]));

test('limits are told once for each unit', () => {
  const usd = {
    unit: 'usd',
    capacity: 40_000_000_000,
    rate: { amount: 20_000_000_000, per_s: 86_400 },
  } as const;
  expect(
    limits([
      usd,
      usd,
      { unit: 'tokens', capacity: 60_000_000, rate: null },
      { unit: 'concurrency', capacity: 4, rate: null },
    ]),
  ).toEqual([
    'dollars: up to $40.00, refilled $20.00/day',
    'model tokens: up to 60M, not refilled',
    'calls at once: up to 4',
  ]);
});
