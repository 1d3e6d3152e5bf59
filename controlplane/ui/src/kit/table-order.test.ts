import { expect, test } from 'vitest';
import { type CellValue, compare, holds } from './table-order';

test('what is not known stands last', () => {
  const sorted = (descending: boolean) =>
    ([2, null, 10, '', 1] as CellValue[]).sort((a, b) => compare(a, b, descending));
  expect(sorted(false)).toEqual([1, 2, 10, null, '']);
  expect(sorted(true)).toEqual([10, 2, 1, null, '']);
  expect(['b10', 'B2', 'a'].sort((a, b) => compare(a, b, false))).toEqual(['a', 'B2', 'b10']);
});

test('filters', () => {
  expect(holds(['Alice', 42, null], 'ali 42')).toBe(true);
  expect(holds(['Alice'], 'bob')).toBe(false);
  expect(holds(['Alice'], '')).toBe(true);
});
