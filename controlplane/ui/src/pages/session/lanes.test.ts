import { expect, it } from 'vitest';
import { lanes, type RequestRow, spanOf } from './lanes';

const row = (id: string, agent: string | null, time: string) =>
  ({ request_id: id, agent, time }) as RequestRow;

it('puts requests to their agents, oldest first, and loses none', () => {
  const tree = {
    agent: null,
    requests: 2,
    cost_nanousd: 5,
    errors: 0,
    agents: [{ agent: 'a', agents: [{ agent: 'b', agents: [] }] }],
  };
  const found = lanes(tree, [
    row('3', 'b', '3'),
    row('2', null, '2'),
    row('1', null, '1'),
    row('4', 'gone', '4'),
  ]);
  expect(
    found.map(lane => `${lane.agent}/${lane.depth}: ${lane.requests.map(one => one.request_id).join(' ')}`),
  ).toEqual(['null/0: 1 2', 'a/1: ', 'b/2: 3', 'gone/1: 4']);
  expect(found.map(lane => lane.sums?.requests)).toEqual([2, undefined, undefined, undefined]);
});

it('knows from when to when a request ran', () => {
  expect(spanOf({ time: '2026-11-22T10:00:00.500Z', duration_us: 1500 })).toEqual({
    from: 1795341600500,
    to: 1795341600501.5,
  });
});
