import { type SearchOf, searchParams } from '@/kit/search';

const shape = {};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
