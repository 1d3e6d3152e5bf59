import { expect, it } from 'vitest';
import { ALL_FIT, fitting, sameFit } from './table-fit';

const columns = [{ id: 'time' }, { id: 'provider', rank: 1 }, { id: 'first', rank: 2 }, { id: 'cost' }];
const least = new Map([
  ['time', 100],
  ['provider', 80],
  ['first', 60],
  ['cost', 50],
]);
const left = (width: number) => [...fitting(columns, least, width).left].join(' ');

it('lets the least important go first, and only as many as needed', () => {
  expect([290, 289, 230, 229, 150].map(left)).toEqual([
    '',
    'first',
    'first',
    'first provider',
    'first provider',
  ]);
  expect(fitting(columns, least, 150).cards).toBe(false);
});

it('draws cards where not even the important ones fit', () => {
  expect(fitting(columns, least, 149)).toEqual({ left: new Set(['provider', 'first']), cards: true });
});

it('lets a table that has room for columns scroll rather than make cards of it', () => {
  const wide = new Map(least).set('time', 2000);
  expect(fitting(columns, wide, 800)).toEqual({ left: new Set(['provider', 'first']), cards: false });
});

it('keeps what was chosen by hand, even if it has no room, and makes no cards of it', () => {
  const kept = columns.map(column => (column.id === 'first' ? { ...column, kept: true } : column));
  expect(fitting(kept, least, 160)).toEqual({ left: new Set(['provider']), cards: false });
});

it('takes what was never measured to fit', () => {
  expect(fitting(columns, new Map(), 10)).toEqual(ALL_FIT);
});

it('tells whether anything changes', () => {
  expect(sameFit(fitting(columns, least, 290), ALL_FIT)).toBe(true);
  expect(sameFit(fitting(columns, least, 289), ALL_FIT)).toBe(false);
  expect(sameFit(fitting(columns, least, 289), fitting(columns, least, 229))).toBe(false);
});
