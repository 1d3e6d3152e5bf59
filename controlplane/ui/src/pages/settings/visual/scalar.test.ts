import { describe, expect, test } from 'vitest';
import { at, type Node } from '../schema';
import { parse } from './scalar';

const node = (...path: string[]): Node => at(path)[0] ?? {};

describe('texts become values of the schema', () => {
  test.each([
    [['providers', 'p', 'disabled'], 'true', { value: true }],
    [['providers', 'p', 'disabled'], 'yes', { problem: 'must be true or false' }],
    [['providers', 'p', 'preference'], '-3', { value: -3 }],
    [['providers', 'p', 'preference'], '1.5', { problem: 'must be a whole number' }],
    [['providers', 'p', 'preference'], 'x', { problem: 'must be a number' }],
    [['providers', 'p', 'capture'], 'false', { value: false }],
    [['providers', 'p', 'capture'], '10%', { value: '10%' }],
    [['providers', 'p', 'capture'], '200%', { problem: 'is not of the right form; an example: 10%' }],
    [['providers', 'p', 'authorization'], 'bearer', { value: 'bearer' }],
    [
      ['providers', 'p', 'authorization'],
      'basic',
      { problem: 'is not of the right form; an example: bearer' },
    ],
    [['providers', 'p', 'baseurl'], 'http://x', { value: 'http://x' }],
  ])('%j %s', (path, text, expected) => expect(parse(node(...path), text)).toEqual(expected));
});
