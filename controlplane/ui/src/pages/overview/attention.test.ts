import { describe, expect, it } from 'vitest';
import { attention, type Situation } from './attention';

const NOW = Date.parse('2026-03-01T12:00:00Z');
const fine = {
  config: { rejected: null, warnings: [] },
  data_planes: 1,
  ingest: { error: null, lag_ms: 3, damaged: 0 },
  captures: { dropped: 0, lost: 0, damaged: 0, error: null, care_error: null },
};
const budget = (percent_used: number, more: object = {}) => ({
  id: `b${percent_used}`,
  bucket: `daily:${percent_used}`,
  quota: 'daily:<user>',
  percent_used,
  ...more,
});

describe('what needs attention', () => {
  const check = (now: Situation, expected: [id: string, tone: string][]) =>
    expect(attention(now, NOW).map(({ id, tone }) => [id, tone])).toEqual(expected);

  it('is nothing where all is well, and where nothing is known', () => {
    check({}, []);
    check({ health: fine, providers: [], budgets: [budget(89)], unpriced: [], deadEvents: 0 }, []);
    check({ health: {} }, []);
    check({ unpriced: [{ model: 'x', requests: 0 }] }, []);
  });

  it('reads the health', () => {
    check({ health: { ...fine, config: { rejected: { errors: [] } } } }, [['rejected', 'bad']]);
    check({ health: { ...fine, data_planes: 0 } }, [['data-plane', 'bad']]);
    check({ health: { ...fine, ingest: { error: 'disk full', lag_ms: 60_000, damaged: 0 } } }, [
      ['ingest', 'bad'],
    ]);
    check({ health: { ...fine, ingest: { error: null, lag_ms: 10_001, damaged: 2 } } }, [
      ['damaged', 'bad'],
      ['lag', 'warn'],
    ]);
    check({ health: { ...fine, captures: { ...fine.captures, dropped: 1, care_error: 'x' } } }, [
      ['captures', 'bad'],
      ['dropped', 'warn'],
    ]);
  });

  it('names providers that fail before those that have trouble', () => {
    const of = (id: string, state: string) => ({
      id,
      name: id,
      health: { state, requests: 10, errors: 4, window_s: 300 },
    });
    check({ providers: [of('a', 'degraded'), of('b', 'failing'), of('c', 'ok'), of('d', 'idle')] }, [
      ['provider b', 'bad'],
      ['provider a', 'warn'],
    ]);
    check({ providers: [{ id: 'e', name: 'e', health: null }] }, []);
  });

  it('names the fullest budgets and counts the rest', () => {
    check({ budgets: [90, 91, 100, 95, 92].map(used => budget(used)) }, [
      ['budget b100', 'bad'],
      ['budget b95', 'warn'],
      ['budget b92', 'warn'],
      ['budgets', 'warn'],
    ]);
    check({ budgets: [budget(20, { empty_at: '2026-03-01T13:00:00Z' })] }, [['budget b20', 'warn']]);
    check({ budgets: [budget(20, { empty_at: '2026-03-02T13:00:00Z' })] }, []);
  });

  it('tells of models without a price, and of lost events', () => {
    const [matter] = attention(
      { unpriced: [{ model: 'a', requests: 1 }, ...['b', 'c', 'd'].map(model => ({ model, requests: 5 }))] },
      NOW,
    );
    expect(matter?.title).toBe('16 requests have no known price');
    expect(matter?.detail).toBe('Sums of cost do not hold them: b, c, d and 1 more.');
    check({ deadEvents: 1 }, [['dead', 'warn']]);
  });
});
