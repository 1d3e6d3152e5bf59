import { expect, test } from 'vitest';
import { burnText, emptyText, refillAmount } from './figures';

const burn = (per_h: number) => ({ per_h, window_s: 3600 });
const text = (said: ReturnType<typeof emptyText> | string) =>
  said === null || typeof said === 'string' ? said : said.text;

test.each([
  [{ balance: 5, capacity: 10, burn: burn(250_000_000) }, '$0.25/h'],
  [{ balance: 5, capacity: 10, burn: burn(0) }, '$0.00/h'],
  [{ balance: 5, capacity: 10, burn: null }, 'unknown'],
  [{ balance: 10, capacity: 10, burn: null }, 'idle'],
  [{ balance: 10, capacity: 10, burn: burn(0) }, 'idle'],
  [{ balance: 10, capacity: 10, burn: burn(250_000_000) }, '$0.25/h'],
])('burn: %j', (bucket, expected) => expect(text(burnText({ unit: 'usd', ...bucket }))).toBe(expected));

test.each([
  [{ balance: 0, burn: null, empty_at: null }, 'now'],
  [{ balance: 5, burn: null, empty_at: null }, 'unknown'],
  [{ balance: 10, burn: null, empty_at: null }, '–'],
  [{ balance: 5, burn: burn(1), empty_at: null }, 'not at this burn'],
  [{ balance: 5, burn: burn(1), empty_at: '2026-11-22T12:00:00Z' }, null],
])('empty: %j', (bucket, expected) => expect(text(emptyText({ capacity: 10, ...bucket }))).toBe(expected));

test.each([
  ['', { amount: null }],
  ['$5.00', { amount: '$5.00' }],
  [' 200k ', { amount: '200k' }],
  ['five', { problem: 'An amount such as $5.00, 200k or 30' }],
  ['-1', { problem: 'An amount such as $5.00, 200k or 30' }],
])('%j', (text, expected) => expect(refillAmount(text)).toEqual(expected));
