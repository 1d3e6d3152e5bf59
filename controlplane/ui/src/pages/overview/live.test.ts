import { describe, expect, it } from 'vitest';
import {
  errorsOf,
  type Live,
  midnight,
  NOTHING,
  perSecond,
  readSecond,
  SECONDS,
  slots,
  spendNow,
  withHistory,
  withNow,
} from './live';

const second = (at: number, more: object = {}) => ({
  time: new Date(Date.UTC(2026, 0, 1) + at * 1_000).toISOString(),
  requests: 1,
  errors: 0,
  input: 10,
  output: 5,
  cost_nanousd: 100,
  ...more,
});
const now = (at: number, more: object = {}) => ({
  time: second(at).time,
  requests_per_s: 2,
  errors_per_s: 0,
  input_per_s: 3,
  output_per_s: 4,
  cost_nanousd_per_h: 9,
  in_flight: null,
  streams: 1,
  last: second(at, more),
});

describe('live figures', () => {
  it('keep two minutes and count up what is seen', () => {
    let live: Live = withHistory(NOTHING, { seconds: Array.from({ length: 200 }, (_, at) => second(at)) });
    expect(live.seconds).toHaveLength(SECONDS);
    expect(live.seenNanousd).toBe(0);
    live = withNow(live, now(200, { cost_nanousd: 700 }));
    expect(live.seconds).toHaveLength(SECONDS);
    expect(live.seconds.at(-1)?.cost_nanousd).toBe(700);
    expect(live.seenNanousd).toBe(700);
    expect(live.any).toBe(true);
    expect(live.now).toMatchObject({ requests_per_s: 2, in_flight: null, streams: 1 });
  });

  it('count a second that comes again by what it grew', () => {
    let live = withNow(NOTHING, now(1, { cost_nanousd: 500 }));
    live = withNow(live, now(1, { cost_nanousd: 800 }));
    expect(live.seenNanousd).toBe(800);
    expect(live.seconds).toHaveLength(1);
  });

  it('survive a stream that says nonsense', () => {
    expect(withNow(NOTHING, null)).toBe(NOTHING);
    expect(withNow(NOTHING, { time: 3 })).toBe(NOTHING);
    expect(withHistory(NOTHING, { seconds: [null, { time: 'never' }, 7] }).seconds).toEqual([]);
    expect(readSecond({ time: '2026-01-01T00:00:00Z', requests: -4, errors: 'x' })).toMatchObject({
      requests: 0,
      errors: 0,
    });
  });

  it('know whether there was anything at all', () => {
    const quiet = { requests: 0 };
    const none = withNow(withHistory(NOTHING, { seconds: [second(0, quiet)] }), now(1, quiet));
    expect(none.any).toBe(false);
    expect(withNow(withNow(none, now(2)), now(3, quiet)).any).toBe(true);
    expect(withHistory(NOTHING, { seconds: [second(0)] }).any).toBe(true);
  });

  it('leave gaps where nothing is known', () => {
    const bars = slots([second(0), second(3)].flatMap(data => readSecond(data) ?? []));
    expect(bars).toHaveLength(SECONDS);
    expect(bars.slice(-4).map(bar => bar !== null)).toEqual([true, false, false, true]);
  });
});

describe('spend today', () => {
  const check = (base: Parameters<typeof spendNow>[0], seen: number, expected: number | null) =>
    expect(spendNow(base, seen)).toBe(expected);
  it('is the sum and what passed since, and unknown without a sum', () => {
    check(undefined, 50, null);
    check({ nanousd: 1_000, seenThen: 50 }, 50, 1_000);
    check({ nanousd: 1_000, seenThen: 50 }, 80, 1_030);
    check({ nanousd: 1_000, seenThen: 50 }, 0, 1_000);
  });

  it('begins at local midnight', () => {
    const at = new Date(2026, 5, 3, 14, 30).getTime();
    expect(new Date(midnight(at)).getTime()).toBe(new Date(2026, 5, 3).getTime());
  });
});

describe('rates', () => {
  const check = (rate: number, text: string) => expect(perSecond(rate)).toBe(text);
  it('have one decimal where that says something', () => {
    check(0, '0');
    check(0.01, '<0.1');
    check(0.3, '0.3');
    check(12, '12');
    check(99.96, '100');
    check(1234.5, '1,235');
  });
  it('of failures are words', () => {
    expect(errorsOf([])).toBe('none in 2 min');
    expect(errorsOf([second(0, { errors: 2 }), second(1, { errors: 1 })])).toBe('3 in 2 min');
  });
});
