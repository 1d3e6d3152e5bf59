import { describe, expect, it } from 'vitest';
import { byUse, type ModelInfo, matches, modelRow, type Show } from './rows';

const offer = (id: string, input: string | null) => ({
  id,
  name: id.toUpperCase(),
  price: input === null ? null : { input, output: '15', cache_read: null },
});
const usage = (requests: number, errors: number, cost_nanousd: number, unpriced = 0) => ({
  requests,
  errors,
  unpriced,
  unknown: 0,
  cost_nanousd,
  last: null,
});
const info = (more: Partial<ModelInfo> = {}): ModelInfo => ({
  model: 'claude-sonnet-4-5',
  granted: true,
  providers: [offer('dear', '3'), offer('cheap', '2')],
  usage: usage(8, 1, 900),
  health: { error_share: 0.1, ttft_p50_ms: 300, ttft_p95_ms: null },
  quotas: [
    { bucket: 'a', percent_used: 20 },
    { bucket: 'b', percent_used: 70 },
    { bucket: 'c', percent_used: null },
  ],
  ...more,
});

describe('a row', () => {
  it('shows the price of the provider that is tried first', () => {
    expect(modelRow(info())).toMatchObject({
      state: 'priced',
      differ: true,
      input: 3,
      output: 15,
      cacheRead: null,
      errors: 12.5,
      p95: null,
      used: 70,
    });
    expect(modelRow(info()).first?.id).toBe('dear');
  });

  it('knows nothing rather than 0', () => {
    const row = modelRow(info({ providers: [], usage: null, health: null, quotas: [] }));
    expect(row).toMatchObject({
      state: 'unserved',
      first: null,
      input: null,
      requests: null,
      errors: null,
      cost: null,
      p50: null,
      used: null,
    });
    expect(modelRow(info({ usage: usage(0, 0, 0) })).errors).toBeNull();
  });
});

describe('the order', () => {
  it('is by requests, unused ones last by their names', () => {
    const row = (model: string, requests: number | null) =>
      modelRow(info({ model, usage: requests === null ? null : usage(requests, 0, 0) }));
    const rows = [row('z', null), row('b', 3), row('y', 0), row('a', 30)];
    expect(rows.sort(byUse).map(({ model }) => model)).toEqual(['a', 'b', 'y', 'z']);
  });
  it('takes what has no price for unknown, though some requests failed', () =>
    expect(modelRow(info({ usage: usage(128, 2, 0, 126) })).cost).toBeNull());
});

describe('narrowing', () => {
  const check = (more: Partial<ModelInfo>, show: Show, query: string, shown: boolean) =>
    expect(matches(modelRow(info(more)), show, query)).toBe(shown);
  it('goes by kind and by words', () => {
    check({}, 'all', '', true);
    check({}, 'all', ' SONNET ', true);
    check({}, 'all', 'DEAR', true);
    check({}, 'all', 'gpt', false);
    check({}, 'used', '', true);
    check({ usage: null }, 'used', '', false);
    check({}, 'unpriced', '', false);
    check({ providers: [offer('a', null)] }, 'unpriced', '', true);
    check({ providers: [offer('a', null), offer('b', '1')] }, 'unpriced', '', true);
    check({ providers: [] }, 'unpriced', '', true);
    check({}, 'denied', '', false);
    check({ granted: false }, 'denied', 'sonnet', true);
    check({ granted: false }, 'denied', 'gpt', false);
  });
});
