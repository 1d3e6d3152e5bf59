/** A range of a histogram as the gateway counts it; `to` is excluded, `null` for the last one that has no end. */
export interface CountBin {
  from: number;
  to: number | null;
  users: number;
}

/** Without the empty ranges at both ends: those between others stay, since a gap says something. */
export function trimmed<B extends { users: number }>(bins: readonly B[]): readonly B[] {
  const first = bins.findIndex(bin => bin.users > 0);
  const last = bins.findLastIndex(bin => bin.users > 0);
  return first < 0 ? [] : bins.slice(first, last + 1);
}

/** A range of whole numbers as words: `1`, `2–4`, `1,000+`. */
export function countLabel({ from, to }: Omit<CountBin, 'users'>, show: (value: number) => string): string {
  if (to === null) return `${show(from)}+`;
  return to - from <= 1 ? show(from) : `${show(from)}–${show(to - 1)}`;
}

/** A range of amounts as words: `$1–$10`, `Nothing` for that of 0 alone. */
export function costLabel({ from, to }: Omit<CountBin, 'users'>, show: (value: number) => string): string {
  if (to === null) return `${show(from)}+`;
  if (from === 0) return to <= 1 ? 'Nothing' : `Below ${show(to)}`;
  return `${show(from)}–${show(to)}`;
}

/** The range in which the middle person stands; `-1` if nobody is there. */
export function medianBin(bins: readonly { users: number }[]): number {
  const all = bins.reduce((sum, bin) => sum + bin.users, 0);
  let below = 0;
  return all === 0
    ? -1
    : bins.findIndex(bin => {
        below += bin.users;
        return 2 * below >= all;
      });
}
