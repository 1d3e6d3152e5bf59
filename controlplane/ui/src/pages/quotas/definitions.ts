import { parse } from 'jsonc-parser';
import type { Schema } from '@/api';
import { amount, rate, unitName } from '@/kit/amounts';

type Bucket = Pick<Schema<'Bucket'>, 'unit' | 'capacity' | 'rate'>;

/** Names of the quotas that a configuration defines; none if it cannot be read. */
export function defined(config: string | undefined): string[] {
  if (config === undefined) return [];
  const document: unknown = parse(config, [], { allowTrailingComma: true, disallowComments: false });
  const quotas = (document as { quotas?: unknown } | null | undefined)?.quotas;
  return quotas !== null && typeof quotas === 'object' ? Object.keys(quotas) : [];
}

/** The quotas that a page is divided by: those that are defined and those that still have buckets; shared ones first. */
export function quotasOf(names: readonly string[], buckets: readonly { quota: string }[]): string[] {
  const all = [...new Set([...names, ...buckets.map(bucket => bucket.quota)])];
  // What everybody shares has one bucket: it is not to be looked for below thousands of others.
  const own = (name: string) => name.includes('<');
  return [...all.filter(name => !own(name)), ...all.filter(own)];
}

/** Ceiling and refill by unit, in words: `dollars: up to $40.00, refilled $20.00/day`. */
export function limits(buckets: readonly Bucket[]): string[] {
  const units = new Map(buckets.map(bucket => [bucket.unit, bucket]));
  return [...units.values()].map(({ unit, capacity, rate: of }) => {
    const fills = rate(unit, of);
    const refill = unit === 'concurrency' ? '' : fills === null ? ', not refilled' : `, refilled ${fills}`;
    return `${unitName(unit)}: up to ${amount(unit, capacity)}${refill}`;
  });
}
