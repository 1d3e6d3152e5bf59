import { count, oneOf, type SearchOf, searchParams, text } from '@/kit/search';

const shape = {
  tab: oneOf(['visual', 'document', 'history', 'exports', 'hooks', 'about']),
  /** Key of the document at the top that is shown. */
  section: text,
  /** Line of the document to go to. */
  line: count,
  /** Version of the history that is shown. */
  version: count,
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
