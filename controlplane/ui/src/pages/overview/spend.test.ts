import { expect, it } from 'vitest';
import { spend, spendLines } from './spend';

it('does not take what has no price for free', () => {
  expect(
    spend({
      requests: [0, 2, 2, 2, 3, 1],
      errors: [0, 0, 0, 0, 1, 0],
      unpriced: [0, 2, 1, 0, 2, 0],
      unknown: [0, 0, 0, 0, 0, 1],
      cost_nanousd: [0, 0, 5, 0, 0, 0],
    }),
  ).toEqual([0, null, 5, 0, null, null]);
});

it('leaves lines out that cost nothing, and keeps their colours for the others', () => {
  const line = (key: string | null, cost: number, unpriced = 0) => ({
    key,
    requests: [1],
    errors: [0],
    unknown: [0],
    unpriced: [unpriced],
    cost_nanousd: [cost],
    totals: { requests: 1, errors: 0, unknown: 0, unpriced, cost_nanousd: cost },
  });
  const shown = (series: ReturnType<typeof line>[], other: ReturnType<typeof line> | null) =>
    spendLines({ series, other }).map(({ label, values, color }) => [label, values[0], color]);
  expect(shown([line('a', 5), line('free', 0), line('new', 0, 1), line('', 2)], line(null, 3))).toEqual([
    ['a', 5, 1],
    ['new', null, 3],
    ['No provider reached', 2, 4],
    ['Others', 3, 0],
  ]);
  expect(shown([line('free', 0)], line(null, 0))).toEqual([['free', 0, undefined]]);
  expect(shown([], null)).toEqual([]);
});
