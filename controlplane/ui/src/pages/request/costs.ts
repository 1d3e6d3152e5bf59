/**
 * How a recorded cost comes about: each count times its rate, as the gateway computes it.
 *
 * All sums are exact integers. A rate is in nanodollars for a million tokens, so a count times a rate is in
 * quadrillionths (1e-15) of a dollar; the sum is rounded once, half up, to a nanodollar, as the gateway does it. "Of which" counts are
 * taken out of the count they belong to, never more than it holds. A record does not say its service tier nor how many hosted tools
 * of which kind ran: tiers are tried, and what is left over is said.
 */

/** The counts of a record, or of a piece of work beside it; `null`: not known. */
export interface Counts {
  input?: number | null;
  input_uncached?: number | null;
  cached_read?: number | null;
  cache_write?: number | null;
  cache_write_1h?: number | null;
  output?: number | null;
  reasoning?: number | null;
  input_audio?: number | null;
  input_image?: number | null;
  cached_audio?: number | null;
  output_audio?: number | null;
  output_image?: number | null;
  audio_ms?: number | null;
  web_searches?: number | null;
}

export interface CostRecord extends Counts {
  cost_nanousd: number | null;
  priced: boolean;
  side: readonly (Counts & { kind: string; model?: string | null })[];
  hosted_tools: number | null;
}

/** Rates in US dollars for a million tokens, as exact decimals. */
export type Rates = Readonly<Record<string, string | undefined>>;

export interface Price {
  priced: boolean;
  model?: string;
  provider?: string | null;
  priced_as?: string;
  source?: string;
  date?: string;
  per_million?: Rates;
  above?: { tokens: number; per_million: Rates };
  tiers?: Readonly<Record<string, { per_million: Rates; above?: { tokens: number; per_million: Rates } }>>;
  per_request?: string;
  per_search?: string;
  per_second?: string;
}

export interface CostLine {
  what: string;
  count: number;
  /** What is counted: `tokens`, `calls`, `ms`. */
  unit: 'tokens' | 'pieces' | 'ms';
  /** US dollars, as an exact decimal, for `per` of it. */
  rate: string;
  per: number;
  /** In 1e-15 US dollars. */
  femto: bigint;
}

export interface Explained {
  lines: CostLine[];
  /** The sum in nanodollars, rounded half up. */
  sum: bigint;
  /** The tier whose rates were used; `null`: the ordinary ones. */
  tier: string | null;
  /** The rates for long inputs were used: above so many tokens. */
  above: number | null;
  /** Recorded less computed, in nanodollars; `null` if no cost is recorded. */
  difference: bigint | null;
  /** Work by another model, of which the price is not among these. */
  unpricedSide: string[];
  price: Price;
}

const FEMTO_PER_NANO = 1_000_000n;

/** Billionths of a decimal: `0.3` is 300,000,000. `null` if it is none, or has more than nine decimals. */
export function nanos(text: string | undefined): bigint | null {
  const found = /^(\d{1,18})(?:\.(\d{1,9}))?$/.exec(text ?? '');
  if (found === null) return null;
  return BigInt(found[1] ?? '0') * 1_000_000_000n + BigInt((found[2] ?? '').padEnd(9, '0'));
}

/** A whole number of nanodollars, exactly; what is no count is 0. */
const whole = (value: number | null | undefined): bigint =>
  typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? BigInt(value) : 0n;
const min = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** The cost of a record at a price; `null` where the record states nothing that this price bills. */
export function explain(
  record: CostRecord,
  price: Price,
  sidePrices: readonly Price[] = [],
): Explained | null {
  if (!price.priced || price.per_million === undefined) return null;
  const tiers: (string | null)[] = [null, ...Object.keys(price.tiers ?? {})];
  const all = tiers.map(tier => at(record, price, sidePrices, tier)).filter(found => found !== null);
  return all.find(found => found.difference === 0n) ?? all[0] ?? null;
}

/** The first of several prices that gives the recorded cost; else the first that gives one. */
export function explainBest(record: CostRecord, prices: readonly Price[]): Explained | null {
  const all = prices.map(price => explain(record, price, prices)).filter(found => found !== null);
  return all.find(found => found.difference === 0n) ?? all[0] ?? null;
}

