import { expect, test } from 'vitest';
import { costOf } from './cost';

const of = (requests: number, errors: number, unpriced: number, unknown: number, cost_nanousd: number) =>
  costOf({ requests, errors, unpriced, unknown, cost_nanousd });

test('a sum of requests without a price is not 0, though some of them failed', () => {
  expect(of(128, 2, 126, 0, 0)).toEqual({ nanousd: null, why: 'unpriced', missing: 126 });
  expect(of(88, 0, 87, 1, 0)).toEqual({ nanousd: null, why: 'unpriced', missing: 88 });
});

test('nor is one of which nobody said what was used', () =>
  expect(of(3, 0, 0, 3, 0)).toEqual({ nanousd: null, why: 'unknown', missing: 3 }));

test('a price of 0, and requests that failed, cost 0', () => {
  expect(of(10, 0, 0, 0, 0)).toEqual({ nanousd: 0, why: null, missing: 0 });
  expect(of(3, 3, 0, 0, 0)).toEqual({ nanousd: 0, why: null, missing: 0 });
  expect(of(10, 0, 0, 1, 0)).toEqual({ nanousd: 0, why: null, missing: 1 });
});

test('what is known is told, and how many requests are not in it', () =>
  expect(of(10, 1, 2, 3, 5)).toEqual({ nanousd: 5, why: null, missing: 5 }));
