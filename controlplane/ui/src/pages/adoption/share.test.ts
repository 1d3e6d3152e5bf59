import { describe, expect, it } from 'vitest';
import { growth, percentOf, shares, trend } from './share';

describe('shares', () => {
  it('are unknown where nothing was', () => {
    expect(shares([1, 0, 3], [4, 0, 3])).toEqual([25, null, 100]);
    expect(shares([], [2])).toEqual([0]);
    expect(percentOf(1, 0)).toBeNull();
    expect(percentOf(1, 8)).toBe(12.5);
    expect(growth(3, 0)).toBeNull();
    expect(growth(3, 4)).toBe(-25);
  });
});

describe('a trend', () => {
  const check = (values: number[], length: number, expected: number | null) =>
    expect(trend(values, length)).toBe(expected);
  it('compares whole stretches and leaves out the day that has only begun', () => {
    check([1, 1, 2, 2, 99], 2, 100);
    check([2, 2, 1, 1, 0], 2, -50);
    check([5, 1, 1, 2, 2, 0], 2, 100);
  });
  it('says nothing where there is too little', () => {
    check([1, 1, 2, 2], 2, null);
    check([0, 0, 2, 2, 1], 2, null);
    check([], 7, null);
    check([1, 2, 3], 0, null);
  });
});