function at(
  record: CostRecord,
  price: Price,
  sidePrices: readonly Price[],
  tier: string | null,
): Explained | null {
  const lines: CostLine[] = [];
  const own = part(record, price, tier, '', lines);
  let known = own.known;
  const unpricedSide: string[] = [];
  for (const work of record.side) {
    const theirs =
      work.model == null ? price : sidePrices.find(other => other.priced && other.model === work.model);
    if (theirs === undefined) {
      unpricedSide.push(work.model ?? work.kind);
      continue;
    }
    known = part(work, theirs, tier, work.kind, lines).known || known;
  }
  if (!known) return null;
  const femto = lines.reduce((sum, line) => sum + line.femto, 0n);
  const sum = (femto + FEMTO_PER_NANO / 2n) / FEMTO_PER_NANO;
  const recorded = record.cost_nanousd;
  const difference = recorded === null || !Number.isSafeInteger(recorded) ? null : BigInt(recorded) - sum;
  return { lines, sum, tier, above: own.above, difference, unpricedSide, price };
}

function part(
  counts: Counts,
  price: Price,
  tier: string | null,
  whose: string,
  lines: CostLine[],
): { known: boolean; above: number | null } {
  const put = (
    what: string,
    count: bigint,
    rate: string | undefined,
    unit: CostLine['unit'],
    per: number,
  ) => {
    const nano = nanos(rate);
    if (count <= 0n || nano === null || rate === undefined) return;
    // Nanodollars × 1e6 are femtodollars; `per` divides 1e6.
    const femto = count * nano * BigInt(1_000_000 / per);
    lines.push({
      what: whose === '' ? what : `${whose}: ${what}`,
      count: Number(count),
      unit,
      rate,
      per,
      femto,
    });
  };
  const counted = (counts.input ?? null) !== null || (counts.output ?? null) !== null;
  let above: number | null = null;
  if (counted) {
    const of = (tier === null ? undefined : price.tiers?.[tier]) ?? price;
    const long = of.above !== undefined && Number(counts.input ?? 0) > of.above.tokens ? of.above : undefined;
    above = long?.tokens ?? null;
    tokens(counts, (long?.per_million ?? of.per_million ?? {}) as Rates, (what, count, rate) =>
      put(what, count, rate, 'tokens', 1_000_000),
    );
  }
  const seconds = !counted && price.per_second !== undefined && (counts.audio_ms ?? null) !== null;
  if (seconds) put('Audio', whole(counts.audio_ms), price.per_second, 'ms', 1000);
  if (counted || seconds) {
    put('Request', 1n, price.per_request, 'pieces', 1);
    put('Web searches', whole(counts.web_searches), price.per_search, 'pieces', 1);
  }
  return { known: counted || seconds, above };
}

function tokens(
  counts: Counts,
  rates: Rates,
  put: (what: string, count: bigint, rate: string | undefined) => void,
): void {
  const known = (value: number | null | undefined): value is number => typeof value === 'number';
  const cap = known(counts.input) ? whole(counts.input) : 1n << 64n;
  const read = min(whole(counts.cached_read), cap);
  const write = min(whole(counts.cache_write), cap - read);
  const write1h = min(whole(counts.cache_write_1h), write);
  const room = cap - read - write;
  const uncached = known(counts.input_uncached)
    ? min(whole(counts.input_uncached), room)
    : known(counts.input)
      ? room
      : 0n;
  let text = uncached;
  const fresh = whole(counts.input_audio) - whole(counts.cached_audio);
  for (const [what, count, rate] of [
    ['Audio input', fresh > 0n ? fresh : 0n, rates.audio_input],
    ['Image input', whole(counts.input_image), rates.image_input],
  ] as const) {
    if (rate === undefined) continue;
    const taken = min(count, text);
    text -= taken;
    put(what, taken, rate);
  }
  put('Input', text, rates.input);
  put('Cache read', read, rates.cache_read ?? rates.input);
  put('Cache write, 5 min', write - write1h, rates.cache_write_5m ?? rates.input);
  put('Cache write, 1 h', write1h, rates.cache_write_1h ?? rates.cache_write_5m ?? rates.input);
  let made = whole(counts.output);
  for (const [what, count, rate] of [
    ['Audio output', whole(counts.output_audio), rates.audio_output],
    ['Image output', whole(counts.output_image), rates.image_output],
    ['Reasoning', whole(counts.reasoning), rates.reasoning],
  ] as const) {
    if (rate === undefined) continue;
    const taken = min(count, made);
    made -= taken;
    put(what, taken, rate);
  }
  put('Output', made, rates.output);
}

/** An amount in 1e-15 US dollars as an exact decimal: `$0.000129`. */
export function exactUsd(femto: bigint): string {
  const sign = femto < 0n ? '-' : '';
  const digits = (femto < 0n ? -femto : femto).toString().padStart(16, '0');
  const decimals = digits.slice(-15).replace(/0+$/, '').padEnd(2, '0');
  return `${sign}$${digits.slice(0, -15)}.${decimals}`;
}

/** The same for nanodollars. */
export const exactNanoUsd = (nano: bigint): string => exactUsd(nano * FEMTO_PER_NANO);
