import { oneOf, type SearchOf, searchParams } from '@/kit/search';

export const VIEWS = ['conversation', 'request', 'answer', 'events', 'raw', 'headers'] as const;

const shape = { view: oneOf(VIEWS) };

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
