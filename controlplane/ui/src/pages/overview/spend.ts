import { type Costs, costOf } from '@/kit/cost';

/** Sums of one group over time, as far as its cost goes. */
export type SpendSeries = { [K in keyof Costs]: readonly number[] };

/** Cost over time; `null` where there were requests and of none is it known: that is unknown, not 0. */
export function spend(of: SpendSeries): (number | null)[] {
  return of.cost_nanousd.map(
    (cost_nanousd, at) =>
      costOf({
        cost_nanousd,
        requests: of.requests[at] ?? 0,
        errors: of.errors[at] ?? 0,
        unpriced: of.unpriced[at] ?? 0,
        unknown: of.unknown[at] ?? 0,
      }).nanousd,
  );
}

interface Named extends SpendSeries {
  key: string | null;
  totals: Costs;
}

/** Lines of a chart of spend: groups that cost something, or of which that is not known; then what is left. */
export function spendLines(usage: {
  series: readonly Named[];
  other: Named | null;
}): { label: string; values: (number | null)[]; color?: number }[] {
  const tells = ({ totals }: Named) => totals.cost_nanousd > 0 || costOf(totals).why !== null;
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
