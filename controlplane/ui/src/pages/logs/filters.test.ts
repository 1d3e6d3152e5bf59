import { expect, it } from 'vitest';
import { filters, filtersSet, noFilters, typedUsd } from './filters';

it('asks for what the address says, and for nothing else', () => {
  expect(
    filters({ tab: 'requests', range: '7d', model: 'm', stream: 'false', min_cost: '0.5', min_ms: 0 }),
  ).toEqual({
    model: 'm',
    stream: false,
    min_cost_nanousd: 500_000_000,
    min_duration_ms: 0,
  });
  expect(filters({})).toEqual({});
});

it('reads amounts as people type them', () => {
  expect(['0.01', '$2', '.5', '1.', '', 'x', '-1', '1e5', undefined].map(typedUsd)).toEqual([
    10_000_000,
    2_000_000_000,
    500_000_000,
    1_000_000_000,
    undefined,
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

it('knows which filters are set, and how to take them away', () => {
  const search = { tab: 'live', user: 'a', q: 'words', tools: 'true' } as const;
  expect(filtersSet(search)).toEqual(['user', 'tools']);
  const cleared = { ...search, ...noFilters() };
  expect(filtersSet(cleared)).toEqual([]);
  expect(cleared.q).toBeUndefined();
});
