// Amounts of budgets: one way to write them, wherever they stand.
import { compact, count, exactMoney, money, seconds, UNKNOWN } from './format';

/** What a budget counts, as the API names it. */
export type AmountUnit = 'usd' | 'tokens' | 'requests' | 'concurrency';

const UNITS: Record<AmountUnit, string> = {
  usd: 'dollars',
  tokens: 'model tokens',
  requests: 'requests',
  concurrency: 'calls at once',
};

/** What a unit is called. */
export const unitName = (unit: AmountUnit): string => UNITS[unit];

const dollars = new Intl.NumberFormat('en-US', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

/** `$60,000.00`, `60M`, `1,200`: dollars grouped and with cents, tokens short; what is less than a cent is never written as nothing. */
export function amount(unit: AmountUnit, value: number | null | undefined): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
  if (unit !== 'usd') return (unit === 'tokens' ? compact(value) : count(value)).replace('-', '−');
  const size = Math.abs(value) / 1e9;
  if (size > 0 && size < 0.005) return money(value);
  return `${value < 0 ? '−' : ''}$${dollars.format(size)}`;
}

/** The same with all digits. */
export function exactAmount(unit: AmountUnit, value: number | null | undefined): string {
  if (typeof value !== 'number' || !Number.isFinite(value)) return UNKNOWN;
  return unit === 'usd' ? exactMoney(value) : `${count(value)} ${unitName(unit)}`;
}

const PER: Record<number, string> = { 1: 's', 60: 'min', 3600: 'h', 86400: 'day', 604800: 'week' };

/** How fast a budget refills: `$20.00/day`, `40M/day`, `5 in 10 min`; `null`: it does not. */
export function rate(unit: AmountUnit, of: { amount: number; per_s: number } | null): string | null {
  if (of === null) return null;
  const per = PER[of.per_s];
  return per === undefined
    ? `${amount(unit, of.amount)} in ${seconds(of.per_s)}`
    : `${amount(unit, of.amount)}/${per}`;
}
