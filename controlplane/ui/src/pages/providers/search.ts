import { type SearchOf, searchParams, text } from '@/kit/search';

const shape = { provider: text };

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
