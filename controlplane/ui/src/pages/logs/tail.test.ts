import { expect, it } from 'vitest';
import { arrived, emptyTail, resumed, TAIL_MAX, type Tail } from './tail';

const row = (id: number) => ({ request_id: String(id) });
const ids = (rows: readonly { request_id: string }[]) => rows.map(one => one.request_id).join(' ');

it('puts the newest in front, each once', () => {
  let tail: Tail<{ request_id: string }> = emptyTail;
  tail = arrived(tail, [row(1), row(2)], false);
  tail = arrived(tail, [row(2), row(3), row(3)], false);
  expect(ids(tail.rows)).toBe('3 2 1');
});

it('holds back while paused, and shows it afterwards', () => {
  let tail: Tail<{ request_id: string }> = arrived(emptyTail, [row(1)], false);
  tail = arrived(tail, [row(2), row(1)], true);
  expect([ids(tail.rows), ids(tail.waiting)]).toEqual(['1', '2']);
  tail = resumed(tail);
  expect([ids(tail.rows), ids(tail.waiting)]).toEqual(['2 1', '']);
});

it('is bounded', () => {
  const many = Array.from({ length: TAIL_MAX * 2 }, (_, id) => row(id));
  const tail = arrived(emptyTail as Tail<{ request_id: string }>, many, true);
  expect(tail.waiting).toHaveLength(TAIL_MAX);
  expect(resumed(tail).rows[0]?.request_id).toBe(String(TAIL_MAX * 2 - 1));
});
