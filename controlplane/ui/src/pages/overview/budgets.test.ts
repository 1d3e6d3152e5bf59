import { describe, expect, it } from 'vitest';
import { type Budget, divided, emptyIn, fullestFirst, inUse, ownNames } from './budgets';

const budget = (
  id: number,
  bucket: string,
  percent_used: number,
  quota = bucket,
  more: Partial<Budget> = {},
): Budget => ({
  id,
  quota,
  bucket,
  unit: 'usd',
  percent_used,
  ...more,
});

describe('budgets', () => {
  it('of a login are told from those of others', () => {
    const all = [
      budget(1, 'daily:alice', 10, 'daily:<user>'),
      budget(2, 'daily:bob', 99, 'daily:<user>'),
      budget(3, 'everybody', 50),
      budget(4, 'daily:alice2', 1, 'daily:<user>'),
    ];
    const { own, others } = divided(all, 'alice');
    expect(own.map(({ id }) => id)).toEqual([3, 1]);
    expect(others.map(({ id }) => id)).toEqual([2, 4]);
  });

  it('have names for a login only where nothing else is open', () => {
    expect(ownNames(['a:<user>', 'a:<user>', 'b:<user>:<node>', 'c'], 'x')).toEqual(['a:x']);
  });

  it('stand with the fullest first, each once', () => {
    const soon = { empty_at: '2026-01-01T00:00:00Z' };
    const list = [budget(1, 'b', 50), budget(2, 'a', 50), budget(3, 'c', 50, 'c', soon), budget(1, 'b', 50)];
    expect(fullestFirst(list).map(({ id }) => id)).toEqual([3, 2, 1]);
  });

  it('are in use when something of them is used', () =>
    expect(inUse([budget(1, 'a', 0), budget(2, 'b', 3)]).map(({ id }) => id)).toEqual([2]));

  it('run out in words', () => {
    const now = Date.parse('2026-01-01T00:00:00Z');
    const check = (at: string | null | undefined, words: string | null) =>
      expect(emptyIn(at, now)).toBe(words);
    check(null, null);
    check(undefined, null);
    check('2025-12-31T00:00:00Z', 'now');
    check('2026-01-01T01:29:00Z', 'in 89 min');
    check('2026-01-01T05:00:00Z', 'in 5 h');
    check('2026-01-03T12:00:00Z', 'in 3 days');
  });
});
