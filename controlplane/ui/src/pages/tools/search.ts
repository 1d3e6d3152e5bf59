import { rangeParam } from '@/kit/range';
import { oneOf, type SearchOf, searchParams, text } from '@/kit/search';

const shape = {
  range: rangeParam,
  since: text,
  until: text,
  user: text,
  q: text,
  name: text,
  model: text,
  kind: oneOf(['hosted', 'client']),
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
