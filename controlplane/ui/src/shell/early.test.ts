import { expect, test } from 'vitest';
import { keepEarly, takeEarly } from './early';

test('what was typed early is handed over, whole and once', () => {
  expect(takeEarly()).toBe('');
  keepEarly('p');
  keepEarly('prov');
  expect(takeEarly()).toBe('prov');
  expect(takeEarly()).toBe('');
});
