/** Parts of a whole over time: percent of `total` at each time; `null` where there was nothing to share. */
export function shares(part: readonly number[], total: readonly number[]): (number | null)[] {
  return total.map((whole, at) => (whole > 0 ? (100 * (part[at] ?? 0)) / whole : null));
}

/** Part of the people that had something to do with it, in percent; `null` if there are none. */
export function percentOf(part: number, whole: number): number | null {
  return whole > 0 ? (100 * part) / whole : null;
}

/** How much more a number is than another, in percent; `null` if that says nothing. */
export function growth(now: number, before: number): number | null {
  return before > 0 ? (100 * (now - before)) / before : null;
}

/**
 * Mean of the newest `length` values over the mean of those before them: whether use grows. `null` with less than two whole stretches.
 * The newest value is left out: its day is not over.
 */
export function trend(values: readonly number[], length: number): number | null {
  const whole = values.slice(0, -1);
  if (length < 1 || whole.length < 2 * length) return null;
  const sum = (list: readonly number[]) => list.reduce((all, value) => all + value, 0);
  return growth(sum(whole.slice(-length)), sum(whole.slice(-2 * length, -length)));
}
