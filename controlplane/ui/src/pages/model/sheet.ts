import { RATE_NAMES, type Rates } from '../models/price';

/** A price as the gateway explains it; what does not apply is absent. */
export interface PriceDetail {
  per_million?: Rates | undefined;
  above?: { tokens: number; per_million: Rates } | undefined;
  tiers?: { [tier: string]: TierDetail | undefined } | undefined;
  per_request?: string | undefined;
  per_search?: string | undefined;
  per_file_search?: string | undefined;
  per_code_session?: string | undefined;
  per_image?: string | undefined;
  per_second?: string | undefined;
}

interface TierDetail {
  per_million: Rates;
  above?: { tokens: number; per_million: Rates } | undefined;
}

/** A price as a table: a row for each kind of model token, a column for each condition. */
export interface PriceSheet {
  columns: readonly string[];
  rows: readonly { key: string; label: string; cells: readonly (string | null)[] }[];
  fees: readonly { label: string; dollars: string }[];
}

const FEES: readonly [key: keyof PriceDetail, label: string][] = [
  ['per_request', 'Each request'],
  ['per_search', 'Each web search'],
  ['per_file_search', 'Each file search'],
  ['per_code_session', 'Each code container'],
  ['per_image', 'Each image'],
  ['per_second', 'Each second of audio'],
];

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);
const long = (tokens: number) => `above ${tokens.toLocaleString('en')} prompt tokens`;

/** The table of a price. Rows that no column has are left out. */
export function priceSheet(price: PriceDetail): PriceSheet {
  const conditions: [label: string, rates: Rates][] = [];
  if (price.per_million !== undefined) conditions.push(['Standard', price.per_million]);
  if (price.above !== undefined)
    conditions.push([capital(long(price.above.tokens)), price.above.per_million]);
  for (const [name, tier] of Object.entries(price.tiers ?? {})) {
    if (tier === undefined) continue;
    conditions.push([capital(name), tier.per_million]);
    if (tier.above !== undefined) {
      conditions.push([`${capital(name)}, ${long(tier.above.tokens)}`, tier.above.per_million]);
    }
  }
  const rows = RATE_NAMES.map(([key, label]) => ({
    key,
    label,
    cells: conditions.map(([, rates]) => rates[key] ?? null),
  })).filter(row => row.cells.some(cell => cell !== null));
  const fees = FEES.flatMap(([key, label]) => {
    const dollars = price[key];
    return typeof dollars === 'string' ? [{ label, dollars }] : [];
  });
  return { columns: conditions.map(([label]) => label), rows, fees };
}
