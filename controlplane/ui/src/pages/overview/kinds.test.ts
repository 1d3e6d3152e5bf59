import { expect, it } from 'vitest';
import { tokenKinds } from './kinds';

it('splits model tokens so that no token is counted twice', () => {
  const kinds = tokenKinds({ input: [100, 5], cached_read: [80, 9], output: [50, 0], reasoning: [20, 0] });
  expect(kinds).toEqual({ uncached: [20, 0], cached: [80, 9], answer: [30, 0], reasoning: [20, 0] });
});
