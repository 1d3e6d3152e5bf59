/** Values of a line over time; `null` where nothing is known. */
export type Values = readonly (number | null)[];

/** Each line on top of those before it. What is not known adds nothing, and is a gap in its own line. */
export function stack(lines: readonly Values[]): (number | null)[][] {
  const sums: number[] = [];
  return lines.map(line =>
    line.map((value, index) => {
      if (value === null) return null;
      const sum = (sums[index] ?? 0) + value;
      sums[index] = sum;
      return sum;
    }),
  );
}

/** The sum of a line; `null` if nothing of it is known. */
export function total(values: Values): number | null {
  const known = values.filter(value => value !== null);
  return known.length === 0 ? null : known.reduce((sum, value) => sum + value, 0);
}

/** The moment of a point, as long as the step between points makes sense of it. */
export function pointLabel(ms: number, stepMs: number): string {
  const date = new Date(ms);
  const day = date.toLocaleDateString('en-GB', { weekday: 'short', day: 'numeric', month: 'short' });
  if (stepMs >= 86_400_000) return day;
  const time = date.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  return stepMs < 60_000 ? `${day}, ${date.toLocaleTimeString('en-GB')}` : `${day}, ${time}`;
}

/** Bars of a histogram get their places: shares of the highest. */
export function heights(values: readonly number[]): number[] {
  const most = Math.max(0, ...values);
  return values.map(value => (most === 0 ? 0 : value / most));
}
