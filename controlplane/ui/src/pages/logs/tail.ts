/** The rows of a live tail: bounded, newest first, held back while somebody reads. */
export interface Tail<Row> {
  rows: readonly Row[];
  /** Came while it was paused, newest first. */
  waiting: readonly Row[];
  /** Left out by the gateway, since too many came at once. */
  skipped: number;
}

/** Most rows that are kept. */
export const TAIL_MAX = 300;

export const emptyTail = { rows: [], waiting: [], skipped: 0 } as const;

/** Adds rows that came, the newest last; those that are there already come twice after a new connection. */
export function arrived<Row extends { request_id: string }>(
  tail: Tail<Row>,
  came: readonly Row[],
  paused: boolean,
): Tail<Row> {
  const there = new Set([...tail.rows, ...tail.waiting].map(row => row.request_id));
  const fresh = came.filter(row => !there.has(row.request_id) && there.add(row.request_id)).reverse();
  if (fresh.length === 0) return tail;
  const put = (rows: readonly Row[]) => [...fresh, ...rows].slice(0, TAIL_MAX);
  return paused ? { ...tail, waiting: put(tail.waiting) } : { ...tail, rows: put(tail.rows) };
}

/** Shows what waited. */
export const resumed = <Row>(tail: Tail<Row>): Tail<Row> => ({
  ...tail,
  rows: [...tail.waiting, ...tail.rows].slice(0, TAIL_MAX),
  waiting: [],
});
