import { oneOf, type SearchOf, searchParams } from '@/kit/search';

const shape = { tab: oneOf(['visual', 'document', 'history', 'exports', 'hooks', 'about']) };

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
