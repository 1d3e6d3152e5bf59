import { oneOf, type SearchOf, searchParams, text } from '@/kit/search';
import { SHOWS } from './rows';

const shape = { q: text, show: oneOf(SHOWS) };

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
