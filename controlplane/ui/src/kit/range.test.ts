import { describe, expect, test } from 'vitest';
import { type RangeSearch, stepFor, timeSpan } from './range';

const NOW = Date.parse('2026-11-22T10:20:30.500Z');

describe('the address and the clock make a span', () => {
  test.each<[RangeSearch, string, string, string, string]>([
    [{}, '7d', '2026-11-15T10:21:00.000Z', '2026-11-22T10:21:00.000Z', 'hour'],
    [{ range: '1h' }, '1h', '2026-11-22T09:21:00.000Z', '2026-11-22T10:21:00.000Z', 'minute'],
    [{ range: 'live' }, 'live', '2026-11-22T10:06:00.000Z', '2026-11-22T10:21:00.000Z', 'minute'],
    [{ range: '30d' }, '30d', '2026-10-23T10:21:00.000Z', '2026-11-22T10:21:00.000Z', 'day'],
    [
      { since: '2026-11-01T00:00:00Z', until: '2026-11-02T00:00:00Z' },
      'custom',
      '2026-11-01T00:00:00.000Z',
      '2026-11-02T00:00:00.000Z',
      'hour',
    ],
    // Without an end, until now.
    [
      { since: '2026-11-22T10:00:00Z' },
      'custom',
      '2026-11-22T10:00:00.000Z',
      '2026-11-22T10:20:30.500Z',
      'minute',
    ],
    // Senseless: the fallback.
    [{ since: 'yesterday' }, '7d', '2026-11-15T10:21:00.000Z', '2026-11-22T10:21:00.000Z', 'hour'],
    [
      { since: '2026-11-03T00:00:00Z', until: '2026-11-02T00:00:00Z' },
      '7d',
      '2026-11-15T10:21:00.000Z',
      '2026-11-22T10:21:00.000Z',
      'hour',
    ],
    [
      { until: '9999999-01-01T00:00:00Z' },
      '7d',
      '2026-11-15T10:21:00.000Z',
      '2026-11-22T10:21:00.000Z',
      'hour',
    ],
  ])('%j', (search, range, since, until, step) => {
    expect(timeSpan(search, NOW)).toMatchObject({ range, since, until, step });
  });
  test('spans of the same minute are equal, so that answers can be kept', () => {
    expect(timeSpan({}, NOW)).toEqual(timeSpan({}, NOW + 29_000));
  });
});

test('a step makes neither two points nor thousands', () => {
  const HOUR = 3_600_000;
  expect([0.25, 1, 6, 7, 24, 240, 241, 2160].map(hours => stepFor(hours * HOUR))).toEqual([
    'minute',
    'minute',
    'minute',
    'hour',
    'hour',
    'hour',
    'day',
    'day',
  ]);
});
