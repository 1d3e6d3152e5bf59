import type { Schema } from '@/api';
import { compact, count, money } from '@/kit/format';

type Bucket = Schema<'Bucket'>;

/** An amount in the unit of a bucket. */
export function amount(unit: Bucket['unit'], value: number): string {
  return unit === 'usd' ? money(value) : unit === 'tokens' ? compact(value) : count(value);
}

/** What is left, for ordering buckets of different units: as a share. */
export const left = (bucket: Bucket): number =>
  bucket.capacity === 0 ? 0 : bucket.balance / bucket.capacity;

/** What a bucket loses an hour; `null` if that is not known. */
export const burnText = (bucket: Pick<Bucket, 'burn' | 'unit'>): string | null =>
  bucket.burn === null ? null : `${amount(bucket.unit, bucket.burn.per_h)}/h`;

/** When a bucket runs out, in words; `null` where there is a moment. */
export function emptyText(bucket: Pick<Bucket, 'burn' | 'balance' | 'empty_at'>): string | null {
  if (bucket.balance <= 0) return 'now';
  if (bucket.empty_at !== null) return null;
  return bucket.burn === null ? 'unknown' : 'not at this burn';
}

/** What somebody types as an amount, as the API takes it: `$5`, `5`, `200k`; empty means to the full. */
export function refillAmount(text: string): { amount: string | null } | { problem: string } {
  const typed = text.trim();
  if (typed === '') return { amount: null };
  if (/^\$?\d+(\.\d+)?[kM]?$/.test(typed)) return { amount: typed };
  return { problem: 'An amount such as $5.00, 200k or 30' };
}
