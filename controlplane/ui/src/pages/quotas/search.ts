import { count, oneOf, type SearchOf, searchParams, text } from '@/kit/search';

const shape = {
  /** Words that a bucket's name holds. */
  q: text,
  /** By what the buckets of each quota are ordered: by use if not said. */
  sort: oneOf(['bucket']),
  /** Number of the bucket that is looked at. */
  id: count,
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
