import { expect, test } from 'vitest';
import {
  ago,
  bytes,
  compact,
  count,
  exactMoney,
  micros,
  milliseconds,
  money,
  percent,
  seconds,
  share,
  utc,
} from './format';

const table = <T>(name: string, run: (value: T) => string, rows: [T, string][]) =>
  test.each(rows)(`${name} of %j is %s`, (value, expected) => expect(run(value)).toBe(expected));

table<number | null | undefined>('compact', compact, [
  [0, '0'],
  [999, '999'],
  [1000, '1k'],
  [12_345, '12.3k'],
  [999_950, '1M'],
  [1_234_567, '1.23M'],
  [0.25, '0.25'],
  [null, 'unknown'],
  [undefined, 'unknown'],
  [Number.NaN, 'unknown'],
]);
table<number | null>('money', money, [
  [0, '$0'],
  [1, '<$0.0001'],
  [840_000, '$0.0008'],
  [42_000_000, '$0.042'],
  [1_230_000_000, '$1.23'],
  [1_234_000_000_000, '$1,234'],
  [2_500_000_000_000_000, '$2.5M'],
  [-1_230_000_000, '−$1.23'],
  [null, 'unknown'],
]);
table<number | null>('exact money', exactMoney, [
  [840_000, '$0.000840000'],
  [1_234_000_000_001, '$1,234.000000001'],
  [null, 'unknown'],
]);
table<number | null>('micros', micros, [
  [0, '0 ms'],
  [820, '820 µs'],
  [42_100, '42.1 ms'],
  [1_240_000, '1.24 s'],
  [185_000_000, '3 min 5 s'],
  [null, 'unknown'],
]);
table<number>('milliseconds', milliseconds, [
  [999.6, '1 s'],
  [0, '<1 ms'],
  [0.4, '400 µs'],
]);
table<number>('seconds', seconds, [
  [60, '1 min'],
  [7_800, '2 h 10 min'],
  [90_000, '1 d 1 h'],
]);
table<number>('bytes', bytes, [
  [12, '12 B'],
  [1_400_000, '1.4 MB'],
]);
table<number | null>('percent', percent, [
  [0, '0 %'],
  [0.0001, '<0.1 %'],
  [0.1234, '12.3 %'],
  [0.99999, '>99.9 %'],
  [1, '100 %'],
  [null, 'unknown'],
]);
table<number | null>('count', count, [
  [12_345, '12,345'],
  [null, 'unknown'],
]);

test('shares of nothing are unknown', () => {
  expect([share(1, 4), share(0, 4), share(1, 0), share(null, 4)]).toEqual([0.25, 0, null, null]);
});

test('moments', () => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  expect(ago('2026-11-22T11:57:00Z', now)).toBe('3 min ago');
  expect(ago('2026-11-22T14:00:00Z', now)).toBe('in 2 h');
  expect(ago('2026-11-22T11:59:58Z', now)).toBe('now');
  expect(ago('never', now)).toBe('unknown');
  expect(utc('2026-11-22T11:57:00.120Z')).toBe('2026-11-22 11:57:00.120 UTC');
});
