import { describe, expect, it } from 'vitest';
import { costLabel, countLabel, medianBin, trimmed } from './bins';

const plain = (value: number) => value.toLocaleString('en');

describe('ranges of a histogram', () => {
  it('lose what is empty at the ends only', () => {
    const bins = [0, 3, 0, 1, 0, 0].map((users, from) => ({ from, to: from + 1, users }));
    expect(trimmed(bins).map(bin => bin.users)).toEqual([3, 0, 1]);
    expect(trimmed([{ users: 0 }])).toEqual([]);
    expect(trimmed([])).toEqual([]);
  });

  it('read as words', () => {
    const count = (from: number, to: number | null, text: string) =>
      expect(countLabel({ from, to }, plain)).toBe(text);
    count(1, 2, '1');
    count(2, 5, '2–4');
    count(1_000, 2_000, '1,000–1,999');
    count(10_000, null, '10,000+');
    const cost = (from: number, to: number | null, text: string) =>
      expect(costLabel({ from, to }, value => `$${value}`)).toBe(text);
    cost(0, 1, 'Nothing');
    cost(0, 10, 'Below $10');
    cost(10, 100, '$10–$100');
    cost(100, null, '$100+');
  });

  it('know where the middle is', () => {
    const check = (users: number[], at: number) => expect(medianBin(users.map(u => ({ users: u })))).toBe(at);
    check([], -1);
    check([0, 0], -1);
    check([1, 1, 1], 1);
    check([5, 1, 1], 0);
    check([0, 1, 9], 2);
  });
});
