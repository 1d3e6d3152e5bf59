import { expect, test } from 'vitest';
import { amount, exactAmount, rate, unitName } from './amounts';

test.each([
  ['usd', 60_000_000_000_000, '$60,000.00'],
  ['usd', 39_999_927_460, '$40.00'],
  ['usd', 4_999_999, '$0.005'],
  ['usd', 20_000, '<$0.0001'],
  ['usd', 0, '$0.00'],
  ['usd', -1_250_000_000, '−$1.25'],
  ['tokens', 59_999_882, '60M'],
  ['tokens', -29_300_000, '−29.3M'],
  ['requests', -5, '−5'],
  ['requests', 12_345, '12,345'],
  ['concurrency', 3, '3'],
  ['usd', null, 'unknown'],
] as const)('%s %s is %s', (unit, value, text) => expect(amount(unit, value)).toBe(text));

test('all digits are there when they are asked for', () => {
  expect(exactAmount('usd', 39_999_927_460)).toBe('$39.999927460');
  expect(exactAmount('tokens', 59_999_882)).toBe('59,999,882 model tokens');
  expect(exactAmount('tokens', undefined)).toBe('unknown');
});

test('rates', () => {
  expect(rate('usd', { amount: 12_000_000_000_000, per_s: 86_400 })).toBe('$12,000.00/day');
  expect(rate('tokens', { amount: 40_000_000, per_s: 3600 })).toBe('40M/h');
  expect(rate('requests', { amount: 5, per_s: 600 })).toBe('5 in 10 min');
  expect(rate('usd', null)).toBeNull();
});

test('units say what is counted', () => expect(unitName('tokens')).toBe('model tokens'));
