import { expect, test } from 'vitest';
import { beginEarly, keepEarly, takeEarly } from './early';

test('what was typed early is handed over, whole and once', () => {
  expect(takeEarly()).toBe('');
  keepEarly('p');
  keepEarly('prov');
  expect(takeEarly()).toBe('prov');
  expect(takeEarly()).toBe('');
  keepEarly('left over');
  beginEarly(null);
  expect(takeEarly()).toBe('');
});
