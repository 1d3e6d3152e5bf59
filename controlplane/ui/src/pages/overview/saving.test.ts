import { describe, expect, it } from 'vitest';
import { type CachePrice, cacheSaving } from './saving';

const sonnet: CachePrice = { input: '3', cache_read: '0.3' };

describe('what caches saved', () => {
  const check = (
    used: Record<string, number>,
    prices: Record<string, (CachePrice | null)[]>,
    expected: ReturnType<typeof cacheSaving>,
  ) =>
    expect(
      cacheSaving(
        Object.entries(used).map(([model, cachedRead]) => ({ model, cachedRead })),
        new Map(Object.entries(prices)),
      ),
    ).toEqual(expected);

  it('is the difference of two prices', () => {
    check(
      { sonnet: 1_000_000 },
      { sonnet: [sonnet] },
      { nanousd: 2_700_000_000, tokens: 1_000_000, leftOut: 0 },
    );
    check({ sonnet: 1_000 }, { sonnet: [sonnet, sonnet] }, { nanousd: 2_700_000, tokens: 1_000, leftOut: 0 });
  });

  it('leaves out what has no price or several', () => {
    check(
      { sonnet: 1_000, other: 10, two: 5 },
      { sonnet: [sonnet], two: [sonnet, { input: '2', cache_read: '0.1' }] },
      { nanousd: 2_700_000, tokens: 1_000, leftOut: 15 },
    );
  });

  it('is unknown rather than 0', () => {
    check({}, {}, null);
    check({ sonnet: 0 }, { sonnet: [sonnet] }, null);
    check({ sonnet: 10 }, {}, null);
    check({ sonnet: 10 }, { sonnet: [null] }, null);
    check({ sonnet: 10 }, { sonnet: [sonnet, null] }, null);
    check({ sonnet: 10 }, { sonnet: [{ input: '3' }] }, null);
    check({ sonnet: 10 }, { sonnet: [{ input: '', cache_read: '' }] }, null);
  });
});
