import type { Schema } from '@/api';
import { amount } from '@/kit/amounts';

type Bucket = Schema<'Bucket'>;

/** A word for what is not a figure, and why. */
export interface Said {
  text: string;
  why: string;
}

/** Whether nothing is missing and nothing was taken of late. */
const idle = ({ balance, capacity, burn }: Pick<Bucket, 'balance' | 'capacity' | 'burn'>): boolean =>
  balance >= capacity && (burn === null || burn.per_h === 0);

/** What a bucket loses an hour, or why there is no figure. */
export function burnText(bucket: Pick<Bucket, 'burn' | 'unit' | 'balance' | 'capacity'>): string | Said {
  if (idle(bucket)) return { text: 'idle', why: 'It is full, and nothing was taken of late.' };
  if (bucket.burn === null)
    return { text: 'unknown', why: 'There are no samples yet: they are taken every five minutes.' };
  return `${amount(bucket.unit, bucket.burn.per_h)}/h`;
}

/** When a bucket runs out, in words; `null` where there is a moment. */
export function emptyText(bucket: Pick<Bucket, 'burn' | 'balance' | 'capacity' | 'empty_at'>): Said | null {
  if (bucket.balance <= 0)
    return { text: 'now', why: 'Nothing is left: calls are refused until it is refilled.' };
  if (bucket.empty_at !== null) return null;
  if (idle(bucket)) return { text: '–', why: 'It is full, and nothing was taken of late.' };
  return bucket.burn === null
    ? { text: 'unknown', why: 'How fast it is used is not known yet.' }
    : { text: 'not at this burn', why: 'It is refilled as fast as it is used.' };
}

/** What somebody types as an amount, as the API takes it: `$5`, `5`, `200k`; empty means to the full. */
export function refillAmount(text: string): { amount: string | null } | { problem: string } {
  const typed = text.trim();
  if (typed === '') return { amount: null };
  if (/^\$?\d+(\.\d+)?[kM]?$/.test(typed)) return { amount: typed };
  return { problem: 'An amount such as $5.00, 200k or 30' };
}
