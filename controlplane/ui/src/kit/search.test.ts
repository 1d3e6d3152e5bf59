import { describe, expect, test } from 'vitest';
import { count, flag, oneOf, parseSearch, searchParams, stringifySearch, text, texts } from './search';

const read = searchParams({ q: text, tab: oneOf(['a', 'b']), model: texts, page: count, all: flag });

describe('whatever stands in the address is read or left out', () => {
  test.each<[string, object]>([
    ['', {}],
    [
      '?q=x&tab=b&model=m1&model=m2&page=3&all=1',
      { q: 'x', tab: 'b', model: ['m1', 'm2'], page: 3, all: true },
    ],
    ['?q=&tab=c&page=-1&all=0', {}],
    ['?q=200&page=1e99', { q: '200' }],
    ['?q=a&q=b', { q: 'a' }],
    ['?q=%3Cscript%3E&other=1', { q: '<script>' }],
    ['?page=&model=', {}],
    ['?q=%ZZ', { q: '%ZZ' }],
    ['?__proto__=x&constructor=y', {}],
  ])('%s', (address, expected) => expect(read(parseSearch(address))).toEqual(expected));
  test('what makes no sense does not show through, as the router lays what was read over the address', () => {
    for (const address of ['?tab=constructor', '?page=x&tab=__proto__', '?tab=&all=maybe', '?tab=x&tab=y']) {
      const raw = parseSearch(address);
      expect({ ...raw, ...read(raw) }).toEqual({});
    }
  });
  test('a text has a bound', () => expect(read({ q: 'x'.repeat(5000) }).q).toHaveLength(2000));
});

describe('what is written is read again', () => {
  test.each<[Record<string, unknown>, string]>([
    [{}, ''],
    [{ q: undefined, tab: '', all: false }, ''],
    [{ q: 'a b&c', all: true }, '?q=a+b%26c&all=1'],
    [{ model: ['x/y', 'z:1'] }, '?model=x/y&model=z:1'],
    [{ user: 'a@example.com' }, '?user=a@example.com'],
    [{ q: '2026-01-01T10:00+02:00' }, '?q=2026-01-01T10:00%2B02:00'],
  ])('%j', (search, expected) => {
    const written = stringifySearch(search);
    expect(written).toBe(expected);
    const plain = Object.entries(search).filter(([, value]) => value && value !== '');
    expect(parseSearch(written)).toEqual(
      Object.fromEntries(plain.map(([name, value]) => [name, value === true ? '1' : value])),
    );
  });
});
