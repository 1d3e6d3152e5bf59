/** A bucket as the gateway lists it, as far as this page reads it. */
export interface Budget {
  id: number;
  quota: string;
  bucket: string;
  unit: string;
  percent_used: number;
  empty_at?: string | null;
}

/** Whether a bucket is of a quota that everybody shares: its name has no placeholders. */
const shared = (budget: Pick<Budget, 'quota' | 'bucket'>) => budget.quota === budget.bucket;

/** Names of the buckets that quotas with a part for each user have for a login. */
export function ownNames(quotas: Iterable<string>, login: string): string[] {
  const names = [...quotas]
    .filter(quota => quota.includes('<user>'))
    .map(quota => quota.replaceAll('<user>', login));
  return [...new Set(names.filter(name => !name.includes('<')))];
}

/** Fullest first; of equals those that run out first. */
export function fullestFirst<B extends Budget>(budgets: readonly B[]): B[] {
  const empties = (budget: B) => (budget.empty_at ? Date.parse(budget.empty_at) : Number.POSITIVE_INFINITY);
  const once = new Map(budgets.map(budget => [budget.id, budget]));
  return [...once.values()].sort(
    (a, b) => b.percent_used - a.percent_used || empties(a) - empties(b) || a.bucket.localeCompare(b.bucket),
  );
}

/** Budgets of a login and those that everybody shares on one side, other people's on the other. */
export function divided<B extends Budget>(budgets: readonly B[], login: string): { own: B[]; others: B[] } {
  const names = new Set(
    ownNames(
      budgets.map(budget => budget.quota),
      login,
    ),
  );
  const mine = (budget: B) => shared(budget) || names.has(budget.bucket);
  const sorted = fullestFirst(budgets);
  return { own: sorted.filter(mine), others: sorted.filter(budget => !mine(budget)) };
}

/** Those of which something is used: a list of the fullest is not one of the untouched. */
export const inUse = <B extends Budget>(budgets: readonly B[]): B[] =>
  budgets.filter(budget => budget.percent_used > 0);

/** Time until a budget is empty, in words: `in 3 h`, `now`; `null`: it does not run out, or that is not known. */
export function emptyIn(emptyAt: string | null | undefined, nowMs: number): string | null {
  const ms = emptyAt ? Date.parse(emptyAt) - nowMs : Number.NaN;
  if (Number.isNaN(ms)) return null;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return 'now';
  if (minutes < 90) return `in ${minutes} min`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `in ${hours} h` : `in ${Math.round(hours / 24)} days`;
}
