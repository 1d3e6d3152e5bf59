/** Sums of one group over time, as far as its cost goes. */
export interface SpendSeries {
  requests: readonly number[];
  unpriced: readonly number[];
  cost_nanousd: readonly number[];
}

/** Cost over time; `null` where there were requests and none of them has a price: that is unknown, not 0. */
export function spend({ requests, unpriced, cost_nanousd }: SpendSeries): (number | null)[] {
  return cost_nanousd.map((cost, at) => {
    const all = requests[at] ?? 0;
    return cost === 0 && all > 0 && (unpriced[at] ?? 0) >= all ? null : cost;
  });
}

/** The known cost of a group; `null` if none of its requests has a price. */
export function spentOn(totals: { requests: number; unpriced: number; cost_nanousd: number }): number | null {
  return totals.cost_nanousd === 0 && totals.requests > 0 && totals.unpriced >= totals.requests
    ? null
    : totals.cost_nanousd;
}

interface Named extends SpendSeries {
  key: string | null;
  totals: { requests: number; unpriced: number; cost_nanousd: number };
}

/** Lines of a chart of spend: groups that cost something, or of which that is not known; then what is left. */
export function spendLines(usage: {
  series: readonly Named[];
  other: Named | null;
}): { label: string; values: (number | null)[]; color?: number }[] {
  const tells = ({ totals }: Named) => totals.cost_nanousd > 0 || spentOn(totals) === null;
  const named = usage.series.map((line, at) => ({ line, color: at + 1 })).filter(({ line }) => tells(line));
  const lines = named.map(({ line, color }) => ({
    label: line.key || 'No provider reached',
    values: spend(line),
    color,
  }));
  const rest = usage.other !== null && tells(usage.other) ? [usage.other] : [];
  // A chart of nothing still has its times.
  if (lines.length + rest.length === 0)
    return usage.series.slice(0, 1).map(line => ({ label: line.key || 'Spend', values: spend(line) }));
  return [...lines, ...rest.map(line => ({ label: 'Others', values: spend(line), color: 0 }))];
}
