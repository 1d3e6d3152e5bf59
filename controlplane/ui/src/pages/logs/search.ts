import { rangeParam } from '@/kit/range';
import { oneOf, type SearchOf, searchParams, text } from '@/kit/search';

const shape = {
  tab: oneOf(['sessions', 'requests', 'search', 'live']),
  range: rangeParam,
  since: text,
  until: text,
  q: text,
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
