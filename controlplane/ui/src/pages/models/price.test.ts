import { describe, expect, it } from 'vitest';
import { type Offer, priceState, pricesDiffer, rateNumber, showRate } from './price';

describe('rates', () => {
  const check = (text: string | undefined | null, shown: string | null, number: number | null) => {
    expect(showRate(text)).toBe(shown);
    expect(rateNumber(text)).toBe(number);
  };
  it('are shown exactly, with cents where there are any', () => {
    check('3', '$3', 3);
    check('3.000', '$3', 3);
    check('0.3', '$0.30', 0.3);
    check('0.0375', '$0.0375', 0.0375);
    check('0', '$0', 0);
    check('12.50', '$12.50', 12.5);
  });
  it('are unknown rather than 0', () => {
    for (const text of [undefined, null, '', ' ', 'free', '-1']) check(text, null, null);
  });
});

describe('offers', () => {
  const offer = (input: string | null): Offer => ({ price: input === null ? null : { input } });
  it('say whether a price is known', () => {
    const check = (offers: Offer[], state: string) => expect(priceState(offers)).toBe(state);
    check([], 'unserved');
    check([offer('1')], 'priced');
    check([offer(null)], 'unpriced');
    check([offer(null), offer('1')], 'partly');
  });
  it('differ or do not', () => {
    const check = (inputs: (string | null)[], differ: boolean) =>
      expect(pricesDiffer(inputs.map(input => offer(input)))).toBe(differ);
    check(['3', '3.0'], false);
    check(['3', '2.5'], true);
    check(['3', null], true);
    check([], false);
  });
});
