import { describe, expect, it } from 'vitest';
import { errorShare, type State, statuses, statusWords, worstFirst } from './state';

describe('providers', () => {
  it('stand with the worst first, and keep their order otherwise', () => {
    const of = (id: string, state?: State) => ({ id, health: state === undefined ? undefined : { state } });
    const list = [
      of('a', 'idle'),
      of('b', 'ok'),
      of('c', 'failing'),
      of('d'),
      of('e', 'ok'),
      of('f', 'degraded'),
    ];
    expect(worstFirst(list).map(provider => provider.id)).toEqual(['c', 'f', 'b', 'e', 'a', 'd']);
    expect(list[0]?.id).toBe('a');
  });

  it('have no share of errors without requests', () => {
    expect(errorShare(0, 0)).toBeNull();
    expect(errorShare(8, 1)).toBe(12.5);
  });

  it('list statuses by how often they came', () => {
    expect(statuses({ '429': 2, '503': 9, '500': 2, '400': 0 }).map(row => row.status)).toEqual([
      '503',
      '429',
      '500',
    ]);
    expect([statusWords('429'), statusWords('599'), statusWords('418'), statusWords('0')]).toEqual([
      'rate limited',
      'server error',
      'refused',
      'no answer sent',
    ]);
  });
});
