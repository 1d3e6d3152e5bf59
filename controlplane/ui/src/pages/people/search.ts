import { oneOf, type SearchOf, searchParams, text } from '@/kit/search';

const shape = {
  q: text,
  sort: oneOf(['cost', 'requests', 'tokens', 'errors', 'first', 'last', 'login']),
  order: oneOf(['desc', 'asc']),
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
