import { rangeParam } from '@/kit/range';
import { oneOf, type SearchOf, searchParams, text } from '@/kit/search';

export const SORTS = ['cost', 'requests', 'tokens', 'days', 'last', 'login'] as const;

const shape = {
  range: rangeParam,
  since: text,
  until: text,
  q: text,
  sort: oneOf(SORTS),
  order: oneOf(['asc', 'desc']),
  by: oneOf(['requests', 'cost']),
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
