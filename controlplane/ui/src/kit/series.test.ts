import { expect, test } from 'vitest';
import { heights, stack, total } from './series';

test('stacks', () => {
  expect(
    stack([
      [1, 2, null],
      [3, null, 5],
      [1, 1, 1],
    ]),
  ).toEqual([
    [1, 2, null],
    [4, null, 5],
    [5, 3, 6],
  ]);
});

test('totals', () => {
  expect([total([1, null, 2]), total([null]), total([])]).toEqual([3, null, null]);
});

test('heights', () => {
  expect([heights([1, 4, 0]), heights([0, 0]), heights([])]).toEqual([[0.25, 1, 0], [0, 0], []]);
});
