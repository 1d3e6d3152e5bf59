import { expect, test } from 'vitest';
import { amount, burnText, emptyText, left, refillAmount } from './figures';

test('amounts', () => {
  expect([amount('usd', 1_500_000_000), amount('tokens', 12_345), amount('requests', 2)]).toEqual([
    '$1.50',
    '12.3k',
    '2',
  ]);
  expect(burnText({ unit: 'usd', burn: { per_h: 250_000_000, window_s: 3600 } })).toBe('$0.25/h');
  expect(burnText({ unit: 'usd', burn: null })).toBeNull();
});

test('what is left of nothing is nothing', () => {
  expect(left({ capacity: 0, balance: 0 } as never)).toBe(0);
  expect(left({ capacity: 10, balance: 5 } as never)).toBe(0.5);
});

test.each([
  ['', { amount: null }],
  ['$5.00', { amount: '$5.00' }],
  [' 200k ', { amount: '200k' }],
  ['five', { problem: 'An amount such as $5.00, 200k or 30' }],
  ['-1', { problem: 'An amount such as $5.00, 200k or 30' }],
])('%j', (text, expected) => expect(refillAmount(text)).toEqual(expected));

test.each([
  [{ balance: 0, burn: null, empty_at: null }, 'now'],
  [{ balance: 5, burn: null, empty_at: null }, 'unknown'],
  [{ balance: 5, burn: { per_h: 1, window_s: 3600 }, empty_at: null }, 'not at this burn'],
  [{ balance: 5, burn: { per_h: 1, window_s: 3600 }, empty_at: '2026-11-22T12:00:00Z' }, null],
])('empty: %j', (bucket, expected) => expect(emptyText(bucket)).toBe(expected));
