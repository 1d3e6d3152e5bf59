import { describe, expect, it } from 'vitest';
import { type CostRecord, exactNanoUsd, exactUsd, explain, explainBest, nanos, type Price } from './costs';

const record = (more: Partial<CostRecord>): CostRecord => ({
  cost_nanousd: 0,
  priced: true,
  side: [],
  hosted_tools: null,
  ...more,
});

const opus: Price = {
  priced: true,
  model: 'claude-opus-4-5',
  per_million: { input: '5', output: '25', cache_read: '0.5', cache_write_5m: '6.25', cache_write_1h: '10' },
  tiers: {
    batch: {
      per_million: {
        input: '2.5',
        output: '12.5',
        cache_read: '0.25',
        cache_write_5m: '3.125',
        cache_write_1h: '5',
      },
    },
  },
  per_search: '0.01',
};

const lines = (of: CostRecord, price: Price) =>
  explain(of, price)?.lines.map(({ what, count, femto }) => `${what} ${count} ${exactUsd(femto)}`);

describe('decimals', () => {
  it('are read exactly or not at all', () => {
    expect(nanos('0.3')).toBe(300_000_000n);
    expect(nanos('3')).toBe(3_000_000_000n);
    expect(nanos('0.000000001')).toBe(1n);
    for (const bad of ['', '.5', '1.', '-1', '1e3', '0.0000000001', undefined]) expect(nanos(bad)).toBeNull();
  });
  it('are written exactly', () => {
    expect(exactUsd(129n)).toBe('$0.000000000000129');
    expect(exactNanoUsd(129_000n)).toBe('$0.000129');
    expect(exactNanoUsd(1_500_000_000n)).toBe('$1.50');
    expect(exactNanoUsd(-10n)).toBe('-$0.00000001');
  });
});

describe('a cost', () => {
  it('adds up from its parts', () => {
    const of = record({
      input: 1300,
      input_uncached: 200,
      cached_read: 1000,
      cache_write: 100,
      cache_write_1h: 40,
      output: 90,
      cost_nanousd: 200 * 5000 + 1000 * 500 + 60 * 6250 + 40 * 10_000 + 90 * 25_000,
    });
    expect(lines(of, opus)).toEqual([
      'Input 200 $0.001',
      'Cache read 1000 $0.0005',
      'Cache write, 5 min 60 $0.000375',
      'Cache write, 1 h 40 $0.0004',
      'Output 90 $0.00225',
    ]);
    expect(explain(of, opus)?.difference).toBe(0n);
  });

  it('is rounded once, half up', () => {
    const price: Price = { priced: true, per_million: { input: '0.0005', output: '0.0005' } };
    // Half a nanodollar each: together one, not two.
    const of = record({ input: 1, output: 1, cost_nanousd: 1 });
    expect(explain(of, price)?.difference).toBe(0n);
    expect(explain(record({ input: 1, cost_nanousd: 1 }), price)?.sum).toBe(1n);
  });

  it('never bills more than the prompt holds', () => {
    const of = record({ input: 10, cached_read: 161, cost_nanousd: 10 * 500 });
    expect(lines(of, opus)).toEqual(['Cache read 10 $0.000005']);
  });

  it('takes what has a rate of its own out of what it is part of', () => {
    const price: Price = {
      priced: true,
      per_million: { input: '1', output: '2', audio_input: '10', reasoning: '4' },
    };
    const of = record({ input: 100, input_audio: 30, cached_audio: 10, output: 50, reasoning: 60 });
    expect(lines(of, price)).toEqual(['Audio input 20 $0.0002', 'Input 80 $0.00008', 'Reasoning 50 $0.0002']);
  });

  it('takes the rates for long inputs, and says so', () => {
    const price: Price = {
      priced: true,
      per_million: { input: '1', output: '1' },
      above: { tokens: 200, per_million: { input: '2', output: '3' } },
    };
    expect(explain(record({ input: 200, cost_nanousd: 200_000 }), price)?.above).toBeNull();
    const long = explain(record({ input: 201, output: 1, cost_nanousd: 405_000 }), price);
    expect([long?.above, long?.difference]).toEqual([200, 0n]);
  });

  it('finds the tier that explains it', () => {
    const found = explain(record({ input: 2, cost_nanousd: 5000 }), opus);
    expect([found?.tier, found?.difference]).toEqual(['batch', 0n]);
    expect(explain(record({ input: 2, cost_nanousd: 10_000 }), opus)?.tier).toBeNull();
  });

  it('says what is left over', () => {
    expect(explain(record({ input: 2, cost_nanousd: 10_500 }), opus)?.difference).toBe(500n);
    expect(explain(record({ input: 2, cost_nanousd: null }), opus)?.difference).toBeNull();
  });

  it('has searches, and work of other models', () => {
    const haiku: Price = { priced: true, model: 'haiku', per_million: { input: '1', output: '5' } };
    const of = record({
      input: 2,
      web_searches: 3,
      cost_nanousd: 10_000 + 30_000_000 + 7_000,
      side: [{ kind: 'advisor', model: 'haiku', input: 7 }],
    });
    expect(explainBest(of, [opus, haiku])?.difference).toBe(0n);
    expect(explain(of, opus)?.unpricedSide).toEqual(['haiku']);
  });

  it('is nothing where nothing is known', () => {
    expect(explain(record({}), opus)).toBeNull();
    expect(explain(record({ input: 1 }), { priced: false })).toBeNull();
  });
});

it('survives counts that are none', () => {
  for (const input of [Number.NaN, Number.POSITIVE_INFINITY, -5, 1.5, 2 ** 60]) {
    expect(() => explain(record({ input, output: input, cached_read: input }), opus)).not.toThrow();
  }
});
