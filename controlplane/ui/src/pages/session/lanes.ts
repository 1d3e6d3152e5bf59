/** The agents of a session with their requests, each below the one that started it. */

import type { Schema } from '@/api';

export type SessionDetail = Schema<'SessionDetail'>;
export type RequestRow = Schema<'RequestRecord'>;

export interface Lane {
  /** `null`: the main agent. */
  agent: string | null;
  depth: number;
  /** Oldest first. */
  requests: RequestRow[];
  /** Sums of the session's own tables; `null` where they are left out. */
  sums: { requests: number; cost_nanousd: number; errors: number } | null;
}

interface Node {
  agent: string | null;
  agents: readonly Node[];
  requests?: number;
  cost_nanousd?: number;
  errors?: number;
}

/** The lanes from top to bottom. Requests of agents that the tree does not name get a lane of their own at the end. */
export function lanes(tree: Node, requests: readonly RequestRow[]): Lane[] {
  const byAgent = new Map<string | null, RequestRow[]>();
  for (const row of requests) {
    const list = byAgent.get(row.agent);
    if (list === undefined) byAgent.set(row.agent, [row]);
    else list.push(row);
  }
  for (const list of byAgent.values()) list.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
  const out: Lane[] = [];
  const walk = (node: Node, depth: number) => {
    const { requests: count, cost_nanousd: cost, errors } = node;
    out.push({
      agent: node.agent,
      depth,
      requests: byAgent.get(node.agent) ?? [],
      sums:
        count === undefined || cost === undefined || errors === undefined
          ? null
          : { requests: count, cost_nanousd: cost, errors },
    });
    byAgent.delete(node.agent);
    for (const child of node.agents) walk(child, depth + 1);
  };
  walk(tree, 0);
  for (const [agent, list] of byAgent) out.push({ agent, depth: 1, requests: list, sums: null });
  return out;
}

/** Beginning and end of a request in milliseconds. */
export function spanOf(row: Pick<RequestRow, 'time' | 'duration_us'>): { from: number; to: number } {
  const from = Date.parse(row.time);
  return { from, to: from + Math.max(0, row.duration_us) / 1000 };
}
