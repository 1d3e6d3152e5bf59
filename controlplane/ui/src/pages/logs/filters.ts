// From what the address says to what the API is asked for.

import type { Schema } from '@/api';
import { nanos } from '../request/costs';
import type { Search } from './search';

/** The filters of `/api/requests`, and of what is shown live. */
export interface Filters {
  user?: string;
  model?: string;
  provider?: string;
  status?: string;
  session?: string;
  agent?: string;
  api?: Schema<'Api'>;
  ended?: Schema<'Ended'>;
  error?: string;
  stream?: boolean;
  tools?: boolean;
  min_cost_nanousd?: number;
  min_duration_ms?: number;
  verdict?: 'any' | 'allow' | 'log' | 'redact' | 'modify' | 'block' | 'failed';
  rule?: string;
  capture?: 'off' | 'written' | 'dropped';
}

const yes = (value: 'true' | 'false' | undefined): boolean | undefined =>
  value === undefined ? undefined : value === 'true';

/** US dollars as somebody types them, in nanodollars. */
export function typedUsd(text: string | undefined): number | undefined {
  const nano = nanos(
    text
      ?.trim()
      .replace(/^\$\s*/, '')
      .replace(/^\./, '0.')
      .replace(/\.$/, ''),
  );
  return nano === null || nano === undefined || nano > BigInt(Number.MAX_SAFE_INTEGER)
    ? undefined
    : Number(nano);
}

/** The filters that an address states. What is no value of its kind goes to the API as it is, which says so. */
export function filters(search: Search): Filters {
  const all: Filters = {
    user: search.user,
    model: search.model,
    provider: search.provider,
    status: search.status,
    session: search.session,
    agent: search.agent,
    api: search.api as Filters['api'],
    ended: search.ended as Filters['ended'],
    error: search.error,
    stream: yes(search.stream),
    tools: yes(search.tools),
    min_cost_nanousd: typedUsd(search.min_cost),
    min_duration_ms: search.min_ms,
    verdict: search.verdict as Filters['verdict'],
    rule: search.rule,
    capture: search.capture as Filters['capture'],
  };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/** Names of the filters that are set, the range of time aside. */
export const FILTER_NAMES = [
  'user',
  'model',
  'provider',
  'status',
  'api',
  'session',
  'agent',
  'error',
  'ended',
  'stream',
  'tools',
  'verdict',
  'rule',
  'capture',
  'min_cost',
  'min_ms',
  'client',
] as const satisfies readonly (keyof Search)[];

export const filtersSet = (search: Search): (typeof FILTER_NAMES)[number][] =>
  FILTER_NAMES.filter(name => search[name] !== undefined);

/** A change that takes all filters away. */
export const noFilters = (): Partial<Record<keyof Search, undefined>> =>
  Object.fromEntries([...FILTER_NAMES, 'q'].map(name => [name, undefined]));
