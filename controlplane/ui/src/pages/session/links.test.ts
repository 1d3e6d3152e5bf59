import { expect, it } from 'vitest';
import type { Block, Turn } from '../request/conversation';
import { linked } from './links';

/** `u` the user, `a` a text of the assistant, `a:id` a call, `!` the answer. */
function turns(text: string): Turn[] {
  return text.split(' ').map(one => {
    const id = one.split(':')[1];
    const block: Block =
      id === undefined
        ? { kind: 'text', text: one }
        : { kind: 'call', id, name: 'f', arguments: '', hosted: false, result: null };
    return {
      role: one === 'u' ? 'user' : 'assistant',
      name: '',
      blocks: [block],
      answered: one === '!',
      stop: '',
    };
  });
}

const check = (talk: string, requests: string, calls: Record<string, string>, expected: string) =>
  expect(
    linked(turns(talk), requests.split(' ').filter(Boolean), new Map(Object.entries(calls)))
      .map(id => id ?? '-')
      .join(' '),
  ).toBe(expected);

it('goes by the ids of calls, and by order between them', () => {
  check('u a:x u a u !', 'r1 r2 r3', { x: 'r1' }, '- r1 - r2 - r3');
  check('u a u a u !', 'r1 r2 r3', {}, '- r1 - r2 - r3');
});

it('says nothing where the numbers differ', () => {
  // A request was repeated between.
  check('u a:x u a u !', 'r1 r2 r3 r4', { x: 'r1' }, '- r1 - - - r4');
  // The history begins before the session.
  check('u a u a u !', 'r1 r2', {}, '- - - - - r2');
  check('u a u a:x u !', 'r1 r2', { x: 'r1' }, '- - - r1 - r2');
});

it('trusts no order that goes back, and no id of elsewhere', () => {
  check('u a:x u a:y u !', 'r1 r2 r3', { x: 'r2', y: 'r1' }, '- r2 - - - r3');
  check('u a:x u !', 'r1 r2', { x: 'other' }, '- r1 - r2');
});

it('stands for nothing', () => {
  check('u', '', {}, '-');
  check('u ! !', 'r1', {}, '- r1 r1');
});
