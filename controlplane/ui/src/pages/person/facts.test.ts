import { expect, it } from 'vitest';
import { missing, nodeNames, requests } from './facts';

const last = '2026-11-22T10:00:00.000000Z';

it('names nodes, each an object in the answer', () => {
  expect(
    nodeNames([
      { node: 'laptop', last },
      { node: '', last },
      { node: 'desk', last },
    ]),
  ).toBe('laptop, desk');
  expect(nodeNames([])).toBe('');
});

it('says what a sum leaves out', () => {
  expect(missing({ unpriced: 0, unknown: 0 })).toBe('of every request');
  expect(missing({ unpriced: 1, unknown: 2000 })).toBe(
    'without 1 request of models without a price, 2,000 requests whose use is not known',
  );
});

it('counts with a unit', () => {
  expect([1, 3].map(requests)).toEqual(['1 request', '3 requests']);
});
