import { rangeParam } from '@/kit/range';
import { count, oneOf, type SearchOf, searchParams, text } from '@/kit/search';

export const TABS = ['sessions', 'requests', 'search', 'live'] as const;
export const SORTS = ['last', 'cost', 'requests', 'tokens'] as const;
const YES_NO = ['true', 'false'] as const;

const shape = {
  tab: oneOf(TABS),
  range: rangeParam,
  since: text,
  until: text,
  /** Words that captures hold. */
  q: text,
  user: text,
  model: text,
  provider: text,
  status: text,
  api: text,
  session: text,
  agent: text,
  error: text,
  ended: text,
  stream: oneOf(YES_NO),
  tools: oneOf(YES_NO),
  verdict: text,
  rule: text,
  capture: text,
  /** US dollars. */
  min_cost: text,
  /** Milliseconds. */
  min_ms: count,
  client: text,
  sort: oneOf(SORTS),
};

/** What the address of this page may say. */
export const search = searchParams(shape);
export type Search = SearchOf<typeof shape>;
