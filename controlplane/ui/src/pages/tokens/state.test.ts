import { expect, test } from 'vitest';
import { stateOf } from './state';

const now = Date.parse('2026-11-22T12:00:00Z');

test.each([
  ['2027-01-01T00:00:00Z', null, 'valid'],
  ['2026-11-25T00:00:00Z', null, 'ends soon'],
  ['2026-11-22T12:00:00Z', null, 'ended'],
  ['2027-01-01T00:00:00Z', '2026-11-20T00:00:00Z', 'revoked'],
])('%s, revoked %s: %s', (expires_at, revoked_at, expected) =>
  expect(stateOf({ expires_at, revoked_at }, now)).toBe(expected),
);
