import { type Costs, costOf } from '@/kit/cost';
import { type Offer, type PriceState, priceState, pricesDiffer, rateNumber } from './price';

/** A model as the gateway lists it, as far as this page reads it. */
export interface ModelInfo {
  model: string;
  granted: boolean;
  /** In the order in which they are tried. */
  providers: readonly (Offer & { id: string; name: string })[];
  usage: (Costs & { last: string | null }) | null;
  health: { error_share: number | null; ttft_p50_ms: number | null; ttft_p95_ms: number | null } | null;
  quotas: readonly { bucket: string; percent_used: number | null }[];
}

/** A row of the table: what sorts stands as numbers, `null` where it is not known. */
export interface ModelRow<M extends ModelInfo = ModelInfo> {
  model: string;
  info: M;
  state: PriceState;
  /** The provider that is tried first. */
  first: M['providers'][number] | null;
  differ: boolean;
  input: number | null;
  output: number | null;
  cacheRead: number | null;
  requests: number | null;
  /** Percent. */
  errors: number | null;
  cost: number | null;
  p50: number | null;
  p95: number | null;
  /** Percent used of the fullest budget that counts for the viewer's calls of it. */
  used: number | null;
}

export function modelRow<M extends ModelInfo>(info: M): ModelRow<M> {
  const first = info.providers[0] ?? null;
  const rate = (name: string) => rateNumber(first?.price?.[name]);
  const { usage, health } = info;
  return {
    model: info.model,
    info,
    state: priceState(info.providers),
    first,
    differ: pricesDiffer(info.providers),
    input: rate('input'),
    output: rate('output'),
    cacheRead: rate('cache_read'),
    requests: usage?.requests ?? null,
    errors: usage !== null && usage.requests > 0 ? (100 * usage.errors) / usage.requests : null,
    cost: usage === null ? null : costOf(usage).nanousd,
    p50: health?.ttft_p50_ms ?? null,
    p95: health?.ttft_p95_ms ?? null,
    used: fullest(info.quotas),
  };
}

/** Percent used of the fullest budget whose balance is known. */
function fullest(quotas: ModelInfo['quotas']): number | null {
  const used = quotas.flatMap(({ percent_used }) => percent_used ?? []);
  return used.length === 0 ? null : Math.max(...used);
}

/** Those with most requests first; those without any last, by their names. */
export const byUse = (a: ModelRow, b: ModelRow): number =>
  (b.requests ?? 0) - (a.requests ?? 0) || a.model.localeCompare(b.model);

/** What the page can be narrowed to. */
export const SHOWS = ['all', 'used', 'unpriced', 'denied'] as const;
export type Show = (typeof SHOWS)[number];

/** Whether a row is shown; `query` is looked for in the model's name and its providers', whatever the case. */
export function matches(row: ModelRow, show: Show, query: string): boolean {
  const shown = {
    all: true,
    used: (row.requests ?? 0) > 0,
    unpriced: row.state === 'unpriced' || row.state === 'partly' || row.state === 'unserved',
    denied: !row.info.granted,
  }[show];
  const words = query.trim().toLowerCase();
  if (!shown || words === '') return shown;
  const names = [row.model, ...row.info.providers.flatMap(({ id, name }) => [id, name])];
  return names.some(name => name.toLowerCase().includes(words));
}
