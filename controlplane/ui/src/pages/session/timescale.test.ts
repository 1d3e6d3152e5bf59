import { describe, expect, it } from 'vitest';
import { rows, timescale, union } from './timescale';

const span = (from: number, to: number) => ({ from, to });

describe('the axis', () => {
  it('draws work as long as it takes', () => {
    const scale = timescale([span(0, 100), span(100, 200)]);
    expect([0, 50, 100, 200, 300, -5].map(scale.place)).toEqual([0, 0.25, 0.5, 1, 1, 0]);
    expect(scale.breaks).toEqual([]);
  });

  it('draws long pauses narrow, and says where', () => {
    const scale = timescale([span(0, 100), span(1_000_000, 1_000_100)]);
    expect(scale.breaks).toHaveLength(1);
    expect(scale.breaks[0]).toMatchObject({ from: 100, to: 1_000_000 });
    expect(scale.place(100)).toBeGreaterThan(0.4);
    expect(scale.place(1_000_000)).toBeLessThan(0.6);
  });

  it('keeps room for the work however many pauses there are', () => {
    const spans = Array.from({ length: 200 }, (_, n) => span(n * 1e6, n * 1e6 + 1000));
    const scale = timescale(spans);
    const pauses = scale.breaks.reduce((sum, one) => sum + one.width, 0);
    expect(pauses).toBeLessThan(0.3);
  });

  it('never goes back', () => {
    const scale = timescale([span(5, 7), span(90, 95), span(40, 400), span(9000, 9001)]);
    let before = -1;
    for (let time = 0; time < 9100; time += 3) {
      const at = scale.place(time);
      expect(at).toBeGreaterThanOrEqual(before);
      expect(at).toBeLessThanOrEqual(1);
      before = at;
    }
  });

  it('has few marks, apart from each other', () => {
    for (const length of [1, 30, 1000, 60_000, 3_600_000, 86_400_000 * 30]) {
      const { ticks } = timescale([span(12_345, 12_345 + length)]);
      expect(ticks.length).toBeLessThanOrEqual(12);
      for (const [index, tick] of ticks.entries()) {
        if (index > 0) expect(tick.at - (ticks[index - 1]?.at ?? 0)).toBeGreaterThanOrEqual(0.09);
      }
    }
  });

  it('stands for nothing, and for a moment', () => {
    expect(timescale([]).place(5)).toBe(0);
    expect(timescale([span(5, 5)]).place(5)).toBe(0);
  });
});

it('joins what overlaps', () => {
  expect(union([span(5, 6), span(0, 2), span(1, 3)])).toEqual([span(0, 3), span(5, 6)]);
});

it('puts what runs side by side into rows', () => {
  expect(rows([span(0, 10), span(5, 15), span(10, 20), span(6, 7)])).toEqual({ row: [0, 1, 0, 2], count: 3 });
  expect(rows([])).toEqual({ row: [], count: 1 });
});
