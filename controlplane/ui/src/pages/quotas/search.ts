import { count, type SearchOf, searchParams, text } from '@/kit/search';

const shape = {
  /** Words that a bucket's name holds. */
  q: text,
  /** Number of the bucket that is looked at. */
  id: count,
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
