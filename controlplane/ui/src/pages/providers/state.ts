/** How a provider does, as the gateway reckons it. */
export type State = 'ok' | 'degraded' | 'failing' | 'idle';

export interface StateWords {
  label: string;
  tone: 'good' | 'warn' | 'bad' | 'neutral';
  /** What the state means, as a rule. */
  rule: string;
}

/** Words for the states; the rules are the gateway's own. */
export const STATES: Record<State, StateWords> = {
  ok: { label: 'OK', tone: 'good', rule: 'Fewer than one request in twenty failed.' },
  degraded: { label: 'Degraded', tone: 'warn', rule: 'At least one request in twenty failed.' },
  failing: { label: 'Failing', tone: 'bad', rule: 'At least half of five or more requests failed.' },
  idle: { label: 'Idle', tone: 'neutral', rule: 'Nobody asked it for anything, so nothing is known.' },
};

/** Worst first, for lists. */
const ORDER: readonly State[] = ['failing', 'degraded', 'ok', 'idle'];

export function worstFirst<P extends { health?: { state: State } | undefined }>(
  providers: readonly P[],
): P[] {
  const rank = (provider: P) =>
    provider.health === undefined ? ORDER.length : ORDER.indexOf(provider.health.state);
  return [...providers].sort((a, b) => rank(a) - rank(b));
}

/** Part of the requests that failed, in percent; `null` without requests. */
export function errorShare(requests: number, errors: number): number | null {
  return requests > 0 ? (100 * errors) / requests : null;
}

/** What a status says in short. */
export function statusWords(status: string): string {
  const known: Record<string, string> = {
    '0': 'no answer sent',
    '400': 'bad request',
    '401': 'key refused',
    '403': 'not allowed',
    '404': 'not found',
    '408': 'timed out',
    '413': 'too large',
    '429': 'rate limited',
    '499': 'client gone',
    '500': 'server error',
    '502': 'bad gateway',
    '503': 'unavailable',
    '504': 'timed out',
    '529': 'overloaded',
  };
  return known[status] ?? (status.startsWith('5') ? 'server error' : 'refused');
}

/** Statuses with their counts, the most frequent first. */
export function statuses(byStatus: Readonly<Record<string, number>>): { status: string; count: number }[] {
  return Object.entries(byStatus)
    .map(([status, count]) => ({ status, count }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count || a.status.localeCompare(b.status));
}
