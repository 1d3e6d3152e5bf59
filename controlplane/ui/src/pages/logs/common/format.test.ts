import { expect, it } from 'vitest';
import { bytes, duration, short, usd } from './format';

it('writes amounts in few digits', () => {
  const check = (nano: number, expected: string) => expect(usd(nano)).toBe(expected);
  check(0, '$0');
  check(1, '$0.000000001');
  check(905_000, '$0.00091');
  check(12_900_000, '$0.013');
  check(1_500_000_000, '$1.50');
  check(123_456_000_000, '$123');
  check(-2_000_000_000, '−$2.00');
});

it('writes times', () => {
  const check = (us: number, expected: string) => expect(duration(us)).toBe(expected);
  check(0, '0 µs');
  check(999, '999 µs');
  check(1500, '1.5 ms');
  check(999_600, '1.00 s');
  check(59_960_000, '1 min');
  check(125_000_000, '2 min 5 s');
  check(3_599_900_000, '1 h');
  check(90_000_000_000, '1 d 1 h');
});

it('writes sizes and counts', () => {
  expect([0, 999, 1000, 12_345, 999_600, 30_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.0 KB', '12 KB', '1.0 MB', '30 MB']);
  expect([0, 9999, 12_345, 1_200_000].map(short)).toEqual(['0', '9,999', '12.3K', '1.2M']);
});
