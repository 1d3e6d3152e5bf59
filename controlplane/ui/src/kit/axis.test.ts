import { expect, test } from 'vitest';
import { labels, marks, pointAfter } from './axis';

test.each([
  [36, 130, true, [0, 20, 40]],
  [816_000, 130, true, [0, 500_000, 1_000_000]],
  [1, 130, true, [0, 1]],
  [3, 200, true, [0, 1, 2, 3]],
  [40, 200, true, [0, 10, 20, 30, 40]],
  [0.3, 130, false, [0, 0.1, 0.2, 0.3]],
  [0, 130, true, [0, 1]],
  [Number.NaN, 130, true, [0, 1]],
] as const)('marks up to %s in %s px', (most, pixels, whole, expected) => {
  const found = marks(most, pixels, whole);
  expect(found.map(mark => Number(mark.toPrecision(9)))).toEqual(expected);
});

test('no value stands over the topmost mark, and there are never many', () => {
  for (let most = 1; most < 1e9; most *= 1.37) {
    const found = marks(most, 170, false);
    expect(found.at(-1)).toBeGreaterThanOrEqual(most * 0.999999);
    expect(found.length).toBeLessThan(7);
  }
});

test('no two marks say the same', () =>
  expect(labels(['$0', '<$0.0001', '<$0.0001', '$0.0001'])).toEqual(['$0', '<$0.0001', '', '$0.0001']));

test.each([
  [null, 'ArrowLeft', 9],
  [null, 'ArrowRight', 0],
  [0, 'ArrowLeft', 0],
  [9, 'ArrowRight', 9],
  [3, 'ArrowRight', 4],
  [3, 'PageDown', 9],
  [3, 'Home', 0],
  [3, 'End', 9],
  [3, 'Escape', null],
  [null, 'Escape', undefined],
  [3, 'a', undefined],
])('of ten, from %s by %s to %s', (at, key, next) => expect(pointAfter(at, key, 10)).toBe(next));
